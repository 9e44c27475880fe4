// @ts-check
/** Several OpenCode processes on one project and one home: nobody runs another's task, and the dead are heard. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { startModelServer } from "../../testkit/model-server.mjs";
import { run, serve } from "../../testkit/opencode.mjs";
import { createSandbox } from "../../testkit/sandbox.mjs";
import { until } from "../../testkit/wait.mjs";
import {
  awaitTold,
  byTask,
  call,
  checkJournal,
  isEnd,
  LONG,
  launch,
  messagesOf,
  newSession,
  PLUGIN,
  rowsOf,
  tellings,
} from "./durable.mjs";

/** @typedef {import("../../testkit/model-server.mjs").ModelServer} ModelServer */
/** @typedef {import("../../testkit/sandbox.mjs").Sandbox} Sandbox */
/** @typedef {import("../../testkit/opencode.mjs").Server} Server */

/**
 * A model and two servers on one project.
 *
 * @param {import("node:test").TestContext} t
 */
async function twoServers(t) {
  const model = await startModelServer();
  t.after(() => model.close());
  const sandbox = createSandbox({ model: model.url, plugin: PLUGIN });
  t.after(() => sandbox.remove());
  // One after the other: OpenCode itself does not stand two first starts on one new home.
  const servers = [await serve(sandbox), await serve(sandbox)];
  // The plugin is loaded with the directory's first request.
  for (const server of servers) assert.equal((await server.request("GET", "/session")).status, 200);
  return { model, sandbox, servers };
}

/** A rule for tasks only: the parent's prompt names them too. @param {RegExp} pattern */
function isTask(pattern) {
  return (/** @type {import("../../testkit/model-server.mjs").ModelRequest} */ { parentHint, lastUser }) =>
    parentHint !== undefined && pattern.test(lastUser);
}

/** Task prompts that were sent, by their name, each with the sessions it was sent in. @param {ModelServer} model */
function seen(model) {
  /** @type {Map<string, Set<string>>} */
  const prompts = new Map();
  for (const { parentHint, body, sessionHint } of model.requests) {
    const name = parentHint && /DO (\w+)\./.exec(JSON.stringify(body.messages))?.[1];
    if (name) prompts.set(name, (prompts.get(name) ?? new Set()).add(sessionHint));
  }
  return prompts;
}

test("two servers and a headless run on one project run each task once, and each tells its own parents", async (t) => {
  const { model, sandbox, servers } = await twoServers(t);
  const number = 6;
  const tasks = (/** @type {string} */ who) =>
    Array.from({ length: number }, (_, at) => ({
      key: `${who}${at}`,
      title: `${who}${at}`,
      agent: "build",
      prompt: `DO ${who}${at}.\nSCRIPT: [{"say":"RESULT ${who}${at}","delay":400}]`,
    }));
  const served = servers.map(async (server, at) => {
    const parent = await newSession(server);
    const ids = await launch(server, parent, tasks("xy"[at] ?? ""));
    return { server, parent, ids, told: await awaitTold(server, parent, ids) };
  });
  const script = JSON.stringify([{ tool: "sortie_launch", args: { tasks: tasks("z") } }, { say: "all is done" }]);
  const headless = run(sandbox, ["run", `go\nSCRIPT: ${script}`], { timeoutMs: LONG });
  const [x, y] = await Promise.all(served);
  const { code, stdout, stderr } = await headless;
  assert.equal(code, 0, stderr);
  assert.match(stdout, /all is done/);

  for (const [who, told] of /** @type {const} */ ([
    ["x", x?.told],
    ["y", y?.told],
  ])) {
    for (const [at, text] of (told ?? []).entries()) assert.match(text, new RegExp(`RESULT ${who}${at}$`, "m"));
  }
  const rows = byTask(await rowsOf(sandbox));
  assert.equal(rows.size, 3 * number);
  for (const [task, story] of rows) {
    checkJournal(task, story);
    assert.deepEqual(
      story.map(({ change }) => change),
      ["launch", "claim", "bind", "complete"],
    );
  }
  const prompts = seen(model);
  assert.equal(prompts.size, 3 * number);
  for (const [name, sessions] of prompts) assert.equal(sessions.size, 1, `${name} ran in ${[...sessions]}`);
  const sent = model.requests.filter(({ parentHint }) => parentHint).length;
  assert.equal(sent, 3 * number, "each prompt was sent once");
  await Promise.all(servers.map((server) => server.stop()));
});

