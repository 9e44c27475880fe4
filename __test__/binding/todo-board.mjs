// @ts-check
/**
 * TODO.md as it is reached through the tool.
 * @module
 */
import { CALLER } from "./harness.mjs";

/** @typedef {import("../../index.js").SortieAttachment} Attachment */
/** @typedef {{rev: number, text: string}} Read */

let calls = 0;

/** The file, from the project's root. */
export const FILE = ".opencode/todo.md";

/** The session of a writer, which is the author of its revisions. @param {number} number */
export const writer = (number) => `ses_writer${number}`;

/**
 * `sortie_todo` for one session.
 *
 * @param {Attachment} to
 * @param {string} session
 */
export function board(to, session) {
  const caller = { ...CALLER, session };
  const ask = (/** @type {object} */ args) => to.call(++calls, "sortie_todo", JSON.stringify(args), caller);
  return {
    ask,
    /** Makes a change. @param {object} args @returns {Promise<number>} Its revision. */
    change: async (args) => Number(/^rev (\d+): /.exec(await ask(args))?.[1]),
    /** One item, and the revision that says so. @param {string} id @returns {Promise<Read>} */
    item: async (id) => split(await ask({ do: "read", id })),
    /** The whole file. @param {number} [rev] @returns {Promise<Read>} */
    all: async (rev) => {
      const read = split(await ask({ do: "read", view: "all", ...(rev !== undefined && { rev }) }));
      if (read.text.endsWith("; read the file for the rest")) throw new Error("the file is too long for one answer");
      return read;
    },
  };
}

/** @param {string} answer @returns {Read} */
function split(answer) {
  const end = answer.indexOf("\n");
  const rev = /^rev (\d+)/.exec(answer)?.[1];
  if (rev === undefined) throw new Error(`not the answer to a read: ${answer}`);
  return { rev: Number(rev), text: end < 0 ? "" : answer.slice(end + 1) };
}

/**
 * The number at the end of an item's title.
 *
 * @param {string} text
 * @param {string} id
 */
export function counter(text, id) {
  const found = new RegExp(`${id}(?: \\[.\\]|:) .*counted (\\d+)`).exec(text)?.[1];
  if (found === undefined) throw new Error(`${id} is gone:\n${text}`);
  return Number(found);
}

/** Whether an error is this one of the catalogue. @param {unknown} error @param {string} code */
export const isFault = (error, code) => error instanceof Error && error.message.includes(`sortie error ${code}:`);
