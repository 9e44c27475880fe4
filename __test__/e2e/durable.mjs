// @ts-check
/**
 * What the durability tests look at: Sortie's journal, read by the addon's own SQLite, and what the host has of
 * parents and their tasks' sessions.
 * @module
 */
import assert from "node:assert/strict";
import { realpathSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { journal } from "../../index.js";
import { messageText } from "../../testkit/opencode.mjs";
import { until } from "../../testkit/wait.mjs";

/** @typedef {import("../../testkit/opencode.mjs").Server} Server */
/** @typedef {import("../../testkit/sandbox.mjs").Sandbox} Sandbox */
/** @typedef {import("../../testkit/model-server.mjs").ModelServer} ModelServer */
/** @typedef {import("../../testkit/model-script.mjs").Step} Step */

/**
 * @typedef {object} Row
 * @property {number} seq
 * @property {string} task
 * @property {number} rev
 * @property {number} at Epoch milliseconds.
 * @property {string} change
 * @property {string | null} from
 * @property {string} to
 * @property {number} fence
 * @property {any} detail
 */

/** The package under test, as a plugin spec. */
export const PLUGIN = fileURLToPath(new URL("../../", import.meta.url)).replace(/\/$/, "");

/** How long anything here may take before it counts as hanging: the machine may be busy with other tests. */
export const LONG = 60_000;

const TERMINAL = ["complete", "failed", "cancelled"];

/**
 * All journal rows of a project.
 *
 * @param {Sandbox} sandbox
 * @param {string} [project]
 * @returns {Promise<Row[]>}
 */
export async function rowsOf(sandbox, project = sandbox.project) {
  return JSON.parse(await journal(sandbox.sortieHome, realpathSync(project)));
}

/**
 * Journal rows by task, in the order of launch.
 *
 * @param {Row[]} rows
 * @returns {Map<string, Row[]>}
 */
export function byTask(rows) {
  /** @type {Map<string, Row[]>} */
  const tasks = new Map();
  for (const row of rows) tasks.set(row.task, [...(tasks.get(row.task) ?? []), row]);
  return tasks;
}

/** @param {Row} row */
export function isEnd(row) {
  return TERMINAL.includes(row.to);
}

/**
 * What must hold of every task's journal, whatever happened: revisions without a gap, fences that never go back, and
 * one end, which is the last row.
 *
 * @param {string} task
 * @param {Row[]} rows
 */
export function checkJournal(task, rows) {
  const story = rows.map(({ rev, change, to, fence }) => `${rev} ${change} ${to} (${fence})`).join(", ");
  assert.deepEqual(
    rows.map(({ rev }) => rev),
    rows.map((_, place) => place),
    `the revisions of ${task} have a gap: ${story}`,
  );
  for (const [place, row] of rows.entries()) {
    assert.ok(row.fence >= (rows[place - 1]?.fence ?? 0), `a fence of ${task} went back: ${story}`);
    assert.equal(row.from, rows[place - 1]?.to ?? null, `a change of ${task} starts elsewhere: ${story}`);
  }
  assert.deepEqual(
    rows.filter(isEnd).map(({ rev }) => rev),
    [rows.length - 1],
    `${task} has not exactly one end: ${story}`,
  );
}

/**
 * Makes a session that can launch tasks.
 *
 * @param {Server} server
 * @param {string} [directory]
 * @returns {Promise<string>}
 */
export async function newSession(server, directory = server.cwd) {
  const { status, body } = await server.request("POST", "/session", { directory, body: { title: "parent" } });
  assert.equal(status, 200, JSON.stringify(body));
  return body.id;
}

/**
 * Says something in a session, and does not wait for the answer.
 *
 * @param {Server} server
 * @param {string} session
 * @param {string} text
 * @param {string} [directory]
 */
export async function say(server, session, text, directory = server.cwd) {
  const body = { parts: [{ type: "text", text }] };
  const { status } = await server.request("POST", `/session/${session}/prompt_async`, { directory, body });
  assert.equal(status, 204);
}

/**
 * @param {Server} server
 * @param {string} session
 * @param {string} [directory]
 * @returns {Promise<any[]>}
 */
export async function messagesOf(server, session, directory = server.cwd) {
  const { status, body } = await server.request("GET", `/session/${session}/message`, { directory });
  assert.equal(status, 200, JSON.stringify(body));
  return body;
}

/**
 * Calls a tool of Sortie's from a session of its own turn, and waits for what the model is shown.
 *
 * @param {Server} server
 * @param {string} session
 * @param {string} tool
 * @param {Record<string, unknown>} args
 * @param {{directory?: string, timeoutMs?: number}} [options]
 * @returns {Promise<string>} The output, or the error.
 */
export async function call(server, session, tool, args, { directory = server.cwd, timeoutMs = LONG } = {}) {
  const name = `call-${++calls}-${Math.random().toString(36).slice(2)}`;
  await say(server, session, `${name}\nSCRIPT: ${JSON.stringify([{ tool, args }, { say: "done" }])}`, directory);
  return until(
    async () => {
      const messages = await messagesOf(server, session, directory);
      const at = messages.findIndex((message) => messageText(message).includes(name));
      const parts = messages.slice(at + 1).flatMap((message) => message.parts);
      const part = at < 0 ? undefined : parts.find((part) => part.type === "tool" && part.tool === tool);
      return part?.state.status === "completed" || part?.state.status === "error"
        ? (part.state.output ?? part.state.error)
        : undefined;
    },
    { timeoutMs, everyMs: 50, what: `the answer of ${tool}` },
  );
}
let calls = 0;

/**
 * Launches tasks from a session; returns their ids in order.
 *
 * @param {Server} server
 * @param {string} session
 * @param {Record<string, unknown>[]} tasks
 * @returns {Promise<string[]>}
 */
export async function launch(server, session, tasks) {
  const complete = tasks.map((task, at) => ({ title: `task ${at}`, agent: "build", ...task }));
  const answer = await call(server, session, "sortie_launch", { tasks: complete });
  const ids = answer.match(/\btsk_[0-9a-f]+\b/g) ?? [];
  assert.equal(ids.length, tasks.length, answer);
  return ids;
}

/**
 * The tasks as `sortie_status` tells them, by id.
 *
 * @param {Server} server
 * @param {string} session
 * @param {string[]} ids
 * @returns {Promise<any[]>}
 */
export async function statusOf(server, session, ids) {
  const { tasks } = JSON.parse(await call(server, session, "sortie_status", { tasks: ids, json: true }));
  return ids.map((id) => tasks.find((/** @type {{id: string}} */ task) => task.id === id));
}

/**
 * What a parent was told of the ends of tasks: each text that tells of the end, by task.
 *
 * @param {any[]} messages
 * @returns {Map<string, string[]>}
 */
export function tellings(messages) {
  /** @type {Map<string, string[]>} */
  const told = new Map();
  for (const part of messages.flatMap((message) => message.parts)) {
    const report = part.type === "text" && part.text.includes("<sortie-report>") ? part.text : undefined;
    const waited = part.type === "tool" && part.tool === "sortie_wait" ? part.state.output : undefined;
    const text = report ?? waited ?? "";
    for (const end of text.split(/^(?=## )/m).slice(1)) {
      const id = /^## .* \[[^\]]+\] (tsk_[0-9a-f]+)$/m.exec(end)?.[1];
      if (id) told.set(id, [...(told.get(id) ?? []), end]);
    }
  }
  return told;
}

/**
 * Waits until the parent was told of all these tasks, and returns what it was told, in their order. Fails if it was
 * told of one twice.
 *
 * @param {Server} server
 * @param {string} session
 * @param {string[]} ids
 * @param {{timeoutMs?: number}} [options]
 * @returns {Promise<string[]>}
 */
export async function awaitTold(server, session, ids, { timeoutMs = LONG } = {}) {
  /** @type {Map<string, string[]>} */
  let told = new Map();
  await until(
    async () => {
      told = tellings(await messagesOf(server, session));
      return ids.every((id) => told.has(id));
    },
    { timeoutMs, everyMs: 100, what: () => `all of ${ids} to be told; told are ${[...told.keys()]}` },
  );
  return ids.map((id) => {
    const texts = told.get(id) ?? [];
    assert.equal(texts.length, 1, `the parent was told of ${id} ${texts.length} times:\n${texts.join("\n")}`);
    return texts[0] ?? "";
  });
}
