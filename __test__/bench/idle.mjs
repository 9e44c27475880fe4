// @ts-check
/**
 * What an idle host costs: a minute after a mission, with the engine's event stream closed again. Wake-ups are the
 * voluntary context switches of our threads, by their names; ticks are those of the whole process, beside a host
 * without the plugin that has had the same prompt.
 * @module
 */
import { readdirSync, readFileSync } from "node:fs";
import { waitIdle } from "../../testkit/opencode.mjs";
import { sample } from "../../testkit/proc.mjs";
import { newSession, prompt, script, startHost, startModel } from "./hosts.mjs";
import { row } from "./stats.mjs";

/**
 * Threads that can be ours: the engine's runtime and store, and the watch on the store's files. OpenCode watches files
 * with the same library, so of that name only what exceeds the host without the plugin counts; its debouncer
 * ("notify-rs debou…"), which wakes 40 times a second, is OpenCode's alone.
 */
const OURS = /^(?:sortie|tokio|notify-rs inot)/;

/** How long the engine keeps its event stream after the last need, and a little more, ms. */
const LINGER_MS = 23_000;

/** @type {import("./hosts.mjs").Group} */
export async function idle(bench) {
  const model = await startModel(bench);
  const hosts = [await startHost(bench, "alone", model), await startHost(bench, "sortie", model)];
  for (const [at, { server }] of hosts.entries()) {
    const session = await newSession(server, { title: "one" });
    const tasks = [{ title: "one", agent: "general", prompt: `work\n${script({ say: "done" })}` }];
    const steps = at === 1 ? [{ tool: "sortie_launch", args: { tasks } }, { say: "launched" }] : [{ say: "hello" }];
    await prompt(server, session, `go\n${script(...steps)}`);
    await waitIdle(server, session);
  }
  bench.say("idle: waiting for the event stream to close");
  await pause(LINGER_MS);
  const seconds = bench.quick ? 10 : 60;
  const before = hosts.map(({ server }) => ({ ticks: sample(server.pid).cpuTicks, threads: wakeUps(server.pid) }));
  bench.say(`idle: watching for ${seconds} s`);
  await pause(seconds * 1000);
  const after = hosts.map(({ server }) => ({ ticks: sample(server.pid).cpuTicks, threads: wakeUps(server.pid) }));
  const counted = (/** @type {number} */ at, /** @type {string} */ name) =>
    (after[at]?.threads[name] ?? 0) - (before[at]?.threads[name] ?? 0);
  const woken = Object.keys(after[1]?.threads ?? {})
    .filter((name) => OURS.test(name))
    .map((name) => ({ name, count: Math.max(0, counted(1, name) - counted(0, name)) }));
  const ticks = after.map(({ ticks }, at) => ticks - (before[at]?.ticks ?? 0));
  const names = woken.map(({ name, count }) => `${name} ${count}`).join(", ");
  return [
    row(`wake-ups of our threads in ${seconds} s`, "count", [woken.reduce((sum, { count }) => sum + count, 0)], {
      most: 0,
      note: names,
    }),
    row(`added CPU ticks of the idle host in ${seconds} s`, "10 ms", [(ticks[1] ?? 0) - (ticks[0] ?? 0)], {
      most: 5,
      note: `${ticks[1]} against ${ticks[0]}`,
    }),
  ];
}

/** Voluntary context switches by the thread's name. @param {number} pid @returns {Record<string, number>} */
function wakeUps(pid) {
  /** @type {Record<string, number>} */
  const sums = {};
  for (const thread of readdirSync(`/proc/${pid}/task`)) {
    const status = readFileSync(`/proc/${pid}/task/${thread}/status`, "utf8");
    const name = /^Name:\s+(.*)$/m.exec(status)?.[1] ?? "?";
    sums[name] = (sums[name] ?? 0) + Number(/^voluntary_ctxt_switches:\s+(\d+)/m.exec(status)?.[1] ?? 0);
  }
  return sums;
}

/** @param {number} ms */
function pause(ms) {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
