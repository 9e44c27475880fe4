// @ts-check
/** Budgets and the spawn guard: what is used up stands still, says why, and goes on when the user gives more. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { messageText } from "../../testkit/opencode.mjs";
import { until } from "../../testkit/wait.mjs";
import { gate, one, PATIENCE, requestsIn, Session, serveWith, setUp, task } from "./stage.mjs";

/** @typedef {import("./stage.mjs").Step} Step */

/** @type {import("./stage.mjs").ModelServer} */
let model;
/** @type {import("./stage.mjs").Sandbox} */
let sandbox;
/** @type {import("./stage.mjs").Server} */
let server;
/** @type {Session} */
let observer;
/** @type {ReturnType<import("./stage.mjs").Server["events"]>} */
let events;

before(async () => {
  const options = { budget: { task: { tokens: 1000 } }, spawn: { tree: 9, perMinute: 6 }, maxDepth: 2 };
  ({ model, sandbox } = await setUp({ options }));
  await start();
});

after(async () => {
  await server?.stop();
  await model?.close();
  await sandbox?.remove();
});

async function start() {
  ({ server, observer } = await serveWith(sandbox));
  events = server.events();
  await events.ready;
}

/** A model's turn that calls a tool and uses so many tokens. @param {number} tokens @param {number} [of] @returns {Step} */
const use = (tokens, of = 0) => ({
  tool: "bash",
  // Each of something else: a row of the same would be a circle.
  args: { command: `true ${of}`, description: "uses tokens" },
  usage: { prompt_tokens: tokens - 50, completion_tokens: 50 },
});

/** A turn that uses next to nothing; unsaid, the model would count the whole request. @param {Step} step @returns {Step} */
const little = (step) => ({ ...step, usage: { prompt_tokens: 5, completion_tokens: 5 } });

/** A task that uses ten times its budget. @param {string} title */
const greedy = (title) =>
  task(title, ...Array.from({ length: 20 }, (_, of) => use(500, of)), { say: `${title} is done` });

/** What a command of ours shows. @param {Session} session @param {string} command @param {string} [words] */
async function typed(session, command, words = "") {
  const before = (await session.messages()).length;
  await server.request("POST", `/session/${session.id}/command`, {
    body: { command, arguments: words },
    timeoutMs: PATIENCE,
  });
  return until(
    async () => {
      const shown = (await session.messages()).slice(before).filter(({ parts }) => parts[0]?.ignored === true);
      return shown.length > 0 ? shown.map(messageText).join("\n") : undefined;
    },
    { timeoutMs: PATIENCE, what: `/${command} to show something` },
  );
}

/** How often a toast said so. @param {RegExp} words */
function toasts(words) {
  const shown = events.seen.filter(({ payload }) => payload.type === "tui.toast.show");
  return shown.filter(({ payload }) => words.test(payload.properties.message)).length;
}

/** @param {string[]} ids */
const stopped = (ids) => observer.untilState(ids, "paused");

