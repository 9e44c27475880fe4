// @ts-check
/**
 * Runs the real OpenCode in a sandbox: as a server, or headless.
 * Each process leads its own group, so that ending it ends its children.
 * @module
 */
import { spawn } from "node:child_process";
import { opencodeBinary } from "./opencode-binary.mjs";
import { again, openEvents } from "./sse.mjs";
import { deadline, until } from "./wait.mjs";

/** @typedef {import("./sandbox.mjs").Sandbox} Sandbox */
/** @typedef {import("./sse.mjs").EventStream} EventStream */
/** @typedef {{code: number | null, signal: NodeJS.Signals | null}} Exit */
/** @typedef {Record<string, string | undefined>} Env */

/** How long a process may take to end after SIGTERM before SIGKILL, ms. */
const GRACE_MS = 5_000;

/**
 * @typedef {object} Host
 * @property {number} pid
 * @property {() => string} stdout Standard output so far.
 * @property {() => string} stderr Standard error so far.
 * @property {Promise<Exit>} exited
 * @property {(signal: NodeJS.Signals) => void} signal Sends a signal to the process alone.
 * @property {() => Promise<Exit>} stop SIGTERM, then SIGKILL after a grace; the whole group is gone when it resolves.
 * @property {() => Promise<Exit>} kill9 SIGKILL to the whole group: the crash.
 */

/**
 * @typedef {object} HostRequest
 * @property {Record<string, string | number | boolean | undefined>} [query]
 * @property {unknown} [body] Sent as JSON.
 * @property {string | null} [directory] Project addressed; default the server's working directory, `null` to send none.
 * @property {number} [timeoutMs] Default 30 000.
 */

/**
 * @typedef {object} ServerHandle
 * @property {string} url
 * @property {string} cwd
 * @property {(method: string, path: string, options?: HostRequest) => Promise<{status: number, body: any}>} request
 *   The body is parsed when it is JSON, else text; `undefined` when empty.
 * @property {(options?: {signal?: AbortSignal}) => EventStream} events Opens `/global/event`; await its `ready`.
 *
 * @typedef {Host & ServerHandle} Server
 */

/**
 * Starts `opencode serve` and waits until it listens: a request before that is never answered.
 *
 * @param {Sandbox} sandbox
 * @param {{env?: Env, cwd?: string, args?: string[], timeoutMs?: number}} [options]
 * @returns {Promise<Server>}
 */
export async function serve(sandbox, { env, cwd = sandbox.project, args = [], timeoutMs = 60_000 } = {}) {
  const host = start(sandbox, ["serve", "--hostname", "127.0.0.1", "--port", "0", ...args], { env, cwd });
  const listening = until(
    () => {
      const url = /listening on (http:\/\/\S+)/.exec(host.stdout())?.[1];
      return url ? { url } : undefined;
    },
    { timeoutMs, everyMs: 5, what: "opencode serve to listen" },
  );
  const ended = host.exited.then((exit) => {
    throw new Error(`opencode serve ended before it listened: ${JSON.stringify(exit)}\n${host.stderr()}`);
  });
  ended.catch(() => {});
  const { url } = await Promise.race([listening, ended]).catch(async (error) => {
    await host.kill9();
    throw error;
  });

  await until(async () => (await request(url, "GET", "/global/health", {})).status === 200, {
    timeoutMs,
    everyMs: 5,
    what: "its health",
  });

  /** @type {Set<EventStream>} */
  const streams = new Set();
  const closing = (/** @type {() => Promise<Exit>} */ end) => () => {
    for (const stream of streams) stream.close();
    return end();
  };
  return {
    ...host,
    url,
    cwd,
    stop: closing(host.stop),
    kill9: closing(host.kill9),
    request: (method, path, options) => request(url, method, path, { directory: cwd, ...options }),
    events(options) {
      const stream = openEvents(`${url}/global/event`, options);
      streams.add(stream);
      return stream;
    },
  };
}

/**
 * Runs OpenCode to its end, such as `["run", "say hello"]`.
 *
 * @param {Sandbox} sandbox
 * @param {string[]} args
 * @param {{env?: Env, cwd?: string, timeoutMs?: number, stdin?: "ignore" | "pipe"}} [options]
 * @returns {Promise<{code: number | null, signal: NodeJS.Signals | null, stdout: string, stderr: string, ms: number}>}
 */
export async function run(sandbox, args, { timeoutMs = 60_000, ...options } = {}) {
  const from = performance.now();
  const host = start(sandbox, args, options);
  try {
    const exit = await deadline(host.exited, timeoutMs, `opencode ${args[0]} to end`);
    return { ...exit, stdout: host.stdout(), stderr: host.stderr(), ms: performance.now() - from };
  } catch (error) {
    throw new Error(
      `${error instanceof Error ? error.message : error}\nstdout: ${host.stdout()}\nstderr: ${host.stderr()}`,
      { cause: error },
    );
  } finally {
    await host.kill9();
  }
}

