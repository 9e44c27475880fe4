// @ts-check
/**
 * Processes that begin at the same moment and each tell one result. A member says that it is ready, begins when it is
 * told to, and ends by itself; one whose starter has gone ends too.
 * @module
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { deadline } from "./wait.mjs";

/** First line of a member; the second is its result. */
const READY = "ready";

/** @typedef {{go: () => Promise<any[]>, end: () => Promise<void>}} Crew */

/**
 * Starts a process for each job and waits until all are ready.
 *
 * @param {string} main Path of the members' script, which calls {@link member}.
 * @param {unknown[]} jobs What each gets, as JSON.
 * @param {{readyMs?: number, resultMs?: number}} [limits] Default 60 s and 60 s.
 * @returns {Promise<Crew>} `go` lets them begin and gives their results in the jobs' order; `end` kills who is left.
 */
export async function startCrew(main, jobs, { readyMs = 60_000, resultMs = 60_000 } = {}) {
  const members = jobs.map((job) => start(main, job));
  const end = async () => {
    for (const { child } of members) child.kill("SIGKILL");
    await Promise.all(members.map(({ closed }) => closed));
  };
  const all = async (/** @type {Promise<any>[]} */ promises, /** @type {number} */ ms, /** @type {string} */ what) => {
    try {
      return await deadline(Promise.all(promises), ms, what);
    } catch (error) {
      await end();
      throw error;
    }
  };
  const ready = members.map(({ line }) => line(0));
  await all(ready, readyMs, "all processes to be ready");
  const go = () => {
    for (const { child } of members) child.stdin.end("go\n");
    const results = members.map(async ({ line, closed }) => {
      const result = JSON.parse(await line(1));
      await closed;
      return result;
    });
    return all(results, resultMs, "the results of all processes");
  };
  return { go, end };
}

/** @param {string} main @param {unknown} job */
function start(main, job) {
  const child = spawn(process.execPath, [main, JSON.stringify(job)], { stdio: ["pipe", "pipe", "inherit"] });
  // A member that has died does not read; what it did not say is the error.
  child.stdin.on("error", () => {});
  const closed = new Promise((resolve) => child.once("close", resolve));
  let said = "";
  let isOver = false;
  /** @type {Set<() => void>} */
  const listeners = new Set();
  const tell = () => {
    for (const listener of listeners) listener();
  };
  child.stdout.setEncoding("utf8").on("data", (/** @type {string} */ text) => {
    said += text;
    tell();
  });
  child.once("error", tell);
  closed.then(() => {
    isOver = true;
    tell();
  });
  /** A line of what it said. @param {number} at @returns {Promise<string>} */
  const line = (at) =>
    new Promise((resolve, reject) => {
      const look = () => {
        const lines = said.split("\n");
        if (lines.length > at + 1) resolve(String(lines[at]));
        else if (isOver) {
          const how = child.signalCode ?? `exit code ${child.exitCode}`;
          reject(new Error(`a process with the job ${JSON.stringify(job)} ended (${how}) after saying \`${said}\``));
        } else return;
        listeners.delete(look);
      };
      listeners.add(look);
      look();
    });
  return { child, closed, line };
}

/**
 * What a member does: prepares, says that it is ready, waits for the word, works, and tells the result.
 *
 * @template Held
 * @param {(job: any) => Promise<Held>} prepare
 * @param {(job: any, held: Held) => Promise<unknown>} work
 */
export async function member(prepare, work) {
  const job = JSON.parse(process.argv.at(-1) ?? "");
  const held = await prepare(job);
  process.stdout.write(`${READY}\n`);
  await once(process.stdin, "data");
  const result = await work(job, held);
  process.stdout.write(`${JSON.stringify(result)}\n`);
}
