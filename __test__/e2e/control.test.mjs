// @ts-check
/** Steering tasks that are under way or over: send, cancel, retry. */
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
  SLOW,
  script,
  serveWith,
  setUp,
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
  ({ model, sandbox } = await setUp({ options: { limits: { default: 20 }, maxDepth: 2 } }));
  ({ server, observer } = await serveWith(sandbox));
});

after(async () => {
  await server?.stop();
  await model?.close();
  await sandbox?.remove();
});

/** @param {Record<string, unknown>[]} tasks */
async function parentOf(tasks) {
  const parent = await Session.create(server);
  const ids = await parent.launch(tasks);
  launched.push([parent, ids]);
  return { parent, ids };
}

/** The model request that a task has open now, once part of its answer is out. @param {string} id */
async function openRequest(id) {
  const [{ session }] = await observer.untilState([id], "running");
  const asked = await model.waitFor(({ sessionHint, kind }) => kind === "chat" && sessionHint === session, {
    timeoutMs: PATIENCE,
  });
  const text = async () =>
    (await observer.of(session).messages()).some((message) => messageText(message).includes("slowly"));
  await until(async () => (await text()) || (await observer.of(session).isBusy()), { timeoutMs: PATIENCE });
  return { asked, session };
}

/** @param {import("./stage.mjs").ModelRequest} asked */
const isGivenUp = (asked) =>
  until(() => asked.aborted, { timeoutMs: PATIENCE, what: "the model's connection to be closed" });

test("a message sent to a running task joins its turn", async () => {
  const held = gate(sandbox.project, "join");
  const { parent, ids } = await parentOf([{ ...task("work", held.step, { say: "without it" }), key: "work" }]);
  await observer.untilState(ids, "running");
  const [{ session }] = await observer.status(ids);
  await until(() => requestsIn(model, session).length > 0, { timeoutMs: PATIENCE, what: "the task's first request" });
  const message = `also look at the tests\n${script({ say: "with the tests" })}`;
  assert.equal(await parent.ok("sortie_send", { task: "work", message }), `sent to the running task ${ids[0]}`);
  held.open();
  const messages = await parent.untilTold(ids);
  assert.match(messageText(messages.find(isReport)), /with the tests/);
  assert.match(requestsIn(model, session).at(-1)?.lastUser ?? "", /^also look at the tests/);
  assert.equal((await observer.status()).length, 0, "the observer launched nothing");
  assert.equal((await parent.status()).length, 1, "joining makes no new task");
});

test("a message sent to an ended task goes on in its session as a new task", async () => {
  const { parent, ids } = await parentOf([{ ...task("learn it", { say: "learnt HERON" }), key: "learn" }]);
  await parent.untilTold(ids);
  const message = `now use it\n${script({ say: "used it" })}`;
  const output = await parent.ok("sortie_send", { task: "learn", message });
  const more = idsIn(output);
  launched.push([parent, more]);
  assert.match(output, /continues that session; you will be told of its end/);
  assert.notDeepEqual(more, ids);
  const messages = await parent.untilTold(more);
  assert.match(messages.filter(isReport).map(messageText).join("\n"), /used it/);
  const [first, second] = await observer.status([...ids, ...more]);
  assert.equal(second.session, first.session);
  assert.equal(second.continues, first.id);
  assert.deepEqual([first.result, second.result], ["learnt HERON", "used it"]);
  const last = requestsIn(model, first.session).at(-1);
  assert.ok(JSON.stringify(last?.body.messages).includes("learnt HERON"), "the session remembers");
});

test("cancelling a task stops its model request, and cancels what depends on it", async () => {
  const { parent, ids } = await parentOf([
    { ...task("first", SLOW), key: "first" },
    { ...task("second {{result:first}}", { say: "never" }), key: "second" },
    { ...task("third {{result:second}}", { say: "never" }), key: "third" },
    { ...task("other", { say: "OTHER" }), key: "other" },
  ]);
  const { asked, session } = await openRequest(one(ids));
  const output = await parent.ok("sortie_cancel", { tasks: ["first"] });
  assert.deepEqual(idsIn(output).slice(0, 3).sort(), ids.slice(0, 3).sort(), output);
  await isGivenUp(asked);
  await until(async () => !(await observer.of(session).isBusy()), { timeoutMs: PATIENCE, what: "the child to stop" });
  const seen = await observer.status(ids);
  assert.deepEqual(seen.map(({ state }) => state).slice(0, 3), ["cancelled", "cancelled", "cancelled"]);
  assert.deepEqual(
    seen.slice(0, 3).map(({ detail }) => detail),
    [
      "cancelled on request",
      `the task it depends on did not complete: ${ids[0]}`,
      `the task it depends on did not complete: ${ids[1]}`,
    ],
  );
  await parent.untilTold(ids);
  assert.equal((await observer.status(ids))[3].result, "OTHER", "an independent task goes on");
  assert.equal((await parent.children()).length, 2, "what was cancelled before it began has no session");
});

