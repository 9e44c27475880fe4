// @ts-check
/** What happens to Sortie's home while OpenCode runs: a full disk, a read-only one, a database that another holds. */
import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, test } from "node:test";
import { startModelServer } from "../../testkit/model-server.mjs";
import { run, serve } from "../../testkit/opencode.mjs";
import { createSandbox } from "../../testkit/sandbox.mjs";
import { until } from "../../testkit/wait.mjs";
import { awaitTold, byTask, call, checkJournal, LONG, launch, newSession, PLUGIN, rowsOf } from "./durable.mjs";

/** @typedef {import("../../testkit/sandbox.mjs").Sandbox} Sandbox */

const mounts = canMount();
const skip = mounts ? false : "only root on Linux may mount a file system of its own";

describe("faults of Sortie's home", { concurrency: 2 }, () => {
  test("a full disk refuses a launch whole, and work goes on when there is room again", { skip }, async (t) => {
    const { model, sandbox } = await world(t);
    mount(sandbox, "size=4m");
    const server = await serve(sandbox);
    const parent = await newSession(server);
    const { id: held, letGo } = await launchHeld(model, sandbox, server, parent);

    const ballast = fill(sandbox.sortieHome);
    const before = await rowsOf(sandbox);
    const large = { title: "large", agent: "build", prompt: `DO large. ${"x".repeat(50_000)}` };
    const refused = await call(server, parent, "sortie_launch", { tasks: [large, { ...large, key: "b" }] });
    assert.match(refused, /store-full/);
    await letGo();
    assert.deepEqual(
      byTask(await rowsOf(sandbox)).size,
      byTask(before).size,
      "a launch that was refused left nothing behind",
    );

    rmSync(ballast);
    const [told = ""] = await awaitTold(server, parent, [held]);
    assert.match(told, /\[complete\][\s\S]*RESULT of the held one/);
    const ids = await launch(server, parent, [{ prompt: 'DO more.\nSCRIPT: [{"say":"RESULT afterwards"}]' }]);
    assert.match((await awaitTold(server, parent, ids))[0] ?? "", /RESULT afterwards/);
    for (const [task, story] of byTask(await rowsOf(sandbox))) checkJournal(task, story);
    await server.stop();
  });

  test("with a read-only home the plugin says so in a toast and a log line, and OpenCode answers", {
    skip,
  }, async (t) => {
    const { sandbox } = await world(t);
    mount(sandbox, "ro,size=1m");
    const server = await serve(sandbox);
    const events = server.events();
    await events.ready;
    assert.equal((await server.request("GET", "/session")).status, 200);
    const toast = await events.waitFor(({ payload }) => payload.type === "tui.toast.show", { timeoutMs: LONG });
    assert.match(toast.payload.properties.message, /store-read-only[\s\S]*SORTIE_HOME/);
    await until(() => /store-read-only/.test(sandbox.log()), { timeoutMs: LONG, what: "the line in OpenCode's log" });
    await server.stop();
    const { code, stdout } = await run(sandbox, ["run", 'hello\nSCRIPT: [{"say":"hello yourself"}]']);
    assert.deepEqual([code, stdout.trim()], [0, "hello yourself"]);
  });

  test("a database that another process holds refuses a launch whole, and a running task still ends", async (t) => {
    const { model, sandbox } = await world(t);
    const server = await serve(sandbox);
    const parent = await newSession(server);
    const { id: held, letGo } = await launchHeld(model, sandbox, server, parent);

    const release = await hold(sandbox);
    const task = { title: "late", agent: "build", prompt: "DO late." };
    assert.match(await call(server, parent, "sortie_launch", { tasks: [task] }), /store-busy/);
    await letGo();
    assert.equal(byTask(await rowsOf(sandbox)).size, 1);
    await release();

    const [told = ""] = await awaitTold(server, parent, [held]);
    assert.match(told, /\[complete\][\s\S]*RESULT of the held one/);
    checkJournal(held, byTask(await rowsOf(sandbox)).get(held) ?? []);
    assert.equal(byTask(await rowsOf(sandbox)).size, 1, "the refused launch was not made up for");
    await server.stop();
  });
});

