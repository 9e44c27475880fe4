// @ts-check
/** Changes TODO.md through the tool, with others doing the same. One of the processes of `todo.test.mjs`. */
import { member } from "../../testkit/crew.mjs";
import { mulberry32 } from "../../testkit/random.mjs";
import { attach } from "./harness.mjs";
import { board, counter, isFault, writer } from "./todo-board.mjs";

/**
 * @typedef {{home: string, project: string, me: number, updates: number, shared: number, claims: number, seed: number}} Job
 * @typedef {{revs: number[], claimed: string[], added: string[], notes: number, conflicts: number, times: number[]}} Done
 */

/** How often in the run each adds an item and writes a note. */
const EXTRAS = 8;

await member(
  async (/** @type {Job} */ job) => {
    const to = await attach(job);
    await to.start();
    return to;
  },
  async (/** @type {Job} */ job, to) => {
    const done = await work(job, board(to, writer(job.me)));
    await to.detach();
    return done;
  },
);

/**
 * @param {Job} job
 * @param {ReturnType<typeof board>} todo
 * @returns {Promise<Done>}
 */
async function work({ me, updates, shared, claims, seed }, todo) {
  const random = mulberry32(seed);
  /** @type {Done} */
  const done = { revs: [], claimed: [], added: [], notes: 0, conflicts: 0, times: [] };
  /** @param {object} args */
  const change = async (args) => {
    for (;;) {
      const from = performance.now();
      try {
        done.revs.push(await todo.change(args));
        done.times.push(performance.now() - from);
        return;
      } catch (error) {
        // So many on one processor may have to wait for longer than people would. Nothing was changed.
        if (!isFault(error, "store-busy")) throw error;
      }
    }
  };
  // The same change by two is an agreement: so each says who it is.
  const count = (/** @type {string} */ id, /** @type {number} */ next) => ({
    do: "update",
    id,
    status: "in_progress",
    title: `writer ${me} counted ${next}`,
  });
  let [own, tried, extras] = [0, 0, 0];
  let { rev: read } = await todo.item(`own${me}`);
  for (let update = 0; update < updates; update++) {
    if (update % 2 === 0) {
      // Of an item that is nobody else's it does not matter how long ago it was read.
      await change({ ...count(`own${me}`, ++own), ...(random() < 0.5 && { rev: read }) });
      read = done.revs.at(-1) ?? read;
    } else {
      const id = `shared${Math.floor(random() * shared)}`;
      for (;;) {
        const { rev, text } = await todo.item(id);
        try {
          await change({ ...count(id, counter(text, id) + 1), rev });
          break;
        } catch (error) {
          if (!isFault(error, "todo-conflict")) throw error;
          done.conflicts++;
        }
      }
    }
    // All try the same items at about the same time.
    for (; tried < claims * ((update + 1) / updates); tried++) {
      const id = `claim${tried}`;
      try {
        await change({ do: "claim", id, ...(random() < 0.5 && { rev: read }) });
        done.claimed.push(id);
      } catch (error) {
        if (!isFault(error, "todo-claimed")) throw error;
      }
    }
    for (; extras < EXTRAS * ((update + 1) / updates); extras++) {
      const id = `w${me}n${extras}`;
      await change({ do: "add", title: "Added", items: [{ id, title: "new" }] });
      done.added.push(id);
      await change({ do: "update", id: `own${me}`, text: `note ${me}.${++done.notes}.` });
    }
  }
  return done;
}
