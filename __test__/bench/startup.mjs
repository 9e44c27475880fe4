// @ts-check
/**
 * What the plugin adds to `opencode serve`: start-up (spawn → answer to the first request that needs the project) and
 * resident memory (after the answer to one prompt). Three hosts in turn, new each round: alone, with a plugin that
 * does nothing (any external plugin costs the host something), and with Sortie.
 * @module
 */
import { serve, waitIdle } from "../../testkit/opencode.mjs";
import { sample } from "../../testkit/proc.mjs";
import { newSession, prompt, sandboxOf, script, startModel } from "./hosts.mjs";
import { median, row } from "./stats.mjs";

const KINDS = /** @type {const} */ (["alone", "empty", "sortie"]);
const MB = 1024 * 1024;

/** @type {import("./hosts.mjs").Group} */
export async function startup(bench) {
  const model = await startModel(bench);
  const rounds = bench.quick ? 3 : 15;
  const boxes = KINDS.map((kind) => ({ kind, sandbox: sandboxOf(bench, kind, model) }));
  /** @type {Record<import("./hosts.mjs").Kind, {ms: number[], mb: number[]}>} */
  const seen = { alone: { ms: [], mb: [] }, empty: { ms: [], mb: [] }, sortie: { ms: [], mb: [] } };
  // The first round makes databases and caches.
  for (let round = 0; round <= rounds; round++) {
    // Each host is first, second and third equally often.
    const turn = round % boxes.length;
    for (const { kind, sandbox } of [...boxes.slice(turn), ...boxes.slice(0, turn)]) {
      const from = performance.now();
      const server = await serve(sandbox);
      await server.request("GET", "/session");
      const ms = performance.now() - from;
      const session = await newSession(server, { title: "one" });
      await prompt(server, session, `hello\n${script({ say: "hello" })}`);
      await waitIdle(server, session);
      if (round > 0) {
        seen[kind].ms.push(ms);
        seen[kind].mb.push(sample(server.pid).rssBytes / MB);
      }
      await server.stop();
    }
    bench.say(`start-up: round ${round} of ${rounds}`);
  }
  const rows = [];
  for (const [name, unit, key, most] of /** @type {const} */ ([
    ["start-up", "ms", "ms", 30],
    ["resident memory", "MB", "mb", 15],
  ])) {
    for (const base of /** @type {const} */ (["alone", "empty"])) {
      const added = seen.sortie[key].map((value, at) => value - (seen[base][key][at] ?? Number.NaN));
      const than = base === "alone" ? "without a plugin" : "with an empty plugin";
      const of = `${median(seen.sortie[key]).toFixed(0)} against ${median(seen[base][key]).toFixed(0)} ${unit}`;
      rows.push(row(`added ${name}, to a host ${than}`, unit, added, { most, note: of }));
    }
  }
  return rows;
}
