// @ts-check
/** The cast and its repository, proved against the real OpenCode with no plugin: the test is the commander. */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { after, before, test } from "node:test";
import { promisify } from "node:util";
import { doneCalls, itemOf, playMission, REPORT, reasonFor } from "./mission.mjs";
import { addHarbour, CHECK, changesIn, changesOf, GOAL, ITEMS, REJECTED } from "./mission-items.mjs";
import { startModelServer } from "./model-server.mjs";
import { messageText, serve, waitIdle } from "./opencode.mjs";
import { createSandbox } from "./sandbox.mjs";

const exec = promisify(execFile);

/** @type {import("./model-server.mjs").ModelServer} */
let model;
/** @type {import("./sandbox.mjs").Sandbox} */
let sandbox;
/** @type {import("./opencode.mjs").Server} */
let server;
/** @type {string} */
let directory;

before(async () => {
  model = await startModelServer();
  const roles = ["commander", "planner", "worker", "reviewer"];
  const agent = Object.fromEntries(roles.map((role) => [role, { mode: "all", prompt: `You are the ${role}.` }]));
  sandbox = createSandbox({ model: model.url, config: { agent } });
  directory = addHarbour(sandbox);
  server = await serve(sandbox, { cwd: directory });
});

after(async () => {
  await server?.stop();
  await sandbox?.remove();
  await model?.close();
});

/** Has an agent answer. @param {string} agent @param {string} text @param {string} [session] */
async function ask(agent, text, session) {
  const id = session ?? (await server.request("POST", "/session", { body: { title: agent } })).body.id;
  const body = { agent, parts: [{ type: "text", text }] };
  await server.request("POST", `/session/${id}/prompt_async`, { body });
  // The prompt is there when the answer is: `waitIdle` could see the turn before.
  await model.waitFor(({ sessionHint, lastUser }) => sessionHint === id && lastUser.includes(text), {
    timeoutMs: 30_000,
  });
  const messages = await waitIdle(server, id, { timeoutMs: 60_000 });
  return { id, text: messageText(messages.at(-1)), error: messages.at(-1).info.error };
}

/** Runs the check of the repository. */
async function check() {
  const [program = "", ...args] = CHECK;
  return exec(program, args, { cwd: directory, env: sandbox.env({ NODE_TEST_CONTEXT: undefined }) }).then(
    () => true,
    () => false,
  );
}

test("every item comes after those it needs, and no two change the same file", () => {
  for (const [at, item] of ITEMS.entries()) {
    for (const key of item.after) assert.ok(ITEMS.findIndex((other) => other.key === key) < at, `${item.key}: ${key}`);
  }
  const files = ITEMS.flatMap(({ files }) => files);
  assert.equal(new Set(files).size, files.length);
  assert.equal(ITEMS.length, 8);
});

test("the cast mends the repository with the host's own tools", { timeout: 240_000 }, async (t) => {
  assert.equal(await check(), false, "the tests fail at first");
  const cast = playMission(model, { deaths: ["tide"] });
  t.after(cast.leave);
  assert.notEqual((await ask("commander", GOAL)).text, REPORT);
  const plan = (await ask("planner", GOAL)).text;
  for (const { title } of ITEMS) assert.ok(plan.includes(title), title);

  for (const item of ITEMS) {
    let worker = await ask("worker", `Do this item: ${item.title}`);
    if (item.key === "tide") {
      assert.equal(worker.error?.name, "APIError", "its first worker dies");
      worker = await ask("worker", `Do this item: ${item.title}`);
    }
    assert.match(worker.text, /^Changed: /);
    let reviewer = await ask("reviewer", `Review this item: ${item.title}`);
    if (item.key === REJECTED) {
      assert.match(reviewer.text, /^VERDICT: REJECT$/m);
      await ask("worker", `The review says: ${reasonFor(item.key)}`, worker.id);
      reviewer = await ask("reviewer", "Look again.", reviewer.id);
    }
    assert.match(reviewer.text, /^VERDICT: ACCEPT$/m, item.key);
  }
  const report = '<sortie-mission id="m1">\nReport to the user: what was done.\n</sortie-mission>';
  assert.equal((await ask("commander", report)).text, REPORT);
  assert.deepEqual(changesIn(sandbox, directory), changesOf());
  assert.equal(await check(), true);
  assert.equal(cast.sessions("worker", "tide").length, 2);
  assert.equal(cast.sessions("worker").length, ITEMS.length + 1);
});

test("what a crash cut off is done again, and a title is found wherever it stands", () => {
  const call = { id: "c1", function: { name: "bash", arguments: '{"command":"true"}' } };
  const messages = (/** @type {string} */ result) => [
    { role: "user", content: `First: ${ITEMS[3]?.title}. Later: ${ITEMS[0]?.title}.` },
    { role: "assistant", content: "", tool_calls: [call] },
    { role: "tool", tool_call_id: "c1", content: result },
  ];
  const asked = (/** @type {string} */ result) =>
    /** @type {import("./model-server.mjs").ModelRequest} */ ({ body: { messages: messages(result) } });
  assert.deepEqual(doneCalls(asked("fine")), [{ call: { name: "bash", args: { command: "true" } }, result: "fine" }]);
  assert.deepEqual(doneCalls(asked("[Tool execution was interrupted]")), []);
  assert.equal(itemOf(asked("fine"))?.key, "berth");
});
