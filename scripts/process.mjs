// Child processes for the scripts: quiet on success, bounded in time, and ended as a whole group.

import { spawn, spawnSync } from "node:child_process";
import path from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { fileURLToPath } from "node:url";

/** The checkout, whatever the current directory is. */
export const ROOT = path.resolve(path.dirname(fileURLToPath(import.meta.url)), "..");

/**
 * @typedef {object} RunOptions
 * @property {NodeJS.ProcessEnv} [env] the whole environment of the child; default: ours
 * @property {number} [timeoutMs] the process group is killed after this time; default: 30 minutes
 * @property {boolean} [live] pass the output through as it comes, besides keeping it
 */

/**
 * @typedef {object} RunResult
 * @property {boolean} ok exit code 0 within the time
 * @property {string} output stdout and stderr together, without colour codes
 * @property {string} why how it ended, e.g. `exit code 1`
 */

/** How long a group may take to clean up after itself. */
const GRACE_MS = 5_000;

/** The child under way, for signals that ask us to stop. @type {import("node:child_process").ChildProcess | undefined} */
let current;

/** The child that has our terminal. @type {import("node:child_process").ChildProcess | undefined} */
let attached;

/** After a signal no run ends any more: nothing further is started. */
let interrupted = false;

/**
 * Signals a child and everything in its group.
 * @param {import("node:child_process").ChildProcess} child
 * @param {NodeJS.Signals} signal
 */
function killGroup(child, signal) {
  try {
    if (process.platform !== "win32" && child.pid !== undefined) process.kill(-child.pid, signal);
    else if (child.pid !== undefined) spawnSync("taskkill", ["/pid", String(child.pid), "/t", "/f"]);
  } catch {
    // The group is gone already.
  }
}

/**
 * Asks a group to end, and makes sure of it.
 * @param {import("node:child_process").ChildProcess} child
 */
async function endGroup(child) {
  killGroup(child, "SIGTERM");
  for (let waited = 0; waited < GRACE_MS && isAlive(child); waited += 50) await delay(50);
  killGroup(child, "SIGKILL");
}

/**
 * Whether anything of a child's group is left.
 * @param {import("node:child_process").ChildProcess} child
 */
function isAlive(child) {
  try {
    process.kill(process.platform === "win32" ? (child.pid ?? 0) : -(child.pid ?? 0), 0);
    return true;
  } catch {
    return false;
  }
}

for (const signal of /** @type {const} */ (["SIGINT", "SIGTERM", "SIGHUP"])) {
  process.once(signal, async () => {
    interrupted = true;
    if (attached) await handOver(attached, signal);
    if (current) await endGroup(current);
    process.exit(signal === "SIGINT" ? 130 : 143);
  });
}

/**
 * Runs a program at the root of the checkout, with no stdin.
 * @param {string} program
 * @param {readonly string[]} args
 * @param {RunOptions} [options]
 * @returns {Promise<RunResult>}
 */
export function run(program, args, { env = process.env, timeoutMs = 30 * 60_000, live = false } = {}) {
  return new Promise((resolve) => {
    let output = "";
    let timedOut = false;
    const child = spawn(program, args, {
      cwd: ROOT,
      env,
      stdio: ["ignore", "pipe", "pipe"],
      detached: process.platform !== "win32",
    });
    current = child;
    const timer = setTimeout(() => {
      timedOut = true;
      void endGroup(child);
    }, timeoutMs);
    /** @param {string} text */
    const keep = (text) => {
      output += text;
      if (live) process.stdout.write(text);
    };
    child.stdout.setEncoding("utf8").on("data", keep);
    child.stderr.setEncoding("utf8").on("data", keep);
    /** @param {boolean} ok @param {string} why */
    const end = (ok, why) => {
      clearTimeout(timer);
      if (interrupted) return;
      if (current === child) current = undefined;
      resolve({ ok, output: plain(output), why });
    };
    child.on("error", (error) => end(false, `could not start ${program}: ${error.message}`));
    // A grandchild may hold the pipes open after the child's end: give the rest of the output a moment, not for ever.
    child.on("exit", () => {
      setTimeout(() => {
        child.stdout.destroy();
        child.stderr.destroy();
      }, 2_000).unref();
    });
    child.on("close", (code, signal) => {
      if (timedOut) end(false, `stopped after its limit of ${seconds(timeoutMs)}`);
      else end(code === 0, signal ? `killed by ${signal}` : `exit code ${code}`);
    });
  });
}

/**
 * Runs a program at the root of the checkout with our terminal, in our group: it sees keys, and may draw.
 * @param {string} program
 * @param {readonly string[]} args
 * @param {NodeJS.ProcessEnv} env
 * @returns {Promise<number>} its exit code; 1 when it was killed or could not start
 */
export async function runAttached(program, args, env) {
  const child = spawn(program, args, { cwd: ROOT, env, stdio: "inherit" });
  attached = child;
  try {
    return await new Promise((resolve) => {
      child.on("error", (error) => {
        console.error(`could not start ${program}: ${error.message}`);
        resolve(1);
      });
      child.on("exit", (code) => resolve(interrupted ? new Promise(() => {}) : (code ?? 1)));
    });
  } finally {
    attached = undefined;
  }
}

/**
 * Passes a signal on and lets the child clean up: on Ctrl+C it has had the signal already, and a second does no harm.
 * @param {import("node:child_process").ChildProcess} child
 * @param {NodeJS.Signals} signal
 */
async function handOver(child, signal) {
  const ended = new Promise((resolve) => child.once("exit", resolve));
  if (child.exitCode !== null || child.signalCode !== null) return;
  child.kill(signal);
  await ended;
}

/**
 * Runs npm: under `npm run`, the very npm that runs us.
 * @param {readonly string[]} args
 */
export function npm(args) {
  const cli = process.env.npm_execpath;
  const options = { timeoutMs: 10 * 60_000 };
  if (cli?.endsWith("npm-cli.js")) return run(process.execPath, [cli, ...args], options);
  // npm.cmd cannot be started without a shell on Windows.
  if (process.platform === "win32") return run("cmd.exe", ["/d", "/s", "/c", "npm", ...args], options);
  return run("npm", args, options);
}

/**
 * The first line a program prints, or `undefined` when it cannot run.
 * @param {string} program
 * @param {readonly string[]} args
 * @param {NodeJS.ProcessEnv} [env]
 */
export function firstLine(program, args, env = process.env) {
  const { status, stdout } = spawnSync(program, args, { cwd: ROOT, env, encoding: "utf8", timeout: 60_000 });
  return status === 0 ? (stdout.split("\n")[0] ?? "").trim() : undefined;
}

/**
 * Ends the script with an error that says what happened.
 * @param {string} message
 * @returns {never}
 */
export function fail(message) {
  console.error(message);
  process.exit(1);
}

/**
 * Whether a script was started itself, rather than imported.
 * @param {string} url the script's `import.meta.url`
 */
export function isMain(url) {
  return process.argv[1] !== undefined && path.resolve(process.argv[1]) === fileURLToPath(url);
}

/** @param {number} ms */
export function seconds(ms) {
  return `${(ms / 1000).toFixed(ms < 10_000 ? 1 : 0)} s`;
}

/** @param {string} text */
function plain(text) {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: colour codes begin with the escape character
  return text.replace(/\u001b(?:\[[0-9;]*m|\(B)/g, "");
}
