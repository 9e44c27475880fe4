// @ts-check
/** The demo does what it says, and leaves nothing. It is started as `npm run demo` starts it, after the build. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { after, test } from "node:test";
import { fileURLToPath } from "node:url";
import { realMission } from "../../demo/mission.mjs";
import { startModelServer } from "../../testkit/model-server.mjs";
import { createSandbox } from "../../testkit/sandbox.mjs";

const ROOT = resolve(dirname(fileURLToPath(import.meta.url)), "../..");
/** The demo's temporary files go here, so that a rest can be seen. */
const place = mkdtempSync(join(tmpdir(), "sortie-d-"));
after(() => rmSync(place, { recursive: true, force: true }));

/**
 * @param {string[]} args
 * @param {{env?: Record<string, string>, until?: RegExp}} [options] `until`: Ctrl+C when this is printed.
 */
function demo(args, { env = {}, until } = {}) {
  const child = spawn(process.execPath, ["demo/main.mjs", ...args], {
    cwd: ROOT,
    env: { ...process.env, TMPDIR: place, ...env },
    stdio: ["ignore", "pipe", "pipe"],
  });
  let output = "";
  const keep = (/** @type {string} */ text) => {
    output += text;
    if (until?.test(output)) child.kill("SIGINT");
  };
  child.stdout.setEncoding("utf8").on("data", keep);
  child.stderr.setEncoding("utf8").on("data", keep);
  return new Promise((done) => child.once("close", (code) => done({ code, output })));
}

test("the demo kills its server, gets every result, says so by name, and leaves nothing", {
  timeout: 180_000,
}, async () => {
  const { code, output } = await demo([], { env: { NO_COLOR: "1" } });
  assert.equal(code, 0, output);
  for (const seen of [
    /killed: kill -9/,
    /started again/,
    /security +pending.*without any text/,
    /✓ every end was told/,
  ]) {
    assert.match(output, seen);
  }
  assert.doesNotMatch(output, /✗/);
  // biome-ignore lint/suspicious/noControlCharactersInRegex: NO_COLOR means that there is no escape character
  assert.doesNotMatch(output, /\u001b/);
  assert.deepEqual(readdirSync(place), []);
});

test("Ctrl+C ends the demo with 130 and leaves nothing", { timeout: 120_000 }, async () => {
  const { code, output } = await demo([], { until: /running/ });
  assert.equal(code, 130, output);
  assert.deepEqual(readdirSync(place), []);
});

test("with --model it works on the user's own configuration", { timeout: 180_000 }, async () => {
  const model = await startModelServer();
  const sandbox = createSandbox({ model: model.url });
  try {
    const { tasks } = realMission();
    model.on(
      ({ tools }) => tools.includes("sortie_launch"),
      ({ body, lastUser }) =>
        body.messages.some(({ role }) => role === "tool")
          ? { say: lastUser.includes("<sortie-report>") ? "All told." : "Launched." }
          : { tool: "sortie_launch", args: { tasks } },
    );
    model.on(
      ({ tools }) => !tools.includes("sortie_launch"),
      ({ lastUser }) => ({
        stream: { text: `About: ${lastUser.slice(0, 20)}`, chunks: 6, every: lastUser.includes("mutex?") ? 100 : 600 },
      }),
    );
    const home = join(sandbox.home, ".config/opencode");
    mkdirSync(home, { recursive: true });
    const provider = {
      npm: "@ai-sdk/openai-compatible",
      options: { baseURL: `${model.url}/v1`, apiKey: "none" },
      models: { mine: { name: "Mine", limit: { context: 200_000, output: 8_000 } } },
    };
    writeFileSync(join(home, "opencode.json"), JSON.stringify({ provider: { own: provider } }));
    const { code, output } = await demo(["--model", "own/mine"], { env: sandbox.env({ TMPDIR: place }) });
    assert.equal(code, 0, output);
    assert.match(output, /with own\/mine/);
    assert.match(output, /killed: kill -9/);
    assert.ok(model.requestsFor(/mutex/).length > 0);
    assert.deepEqual(readdirSync(place), []);
  } finally {
    await sandbox.remove();
    await model.close();
  }
});

test("a wrong option is an error that names it, and nothing is started", { timeout: 30_000 }, async () => {
  for (const [args, named] of /** @type {[string[], RegExp][]} */ ([
    [["--fast"], /--fast/],
    [["--model", "gpt"], /provider\/name/],
    [["--tui"], /terminal/],
    [["more"], /more/],
  ])) {
    const { code, output } = await demo(args);
    assert.equal(code, 2, output);
    assert.match(output, named);
  }
});
