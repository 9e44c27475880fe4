// @ts-check
/** What the plugin holds in a host: nothing after it was disposed, the same after 200 times, and no wake-ups at rest. */
import assert from "node:assert/strict";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { pathToFileURL } from "node:url";
import { ROOT } from "../../scripts/process.mjs";
import { startModelServer } from "../../testkit/model-server.mjs";
import { serve } from "../../testkit/opencode.mjs";
import { descriptors, OUR_THREADS, threads } from "../../testkit/proc.mjs";
import { createSandbox } from "../../testkit/sandbox.mjs";
import { until } from "../../testkit/wait.mjs";

const CYCLES = 200;
const STEPS = 5;
const TIMEOUT_MS = 60_000;

/** How long the threads are watched at rest, ms. */
const WATCHED_MS = 5_000;

/** A leak in every cycle shows in every step. Less than one small object a cycle. */
const TOLERANCE_BYTES = 32 * (CYCLES / STEPS) - 1;

const skip = process.platform === "linux" ? false : "process counts come from /proc";

const model = await startModelServer();
const sandbox = createSandbox({ model: model.url });
const counts = join(sandbox.root, "native-bytes");
const probe = join(sandbox.root, "probe.mjs");
const watched = sandbox.addProject("watched", { git: false, config: { plugin: [ROOT] } });
// The probe has no part in the projects under test: it stays while they come and go, in the same process and so with
// the same addon.
const probing = sandbox.addProject("probing", { config: { plugin: [probe] } });

/** @type {import("../../testkit/opencode.mjs").Server} */
let server;

before(async () => {
  writeFileSync(
    probe,
    `import { writeFileSync } from "node:fs";
     import { nativeBytes } from ${JSON.stringify(pathToFileURL(join(ROOT, "index.js")).href)};
     const server = async () => ({
       "chat.message": async (_input, output) => {
         Bun.gc(true);
         writeFileSync(${JSON.stringify(counts)}, output.message.id + " " + nativeBytes());
       },
     });
     export default { id: "probe", server };`,
  );
  server = await serve(sandbox, { cwd: probing });
});

after(async () => {
  await server?.stop();
  await model.close();
  await sandbox.remove();
});

test("after 200 times loaded and disposed the host holds no more of ours", { skip }, async () => {
  await nativeBytes();
  /** @type {{bytes: number, files: string[], threads: string[]}[]} */
  const steps = [];
  for (let cycle = 1; cycle <= CYCLES; cycle++) {
    await touch();
    await dispose();
    if (cycle % (CYCLES / STEPS) === 0) {
      await until(() => !ours().includes("sortie-store"), { timeoutMs: TIMEOUT_MS, what: "the store's thread to end" });
      steps.push({ bytes: await nativeBytes(), files: ourFiles(), threads: ours() });
    }
  }
  for (const step of steps) assert.deepEqual(step.threads, steps[0]?.threads);
  for (const step of steps) assert.deepEqual(step.files, steps[0]?.files);
  const grown = steps.slice(1).map(({ bytes }, at) => bytes - (steps[at]?.bytes ?? 0));
  assert.ok(Math.min(...grown) <= TOLERANCE_BYTES, `native bytes grew by ${grown.join(", ")}`);
});

test("a task whose model hangs does not hold up dispose, and is busy no more after it", async () => {
  const { body: session } = await server.request("POST", "/session", { directory: watched, body: { title: "hang" } });
  const tasks = [{ key: "h", title: "hangs", agent: "build", prompt: 'SCRIPT: [{"hang": true}]' }];
  const text = `SCRIPT: ${JSON.stringify([{ tool: "sortie_launch", args: { tasks } }, { say: "launched" }])}`;
  const body = { parts: [{ type: "text", text }] };
  await server.request("POST", `/session/${session.id}/prompt_async`, { directory: watched, body });
  const hanging = await model.waitFor(({ step }) => step?.hang === true, { timeoutMs: TIMEOUT_MS });
  // A dispose without an end is an error of this request.
  await dispose();
  await until(() => hanging.endedAt, { timeoutMs: TIMEOUT_MS, what: "the hanging request to be closed" });
  // It was an interruption: loaded again, the task goes on, in the only turn there is.
  const again = model.requests.length;
  await touch();
  await until(() => model.requests.slice(again).some(({ step }) => step?.hang), {
    timeoutMs: TIMEOUT_MS,
    what: "the task to go on",
  });
  assert.equal(model.requests.slice(again).filter(({ step }) => step?.hang).length, 1);
  await dispose();
});

