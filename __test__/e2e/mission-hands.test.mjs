// @ts-check
/** Missions among people: edits of TODO.md while workers are at work, `/task` again, beside another, and headless. */
import assert from "node:assert/strict";
import { appendFileSync, existsSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { messageText, run, serve } from "../../testkit/opencode.mjs";
import { until } from "../../testkit/wait.mjs";
import { asksForReport, MISSION_MS, missionMessages, order } from "./mission-stage.mjs";
import { addItems, isFirst, openTroupe } from "./mission-troupe.mjs";
import { gate, idsIn, isReport, one, PATIENCE, SLOW, setUp, task } from "./stage.mjs";

/** @type {import("./stage.mjs").ModelServer} */
let model;
/** @type {import("./stage.mjs").Sandbox} */
let sandbox;
/** @type {import("./stage.mjs").Server} */
let server;
/** @type {import("./mission-troupe.mjs").Troupe} */
let troupe;

before(async () => {
  ({ model, sandbox } = await setUp());
  server = await serve(sandbox, { timeoutMs: 2 * PATIENCE });
  troupe = openTroupe(sandbox, server, model);
});

after(async () => {
  await server?.stop();
  await model?.close();
  await sandbox?.remove();
});

/** @param {() => unknown} seen @param {string} what */
const soon = (seen, what) => until(seen, { timeoutMs: MISSION_MS, everyMs: 100, what });

/** Holds the workers of an item until the gate is opened. @param {import("./mission-troupe.mjs").Project} play @param {string} title */
function hold(play, title) {
  const held = gate(join(play.directory, ".opencode"), title.replaceAll(" ", "-"));
  play.on(title, ({ role, request }) => (role === "worker" && isFirst(request) ? held.step : undefined));
  return held;
}

test("what a person does to the plan is obeyed while its workers are at work", {
  timeout: 2 * MISSION_MS,
}, async () => {
  const play = troupe.project("edits", "");
  const held = hold(play, "Wash the deck");
  play.on("Haul the anchor", ({ role }) =>
    role === "worker" && play.sessions("worker", "Haul the anchor").length < 2 ? SLOW : undefined,
  );
  play.on("Ready the ship", addItems(["Haul the anchor", "Wash the deck"]));
  const session = await play.begin("Ready the ship");
  const haulers = () => play.requests("worker", "Haul the anchor");
  await soon(() => held.isReached() && haulers().length > 0, "both workers to be at work");

  await play.edit(/\[~\] (?=\S+ Haul)/, "[x] ");
  await soon(() => haulers()[0]?.aborted, "the worker of the ticked item to be stopped");
  assert.equal(play.marks()["Haul the anchor"], "x");
  assert.equal(haulers().length, 1);

  await play.edit(/\[x\] (?=\S+ Haul)/, "[ ] ");
  await soon(() => play.sessions("worker", "Haul the anchor").length === 2, "another worker of the unticked item");
  await soon(() => play.marks()["Haul the anchor"] === "x", "it to be done again");

  appendFileSync(play.path, "- [ ] Coil the ropes\n");
  await soon(() => play.marks()["Coil the ropes"] === "x", "the new item to be done");
  assert.equal(play.sessions("worker", "Coil the ropes").length, 1);

  const text = readFileSync(play.path, "utf8");
  rmSync(play.path);
  await soon(() => existsSync(play.path), "the plan to come back");
  assert.equal(readFileSync(play.path, "utf8"), text);

  held.open();
  const messages = await play.untilReport(session);
  assert.deepEqual(play.marks(), { "Haul the anchor": "x", "Wash the deck": "x", "Coil the ropes": "x" });
  assert.equal(missionMessages(messages).length, 1, "nothing but the report was asked of the commander");
  const tasks = (await play.tasks()).map(({ key, state }) => `${key} ${state}`);
  const wanted = ["plan-m1 complete", "review-t1 complete", "review-t2 complete", "review-t3 complete"];
  assert.deepEqual(tasks.sort(), [...wanted, "t1 cancelled", "t1 complete", "t2 complete", "t3 complete"]);
});

test("/task without words does what stands in TODO.md, and /task again adds to the same mission", {
  timeout: 2 * MISSION_MS,
}, async () => {
  const play = troupe.project("join", "- [x] Splice the old rope\n- [ ] Splice a rope\n");
  const held = hold(play, "Splice a rope");
  // A plan that brings nothing: before the part that the same request names as well.
  play.on("Is there more to splice?", () => undefined);
  play.on("Swab the galley too", addItems(["Swab the galley floor"]));
  const session = await play.begin();
  await soon(held.isReached, "the worker to be at work");
  assert.equal(play.planners().length, 0, "what a person planned needs no planner");
  await play.begin("Swab the galley too", session);
  await soon(() => play.marks()["Swab the galley floor"] === "x", "the added item to be done");
  // Nothing new, while an item is at work.
  appendFileSync(play.path, "\n- [ ] Splice by hand\n");
  await soon(() => play.marks()["Splice by hand"] === "x", "the item added by hand to be done");
  await play.begin("", session);
  await soon(() => play.requests("commander").length >= 3, "the commander's third turn");
  assert.equal(play.planners().length, 1, "one for what was added");
  await play.begin("Is there more to splice?", session);
  await play.untilTold(session, /nothing is planned/);
  await soon(async () => !(await play.isBusy(session)), "the commander to have answered");
  assert.match(await order(play.server, session, "mission"), /3 done, 1 open/);
  held.open();
  const messages = await play.untilReport(session);
  assert.equal(missionMessages(messages).filter(asksForReport).length, 1);
  assert.deepEqual(Object.values(play.marks()), ["x", "x", "x", "x"]);
  assert.equal(play.requests("worker", "Splice the old rope").length, 0);
  const shown = await order(play.server, session, "mission");
  assert.match(shown, /^Mission m1: [\s\S]*\ncomplete · 4 done, 0 open/);
});

test("two missions in two sessions of a project do their own items only", { timeout: 2 * MISSION_MS }, async () => {
  const play = troupe.project("two", "");
  const plans = { "Sail north": ["Set the north sail", "Steer north"], "Sail south": ["Set the south sail"] };
  const gates = Object.values(plans).map(([title]) => hold(play, String(title)));
  for (const [goal, titles] of Object.entries(plans)) play.on(goal, addItems(titles));
  const sessions = await Promise.all(Object.keys(plans).map((goal) => play.begin(goal)));
  await soon(() => gates.every((held) => held.isReached()), "both missions to be at work");
  for (const held of gates) held.open();
  for (const [at, [goal, titles]] of Object.entries(plans).entries()) {
    const session = one(sessions, at);
    const messages = await play.untilReport(session);
    const asked = missionMessages(messages);
    assert.equal(asked.length, 1);
    for (const [other, others] of Object.entries(plans)) {
      for (const title of others) assert.equal(messageText(asked[0]).includes(title), other === goal, title);
    }
    for (const title of titles) {
      const parents = new Set(play.requests("worker", title).map(({ parentHint }) => parentHint));
      assert.deepEqual([...parents], [session], title);
      assert.equal(play.sessions("worker", title).length, 1);
    }
  }
});

test("what a commander launches beside its items is told as ever", { timeout: 2 * MISSION_MS }, async () => {
  const play = troupe.project("beside", "- [ ] Mend the sail\n");
  const held = hold(play, "Mend the sail");
  play.on("Do the open items", launchOnce("Look out for land"));
  const session = await play.begin();
  const told = await until(async () => (await play.messages(session)).find(isReport), {
    timeoutMs: MISSION_MS,
    what: "the report of the commander's own task",
  });
  assert.match(messageText(told), /Look out for land[\s\S]*land ahoy/);
  await soon(held.isReached, "the item's worker to be at work");
  await soon(() => play.marks()["Mend the sail"] === "~", "the plan to say so");
  held.open();
  const messages = await play.untilReport(session);
  assert.equal(messages.filter(isReport).length, 1, "tasks of items are not told");
  assert.equal(idsIn(messageText(told)).length, 1);
});

test("peers' fault 8: headless missions end by themselves, one right after the other", {
  timeout: 4 * MISSION_MS,
}, async () => {
  const play = troupe.project("headless", "");
  const headless = async (/** @type {string[]} */ ...goal) => {
    const args = ["run", "--command", "task", ...goal];
    const { code, stdout, stderr } = await run(sandbox, args, { cwd: play.directory, timeoutMs: MISSION_MS });
    assert.equal(code, 0, `${stdout}\n${stderr}`);
    return stdout;
  };
  play.on("Watch the east", launchOnce("Look out to the east"));
  await headless("Watch the east");
  // Only just written, and not yet taken in by anybody.
  writeFileSync(play.path, "- [ ] Stow the cargo\n");
  const said = await headless();
  assert.deepEqual(play.marks(), { "Stow the cargo": "x" }, said);
  assert.equal(play.planners().length, 0, "launched tasks and written items need no plan");
  const { body } = await play.server.request("GET", "/session");
  const shown = [];
  for (const { id, parentID } of body) if (!parentID) shown.push(await order(play.server, id, "mission"));
  assert.match(String(shown.find((text) => text.includes("Watch the east"))), /^complete · 0 done, 0 open/m);
  assert.match(String(shown.find((text) => text.includes("Do the open items"))), /^complete · 1 done, 0 open/m);
  assert.equal(shown.length, 2);
});

/** The commander launches a task of its own first. @param {string} title @returns {import("./mission-troupe.mjs").Part} */
function launchOnce(title) {
  return ({ role, request }) =>
    role === "commander" && isFirst(request)
      ? { tool: "sortie_launch", args: { tasks: [task(title, { say: "land ahoy" })] } }
      : undefined;
}
