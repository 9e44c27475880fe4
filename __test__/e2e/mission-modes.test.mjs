// @ts-check
/** What an item may ask for beside one worker: a race, a split, an agent of the user's; in the real OpenCode. */
import assert from "node:assert/strict";
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { textOf } from "../../testkit/model-script.mjs";
import { messageText, serve } from "../../testkit/opencode.mjs";
import { git } from "../../testkit/sandbox.mjs";
import { until } from "../../testkit/wait.mjs";
import { MISSION_MS, missionMessages, planOf } from "./mission-stage.mjs";
import { openTroupe, SECOND_MODEL } from "./mission-troupe.mjs";
import { gate, one, PATIENCE, SLOW, setUp } from "./stage.mjs";

/** @typedef {import("./stage.mjs").ModelRequest} ModelRequest */
/** @typedef {import("./stage.mjs").Step} Step */

/** @type {import("./stage.mjs").ModelServer} */
let model;
/** @type {import("./stage.mjs").Sandbox} */
let sandbox;
/** @type {import("./stage.mjs").Server} */
let server;
/** @type {import("./mission-troupe.mjs").Troupe} */
let troupe;

/** @type {import("./mission-troupe.mjs").Project} */
let play;
/** The commander's messages at the end. @type {any[]} */
let messages;
/** All tasks of the mission. @type {any[]} */
let tasks;
/** What was there before the race. @type {ReturnType<typeof refsOf>} */
let refs;
/** What was there when both racers had written. @type {{trees: number, isHere: boolean}} */
let middle;
/** The parts that were not split again. @type {string[]} */
const refused = [];

const OTHER = { mode: "subagent", description: "an agent of the user's" };
const AGENT = {
  fast: { ...OTHER, prompt: "You run fast." },
  slow: { ...OTHER, prompt: "You run slowly." },
  "my-worker": { ...OTHER, prompt: "You are mine, and work by default." },
  "my-special": { ...OTHER, prompt: "You are mine, and special." },
  worker: { model: "scripted/other", prompt: "You are a worker. You whistle." },
};

/** Everything at once, so that a host is not started for each. */
const PLAN = `- [ ] Race to the buoy {race: fast, slow@scripted/other}
- [ ] Load the ship
- [ ] Sort the nets
- [ ] Paint the mast
- [ ] Paint the keel {agent: my-special}
- [ ] Whistle a song {agent: worker}
- [ ] Dive for pearls {agent: nobody}
`;

before(async () => {
  ({ model, sandbox } = await setUp({ config: (url) => ({ agent: AGENT, ...SECOND_MODEL(url) }) }));
  server = await serve(sandbox, { timeoutMs: 2 * PATIENCE });
  troupe = openTroupe(sandbox, server, model);
  play = troupe.project("modes", PLAN, { mission: { maxSplitDepth: 1, agents: { worker: "my-worker" } } });
  const { directory } = play;
  writeFileSync(join(directory, "README.md"), "# changed by the user\n");
  writeFileSync(join(directory, "untracked.txt"), "the user's\n");
  writeFileSync(join(directory, "staged.txt"), "staged\n");
  git(sandbox, directory, "add", "staged.txt");
  refs = refsOf(directory);
  const held = gate(join(directory, ".opencode"), "race");
  play.on("Race to the buoy", ({ role, request }) => (role === "worker" ? race(request, held.step) : undefined));
  play.on(": Load the ship\n", ({ role }) =>
    role === "worker" ? { say: "Too large.\nSPLIT:\n- Stow the bow {files: bow.txt}\n- Stow the stern" } : undefined,
  );
  play.on(": Sort the nets", ({ role, request, first }) =>
    role === "worker" ? splitAgain(request, first) : undefined,
  );
  play.on("Do the open items", ({ role, request }) =>
    role === "commander" && isAsked(request) && request.body.messages.at(-1)?.role === "user"
      ? { tool: "sortie_todo", args: { do: "update", id: "t7", status: "cancelled" } }
      : undefined,
  );
  const session = await play.begin();
  const hasWritten = () => treesOf(directory).some((path) => existsSync(join(path, "slow.txt")));
  await until(() => held.isReached() && hasWritten(), { timeoutMs: MISSION_MS, what: "both racers to have written" });
  const isHere = existsSync(join(directory, "fast.txt")) || existsSync(join(directory, "slow.txt"));
  middle = { trees: treesOf(directory).length, isHere };
  held.open();
  messages = await play.untilReport(session);
  tasks = await play.tasks();
});

