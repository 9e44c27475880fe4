// @ts-check
/** `opencode run`: it leaves when its main session is idle, and Sortie does not let that lose anything. */
import assert from "node:assert/strict";
import { after, afterEach, before, beforeEach, test } from "node:test";
import { textOf } from "../../testkit/model-script.mjs";
import { run, start } from "../../testkit/opencode.mjs";
import { pidsWithEnv } from "../../testkit/proc.mjs";
import { until } from "../../testkit/wait.mjs";
import { byTask, checkJournal, rowsOf } from "./durable.mjs";
import { gate, one, PATIENCE, requestsIn, script, setUp, task } from "./stage.mjs";

/** @typedef {import("./stage.mjs").Step} Step */
/** @typedef {import("./stage.mjs").ModelRequest} ModelRequest */

/** @type {import("./stage.mjs").ModelServer} */
let model;
/** @type {import("./stage.mjs").Sandbox} */
let sandbox;
/** The first request that a test makes. */
let from = 0;

before(async () => {
  ({ model, sandbox } = await setUp());
});

beforeEach(() => {
  from = model.requests.length;
});

afterEach(() =>
  until(() => pidsWithEnv(`SORTIE_SANDBOX=${sandbox.root}`).length === 0, {
    timeoutMs: PATIENCE,
    what: "every process of the run to be gone",
  }),
);

after(async () => {
  await model?.close();
  await sandbox?.remove();
});

/** Runs OpenCode headless to its end. @param {string[]} args @param {Step[]} steps */
async function headless(args, ...steps) {
  const ended = await run(sandbox, ["run", ...args, `go on\n${script(...steps)}`], { timeoutMs: 2 * PATIENCE });
  assert.equal(ended.code, 0, `${ended.stdout}\n${ended.stderr}`);
  return ended.stdout;
}

/** The chat requests of this test in sessions of people, and in those of tasks. */
function asked() {
  const chats = model.requests.slice(from).filter(({ kind }) => kind === "chat");
  return {
    parents: chats.filter(({ parentHint }) => !parentHint),
    children: chats.filter(({ parentHint }) => parentHint),
  };
}

/** What tools answered, as the model sees it in a request. @param {ModelRequest} request */
const toolTexts = ({ body }) => body.messages.filter(({ role }) => role === "tool").map(textOf);

/** @param {...Record<string, unknown>} tasks @returns {Step} */
const launch = (...tasks) => ({ tool: "sortie_launch", args: { tasks } });

/** Every journal of the project is whole, and each of its tasks has ended in one of these states. @param {...string} states */
async function endedAs(...states) {
  for (const [id, rows] of byTask(await rowsOf(sandbox))) {
    checkJournal(id, rows);
    assert.ok(states.includes(one(rows.slice(-1)).to), `${id}: ${rows.map(({ to }) => to).join(", ")}`);
  }
}

test("a run waits for the tasks that it launched, answers with their results, and ends by itself", async () => {
  const out = await headless(
    [],
    launch(
      { ...task("first part", { say: "RESULT ONE", delay: 500 }), key: "a" },
      task("second part {{result:a}}", { say: "RESULT TWO", delay: 500 }),
    ),
    { say: "ALL IS IN" },
  );
  assert.match(out, /ALL IS IN/);
  const { parents, children } = asked();
  assert.equal(children.length, 2);
  assert.equal(parents.length, 2, "the launch and the answer: no turn in between");
  assert.match(one(toolTexts(one(parents, 1))), /RESULT ONE[\s\S]*RESULT TWO/);
  await endedAs("complete");
});

test("`run --command task` puts the commander to work", async () => {
  const steps = [launch(task("its errand", { say: "ERRAND DONE" })), { say: "MISSION ACCOMPLISHED" }];
  const off = model.on(/fan this out/, steps);
  const args = ["run", "--command", "task", "fan this out, please"];
  const { code, stdout, stderr } = await run(sandbox, args, { timeoutMs: 2 * PATIENCE });
  assert.equal(code, 0, stderr);
  off();
  assert.match(stdout, /MISSION ACCOMPLISHED/);
  const { parents } = asked();
  assert.match(one(parents).system, /You are the commander\./);
  assert.match(one(parents).lastUser, /fan this out/);
  assert.match(one(toolTexts(one(parents, 1))), /ERRAND DONE/);
});

