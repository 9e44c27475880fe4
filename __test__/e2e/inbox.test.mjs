// @ts-check
/**
 * What agents ask of the user, at depth one and two and in other directories: answered by a person in one place, by
 * policy where nobody is asked, and after a while with words. Nothing hangs.
 */
import assert from "node:assert/strict";
import { mkdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { messageText, run } from "../../testkit/opencode.mjs";
import { git } from "../../testkit/sandbox.mjs";
import { until } from "../../testkit/wait.mjs";
import { answersOf, isReport, one, PATIENCE, ROOT, Session, script, serveWith, setUp } from "./stage.mjs";

/** @typedef {import("./stage.mjs").Step} Step */
/** @typedef {import("./stage.mjs").Server} Server */
/** @typedef {import("./stage.mjs").Sandbox} Sandbox */

/** Deep enough for a child of a task's session; shell commands that begin with these words are asked for. */
const CONFIG = {
  subagent_depth: 3,
  permission: { bash: { "*": "allow", "echo may*": "ask" }, task: "allow", question: "allow" },
};

/** @type {import("./stage.mjs").ModelServer} */
let model;
/** @type {Sandbox} */
let sandbox;
/** @type {Server} */
let server;

before(async () => {
  ({ model, sandbox } = await setUp({ config: () => CONFIG }));
  mkdirSync(join(sandbox.project, "second"));
  ({ server } = await serveWith(sandbox));
});

after(async () => {
  await server?.stop();
  await model?.close();
  await sandbox?.remove();
});

/** A project whose tasks are answered by these rules; with a directory `second`. @param {string} name @param {Record<string, unknown>} permissions */
function projectWith(name, permissions) {
  const project = sandbox.addProject(name, { config: { plugin: [[ROOT, { permissions }]] } });
  mkdirSync(join(project, "second"));
  return project;
}

/** A shell command that is asked for. @param {string} word @returns {Step} */
const may = (word) => ({ tool: "bash", args: { command: `echo may-${word}`, description: word } });

/** @type {Step} */
const WHICH = {
  tool: "question",
  args: {
    questions: [
      {
        question: "Which colour?",
        header: "Colour",
        options: [
          { label: "Red", description: "warm" },
          { label: "Blue", description: "cold" },
        ],
      },
    ],
  },
};

/** A task that does these things itself, in a directory. @param {string} title @param {string} directory @param {...Step} steps */
const shallow = (title, directory, ...steps) => ({
  title,
  agent: "build",
  directory,
  prompt: `${title}.\n${script(...steps, { say: `${title} went on` })}`,
});

/** A call that lets another agent do them. @param {string} title @param {...Step} steps @returns {Step} */
const delegate = (title, ...steps) => ({
  tool: "task",
  args: {
    description: title,
    prompt: `below ${title}.\n${script(...steps, { say: `${title} went on below` })}`,
    subagent_type: "general",
  },
});

/** A task whose agent lets an agent of its own do them. @param {string} title @param {string} directory @param {...Step} steps */
const deep = (title, directory, ...steps) => shallow(title, directory, delegate(title, ...steps));

/** A command that no model answers, and what it shows. @param {Session} session @param {string} command @param {string} [words] */
async function order(session, command, words = "") {
  const shown = async () => {
    const texts = (await session.messages()).flatMap((message) =>
      message.parts.filter((/** @type {any} */ part) => part.ignored),
    );
    return texts.map((part) => String(part.text));
  };
  const before = (await shown()).length;
  const body = { command, arguments: words };
  await session.server.request("POST", `/session/${session.id}/command`, {
    directory: session.directory,
    body,
    timeoutMs: PATIENCE,
  });
  return until(async () => (await shown())[before], {
    timeoutMs: PATIENCE,
    everyMs: 50,
    what: `/${command} ${words} to show something`,
  });
}

/** The number of the prompt that waits with these words, as `/tasks` shows it. @param {Session} session @param {string} words */
async function asked(session, words) {
  return until(
    async () => {
      const waiting = (await order(session, "tasks")).split("Waiting for you:")[1]?.split("Answered last:")[0] ?? "";
      const line = waiting.split("\n").find((line) => line.includes(words));
      return /^(p\d+) /.exec(line ?? "")?.[1];
    },
    { timeoutMs: PATIENCE, everyMs: 200, what: `"${words}" to be listed` },
  );
}

/** What `/tasks` says became of what was asked with these words. @param {Session} session @param {string} words */
async function became(session, words) {
  return until(
    async () =>
      (await order(session, "tasks"))
        .split("Answered last:")[1]
        ?.split("\n")
        .find((line) => line.includes(words)),
    { timeoutMs: PATIENCE, everyMs: 200, what: `"${words}" to be answered` },
  );
}

/** The answers of a tool in the session of a task or of one below it. @param {Session} parent @param {string} id @param {string} tool @param {boolean} below */
async function toolAnswers(parent, id, tool, below) {
  const [{ session, directory }] = await parent.status([id]);
  const own = new Session(server, session, directory);
  const [child] = below ? await own.children() : [];
  return answersOf(await (below ? own.of(one([child]).id) : own).messages(), tool);
}

/** Waits for the ends of tasks, and gives the texts of their reports. @param {Session} parent @param {string[]} ids */
async function reports(parent, ids) {
  return (await parent.untilTold(ids)).filter(isReport).map(messageText).join("\n");
}

test("of two that ask at once at depth two in two directories each gets its own answer", async () => {
  const [here, second] = [sandbox.project, join(sandbox.project, "second")];
  const parent = await Session.create(server);
  const ids = await parent.launch([
    deep("ALPHA", second, may("alpha")),
    deep("BETA", here, may("beta")),
    shallow("GAMMA", second, may("gamma")),
  ]);
  const [alpha, beta, gamma] = [
    await asked(parent, "echo may-alpha"),
    await asked(parent, "echo may-beta"),
    await asked(parent, "echo may-gamma"),
  ];
  const seen = await parent.status(ids);
  assert.match(seen[0].detail, /^waits for permission: bash echo may-alpha/);
  assert.equal(await order(parent, "answer", `${beta} once`), `${beta} is answered: once`);
  assert.match(await order(parent, "answer", `${beta} once`), /no-such-prompt: p\d+ waits no more: once \(you\)/);
  assert.match(await order(parent, "answer", `${alpha} reject leave it`), /is answered: reject: leave it/);
  assert.match(await order(parent, "answer", `${gamma} perhaps`), /bad-answer/);
  assert.match(await order(parent, "answer", `${gamma} once`), /is answered: once/);
  assert.match(await reports(parent, ids), /ALPHA went on[\s\S]*BETA went on|BETA went on[\s\S]*ALPHA went on/);
  const [first, other, own] = [
    one(await toolAnswers(parent, one(ids), "bash", true)),
    one(await toolAnswers(parent, one(ids, 1), "bash", true)),
    one(await toolAnswers(parent, one(ids, 2), "bash", false)),
  ];
  assert.match(first.error, /feedback: leave it/);
  assert.match(other.output, /^may-beta/);
  assert.match(own.output, /^may-gamma/);
});

test("a question at depth two in a second directory is answered by a person", async () => {
  const parent = await Session.create(server);
  const ids = await parent.launch([deep("PAINT", join(sandbox.project, "second"), WHICH)]);
  const number = await asked(parent, "Which colour? [1 Red, 2 Blue]");
  assert.equal(await order(parent, "answer", `${number} 2`), `${number} is answered: Blue`);
  assert.match(await reports(parent, ids), /PAINT went on/);
  const answer = one(await toolAnswers(parent, one(ids), "question", true));
  assert.match(answer.output, /"Which colour\?"="Blue"/);
});

test("in a worktree that OpenCode loads without the plugin it is found as well", async () => {
  const tree = join(sandbox.project, "tree");
  git(sandbox, sandbox.project, "worktree", "add", "--quiet", "tree");
  const config = JSON.parse(readFileSync(join(tree, "opencode.json"), "utf8"));
  writeFileSync(join(tree, "opencode.json"), JSON.stringify({ ...config, plugin: [] }));
  const parent = await Session.create(server);
  const ids = await parent.launch([deep("FAR", tree, may("far"))]);
  const number = await asked(parent, "echo may-far");
  assert.equal(await order(parent, "answer", `${number} once`), `${number} is answered: once`);
  assert.match(await reports(parent, ids), /FAR went on/);
  assert.match(one(await toolAnswers(parent, one(ids), "bash", true)).output, /^may-far/);
});

test("an answer in OpenCode's own way counts, and the prompt leaves the inbox", async () => {
  const directory = join(sandbox.project, "second");
  const parent = await Session.create(server);
  const ids = await parent.launch([deep("DIALOG", directory, may("dialog"))]);
  const number = await asked(parent, "echo may-dialog");
  const { body } = await server.request("GET", "/permission", { directory });
  const request = body.find((/** @type {any} */ request) => request.patterns.includes("echo may-dialog"));
  await server.request("POST", `/permission/${request.id}/reply`, { directory, body: { reply: "once" } });
  assert.match(await reports(parent, ids), /DIALOG went on/);
  assert.match(await became(parent, "echo may-dialog"), /: once \(you, in OpenCode\)$/);
  assert.match(await order(parent, "answer", `${number} reject`), /no-such-prompt/);
});

test("no session of a task answers, nor one below it", async () => {
  const directory = join(sandbox.project, "second");
  const parent = await Session.create(server);
  const ids = await parent.launch([deep("THIEF", directory, may("steal"))]);
  const number = await asked(parent, "echo may-steal");
  const [{ session }] = await parent.status(ids);
  const own = new Session(server, session, directory);
  const [child] = await own.children();
  for (const session of [own, own.of(one([child]).id)]) {
    assert.match(await order(session, "answer", `${number} always`), /people-only/);
  }
  assert.equal(await asked(parent, "echo may-steal"), number);
  await order(parent, "answer", `${number} reject no`);
  assert.match(await reports(parent, ids), /THIEF went on/);
  assert.match(one(await toolAnswers(parent, one(ids), "bash", true)).error, /feedback: no/);
});

test("policies answer without asking anybody, and the agents go on", async () => {
  const denies = projectWith("denies", { policy: "deny", allow: [{ permission: "bash", pattern: "*" }] });
  const allow = [{ permission: "bash", pattern: "echo may-listed*" }];
  const lists = projectWith("lists", { policy: "allow-listed", allow });
  for (const [project, listed] of /** @type {[string, boolean][]} */ ([
    [denies, false],
    [lists, true],
  ])) {
    const second = join(project, "second");
    const parent = await Session.create(server, { directory: project });
    const ids = await parent.launch([
      deep("DEEP", second, may("listed"), may("other"), WHICH),
      shallow("FLAT", project, may("listed"), may("other"), WHICH),
    ]);
    assert.match(await reports(parent, ids), /DEEP went on[\s\S]*FLAT went on|FLAT went on[\s\S]*DEEP went on/);
    for (const [at, below] of /** @type {[number, boolean][]} */ ([
      [0, true],
      [1, false],
    ])) {
      const [first, other] = await toolAnswers(parent, one(ids, at), "bash", below);
      const refusal = /feedback: The user does not want to be asked this by tasks\. It is not allowed\./;
      if (listed) assert.match(first?.output ?? "", /^may-listed/);
      else assert.match(first?.error ?? "", refusal);
      assert.match(other?.error ?? "", refusal);
      const [question] = await toolAnswers(parent, one(ids, at), "question", below);
      assert.match(question?.output ?? "", /This is no answer of a person/);
    }
  }
});

test("a task's own directory is allowed under every policy, and what leads out of it is not", async () => {
  const project = projectWith("narrow", { policy: "deny" });
  const second = join(project, "second");
  writeFileSync(join(second, "mine.txt"), "MINE");
  writeFileSync(join(sandbox.root, "outside.txt"), "SECRET");
  symlinkSync(second, join(sandbox.root, "alias"));
  symlinkSync(join(sandbox.root, "outside.txt"), join(second, "leak.txt"));
  const read = (/** @type {string} */ path) => ({ tool: "read", args: { filePath: join(sandbox.root, path) } });
  const parent = await Session.create(server, { directory: project });
  const ids = await parent.launch([
    deep("READER", second, read("alias/mine.txt"), read("outside.txt"), read("alias/leak.txt")),
  ]);
  assert.match(await reports(parent, ids), /READER went on/);
  const [mine, outside, leak] = await toolAnswers(parent, one(ids), "read", true);
  assert.match(mine?.output ?? "", /MINE/);
  assert.match(outside?.error ?? "", /It is not allowed/);
  assert.match(leak?.error ?? "", /It is not allowed/);
});

test("nobody answers: the agents are told after the patience, also of what OpenCode refuses with it", async () => {
  const project = projectWith("patient", { patience: 3 });
  const second = join(project, "second");
  const parent = await Session.create(server, { directory: project });
  const both = { tools: ["one", "two"].map((word) => ({ name: "bash", args: one([may(word)]).args })) };
  const ids = await parent.launch([
    deep("PERMISSION", second, may("wait")),
    deep("QUESTION", second, WHICH),
    shallow("OWN", project, may("own")),
    shallow("BOTH", project, both),
  ]);
  const text = await reports(parent, ids);
  for (const title of ["PERMISSION", "QUESTION", "OWN", "BOTH"]) assert.match(text, new RegExp(`${title} went on`));
  const nobody = /Nobody answered this within 3 s\./;
  assert.match(one(await toolAnswers(parent, one(ids), "bash", true)).error, nobody);
  assert.match(one(await toolAnswers(parent, one(ids, 1), "question", true)).output, nobody);
  assert.match(one(await toolAnswers(parent, one(ids, 2), "bash", false)).error, nobody);
  const errors = (await toolAnswers(parent, one(ids, 3), "bash", false)).map(({ error }) => error);
  assert.equal(errors.length, 2);
  assert.match(errors.join("\n"), nobody);
  assert.match(await became(parent, "echo may-own"), /\(patience\)$/);
});

test("a headless run answers at once and ends by itself", async () => {
  const project = projectWith("headless", { allow: [{ permission: "bash", pattern: "echo may-listed" }] });
  const second = join(project, "second");
  const launch = {
    tool: "sortie_launch",
    args: { tasks: [deep("DEEP", second, may("listed"), may("other")), shallow("FLAT", project, may("other"))] },
  };
  const ended = await run(sandbox, ["run", `go\n${script(launch, { say: "ALL IS IN" })}`], {
    cwd: project,
    timeoutMs: 2 * PATIENCE,
  });
  assert.equal(ended.code, 0, `${ended.stdout}\n${ended.stderr}`);
  assert.match(ended.stdout, /ALL IS IN/);
  const told = model.requests.flatMap(({ body }) => body.messages.filter(({ role }) => role === "tool"));
  const text = JSON.stringify(told);
  assert.match(text, /DEEP went on[\s\S]*FLAT went on/);
  assert.match(text, /feedback: This run is unattended: nobody can answer this\./);
  assert.match(text, /may-listed/);
});

test("a prompt that waits when the server is killed is asked anew, and the old one is gone", async () => {
  const { model, sandbox } = await setUp({ config: () => CONFIG });
  try {
    const second = join(sandbox.project, "second");
    mkdirSync(second);
    const first = await serveWith(sandbox);
    const parent = await Session.create(first.server);
    // The steps that the crash cuts off are told to the model, which tries them again.
    const again = delegate("PHOENIX", may("again"));
    const ids = await parent.launch([
      shallow("PHOENIX", second, again, again),
      shallow("ASHES", second, may("own"), may("own")),
    ]);
    const [old, own] = [await asked(parent, "echo may-again"), await asked(parent, "echo may-own")];
    await first.server.kill9();
    const later = await serveWith(sandbox);
    const back = new Session(later.server, parent.id, parent.directory);
    const [next, nextOwn] = [await asked(back, "echo may-again"), await asked(back, "echo may-own")];
    assert.ok(![old, own].includes(next) && ![old, own].includes(nextOwn), "asked anew");
    assert.match(await order(back, "answer", `${old} once`), /no-such-prompt: p\d+ waits no more: gone/);
    assert.equal(await order(back, "answer", `${next} once`), `${next} is answered: once`);
    assert.equal(await order(back, "answer", `${nextOwn} once`), `${nextOwn} is answered: once`);
    const messages = await back.untilTold(ids);
    const text = messages.filter(isReport).map(messageText).join("\n");
    assert.match(text, /PHOENIX went on/);
    assert.match(text, /ASHES went on/);
    await later.server.stop();
  } finally {
    await model.close();
    await sandbox.remove();
  }
});
