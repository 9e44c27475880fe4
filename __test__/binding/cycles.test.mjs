// @ts-check
/** Attached and detached a thousand times, nothing more is held than after the first times. Runs under Node and Bun. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { descriptors, OUR_THREADS, threads } from "../../testkit/proc.mjs";
import { until } from "../../testkit/wait.mjs";
import { attach, native, place } from "./harness.mjs";

const CYCLES = 1_000;
/** The counts are taken so often. */
const STEPS = 5;

/** A leak in every cycle shows in every step; what threads and tables take once does not. Less than a pointer a cycle. */
const TOLERANCE_BYTES = 8 * (CYCLES / STEPS) - 1;

const linux = process.platform === "linux";
const skip = linux ? false : "process counts come from /proc";

test(`descriptors, threads and native bytes are flat over ${CYCLES} cycles`, { skip }, async () => {
  const here = place();
  /** @type {Held[]} */
  const steps = [];
  try {
    for (let cycle = 1; cycle <= CYCLES; cycle++) {
      const attachment = await attach(here, { options: { durability: "normal" } });
      await attachment.start();
      await attachment.detach();
      if (cycle % (CYCLES / STEPS) === 0) steps.push(await held());
    }
  } finally {
    here.remove();
  }
  const [first, last] = [steps[0], steps.at(-1)];
  assert.deepEqual(last?.fds, first?.fds);
  assert.deepEqual(last?.threads, first?.threads);
  const grown = steps.slice(1).map(({ bytes }, at) => bytes - (steps[at]?.bytes ?? 0));
  assert.ok(Math.min(...grown) <= TOLERANCE_BYTES, `native bytes grew by ${grown.join(", ")}`);
});

test("one attachment that is held shows in every count", { skip }, async () => {
  const here = place();
  const before = await held();
  const attachment = await attach(here);
  try {
    const during = await held();
    assert.ok(during.fds.length > before.fds.length && during.threads.includes("sortie-store"), JSON.stringify(during));
    assert.ok(during.bytes - before.bytes > TOLERANCE_BYTES, `${during.bytes - before.bytes} bytes`);
  } finally {
    await attachment.detach();
    here.remove();
  }
});

/** @typedef {{fds: string[], threads: string[], bytes: number}} Held */

/**
 * What this process holds once threads have ended and objects are collected: the least of several looks, of which the
 * last brought nothing new.
 *
 * @returns {Promise<Held>}
 */
async function held() {
  let least = look();
  let still = 0;
  const settled = () => {
    collect();
    const now = look();
    const less =
      now.bytes < least.bytes || now.threads.length < least.threads.length || now.fds.length < least.fds.length;
    if (less) least = now;
    still = less ? 0 : still + 1;
    return still >= 20;
  };
  await until(settled, { timeoutMs: 30_000, what: "the counts to settle" });
  return least;
}

/** @returns {Held} */
function look() {
  const ours = threads(process.pid).filter(({ name }) => OUR_THREADS.test(name));
  return { fds: kinds(), threads: ours.map(({ name }) => name).sort(), bytes: native.nativeBytes() };
}

/** Open descriptors, without the numbers that differ. */
function kinds() {
  return descriptors(process.pid)
    .map((target) => target.replace(/\d+/g, "#"))
    .filter((target) => !target.startsWith("/proc/"))
    .sort();
}

/** Collects garbage now. */
function collect() {
  const bun = /** @type {{Bun?: {gc(force: boolean): void}}} */ (globalThis).Bun;
  if (bun) return bun.gc(true);
  setFlagsFromString("--expose-gc");
  runInNewContext("gc")();
}