test("the tasks of a killed process are resumed by another one in their sessions, and told once", async (t) => {
  const { model, sandbox, servers } = await twoServers(t);
  const [first, second] = /** @type {[Server, Server]} */ (servers);
  const parent = await newSession(first);
  let letGo = false;
  model.on(isTask(/DO held\d\./), ({ lastUser }) =>
    letGo ? { say: `RESULT ${/held\d/.exec(lastUser)?.[0]}` } : { hang: true },
  );
  const names = ["held0", "held1", "held2"];
  const ids = await launch(first, parent, [
    ...names.map((name) => ({ key: name, prompt: `DO ${name}.` })),
    { key: "last", prompt: 'DO last. {{result:held0}}\nSCRIPT: [{"say":"RESULT last"}]' },
  ]);
  await until(() => names.every((name) => seen(model).has(name)), { timeoutMs: LONG, what: "the tasks to run" });
  await first.kill9();
  letGo = true;
  const told = await awaitTold(second, parent, ids);
  for (const [at, name] of [...names, "last"].entries())
    assert.match(told[at] ?? "", new RegExp(`RESULT ${name}$`, "m"));
  const rows = byTask(await rowsOf(sandbox));
  for (const id of ids) {
    const story = rows.get(id) ?? [];
    checkJournal(id, story);
    assert.equal(story.filter(({ change }) => change === "adopt").length, 1);
    assert.equal(story.filter(({ change }) => change === "bind").length, 1);
  }
  for (const [name, sessions] of seen(model)) assert.equal(sessions.size, 1, `${name} ran in ${[...sessions]}`);
  await second.stop();
});

test("a crash leaves a task to the user, or fails it, when it was launched so", async (t) => {
  const { model, sandbox, servers } = await twoServers(t);
  const [first, second] = /** @type {[Server, Server]} */ (servers);
  const parent = await newSession(first);
  let letGo = false;
  model.on(isTask(/DO (asks|never)\./), () => (letGo ? { say: "RESULT after the crash" } : { hang: true }));
  const [asks = "", never = ""] = await launch(first, parent, [
    { key: "asks", prompt: "DO asks.", resume: "ask" },
    { key: "never", prompt: "DO never.", resume: "never" },
  ]);
  await until(() => seen(model).size === 2, { timeoutMs: LONG, what: "the tasks to run" });
  const events = second.events();
  await events.ready;
  const toast = events.waitFor(
    ({ payload }) => payload.type === "tui.toast.show" && /interrupted.*wait for you/.test(payload.properties.message),
    { timeoutMs: LONG },
  );
  toast.catch(() => {});
  await first.kill9();
  letGo = true;
  const [died = ""] = await awaitTold(second, parent, [never]);
  assert.match(died, /\[failed: died\][\s\S]*its process died while it ran, and its policy is not to resume/);
  await toast;
  const story = async () => byTask(await rowsOf(sandbox)).get(asks) ?? [];
  assert.equal((await story()).at(-1)?.to, "paused");
  assert.equal((await story()).some(isEnd), false);
  assert.equal(tellings(await messagesOf(second, parent)).has(asks), false);

  assert.match(await call(second, parent, "sortie_retry", { tasks: ["asks"] }), /goes on/);
  const [told = ""] = await awaitTold(second, parent, [asks]);
  assert.match(told, /\[complete\][\s\S]*RESULT after the crash/);
  checkJournal(asks, await story());
  for (const [name, sessions] of seen(model)) assert.equal(sessions.size, 1, `${name} ran in ${[...sessions]}`);
  assert.equal(seen(model).size, 2);
  await second.stop();
});