after(async () => {
  await server?.stop();
  await model?.close();
  await sandbox?.remove();
});

/** Whether the commander is asked to decide. @param {ModelRequest} request */
const isAsked = (request) => /cannot go on without you/.test(request.lastUser);

/** Looks, writes, and then waits to be let go, or is too slow. @param {ModelRequest} request @param {Step} held */
function race(request, held) {
  const isFast = /You run fast/.test(request.system);
  const name = isFast ? "fast" : "slow";
  const steps = [
    { tool: "bash", args: { command: "cat README.md untracked.txt staged.txt", description: "looks" } },
    { tool: "write", args: { filePath: `${name}.txt`, content: `${name}\n` } },
    isFast ? held : SLOW,
  ];
  return steps[request.body.messages.filter(({ role }) => role === "assistant").length] ?? { say: "Changed: fast.txt" };
}

/** Wants each part of its item split again. @param {ModelRequest} request @param {string} first @returns {Step} */
function splitAgain(request, first) {
  const title = String(/^\S+: (Sort the nets.*)$/m.exec(first)?.[1]);
  if (!/do it as it is/.test(request.lastUser)) return { say: `SPLIT:\n- ${title} of port\n- ${title} of starboard` };
  refused.push(title);
  return { say: "Changed: nothing." };
}

/** What may not change of a repository: refs, the log of HEAD, the index, the stash. @param {string} directory */
function refsOf(directory) {
  const ask = (/** @type {string[]} */ ...args) => git(sandbox, directory, ...args);
  return [ask("for-each-ref"), ask("reflog"), ask("ls-files", "--stage"), ask("stash", "list")];
}

/** The directories of a repository's worktrees. @param {string} directory */
function treesOf(directory) {
  const listed = git(sandbox, directory, "worktree", "list", "--porcelain").matchAll(/^worktree (.*)$/gm);
  return [...listed].map(([, path]) => String(path));
}

/** The tasks of items, with one word of each. @param {RegExp} key @param {string} word */
function tasksOf(key, word) {
  return tasks
    .filter((task) => key.test(task.key))
    .map((task) => `${task.key} ${task[word]}`)
    .sort();
}

/** The instructions of workers are in the system prompt once, and in no message. @param {ModelRequest[]} requests */
function assertInstructed(requests) {
  assert.ok(requests.length > 0);
  for (const request of requests) {
    assert.equal(request.system.split("You are a worker.").length - 1, 1, request.system);
    assert.match(request.system, /You do exactly one item of a plan\./);
    const others = request.body.messages.filter(({ role }) => role !== "system").map(textOf);
    assert.ok(others.every((text) => !text.includes("You do exactly one item")));
  }
}

test("every item came to an end", () => {
  const { "Dive for pearls": given, ...others } = play.marks();
  assert.equal(given, "-");
  assert.deepEqual(
    Object.entries(others).filter(([, mark]) => mark !== "x"),
    [],
  );
  assert.equal(Object.keys(others).length, 10);
});

