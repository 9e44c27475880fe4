// @ts-check
/** The kit, proved against the real OpenCode with no plugin. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";
import { chooseStep, parseScript } from "./model-script.mjs";
import { startModelServer } from "./model-server.mjs";
import { messageText, run, serve, waitIdle } from "./opencode.mjs";
import { alive, pidsWithEnv, sample } from "./proc.mjs";
import { createSandbox } from "./sandbox.mjs";
import { startTui } from "./tmux.mjs";
import { deadline, TimeoutError, until } from "./wait.mjs";

/** @typedef {import("./model-script.mjs").Step} Step */

/** @param {Step[]} steps */
const script = (...steps) => `SCRIPT: ${JSON.stringify(steps)}`;

test("a script is read from a line, a fence, and a prompt quoted by the shell", () => {
  const steps = [{ say: "a ] b", tool: "x", args: { prompt: 'SCRIPT: [{"say":"inner"}]' } }];
  const json = JSON.stringify(steps);
  assert.deepEqual(parseScript(`Please.\nSCRIPT: ${json} and more`), steps);
  assert.deepEqual(parseScript(`\`\`\`script\n${json}\n\`\`\``), steps);
  assert.deepEqual(parseScript(JSON.stringify(`SCRIPT: [{"say":"hi"}]`)), [{ say: "hi" }]);
  assert.equal(parseScript("no script here"), undefined);
  assert.throws(() => parseScript("SCRIPT: [oops"), /not a JSON array/);
});

test("failing steps are counted apart from answers, and the last one repeats", () => {
  /** @type {Step[]} */
  const steps = [{ say: "one" }, { status: 429, times: 2 }, { say: "two" }, { status: 500 }];
  assert.equal(chooseStep(steps, 0, () => 0)?.place, 0);
  assert.equal(chooseStep(steps, 1, () => 1)?.place, 1);
  assert.equal(chooseStep(steps, 1, () => 2)?.place, 2);
  assert.equal(chooseStep(steps, 2, () => 9)?.place, 3);
  assert.equal(
    chooseStep([{ say: "one" }], 1, () => 0),
    undefined,
  );
});

test("waiting fails with the name of what was awaited", async () => {
  await assert.rejects(
    until(() => 0, { timeoutMs: 5, everyMs: 1, what: "snow" }),
    { name: "TimeoutError", message: /waiting for snow; last value: 0/ },
  );
  await assert.rejects(deadline(new Promise(() => {}), 1, "rain"), TimeoutError);
});

test("the model answers whole completions, rules win, and every request is recorded", async () => {
  const model = await startModelServer();
  try {
    /** @param {string} content @returns {Promise<any>} */
    const ask = async (content) => {
      const body = JSON.stringify({ model: "m", messages: [{ role: "user", content }] });
      return (await fetch(`${model.url}/v1/chat/completions`, { method: "POST", body })).json();
    };
    const waiting = model.waitFor(({ lastUser }) => lastUser === "later");
    assert.equal((await ask("plain")).choices[0].message.content, "ok");
    assert.equal(
      (await ask(script({ tool: "read", args: { a: 1 } }))).choices[0].message.tool_calls[0].function.arguments,
      '{"a":1}',
    );
    const off = model.on(/plain/, [{ say: "ruled" }]);
    assert.equal((await ask("plain")).choices[0].message.content, "ruled");
    off();
    const last = await ask("later");
    assert.equal(last.choices[0].message.content, "ok");
    assert.ok(last.usage.prompt_tokens > 0);
    assert.equal((await waiting).seq, 4);
    assert.equal(model.requestsFor(/plain/).length, 2);
  } finally {
    await model.close();
  }
});

test("the model as a process ends with its stdin", async () => {
  const child = spawn(process.execPath, [fileURLToPath(new URL("./model-server-main.mjs", import.meta.url))], {
    stdio: ["pipe", "pipe", "inherit"],
  });
  /** @type {Promise<number | null>} */
  const exited = new Promise((resolve) => child.once("exit", resolve));
  const [line] = await deadline(
    new Promise((resolve) => child.stdout.once("data", (data) => resolve(String(data).split("\n")))),
    10_000,
    "its first line",
  );
  const { url } = JSON.parse(line);
  assert.equal((await fetch(`${url}/requests`)).status, 200);
  child.stdin.end();
  assert.equal(await deadline(exited, 10_000, "its end"), 0);
});

