// @ts-check
/**
 * What it costs to decide who starts, and what tasks weigh: measured in Rust, by `benches/admission.rs`, without a host.
 * @module
 */
import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { ROOT } from "./hosts.mjs";
import { row } from "./stats.mjs";

/** A compiler may have to begin from nothing. */
const LIMIT_MS = 30 * 60_000;

/** @typedef {{name: string, unit: string, values: number[], baseline?: number[], note?: string}} Figure */

/** @type {import("./hosts.mjs").Group} */
export async function admission(bench) {
  bench.say("admission: cargo bench");
  const args = ["bench", "--quiet", "--bench", "admission", "--", ...(bench.quick ? ["--quick"] : [])];
  const { stdout } = await promisify(execFile)("cargo", args, { cwd: ROOT, timeout: LIMIT_MS, maxBuffer: 64 << 20 });
  const figures = stdout.split("\n").filter((line) => line.startsWith("{"));
  return figures.map((line) => {
    const { name, unit, values, ...how } = /** @type {Figure} */ (JSON.parse(line));
    return row(name, unit, values, how);
  });
}
