// @ts-check
/** Several projects in one server, limits, headless runs one after the other, and reloads. */
import assert from "node:assert/strict";
import { mkdirSync, realpathSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { messageText, run } from "../../testkit/opencode.mjs";
import { git } from "../../testkit/sandbox.mjs";
import { until } from "../../testkit/wait.mjs";
import {
  answersOf,
  gate,
  idsIn,
  isReport,
  mostAtOnce,
  one,
  PATIENCE,
  ROOT,
  requestsIn,
  Session,
  SLOW,
  script,
  serveWith,
  setUp,
  TOOLS,
  task,
  timesTold,
} from "./stage.mjs";

/** @type {import("./stage.mjs").ModelServer} */
let model;
/** @type {import("./stage.mjs").Sandbox} */
let sandbox;
/** @type {import("./stage.mjs").Server} */
let server;
/** @type {Session} */
let observer;
/** @type {string} */
let second;

before(async () => {
  ({ model, sandbox } = await setUp({ options: { limits: { default: 10, agents: { general: 2 } } } }));
  second = sandbox.addProject("second");
  ({ server, observer } = await serveWith(sandbox));
});

after(async () => {
  await server?.stop();
  await model?.close();
  await sandbox?.remove();
});

/** A task that tells where it is. @param {string} title */
const whereAmI = (title) =>
  task(title, { tool: "bash", args: { command: "pwd -P", description: "says where it is" } }, { say: `${title} done` });

/** What the shell of a task's session answered first. @param {Session} near @param {any} seen */
async function shellOf(near, seen) {
  const [answer] = answersOf(await near.of(seen.session).messages(), "bash");
  return answer?.output.trim();
}

test("two projects in one server never see each other's tasks, directories or output", async () => {
  const held = [gate(sandbox.project, "ours"), gate(second, "theirs")];
  const [a, b] = [await Session.create(server), await Session.create(server, { directory: second })];
  const [ours, theirs] = [
    await a.launch([{ ...whereAmI("ALPHA"), key: "same" }, task("ALPHA holds", one(held).step, { say: "ALPHA held" })]),
    await b.launch([{ ...whereAmI("BETA"), key: "same" }, task("BETA holds", one(held, 1).step, { say: "BETA held" })]),
  ];
  await observer.untilState([one(ours, 1)], "running");
  const open = one(ours, 1);
  for (const [tool, args] of /** @type {[string, Record<string, unknown>][]} */ ([
    ["sortie_status", { tasks: [open] }],
    ["sortie_wait", { tasks: [open], timeout: 1 }],
    ["sortie_result", { task: one(ours) }],
    ["sortie_send", { task: open, message: "hello from the other project" }],
    ["sortie_cancel", { tasks: [open] }],
    ["sortie_retry", { tasks: [open] }],
    ["sortie_extend", { task: open, seconds: 60 }],
  ])) {
    const { status, error } = await b.call(tool, args);
    assert.equal(status, "error", tool);
    assert.match(error, /no-such-task/, tool);
  }
  const depends = { ...task("spy {{result:same}}", { say: "x" }), depends_on: [one(ours)] };
  assert.match((await b.call("sortie_launch", { tasks: [depends] })).error, /unknown-dependency/);
  assert.equal((await observer.status([open]))[0].state, "running", "the other project could not touch it");
  assert.deepEqual(idsIn(await b.ok("sortie_status", { all: true })).sort(), [...theirs].sort());
  for (const { open } of held) open();

  for (const [session, ids, directory, own, other] of /** @type {[Session, string[], string, RegExp, RegExp][]} */ ([
    [a, ours, sandbox.project, /ALPHA/, /BETA/],
    [b, theirs, second, /BETA/, /ALPHA/],
  ])) {
    const messages = await session.untilTold(ids);
    const reports = messages.filter(isReport).map(messageText).join("\n");
    assert.match(reports, own);
    assert.doesNotMatch(reports, other);
    const seen = await session.status(ids);
    assert.deepEqual(
      seen.map(({ directory }) => directory),
      [directory, directory],
    );
    assert.equal(await shellOf(session, seen[0]), realpathSync(directory));
    const children = await session.children();
    assert.deepEqual(
      children.map(({ directory }) => directory),
      [directory, directory],
    );
    for (const { id } of children) {
      for (const { body } of requestsIn(model, id)) assert.doesNotMatch(JSON.stringify(body.messages), other);
    }
  }
});

test("a clone of the same repository is a project of its own", async () => {
  const twin = join(sandbox.root, "twin");
  git(sandbox, sandbox.root, "clone", "--quiet", sandbox.project, twin);
  const [a, b] = [await Session.create(server), await Session.create(server, { directory: twin })];
  const [ours, theirs] = [await a.launch([whereAmI("origin")]), await b.launch([whereAmI("clone")])];
  await a.untilTold(ours);
  await b.untilTold(theirs);
  assert.equal(await shellOf(b, (await b.status(theirs))[0]), realpathSync(twin));
  assert.match((await b.call("sortie_result", { task: one(ours) })).error, /no-such-task/);
  assert.match((await a.call("sortie_result", { task: one(theirs) })).error, /no-such-task/);
});

test("a task works in a directory of the project when told so, and nowhere outside", async () => {
  const inside = join(sandbox.project, "packages", "core");
  mkdirSync(inside, { recursive: true });
  symlinkSync(second, join(sandbox.project, "way-out"));
  const parent = await Session.create(server);
  const ids = await parent.launch([
    { ...whereAmI("relative"), directory: "packages/core" },
    { ...whereAmI("absolute"), directory: inside },
  ]);
  await parent.untilTold(ids);
  for (const seen of await observer.status(ids)) {
    assert.equal(await shellOf(observer, seen), realpathSync(inside));
    const child = await observer.of(seen.session).info();
    assert.deepEqual([child.directory, child.parentID], [realpathSync(inside), parent.id]);
  }
  const refused = {
    "../second": "outside-project",
    "/": "outside-project",
    "way-out": "outside-project",
    nowhere: "no-directory",
  };
  for (const [directory, code] of Object.entries(refused)) {
    const { status, error } = await parent.call("sortie_launch", { tasks: [{ ...whereAmI("out"), directory }] });
    assert.equal(status, "error", directory);
    assert.match(error, new RegExp(code), directory);
  }
  assert.equal((await parent.status()).length, 2, "what was refused is not there");
});

test("the limit of an agent is a hard cap, and everything gets its turn", async () => {
  const parent = await Session.create(server);
  const gates = Array.from({ length: 8 }, (_, at) => gate(sandbox.project, `capped-${at}`));
  const ids = await parent.launch(gates.map(({ step }, at) => task(`capped ${at}`, step, { say: "done" })));
  const within = () => gates.filter((held) => held.isReached()).length;
  await until(() => within() === 2, { timeoutMs: PATIENCE, what: "two at once" });
  for (const held of gates) held.open();
  await parent.untilTold(ids);
  const seen = await observer.status(ids);
  assert.deepEqual(new Set(seen.map(({ state }) => state)), new Set(["complete"]));
  const runs = seen.map(({ session }) => {
    const asked = requestsIn(model, session);
    assert.equal(asked.length, 2);
    return { at: one(asked).at, endedAt: one(asked, 1).endedAt };
  });
  assert.equal(mostAtOnce(runs), 2);
});

test("five tasks cancelled by the user do not stop others from running", async () => {
  const parent = await Session.create(server);
  const slow = Array.from({ length: 5 }, (_, at) => ({ ...task(`unwanted ${at}`, SLOW), agent: "build" }));
  const unwanted = await parent.launch(slow);
  await observer.untilState(unwanted, "running");
  for (const id of unwanted) await parent.ok("sortie_cancel", { tasks: [id] });
  const wanted = await parent.launch([
    { ...task("wanted", { say: "WANTED" }), agent: "build" },
    task("wanted too", { say: "TOO" }),
  ]);
  const messages = await parent.untilTold([...unwanted, ...wanted]);
  assert.deepEqual(new Set((await observer.status(wanted)).map(({ state }) => state)), new Set(["complete"]));
  assert.ok([...unwanted, ...wanted].every((id) => timesTold(messages, id) === 1));
});

test("a limit of 0 is refused as a bad option in the log and a toast, and OpenCode goes on", async () => {
  const wrong = sandbox.addProject("wrong", { config: { plugin: [[ROOT, { limits: { default: 0 } }]] } });
  const events = server.events();
  await events.ready;
  const session = await Session.create(server, { directory: wrong });
  const complaint = (/** @type {import("../../testkit/sse.mjs").HostEvent} */ { payload }) =>
    payload.type === "tui.toast.show" && /bad-options/.test(payload.properties.message);
  const toast = await events.waitFor(complaint, { timeoutMs: PATIENCE });
  assert.equal(toast.payload.properties.variant, "error");
  assert.match(toast.payload.properties.message, /limits\.default/);
  await until(() => /bad-options.*limits\.default/.test(sandbox.log()), { timeoutMs: PATIENCE, what: "a log line" });
  const messages = await session.turn([{ say: "OpenCode works" }]);
  assert.equal(messageText(messages.at(-1)), "OpenCode works");
  const [asked] = requestsIn(model, session.id);
  assert.deepEqual(
    asked?.tools.filter((name) => TOOLS.includes(name)),
    [],
  );
  events.close();
});

test("after a reload of the instance delegation works and a running task goes on in its session", async () => {
  // Of the first project, directories below are open too; the second is open in one directory only.
  for (const directory of [sandbox.project, second]) await reload(directory);
});

/** @param {string} directory */
async function reload(directory) {
  const held = gate(directory, "reload");
  const parent = await Session.create(server, { directory });
  const observer = await Session.create(server, { directory });
  const ids = await parent.launch([task("survive", held.step, { say: "SURVIVED" })]);
  const [{ session }] = await observer.untilState(ids, "running");
  const shell = async () => answersOf(await observer.of(session).messages(), "bash")[0]?.status === "running";
  await until(shell, { timeoutMs: PATIENCE, what: "the task's shell" });
  await server.request("POST", "/instance/dispose", { directory });
  held.open();
  const more = await parent.launch([task("after the reload", { say: "AFTER" })]);
  const messages = await parent.untilTold([...ids, ...more]);
  assert.deepEqual(
    [...ids, ...more].map((id) => timesTold(messages, id)),
    [1, 1],
  );
  const [survivor, later] = await observer.status([...ids, ...more]);
  assert.deepEqual([survivor.state, survivor.session, survivor.result], ["complete", session, "SURVIVED"]);
  assert.deepEqual([later.state, later.result], ["complete", "AFTER"]);
}

test("one headless run after the other works in the same project", async () => {
  for (const name of ["FIRST", "SECOND"]) {
    const steps = [
      { tool: "sortie_launch", args: { tasks: [task(name, { say: `${name} RESULT` })] } },
      { say: `${name} ANSWER` },
    ];
    const { code, stdout, stderr } = await run(sandbox, ["run", `${name}\n${script(...steps)}`], {
      timeoutMs: 2 * PATIENCE,
    });
    assert.equal(code, 0, stderr);
    assert.match(stdout, new RegExp(`${name} ANSWER`), stderr);
    assert.equal(model.requestsFor(new RegExp(`^${name}\\.`)).length, 1);
  }
});