/**
 * Spawns OpenCode and returns at once. The sandbox ends it when it is removed.
 *
 * @param {Sandbox} sandbox
 * @param {string[]} args
 * @param {{env?: Env, cwd?: string, stdin?: "ignore" | "pipe"}} [options]
 * @returns {Host}
 */
export function start(sandbox, args, { env, cwd = sandbox.project, stdin = "ignore" } = {}) {
  const child = spawn(opencodeBinary(), args, {
    cwd,
    // `run` opens its session in $PWD and its instance in the working directory.
    env: sandbox.env({ PWD: cwd, ...env }),
    stdio: [stdin, "pipe", "pipe"],
    detached: true,
  });
  let stdout = "";
  let stderr = "";
  child.stdout?.setEncoding("utf8").on("data", (text) => (stdout += text));
  child.stderr?.setEncoding("utf8").on("data", (text) => (stderr += text));
  /** @type {Promise<Exit>} */
  const exited = new Promise((resolve) => {
    child.once("error", (error) => {
      stderr += `${error}\n`;
      resolve({ code: null, signal: null });
    });
    child.once("exit", (code, signal) => resolve({ code, signal }));
  });
  const pid = child.pid ?? 0;
  // A group of its own also means that it would outlive a test process that exits early.
  const onExit = () => signal("SIGKILL", true);
  process.once("exit", onExit);
  exited.then(() => process.off("exit", onExit));
  const signal = (/** @type {NodeJS.Signals} */ name, group = false) => {
    if (!pid) return;
    try {
      process.kill(group && process.platform !== "win32" ? -pid : pid, name);
    } catch {
      // It is gone.
    }
  };
  const kill9 = async () => {
    signal("SIGKILL", true);
    const exit = await exited;
    // A grandchild may hold the pipes open.
    child.stdout?.destroy();
    child.stderr?.destroy();
    return exit;
  };
  const stop = async () => {
    signal("SIGTERM");
    await deadline(exited, GRACE_MS, "OpenCode to end after SIGTERM").catch(() => {});
    return kill9();
  };
  sandbox.defer(kill9);
  return { pid, exited, stop, kill9, signal: (name) => signal(name), stdout: () => stdout, stderr: () => stderr };
}

/**
 * Waits until a session has answered: it is not busy, and its last message is
 * an assistant message that has ended, well or not.
 *
 * @param {Server} server
 * @param {string} sessionID
 * @param {{timeoutMs?: number, directory?: string}} [options]
 * @returns {Promise<any[]>} All messages of the session, oldest first.
 */
export async function waitIdle(server, sessionID, { timeoutMs = 30_000, directory = server.cwd } = {}) {
  return until(
    async () => {
      const status = await server.request("GET", "/session/status", { directory });
      if (status.body?.[sessionID] && status.body[sessionID].type !== "idle") return undefined;
      const { body } = await server.request("GET", `/session/${sessionID}/message`, { directory });
      const last = body?.at?.(-1)?.info;
      return last?.role === "assistant" && (last.time.completed || last.error) ? body : undefined;
    },
    { timeoutMs, what: `session ${sessionID} to be idle` },
  );
}

/**
 * The text a message shows.
 *
 * @param {{parts: {type: string, text?: string}[]} | undefined} message
 * @returns {string}
 */
export function messageText(message) {
  return (message?.parts ?? []).map(({ type, text }) => (type === "text" ? (text ?? "") : "")).join("");
}

/** @param {string} base @param {string} method @param {string} path @param {HostRequest} options */
async function request(base, method, path, { query = {}, body, directory, timeoutMs = 30_000 }) {
  const url = new URL(path, base);
  if (directory) url.searchParams.set("directory", directory);
  for (const [name, value] of Object.entries(query)) if (value !== undefined) url.searchParams.set(name, String(value));
  const ask = async () => {
    const response = await fetch(url, {
      method,
      signal: AbortSignal.timeout(timeoutMs),
      ...(body !== undefined && { body: JSON.stringify(body), headers: { "content-type": "application/json" } }),
    });
    return { status: response.status, body: parse(await response.text()) };
  };
  return (method === "GET" ? again(ask) : ask()).catch((error) => {
    // "fetch failed" alone names neither.
    throw new Error(`${method} ${url.pathname}: ${error.cause ?? error}`, { cause: error });
  });
}

/** @param {string} text */
function parse(text) {
  if (text === "") return undefined;
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}
