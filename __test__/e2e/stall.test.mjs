// @ts-check
/** Runs that stand still, run in a circle or fail in ways that another attempt, more time or another model cures. */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { messageText } from "../../testkit/opencode.mjs";
import { until } from "../../testkit/wait.mjs";
import { awaitTold, byTask, call, checkJournal, launch, messagesOf, newSession, rowsOf, statusOf } from "./durable.mjs";
import { gate, PATIENCE, ROOT, requestsIn, script, serveWith, setUp } from "./stage.mjs";

/** @typedef {import("../../testkit/model-server.mjs").ModelRequest} ModelRequest */
/** @typedef {import("../../testkit/model-script.mjs").Step} Step */

/** The host waits as long as the provider says before each of its own five retries. */
const AT_ONCE = { "retry-after-ms": "5" };

/** Two models of one provider. @param {string} url */
const models = (url) => {
  const limit = { context: 200_000, output: 8_000 };
  const provider = {
    name: "Scripted",
    npm: "@ai-sdk/openai-compatible",
    options: { baseURL: `${url}/v1`, apiKey: "none" },
    models: { model: { name: "First", limit }, second: { name: "Second", limit } },
  };
  return { provider: { scripted: provider } };
};

/**
 * A server with these options, and tasks on it.
 *
 * @param {Record<string, unknown>} options
 * @param {Record<string, unknown>} [config]
 */
async function stage(options, config = {}) {
  const { model, sandbox } = await setUp({ options, config: (url) => ({ ...models(url), ...config }) });
  const { server } = await serveWith(sandbox);
  return {
    model,
    sandbox,
    server,
    /** @param {string} name @param {Step[] | ((asked: ModelRequest[]) => Step)} answer @param {Record<string, unknown>} [fields] */
    async start(name, answer, fields = {}) {
      const mine = () =>
        model.requests.filter(({ parentHint, lastUser }) => parentHint && lastUser.includes(`DO ${name}.`));
      const prompt = Array.isArray(answer) ? `DO ${name}.\n${script(...answer)}` : `DO ${name}.`;
      if (!Array.isArray(answer)) {
        model.on(
          (request) => request.parentHint !== undefined && request.lastUser.includes(`DO ${name}.`),
          () => answer(mine()),
        );
      }
      const parent = await newSession(server);
      const [id = ""] = await launch(server, parent, [{ key: name, prompt, ...fields }]);
      const status = async () => (await statusOf(server, parent, [id]))[0];
      return {
        id,
        parent,
        mine,
        status,
        async end() {
          const [told = ""] = await awaitTold(server, parent, [id], { timeoutMs: 2 * PATIENCE });
          const story = byTask(await rowsOf(sandbox)).get(id) ?? [];
          checkJournal(id, story);
          const sessions = story.filter(({ change }) => change === "bind").map(({ detail }) => detail.session);
          const failed = story.flatMap(({ detail }) => detail.failure ?? []);
          assert.equal(sessions.length, 1, `${name} stays in its session, after ${JSON.stringify(failed)}`);
          const messages = await messagesOf(server, sessions[0]);
          const failures = failed.map((failure) => failure.class);
          return { told, status: await status(), session: sessions[0], messages, failures };
        },
      };
    },
    async close() {
      await server.stop();
      await model.close();
      await sandbox.remove();
    },
  };
}

/** How often a session was nudged. @param {any[]} messages */
const nudges = (messages) => messages.filter((message) => messageText(message).startsWith("<sortie-nudge>")).length;

describe("runs that stand still", { concurrency: 3 }, () => {
  /** @type {Awaited<ReturnType<typeof stage>>} */
  let on;
  before(async () => {
    on = await stage({ stall: 12 });
  });
  after(() => on?.close());

  test("a model that hangs is nudged once, given up, and asked again in the same session", async () => {
    const task = await on.start("hangs", [{ hang: true }, { say: "RESULT after the stall" }]);
    const { told, status, messages, failures } = await task.end();
    assert.match(told, /\[complete\][\s\S]*RESULT after the stall/);
    assert.ok(status.attempt >= 2, `attempt ${status.attempt}`);
    assert.deepEqual([nudges(messages), failures[0]], [1, "stall"]);
  });

  test("a model that never says anything fails its task as stalled, and its request is dropped", async () => {
    const task = await on.start("silent", () => ({ hang: true }), { retries: 0 });
    const { told, status } = await task.end();
    assert.match(told, /\[failed: stalled\][\s\S]*nothing was heard of its session for \d+ s, also after a nudge/);
    assert.equal(status.failure.class, "stall");
    const dropped = () => task.mine().every(({ aborted }) => aborted);
    await until(dropped, { timeoutMs: PATIENCE, what: "the request to be dropped" });
  });
});

