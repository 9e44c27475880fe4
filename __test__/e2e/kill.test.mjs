// @ts-check
/**
 * The promise of the house: OpenCode is killed at random moments of a mission, started again, and every task ends
 * once, in its own session, with its parent told once. `SORTIE_KILL_ROUNDS` sets the number of rounds and
 * `SORTIE_KILL_SEED` the moments.
 */
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { textOf } from "../../testkit/model-script.mjs";
import { startModelServer } from "../../testkit/model-server.mjs";
import { serve } from "../../testkit/opencode.mjs";
import { mulberry32 } from "../../testkit/random.mjs";
import { createSandbox } from "../../testkit/sandbox.mjs";
import { until } from "../../testkit/wait.mjs";
import {
  awaitTold,
  byTask,
  checkJournal,
  isEnd,
  LONG,
  messagesOf,
  newSession,
  PLUGIN,
  rowsOf,
  say,
} from "./durable.mjs";

/** @typedef {import("../../testkit/model-server.mjs").ModelRequest} ModelRequest */
/** @typedef {import("../../testkit/model-server.mjs").ModelServer} ModelServer */
/** @typedef {import("../../testkit/model-script.mjs").Step} Step */
/** @typedef {import("../../testkit/sandbox.mjs").Sandbox} Sandbox */
/** @typedef {import("../../testkit/opencode.mjs").Server} Server */
/** @typedef {{tag: string, seed: number, random: () => number, waits: boolean, kills: number}} Round */

const ROUNDS = Number(process.env.SORTIE_KILL_ROUNDS ?? 20);
const SEED = Number(process.env.SORTIE_KILL_SEED ?? Date.now() % 1_000_000);
const LANES = 2;
const TASKS = ["a", "b", "c", "d", "e", "f"];

/** A request is the same one that the end waited for if it came before it; clocks of one machine differ by less. */
const CLOCK_MS = 50;

test(`a mission survives kill -9 of OpenCode at any moment: ${ROUNDS} rounds, seed ${SEED}`, async (t) => {
  const model = await startModelServer();
  t.after(() => model.close());
  /** @type {Set<string>} */
  const failedOnce = new Set();
  model.on(/DO \S+:\w/, (request) => worker(request, failedOnce));
  model.on(/MISSION /, parent);
  let next = 0;
  let kills = 0;
  const lane = async () => {
    const sandbox = createSandbox({ model: model.url, plugin: PLUGIN });
    try {
      let server = await serve(sandbox);
      while (next < ROUNDS) {
        const round = plan(next++);
        kills += round.kills;
        server = await play(model, sandbox, server, round).catch(async (error) => {
          error.message = `round ${round.tag} (seed ${round.seed}, ${round.kills} kills): ${error.message}`;
          t.diagnostic(`the log of the failed round:\n${sortieLog(sandbox).slice(-8_000)}`);
          for (const [id, rows] of byTask(await rowsOf(sandbox))) t.diagnostic(`${id}: ${JSON.stringify(rows)}`);
          throw error;
        });
      }
      await server.stop();
    } finally {
      await sandbox.remove();
    }
  };
  await Promise.all(Array.from({ length: LANES }, lane));
  t.diagnostic(`${ROUNDS} rounds, ${kills} kills, ${model.requests.length} model requests`);
});

/** @param {number} number @returns {Round} */
function plan(number) {
  const seed = SEED + number;
  const random = mulberry32(seed);
  const dice = random();
  return { tag: `r${number}`, seed, random, waits: random() < 0.4, kills: dice < 0.6 ? 1 : dice < 0.85 ? 2 : 3 };
}

