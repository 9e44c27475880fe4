// @ts-check
/**
 * What the tests in this folder share: the scripted model, a sandbox with the
 * plugin of this checkout, and sessions driven as a user drives them.
 * @module
 */
import { existsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { startModelServer } from "../../testkit/model-server.mjs";
import { messageText, serve } from "../../testkit/opencode.mjs";
import { createSandbox } from "../../testkit/sandbox.mjs";
import { until } from "../../testkit/wait.mjs";

/** @typedef {import("../../testkit/model-script.mjs").Step} Step */
/** @typedef {import("../../testkit/model-server.mjs").ModelServer} ModelServer */
/** @typedef {import("../../testkit/model-server.mjs").ModelRequest} ModelRequest */
/** @typedef {import("../../testkit/sandbox.mjs").Sandbox} Sandbox */
/** @typedef {import("../../testkit/opencode.mjs").Server} Server */
/** @typedef {Record<string, unknown>} Args */
/** @typedef {{status: string, output: string, error: string}} ToolAnswer */
/** @typedef {{agent?: string, model?: {providerID: string, modelID: string}, variant?: string, text?: string}} Voice */

/** The checkout, which is the plugin. */
export const ROOT = fileURLToPath(new URL("../..", import.meta.url)).replace(/[\\/]$/, "");

/** The names of our tools. */
export const TOOLS = [
  "launch",
  "status",
  "wait",
  "result",
  "send",
  "cancel",
  "retry",
  "extend",
  "command_start",
  "command",
  "todo",
].map((name) => `sortie_${name}`);

/** How long anything may take on a slow machine under load, ms. */
export const PATIENCE = 60_000;

/** A prompt that scripts the model. @param {Step[]} steps */
export const script = (...steps) => `SCRIPT: ${JSON.stringify(steps)}`;

/** The ids in a text, in order, each once. @param {string} text */
export const idsIn = (text) => [...new Set(text.match(/\btsk_[\w-]+/g) ?? [])];

/**
 * A model and a sandbox with the plugin.
 *
 * @param {{options?: Record<string, unknown>, config?: (modelUrl: string) => Record<string, unknown>}} [settings]
 */
export async function setUp({ options = {}, config } = {}) {
  const model = await startModelServer();
  const sandbox = createSandbox({
    model: model.url,
    plugin: [[ROOT, options]],
    ...(config && { config: config(model.url) }),
  });
  return { model, sandbox };
}

/**
 * A step in which the model calls the shell, which waits until the gate is opened: holds a turn for as long as a test
 * wants, without a guess at times.
 *
 * @param {string} directory
 * @param {string} name
 * @returns {{step: Step, isReached: () => boolean, open: () => void}}
 */
export function gate(directory, name) {
  const path = join(directory, `gate-${name}`);
  const command = `: > '${path}-reached'; until [ -e '${path}' ]; do sleep 0.05; done; echo opened`;
  return {
    step: { tool: "bash", args: { command, description: `waits at ${name}`, timeout: 120_000 } },
    isReached: () => existsSync(`${path}-reached`),
    open: () => existsSync(path) || writeFileSync(path, ""),
  };
}

/** A task whose agent does what the steps say. @param {string} title @param {...Step} steps */
export const task = (title, ...steps) => ({ title, agent: "general", prompt: `${title}.\n${script(...steps)}` });

/** An answer that would take minutes: its connection shows when it is given up. @type {Step} */
export const SLOW = { stream: { text: "slowly ".repeat(300), chunks: 600, every: 200 } };

/** The same entry as TypeScript sees it: there. @template T @param {T[]} list @param {number} [at] @returns {T} */
export function one(list, at = 0) {
  const found = list[at];
  if (found === undefined) throw new Error(`there is none at ${at} of ${list.length}`);
  return found;
}

let turns = 0;

/** A session of a person, on a server. */
export class Session {
  /** @param {Server} server @param {string} id @param {string} directory */
  constructor(server, id, directory) {
    this.server = server;
    this.id = id;
    this.directory = directory;
  }

  /**
   * @param {Server} server
   * @param {{directory?: string, body?: Record<string, unknown>}} [options]
   */
  static async create(server, { directory = server.cwd, body = { title: "a person's session" } } = {}) {
    const made = await server.request("POST", "/session", { directory, body, timeoutMs: PATIENCE });
    if (made.status !== 200) throw new Error(`no session: ${made.status} ${JSON.stringify(made.body)}`);
    return new Session(server, made.body.id, directory);
  }

  /** Another session of the same project. @param {string} id */
  of(id) {
    return new Session(this.server, id, this.directory);
  }

  /** @param {Step[]} steps @param {Voice} [voice] */
  #body(steps, { text = "go", ...voice } = {}) {
    const mark = `turn-${++turns}-of-test`;
    return { mark, body: { ...voice, parts: [{ type: "text", text: `${text} ${mark}\n${script(...steps)}` }] } };
  }

  /** Sends a prompt and does not wait for the answer. @param {Step[]} steps @param {Voice} [voice] */
  async say(steps, voice) {
    const { mark, body } = this.#body(steps, voice);
    await this.#request("POST", `/session/${this.id}/prompt_async`, body);
    return mark;
  }

  /**
   * Sends a prompt and waits for the end of its turn.
   *
   * @param {Step[]} steps @param {Voice} [voice]
   * @returns {Promise<any[]>} The messages after the prompt.
   */
  async turn(steps, voice) {
    const { mark, body } = this.#body(steps, voice);
    await this.#request("POST", `/session/${this.id}/message`, body);
    return this.after(mark);
  }

  /** The messages after the prompt with this mark. @param {string} mark */
  async after(mark) {
    const messages = await this.messages();
    return messages.slice(messages.findIndex((message) => messageText(message).includes(mark)) + 1);
  }

  /**
   * Has the model call a tool, and gives the tool's answer.
   *
   * @param {string} tool @param {Args} args @param {Voice} [voice]
   * @returns {Promise<ToolAnswer>}
   */
  async call(tool, args, voice) {
    const messages = await this.turn([{ tool, args }, { say: "noted" }], voice);
    const [answer] = answersOf(messages, tool);
    if (!answer) throw new Error(`${tool} was not called: ${JSON.stringify(messages.map(({ info }) => info))}`);
    return answer;
  }

  /**
   * The same, where the tool must succeed.
   *
   * @param {string} tool @param {Args} args @param {Voice} [voice]
   */
  async ok(tool, args, voice) {
    const answer = await this.call(tool, args, voice);
    if (answer.status !== "completed") throw new Error(`${tool} failed: ${answer.error}`);
    return answer.output;
  }

  /** Launches and gives the ids, in the order of the tasks. @param {Args[]} tasks @param {Voice} [voice] */
  async launch(tasks, voice) {
    const output = await this.ok("sortie_launch", { tasks }, voice);
    // A title may name other ids.
    const ids = [...output.matchAll(/^(tsk_\w+) /gm)].map(([, id]) => String(id));
    if (ids.length !== tasks.length) throw new Error(`${tasks.length} tasks, but: ${output}`);
    return ids;
  }

  /** The tasks of these names, for machines. @param {string[]} [tasks] @returns {Promise<any[]>} */
  async status(tasks) {
    return JSON.parse(await this.ok("sortie_status", { json: true, ...(tasks && { tasks }) })).tasks;
  }

  /** Waits until tasks are in a state. @param {string[]} tasks @param {string} state @returns {Promise<any[]>} */
  async untilState(tasks, state) {
    return until(
      async () => {
        const seen = await this.status(tasks);
        return seen.length === tasks.length && seen.every((task) => task.state === state) ? seen : undefined;
      },
      { timeoutMs: PATIENCE, everyMs: 100, what: `tasks to be ${state}` },
    );
  }

  /** All messages, oldest first. @returns {Promise<any[]>} */
  async messages() {
    return (await this.#request("GET", `/session/${this.id}/message`)) ?? [];
  }

  /** @returns {Promise<any>} */
  info() {
    return this.#request("GET", `/session/${this.id}`);
  }

  /** @returns {Promise<any[]>} */
  children() {
    return this.#request("GET", `/session/${this.id}/children`);
  }

  async isBusy() {
    const status = await this.#request("GET", "/session/status");
    return status?.[this.id] !== undefined && status[this.id].type !== "idle";
  }

  async abort() {
    await this.#request("POST", `/session/${this.id}/abort`);
  }

  /** The messages that report ends to this session. @returns {Promise<any[]>} */
  async reports() {
    return (await this.messages()).filter(isReport);
  }

  /**
   * Waits until the ends of all these tasks were told and the answer to that is there.
   *
   * @param {string[]} ids
   * @returns {Promise<any[]>} All messages.
   */
  async untilTold(ids) {
    return until(
      async () => {
        const messages = await this.messages();
        const last = messages.at(-1)?.info;
        const answered = last?.role === "assistant" && last.time.completed && last.finish !== "tool-calls";
        const all = ids.every((id) => timesTold(messages, id) > 0);
        return answered && all && !(await this.isBusy()) ? messages : undefined;
      },
      { timeoutMs: PATIENCE, everyMs: 100, what: `the ends of ${ids.length} tasks to be told` },
    );
  }

  /** @param {string} method @param {string} path @param {unknown} [body] */
  async #request(method, path, body) {
    const options = { directory: this.directory, timeoutMs: 2 * PATIENCE, ...(body !== undefined && { body }) };
    const answer = await this.server.request(method, path, options);
    if (answer.status >= 300) throw new Error(`${method} ${path}: ${answer.status} ${JSON.stringify(answer.body)}`);
    return answer.body;
  }
}