/** @param {import("node:test").TestContext} t */
async function world(t) {
  const model = await startModelServer();
  const sandbox = createSandbox({ model: model.url, plugin: PLUGIN });
  t.after(async () => {
    await sandbox.remove();
    await model.close();
  });
  return { model, sandbox };
}

/**
 * Launches a task that runs until it is let go; then it has a result, which may not be stored yet.
 *
 * @param {import("../../testkit/model-server.mjs").ModelServer} model
 * @param {Sandbox} sandbox
 * @param {import("../../testkit/opencode.mjs").Server} server
 * @param {string} parent
 */
async function launchHeld(model, sandbox, server, parent) {
  const result = "RESULT of the held one";
  const wait = { command: "until [ -e go ]; do sleep 0.1; done", description: "Waits", timeout: 300_000 };
  model.on(
    ({ parentHint, lastUser }) => parentHint !== undefined && lastUser.includes("DO held."),
    ({ body }) => (body.messages.some(({ role }) => role === "tool") ? { say: result } : { tool: "bash", args: wait }),
  );
  const [id = ""] = await launch(server, parent, [{ key: "held", prompt: "DO held." }]);
  const asked = () => model.requests.some(({ step }) => step?.tool === "bash");
  await until(asked, { timeoutMs: LONG, what: "the task to run" });
  const letGo = async () => {
    writeFileSync(join(sandbox.project, "go"), "");
    const answered = () => model.requests.some(({ step, endedAt }) => step?.say === result && endedAt !== undefined);
    await until(answered, { timeoutMs: LONG, what: "the task to have its result" });
  };
  return { id, letGo };
}

/** Puts a file system of its own in the place of Sortie's home. @param {Sandbox} sandbox @param {string} options */
function mount(sandbox, options) {
  execFileSync("mount", ["-t", "tmpfs", "-o", options, "tmpfs", sandbox.sortieHome]);
  // Lazily: what still holds a file there is gone a moment later.
  sandbox.defer(() => execFileSync("umount", ["--lazy", sandbox.sortieHome]));
}

function canMount() {
  if (process.platform !== "linux" || process.getuid?.() !== 0) return false;
  const sandbox = createSandbox({ model: "http://127.0.0.1:9" });
  try {
    execFileSync("mount", ["-t", "tmpfs", "-o", "size=64k", "tmpfs", sandbox.sortieHome], { stdio: "ignore" });
    execFileSync("umount", [sandbox.sortieHome]);
    return true;
  } catch {
    return false;
  } finally {
    rmSync(sandbox.root, { recursive: true, force: true });
  }
}

/** Fills the file system below a directory to its last byte. @param {string} dir @returns {string} What to remove. */
function fill(dir) {
  const ballast = join(dir, "ballast");
  for (const size of [65_536, 4_096, 512, 1]) {
    try {
      for (;;) writeFileSync(ballast, Buffer.alloc(size), { flag: "a" });
    } catch (error) {
      assert.equal(/** @type {NodeJS.ErrnoException} */ (error).code, "ENOSPC");
    }
  }
  return ballast;
}

/**
 * Takes the write lock of the database in a process of its own.
 *
 * @param {Sandbox} sandbox
 * @returns {Promise<() => Promise<void>>} Lets go.
 */
async function hold(sandbox) {
  const code = `
    import { holdStoreForTests } from ${JSON.stringify(`${PLUGIN}/index.js`)};
    holdStoreForTests(process.env.SORTIE_HOME);
    process.stdout.write("held");
    setInterval(() => {}, 60_000);`;
  const holder = spawn(process.execPath, ["--input-type=module", "--eval", code], {
    env: sandbox.env(),
    stdio: ["ignore", "pipe", "inherit"],
  });
  const ended = new Promise((resolve) => holder.once("exit", resolve));
  const release = async () => {
    holder.kill("SIGKILL");
    await ended;
  };
  sandbox.defer(release);
  let said = "";
  holder.stdout.setEncoding("utf8").on("data", (text) => (said += text));
  await until(() => said === "held", { timeoutMs: LONG, what: "the lock to be held" });
  return release;
}
