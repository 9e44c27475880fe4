// @ts-check
/** The tools as a model uses them: launch, hand-off, status, wait, result, and how a parent is told. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { messageText } from "../../testkit/opencode.mjs";
import { until } from "../../testkit/wait.mjs";
import {
  answersOf,
  gate,
  idsIn,
  isReport,
  one,
  PATIENCE,
  requestsIn,
  Session,
  serveWith,
  setUp,
  TOOLS,
  task,
  timesTold,
} from "./stage.mjs";

/** @type {import("./stage.mjs").ModelServer} */
let model;
/** @type {import("./stage.mjs").Sandbox} */
let sandbox;
/** @type {import("./stage.mjs").Server} */
let server;
/** @type {Session} */
let observer;
/** Every session of this file with the tasks that it launched. @type {[Session, string[]][]} */
const launched = [];

before(async () => {
  ({ model, sandbox } = await setUp({ options: { limits: { default: 20 } } }));
  ({ server, observer } = await serveWith(sandbox));
});

after(async () => {
  await server?.stop();
  await model?.close();
  await sandbox?.remove();
});

/** @param {Record<string, unknown>[]} tasks @param {import("./stage.mjs").Voice} [voice] */
async function parentOf(tasks, voice) {
  const parent = await Session.create(server);
  const ids = await parent.launch(tasks, voice);
  launched.push([parent, ids]);
  return { parent, ids };
}

test("one launched task runs in a child session and its result comes back in one report", async () => {
  const { parent, ids } = await parentOf([task("count the files", { say: "there are 42 files" })]);
  const messages = await parent.untilTold(ids);
  const report = messageText(messages.find(isReport));
  assert.match(report, /there are 42 files/);
  assert.match(report, /No task of this session is open any more/);
  const [seen] = await observer.status(ids);
  assert.equal(seen.state, "complete");
  assert.equal(seen.parentSession, parent.id);
  assert.equal(seen.result, "there are 42 files");
  const children = await parent.children();
  assert.deepEqual(
    children.map(({ id, title, directory }) => ({ id, title, directory })),
    [{ id: seen.session, title: "count the files", directory: sandbox.project }],
  );
});

test("a batch is launched by one call, answered at once, and runs in parallel", async () => {
  const held = gate(sandbox.project, "batch");
  const parent = await Session.create(server);
  const tasks = ["a", "b", "c"].map((key) => ({ ...task(`part ${key}`, held.step, { say: `${key} done` }), key }));
  const output = await parent.ok("sortie_launch", { tasks });
  const ids = idsIn(output);
  launched.push([parent, ids]);
  assert.equal(ids.length, 3, output);
  assert.match(output, /^3 tasks launched; you will be told of every end\.\n/);
  await observer.untilState(ids, "running");
  assert.deepEqual(await parent.reports(), [], "nothing has ended");
  held.open();
  const messages = await parent.untilTold(ids);
  for (const key of ["a", "b", "c"])
    assert.match(messages.filter(isReport).map(messageText).join("\n"), new RegExp(`${key} done`));
});

test("a result is handed on to the task that depends on it, in its model request", async () => {
  const { parent, ids } = await parentOf([
    { ...task("find the secret", { say: "the secret is HERON-17" }), key: "secret" },
    { ...task("use it: {{result:secret}}", { say: "used" }), key: "user", depends_on: ["secret"] },
    // What a prompt asks for is waited for, said so or not.
    task("again: {{result:user}}", { say: "used again" }),
  ]);
  await parent.untilTold(ids);
  const seen = await observer.status(ids);
  const [first, second, third] = seen.map(({ session }) => requestsIn(model, session));
  assert.match(second?.[0]?.lastUser ?? "", /^use it: the secret is HERON-17\.\n/);
  assert.match(third?.[0]?.lastUser ?? "", /^again: used\.\n/);
  assert.ok(Number(first?.[0]?.endedAt) < Number(second?.[0]?.at), "the dependant started after the end");
  assert.deepEqual(seen[1].dependsOn, [ids[0]]);
  assert.deepEqual(seen[2].dependsOn, [ids[1]]);
});

test("the results of an earlier call can be asked for by id and by key", async () => {
  const { parent, ids } = await parentOf([{ ...task("first", { say: "FIRST RESULT" }), key: "first" }]);
  await parent.untilTold(ids);
  const later = await parent.launch([
    task("by key {{result:first}}", { say: "ok" }),
    task(`by id {{result:${ids[0]}}}`, { say: "ok" }),
  ]);
  launched.push([parent, later]);
  await parent.untilTold(later);
  const prompts = (await observer.status(later)).map(({ session }) => requestsIn(model, session)[0]?.lastUser);
  assert.match(prompts[0] ?? "", /^by key FIRST RESULT/);
  assert.match(prompts[1] ?? "", /^by id FIRST RESULT/);
});