/** @type {import("./model-server.mjs").ModelServer} */
let model;
/** @type {import("./sandbox.mjs").Sandbox} */
let sandbox;
/** @type {import("./opencode.mjs").Server} */
let server;

before(async () => {
  model = await startModelServer();
  sandbox = createSandbox({ model: model.url });
  server = await serve(sandbox);
});

after(async () => {
  await server?.stop();
  await sandbox?.remove();
  await model?.close();
  if (sandbox) assert.equal(existsSync(sandbox.root), false);
  if (server) assert.equal(alive(server.pid), false);
});

/** Starts a session with a prompt and returns its id. @param {string} text */
async function prompt(text) {
  const session = await server.request("POST", "/session", { body: {} });
  assert.equal(session.status, 200);
  const sent = await server.request("POST", `/session/${session.body.id}/prompt_async`, {
    body: { parts: [{ type: "text", text }] },
  });
  assert.equal(sent.status, 204);
  return /** @type {string} */ (session.body.id);
}

test("serve: a scripted answer, with its events", { timeout: 60_000 }, async () => {
  const events = server.events();
  await events.ready;
  const id = await prompt(script({ say: "hello from the script" }));
  await events.waitFor(({ payload }) => payload.type === "session.idle" && payload.properties.sessionID === id);
  events.close();
  const messages = await waitIdle(server, id);
  assert.equal(messageText(messages.at(-1)), "hello from the script");
  assert.ok(messages.at(-1).info.tokens.input > 0);
  const mine = model.requests.filter(({ sessionHint }) => sessionHint === id);
  assert.equal(mine.filter(({ kind }) => kind === "chat").length, 1);
  assert.ok(sample(server.pid).fds > 0);
});

test("serve: a tool call, then an answer", { timeout: 60_000 }, async () => {
  const id = await prompt(
    script({ tool: "bash", args: { command: "echo from-the-tool", description: "echo" } }, { say: "done" }),
  );
  const messages = await waitIdle(server, id);
  assert.equal(messageText(messages.at(-1)), "done");
  const call = messages
    .flatMap((/** @type {any} */ { parts }) => parts)
    .find((/** @type {any} */ part) => part.type === "tool");
  assert.match(call.state.output, /from-the-tool/);
});

test("serve: a rate limit is retried, a cut stream is retried", { timeout: 60_000 }, async () => {
  const limited = await prompt(script({ status: 429, headers: { "retry-after": "1" } }, { say: "after the limit" }));
  const cut = await prompt(script({ say: "partial", cut: true }, { say: "after the cut" }));
  assert.equal(messageText((await waitIdle(server, limited)).at(-1)), "after the limit");
  assert.match(messageText((await waitIdle(server, cut)).at(-1)), /after the cut$/);
});

test("serve: a hanging model, aborted", { timeout: 60_000 }, async () => {
  const id = await prompt(script({ hang: true }));
  const request = await model.waitFor(({ sessionHint, kind }) => sessionHint === id && kind === "chat");
  await server.request("POST", `/session/${id}/abort`);
  const messages = await waitIdle(server, id);
  assert.equal(messages.at(-1).info.error.name, "MessageAbortedError");
  // Bun does not tell a server that its client left before the first byte.
  if (!process.versions.bun) await until(() => request.aborted, { what: "the model request to be dropped" });
});

test("run: headless to its end", { timeout: 60_000 }, async () => {
  const { code, stdout, stderr } = await run(sandbox, ["run", script({ say: "headless hello" })]);
  assert.equal(code, 0, stderr);
  assert.match(stdout, /headless hello/);
});

test("the TUI in tmux shows a scripted answer", { timeout: 60_000 }, async () => {
  const tui = await startTui(sandbox);
  await tui.waitForText(/Ask anything/, 60_000);
  await tui.type(script({ say: "hello in the terminal" }));
  await tui.waitForText(/SCRIPT/);
  await tui.send("Enter");
  await model.waitFor(({ lastUser }) => lastUser.includes("hello in the terminal"));
  await tui.waitForText(/^(?!.*SCRIPT).*hello in the terminal/m);
  await tui.close();
  assert.equal(alive(tui.pid), false);
  const left = () => pidsWithEnv(`SORTIE_SANDBOX=${sandbox.root}`).filter((pid) => pid !== server.pid);
  await until(() => left().length === 0, { what: () => `processes of the TUI to end: ${left().join(", ")}` });
});