test("cancelling a task stops what that task has launched", async () => {
  const inner = task("inner", SLOW);
  const { parent, ids } = await parentOf([
    task(
      "outer",
      { tool: "sortie_launch", args: { tasks: [inner] } },
      { tool: "sortie_wait", args: {} },
      { say: "never" },
    ),
  ]);
  const [{ session }] = await observer.untilState(ids, "running");
  const outer = observer.of(session);
  const innerId = await until(
    async () => idsIn(answersOf(await outer.messages(), "sortie_launch")[0]?.output ?? "")[0],
    { timeoutMs: PATIENCE, what: "the inner launch" },
  );
  const { asked } = await openRequest(innerId);
  await parent.ok("sortie_cancel", { tasks: ids });
  await isGivenUp(asked);
  const [seen] = await observer.status([innerId]);
  assert.equal(seen.state, "cancelled");
  assert.equal(seen.detail, `the task that launched it was cancelled: ${ids[0]}`);
  await until(async () => !(await outer.isBusy()), { timeoutMs: PATIENCE, what: "the outer task to stop" });
});

test("an ended task is not cancelled again, and the refusal changes nothing", async () => {
  const { parent, ids } = await parentOf([task("quick", { say: "QUICK" })]);
  await parent.untilTold(ids);
  const { status, error } = await parent.call("sortie_cancel", { tasks: ids });
  assert.equal(status, "error");
  assert.match(error, /not-open/);
  assert.equal((await observer.status(ids))[0].state, "complete");
});

test("a failed task is retried with all that fell with it, and they wait for the new one", async () => {
  let broken = true;
  const off = model.on(/^flaky errand/, () => (broken ? { status: 400, say: "no such luck" } : { say: "FIXED" }));
  const { parent, ids } = await parentOf([
    { title: "flaky", agent: "general", prompt: "flaky errand", key: "a" },
    { ...task("b with {{result:a}}", { say: "B DONE" }), key: "b" },
    { ...task("c", { say: "C DONE" }), key: "c", depends_on: ["b"] },
  ]);
  const told = await parent.untilTold(ids);
  assert.match(messageText(told.find(isReport)), /\[failed: error\] tsk_\S+\n.*no such luck/);
  assert.deepEqual(
    (await observer.status(ids)).map(({ state }) => state),
    ["failed", "cancelled", "cancelled"],
  );
  broken = false;
  const output = await parent.ok("sortie_retry", { tasks: ["a"] });
  const again = [...output.matchAll(/^(tsk_\w+) /gm)].map(([, id]) => String(id));
  launched.push([parent, again]);
  assert.equal(again.length, 3, output);
  await parent.untilTold(again);
  const seen = await observer.status(again);
  assert.deepEqual(
    seen.map(({ state, retryOf }) => [state, retryOf]),
    ids.map((id) => ["complete", id]),
  );
  assert.deepEqual(
    seen.map(({ dependsOn }) => dependsOn),
    [[], [again[0]], [again[1]]],
  );
  assert.match(requestsIn(model, seen[1].session)[0]?.lastUser ?? "", /^b with FIXED\./);
  off();
});

test("a complete task is not retried", async () => {
  const { parent, ids } = await parentOf([task("quick", { say: "QUICK" })]);
  await parent.untilTold(ids);
  const { error } = await parent.call("sortie_retry", { tasks: ids });
  assert.match(error, /not-retryable/);
  assert.equal((await parent.status()).length, 1);
});

test("a task that asks before it is resumed is paused by a crash, and retry lets it go on in the same session", async () => {
  const held = gate(sandbox.project, "paused");
  const { parent, ids } = await parentOf([{ ...task("long work", held.step, { say: "AFTER ALL" }), resume: "ask" }]);
  const [{ session }] = await observer.untilState(ids, "running");
  await until(() => requestsIn(model, session).length > 0, { timeoutMs: PATIENCE, what: "the task's first request" });
  await server.kill9();
  ({ server, observer } = await serveWith(sandbox));
  for (const [session] of launched) session.server = server;
  await observer.untilState(ids, "paused");
  held.open();
  const output = await parent.ok("sortie_retry", { tasks: ids });
  assert.match(output, new RegExp(`${ids[0]} "long work" goes on`));
  const messages = await parent.untilTold(ids);
  assert.match(messages.filter(isReport).map(messageText).join("\n"), /AFTER ALL/);
  assert.equal((await observer.status(ids))[0].session, session);
});

test("every end in this file was told to its parent exactly once", async () => {
  assert.ok(launched.length > 7);
  for (const [parent, ids] of launched) {
    const messages = await parent.untilTold(ids);
    assert.deepEqual(
      ids.map((id) => [id, timesTold(messages, id)]),
      ids.map((id) => [id, 1]),
    );
  }
});