test("status is a table for people and models, and JSON for machines", async () => {
  const held = gate(sandbox.project, "status");
  const { parent, ids } = await parentOf([
    { ...task("a held one", held.step, { say: "let go" }), key: "held", priority: "high", retries: 1 },
    { ...task("a waiting one", { say: "at last" }), key: "waiting", depends_on: ["held"] },
  ]);
  await observer.untilState([one(ids)], "running");
  const table = (await parent.ok("sortie_status", {})).split("\n");
  assert.match(table[0] ?? "", /^task +state +agent +try +time +tokens +title$/);
  assert.match(table[1] ?? "", new RegExp(`^${ids[0]} +running +general +1/2 +\\S+ +\\S+ +held · a held one`));
  assert.match(table[2] ?? "", new RegExp(`^${ids[1]} +pending +general .*waiting · a waiting one: waits: ${ids[0]}`));
  assert.equal(table[3], "1 pending, 1 running");
  const json = JSON.parse(await parent.ok("sortie_status", { json: true }));
  assert.equal(json.version, 1);
  assert.deepEqual(
    json.tasks.map((/** @type {any} */ { id, key, state, priority, attempt, maxAttempts }) => [
      id,
      key,
      state,
      priority,
      attempt,
      maxAttempts,
    ]),
    [
      [ids[0], "held", "running", "high", 1, 2],
      [ids[1], "waiting", "pending", "normal", 0, 5],
    ],
  );
  held.open();
  await parent.untilTold(ids);
  const [seen] = await parent.status(["held"]);
  assert.equal(seen.state, "complete");
  assert.ok(seen.tokens.input + seen.tokens.output > 0, JSON.stringify(seen.tokens));
  assert.equal(await (await Session.create(server)).ok("sortie_status", {}), "No tasks.");
  assert.match(await observer.ok("sortie_status", { all: true }), new RegExp(one(ids)));
});

test("waiting for all gives every result within the turn, and no report repeats them", async () => {
  const parent = await Session.create(server);
  const tasks = [task("one", { say: "result ONE" }), task("two", { say: "result TWO", delay: 300 })];
  const messages = await parent.turn([
    { tool: "sortie_launch", args: { tasks } },
    { tool: "sortie_wait", args: {} },
    { say: "both" },
  ]);
  const ids = idsIn(answersOf(messages, "sortie_launch")[0]?.output ?? "");
  launched.push([parent, ids]);
  const [waited] = answersOf(messages, "sortie_wait");
  assert.match(waited?.output ?? "", /result ONE[\s\S]*result TWO/);
  assert.doesNotMatch(waited?.output ?? "", /still open/);
  assert.deepEqual(
    ids.map((id) => timesTold(messages, id)),
    [1, 1],
  );
});

test("waiting for any ends with the first, and the others are reported later", async () => {
  const held = gate(sandbox.project, "any");
  const { parent, ids } = await parentOf([
    task("slow", held.step, { say: "SLOW" }),
    task("quick", { say: "QUICK", delay: 500 }),
  ]);
  const output = await parent.ok("sortie_wait", { mode: "any", tasks: ids });
  assert.match(output, /QUICK[\s\S]*1 of 2 still open; you will be told of their ends\./);
  held.open();
  const messages = await parent.untilTold(ids);
  assert.match(messages.filter(isReport).map(messageText).join(), /SLOW/);
});

test("a wait that takes too long says so and the task goes on", async () => {
  const held = gate(sandbox.project, "timeout");
  const { parent, ids } = await parentOf([task("slow", held.step, { say: "SLOW" })]);
  const output = await parent.ok("sortie_wait", { timeout: 1 });
  assert.equal(output, "The time to wait is over. 1 of 1 still open; you will be told of their ends.");
  assert.equal((await observer.status(ids))[0].state, "running");
  held.open();
  await parent.untilTold(ids);
});

test("a turn that is stopped while it waits leaves the tasks running", async () => {
  const held = gate(sandbox.project, "stopped");
  const { parent, ids } = await parentOf([task("slow", held.step, { say: "SLOW" })]);
  const mark = await parent.say([{ tool: "sortie_wait", args: { tasks: ids } }, { say: "never said" }]);
  await until(async () => answersOf(await parent.after(mark), "sortie_wait")[0]?.status === "running", {
    timeoutMs: PATIENCE,
    what: "the wait to begin",
  });
  await parent.abort();
  await until(async () => !(await parent.isBusy()), { timeoutMs: PATIENCE, what: "the turn to stop" });
  assert.equal((await observer.status(ids))[0].state, "running");
  held.open();
  const messages = await parent.untilTold(ids);
  assert.match(messages.filter(isReport).map(messageText).join(), /SLOW/);
});