test("what a follow-up starts is awaited as well", async () => {
  const more = `now the rest\n${script({ say: "THE REST", delay: 500 })}`;
  const out = await headless(
    [],
    launch({ ...task("begin", { say: "BEGUN" }), key: "k" }),
    { tool: "sortie_send", args: { task: "k", message: more } },
    { say: "SENT IT" },
    { say: "AND GOT IT" },
  );
  assert.match(out, /SENT IT[\s\S]*AND GOT IT/);
  const last = one(asked().parents.slice(-1));
  assert.match(last.lastUser, /<sortie-report>[\s\S]*\[complete\][\s\S]*THE REST/);
  await endedAs("complete");
});

test("what a retry starts is awaited as well", async () => {
  let tries = 0;
  const off = model.on(/^fragile errand/, () =>
    tries++ === 0 ? { status: 400 } : { say: "HELD THIS TIME", delay: 500 },
  );
  const out = await headless(
    [],
    launch({ title: "fragile", agent: "general", prompt: "fragile errand", key: "f" }),
    { tool: "sortie_retry", args: { tasks: ["f"] } },
    { say: "AGAIN" },
    { say: "AND DONE" },
  );
  off();
  assert.match(out, /AGAIN[\s\S]*AND DONE/);
  assert.match(one(asked().parents.slice(-1)).lastUser, /<sortie-report>[\s\S]*\[complete\][\s\S]*HELD THIS TIME/);
  await endedAs("complete", "failed");
});

for (const signal of /** @type {const} */ (["SIGTERM", "SIGINT", "SIGKILL"])) {
  test(`a run that gets ${signal} in the middle leaves its task to a later run, in the same session`, async () => {
    const held = gate(sandbox.project, signal);
    const errand = task(`errand ${signal}`, { say: "I begin.", ...held.step }, { say: `DONE AFTER ${signal}` });
    const host = start(sandbox, ["run", `go\n${script(launch(errand), { say: "never said" })}`]);
    const child = await model.waitFor(({ lastUser }) => lastUser.startsWith(`errand ${signal}`), {
      timeoutMs: 2 * PATIENCE,
    });
    const shell = () => until(() => held.isReached(), { timeoutMs: PATIENCE, what: "the task's shell" });
    await shell();
    host.signal(signal);
    await host.exited;
    await host.kill9();
    const before = await rowsOf(sandbox);
    const left = [...byTask(before)].filter(
      ([, rows]) => !["complete", "failed", "cancelled"].includes(one(rows.slice(-1)).to),
    );
    assert.equal(left.length, 1, "the end of the host is not the end of the task");

    held.open();
    const out = await headless(["--session", String(child.parentHint)], { say: "I AM BACK" }, { say: "AND HAVE IT" });
    assert.match(out, /I AM BACK[\s\S]*AND HAVE IT/);
    const last = one(asked().parents.slice(-1));
    assert.equal(last.sessionHint, child.parentHint);
    assert.match(last.lastUser, new RegExp(`<sortie-report>[\\s\\S]*\\[complete\\][\\s\\S]*DONE AFTER ${signal}`));
    assert.deepEqual(new Set(asked().children.map(({ sessionHint }) => sessionHint)), new Set([child.sessionHint]));
    assert.ok(requestsIn(model, child.sessionHint).length >= 2);
    const [id] = one(left);
    const rows = byTask(await rowsOf(sandbox)).get(id) ?? [];
    checkJournal(id, rows);
    assert.ok(
      rows.every(({ to }) => to !== "failed" && to !== "cancelled"),
      rows.map(({ to }) => to).join(),
    );
  });
}