/** A server in a sandbox, and a session beside the tests' own from which to look. @param {Sandbox} sandbox */
export async function serveWith(sandbox) {
  const server = await serve(sandbox, { timeoutMs: 2 * PATIENCE });
  const observer = await Session.create(server, { body: { title: "observer" } });
  return { server, observer };
}

/** Whether a message is a report of ours. @param {any} message */
export function isReport(message) {
  return message.info.role === "user" && messageText(message).startsWith("<sortie-report>");
}

/** The answers of a tool in messages. @param {any[]} messages @param {string} tool @returns {ToolAnswer[]} */
export function answersOf(messages, tool) {
  return messages
    .flatMap((message) => message.parts)
    .filter((part) => part.type === "tool" && part.tool === tool)
    .map(({ state }) => ({ status: state.status, output: state.output ?? "", error: state.error ?? "" }));
}

/**
 * How often a session was told of a task's end: by reports, by waits, and by its own cancellations. A look at a result
 * is a question, and does not count.
 *
 * @param {any[]} messages @param {string} id
 */
export function timesTold(messages, id) {
  const heading = new RegExp(`^## .*\\[(?:complete|cancelled|failed: \\w+)\\] ${id}$`, "gm");
  const count = (/** @type {string} */ text) => text.match(heading)?.length ?? 0;
  let times = 0;
  for (const message of messages) {
    if (isReport(message)) times += count(messageText(message));
    for (const tool of ["sortie_wait", "sortie_launch", "sortie_send", "sortie_retry"]) {
      for (const { output } of answersOf([message], tool)) times += count(output);
    }
    for (const { output } of answersOf([message], "sortie_cancel"))
      times += idsIn(output).filter((one) => one === id).length;
  }
  return times;
}

/** The most that were open at once. @param {{ at: number, endedAt?: number | undefined }[]} spans */
export function mostAtOnce(spans) {
  const open = (/** @type {{ at: number }} */ { at }) =>
    spans.filter((other) => other.at <= at && (other.endedAt ?? Number.POSITIVE_INFINITY) > at).length;
  return Math.max(0, ...spans.map(open));
}

/** The model's requests in a session. @param {ModelServer} model @param {string} session */
export function requestsIn(model, session) {
  return model.requests.filter((request) => request.kind === "chat" && request.sessionHint === session);
}
