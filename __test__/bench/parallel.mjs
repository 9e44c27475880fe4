// @ts-check
/**
 * Fifty agents at once, against the same fifty sessions driven by a script that does the least that can be done.
 *
 * Ours: from the start of the model's `sortie_launch` call (the tool part's `time.start`) until the message that tells
 * the last end is in the parent (its `time.created`). Both are the host's clock.
 * The script: from its first request until it has read the last message of the last session. It makes all sessions
 * and sends all prompts at once, waits for `session.idle` on one event stream, and reads each session when it is idle.
 * It runs on a host *without* the plugin, so that nothing of ours slows it. Rounds alternate, and so does who begins.
 * The host's CPU time of each round is shown beside the wall time: on a busy machine it is the steadier of the two.
 * @module
 */
import { sample } from "../../testkit/proc.mjs";
import { openEvents } from "../../testkit/sse.mjs";
import { until } from "../../testkit/wait.mjs";
import { messagesOf, newSession, prompt, reports, script, startHost, startModel } from "./hosts.mjs";
import { row } from "./stats.mjs";

const TASKS = 50;
const LIMIT_MS = 300_000;

/** @param {number} number @param {number} delay */
const work = (number, delay) => `task ${number}\n${script({ say: `result ${number}`, delay })}`;

/** @type {import("./hosts.mjs").Group} */
export async function parallel(bench) {
  const model = await startModel(bench);
  const [bare, ours] = [await startHost(bench, "alone", model), await startHost(bench, "sortie", model)];
  const rows = [];
  /** @type {number[]} */
  const launches = [];
  /** @type {number[]} */
  const messages = [];
  for (const [delay, most] of /** @type {const} */ ([
    [0, 1.1],
    [500, 1.05],
  ])) {
    const rounds = bench.quick ? 4 : 16;
    /** @type {number[]} */
    const times = [];
    /** @type {number[]} */
    const baseline = [];
    /** @type {number[]} */
    const cpu = [];
    /** @type {number[]} */
    const cpuBaseline = [];
    // The first round of each warms the hosts.
    for (let round = 0; round <= rounds; round++) {
      const runs = [
        async () => {
          const [time, ticks] = await withTicks(bare.server, () => byScript(bare.server, delay));
          if (round === 0) return;
          baseline.push(time);
          cpuBaseline.push(ticks);
        },
        async () => {
          const [run, ticks] = await withTicks(ours.server, () => byTasks(ours.server, delay));
          launches.push(run.launch);
          if (round === 0) return;
          times.push(run.time);
          cpu.push(ticks);
          messages.push(run.messages);
        },
      ];
      if (round % 2 === 1) runs.reverse();
      for (const run of runs) await run();
      bench.say(
        `${TASKS} × ${delay} ms: round ${round} of ${rounds}: ${Math.round(times.at(-1) ?? 0)} against ${Math.round(baseline.at(-1) ?? 0)} ms`,
      );
    }
    rows.push(row(`${TASKS} tasks, ${delay} ms model`, "ms", times, { most, of: "ratio", baseline }));
    rows.push(row(`the host's CPU for them, ${delay} ms model`, "10 ms", cpu, { of: "ratio", baseline: cpuBaseline }));
  }
  rows.push(row(`messages for ${TASKS} ends`, "count", messages, { most: 3, of: "p99" }));
  rows.push(row(`toasts for ${TASKS} tasks`, "count", [await toasts(ours.server)], { most: 5, of: "p99" }));
  rows.unshift(
    row(`ids of a batch of ${TASKS}, in the host`, "ms", launches, {
      most: 10,
      note: "the host's own time of the tool call, in whole ms",
    }),
  );
  return rows;
}

/**
 * @template T
 * @param {import("./hosts.mjs").Server} server
 * @param {() => Promise<T>} work
 * @returns {Promise<[T, number]>} What the work gave, and the host's clock ticks meanwhile.
 */
async function withTicks(server, work) {
  const ticks = () => (process.platform === "linux" ? sample(server.pid).cpuTicks : Number.NaN);
  const before = ticks();
  const given = await work();
  return [given, ticks() - before];
}

/** @param {import("./hosts.mjs").Server} server @param {number} delay @returns {Promise<number>} */
async function byScript(server, delay) {
  const parent = await newSession(server, { title: "parent" });
  const events = openEvents(`${server.url}/global/event`);
  await events.ready;
  try {
    const from = performance.now();
    /** @type {Map<string, (value?: unknown) => void>} */
    const waiting = new Map();
    const ends = (async () => {
      let ended = 0;
      for await (const { payload } of events) {
        if (payload.type !== "session.idle") continue;
        waiting.get(payload.properties.sessionID)?.();
        if (++ended === TASKS) return;
      }
    })();
    const one = async (/** @type {number} */ number) => {
      const session = await newSession(server, { parentID: parent, title: `task ${number}` });
      const idle = new Promise((resolve) => waiting.set(session, resolve));
      await prompt(server, session, work(number, delay), { agent: "general" });
      await idle;
      const { body } = await server.request("GET", `/session/${session}/message`, { query: { limit: 1 } });
      const text = body[0].parts.find((/** @type {any} */ { type }) => type === "text")?.text;
      if (text !== `result ${number}`) throw new Error(`task ${number} answered ${text}`);
    };
    await Promise.all(Array.from({ length: TASKS }, (_, number) => one(number)));
    await ends;
    return performance.now() - from;
  } finally {
    events.close();
  }
}

/** @param {import("./hosts.mjs").Server} server @param {number} delay */
async function byTasks(server, delay) {
  const parent = await newSession(server, { title: "parent" });
  const tasks = Array.from({ length: TASKS }, (_, number) => ({
    title: `task ${number}`,
    agent: "general",
    prompt: work(number, delay),
  }));
  await prompt(server, parent, `go\n${script({ tool: "sortie_launch", args: { tasks } }, { say: "launched" })}`);
  const { told, messages } = await until(
    async () => {
      const messages = await messagesOf(server, parent);
      const told = reports(messages);
      return told.flatMap(({ ids }) => ids).length >= TASKS ? { told, messages } : undefined;
    },
    { timeoutMs: LIMIT_MS, everyMs: 200, what: "all ends to be told" },
  );
  const ids = told.flatMap(({ ids }) => ids);
  if (new Set(ids).size !== TASKS || ids.length !== TASKS) throw new Error(`${ids.length} ends told of ${TASKS}`);
  const call = messages
    .flatMap(({ parts }) => parts)
    .find((/** @type {any} */ { type, tool }) => type === "tool" && tool === "sortie_launch");
  const { start, end } = call.state.time;
  // The turn about the last report must not run into the next round.
  await until(async () => (await messagesOf(server, parent)).at(-1).info.role === "assistant", { timeoutMs: LIMIT_MS });
  return { time: Math.max(...told.map(({ at }) => at)) - start, launch: end - start, messages: told.length };
}

/** Toasts of one round, up to "all done". @param {import("./hosts.mjs").Server} server */
async function toasts(server) {
  const events = server.events();
  await events.ready;
  await byTasks(server, 0);
  const isToast = (/** @type {import("../../testkit/sse.mjs").HostEvent} */ { payload }) =>
    payload.type === "tui.toast.show";
  await events.waitFor((event) => isToast(event) && event.payload.properties.message.includes("all done"), {
    timeoutMs: LIMIT_MS,
  });
  events.close();
  return events.seen.filter(isToast).length;
}
