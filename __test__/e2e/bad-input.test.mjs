// @ts-check
/** Bad calls through the real tool interface: each is refused with its code, and nothing comes of it. */
import assert from "node:assert/strict";
import { existsSync, mkdirSync, readFileSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { ROOT } from "../../scripts/process.mjs";
import { textOf } from "../../testkit/model-script.mjs";
import { startModelServer } from "../../testkit/model-server.mjs";
import { serve } from "../../testkit/opencode.mjs";
import { createSandbox } from "../../testkit/sandbox.mjs";
import { until } from "../../testkit/wait.mjs";
import { badCalls, deepCalls, hostsCalls, immenseCalls, strangersCalls } from "./bad-calls.mjs";
import { tables } from "./database.mjs";

/** @typedef {import("./bad-calls.mjs").BadCall} BadCall */
/** @typedef {{name: string, args: any}} Call */
/** @typedef {{status: string, output?: string, error?: string}} Answer */

const TIMEOUT_MS = 60_000;

/** What there is to do about each code, as the catalogue says. */
const remedies = new Map(
  [...readFileSync(join(ROOT, "docs/errors.md"), "utf8").matchAll(/^\| `([a-z-]+)` \| .* \| (.*) \|$/gm)].map(
    ([, code = "", remedy = ""]) => [code, remedy],
  ),
);

const model = await startModelServer();
const sandbox = createSandbox({ model: model.url, plugin: ROOT });
const other = sandbox.addProject("other");
const outside = join(sandbox.root, "outside");
mkdirSync(outside);
symlinkSync(outside, join(sandbox.project, "out"));

/** @type {import("../../testkit/opencode.mjs").Server} */
let server;
let caller = "";
/** @type {Record<string, string>} Ids by key. */
let ids = {};
let foreign = "";
let turns = 0;

before(async () => {
  server = await serve(sandbox);
  [caller] = await Promise.all([session(), launchElsewhere()]);
  const task = (/** @type {string} */ key, /** @type {object} */ rest) => ({
    key,
    title: key,
    agent: "build",
    retries: 0,
    ...rest,
  });
  const script = (/** @type {object} */ step) => `SCRIPT: ${JSON.stringify([step])}`;
  const tasks = [
    task("done", { prompt: script({ say: "finished" }) }),
    task("broken", { prompt: script({ status: 400 }) }),
    task("hangs", { prompt: script({ hang: true }) }),
    task("gone", { prompt: "never", depends_on: ["hangs"] }),
    task("waits", { prompt: "never", depends_on: ["hangs"] }),
  ];
  await turn(caller, [{ name: "sortie_launch", args: { tasks } }]);
  await turn(caller, [{ name: "sortie_wait", args: { tasks: ["done", "broken"] } }]);
  await turn(caller, [{ name: "sortie_cancel", args: { tasks: ["gone"] } }]);
  await model.waitFor(({ step }) => step?.hang === true, { timeoutMs: TIMEOUT_MS });
  const known = await status(caller);
  ids = Object.fromEntries(known.map(({ key, id }) => [key, id]));
  assert.deepEqual(
    known.map(({ key, state }) => [key, state]),
    [
      ["done", "complete"],
      ["broken", "failed"],
      ["hangs", "running"],
      ["gone", "cancelled"],
      ["waits", "pending"],
    ],
  );
});

after(async () => {
  await server?.stop();
  await model.close();
  await sandbox.remove();
});

test("every bad call is refused with its code, names its fault, says what to do, and changes nothing", async (t) => {
  const table = badCalls({ foreign, outside });
  assert.ok(table.length >= 60);
  await refused(t, caller, table);
});

test("a prompt of ten megabytes, or one byte too long, is refused and changes nothing", async (t) =>
  refused(t, await session(), immenseCalls));

test("keys that would set a prototype do not get past the host, and change nothing", async () => {
  const from = await session();
  const before = await everything();
  for (const { output } of await turn(from, hostsCalls)) assert.match(output ?? "", /forbidden prototype property/);
  const after = await everything();
  assert.deepEqual([after.database, after.sessions], [before.database, before.sessions]);
});

test("a session without tasks has nothing to wait for, and no say over another session's keys", async (t) => {
  await refused(t, await session(), strangersCalls);
});

test("a session that stands as deep as tasks may launches nothing by any tool", async (t) => {
  const table = JSON.parse(JSON.stringify(deepCalls).replace(/\{(\w+)\}/g, (_, key) => ids[key] ?? key));
  await refused(t, await session({ parentID: caller }), table);
});

test("SQL, shell and markup in titles and prompts are words: stored and shown as they are", async () => {
  const title = `'; DROP TABLE tasks; -- $(touch pwned) \`touch pwned\` "%s" <b> {{x}} \\n é😀`;
  const prompt = `${title} | touch pwned; {"a": [1]}`;
  const mine = await session();
  const [launched] = await turn(mine, [
    { name: "sortie_launch", args: { tasks: [{ title, key: "a.b-c_D", agent: "build", prompt }] } },
  ]);
  assert.equal(launched?.status, "completed", launched?.error);
  assert.ok(launched?.output?.includes(title), launched?.output);
  const [waited] = await turn(mine, [{ name: "sortie_wait", args: { tasks: ["a.b-c_D"] } }]);
  assert.ok(waited?.output?.includes(title), waited?.output ?? waited?.error);
  assert.equal(model.requests.filter(({ lastUser }) => lastUser === prompt).length, 1);
  assert.deepEqual(
    (await status(mine)).map((task) => [task.title, task.key, task.state]),
    [[title, "a.b-c_D", "complete"]],
  );
  assert.equal(existsSync(join(sandbox.project, "pwned")), false);
});

/**
 * Makes the calls in one turn and compares everything before and after.
 *
 * @param {import("node:test").TestContext} t
 * @param {string} from The calling session.
 * @param {BadCall[]} table
 */
async function refused(t, from, table) {
  const before = await everything();
  const answers = await turn(
    from,
    table.map(({ tool, args }) => ({ name: tool, args })),
  );
  for (const [at, { name, tool, code, names }] of table.entries()) {
    await t.test(`${tool}: ${name}`, () => {
      const error = answers[at]?.error ?? `it was accepted: ${answers[at]?.output}`;
      assert.match(error, /^sortie error [a-z-]+: /);
      assert.equal(/^sortie error ([a-z-]+): /.exec(error)?.[1], code, error);
      assert.ok(error.includes(names), error);
      assert.ok(error.endsWith(remedies.get(code) ?? "a remedy of the catalogue"), error);
      assert.ok(error.length < 2_500, `${error.length} characters`);
    });
  }
  const after = await everything();
  assert.deepEqual(after.database, before.database);
  assert.deepEqual(after.sessions, before.sessions);
  // The turn itself: the calls, and the last word.
  assert.equal(after.requests - before.requests, 2);
  assert.equal(existsSync(join(sandbox.project, "pwned")), false);
}

async function everything() {
  const { body } = await server.request("GET", "/session");
  return {
    database: tables(sandbox),
    sessions: body.map((/** @type {{id: string}} */ { id }) => id).sort(),
    requests: model.requests.filter(({ kind }) => kind === "chat").length,
  };
}

/** A new session, as a person begins one. @param {object} [body] @returns {Promise<string>} */
async function session(body = { title: "calls" }) {
  return (await server.request("POST", "/session", { body })).body.id;
}

/**
 * One turn: the model makes these calls at once, and then ends.
 *
 * @param {string} sessionID
 * @param {Call[]} tools
 * @param {string} [directory]
 * @returns {Promise<Answer[]>} In the order of the calls.
 */
async function turn(sessionID, tools, directory = sandbox.project) {
  const marker = `TURN-${++turns}.`;
  // A small number of tokens, or the host would compact the session before it goes on.
  const usage = { prompt_tokens: 10, completion_tokens: 10 };
  const remove = model.on(new RegExp(`^${marker}`), [
    { tools, usage },
    { say: "done", usage },
  ]);
  const body = { parts: [{ type: "text", text: marker }] };
  const asked = await server.request("POST", `/session/${sessionID}/prompt_async`, { directory, body });
  assert.equal(asked.status, 204);
  // Not the last user message: a report of a task's end may come after the marker and be answered with it.
  const mine = (/** @type {import("../../testkit/model-server.mjs").ModelRequest} */ { body: { messages }, step }) =>
    step?.say === "done" && messages.some((message) => message.role === "user" && textOf(message).startsWith(marker));
  await model.waitFor(mine, { timeoutMs: TIMEOUT_MS });
  await until(async () => !(await server.request("GET", "/session/status", { directory })).body[sessionID], {
    timeoutMs: TIMEOUT_MS,
    what: `the turn ${marker} to end`,
  });
  remove();
  const { body: messages } = await server.request("GET", `/session/${sessionID}/message`, { directory });
  const from = messages.findLastIndex(
    (/** @type {any} */ { info, parts }) => info.role === "user" && parts[0]?.text === marker,
  );
  const parts = messages.slice(from).flatMap((/** @type {any} */ message) => message.parts);
  const calls = parts.filter((/** @type {any} */ { type }) => type === "tool");
  const place = (/** @type {{callID: string}} */ { callID }) => Number(callID.split("_").at(-1));
  calls.sort((/** @type {any} */ a, /** @type {any} */ b) => place(a) - place(b));
  assert.equal(calls.length, tools.length);
  return calls.map((/** @type {{state: Answer}} */ { state }) => state);
}

/** The tasks of a session as machines read them. @param {string} sessionID @returns {Promise<any[]>} */
async function status(sessionID, directory = sandbox.project) {
  const [answer] = await turn(sessionID, [{ name: "sortie_status", args: { json: true } }], directory);
  return JSON.parse(answer?.output ?? "").tasks;
}

/** A task of another project. */
async function launchElsewhere() {
  const { body } = await server.request("POST", "/session", { directory: other, body: { title: "other" } });
  const tasks = [{ key: "foreign", title: "foreign", agent: "build", prompt: "answer" }];
  await turn(body.id, [{ name: "sortie_launch", args: { tasks } }], other);
  await turn(body.id, [{ name: "sortie_wait", args: { tasks: ["foreign"] } }], other);
  foreign = (await status(body.id, other))[0].id;
}
