// @ts-check
/** A mission as a person sees and steers it in OpenCode's terminal interface, and as it comes back after a crash. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { playMission, REPORT } from "../../testkit/mission.mjs";
import { addHarbour, CHECK, changesIn, changesOf, GOAL, ITEMS } from "../../testkit/mission-items.mjs";
import { startTui } from "../../testkit/tmux.mjs";
import { until } from "../../testkit/wait.mjs";
import { MISSION_MS, markOf } from "./mission-stage.mjs";
import { gate, one, PATIENCE, ROOT, SLOW, setUp } from "./stage.mjs";

/** @typedef {import("../../testkit/mission.mjs").CastOptions} CastOptions */
/** @typedef {import("../../testkit/mission.mjs").Role} Role */
/** @typedef {import("../../testkit/mission.mjs").Scene} Scene */

const skip = spawnSync("tmux", ["-V"]).error ? "tmux is not installed" : false;
const timeout = 3 * MISSION_MS;

/** @type {import("./stage.mjs").ModelServer} */
let model;
/** @type {import("./stage.mjs").Sandbox} */
let sandbox;

before(async () => {
  if (!skip) ({ model, sandbox } = await setUp());
});

after(async () => {
  await sandbox?.remove();
  await model?.close();
});

/**
 * OpenCode's interface in a project of its own.
 *
 * @param {import("node:test").TestContext} t
 * @param {string} name @param {Record<string, unknown>} mission @param {(directory: string) => CastOptions} options
 */
async function stage(t, name, mission, options) {
  const directory = addHarbour(sandbox, name, { config: { plugin: [[ROOT, { mission }]] } });
  const cast = playMission(model, options(directory));
  t.after(cast.leave);
  const open = async (/** @type {string[]} */ ...args) => {
    const tui = await startTui(sandbox, { cwd: directory, args, columns: 160, rows: 50 });
    t.after(tui.close);
    return tui;
  };
  const tui = await open();
  await tui.waitForText(/Ask anything/, 2 * PATIENCE);
  return { directory, cast, open, tui };
}

/** Types a line and sends it. @param {import("../../testkit/tmux.mjs").Terminal} tui @param {string} line */
async function enter(tui, line) {
  await tui.type(line);
  await tui.waitForText(new RegExp(line.trim()), PATIENCE);
  await tui.send("Enter");
}

/** The first request of a role hangs; every other is played. @param {Role} role @param {(scene: Scene) => boolean} [which] */
function hangOnce(role, which = () => true) {
  let hung = false;
  return (/** @type {Scene} */ scene) => {
    if (hung || scene.role !== role || !which(scene)) return undefined;
    hung = true;
    return { hang: true };
  };
}

/** How many chat requests there were of these that are not people's own. */
const asked = () => model.requests.filter(({ kind }) => kind === "chat").length;

test("a mission without progress pauses, and the screen says why", { skip, timeout }, async (t) => {
  const items = [one(ITEMS)];
  const { tui, directory } = await stage(t, "stagnation", {}, () => ({
    items,
    direct: ({ role }) => (role === "worker" ? { status: 400, say: "not today" } : undefined),
  }));
  await enter(tui, `/task ${GOAL}`);
  await tui.waitForText(/paused/i, MISSION_MS);
  const before = asked();
  await enter(tui, "/mission ");
  const screen = await tui.waitForText(/paused in execute: [\s\S]*progress/, PATIENCE);
  assert.match(screen, /0 done, 0 open, 1 failed/);
  assert.match(screen, /\[!\] \S+ Correct tons in toKilos/);
  assert.doesNotMatch(screen, /Unexpected server error/);
  assert.equal(asked(), before);
  assert.equal(markOf(directory, one(items)), "!");
});

