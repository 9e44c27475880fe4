// @ts-check
/**
 * The cast of a mission, played by the scripted model: commander, planner, worker and reviewer, told apart by their
 * system prompts and by the item that they were given. Every answer follows from the conversation alone, so that it
 * stays right when the host is killed in the middle of a step; only deaths are remembered, by session.
 * @module
 */
import { bash, ITEMS, MENDED, REJECTED } from "./mission-items.mjs";
import { textOf } from "./model-script.mjs";

/** @typedef {import("./model-script.mjs").Step} Step */
/** @typedef {import("./model-script.mjs").ToolStep} ToolStep */
/** @typedef {import("./model-script.mjs").ChatMessage} ChatMessage */
/** @typedef {import("./model-server.mjs").ModelServer} ModelServer */
/** @typedef {import("./model-server.mjs").ModelRequest} ModelRequest */
/** @typedef {import("./mission-items.mjs").Item} Item */
/** @typedef {"commander" | "planner" | "worker" | "reviewer"} Role */

/**
 * @typedef {object} Scene
 * @property {ModelRequest} request
 * @property {Role} role
 * @property {Item | undefined} item That the worker does or the reviewer reviews.
 */

/**
 * @typedef {object} CastOptions
 * @property {Item[]} [items] The plan. Default all.
 * @property {string[]} [deaths] Items whose first worker's provider refuses every request.
 * @property {(scene: Scene) => Step | undefined} [direct] Answers before the cast does, or passes.
 * @property {number} [delay] Pause before each answer, ms.
 */

/**
 * @typedef {object} Cast
 * @property {(role: Role, key?: string) => ModelRequest[]} requests What a role was asked, for one item or at all.
 * @property {(role: Role, key?: string) => string[]} sessions The sessions of a role, in the order of their first request.
 * @property {() => void} leave Ends the play.
 */

const ROLE = /^You are (?:the|an?) (commander|planner|worker|reviewer)\b/im;

/** What the commander says at the end. */
export const REPORT = "MISSION REPORT: every test of the harbour passes.";

/**
 * Puts the cast on a model's stage.
 *
 * @param {ModelServer} model
 * @param {CastOptions} [options]
 * @returns {Cast}
 */
export function playMission(model, { items = ITEMS, deaths = [], direct, delay } = {}) {
  const from = model.requests.length;
  /** The session that has to die, by item. @type {Map<string, string>} */
  const doomed = new Map();
  /** @param {Scene} scene @returns {Step} */
  const play = (scene) => {
    const { request, role, item } = scene;
    if (role === "commander") return command(request);
    if (role === "planner") return plan(request, items);
    if (!item) return { say: `This is none of the items: ${firstUser(request).slice(0, 200)}` };
    if (role === "reviewer") return review(request, item);
    if (deaths.includes(item.key)) {
      if (!doomed.has(item.key)) doomed.set(item.key, request.sessionHint);
      if (doomed.get(item.key) === request.sessionHint) return { status: 400, say: "the provider does not like it" };
    }
    return work(request, item);
  };
  const leave = model.on(
    (request) => roleOf(request) !== undefined,
    (request) => {
      const role = roleOf(request);
      if (!role) return undefined;
      const scene = { request, role, item: itemOf(request, items) };
      const step = direct?.(scene) ?? play(scene);
      return delay ? { delay, ...step } : step;
    },
  );
  /** @param {Role} role @param {string} [key] */
  const requests = (role, key) =>
    model.requests
      .slice(from)
      .filter(
        (request) =>
          request.kind === "chat" &&
          roleOf(request) === role &&
          (key === undefined || itemOf(request, items)?.key === key),
      );
  return {
    requests,
    sessions: (role, key) => [...new Set(requests(role, key).map(({ sessionHint }) => sessionHint))],
    leave,
  };
}

/**
 * Which of the four is asked.
 *
 * @param {ModelRequest} request
 * @returns {Role | undefined}
 */
export function roleOf(request) {
  if (request.kind !== "chat") return undefined;
  return /** @type {Role | undefined} */ (ROLE.exec(request.system)?.[1]?.toLowerCase());
}

/**
 * The item of a worker's or reviewer's conversation: the one whose title its first message names first, and after a
 * compaction, which leaves no such message, the one of the memory.
 *
 * @param {ModelRequest} request
 * @param {Item[]} [items]
 * @returns {Item | undefined}
 */
export function itemOf(request, items = ITEMS) {
  const text = firstUser(request);
  const places = items.map((item) => ({ item, at: text.indexOf(item.title) })).filter(({ at }) => at >= 0);
  const remembered = /^Your item: (\S+?)\.$/m.exec(request.system)?.[1];
  return places.sort((a, b) => a.at - b.at)[0]?.item ?? items.find(({ key }) => key === remembered);
}

