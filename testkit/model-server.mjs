// @ts-check
/**
 * An OpenAI-compatible model on loopback that says what the prompt tells it to
 * (see `model-script.mjs` for the language), or what a test's rules tell it to.
 * No network, no key, no chance. It records every request.
 * @module
 */
import { createServer } from "node:http";
import { reply, sendJson } from "./model-reply.mjs";
import { chooseStep, findScript, isFailure, textOf } from "./model-script.mjs";
import { deadline } from "./wait.mjs";

/** @typedef {import("./model-script.mjs").Step} Step */
/** @typedef {import("./model-script.mjs").ChatMessage} ChatMessage */
/** @typedef {import("node:http").IncomingMessage} Incoming */
/** @typedef {import("node:http").ServerResponse} Response */

/**
 * @typedef {object} ModelRequest
 * @property {number} seq 1 for the first request of this server.
 * @property {number} at When it was read, `performance.now()` ms.
 * @property {number | undefined} endedAt When its answer ended, or its socket closed.
 * @property {boolean} aborted The client left before the answer was complete. Under Bun 1.3 a client that leaves
 *   before the first byte of the answer is not noticed.
 * @property {"chat" | "title" | "summary"} kind Title and summary requests of the host are answered plainly.
 * @property {string} model
 * @property {{messages: ChatMessage[], tools?: {function: {name: string}}[], stream?: boolean} & Record<string, unknown>} body
 * @property {number} bodyBytes
 * @property {Record<string, string | string[] | undefined>} headers
 * @property {string} lastUser Text of the last user message.
 * @property {string} system All system text.
 * @property {string[]} tools Names of the tools offered.
 * @property {string} sessionHint The host's session id (header `x-session-affinity`), else a text that stays the same within a conversation.
 * @property {string | undefined} parentHint The id of the session's parent (header `x-parent-session-id`).
 * @property {Step | undefined} step What it was answered with.
 */

/** @typedef {RegExp | ((request: ModelRequest) => boolean)} Match */
/** @typedef {Step[] | ((request: ModelRequest) => Step | undefined)} Answers */

/**
 * @typedef {object} ModelServer
 * @property {string} url Base, without `/v1`.
 * @property {ModelRequest[]} requests All requests so far, in order.
 * @property {(match: Match, answers: Answers) => () => void} on Adds a rule; the newest that applies wins over older ones and over scripts.
 *   With a RegExp and steps, the last user message that matches acts as if it carried those steps as its script. With a function and
 *   steps, they are used up one a matching request. A function as answers decides each time; `undefined` passes on. Returns its removal.
 * @property {(pattern: RegExp) => ModelRequest[]} requestsFor Chat requests whose user messages match.
 * @property {(predicate: (request: ModelRequest) => boolean, options?: {timeoutMs?: number}) => Promise<ModelRequest>} waitFor
 *   The first request, past or coming, for which the predicate holds.
 * @property {() => Promise<void>} close Ends every connection, hanging ones too.
 */

/** What is said to a prompt with no script, or after the end of one. */
export const DEFAULT_REPLY = "ok";
/** The title given to every session. */
export const DEFAULT_TITLE = "Scripted session";

/**
 * Starts a model server on a port the system chooses.
 *
 * @param {{host?: string, port?: number}} [options]
 * @returns {Promise<ModelServer>}
 */