test("a task that would use ten times its budget is paused within one turn, and raised it ends in the same session", async () => {
  const parent = await Session.create(server);
  const ids = await parent.launch([greedy("ten times")]);
  const [paused] = await stopped(ids);
  assert.match(paused.detail, /^the task's budget is used up: 1000 of 1000 tokens; the user raises it with \/budget/);
  await until(async () => !(await observer.of(paused.session).isBusy()), { timeoutMs: PATIENCE, what: "the stop" });
  const asked = requestsIn(model, paused.session).length;
  assert.ok(asked <= 3, `two turns used it up, and ${asked} were begun`);
  assert.match(await typed(parent, "tasks"), /ten times: the task's budget is used up: 1000 of 1000 tokens/);
  const { error } = await parent.call("sortie_retry", { tasks: ids });
  assert.match(error, /budget-spent: .*tell the user/, "a model cannot raise it");
  assert.equal((await observer.status(ids))[0].state, "paused");
  await until(() => toasts(/ten times.*the task's budget is used up: 1000 of 1000 tokens; \/budget raises it/) === 1, {
    timeoutMs: PATIENCE,
    what: "the toast",
  });
  assert.match(await typed(parent, "budget", `${ids[0]} tokens 50000`), /^The budget of the task: tokens 50000\.$/);
  await parent.untilTold(ids);
  const [ended] = await observer.status(ids);
  assert.deepEqual([ended.state, ended.result, ended.session], ["complete", "ten times is done", paused.session]);
  assert.equal((await parent.children()).length, 1);
});

test("a paused task is paused after a crash as well, and /resume gives it as much again", async () => {
  const parent = await Session.create(server);
  const ids = await parent.launch([task("over and over", use(600), use(600), use(600), { say: "at last" })]);
  const [{ session }] = await stopped(ids);
  await server.kill9();
  await start();
  parent.server = server;
  const [after] = await stopped(ids);
  assert.match(after.detail, /the task's budget is used up: 1200 of 1000/);
  assert.match(await typed(parent, "resume", "tsk_00000000000070008000000000000000"), /no-such-task/);
  assert.match(await typed(parent, "resume", one(ids)), /goes on\./);
  await parent.untilTold(ids);
  const [ended] = await observer.status(ids);
  assert.deepEqual([ended.state, ended.result, ended.session], ["complete", "at last", session]);
  assert.match(await typed(parent, "resume", one(ids)), /not-open/);
});

for (const scope of ["project", "day"]) {
  test(`while the budget of the ${scope} is used up nothing starts, and the table says why`, async () => {
    const held = gate(sandbox.project, scope);
    const parent = await Session.create(server);
    const runs = await parent.launch([task("under way", little(held.step), { say: "went on" })]);
    await observer.untilState(runs, "running");
    await until(held.isReached, { timeoutMs: PATIENCE, what: "the task's work" });
    // Less than the tests before this one have used.
    const set = await typed(parent, "budget", `${scope} tokens 10`);
    assert.match(set, new RegExp(`^The budget of the ${scope}: tokens 10`));
    const ids = await parent.launch([task("waits", { say: "started after all" })]);
    const reason = new RegExp(`waits: the ${scope}'s budget is used up: \\d+ of 10 tokens`);
    await until(async () => reason.test((await observer.status(ids))[0].detail ?? ""), {
      timeoutMs: PATIENCE,
      what: "the reason",
    });
    assert.match(await typed(parent, "tasks"), reason);
    assert.match((await stopped(runs))[0].detail, new RegExp(`^the ${scope}'s budget is used up`));
    assert.match(await typed(parent, "resume", one(runs)), /budget-spent/);
    assert.equal((await observer.status(ids))[0].state, "pending");
    assert.match(await typed(parent, "budget", `${scope} tokens off`), /tokens no limit/);
    held.open();
    await parent.untilTold([...runs, ...ids]);
    const results = (await observer.status([...runs, ...ids])).map(({ result }) => result);
    assert.deepEqual(results, ["went on", "started after all"]);
  });
}

test("a task pays for what it launches, and both stand still", async () => {
  const parent = await Session.create(server);
  const inner = task("inner", use(400), use(400), use(400), { say: "inner is done" });
  const outer = task(
    "outer",
    { tool: "sortie_launch", args: { tasks: [inner] }, usage: { prompt_tokens: 300, completion_tokens: 10 } },
    { tool: "sortie_wait", args: {}, usage: { prompt_tokens: 10, completion_tokens: 10 } },
    { say: "outer is done" },
  );
  const ids = await parent.launch([outer]);
  const [{ session, detail }] = await stopped(ids);
  assert.match(detail, /the task's budget is used up: 1\d\d\d of 1000 tokens/);
  const [below] = await until(
    async () => {
      const all = JSON.parse(await observer.ok("sortie_status", { json: true, all: true })).tasks;
      const below = all.filter((/** @type {any} */ { parentSession }) => parentSession === session);
      return below[0]?.state === "paused" ? below : undefined;
    },
    { timeoutMs: PATIENCE, what: "the inner task to stand still" },
  );
  assert.match(
    await typed(parent, "budget"),
    new RegExp(`${ids[0]} "outer", tokens: 1\\d\\d\\d of 1000 tokens \\(1\\d\\d %\\)`),
  );
  await typed(parent, "budget", "task tokens off");
  await parent.untilTold(ids);
  const [ended] = await observer.status([below.id]);
  assert.deepEqual([ended.state, ended.result], ["complete", "inner is done"]);
  assert.match(await typed(parent, "budget", "task tokens default"), /each task: tokens 1000/);
});

test("work that is under way is not launched again, and the refusal names it", async () => {
  const held = gate(sandbox.project, "twice");
  const parent = await Session.create(server);
  const work = task("the same work", little(held.step), { say: "once" });
  const ids = await parent.launch([work]);
  await observer.untilState(ids, "running");
  const { status, error } = await parent.call("sortie_launch", { tasks: [{ ...work, title: "other words" }] });
  assert.equal(status, "error");
  assert.match(error, new RegExp(`duplicate-task: .tasks\\[0\\]. is what the open task ${ids[0]} does`));
  assert.match(error, /sortie_wait.*sortie_send/, "what to do instead");
  assert.equal((await parent.status()).length, 1);
  held.open();
  await parent.untilTold(ids);
  await parent.untilTold(await parent.launch([work]));
});

test("a session that launches too fast or too much is told what to do instead, and nothing is launched", async () => {
  const parent = await Session.create(server);
  const some = (/** @type {number} */ from, /** @type {number} */ number) =>
    Array.from({ length: number }, (_, at) => task(`part ${from + at}`, { say: "done" }));
  const first = await parent.launch(some(0, 4));
  const fast = await parent.call("sortie_launch", { tasks: some(4, 3) });
  assert.match(fast.error, /too-fast: 3 more .* 4 were launched in the last minute, at most 6 .*sortie_wait/);
  const much = await parent.call("sortie_launch", { tasks: some(4, 6) });
  assert.match(much.error, /tree-full: 6 more .* 4 were launched below this session, at most 9 .*this session itself/);
  assert.equal((await parent.status()).length, 4);
  const more = await parent.launch(some(4, 2));
  await parent.untilTold([...first, ...more]);
});

test("what is typed wrongly changes nothing and shows what is right", async () => {
  const parent = await Session.create(server);
  for (const words of ["day", "day tokens many", "day words 5"])
    assert.match(await typed(parent, "budget", words), /bad-budget: .*Type \/budget </);
  const shown = await typed(parent, "budget");
  assert.match(shown, /today: \d+ tokens, \$[\d.]+, \d+ s, \d+ tool calls, \d+ tasks/);
  assert.match(shown, /each task, tokens: 1000/);
});