test("a long result is cut in the report and read whole in pages", async () => {
  const lines = Array.from({ length: 12_000 }, (_, at) => `line ${at} é`);
  const whole = lines.join("\n");
  const { parent, ids } = await parentOf([{ ...task("write much", { say: whole }), key: "long" }]);
  const messages = await parent.untilTold(ids);
  const report = messageText(messages.find(isReport));
  assert.ok(report.length < 10_000, `${report.length} characters in the report`);
  assert.match(report, new RegExp(`\\[whole: sortie_result ${ids[0]}\\]`));
  let read = "";
  for (let offset = 0, pages = 0; ; pages++) {
    assert.ok(pages < 10, "the pages come to an end");
    const page = await parent.ok("sortie_result", { task: "long", offset });
    const [, body = "", next] =
      /^[^\n]*\n([\s\S]*?)(?:\n\[bytes \d+ to \d+ of \d+; go on with offset (\d+)\])?$/.exec(page) ?? [];
    read += body;
    if (next === undefined) break;
    offset = Number(next);
  }
  assert.ok(read === whole, `${read.length} of ${whole.length} characters, and not the same`);
});

test("the result of an open task is refused, and asking for it does no harm", async () => {
  const held = gate(sandbox.project, "open");
  const { parent, ids } = await parentOf([task("slow", held.step, { say: "SLOW" })]);
  const { status, error } = await parent.call("sortie_result", { task: one(ids) });
  assert.equal(status, "error");
  assert.match(error, /not-ended/);
  held.open();
  await parent.untilTold(ids);
  assert.match(await parent.ok("sortie_result", { task: one(ids) }), /\[complete\] tsk_\S+\nSLOW$/);
});

test("ends that come during a turn are told after it, together, in one message", async () => {
  const held = gate(sandbox.project, "busy");
  const parent = await Session.create(server);
  const tasks = ["x", "y", "z"].map((key) => task(key, { say: `${key} ended early` }));
  const mark = await parent.say([{ tool: "sortie_launch", args: { tasks } }, held.step, { say: "end of the turn" }]);
  const output = await until(async () => answersOf(await parent.after(mark), "sortie_launch")[0]?.output, {
    timeoutMs: PATIENCE,
    what: "the launch",
  });
  const ids = idsIn(output);
  launched.push([parent, ids]);
  await observer.untilState(ids, "complete");
  assert.ok(await parent.isBusy(), "the turn goes on");
  assert.deepEqual(await parent.reports(), [], "nothing is put into a turn");
  held.open();
  const messages = await parent.untilTold(ids);
  const at = messages.findIndex(isReport);
  assert.equal(messages.filter(isReport).length, 1, "one message tells of all");
  assert.equal(messageText(messages[at - 1]), "end of the turn");
  assert.equal(messages[at - 1].info.finish, "stop");
  assert.ok(messages[at].info.time.created >= messages[at - 1].info.time.completed);
});

test("our tools add at most 6 KB to a model request, and a task at the depth limit sees only those for commands", async () => {
  const { parent, ids } = await parentOf([task("look at my tools", { say: "looked" })]);
  await parent.untilTold(ids);
  const [mine] = requestsIn(model, parent.id);
  const ours = (mine?.body.tools ?? []).filter(({ function: { name } }) => name.startsWith("sortie_"));
  assert.deepEqual(ours.map(({ function: { name } }) => name).sort(), [...TOOLS].sort());
  const bytes = Buffer.byteLength(JSON.stringify(ours));
  assert.ok(bytes <= 6 * 1024, `${bytes} bytes in every model request`);
  const [seen] = await observer.status(ids);
  const [childs] = requestsIn(model, seen.session);
  assert.ok(childs?.tools.includes("bash"), "the child has the host's tools");
  assert.deepEqual(childs?.tools.filter((name) => name.startsWith("sortie")).sort(), [
    "sortie_command",
    "sortie_command_start",
  ]);
});

test("every end in this file was told to its parent exactly once, and only between turns", async () => {
  assert.ok(launched.length > 10);
  for (const [parent, ids] of launched) {
    const messages = await parent.untilTold(ids);
    assert.deepEqual(
      ids.map((id) => [id, timesTold(messages, id)]),
      ids.map((id) => [id, 1]),
    );
    for (const [at, message] of messages.entries()) {
      if (!isReport(message)) continue;
      const { role, finish, error, time } = messages[at - 1].info;
      assert.equal(role, "assistant");
      assert.ok(error || (finish && finish !== "tool-calls"), `a report after ${finish}`);
      assert.ok(message.info.time.created >= time.completed, "the turn before a report had ended");
    }
  }
});