test("with nothing to do none of our threads wakes up", { skip }, async () => {
  // A project of its own: the tasks of the others go on when they are loaded.
  const quiet = sandbox.addProject("quiet", { config: { plugin: [ROOT] } });
  await touch(quiet);
  // What follows the start ends by itself: then every thread rests for the whole time.
  const rest = async () => {
    const from = wakeups();
    await new Promise((resolve) => setTimeout(resolve, WATCHED_MS));
    const woken = Object.entries(wakeups()).filter(([thread, count]) => count !== from[thread]);
    return woken.length === 0 ? "rest" : Promise.reject(new Error(`woken: ${JSON.stringify(woken)}`));
  };
  assert.equal(await until(rest, { timeoutMs: TIMEOUT_MS, what: "our threads to rest" }), "rest");
  await dispose(quiet);
});

/** Makes the host load a directory with its plugins; the engine is open when it resolves. */
async function touch(directory = watched) {
  // Just after a dispose the host may still answer from the instance that is going, or never: ask again.
  const load = async () => {
    const { status } = await server.request("GET", "/agent", { directory, timeoutMs: 2_000 });
    return status === 200 && isOpen();
  };
  await until(load, { timeoutMs: TIMEOUT_MS, what: "the engine to open" });
}

/** Ends a directory's plugins; the engine is closed when it resolves. */
async function dispose(directory = watched) {
  const { status } = await server.request("POST", "/instance/dispose", { directory, timeoutMs: TIMEOUT_MS });
  assert.equal(status, 200);
  await until(() => !isOpen(), { timeoutMs: TIMEOUT_MS, what: "the engine to close" });
}

/** Whether an engine is open in this host, by its log. */
function isOpen() {
  const log = join(sandbox.sortieHome, "log/sortie.log");
  const text = existsSync(log) ? readFileSync(log, "utf8") : "";
  return text.lastIndexOf("engine opened") > text.lastIndexOf("engine closed");
}

/** Names of the threads of ours in the host. */
function ours() {
  if (skip) return [];
  return threads(server.pid)
    .map(({ name }) => name)
    .filter((name) => OUR_THREADS.test(name))
    .sort();
}

/** How often each thread of ours was woken so far. @returns {Record<string, number>} */
function wakeups() {
  const mine = threads(server.pid).filter(({ name }) => OUR_THREADS.test(name));
  return Object.fromEntries(mine.map(({ tid, name, voluntarySwitches }) => [`${name} ${tid}`, voluntarySwitches]));
}

/** Descriptors of the host that are certainly ours: files in Sortie's home, and watches. */
function ourFiles() {
  return descriptors(server.pid).filter((target) => target.startsWith(sandbox.sortieHome));
}

/** Bytes of native memory in use, by the probe in the host. */
async function nativeBytes() {
  const { body: session } = await server.request("POST", "/session", { body: { title: "probe" } });
  const messageID = `msg_probe${performance.now().toString(36).replace(".", "")}`;
  const body = { messageID, noReply: true, parts: [{ type: "text", text: "count" }] };
  const { status } = await server.request("POST", `/session/${session.id}/message`, { body });
  assert.equal(status, 200);
  const [message, bytes] = readFileSync(counts, "utf8").split(" ");
  assert.equal(message, messageID);
  return Number(bytes);
}
