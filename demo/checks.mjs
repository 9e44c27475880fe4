// @ts-check
/**
 * What has to be true at the end of the demo, each with its name.
 * @module
 */
import { messageText } from "../testkit/opencode.mjs";
import { playedResult } from "./mission.mjs";

/** @typedef {import("./screen.mjs").TaskView} TaskView */

/** @typedef {{name: string, ok: boolean, found: string}} Check */

/**
 * What was seen of the mission.
 *
 * @typedef {object} Seen
 * @property {import("./mission.mjs").Mission} mission
 * @property {TaskView[]} tasks At the end.
 * @property {boolean} killed Whether a kill belongs to this demo.
 * @property {TaskView[] | undefined} atKill When the server was killed.
 * @property {any[]} messages Of the commander's session.
 * @property {import("../testkit/model-server.mjs").ModelRequest[]} requests What the played model was asked.
 * @property {number} requestsAtKill How many of them before the kill.
 */

/** @param {Seen} seen @returns {Check[]} */
export function checks({ mission, tasks, killed, atKill, messages, requests, requestsAtKill }) {
  const task = (/** @type {string} */ key) => tasks.find((one) => one.key === key);
  const told = messages
    .filter(({ info }) => info.role === "user")
    .flatMap((message) => [...messageText(message).matchAll(/^## .*\] (tsk_\S+)$/gm)].map(([, id]) => id));
  const states = tasks.map(({ key, state }) => `${key} ${state}`).join(", ");
  const final = messages.at(-1);
  /** @type {Check[]} */
  const found = [
    check("every task of the mission was launched", mission.tasks.length === tasks.length, `${tasks.length} tasks`),
    check(
      "every task is complete",
      tasks.every(({ state }) => state === "complete"),
      states,
    ),
    check("every end was told to the commander exactly once", sameIds(told, tasks), `told: ${told.join(", ")}`),
    check(
      "the commander has the last word",
      final?.info.role === "assistant" && messageText(final) !== "",
      `the last message is the ${final?.info.role}'s`,
    ),
  ];
  if (mission.flaky !== undefined) {
    const attempt = task(mission.flaky)?.attempt;
    found.push(check(`${mission.flaky} failed once and was tried again`, attempt === 2, `attempt ${attempt}`));
  }
  if (mission.answer) {
    const others = mission.tasks.filter(({ key }) => key !== mission.last).map(({ key }) => playedResult(key));
    const handed = requests.some(({ lastUser }) => others.every((result) => lastUser.includes(result)));
    found.push(check(`${mission.last} was given the results of the others`, handed, "no prompt held them all"));
  }
  if (killed && !atKill)
    found.push(check("tasks were running when the server was killed", false, "it was never killed"));
  if (atKill) {
    const running = atKill.filter(({ state, session }) => state === "running" && session);
    const moved = running.filter(
      (before) => before.key !== mission.flaky && task(before.key ?? "")?.session !== before.session,
    );
    found.push(
      check("tasks were running when the server was killed", running.length > 0, "none"),
      check(
        "the same tasks went on after the restart, in their own sessions",
        running.every((before) => (task(before.key ?? "")?.interruptions ?? 0) > 0) && moved.length === 0,
        `${running.map(({ key }) => key).join(", ")} ran; in other sessions: ${moved.map(({ key }) => key).join(", ")}`,
      ),
    );
    const ended = new Set(atKill.filter(({ state }) => state === "complete").map(({ session }) => session));
    if (mission.answer) {
      const again = requests.slice(requestsAtKill).filter(({ sessionHint }) => ended.has(sessionHint));
      found.push(check("no finished task was run again", again.length === 0, `${again.length} requests`));
    }
  }
  return found;
}

/** @param {string} name @param {boolean} ok @param {string} otherwise @returns {Check} */
function check(name, ok, otherwise) {
  return { name, ok, found: ok ? "" : otherwise };
}

/** @param {(string | undefined)[]} told @param {TaskView[]} tasks */
function sameIds(told, tasks) {
  const ids = tasks.map(({ id }) => id).sort();
  return told.length === ids.length && [...told].sort().every((id, at) => id === ids[at]);
}
