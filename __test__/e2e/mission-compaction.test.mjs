// @ts-check
/**
 * A mission across compactions: one that a person asks for while workers are at work, one that the host makes in the
 * middle of the commander's turn, and one in the middle of a worker's, which leaves it nothing but its memory.
 */
import assert from "node:assert/strict";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { playMission } from "../../testkit/mission.mjs";
import { addHarbour, GOAL, ITEMS } from "../../testkit/mission-items.mjs";
import { textOf } from "../../testkit/model-script.mjs";
import { serve } from "../../testkit/opencode.mjs";
import { until } from "../../testkit/wait.mjs";
import { assertDone, begin, MISSION_MS, messagesIn, OPTIONS, untilReport } from "./mission-stage.mjs";
import { gate, one, PATIENCE, setUp } from "./stage.mjs";

/** @typedef {import("../../testkit/mission.mjs").CastOptions} CastOptions */

/** More than the model of the sandbox can hold, less what it keeps for its answer. */
const FULL = { prompt_tokens: 199_000, completion_tokens: 10 };

/** @type {import("./stage.mjs").ModelServer} */
let model;
/** @type {import("./stage.mjs").Sandbox} */
let sandbox;

before(async () => {
  ({ model, sandbox } = await setUp({ options: OPTIONS }));
});

after(async () => {
  await model?.close();
  await sandbox?.remove();
});

/** A mission in a project of its own. @param {string} name @param {(directory: string) => CastOptions} options */
async function stage(name, options) {
  const directory = addHarbour(sandbox, name);
  const from = model.requests.length;
  const cast = playMission(model, options(directory));
  const server = await serve(sandbox, { cwd: directory, timeoutMs: 2 * PATIENCE });
  const session = await begin(server);
  const summaries = () =>
    model.requests.slice(from).filter(({ kind, sessionHint }) => kind === "summary" && sessionHint === session);
  return { directory, cast, server, session, summaries, sandbox };
}

/** The parts in which the host notes its compactions. @param {any[]} messages */
function compactions(messages) {
  return messages.flatMap(({ parts }) => parts).filter(({ type }) => type === "compaction");
}

test("a compaction that a person asks for, while the workers work", { timeout: 2 * MISSION_MS }, async (t) => {
  /** @type {ReturnType<typeof gate> | undefined} */
  let held;
  const play = await stage("asked", (directory) => {
    held = gate(join(directory, ".opencode"), "weight");
    const { step, isReached } = held;
    return {
      direct: ({ role, item }) => (role === "worker" && item?.key === "weight" && !isReached() ? step : undefined),
    };
  });
  t.after(play.server.stop);
  await until(() => held?.isReached(), { timeoutMs: MISSION_MS, what: "a worker to be at work" });
  const body = { providerID: "scripted", modelID: "model" };
  const answer = await play.server.request("POST", `/session/${play.session}/summarize`, { body, timeoutMs: PATIENCE });
  assert.equal(answer.status, 200);
  held?.open();
  const messages = await untilReport(play.server, play.session);
  assert.equal(compactions(messages).length, 1);
  await assertDone(play);

  // The summary is made from the mission's state, and what comes after it still has the memory.
  const summary = one(play.summaries());
  assert.match(summary.lastUser, /is kept outside and is true whatever the summary says/);
  assert.ok(summary.lastUser.includes(GOAL));
  for (const { title } of ITEMS) assert.ok(summary.lastUser.includes(title), title);
  const last = one(play.cast.requests("commander").slice(-1));
  assert.ok(last.seq > summary.seq);
  assert.equal(last.system.split("<sortie-memory>").length - 1, 1);
  assert.ok(!last.body.messages.some((message) => message.role === "user" && textOf(message) === GOAL));
  play.cast.leave();
});

test("a compaction in the middle of the commander's turn", { timeout: 2 * MISSION_MS }, async (t) => {
  const play = await stage("turn", () => ({
    direct: ({ role, request }) => {
      const isFirst = role === "commander" && !request.body.messages.some(({ role }) => role === "assistant");
      return isFirst ? { tool: "glob", args: { pattern: "src/*.mjs" }, usage: FULL } : undefined;
    },
  }));
  t.after(play.server.stop);
  const messages = await untilReport(play.server, play.session);
  assert.equal(compactions(messages).length, 1);
  await assertDone(play);
  play.cast.leave();
});

test("a compaction in the middle of a worker's turn: it knows its item from the memory", {
  timeout: 2 * MISSION_MS,
}, async (t) => {
  const play = await stage("worker", () => ({
    direct: ({ role, item, request }) => {
      const isFirst = !request.body.messages.some(({ role }) => role === "assistant");
      const isBerth = role === "worker" && item?.key === "berth";
      return isBerth && isFirst ? { tool: "glob", args: { pattern: "src/*.mjs" }, usage: FULL } : undefined;
    },
  }));
  t.after(play.server.stop);
  await untilReport(play.server, play.session);
  await assertDone(play);
  const [worker] = play.cast.sessions("worker", "berth");
  assert.equal(compactions(await messagesIn(play.server, String(worker))).length, 1);
  const last = one(play.cast.requests("worker", "berth").slice(-1));
  assert.ok(!last.body.messages.some((message) => textOf(message).includes("Do this one item")), "the prompt is gone");
  play.cast.leave();
});