test("race: each works on a copy of what the user has, and the first that is accepted wins", async () => {
  const { directory } = play;
  assert.deepEqual(middle, { trees: 3, isHere: false });
  assert.equal(readFileSync(join(directory, "fast.txt"), "utf8"), "fast\n");
  assert.ok(!existsSync(join(directory, "slow.txt")), "nothing of the loser is here");
  const racers = play.requests("worker", "Race to the buoy");
  for (const [prompt, name] of Object.entries({ "You run fast.": "model", "You run slowly.": "other" })) {
    const own = racers.filter(({ system }) => system.includes(prompt));
    assertInstructed(own);
    assert.deepEqual([...new Set(own.map((request) => request.model))], [name]);
    const looked = own.flatMap(({ body }) => body.messages.filter(({ role }) => role === "tool").map(textOf));
    assert.match(String(looked[0]), /# changed by the user\nthe user's\nstaged\n/);
  }
  const slow = one(racers.filter(({ system }) => system.includes("You run slowly.")).slice(-1));
  await until(() => slow.aborted, { timeoutMs: PATIENCE, what: "the loser's request to be given up" });
  const ends = tasks.filter(({ key }) => key === "t1").map(({ agent, state }) => `${agent} ${state}`);
  assert.deepEqual(ends.sort(), ["fast complete", "slow cancelled"]);
});

test("race: the user's repository is as it was, but for the winner's change", async () => {
  const { directory } = play;
  // The mission is over only when they are gone, a moment after its report.
  await until(() => treesOf(directory).length === 1, { timeoutMs: PATIENCE, what: "the worktrees to be removed" });
  assert.deepEqual(readdirSync(join(sandbox.sortieHome, "worktrees")), []);
  assert.deepEqual(refsOf(directory), refs);
  const status = git(sandbox, directory, "status", "--porcelain").split("\n");
  const changed = status.filter((line) => line !== "" && !line.endsWith(" .opencode/"));
  assert.deepEqual(changed, [" M README.md", "A  staged.txt", "?? fast.txt", "?? untracked.txt"]);
  assert.equal(readFileSync(join(directory, "README.md"), "utf8"), "# changed by the user\n");
  assert.equal(readFileSync(join(directory, "untracked.txt"), "utf8"), "the user's\n");
});

test("race without a git repository: the item fails, and the commander is asked", {
  timeout: 2 * MISSION_MS,
}, async () => {
  const dry = troupe.project("no-git", "- [ ] Race on dry land {race: fast, slow}\n", { git: false });
  const session = await dry.begin();
  const told = await dry.untilTold(session);
  assert.match(messageText(told), /Race on dry land: failed: fast: .*it is not in a git repository/);
  assert.deepEqual(dry.marks(), { "Race on dry land": "!" });
  assert.equal(dry.requests("worker").length, 0);
  await dry.stop(session);
});

test("split: the parts are items of their own, and the whole is done when they are", () => {
  const plan = planOf(play.directory).map(({ text }) => text);
  const parts = plan.filter((text) => /^t2\b/.test(text));
  assert.deepEqual(parts, ["t2: Load the ship", "t2.1: Stow the bow {files: bow.txt}", "t2.2: Stow the stern"]);
  assert.deepEqual(tasksOf(/\bt2\b/, "state"), [
    "review-t2.1 complete",
    "review-t2.2 complete",
    "t2 complete",
    "t2.1 complete",
    "t2.2 complete",
  ]);
});

test("split: parts that split again and again are told to do it as it is", () => {
  assert.deepEqual(refused.sort(), ["Sort the nets of port", "Sort the nets of starboard"]);
  const ids = planOf(play.directory).flatMap(({ text }) => /^t3[.\d]*(?=:)/.exec(text) ?? []);
  assert.deepEqual(ids, ["t3", "t3.1", "t3.2"]);
});

test("the user's agents play roles: with the role's instructions once, and in place of ours", () => {
  assert.deepEqual(tasksOf(/^t[45]$/, "agent"), ["t4 my-worker", "t5 my-special"]);
  assert.deepEqual(tasksOf(/^review-t[45]$/, "agent"), ["review-t4 reviewer", "review-t5 reviewer"]);
  const prompts = {
    "Paint the mast": "You are mine, and work by default.",
    "Paint the keel": "You are mine, and special.",
  };
  for (const [title, prompt] of Object.entries(prompts)) {
    const asked = play.requests("worker", title);
    assertInstructed(asked);
    for (const { system } of asked) {
      assert.ok(system.includes(prompt), system);
      assert.ok(!system.includes("You whistle."), "the worker's own prompt is not used");
    }
  }
});

test("what the user sets of our agents is merged with ours, field by field", () => {
  const asked = play.requests("worker", "Whistle a song");
  assert.ok(asked.length > 0);
  for (const { model, system, tools } of asked) {
    assert.equal(model, "other");
    assert.match(system, /You are a worker\. You whistle\./);
    assert.doesNotMatch(system, /You do exactly one item/);
    assert.ok(tools.includes("write"));
    assert.deepEqual(
      tools.filter((name) => name === "task" || name.startsWith("sortie_")).sort(),
      ["sortie_command", "sortie_command_start"],
      "our permissions stay",
    );
  }
});

test("peers' fault 5: an unknown agent fails its item, the commander is told, and nobody else does it", () => {
  const told = missionMessages(messages).map(messageText);
  const asked = told.filter((text) => /cannot go on without you/.test(text));
  assert.equal(asked.length, 1, told.join("\n---\n"));
  const known = "fast, general, my-special, my-worker, plan, planner, reviewer, slow, worker";
  assert.match(String(asked[0]), /Dive for pearls: failed: .*its agent is `nobody`; OpenCode knows /);
  for (const name of known.split(", ")) assert.ok(asked[0]?.includes(name), name);
  assert.equal(play.requests("worker", "Dive for pearls").length, 0);
  assert.deepEqual([...new Set(tasksOf(/t7$/, "agent"))], ["t7 nobody"]);
});
