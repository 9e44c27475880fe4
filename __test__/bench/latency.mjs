// @ts-check
/**
 * How soon an end is written, and told.
 *
 * The host's `session.idle` of the task is seen on `/global/event` by this process, about when the plugin sees it on
 * its own stream; that instant is compared with the task's `endedAt`, which is the journal row's, and with the
 * `time.created` of the message in the parent. All on one machine's clock; the latter two are whole milliseconds.
 * One task at a time, its parent idle.
 * @module
 */

import { openReader } from "../../demo/reader.mjs";
import { until } from "../../testkit/wait.mjs";
import { messagesOf, newSession, prompt, reports, script, startHost, startModel } from "./hosts.mjs";
import { row } from "./stats.mjs";

/** @type {import("./hosts.mjs").Group} */
export async function latency(bench) {
  const model = await startModel(bench);
  const { server, sandbox } = await startHost(bench, "sortie", model);
  const rounds = bench.quick ? 20 : 120;
  /** When each session went idle first. @type {Map<string, number>} */
  const idleAt = new Map();
  const events = server.events();
  await events.ready;
  void (async () => {
    for await (const { payload } of events) {
      const session = payload.properties?.sessionID;
      if (payload.type !== "session.idle" || idleAt.has(session)) continue;
      idleAt.set(session, performance.timeOrigin + performance.now());
    }
  })();
  /** @type {{parent: string, told: number}[]} */
  const told = [];
  for (let round = 0; round < rounds + 3; round++) {
    const parent = await newSession(server, { title: "parent" });
    const task = { title: "one", agent: "general", prompt: `work\n${script({ say: "done", delay: 150 })}` };
    await prompt(
      server,
      parent,
      `go\n${script({ tool: "sortie_launch", args: { tasks: [task] } }, { say: "launched" })}`,
    );
    const [report] = await until(
      async () => {
        const found = reports(await messagesOf(server, parent));
        return found.length > 0 ? found : undefined;
      },
      { everyMs: 50, timeoutMs: 30_000, what: "the report" },
    );
    if (report && round >= 3) told.push({ parent, told: report.at });
    if (round % 20 === 0) bench.say(`latency: round ${round} of ${rounds}`);
  }
  const reader = await openReader(sandbox, String(told[0]?.parent));
  const tasks = await reader.tasks();
  await reader.close();
  /** @type {number[]} */
  const written = [];
  /** @type {number[]} */
  const sent = [];
  for (const { parent, told: at } of told) {
    const task = tasks.find(({ parentSession }) => parentSession === parent);
    const idle = idleAt.get(task?.session ?? "");
    if (idle === undefined || !task?.endedAt) throw new Error(`nothing is known of the task of ${parent}`);
    written.push(task.endedAt - idle);
    sent.push(at - idle);
  }
  const note = "may be below zero: the plugin is nearer to the event than this process";
  return [
    row("idle event → terminal journal row", "ms", written, { most: 5, of: "p99", note }),
    row("idle event → message in the parent", "ms", sent, { most: 10, of: "p99" }),
  ];
}
