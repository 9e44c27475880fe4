// @ts-check
/**
 * The host's event stream: read from the moment it is opened, kept, searchable.
 * @module
 */
import { deadline } from "./wait.mjs";

/** What breaks a connection off, unlike what says that nobody is there. */
const BROKEN = new Set(["ECONNRESET", "EPIPE", "UND_ERR_SOCKET"]);

/**
 * Asks for what may be asked for twice, up to three times more where the connection broke off: the host does that at times
 * under load, and a connection kept from a server that has ended may be taken for the next one's on the same port.
 *
 * @template T
 * @param {() => Promise<T>} ask
 * @returns {Promise<T>}
 */
export async function again(ask) {
  for (let left = 3; ; left--) {
    try {
      return await ask();
    } catch (error) {
      const cause = error instanceof Error ? error.cause : undefined;
      const code = cause instanceof Error && "code" in cause ? String(cause.code) : "";
      if (left === 0 || !BROKEN.has(code)) throw error;
    }
  }
}

/**
 * One event as `/global/event` sends it.
 *
 * @typedef {object} HostEvent
 * @property {string} [directory] Absent for events of the whole process.
 * @property {string} [project]
 * @property {{id?: string, type: string, properties: any}} payload
 */

/**
 * Handle of an open stream; iterating it gives all events from the first, until it ends.
 *
 * @typedef {object} EventStreamHandle
 * @property {HostEvent[]} seen Every event so far.
 * @property {Promise<void>} ready Resolved when the host has accepted the stream: what happens from here on is seen.
 * @property {(predicate: (event: HostEvent) => boolean, options?: {timeoutMs?: number, from?: number}) => Promise<HostEvent>} waitFor
 *   The first event, from place `from` (default 0) on or coming, for which the predicate holds.
 * @property {() => void} close
 *
 * @typedef {EventStreamHandle & AsyncIterable<HostEvent>} EventStream
 */

/**
 * Opens an event stream.
 *
 * @param {string} url
 * @param {{signal?: AbortSignal, headers?: Record<string, string>}} [options]
 * @returns {EventStream}
 */
export function openEvents(url, { signal, headers } = {}) {
  const abort = new AbortController();
  const close = () => abort.abort();
  signal?.addEventListener("abort", close, { once: true });
  /** @type {HostEvent[]} */
  const seen = [];
  /** Called at each event and at the end. @type {Set<() => void>} */
  const listeners = new Set();
  let ended = false;
  const notify = () => {
    for (const listener of [...listeners]) listener();
  };

  const response = again(() =>
    fetch(url, { signal: abort.signal, headers: { accept: "text/event-stream", ...headers } }),
  );
  const ready = response.then((res) => {
    if (!res.ok) throw new Error(`the event stream ${url} answered ${res.status}`);
  });
  ready.catch(() => {});
  (async () => {
    const body = (await response).body;
    if (!body) return;
    for await (const data of messages(body)) {
      seen.push(JSON.parse(data));
      notify();
    }
  })()
    .catch(() => {
      // Closed by us, or the host is gone: the end is the message.
    })
    .finally(() => {
      ended = true;
      signal?.removeEventListener("abort", close);
      notify();
    });

  /** Resolves at the next event, or at once after the end. @returns {Promise<void>} */
  const next = () =>
    new Promise((resolve) => {
      if (ended) return resolve();
      const listener = () => {
        listeners.delete(listener);
        resolve();
      };
      listeners.add(listener);
    });

  /** @param {number} from */
  async function* iterate(from) {
    for (let at = from; ; at++) {
      while (at >= seen.length) {
        if (ended) return;
        await next();
      }
      yield/** @type {HostEvent} */ (seen[at]);
    }
  }

  /** @param {(event: HostEvent) => boolean} predicate @param {number} from @returns {Promise<HostEvent>} */
  const find = async (predicate, from) => {
    for await (const event of iterate(from)) if (predicate(event)) return event;
    throw new Error(`the event stream ended after ${seen.length} events without the one awaited`);
  };

  return {
    seen,
    ready,
    waitFor: (predicate, { timeoutMs = 15_000, from = 0 } = {}) =>
      deadline(find(predicate, from), timeoutMs, "an event of the host"),
    [Symbol.asyncIterator]: () => iterate(0),
    close,
  };
}

/**
 * The `data` of each message of a server-sent event stream.
 *
 * @param {ReadableStream<Uint8Array>} body
 */
async function* messages(body) {
  const decoder = new TextDecoder();
  let rest = "";
  for await (const chunk of /** @type {AsyncIterable<Uint8Array>} */ (/** @type {unknown} */ (body))) {
    rest += decoder.decode(chunk, { stream: true });
    const blocks = rest.split(/\r?\n\r?\n/);
    rest = blocks.pop() ?? "";
    for (const block of blocks) {
      const lines = block.split(/\r?\n/).filter((line) => line.startsWith("data:"));
      if (lines.length > 0) yield lines.map((line) => line.slice(5).replace(/^ /, "")).join("\n");
    }
  }
}