/** @param {ModelRequest} request @returns {Step} */
function command(request) {
  const asked = /^<sortie-mission\b[^>]*>([\s\S]*)<\/sortie-mission>/.exec(request.lastUser)?.[1];
  return {
    say: asked !== undefined && /^Report to the user/m.test(asked) ? REPORT : "I leave the rest to the others.",
  };
}

/** Reads first, as a new model would that takes over from one that died, and adds what is not there. */
function plan(/** @type {ModelRequest} */ request, /** @type {Item[]} */ items) {
  if (!request.tools.includes("sortie_todo")) return { say: planText(items) };
  const done = doneCalls(request);
  const read = done.find(({ call }) => call.name === "sortie_todo" && call.args?.do === "read");
  if (!read) return { tool: "sortie_todo", args: readTodo() };
  const missing = items.filter(({ title }) => !read.result.includes(title));
  const added = done.some(({ call }) => call.name === "sortie_todo" && call.args?.do === "add");
  if (missing.length > 0 && !added) return { tool: "sortie_todo", args: addTodo(missing) };
  return { say: `The plan has ${items.length} items.` };
}

/** The plan in words, for a host without Sortie. @param {Item[]} items */
const planText = (items) => items.map(({ key, title, after }) => `- ${title} [${key}] after: ${after}`).join("\n");

/** Arguments of `sortie_todo` that read the whole list. */
export const readTodo = () => ({ do: "read", view: "all" });

/** Arguments of `sortie_todo` that add items. @param {Item[]} items */
export const addTodo = (items) => ({
  do: "add",
  items: items.map(({ key, title, files, after }) => ({ id: key, title, files, after })),
});

/** Arguments of `sortie_todo` that change an item's status. @param {string} id @param {string} status */
export const updateTodo = (id, status) => ({ do: "update", id, status });

/** @param {ModelRequest} request @param {Item} item @returns {Step} */
function work(request, item) {
  const isRejected = item.key === REJECTED && users(request).slice(1).some(mentionsReason);
  const steps = isRejected ? [...item.steps, ...MENDED] : item.steps;
  const next = nextOf(request, steps);
  if (next) return { tool: next.name, args: next.args ?? {} };
  return { say: `Changed: ${item.files.join(", ")}\nEvidence: \`${item.evidence}\` ran.` };
}

/** @param {string} text */
const mentionsReason = (text) => text.includes(reasonFor(REJECTED));

/** Why a reviewer rejects an item. @param {string} key */
export const reasonFor = (key) => `the evidence of ${key} fails`;

/** Runs the item's evidence, and believes only that. @param {ModelRequest} request @param {Item} item @returns {Step} */
function review(request, item) {
  const call = bash(`${item.evidence} && echo EVIDENCE-HOLDS || echo EVIDENCE-FAILS`);
  const round = users(request).length;
  // Each round looks again: the same command after the last message.
  const from = request.body.messages.findLastIndex(({ role }) => role === "user");
  const seen = doneCalls(request, from).find((one) => same(one.call, call));
  if (!seen) return { tool: call.name, args: call.args ?? {} };
  if (seen.result.includes("EVIDENCE-HOLDS")) return { say: `Round ${round}.\nVERDICT: ACCEPT\nThe evidence holds.` };
  return { say: `Round ${round}.\nVERDICT: REJECT\n- ${reasonFor(item.key)}: ${item.evidence}` };
}

/** The first step that was not done yet. @param {ModelRequest} request @param {ToolStep[]} steps */
function nextOf(request, steps) {
  const done = doneCalls(request);
  return steps.find((step) => !done.some(({ call }) => same(call, step)));
}

/** @param {ToolStep} one @param {ToolStep} other */
const same = (one, other) => one.name === other.name && JSON.stringify(one.args) === JSON.stringify(other.args);

/**
 * The calls of a conversation that came to an answer: those that a crash or an abort cut off are done again.
 *
 * @param {ModelRequest} request
 * @param {number} [from] Place of the first message that counts.
 * @returns {{call: ToolStep, result: string}[]}
 */
export function doneCalls(request, from = 0) {
  /** @type {Map<string, ToolStep>} */
  const calls = new Map();
  const done = [];
  for (const message of request.body.messages.slice(from)) {
    const said = /** @type {any} */ (message);
    for (const { id, function: made } of said.tool_calls ?? []) {
      calls.set(id, { name: made.name, args: JSON.parse(made.arguments || "{}") });
    }
    const call = message.role === "tool" ? calls.get(said.tool_call_id) : undefined;
    const result = textOf(message);
    if (call && !/interrupted|aborted/i.test(result)) done.push({ call, result });
  }
  return done;
}

/** @param {ModelRequest} request @returns {string[]} */
function users(request) {
  return request.body.messages.filter(({ role }) => role === "user").map(textOf);
}

/** @param {ModelRequest} request @returns {string} */
function firstUser(request) {
  return users(request)[0] ?? "";
}
