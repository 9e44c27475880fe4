// @ts-check
/** What the plugin says when it cannot work: no addon, one for another platform, itself twice. OpenCode goes on. */
import assert from "node:assert/strict";
import { cpSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, test } from "node:test";
import { startModelServer } from "../../testkit/model-server.mjs";
import { messageText, serve, waitIdle } from "../../testkit/opencode.mjs";
import { createSandbox } from "../../testkit/sandbox.mjs";
import { until } from "../../testkit/wait.mjs";
import { awaitTold, LONG, launch, newSession, PLUGIN, say } from "./durable.mjs";

/** @typedef {import("../../testkit/sandbox.mjs").Sandbox} Sandbox */
/** @typedef {import("../../testkit/opencode.mjs").Server} Server */

describe("a plugin that cannot work", { concurrency: 2 }, () => {
  test("without its addon it says so in a toast and a log line, and OpenCode answers", async (t) => {
    const { sandbox, server } = await start(t, (dir) => {
      for (const file of addons(dir)) rmSync(join(dir, file));
    });
    await complains(sandbox, server, /sortie error addon-missing: [\s\S]*npm run build/);
    await answers(server);
  });

  test("with an addon for another platform it says so in a toast and a log line, and OpenCode answers", async (t) => {
    const { sandbox, server } = await start(t, (dir) => {
      for (const file of addons(dir)) writeFileSync(join(dir, file), "MZ\0 this is no library of this platform");
    });
    await complains(sandbox, server, /sortie error addon-platform: [\s\S]*supported are Linux, macOS and Windows/);
    await answers(server);
  });

  test("under two specs it says so, and one of the two works", async (t) => {
    const { sandbox, server } = await start(t, () => {}, [PLUGIN]);
    await complains(sandbox, server, /sortie error loaded-twice: [\s\S]*Keep one entry/);
    const parent = await newSession(server);
    const ids = await launch(server, parent, [{ prompt: 'DO it.\nSCRIPT: [{"say":"RESULT all the same"}]' }]);
    assert.match((await awaitTold(server, parent, ids))[0] ?? "", /\[complete\][\s\S]*RESULT all the same/);
  });
});

/**
 * Serves a project with a copy of the package, after something was done to it.
 *
 * @param {import("node:test").TestContext} t
 * @param {(dir: string) => void} change
 * @param {string[]} [others] Further specs.
 */
async function start(t, change, others = []) {
  const model = await startModelServer();
  t.after(() => model.close());
  const boot = createSandbox({ model: model.url });
  t.after(() => boot.remove());
  const copy = join(boot.root, "opencode-sortie");
  for (const file of ["package.json", "index.js", "dist", ...addons(PLUGIN)]) {
    cpSync(join(PLUGIN, file), join(copy, file), { recursive: true });
  }
  change(copy);
  const sandbox = createSandbox({ model: model.url, plugin: [...others, copy] });
  t.after(() => sandbox.remove());
  const server = await serve(sandbox);
  return { sandbox, server };
}

/** The addon's files in a package directory. @param {string} dir */
function addons(dir) {
  return readdirSync(dir).filter((file) => file.endsWith(".node"));
}

/** @param {Sandbox} sandbox @param {Server} server @param {RegExp} what */
async function complains(sandbox, server, what) {
  const events = server.events();
  await events.ready;
  assert.equal((await server.request("GET", "/session")).status, 200);
  const toast = await events.waitFor(({ payload }) => payload.type === "tui.toast.show", { timeoutMs: LONG });
  assert.match(toast.payload.properties.message, what);
  const logged = () => what.test(sandbox.log());
  await until(logged, { timeoutMs: LONG, what: () => `${what} in OpenCode's log:\n${sandbox.log().slice(-2_000)}` });
}

/** @param {Server} server */
async function answers(server) {
  const session = await newSession(server);
  await say(server, session, 'hello\nSCRIPT: [{"say":"hello yourself"}]');
  const messages = await waitIdle(server, session, { timeoutMs: LONG });
  assert.equal(messageText(messages.at(-1)), "hello yourself");
}
