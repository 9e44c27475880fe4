// @ts-check
/**
 * Sortie at work: a real OpenCode with this plugin, one `/task` mission, live progress, a kill in the middle.
 * `npm run demo` builds first and then runs this.
 * @module
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { dirname, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { startModelServer } from "../testkit/model-server.mjs";
import { serve } from "../testkit/opencode.mjs";
import { opencodeBinary } from "../testkit/opencode-binary.mjs";
import { until } from "../testkit/wait.mjs";
import { checks } from "./checks.mjs";
import { ownHome, playedHome } from "./home.mjs";
import { playedMission, realMission } from "./mission.mjs";
import { HELP, readOptions } from "./options.mjs";
import { openReader } from "./reader.mjs";
import { Screen } from "./screen.mjs";

/** @typedef {import("./screen.mjs").TaskView} TaskView */

const ROOT = resolve(dirname(fileURLToPath(import.meta.url)), "..");
/** How often the tasks are looked at, ms. */
const LOOK_MS = 100;
/** How long a mission may take, ms: played, and with a real model. */
const PLAYED_LIMIT_MS = 120_000;
const REAL_LIMIT_MS = 900_000;

/** Undone in reverse, at the end and on Ctrl+C. @type {(() => unknown)[]} */
const cleanups = [];
/** @type {Promise<void> | undefined} */
let cleaning;

/** @returns {Promise<void>} */
function clean() {
  cleaning ??= (async () => {
    for (let cleanup = cleanups.pop(); cleanup; cleanup = cleanups.pop()) await cleanup();
  })();
  return cleaning;
}

for (const signal of /** @type {const} */ (["SIGINT", "SIGTERM", "SIGHUP"])) {
  process.on(signal, async () => {
    if (cleaning) return;
    await clean().catch(() => {});
    process.exit(signal === "SIGINT" ? 130 : 143);
  });
}

/** @param {import("./options.mjs").DemoOptions} options @returns {Promise<boolean>} Whether all was as expected. */
async function demo(options) {
  const screen = new Screen();
  const mission = options.model === undefined ? playedMission() : realMission();
  const limit = options.model === undefined ? PLAYED_LIMIT_MS : REAL_LIMIT_MS;
  const model = await startModelServer();
  cleanups.push(() => model.close());
  if (mission.answer) model.on(() => true, mission.answer);
  mission.held = !options.tui;
  const sandbox = options.model === undefined ? playedHome(ROOT, model.url) : ownHome(ROOT, options.model);
  cleanups.push(() => sandbox.remove());

  screen.say(`OpenCode starts in a temporary project, with ${options.model ?? "a played model"}`);
  let server = await serve(sandbox);
  const directory = sandbox.project;
  const created = await server.request("POST", "/session", { directory, body: { title: "Sortie demo" } });
  if (created.status !== 200) throw new Error(`OpenCode made no session: ${JSON.stringify(created)}`);
  const session = String(created.body.id);
  // In the user's own home the sessions of the demo would stay in their list.
  if (options.model !== undefined) cleanups.push(() => server.request("DELETE", `/session/${session}`).catch(() => {}));
  const reader = await openReader(sandbox, session);
  cleanups.push(() => reader.close());

  screen.say(`/task ${mission.request.split("\n")[0]}`, "bold");
  const command = { command: "task", arguments: mission.request };
  const target = `/session/${session}/command`;
  /** @type {unknown} */
  let refused;
  // The answer comes at the end of the commander's turn; the tasks begin before.
  const turn = server.request("POST", target, { directory, body: command, timeoutMs: limit }).then(
    ({ status, body }) => {
      if (status !== 200) refused = new Error(`/task was answered with ${status}: ${JSON.stringify(body)}`);
    },
    () => {}, // The kill breaks it off.
  );

  /** @type {TaskView[] | undefined} */
  let atKill;
  let requestsAtKill = 0;
  if (options.tui) {
    await openTui(sandbox, server.url, session);
    screen.say("the terminal interface is closed");
  }
  const end = performance.now() + limit;
  for (;;) {
    if (refused) throw refused;
    const tasks = await reader.tasks();
    screen.progress(tasks);
    const open = tasks.filter(({ state }) => !["complete", "failed", "cancelled"].includes(state));
    if (tasks.length > 0 && open.length === 0) break;
    if (!options.tui && !atKill && ripe(tasks, mission)) {
      atKill = tasks;
      mission.held = false;
      requestsAtKill = model.requests.length;
      await server.kill9();
      const running = tasks.filter(({ state }) => state === "running").map(({ key }) => key);
      screen.say(`killed: kill -9 to the OpenCode server while ${running.join(", ")} ran`, "red");
      server = await serve(sandbox);
      // The plugin is loaded by the first request that needs the project; that is all it takes.
      await server.request("GET", "/session", { directory, timeoutMs: 60_000 });
      screen.say("started again", "green");
    }
    if (performance.now() > end) throw new Error(`the mission has not ended after ${limit / 1000} s`);
    await new Promise((next) => setTimeout(next, LOOK_MS));
  }
  await turn;
  const messages = await until(() => lastWord(server, session), {
    timeoutMs: limit,
    what: "the commander's last word",
  });

  const tasks = await reader.tasks();
  screen.print("");
  screen.print(screen.table(tasks).join("\n"));
  screen.print(`\n  commander: ${lastText(messages)}\n`);
  const found = checks({
    mission,
    tasks,
    killed: !options.tui,
    atKill,
    messages,
    requests: model.requests,
    requestsAtKill,
  });
  const { root } = sandbox;
  await clean();
  const gone = !existsSync(root);
  found.push({ name: "everything is cleaned up", ok: gone, found: gone ? "" : `${root} is still there` });
  for (const { name, ok, found: what } of found) {
    screen.print(ok ? `  ${screen.paint("green", "✓")} ${name}` : `  ${screen.paint("red", "✗")} ${name} (${what})`);
  }
  return found.every(({ ok }) => ok);
}

