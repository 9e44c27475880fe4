// @ts-check
/**
 * What sessions that wait ready-made would save a task: its own session, made when it is needed, against one that was
 * made before. That one has to be seen to be empty, which is also its health check, and given the title and the
 * rules of the task. In both cases it is the time until the prompt can be sent.
 * @module
 */
import { newSession, startHost, startModel } from "./hosts.mjs";
import { row } from "./stats.mjs";

/** What Sortie gives the session of a task, in size. */
const RULES = ["sortie_launch", "sortie_wait", "sortie_status"].map((permission) => ({
  permission,
  pattern: "*",
  action: "deny",
}));

/** @type {import("./hosts.mjs").Group} */
export async function sessions(bench) {
  const { server } = await startHost(bench, "alone", await startModel(bench));
  const parentID = await newSession(server, { title: "parent" });
  const made = () => newSession(server, { parentID, title: "a task", permission: RULES });
  const taken = async (/** @type {string} */ id) => {
    const { body: messages } = await server.request("GET", `/session/${id}/message?limit=1`);
    if (!Array.isArray(messages) || messages.length > 0) throw new Error("a new session is not empty");
    const body = { title: "a task", permission: RULES };
    const { status } = await server.request("PATCH", `/session/${id}`, { body });
    if (status !== 200) throw new Error(`a session was not renamed: ${status}`);
  };
  /** @type {number[]} */
  const making = [];
  /** @type {number[]} */
  const taking = [];
  const rounds = bench.quick ? 50 : 300;
  for (let round = 0; round < rounds + 10; round++) {
    const ready = await newSession(server, { parentID, title: "ready" });
    const start = performance.now();
    await made();
    const between = performance.now();
    await taken(ready);
    if (round < 10) continue;
    making.push(between - start);
    taking.push(performance.now() - between);
  }
  return [
    row("a task's session, made when needed", "ms", making, {}),
    row("the same from a pool", "ms", taking, { baseline: making, note: "empty as seen, with title and rules" }),
  ];
}