test("Esc in the commander's turn pauses the mission, and /resume goes on with it", { skip, timeout }, async (t) => {
  let isSlow = true;
  const { tui, cast, directory } = await stage(t, "escape", { checks: [CHECK] }, () => ({
    direct: ({ role }) => (role === "commander" && isSlow ? SLOW : undefined),
  }));
  await enter(tui, `/task ${GOAL}`);
  await tui.waitForText(/slowly slowly/, PATIENCE);
  isSlow = false;
  await tui.send("Escape");
  await tui.waitForText(/again to interrupt/, PATIENCE);
  await tui.send("Escape");
  await tui.waitForText(/paused/i, PATIENCE);
  await enter(tui, "/mission ");
  await tui.waitForText(/paused in plan: /, PATIENCE);
  assert.equal(cast.requests("planner").length, 0, "nothing is started that nobody asked for");
  await enter(tui, "/resume ");
  await tui.waitForText(new RegExp(REPORT), MISSION_MS);
  assert.deepEqual(changesIn(sandbox, directory), changesOf());
});

test("/pause stops the workers at once, and after /resume they go on in their sessions", {
  skip,
  timeout,
}, async (t) => {
  const { tui, cast, directory } = await stage(t, "pause", { checks: [CHECK] }, () => ({
    direct: hangOnce("worker", ({ item }) => item?.key === "weight"),
  }));
  await enter(tui, `/task ${GOAL}`);
  await until(() => cast.requests("worker", "weight").length > 0, { timeoutMs: MISSION_MS, what: "the worker" });
  await until(() => markOf(directory, one(ITEMS.filter(({ key }) => key === "tide"))) === "x", {
    timeoutMs: MISSION_MS,
    what: "the other items to be done",
  });
  await enter(tui, "/pause ");
  // What is typed before a command is answered is lost.
  await tui.waitForText(/is paused\./, PATIENCE);
  await enter(tui, "/mission ");
  const screen = await tui.waitForText(/paused in execute: /, PATIENCE);
  assert.match(screen, /Correct tons in toKilos/);
  assert.equal(cast.requests("worker", "weight").length, 1);
  // A person talks meanwhile; that is an answer, and no failure and no reason to go on.
  model.on(/what is for lunch/, [{ say: "FISH" }]);
  await enter(tui, "what is for lunch");
  await tui.waitForText(/FISH/, PATIENCE);
  assert.equal(cast.requests("worker", "weight").length, 1);
  await enter(tui, "/resume ");
  await tui.waitForText(new RegExp(REPORT), MISSION_MS);
  assert.equal(cast.sessions("worker", "weight").length, 1, "it goes on in its session");
  assert.deepEqual(changesIn(sandbox, directory), changesOf());
});

test("/stop ends the mission and its workers for good", { skip, timeout }, async (t) => {
  /** @type {ReturnType<typeof gate>[]} */
  const gates = [];
  const { tui, cast, directory } = await stage(t, "stop", { checks: [CHECK] }, (directory) => {
    const held = gate(join(directory, ".opencode"), "stop");
    gates.push(held);
    return {
      direct: ({ role, item }) =>
        role === "worker" && item?.key === "weight" && !held.isReached() ? held.step : undefined,
    };
  });
  const held = one(gates);
  await enter(tui, `/task ${GOAL}`);
  await until(held.isReached, { timeoutMs: MISSION_MS, what: "the worker to be at work" });
  await enter(tui, "/stop ");
  await tui.waitForText(/is stopped/, PATIENCE);
  await enter(tui, "/mission ");
  const screen = await tui.waitForText(/^.*stopped · .*/m, PATIENCE);
  assert.doesNotMatch(screen, /works|is reviewed/);
  held.open();
  const before = asked();
  model.on(/still there/, [{ say: "AYE AYE" }]);
  await enter(tui, "still there");
  await tui.waitForText(/AYE AYE/, PATIENCE);
  assert.equal(asked(), before + 1, "nobody but the person asks");
  assert.notEqual(markOf(directory, one(ITEMS)), "~", "nobody works on it any more");
  assert.equal(cast.requests("worker", "berth").length, 0);
  await enter(tui, "/resume ");
  await tui.waitForText(/no mission that goes on/, PATIENCE);
  assert.equal(asked(), before + 1, "what was stopped is not resumed");
});