/**
 * Whether the kill shows most now: something has ended, several tasks run, and the failure has been tried again.
 *
 * @param {TaskView[]} tasks
 * @param {import("./mission.mjs").Mission} mission
 */
function ripe(tasks, mission) {
  const count = (/** @type {TaskView["state"]} */ state) => tasks.filter((task) => task.state === state).length;
  const retried = !mission.flaky || tasks.some(({ key, attempt }) => key === mission.flaky && attempt > 1);
  const bound = tasks.every(({ state, session }) => state !== "running" || session !== null);
  const begun = !mission.answer || count("complete") >= 1;
  return bound && retried && begun && count("running") >= 2;
}

/**
 * The commander's messages, once it has answered a report after which nothing is open.
 *
 * @param {import("../testkit/opencode.mjs").Server} server
 * @param {string} session
 */
async function lastWord(server, session) {
  const { body } = await server.request("GET", `/session/${session}/message`);
  const reported = body.findLastIndex(
    (/** @type {any} */ { info, parts }) =>
      info.role === "user" && JSON.stringify(parts).includes("No task of this session is open"),
  );
  const last = body.at(-1)?.info;
  const done = reported >= 0 && body.length - 1 > reported && last.role === "assistant" && last.time.completed;
  return done ? body : undefined;
}

/** @param {any[]} messages @returns {string} */
function lastText(messages) {
  const texts = messages.at(-1)?.parts.filter((/** @type {any} */ { type }) => type === "text");
  return texts
    .map((/** @type {any} */ { text }) => text)
    .join(" ")
    .split("\n")[0];
}

/**
 * Hands this terminal to OpenCode's interface, until the user leaves it.
 *
 * @param {import("../testkit/sandbox.mjs").Sandbox} sandbox
 * @param {string} url
 * @param {string} session
 */
async function openTui(sandbox, url, session) {
  const { TERM, COLORTERM } = process.env;
  const child = spawn(opencodeBinary(), ["attach", url, "--dir", sandbox.project, "--session", session], {
    cwd: sandbox.project,
    env: sandbox.env({ PWD: sandbox.project, TERM, COLORTERM }),
    stdio: "inherit",
  });
  cleanups.push(() => void child.kill("SIGTERM"));
  await once(child, "exit");
}

/** @param {unknown} error */
function words(error) {
  return error instanceof Error ? error.message : String(error);
}

let options;
try {
  options = readOptions(process.argv.slice(2));
} catch (error) {
  console.error(`${words(error)}\n\n${HELP}`);
  process.exit(2);
}
if (options.help) {
  console.log(HELP);
  process.exit(0);
}
try {
  const ok = await demo(options);
  process.exitCode = ok ? 0 : 1;
} catch (error) {
  if (!cleaning) console.error(`The demo broke off: ${words(error)}`);
  process.exitCode = 1;
} finally {
  await clean().catch((error) => console.error(`Not everything was cleaned up: ${words(error)}`));
}
