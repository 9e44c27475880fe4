// @ts-check
/** What models, sessions and users do to a running task: each fault is an end or another attempt, never a hang. */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { startModelServer } from "../../testkit/model-server.mjs";
import { serve } from "../../testkit/opencode.mjs";
import { createSandbox } from "../../testkit/sandbox.mjs";
import { until } from "../../testkit/wait.mjs";
import { awaitTold, byTask, checkJournal, LONG, launch, newSession, PLUGIN, rowsOf, statusOf } from "./durable.mjs";

/** @typedef {import("../../testkit/model-server.mjs").ModelRequest} ModelRequest */
/** @typedef {import("../../testkit/model-script.mjs").Step} Step */
/** @typedef {import("./durable.mjs").Row} Row */

/** The host waits as long as the provider says before each of its own five retries. */
const AT_ONCE = { "retry-after-ms": "5" };
/** Requests of one turn before the host gives up: the first, and five retries. */
const HOST_TRIES = 6;

describe("faults of models, sessions and users", { concurrency: 4 }, () => {
  /** @type {import("../../testkit/model-server.mjs").ModelServer} */
  let model;
  /** @type {import("../../testkit/sandbox.mjs").Sandbox} */
  let sandbox;
  /** @type {import("../../testkit/opencode.mjs").Server} */
  let server;

  before(async () => {
    model = await startModelServer();
    sandbox = createSandbox({ model: model.url, plugin: PLUGIN, config: { permission: { webfetch: "ask" } } });
    server = await serve(sandbox);
  });
  after(async () => {
    await server?.stop();
    await model?.close();
    await sandbox?.remove();
  });

  /**
   * Launches one task, whose model answers as given; what it was asked, and how it is told of.
   *
   * @param {string} name
   * @param {(asked: ModelRequest[]) => Step} answer Gets the requests of this task so far, this one included.
   * @param {Record<string, unknown>} [fields]
   */
  async function start(name, answer, fields = {}) {
    const mine = () =>
      model.requests.filter(({ parentHint, lastUser }) => parentHint && lastUser.includes(`DO ${name}.`));
    model.on(
      (request) => request.parentHint !== undefined && request.lastUser.includes(`DO ${name}.`),
      () => answer(mine()),
    );
    const parent = await newSession(server);
    const [id = ""] = await launch(server, parent, [{ key: name, prompt: `DO ${name}.`, ...fields }]);
    const rows = async () => byTask(await rowsOf(sandbox)).get(id) ?? [];
    return {
      id,
      parent,
      mine,
      rows,
      /** The end: what was told, the task's journal, and how `sortie_status` shows it. */
      async end() {
        const [told = ""] = await awaitTold(server, parent, [id]);
        const story = await rows();
        checkJournal(id, story);
        const [status] = await statusOf(server, parent, [id]);
        return { told, status, story, sessions: sessionsOf(story) };
      },
      /** The task's session, once it has asked the model so often. @param {number} [requests] */
      async session(requests = 1) {
        await until(() => mine().length >= requests, { timeoutMs: LONG, what: `${requests} requests of ${name}` });
        return mine().at(-1)?.sessionHint ?? "";
      },
    };
  }

  test("a rate limit is waited out in the same attempt and session, by Sortie and not by the host", async () => {
    const limit = (/** @type {ModelRequest[]} */ asked) =>
      asked.length <= 2 ? { status: 429, headers: AT_ONCE } : { say: "RESULT after the limit" };
    const { told, status, story, sessions } = await (await start("limit", limit)).end();
    assert.match(told, /\[complete\][\s\S]*RESULT after the limit/);
    assert.equal(status.attempt, 1);
    assert.equal(sessions.length, 1);
    const yields = story.filter(({ change }) => change === "yield");
    assert.ok(yields.length > 0, JSON.stringify(story));
  });

  test("a model that is down for ever fails the task after its attempts, with the reason", async () => {
    const down = () => ({ status: 500, headers: AT_ONCE, say: "the cluster burns" });
    const task = await start("down", down, { retries: 1 });
    const { told, status } = await task.end();
    assert.match(told, /\[failed: error\][\s\S]*the cluster burns \(HTTP 500\)/);
    assert.deepEqual([status.attempt, status.maxAttempts, status.failure.class], [2, 2, "provider"]);
    assert.equal(task.mine().length, 2 * HOST_TRIES);
  });

  test("a request that is refused for good is not tried again", async () => {
    const task = await start("refused", () => ({ status: 400, say: "no such thing" }), { retries: 4 });
    const { told, status } = await task.end();
    assert.match(told, /\[failed: error\][\s\S]*no such thing/);
    assert.deepEqual([status.attempt, task.mine().length], [1, 1]);
  });

  test("a model that never answers is stopped by the task's time limit", async () => {
    const task = await start("hang", () => ({ hang: true }), { timeout: 2 });
    const { told, status } = await task.end();
    assert.match(told, /\[failed: timeout\][\s\S]*no end after 2 s/);
    assert.equal(status.attempt, 1);
    await until(() => task.mine().every(({ aborted }) => aborted), {
      timeoutMs: LONG,
      what: "the request to be dropped",
    });
  });

  test("what a slow model said before the time limit is kept as a partial result", async () => {
    // It speaks for longer than the limit, and the limit is longer than a loaded machine takes to its first word.
    const slow = () => ({ stream: { text: "one two three four ".repeat(50), chunks: 250, every: 200 } });
    const { told } = await (await start("slow", slow, { timeout: 25 })).end();
    assert.match(told, /\[failed: timeout\][\s\S]*Partial result:\none /);
  });

  test("a stream that breaks off is taken up again in the same session", async () => {
    const cut = (/** @type {ModelRequest[]} */ asked) =>
      asked.length === 1 ? { say: "half of it", cut: true } : { say: "RESULT after the cut" };
    const { told, sessions } = await (await start("cut", cut)).end();
    assert.match(told, /\[complete\][\s\S]*RESULT after the cut/);
    assert.equal(sessions.length, 1);
  });

  test("a session that is deleted under its task is replaced by a new one, and the old one's turn is stopped", async () => {
    const lost = (/** @type {ModelRequest[]} */ asked) =>
      asked.length === 1 ? { hang: true } : { say: "RESULT in the new session" };
    const task = await start("lost", lost);
    const old = await task.session();
    assert.equal((await server.request("DELETE", `/session/${old}`)).status, 200);
    const { told, sessions } = await task.end();
    assert.match(told, /\[complete\][\s\S]*RESULT in the new session/);
    assert.deepEqual([sessions.length, sessions[0]], [2, old]);
    // The host goes on with the turn of a deleted session until it is told to stop.
    await until(() => task.mine()[0]?.aborted, { timeoutMs: LONG, what: "the turn of the deleted session to stop" });
  });

  test("a session that the user stops is the task's end, without another attempt", async () => {
    const task = await start("stopped", () => ({
      stream: { text: "a b c d e f g h ".repeat(50), chunks: 200, every: 100 },
    }));
    const session = await task.session();
    assert.equal((await server.request("POST", `/session/${session}/abort`)).status, 200);
    const { told, status } = await task.end();
    assert.match(told, /\[cancelled\][\s\S]*its session was stopped in OpenCode/);
    assert.deepEqual([status.attempt, task.mine().length], [1, 1]);
  });

  test("a session that the user stops while the host waits to retry is the task's end as well", async () => {
    const task = await start("impatient", () => ({ status: 503, headers: { "retry-after-ms": "60000" } }));
    const session = await task.session();
    const retries = async () => (await server.request("GET", "/session/status")).body[session]?.type === "retry";
    await until(retries, { timeoutMs: LONG, what: "the host to wait for its retry" });
    assert.equal((await server.request("POST", `/session/${session}/abort`)).status, 200);
    const { told, status } = await task.end();
    assert.match(told, /\[cancelled\]/);
    assert.deepEqual([status.attempt, task.mine().length], [1, 1]);
  });

  test("a refused permission that ends the turn is the task's end, with the reason and without another attempt", async () => {
    const events = server.events();
    await events.ready;
    const ask = () => ({ tool: "webfetch", args: { url: "http://127.0.0.1:9/", format: "text", timeout: 5 } });
    const task = await start("refusal", ask);
    const session = await task.session();
    const asked = await events.waitFor(
      ({ payload }) => payload.type === "permission.asked" && payload.properties.sessionID === session,
      { timeoutMs: LONG },
    );
    const { status: replied } = await server.request("POST", `/permission/${asked.payload.properties.id}/reply`, {
      body: { reply: "reject" },
    });
    assert.equal(replied, 200);
    const { told, status } = await task.end();
    assert.match(told, /\[failed: denied\][\s\S]*(permission|rejected)/i);
    assert.equal(status.attempt, 1);
  });
});

/** @param {Row[]} story @returns {string[]} */
function sessionsOf(story) {
  return story.filter(({ change }) => change === "bind").map(({ detail }) => detail.session);
}