export async function startModelServer({ host = "127.0.0.1", port = 0 } = {}) {
  /** @type {ModelRequest[]} */
  const requests = [];
  /** @type {Set<(request: ModelRequest) => void>} */
  const watchers = new Set();
  /** @type {Rule[]} */
  const rules = [];
  /** Failing steps given, by conversation and place. @type {Map<string, number>} */
  const failures = new Map();

  const server = createServer((req, res) => {
    handle(req, res).catch((error) => {
      if (res.headersSent) res.destroy();
      else sendJson(res, 400, { error: { message: String(error?.message ?? error), type: "testkit" } });
    });
  });

  /** @param {Incoming} req @param {Response} res */
  async function handle(req, res) {
    if (req.url === "/requests") return sendJson(res, 200, requests);
    if (req.method !== "POST" || !req.url?.endsWith("/chat/completions")) {
      return sendJson(res, 404, { error: { message: `the scripted model has no ${req.method} ${req.url}` } });
    }
    const request = describe(req, await readBody(req), requests.length + 1);
    res.once("close", () => {
      request.endedAt = performance.now();
      request.aborted = !res.writableFinished && request.step?.cut !== true;
    });
    requests.push(request);
    try {
      request.step = decide(request, rules, failures);
    } finally {
      for (const watcher of watchers) watcher(request);
    }
    const { model, bodyBytes, seq } = request;
    await reply(res, request.step, {
      id: `scripted-${seq}`,
      model,
      bodyBytes,
      streaming: request.body.stream === true,
    });
  }

  await new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen(port, host, () => resolve(undefined));
  });
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("the model server has no TCP address");

  return {
    url: `http://${host}:${address.port}`,
    requests,
    on(match, answers) {
      const rule = { match, answers, used: 0 };
      rules.unshift(rule);
      return () => void (rules.includes(rule) && rules.splice(rules.indexOf(rule), 1));
    },
    requestsFor: (pattern) => requests.filter((request) => request.kind === "chat" && userIndex(request, pattern) >= 0),
    waitFor(predicate, { timeoutMs = 15_000 } = {}) {
      const past = requests.find(predicate);
      if (past) return Promise.resolve(past);
      /** @type {((request: ModelRequest) => void) | undefined} */
      let watcher;
      /** @type {Promise<ModelRequest>} */
      const coming = new Promise((resolve, reject) => {
        watcher = (request) => {
          try {
            if (predicate(request)) resolve(request);
          } catch (error) {
            reject(error);
          }
        };
        watchers.add(watcher);
      });
      return deadline(coming, timeoutMs, `a model request (${requests.length} came, none fits)`).finally(() => {
        if (watcher) watchers.delete(watcher);
      });
    },
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

/** @typedef {{match: Match, answers: Answers, used: number}} Rule */

/** @param {ModelRequest} request @param {Rule[]} rules @param {Map<string, number>} failures @returns {Step} */
function decide(request, rules, failures) {
  if (request.kind !== "chat") return { say: request.kind === "title" ? DEFAULT_TITLE : "A short summary." };
  for (const rule of rules) {
    const step = applyRule(rule, request, failures);
    if (step) return step;
  }
  const script = findScript(request.body.messages);
  return (script && fromSteps(script.steps, script.index, request, failures)) ?? { say: DEFAULT_REPLY };
}

/** @param {Rule} rule @param {ModelRequest} request @param {Map<string, number>} failures */
function applyRule(rule, request, failures) {
  const { match, answers } = rule;
  if (match instanceof RegExp) {
    const index = userIndex(request, match);
    if (index < 0) return undefined;
    return typeof answers === "function" ? answers(request) : fromSteps(answers, index, request, failures);
  }
  if (!match(request)) return undefined;
  return typeof answers === "function" ? answers(request) : answers[rule.used++];
}

/** @param {Step[]} steps @param {number} index @param {ModelRequest} request @param {Map<string, number>} failures */
function fromSteps(steps, index, request, failures) {
  const answered = request.body.messages.slice(index + 1).filter(({ role }) => role === "assistant").length;
  const key = (/** @type {number} */ place) => `${request.sessionHint}\n${index}\n${place}`;
  const choice = chooseStep(steps, answered, (place) => failures.get(key(place)) ?? 0);
  if (choice && isFailure(choice.step)) {
    failures.set(key(choice.place), (failures.get(key(choice.place)) ?? 0) + 1);
  }
  return choice?.step;
}

/** @param {Incoming} req @param {string} text @param {number} seq @returns {ModelRequest} */
function describe(req, text, seq) {
  const body = JSON.parse(text);
  /** @type {ChatMessage[]} */
  const messages = body.messages ?? [];
  const system = messages
    .filter(({ role }) => role === "system")
    .map(textOf)
    .join("\n");
  const users = messages.filter(({ role }) => role === "user");
  return {
    seq,
    at: performance.now(),
    endedAt: undefined,
    aborted: false,
    kind: kindOf(system),
    model: String(body.model ?? ""),
    body,
    bodyBytes: Buffer.byteLength(text),
    headers: req.headers,
    lastUser: textOf(users.at(-1)),
    system,
    tools: (body.tools ?? []).map((/** @type {{function: {name: string}}} */ tool) => tool.function.name),
    sessionHint: String(req.headers["x-session-affinity"] ?? textOf(users[0]).slice(0, 500)),
    parentHint: req.headers["x-parent-session-id"]?.toString(),
    step: undefined,
  };
}

/** @param {string} system @returns {ModelRequest["kind"]} */
function kindOf(system) {
  if (/^\s*You are a title generator/.test(system)) return "title";
  if (/^\s*You are (?:a|an)[\w ]* (?:summarization|summarizing)/.test(system)) return "summary";
  return "chat";
}

/** Place of the last user message that matches, -1 if none. @param {ModelRequest} request @param {RegExp} pattern */
function userIndex(request, pattern) {
  return request.body.messages.findLastIndex(
    (message) => message.role === "user" && textOf(message).search(pattern) >= 0,
  );
}

/** @param {Incoming} req @returns {Promise<string>} */
async function readBody(req) {
  const chunks = [];
  for await (const chunk of req) chunks.push(chunk);
  return Buffer.concat(chunks).toString("utf8");
}