// Longer than anything takes to begin on a busy machine, and shorter than what is done here.
describe("runs that are only slow", { concurrency: 2 }, () => {
  /** @type {Awaited<ReturnType<typeof stage>>} */
  let on;
  before(async () => {
    on = await stage({ stall: 30 });
  });
  after(() => on?.close());

  /** @type {[name: string, steps: Step[]][]} */
  const slow = [
    ["a model that answers piece by piece", [{ stream: { text: "word ".repeat(200), chunks: 200, every: 200 } }]],
    [
      "a tool that is long at work",
      [{ tool: "bash", args: { command: "sleep 40; echo built", description: "builds" } }, { say: "built" }],
    ],
  ];
  for (const [at, [name, steps]] of slow.entries()) {
    test(`${name} is neither nudged nor stopped`, async () => {
      const { told, status, messages } = await (await on.start(`slow-${at}`, steps)).end();
      assert.match(told, /\[complete\]/);
      assert.deepEqual([status.attempt, nudges(messages)], [1, 0]);
    });
  }
});

describe("what another attempt, more time or another model cures", { concurrency: 3 }, () => {
  /** @type {Awaited<ReturnType<typeof stage>>} */
  let on;
  before(async () => {
    const options = { repeats: 4, maxDepth: 2, fallback: { general: ["scripted/second"] } };
    on = await stage(options, { compaction: { auto: false } });
  });
  after(() => on?.close());

  test("an agent that does the same with the same result over and over is stopped", async () => {
    const again = { tool: "bash", args: { command: "echo same", description: "again" } };
    const task = await on.start("circle", [...Array(9).fill(again), { say: "never" }]);
    const { told, status, messages } = await task.end();
    assert.match(told, /\[failed: stalled\][\s\S]*it called `bash` 4 times in a row with the same result/);
    assert.deepEqual([status.failure.class, status.attempt], ["loop", 1]);
    assert.ok(
      messages.every(({ info }) => info.finish !== "stop"),
      "it never came to its end",
    );
  });

  test("a task that is given more time while it runs outlives its first limit, and an ended one gets none", async () => {
    const held = gate(on.sandbox.project, "more-time");
    const task = await on.start("long", [held.step, { say: "RESULT in the end" }], { timeout: 45 });
    await until(held.isReached, { timeoutMs: PATIENCE, what: "the work" });
    const more = { task: "long", seconds: 600 };
    const extended = await call(on.server, task.parent, "sortie_extend", more);
    assert.match(extended, new RegExp(`^task ${task.id} may run 645 s in all; \\d{3} s are left$`));
    const outlived = async () => (await task.status()).ms > 50_000;
    await until(outlived, { timeoutMs: 2 * PATIENCE, everyMs: 1_000, what: "the first limit to pass" });
    held.open();
    const { told, status } = await task.end();
    assert.match(told, /\[complete\][\s\S]*RESULT in the end/);
    assert.deepEqual([status.timeout, status.attempt], [645, 1]);
    assert.match(await call(on.server, task.parent, "sortie_extend", more), /sortie error not-open: /);
    const much = { task: "long", seconds: 86_400 };
    assert.match(
      await call(on.server, task.parent, "sortie_extend", much),
      /sortie error bad-timeout: .*`seconds` is 86400/,
    );
  });

  test("a session that is too long for the model is compacted and goes on", async () => {
    const message = "This model's maximum context length is 1000 tokens.";
    const body = { error: { message, type: "invalid_request_error", code: "context_length_exceeded" } };
    const answer = (/** @type {ModelRequest[]} */ asked) =>
      asked.length === 1 ? { status: 400, body } : { say: "RESULT after the compaction" };
    const { told, status, messages, failures } = await (await on.start("overflow", answer)).end();
    assert.match(told, /\[complete\][\s\S]*RESULT after the compaction/);
    assert.deepEqual([status.attempt, failures], [2, ["context_overflow"]]);
    const parts = messages.flatMap((message) => message.parts).filter(({ type }) => type === "compaction");
    assert.equal(parts.length, 1, "compacted once");
    const last = messages.findLast(({ info }) => info.role === "user");
    assert.match(messageText(last), /was summarised[\s\S]*DO overflow\./);
  });

  test("an answer that is cut off by the output limit is gone on with, and is one result", async () => {
    const task = await on.start("cut", [{ say: "first half, ", finish: "length" }, { say: "second half" }]);
    const { told, status, failures } = await task.end();
    assert.match(told, /\[complete\][\s\S]*first half, second half/);
    assert.deepEqual([status.attempt, failures], [2, ["output_limit"]]);
  });

  test("an answer that cannot be read is asked for again, twice at most", async () => {
    const odd = { id: "x", object: "chat.completion.chunk", created: 1, model: "m", choices: "none" };
    const broken = await on.start("broken", () => ({ raw: `data: ${JSON.stringify(odd)}\n\n` }));
    const { told, status, failures } = await broken.end();
    assert.match(told, /\[failed: error\]/);
    assert.deepEqual([status.attempt, failures], [3, ["parse", "parse", "parse"]]);
  });

  test("an agent whose calls never parse is stopped as one that runs in a circle", async () => {
    let n = 0;
    const call = () => ({ index: 0, id: `c${++n}`, type: "function", function: { name: "bash", arguments: `{"${n}` } });
    const chunk = (/** @type {object} */ delta, /** @type {string | null} */ finish_reason) => {
      const choices = [{ index: 0, delta, finish_reason }];
      return `data: ${JSON.stringify({ id: "x", object: "chat.completion.chunk", created: 1, model: "m", choices })}\n\n`;
    };
    const answer = () => ({
      raw: `${chunk({ role: "assistant", tool_calls: [call()] }, null)}${chunk({}, "tool_calls")}data: [DONE]\n\n`,
    });
    const { told, status } = await (await on.start("unparsed", answer)).end();
    assert.match(
      told,
      /\[failed: stalled\][\s\S]*it called tools 4 times in a row in a form that OpenCode could not read/,
    );
    assert.equal(status.failure.class, "loop");
  });

  test("what the provider's filter blocks is told as such and not tried again", async () => {
    const task = await on.start("blocked", [{ say: "I", finish: "content_filter" }]);
    const { told, status } = await task.end();
    assert.match(told, /\[failed: error\][\s\S]*content filter/);
    assert.deepEqual([status.attempt, status.failure.class], [1, "refused"]);
  });

  for (const [status, name] of /** @type {const} */ ([
    [429, "limited"],
    [500, "down"],
    [401, "unknown"],
  ])) {
    test(`after ${status} the next model of the chain takes over in the same session`, async () => {
      const answer = (/** @type {ModelRequest[]} */ asked) =>
        asked.at(-1)?.model === "second" ? { say: "RESULT of the second" } : { status, headers: AT_ONCE };
      const task = await on.start(name, answer, { agent: "general" });
      const { told, status: shown, messages } = await task.end();
      assert.match(told, /\[complete\][\s\S]*RESULT of the second/);
      assert.deepEqual([shown.attempt, shown.fallback], [2, "scripted/second"]);
      assert.equal(messages.filter(({ info }) => info.role === "user").length, 1, "the same prompt");
      const asked = task.mine().map(({ model }) => model);
      assert.deepEqual(asked.filter((model) => model === "second").length, 1);
      assert.equal(asked.at(-1), "second");
    });
  }

  test("what a task launches goes on with the model that took over", async () => {
    const child = { title: "child", agent: "build", prompt: `DO inherit-child.\n${script({ say: "CHILD" })}` };
    const answer = (/** @type {ModelRequest[]} */ asked) => {
      if (asked.at(-1)?.model !== "second") return { status: 401 };
      return asked.filter(({ model }) => model === "second").length === 1
        ? { tool: "sortie_launch", args: { tasks: [child] } }
        : { say: "launched" };
    };
    const task = await on.start("inherit", answer, { agent: "general" });
    const { session } = await task.end();
    const asked = await on.model.waitFor(({ lastUser }) => lastUser.startsWith("DO inherit-child."), {
      timeoutMs: PATIENCE,
    });
    assert.deepEqual([asked.parentHint, asked.model], [session, "second"]);
    assert.ok(requestsIn(on.model, asked.sessionHint).every(({ model }) => model === "second"));
  });

  test("a chain with a model that OpenCode does not know is refused by its name, and nothing is launched", async () => {
    const options = { fallback: { build: ["scripted/second", "scripted/gone"] } };
    const config = { plugin: [[ROOT, options]] };
    const directory = on.sandbox.addProject("wrong-chain", { config });
    const parent = await newSession(on.server, directory);
    const tasks = [{ title: "x", agent: "build", prompt: "x" }];
    const answer = await call(on.server, parent, "sortie_launch", { tasks }, { directory });
    assert.match(answer, /sortie error bad-options: option `fallback\.build\[1\]`: `scripted\/gone` is no model/);
    assert.deepEqual(await rowsOf(on.sandbox, directory), []);
  });
});
