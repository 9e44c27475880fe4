// @ts-check
/** Missions that must not go on for ever, be called done when they are not, or stand in each other's way. */
import assert from "node:assert/strict";
import { appendFileSync, mkdirSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { playMission, REPORT, readTodo, updateTodo } from "../../testkit/mission.mjs";
import { addHarbour, bash, CHECK, ITEMS } from "../../testkit/mission-items.mjs";
import { messageText, run, serve } from "../../testkit/opencode.mjs";
import { until } from "../../testkit/wait.mjs";
import {
  asksForReport,
  begin,
  MISSION_MS,
  markOf,
  messagesIn,
  missionMessages,
  order,
  planOf,
  untilReport,
} from "./mission-stage.mjs";
import { answersOf, one, PATIENCE, ROOT, Session, setUp } from "./stage.mjs";

/** @typedef {import("../../testkit/mission.mjs").CastOptions} CastOptions */
/** @typedef {import("../../testkit/mission-items.mjs").Item} Item */

/** @type {import("./stage.mjs").ModelServer} */
let model;
/** @type {import("./stage.mjs").Sandbox} */
let sandbox;

/** A plan of one item. */
const ONE = [one(ITEMS)];

before(async () => {
  ({ model, sandbox } = await setUp());
});

after(async () => {
  await model?.close();
  await sandbox?.remove();
});

/**
 * A mission in a project of its own, under options of its own.
 *
 * @param {import("node:test").TestContext} t
 * @param {string} name @param {Record<string, unknown>} mission @param {CastOptions} options
 */
async function stage(t, name, mission, options) {
  const directory = addHarbour(sandbox, name, { config: { plugin: [[ROOT, { mission }]] } });
  const cast = playMission(model, options);
  t.after(cast.leave);
  const server = await serve(sandbox, { cwd: directory, timeoutMs: 2 * PATIENCE });
  t.after(server.stop);
  const events = server.events();
  await events.ready;
  const session = await begin(server);
  const toasts = () =>
    events.seen.filter(({ payload }) => payload.type === "tui.toast.show").map(({ payload }) => payload.properties);
  return { directory, cast, server, session, toasts };
}

/** Waits until a mission stands still, and gives what `/mission` shows. @param {Awaited<ReturnType<typeof stage>>} play */
async function untilPaused({ server, session, toasts }) {
  await until(() => toasts().some(({ title, message }) => /paused/i.test(`${title} ${message}`)), {
    timeoutMs: MISSION_MS,
    everyMs: 100,
    what: () => `a toast that says that the mission is paused; there were ${JSON.stringify(toasts())}`,
  });
  const shown = await order(server, session, "mission");
  assert.match(shown, /paused in \w+: ./);
  return shown;
}

/** No worker lives. @type {CastOptions["direct"]} */
const noWorker = ({ role }) => (role === "worker" ? { status: 400, say: "not today" } : undefined);

test("peers' fault 6: a commander that says it is blocked is asked three times, and then the mission pauses", {
  timeout: 2 * MISSION_MS,
}, async (t) => {
  const play = await stage(t, "blocked", {}, { items: ONE, direct: noWorker });
  const shown = await untilPaused(play);
  assert.match(shown, /progress/, shown);
  const messages = await messagesIn(play.server, play.session);
  const told = missionMessages(messages);
  assert.equal(told.length, 3, told.map(messageText).join("\n---\n"));
  assert.ok(!told.some(asksForReport), "a mission with a failed item is not called done");
  assert.ok(!messages.some((message) => messageText(message) === REPORT));
  assert.equal(markOf(play.directory, one(ONE)), "!");
  assert.equal(play.cast.sessions("worker").length, 2, "an item has two workers");
  const asked = play.cast.requests("commander");
  assert.equal(asked.length, 4);
  t.diagnostic(`${model.requests.length} requests, ${asked.reduce((sum, { bodyBytes }) => sum + bodyBytes, 0)} bytes`);
  const before = model.requests.length;
  await order(play.server, play.session, "mission");
  assert.equal(model.requests.length, before, "a mission that is paused asks nothing");
});

test("peers' fault 6: a commander that tries the same again and again is bounded in its turns", {
  timeout: 2 * MISSION_MS,
}, async (t) => {
  const play = await stage(
    t,
    "again",
    { maxTurns: 4, workers: 1 },
    {
      items: ONE,
      direct: (scene) => {
        const { role, request } = scene;
        const isNew = request.body.messages.at(-1)?.role === "user";
        if (role === "commander" && isNew && /cannot go on/.test(request.lastUser)) {
          return { tool: "sortie_todo", args: updateTodo(one(ONE).key, "pending") };
        }
        return noWorker(scene);
      },
    },
  );
  const shown = await untilPaused(play);
  assert.match(shown, /\b4\b/, shown);
  assert.equal(missionMessages(await messagesIn(play.server, play.session)).length, 4);
});

test("a mission is bounded in its tokens", { timeout: 2 * MISSION_MS }, async (t) => {
  const play = await stage(
    t,
    "tokens",
    { maxTokens: 50_000 },
    {
      direct: ({ role, item, request }) => {
        const isFirst = !request.body.messages.some(({ role }) => role === "assistant");
        const asked = { tool: "glob", args: { pattern: "*" }, usage: { prompt_tokens: 60_000, completion_tokens: 1 } };
        return role === "worker" && item?.key === "weight" && isFirst ? asked : undefined;
      },
    },
  );
  assert.match(await untilPaused(play), /tokens/);
  assert.ok(!missionMessages(await messagesIn(play.server, play.session)).some(asksForReport));
});

test("peers' fault 8: one headless mission after another in the same project", {
  timeout: 4 * MISSION_MS,
}, async (t) => {
  const directory = addHarbour(sandbox, "headless", { config: { plugin: [[ROOT, { mission: { checks: [CHECK] } }]] } });
  const headless = async (/** @type {string} */ goal) => {
    const ended = await run(sandbox, ["run", "--command", "task", goal], { cwd: directory, timeoutMs: MISSION_MS });
    assert.equal(ended.code, 0, `${ended.stdout}\n${ended.stderr}`);
    assert.ok(ended.stdout.includes(REPORT), ended.stdout);
  };
  const first = playMission(model);
  await headless("make every test pass");
  for (const item of ITEMS) assert.equal(markOf(directory, item), "x", item.key);
  first.leave();

  /** @type {Item[]} */
  const more = [
    {
      key: "licence",
      title: "Add the licence",
      files: ["LICENSE"],
      after: [],
      steps: [bash("printf 'MIT\\n' > LICENSE")],
      evidence: "grep -q MIT LICENSE",
    },
  ];
  const second = playMission(model, { items: more });
  t.after(second.leave);
  await headless("add a licence");
  assert.equal(markOf(directory, one(more)), "x");
  assert.equal(second.sessions("worker").length, 1);
});

test("peers' fault 10: twenty writes to the plan at once and one by hand lose nothing", {
  timeout: 2 * MISSION_MS,
}, async (t) => {
  const directory = addHarbour(sandbox, "writes");
  const server = await serve(sandbox, { cwd: directory, timeoutMs: 2 * PATIENCE });
  t.after(server.stop);
  const session = await Session.create(server);
  const add = (/** @type {number} */ at) => ({
    name: "sortie_todo",
    args: { do: "add", items: [{ title: `written by tool ${at}.` }] },
  });
  const first = await session.turn([{ tools: [add(0)] }, { say: "done" }]);
  assert.deepEqual(
    answersOf(first, "sortie_todo").map(({ status, error }) => status + error),
    ["completed"],
  );
  const path = join(directory, ".opencode", "todo.md");
  mkdirSync(join(directory, ".opencode"), { recursive: true });
  const mark = await session.say([{ tools: Array.from({ length: 20 }, (_, at) => add(at + 1)) }, { say: "done" }]);
  appendFileSync(path, "- [ ] written by hand.\n");
  await until(async () => (await session.after(mark)).length > 0 && !(await session.isBusy()), {
    timeoutMs: PATIENCE,
    everyMs: 50,
    what: "the turn to end",
  });
  const answers = answersOf(await session.after(mark), "sortie_todo");
  assert.equal(answers.length, 20);
  assert.deepEqual(
    answers.filter(({ status }) => status !== "completed"),
    [],
  );
  const wanted = ["written by hand.", ...Array.from({ length: 21 }, (_, at) => `written by tool ${at}.`)];
  const missing = () =>
    wanted.filter((title) => planOf(directory).filter(({ text }) => text.includes(title)).length !== 1);
  await until(() => missing().length === 0, { timeoutMs: PATIENCE, what: () => `the plan to hold ${missing()}` });
  const read = await session.ok("sortie_todo", readTodo());
  for (const title of wanted) assert.ok(read.includes(title), title);
});

test("peers' fault 14: a report says that no check ran", { timeout: 2 * MISSION_MS }, async (t) => {
  const play = await stage(t, "unchecked", {}, { items: ONE });
  const told = missionMessages(await untilReport(play.server, play.session));
  assert.match(messageText(one(told)), /No checks of the project are configured: none were run\./);
});

test("peers' fault 14: a checker that is not there has not found everything clean", {
  timeout: 2 * MISSION_MS,
}, async (t) => {
  const play = await stage(t, "checker", { checks: [["no-such-checker", "--all"]] }, { items: ONE });
  await untilPaused(play);
  const told = missionMessages(await messagesIn(play.server, play.session));
  assert.ok(!told.some(asksForReport));
  assert.match(messageText(one(told)), /the project's checks fail[\s\S]*no-such-checker/);
});
