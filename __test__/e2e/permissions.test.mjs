// @ts-check
/** Our own tools under the user's permission rules: denied, asked for, answered. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { until } from "../../testkit/wait.mjs";
import { answersOf, gate, idsIn, one, PATIENCE, Session, serveWith, setUp, task } from "./stage.mjs";

/** @type {import("./stage.mjs").ModelServer} */
let model;
/** @type {import("./stage.mjs").Sandbox} */
let sandbox;
/** @type {import("./stage.mjs").Server} */
let server;
/** @type {Session} */
let observer;

const ask = (/** @type {string} */ permission) => ({ permission, pattern: "*", action: "ask" });
/** The host hides a tool that is denied altogether; one that is denied for whatever it is used on can be called. */
const deny = (/** @type {string} */ permission) => ({ permission, pattern: "?*", action: "deny" });

before(async () => {
  ({ model, sandbox } = await setUp());
  ({ server, observer } = await serveWith(sandbox));
});

after(async () => {
  await server?.stop();
  await model?.close();
  await sandbox?.remove();
});

/** A person's session with rules of its own. @param {object[]} permission */
const under = (...permission) => Session.create(server, { body: { title: "under rules", permission } });

/** The tasks that a session has launched. @param {Session} session */
const launchedBy = async ({ id }) =>
  JSON.parse(await observer.ok("sortie_status", { json: true, all: true })).tasks.filter(
    (/** @type {any} */ { parentSession }) => parentSession === id,
  );

/** What a session waits for the user's word on. @param {Session} session @returns {Promise<any[]>} */
async function pending({ id }) {
  const { body } = await server.request("GET", "/permission");
  return body.filter((/** @type {any} */ { sessionID }) => sessionID === id);
}

/** Has the model call a tool, answers the prompt that follows, and gives the tool's answer.
 * @param {Session} session @param {string} tool @param {Record<string, unknown>} args @param {string} reply */
async function answered(session, tool, args, reply) {
  const mark = await session.say([{ tool, args }, { say: "noted" }]);
  const [asked] = await until(
    async () => {
      const asked = await pending(session);
      return asked.length > 0 ? asked : undefined;
    },
    { timeoutMs: PATIENCE, what: `the prompt for ${tool}` },
  );
  assert.equal(asked.permission, tool);
  const before = await launchedBy(session);
  const { status } = await server.request("POST", `/permission/${asked.id}/reply`, { body: { reply } });
  assert.equal(status, 200);
  const answer = await until(
    async () => answersOf(await session.after(mark), tool).find(({ status }) => /completed|error/.test(status)),
    { timeoutMs: PATIENCE, what: `the answer of ${tool}` },
  );
  await until(async () => !(await session.isBusy()), { timeoutMs: PATIENCE, what: "the turn's end" });
  return { answer, before };
}

test("a denied launch launches nothing, and says why", async () => {
  const parent = await under(deny("sortie_launch"));
  const { status, error } = await parent.call("sortie_launch", { tasks: [task("never", { say: "never" })] });
  assert.equal(status, "error");
  assert.match(error, /rule|permission|denied/i);
  assert.deepEqual(await launchedBy(parent), []);
});

test("a tool that is denied altogether is hidden, and calling it by its name launches nothing", async () => {
  const parent = await under({ permission: "sortie_*", pattern: "*", action: "deny" });
  await parent.turn([{ tool: "sortie_launch", args: { tasks: [task("never", { say: "never" })] } }, { say: "noted" }]);
  assert.deepEqual(await launchedBy(parent), []);
});

test("a launch that must be asked for waits for the user, and a refusal launches nothing", async () => {
  const parent = await under(ask("sortie_launch"));
  const tasks = [task("never", { say: "never" })];
  const { answer, before } = await answered(parent, "sortie_launch", { tasks }, "reject");
  assert.deepEqual(before, []);
  assert.equal(answer.status, "error");
  assert.match(answer.error, /rejected permission/);
  assert.deepEqual(await launchedBy(parent), []);
});

test("a launch that the user allows goes out, and one that is always allowed is not asked for again", async () => {
  const parent = await under(ask("sortie_launch"));
  const { answer, before } = await answered(parent, "sortie_launch", { tasks: [task("a", { say: "A" })] }, "always");
  assert.deepEqual(before, []);
  const again = await parent.launch([task("b", { say: "B" })]);
  const ids = [...idsIn(answer.output), ...again];
  await parent.untilTold(ids);
  assert.deepEqual(
    (await observer.status(ids)).map(({ result }) => result),
    ["A", "B"],
  );
});

test("sending, cancelling and retrying are denied and asked for like launching", async () => {
  const held = gate(sandbox.project, "rules");
  const launcher = await under();
  const ids = await launcher.launch([task("held", held.step, { say: "whole" })]);
  const parent = await under(deny("sortie_send"), ask("sortie_cancel"), deny("sortie_retry"));
  for (const [tool, args] of /** @type {const} */ ([
    ["sortie_send", { task: one(ids), message: "stop that" }],
    ["sortie_retry", { tasks: ids }],
  ])) {
    const { status, error } = await parent.call(tool, args);
    assert.equal(status, "error");
    assert.doesNotMatch(error, /sortie error/, "the rule decides before the tool is asked");
  }
  const { answer } = await answered(parent, "sortie_cancel", { tasks: ids }, "reject");
  assert.equal(answer.status, "error");
  held.open();
  await launcher.untilTold(ids);
  assert.equal((await observer.status(ids))[0].result, "whole");
});

test("a task that may not launch does not by calling the tool's name", async () => {
  const parent = await under();
  const inner = { tasks: [task("inner", { say: "never" })] };
  const ids = await parent.launch([task("outer", { tool: "sortie_launch", args: inner }, { say: "did it myself" })]);
  await parent.untilTold(ids);
  const [outer] = await observer.status(ids);
  assert.equal(outer.result, "did it myself");
  assert.deepEqual(await launchedBy(observer.of(outer.session)), []);
});
