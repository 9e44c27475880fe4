// @ts-check
/**
 * Waiting with a deadline. Tests never sleep for a guessed time: they name a
 * condition, and a condition that does not come true fails with that name.
 * @module
 */

/** Longest part of a last-seen value quoted in an error, in characters. */
const QUOTE = 400;

/** A deadline passed before the thing waited for happened. */
export class TimeoutError extends Error {
  /** @param {string} message @param {unknown} [cause] */
  constructor(message, cause) {
    super(message, cause === undefined ? undefined : { cause });
    this.name = "TimeoutError";
  }
}

/**
 * @typedef {object} UntilOptions
 * @property {number} [timeoutMs] Give up after this long. Default 15 000.
 * @property {number} [everyMs] Pause between two looks. Default 25.
 * @property {string | (() => string)} [what] What is awaited; completes "timed out waiting for …".
 */

/**
 * Calls `fn` until it returns something truthy, and returns that. A throw of
 * `fn` counts as "not yet"; the last one becomes the cause of the timeout.
 *
 * @template T
 * @param {() => T | Promise<T>} fn
 * @param {UntilOptions} [options]
 * @returns {Promise<NonNullable<T>>}
 */
export async function until(fn, { timeoutMs = 15_000, everyMs = 25, what = "a condition" } = {}) {
  const end = performance.now() + timeoutMs;
  /** @type {unknown} */
  let last;
  /** @type {unknown} */
  let cause;
  for (;;) {
    try {
      const left = Math.max(1, end - performance.now());
      const value = await deadline(Promise.resolve(fn()), left, "one look");
      if (value) return value;
      last = value;
      cause = undefined;
    } catch (error) {
      cause = error;
    }
    if (performance.now() >= end) {
      const seen = cause instanceof Error ? `last error: ${cause.message}` : `last value: ${quote(last)}`;
      const name = typeof what === "function" ? what() : what;
      throw new TimeoutError(`timed out after ${timeoutMs} ms waiting for ${name}; ${seen}`, cause);
    }
    await new Promise((resolve) => setTimeout(resolve, everyMs));
  }
}

/**
 * The promise's own outcome, or a {@link TimeoutError} after `ms`. The timer is
 * cleared either way; the promise itself is not cancelled.
 *
 * @template T
 * @param {Promise<T>} promise
 * @param {number} ms
 * @param {string} what Completes "timed out waiting for …".
 * @returns {Promise<T>}
 */
export function deadline(promise, ms, what) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(
      () => reject(new TimeoutError(`timed out after ${Math.round(ms)} ms waiting for ${what}`)),
      ms,
    );
    promise.then(resolve, reject).finally(() => clearTimeout(timer));
  });
}

/** @param {unknown} value */
function quote(value) {
  const text = typeof value === "string" ? value : (JSON.stringify(value) ?? String(value));
  return text.length > QUOTE ? `${text.slice(0, QUOTE)}…` : text;
}
