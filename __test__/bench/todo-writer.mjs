// @ts-check
/** Changes TODO.md as fast as it can, and tells how long each change took. One of the processes of `todo.mjs`. */
import { closeSync, fsyncSync, openSync, writeSync } from "node:fs";
import { join } from "node:path";
import { member } from "../../testkit/crew.mjs";
import { attach, CALLER } from "../binding/harness.mjs";
import { board, writer } from "../binding/todo-board.mjs";

/**
 * @typedef {{home: string, project: string, me: number, writers: number, items: number, rounds: number}} Job
 * @typedef {{times: number[], calls: number[], refused: number[], synced: number[], ms: number}} Done All in ms: each
 *   change, each call that asks, each claim that is refused, each synced write; and from the first change to the last.
 */

/** Not counted: the first calls compile and open things. */
const WARM = 5;

await member(
  async (/** @type {Job} */ job) => {
    const to = await attach(job);
    await to.start();
    return to;
  },
  async (/** @type {Job} */ { project, me, writers, items, rounds }, to) => {
    const todo = board(to, writer(me));
    /** @type {Done} */
    const done = { times: [], calls: [], refused: [], synced: [], ms: 0 };
    // Each its own items; `t1` is nobody's.
    const own = Array.from({ length: items - 1 }, (_, n) => n + 2).filter((n) => n % writers === me);
    const note = async (/** @type {number} */ round) => {
      const id = `t${own[round % own.length]}`;
      await todo.ask({ do: "update", id, title: `Change what number ${round} of ${me} is about` });
    };
    for (let round = 0; round < WARM; round++) await note(round);
    const from = performance.now();
    // In pairs: the disk is busy with other things at times.
    const file = openSync(join(project, `synced-${me}`), "w");
    const page = Buffer.alloc(4_096, 1);
    const sync = () => {
      writeSync(file, page);
      fsyncSync(file);
    };
    for (let round = 0; round < rounds; round++) {
      done.times.push(await timed(() => note(round)));
      if (writers === 1) done.synced.push(await timed(sync));
    }
    closeSync(file);
    done.ms = performance.now() - from;
    if (writers === 1) {
      const call = () => to.call(1_000_000, "sortie_status", "{}", { ...CALLER, session: writer(me) });
      // It waits for `t2`.
      const refused = () => todo.ask({ do: "claim", id: "t3" }).catch(() => {});
      for (let round = 0; round < WARM; round++) await Promise.all([call(), refused()]);
      for (let round = 0; round < rounds; round++) done.calls.push(await timed(call));
      for (let round = 0; round < rounds; round++) done.refused.push(await timed(refused));
    }
    await to.detach();
    return done;
  },
);

/** @param {() => unknown} work @returns {Promise<number>} */
async function timed(work) {
  const from = performance.now();
  await work();
  return performance.now() - from;
}
