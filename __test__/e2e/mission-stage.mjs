// @ts-check
/**
 * What the tests of missions share: a server on the repository that the cast mends, `/task` as a person gives it, and
 * what must hold of every mission that came to its end.
 * @module
 */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { REPORT } from "../../testkit/mission.mjs";
import { CHECK, changesIn, changesOf, GOAL, ITEMS } from "../../testkit/mission-items.mjs";
import { messageText } from "../../testkit/opencode.mjs";
import { until } from "../../testkit/wait.mjs";
import { byTask, checkJournal, isEnd, rowsOf } from "./durable.mjs";
import { PATIENCE } from "./stage.mjs";

/** @typedef {import("../../testkit/mission.mjs").Cast} Cast */
/** @typedef {import("../../testkit/mission.mjs").Role} Role */
/** @typedef {import("../../testkit/mission-items.mjs").Item} Item */
/** @typedef {import("../../testkit/model-server.mjs").ModelRequest} ModelRequest */
/** @typedef {import("../../testkit/sandbox.mjs").Sandbox} Sandbox */
/** @typedef {import("../../testkit/opencode.mjs").Server} Server */

/** How long a whole mission may take on a slow machine under load, ms. */
export const MISSION_MS = 4 * PATIENCE;

/** The options of a mission on the harbour: its tests are the checks. */
export const OPTIONS = { mission: { checks: [CHECK] } };

/** Where the plan is, from the project's root. */
const TODO = join(".opencode", "todo.md");

/**
 * Gives a session to the commander. The answer comes at the end of the turn, which is not waited for.
 *
 * @param {Server} server
 * @param {{goal?: string, session?: string, voice?: {model?: string, variant?: string}}} [options]
 * @returns {Promise<string>} The session.
 */
export async function begin(server, { goal = GOAL, session, voice = {} } = {}) {
  const id = session ?? (await made(server));
  const body = { command: "task", arguments: goal, ...voice };
  // A server that is killed meanwhile does not answer.
  server.request("POST", `/session/${id}/command`, { body, timeoutMs: MISSION_MS }).catch(() => {});
  return id;
}

/** @param {Server} server @returns {Promise<string>} */
async function made(server) {
  const { status, body } = await server.request("POST", "/session", {
    body: { title: "a mission" },
    timeoutMs: 2 * PATIENCE,
  });
  assert.equal(status, 200, JSON.stringify(body));
  return body.id;
}

/**
 * Gives one of the commands that need no model, and what it shows. A command ends by a refusal of the host's, which is
 * how it ends without a model.
 *
 * @param {Server} server @param {string} session @param {"mission" | "pause" | "resume" | "stop"} command
 * @returns {Promise<string>}
 */
export async function order(server, session, command) {
  const before = (await messagesIn(server, session)).length;
  await server.request("POST", `/session/${session}/command`, { body: { command, arguments: "" } });
  return until(
    async () => {
      const shown = (await messagesIn(server, session)).slice(before).filter(isIgnored);
      return shown.length > 0 ? shown.map(messageText).join("\n") : undefined;
    },
    { timeoutMs: PATIENCE, everyMs: 100, what: `/${command} to show something` },
  );
}

/** Whether only the person sees a message. @param {any} message */
function isIgnored(message) {
  return message.parts.length > 0 && message.parts.every((/** @type {any} */ part) => part.ignored === true);
}

/** @param {Server} server @param {string} session @returns {Promise<any[]>} */
export async function messagesIn(server, session) {
  const { status, body } = await server.request("GET", `/session/${session}/message`);
  assert.equal(status, 200, JSON.stringify(body));
  return body;
}

/** What the engine said to a commander. @param {any[]} messages */
export function missionMessages(messages) {
  return messages.filter(
    ({ info, parts }) => info.role === "user" && /^<sortie-mission\b/.test(messageText({ parts })),
  );
}

/** Whether a message of the engine's asks for the report. @param {any} message */
export function asksForReport(message) {
  return /^Report to the user/m.test(messageText(message));
}

/**
 * Waits for the commander's report.
 *
 * @param {Server} server @param {string} session
 * @returns {Promise<any[]>} All messages of its session.
 */
export async function untilReport(server, session, timeoutMs = MISSION_MS) {
  /** @type {any[]} */
  let messages = [];
  return until(
    async () => {
      messages = await messagesIn(server, session);
      const last = messages.at(-1);
      const reported = messageText(last) === REPORT && last.info.time.completed;
      const busy = (await server.request("GET", "/session/status")).body?.[session];
      return reported && !busy ? messages : undefined;
    },
    {
      timeoutMs,
      everyMs: 200,
      what: () => `the report; said was:\n${messages.map((one) => messageText(one).slice(0, 1_000)).join("\n---\n")}\n`,
    },
  );
}