/** One mission, and everything that must hold of it. Returns the server that runs in the end. */
async function play(
  /** @type {ModelServer} */ model,
  /** @type {Sandbox} */ sandbox,
  /** @type {Server} */ first,
  /** @type {Round} */ round,
) {
  let server = first;
  const before = (await rowsOf(sandbox)).length;
  const rows = async () => (await rowsOf(sandbox)).slice(before);
  const launched = async () => [...byTask(await rows()).keys()];
  const session = await newSession(server);
  // Some kills hit the launch itself: then all tasks are there, or none.
  const early = round.random() < 0.25;
  await say(server, session, `MISSION ${round.tag}${round.waits ? " WAIT" : ""}`);
  if (early) await pause(round.random() * 600);
  else await until(async () => (await launched()).length > 0, { timeoutMs: LONG, what: "the launch" });

  for (let left = round.kills; left > 0; left--) {
    await pause(round.random() * (left === round.kills && !early ? 2_000 : 1_200));
    await server.kill9();
    server = await serve(sandbox);
    // The plugin is loaded with the directory's first request, which the next kill may catch.
    server.request("GET", "/session").catch(() => {});
  }
  if (early) {
    await until(async () => (await server.request("GET", "/session")).status === 200, { timeoutMs: LONG });
    const number = (await launched()).length;
    assert.ok(number === 0 || number === TASKS.length, `${number} of ${TASKS.length} tasks were launched`);
    if (number === 0) await say(server, session, `MISSION ${round.tag}`);
  }

  const complete = async () => {
    const tasks = byTask(await rows());
    return tasks.size === TASKS.length && [...tasks.values()].every((task) => task.some(isEnd));
  };
  const story = () => JSON.stringify(Object.fromEntries(stories));
  /** @type {Map<string, string[]>} */
  let stories = new Map();
  await until(
    async () => {
      stories = new Map([...byTask(await rows())].map(([id, task]) => [id, task.map((row) => row.change)]));
      return complete();
    },
    { timeoutMs: LONG, everyMs: 100, what: () => `every task to end: ${story()}` },
  );
  const ids = await launched();
  const texts = await awaitTold(server, session, ids);
  await idle(server, session);

  const tasks = byTask(await rows());
  const messages = await messagesOf(server, session);
  assert.equal(tasks.size, TASKS.length);
  await awaitTold(server, session, ids);
  const children = await server.request("GET", `/session/${session}/children`);
  assert.deepEqual(
    children.body.map((/** @type {any} */ child) => child.metadata?.sortie?.task).sort(),
    [...ids].sort(),
    `every task has one session of its own, and there are no others: ${JSON.stringify(children.body)}`,
  );
  for (const [place, letter] of TASKS.entries()) {
    const id = ids[place] ?? "";
    const task = tasks.get(id) ?? [];
    checkJournal(id, task);
    const end = task.at(-1);
    assert.equal(end?.to, "complete", `${letter}: ${JSON.stringify(end)}`);
    assert.match(texts[place] ?? "", new RegExp(`RESULT ${round.tag} ${letter}`), "the report holds the result");
    const asked = model.requests.filter((request) => request.kind === "chat" && isFor(request, round.tag, letter));
    const child = children.body.find((/** @type {any} */ child) => child.metadata.sortie.task === id);
    assert.deepEqual([...new Set(asked.map((request) => request.sessionHint))], [child.id], `${letter} ran elsewhere`);
    const sessions = task.filter((row) => row.change === "bind").map((row) => row.detail.session);
    assert.deepEqual(sessions, [child.id], `${letter} was bound to one session once`);
    const late = asked.filter((request) => performance.timeOrigin + request.at > (end?.at ?? 0) + CLOCK_MS);
    assert.equal(late.length, 0, `the prompt of ${letter} was sent again after its end`);
  }
  assert.match(texts[2] ?? "", new RegExp(`after RESULT ${round.tag} a`), "c was given the result of a");
  assert.ok(messages.length > 0);
  return server;
}

/** @param {Sandbox} sandbox */
function sortieLog(sandbox) {
  const dir = join(sandbox.sortieHome, "log");
  return readdirSync(dir)
    .map((name) => readFileSync(join(dir, name), "utf8"))
    .join("");
}

/** @param {Server} server @param {string} session */
async function idle(server, session) {
  const busy = async () => (await server.request("GET", "/session/status")).body[session];
  await until(async () => !(await busy()), { timeoutMs: LONG, what: "the parent to be idle" });
}

/** What the tasks' model says. It looks at the conversation only, so that a broken turn does not change it. */
function worker(/** @type {ModelRequest} */ request, /** @type {Set<string>} */ failedOnce) {
  const [tag, letter] = taskOf(request);
  const done = request.body.messages.some(({ role }) => role === "tool");
  const result = `RESULT ${tag} ${letter}`;
  /** @type {Record<string, Step>} */
  const steps = {
    a: { say: result, delay: 300 },
    b: { stream: { text: `${result} slowly, word after word`, chunks: 6, every: 120 } },
    c: { say: `${result} after ${/RESULT \S+ a/.exec(textOf(request.body.messages.find(isUser)))?.[0]}`, delay: 200 },
    d: done ? { say: result, delay: 100 } : { tool: "bash", args: { command: "sleep 0.2", description: "Waits" } },
    e: { say: result, delay: 100 },
    f: { say: result, delay: 900 },
  };
  if (letter === "e" && !failedOnce.has(tag)) {
    failedOnce.add(tag);
    return { status: failedOnce.size % 2 ? 500 : 429, headers: { "retry-after-ms": "50" } };
  }
  return steps[letter];
}

/** What the parent's model says: launch, perhaps wait, and be done. */
function parent(/** @type {ModelRequest} */ request) {
  const { messages } = request.body;
  const asked = /MISSION (\S+)( WAIT)?/.exec(request.lastUser);
  if (!asked) return { say: "noted" };
  const from = messages.findLastIndex(isUser);
  const [, tag, waits] = asked;
  const answers = messages.slice(from).filter(({ role }) => role === "tool");
  if (answers.length === 0) return { tool: "sortie_launch", args: { tasks: TASKS.map((letter) => task(tag, letter)) } };
  if (answers.length === 1 && waits) return { tool: "sortie_wait", args: {} };
  return { say: "launched" };
}

/** @param {string | undefined} tag @param {string} letter */
function task(tag, letter) {
  const prompt = `DO ${tag}:${letter}${letter === "c" ? " with {{result:a}}" : ""}`;
  return { key: letter, title: `task ${letter}`, agent: "build", prompt };
}

/** @param {ModelRequest} request */
function taskOf(request) {
  const found = /DO (\S+):(\w)/.exec(textOf(request.body.messages.find(isUser)));
  return /** @type {[string, string]} */ ([found?.[1] ?? "", found?.[2] ?? ""]);
}

/** @param {ModelRequest} request @param {string} tag @param {string} letter */
function isFor(request, tag, letter) {
  const found = taskOf(request);
  return found[0] === tag && found[1] === letter;
}

/** @param {{role: string}} message */
function isUser({ role }) {
  return role === "user";
}

/** A moment chosen by chance is what this test is about; nothing is waited for by it. @param {number} ms */
function pause(ms) {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
