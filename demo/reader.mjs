// @ts-check
/**
 * Reads Sortie's tasks as `sortie_status` tells them: the addon in this process, on the same home as the server's. It
 * is attached and never started, so it takes no part in the work, and it goes on when the server is dead.
 * @module
 */
import { attach } from "../index.js";

/** @typedef {import("./screen.mjs").TaskView} TaskView */

/**
 * @param {import("../testkit/sandbox.mjs").Sandbox} sandbox
 * @param {string} session
 */
export async function openReader(sandbox, session) {
  process.env.SORTIE_HOME = sandbox.sortieHome;
  const { project } = sandbox;
  const spec = { directory: project, project, options: "{}", headless: false };
  const nobody = async () => ({ status: 0, body: "the reader asks nobody" });
  const attachment = await attach(spec, nobody, () => {});
  let calls = 0;
  return {
    /** @returns {Promise<TaskView[]>} */
    async tasks() {
      const caller = { session, directory: project };
      const answer = await attachment.call(++calls, "sortie_status", '{"all": true, "json": true}', caller);
      /** @type {TaskView[]} */
      const tasks = JSON.parse(answer).tasks;
      // People know tasks by their keys.
      const keys = new Map(tasks.map(({ id, key }) => [id, key ?? id]));
      const named = (/** @type {string} */ text) => text.replace(/tsk_\w+/g, (id) => keys.get(id) ?? id);
      return tasks.map((task) => ({ ...task, detail: task.detail && named(task.detail) }));
    },
    close: () => attachment.detach(),
  };
}