/**
 * The plan as it stands in the project.
 *
 * @param {string} directory
 * @returns {{mark: string, text: string}[]}
 */
export function planOf(directory) {
  const path = join(directory, TODO);
  if (!existsSync(path)) return [];
  const lines = readFileSync(path, "utf8").matchAll(/^\s*(?:[-*+]|\d+[.)])\s+\[(.)\]\s+(.*)$/gm);
  return [...lines].map(([, mark, text]) => ({ mark: String(mark), text: String(text) }));
}

/** The mark of an item in the plan. @param {string} directory @param {Item} item */
export function markOf(directory, item) {
  const found = planOf(directory).filter(({ text }) => text.includes(item.title));
  assert.ok(found.length <= 1, `${item.title} stands ${found.length} times in the plan`);
  return found[0]?.mark;
}

const exec = promisify(execFile);

/** Runs the repository's own check. @param {Sandbox} sandbox @param {string} directory */
export async function checkHarbour(sandbox, directory) {
  const [program = "", ...args] = CHECK;
  await exec(program, args, { cwd: directory, env: sandbox.env() });
}

/**
 * What must hold of a mission that came to its report, whatever happened on the way.
 *
 * @param {{sandbox: Sandbox, server: Server, cast: Cast, session: string, directory: string, items?: Item[], cuts?: number}} stage
 *   `cuts` is how often a turn of the commander may have been cut off.
 * @returns {Promise<{messages: any[], children: any[], rows: Map<string, import("./durable.mjs").Row[]>}>}
 */
export async function assertDone({ sandbox, server, cast, session, directory, items = ITEMS, cuts = 0 }) {
  const messages = await messagesIn(server, session);
  assert.deepEqual(changesIn(sandbox, directory), changesOf(items), "the changes are those of the script");
  await checkHarbour(sandbox, directory);
  const plan = planOf(directory);
  assert.deepEqual(
    plan.map(({ mark, text }) => [mark, items.find(({ title }) => text.includes(title))?.key]).sort(),
    items.map(({ key }) => ["x", key]).sort(),
    "the plan is that of the script, and every item of it is done",
  );

  const told = missionMessages(messages);
  assert.equal(told.filter(asksForReport).length, 1, "the report was asked for once");
  // A turn that a kill breaks off leaves what it had said, without an end.
  const reports = messages.filter((message) => messageText(message) === REPORT && message.info.finish === "stop");
  assert.equal(reports.length, 1, "and given once");
  const others = told.filter((message) => !asksForReport(message)).map(messageText);
  assert.ok(others.length <= cuts, `when all goes well nothing else is said: ${others.join("\n---\n")}`);
  for (const text of others) assert.match(text, /in the middle of your turn/);

  const { body: children } = await server.request("GET", `/session/${session}/children`);
  const rows = byTask(await rowsOf(sandbox, directory));
  for (const [id, task] of rows) checkJournal(id, task);
  const bound = [...rows.values()].flat().filter(({ change }) => change === "bind");
  assert.deepEqual(
    children.map((/** @type {any} */ { id }) => id).sort(),
    [...new Set(bound.map(({ detail }) => detail.session))].sort(),
    "there are no sessions but those of tasks",
  );
  // A second round goes on in the session of the first.
  assert.equal(bound.length, children.length, "no task was given a second session");
  for (const { id } of children) {
    const { body: below } = await server.request("GET", `/session/${id}/children`);
    assert.deepEqual(below, [], "nobody but the commander has children");
  }
  assertRounds(cast, items);
  return { messages, children, rows };
}

/** Everything was worked on by one worker after all that it needs, and accepted. @param {Cast} cast @param {Item[]} items */
function assertRounds(cast, items) {
  for (const item of items) {
    const first = cast.requests("worker", item.key)[0];
    assert.ok(first, `${item.key} had a worker`);
    for (const key of item.after) {
      const accepted = cast.requests("reviewer", key).at(-1);
      assert.match(accepted?.step?.say ?? "", /^VERDICT: ACCEPT$/m, `${key} was accepted`);
      assert.ok((accepted?.at ?? Number.POSITIVE_INFINITY) < first.at, `${item.key} began before ${key} was accepted`);
    }
  }
}

/** The ends of tasks by state. @param {Map<string, import("./durable.mjs").Row[]>} rows */
export function endsOf(rows) {
  /** @type {Record<string, number>} */
  const ends = {};
  for (const task of rows.values()) {
    const state = task.find(isEnd)?.to ?? "open";
    ends[state] = (ends[state] ?? 0) + 1;
  }
  return ends;
}