test("a person's message in between is answered, and the mission goes on", { skip, timeout }, async (t) => {
  const { tui, directory } = await stage(t, "between", { checks: [CHECK] }, (directory) => {
    const held = gate(join(directory, ".opencode"), "between");
    return {
      direct: ({ role, item, request }) => {
        if (role === "commander" && request.lastUser === "how is it going") {
          held.open();
          return { say: "QUITE WELL" };
        }
        return role === "worker" && item?.key === "weight" && !held.isReached() ? held.step : undefined;
      },
    };
  });
  await enter(tui, `/task ${GOAL}`);
  await until(() => existsSync(join(directory, ".opencode", "gate-between-reached")), {
    timeoutMs: MISSION_MS,
    what: "the worker to be at work",
  });
  await enter(tui, "how is it going");
  await tui.waitForText(/QUITE WELL/, PATIENCE);
  await tui.waitForText(new RegExp(REPORT), MISSION_MS);
  assert.deepEqual(changesIn(sandbox, directory), changesOf());
});

/** A check that never ends the first time, and passes afterwards. */
const HANGING_CHECK = [
  "node",
  "-e",
  `const { existsSync, writeFileSync } = require("node:fs");
  if (!existsSync(".opencode/checked")) { writeFileSync(".opencode/checked", ""); setInterval(() => {}, 1e6); }`,
];

/** @type {{phase: string, mission?: Record<string, unknown>, direct?: () => CastOptions["direct"]}[]} */
const PHASES = [
  { phase: "command", direct: () => hangOnce("commander") },
  { phase: "plan", direct: () => hangOnce("planner") },
  { phase: "execute", direct: () => hangOnce("worker", ({ item }) => item?.key === "berth") },
  { phase: "review", direct: () => hangOnce("reviewer", ({ item }) => item?.key === "name") },
  { phase: "verify", mission: { checks: [HANGING_CHECK, CHECK] } },
  {
    phase: "report",
    direct: () => hangOnce("commander", ({ request }) => /^Report to the user/m.test(request.lastUser)),
  },
];

for (const { phase, mission = { checks: [CHECK] }, direct } of PHASES) {
  test(`OpenCode is killed while a mission is at its ${phase}, and started again`, { skip, timeout }, async (t) => {
    const { directory, cast, open, tui } = await stage(t, `restart-${phase}`, mission, () => {
      const played = direct?.();
      return played ? { direct: played } : {};
    });
    await enter(tui, `/task ${GOAL}`);
    const hangs = () =>
      ["commander", "planner", "worker", "reviewer"].flatMap((role) =>
        cast.requests(/** @type {Role} */ (role)).filter(({ step }) => step?.hang),
      );
    const isThere = () => (direct ? hangs().length > 0 : existsSync(join(directory, ".opencode", "checked")));
    await until(isThere, { timeoutMs: MISSION_MS, what: `the mission to be at its ${phase}` });
    await tui.kill9();
    await tui.close();

    const again = await open("--continue");
    await again.waitForText(new RegExp(REPORT), MISSION_MS);
    assert.deepEqual(changesIn(sandbox, directory), changesOf());
    for (const item of ITEMS) assert.equal(markOf(directory, item), "x", item.key);
    assert.equal(cast.sessions("planner").length, 1);
    for (const { key } of ITEMS) assert.equal(cast.sessions("worker", key).length, 1, key);
    // The report is on the screen a moment before its turn is over, and the mission with it.
    const isComplete = async () => {
      await enter(again, "/mission ");
      return /complete · 8 done, 0 open, 0 failed/.test(await again.waitForText(/· 8 done, 0 open/, PATIENCE));
    };
    await until(isComplete, { timeoutMs: MISSION_MS, everyMs: 1_000, what: "the mission to be complete" });
    assert.doesNotMatch(await again.screen(), /Unexpected server error/);
  });
}
