// @ts-check
/**
 * How soon an end is written, and told.
 *
 * The host's `session.idle` of the task is seen on `/global/event` by this process, about when the plugin sees it on
 * its own stream; that instant is compared with the task's `endedAt`, which is the journal row's, and with the
 * `time.created` of the message in the parent. All on one machine's clock; the latter two are whole milliseconds.
 * One task at a time, its parent idle.
 *
 * The baseline is the least that can be done: a script that hears of the idle child of a host without plugins, and sends
 * the parent a message at once. Rounds alternate.
 * @module
 */

import { openReader } from "../../demo/reader.mjs";
import { until } from "../../testkit/wait.mjs";
import { messagesOf, newSession, prompt, reports, script, startHost, startModel } from "./hosts.mjs";
import { row } from "./stats.mjs";

/** @typedef {import("./hosts.mjs").Server} Server */

/** What is done in a child or a task. */
const WORK = `work\n${script({ say: "done", delay: 150 })}`;

/** @type {import("./hosts.mjs").Group} */
export async function latency(bench) {
  const model = await startModel(bench);
  const { server, sandbox } = await startHost(bench, "sortie", model);
  const { server: bare } = await startHost(bench, "alone", model);
  const reader = await openReader(sandbox, await newSession(server, { title: "reader" }));
  const rounds = bench.quick ? 20 : 120;
  const idleAt = await listen(server, () => {});
  /** What is to be done when a session is idle. @type {Map<string, () => void>} */
  const then = new Map();
  const bareIdleAt = await listen(bare, (session) => then.get(session)?.());
  /** @type {number[]} */
  const written = [];
  /** @type {number[]} */
  const sent = [];
  /** @type {number[]} */
  const baseline = [];
  for (let round = 0; round < rounds + 3; round++) {
    const byTask = await taskRound(server, reader);
    const byScript = await scriptRound(bare, then);
    const [idle, bareIdle] = [idleAt.get(byTask.session), bareIdleAt.get(byScript.session)];
    if (idle === undefined || bareIdle === undefined) throw new Error("an idle session was not heard of");
    if (round >= 3) {
      written.push(byTask.endedAt - idle);
      sent.push(byTask.told - idle);
      baseline.push(byScript.told - bareIdle);
    }
    if (round % 20 === 0) bench.say(`latency: round ${round} of ${rounds}`);
  }
  await reader.close();
  const early = "may be below zero: the plugin is nearer to the event than this process";
  const least = "baseline: a script that sends a message at once when it hears the event";
  return [
    row("idle event → terminal journal row", "ms", written, { most: 5, of: "p99", note: early }),
    row("idle event → message in the parent", "ms", sent, { most: 10, of: "p99", baseline, note: least }),
    row("the same by the script", "ms", baseline, {}),
  ];
}

/**
 * Notes when each session of a server is idle first.
 * @param {Server} server
 * @param {(session: string) => void} heard Called at once.
 */
async function listen(server, heard) {
  /** @type {Map<string, number>} */
  const idleAt = new Map();
  const events = server.events();
  await events.ready;
  void (async () => {
    for await (const { payload } of events) {
      const session = payload.properties?.sessionID;
      if (payload.type !== "session.idle" || idleAt.has(session)) continue;
      idleAt.set(session, performance.timeOrigin + performance.now());
      heard(session);
    }
  })();
  return idleAt;
}

/** One task, launched by its parent. @param {Server} server @param {Awaited<ReturnType<typeof openReader>>} reader */
async function taskRound(server, reader) {
  const parent = await newSession(server, { title: "parent" });
  const task = { title: "one", agent: "general", prompt: WORK };
  await prompt(
    server,
    parent,
    `go\n${script({ tool: "sortie_launch", args: { tasks: [task] } }, { say: "launched" })}`,
  );
  const told = await toldAt(server, parent);
  const ended = (await reader.tasks()).find(({ parentSession }) => parentSession === parent);
  if (!ended?.session || !ended.endedAt) throw new Error(`nothing is known of the task of ${parent}`);
  return { session: ended.session, endedAt: ended.endedAt, told };
}

/** One child, prompted by a script. @param {Server} server @param {Map<string, () => void>} then */
async function scriptRound(server, then) {
  const parent = await newSession(server, { title: "parent" });
  const isIdle = new Promise((resolve) => then.set(parent, () => resolve(undefined)));
  await prompt(server, parent, `go\n${script({ say: "launched" })}`);
  await isIdle;
  const child = await newSession(server, { title: "one", parentID: parent });
  const sent = new Promise((resolve, reject) => {
    then.set(child, () => prompt(server, parent, "<sortie-report>\ndone\n").then(resolve, reject));
  });
  await prompt(server, child, WORK, { agent: "general" });
  await sent;
  return { session: child, told: await toldAt(server, parent) };
}

/** When the message that tells of an end was made. @param {Server} server @param {string} parent */
async function toldAt(server, parent) {
  const report = await until(async () => reports(await messagesOf(server, parent))[0], {
    everyMs: 50,
    timeoutMs: 30_000,
    what: "the report",
  });
  return report.at;
}
