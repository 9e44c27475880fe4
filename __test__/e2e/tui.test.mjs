// @ts-check
/** What a person sees and types in OpenCode's terminal interface. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { after, before, test } from "node:test";
import { alive, pidsWithEnv } from "../../testkit/proc.mjs";
import { startTui } from "../../testkit/tmux.mjs";
import { until } from "../../testkit/wait.mjs";
import { gate, PATIENCE, setUp, task } from "./stage.mjs";

const missing = spawnSync("tmux", ["-V"]).error ? "tmux is not installed" : false;

/** @type {import("./stage.mjs").ModelServer} */
let model;
/** @type {import("./stage.mjs").Sandbox} */
let sandbox;
/** @type {import("../../testkit/tmux.mjs").Terminal} */
let tui;

before(async () => {
  if (missing) return;
  ({ model, sandbox } = await setUp());
  tui = await startTui(sandbox, { columns: 160, rows: 50 });
  await tui.waitForText(/Ask anything/, 2 * PATIENCE);
});

after(async () => {
  await tui?.close();
  await model?.close();
  await sandbox?.remove();
});

/** Types a line and sends it. @param {string} line */
async function enter(line) {
  await tui.type(line);
  await tui.waitForText(new RegExp(line.trim()), PATIENCE);
  await tui.send("Enter");
}

test("/task fans out with toasts for the start and for all done, and the report is answered", {
  skip: missing,
}, async () => {
  const held = gate(sandbox.project, "harbour");
  const tasks = [1, 2].map((pier) => ({
    ...task(`look at pier ${pier}`, held.step, { say: `pier ${pier} stands` }),
    key: `pier${pier}`,
  }));
  model.on(/check the harbour/, [
    { tool: "sortie_launch", args: { tasks } },
    { say: "The lookouts are on their way." },
    { say: "THE HARBOUR IS SAFE" },
  ]);
  await enter("/task check the harbour");
  await tui.waitForText(/2 tasks started/, PATIENCE);
  await tui.waitForText(/The lookouts are on their way\./, PATIENCE);
  held.open();
  await tui.waitForText(/all done/, PATIENCE);
  const screen = await tui.waitForText(/THE HARBOUR IS SAFE/, PATIENCE);
  assert.match(screen, /commander/i);
  // Tasks that end apart may be reported apart; the one that says this is the last.
  const last = await model.waitFor(
    ({ lastUser }) => /^<sortie-report>(?=[\s\S]*No task of this session is open any more\.)/.test(lastUser),
    { timeoutMs: PATIENCE },
  );
  const told = JSON.stringify(last.body.messages.filter((/** @type {any} */ { role }) => role === "user"));
  for (const pier of [1, 2]) assert.match(told, new RegExp(`pier ${pier} stands`));
  assert.match(last.system, /You are the commander\./, "the report keeps the agent");
});

test("/tasks shows the table without asking a model", { skip: missing }, async () => {
  const before = model.requests.length;
  await enter("/tasks ");
  const screen = await tui.waitForText(/2 complete/, PATIENCE);
  assert.match(screen, /task +state +agent +try +time +tokens +title/);
  assert.match(screen, /tsk_\w+ +complete +general +1\/5 .*pier1 · look at pier 1/);
  assert.deepEqual(
    model.requests.slice(before).map(({ system, lastUser }) => ({ system: system.slice(0, 200), lastUser })),
    [],
  );
  assert.doesNotMatch(screen, /Unexpected server error/, "the way in which the command ends is not seen");
});

test("a session works on after /tasks", { skip: missing }, async () => {
  model.on(/are you still there/, [{ say: "AYE AYE" }]);
  await enter("are you still there");
  await tui.waitForText(/AYE AYE/, PATIENCE);
});

test("leaving with tasks running leaves no process behind", { skip: missing }, async () => {
  const held = gate(sandbox.project, "leave");
  model.on(/start and forget/, [
    { tool: "sortie_launch", args: { tasks: [task("stay out", held.step, { say: "never" })] } },
    { say: "OFF IT GOES" },
  ]);
  await enter("start and forget");
  await tui.waitForText(/OFF IT GOES/, PATIENCE);
  await until(held.isReached, { timeoutMs: PATIENCE, what: "the task's shell" });
  await enter("/exit");
  await until(() => !alive(tui.pid), { timeoutMs: PATIENCE, what: "OpenCode to leave" });
  const ofTmux = () => pidsWithEnv(`SORTIE_SANDBOX=${sandbox.root}`);
  await tui.close();
  await until(() => ofTmux().length === 0, {
    timeoutMs: PATIENCE,
    what: () => `processes ${ofTmux().join(", ")} to end`,
  });
});
