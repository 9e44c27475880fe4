// @ts-check
/** What crosses the boundary, and what happens when the host does not keep its side. Runs under Node and under Bun. */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { promisify } from "node:util";
import { ROOT } from "../../scripts/process.mjs";
import { deadline } from "../../testkit/wait.mjs";
import { attach, CALLER, native, place, quietHost } from "./harness.mjs";

/** @typedef {import("../../index.js").SortieAttachment} Attachment */

const LIMIT_MS = 30_000;
const LAUNCH = JSON.stringify({ tasks: [{ title: "t", agent: "nobody", prompt: "p" }] });

const BUN = "Bun" in globalThis;

const here = place();
let calls = 0;

/** @param {Attachment} to @param {string} tool @param {string} [args] */
const call = (to, tool, args = "{}") => to.call(++calls, tool, args, CALLER);

/**
 * Runs a test with an attachment over this host.
 *
 * @param {Function} ask
 * @param {(to: Attachment) => Promise<void>} work
 */
async function attached(ask, work) {
  const to = await attach(here, { ask });
  try {
    await to.start();
    await work(to);
  } finally {
    await deadline(to.detach(), LIMIT_MS, "the attachment to detach");
  }
}

/** One attachment over a sound host, for the tests to which another one's host should make no difference. */
let sound = /** @type {Attachment} */ (/** @type {unknown} */ (undefined));

before(async () => {
  sound = await attach(here);
  await sound.start();
});

after(async () => {
  await sound.detach();
  here.remove();
});

test("the tools have names, words and schemas", () => {
  const tools = native.tools();
  assert.ok(tools.length >= 8);
  for (const { name, description, schema } of tools) {
    assert.match(name, /^sortie_[a-z_]+$/);
    assert.ok(description.length > 0);
    assert.equal(JSON.parse(schema).type, "object");
  }
  const { agent, command } = JSON.parse(native.hostConfig());
  assert.deepEqual(Object.keys(agent).sort(), ["commander", "planner", "reviewer", "worker"]);
  for (const { prompt, mode, permission } of Object.values(agent)) {
    assert.ok(prompt.length > 0 && ["primary", "subagent"].includes(mode) && permission.task === "deny");
  }
  const commands = [
    "agent:cancel",
    "agent:clean",
    "agent:retry",
    "agent:run",
    "agent:run-parallel",
    "agent:start",
    "agent:status",
    "agent:timeout",
    "answer",
    "budget",
    "limits",
    "mission",
    "pause",
    "resume",
    "stop",
    "task",
    "tasks",
  ];
  assert.deepEqual(Object.keys(command).sort(), commands);
  assert.deepEqual([command.task.agent, command.task.template], ["commander", "$ARGUMENTS"]);
});

test("a call is answered, and an unknown tool is an error of the catalogue", async () => {
  assert.equal(await call(sound, "sortie_status"), "No tasks.");
  const shown = (/** @type {string} */ name) => sound.command(name, "ses_caller", here.project, "");
  assert.deepEqual(await shown("tasks"), { shown: "No tasks in this project yet." });
  assert.match((await shown("mission")).shown ?? "", /^No missions in this project yet/);
  for (const name of ["stop", "pause", "resume"]) assert.match((await shown(name)).shown ?? "", /error no-mission: /);
  assert.match((await shown("task")).shown ?? "", /error nothing-open: /);
  assert.match((await shown("nothing")).shown ?? "", /error unknown-tool: /);
  assert.match((await shown("agent:status")).shown ?? "", /error no-program: /);
  assert.deepEqual([sound.system("ses_caller"), sound.compaction("ses_caller")], [[], null]);
  await assert.rejects(call(sound, "sortie_nothing"), /^Error: sortie error unknown-tool: .*sortie_nothing/);
  await assert.rejects(call(sound, "sortie_status", "["), /sortie error bad-arguments/);
  await assert.rejects(call(sound, "sortie_launch", LAUNCH), /sortie error unknown-agent: .*OpenCode knows build/);
});

test("starting again does nothing", async () => {
  await sound.start();
  assert.equal(await call(sound, "sortie_status"), "No tasks.");
});

test("what a call must be asked for is told before it, in the host's own form", async () => {
  await attached(quietHost, async (to) => {
    const asks = (/** @type {string} */ tool, /** @type {unknown} */ args) =>
      to.asks(tool, JSON.stringify(args), here.project);
    const own = (/** @type {string} */ permission) => ({ permission, patterns: ["*"], always: ["*"], metadata: {} });
    assert.deepEqual(asks("sortie_status", {}), [own("sortie_status")]);
    const line = "npm run dev";
    const bash = { permission: "bash", patterns: [line], always: [line], metadata: { command: line } };
    assert.deepEqual(asks("sortie_command_start", { command: line }), [own("sortie_command_start"), bash]);
    assert.deepEqual(asks("sortie_command_start", { command: 3 }), [own("sortie_command_start")]);
  });
});

test("after detach a call is not-attached, and a second detach is an error", async () => {
  const to = await attach(here);
  await to.start();
  assert.equal(typeof (await to.detach()), "string");
  const gone = /sortie error not-attached: /;
  await assert.rejects(to.detach(), gone);
  await assert.rejects(to.start(), gone);
  await assert.rejects(to.command("tasks", "ses_caller", here.project, ""), gone);
  assert.throws(() => to.asks("sortie_status", "{}", here.project), gone);
  assert.deepEqual([to.system("ses_caller"), to.compaction("ses_caller")], [[], null]);
  await assert.rejects(to.settle("ses_caller"), gone);
  await assert.rejects(call(to, "sortie_status"), gone);
  to.abort(1);
});

test("a panic is an error, and the process lives", async () => {
  assert.throws(() => native.panicForTests(), /a panic on purpose/);
  assert.equal(await call(sound, "sortie_status"), "No tasks.");
});

test("arguments of wrong types are errors, and the process lives", async () => {
  const any = /** @type {any} */ (native);
  const to = /** @type {any} */ (sound);
  const spec = { directory: here.project, project: here.project, options: "{}", headless: false };
  /** @type {(() => unknown)[]} */
  const wrong = [
    () => any.attach(),
    () => any.attach(null, quietHost, () => {}),
    () => any.attach("here", quietHost, () => {}),
    () => any.attach({ ...spec, directory: 7 }, quietHost, () => {}),
    () => any.attach({ ...spec, project: undefined }, quietHost, () => {}),
    () => any.attach({ ...spec, headless: "no" }, quietHost, () => {}),
    // Bun makes a threadsafe function of anything.
    ...(BUN ? [] : [() => any.attach(spec, "ask", () => {}), () => any.attach(spec, quietHost)]),
    () => to.call(),
    () => to.call("1", "sortie_status", "{}", CALLER),
    () => to.call(++calls, 7, "{}", CALLER),
    () => to.call(++calls, "sortie_status", {}, CALLER),
    () => to.call(++calls, "sortie_status", "{}", null),
    () => to.call(++calls, "sortie_status", "{}", { ...CALLER, session: 7 }),
    () => to.call(++calls, "sortie_status", "{}", { ...CALLER, session: "nobody" }),
    () => to.abort("1"),
    () => to.settle(7),
    () => any.streamChunk("data: {}"),
    () => new any.SortieAttachment(),
    () => to.call.call({}, ++calls, "sortie_status", "{}", CALLER),
  ];
  for (const [at, act] of wrong.entries()) {
    await assert.rejects(async () => await act(), Error, `${at}: ${act}`);
  }
  assert.equal(await call(sound, "sortie_status"), "No tasks.");
});

test("options that are wrong are refused by name", async () => {
  for (const [options, named] of /** @type {[object, RegExp][]} */ ([
    [{ timeout: 0 }, /timeout/],
    [{ retries: 9 }, /retries/],
    [{ maxDepth: "deep" }, /maxDepth/],
    [{ limits: [10, {}] }, /limits/],
    [{ limits: { agents: { build: -1 } } }, /limits\.agents\.build/],
    [{ colour: "red" }, /colour/],
  ])) {
    await assert.rejects(attach(here, { options }), (/** @type {Error} */ error) => {
      assert.match(error.message, /^sortie error bad-options: /);
      assert.match(error.message, named);
      return true;
    });
  }
});

test("a call that waits is aborted by its number, and the task goes on", async () => {
  const own = place();
  // Sessions are never made here, so that the task stays open.
  const slow = (/** @type {import("./harness.mjs").HostRequest} */ request) =>
    request.method === "POST" ? new Promise(() => {}) : quietHost(request);
  const to = await attach(own, { ask: slow });
  try {
    await to.start();
    await call(to, "sortie_launch", LAUNCH.replace("nobody", "build"));
    const waiting = call(to, "sortie_wait");
    const number = calls;
    const open = await call(to, "sortie_status");
    to.abort(number + 1_000);
    to.abort(number);
    await assert.rejects(deadline(waiting, LIMIT_MS, "the wait to end"), /sortie error aborted: /);
    assert.match(open, /1 (?:pending|running)$/);
    assert.match(await call(to, "sortie_status"), /1 (?:pending|running)$/);
  } finally {
    await deadline(to.detach(), LIMIT_MS, "the attachment to detach");
    own.remove();
  }
});

/** @type {Record<string, [Function, RegExp]>} Hosts that break their promise, and what a call is told. */
const broken = {
  throws: [
    () => {
      throw new Error("thrown on purpose");
    },
    /host-unreachable: .*thrown on purpose/,
  ],
  "throws no error": [
    () => {
      throw "a text";
    },
    /host-unreachable/,
  ],
  rejects: [
    async () => {
      throw new Error("rejected on purpose");
    },
    /host-unreachable: .*rejected on purpose/,
  ],
  "rejects with no error": [() => Promise.reject(7), /host-unreachable/],
  "rejects with nothing": [() => Promise.reject(), /host-unreachable/],
  "returns no promise": [() => ({ status: 200, body: "[]" }), /host-(?:unreachable|answer)/],
  // Bun itself reports what napi asks of `undefined` as an uncaught error.
  ...(BUN ? {} : { "returns nothing": [() => undefined, /host-(?:unreachable|answer)/] }),
  "answers with nothing": [async () => undefined, /host-(?:unreachable|answer)/],
  "answers with a wrong type": [async () => ({ status: "200", body: 7 }), /host-(?:unreachable|answer)/],
  "says that it was not reached": [async () => ({ status: 0, body: "no way" }), /host-unreachable: .*no way/],
  "answers with a page": [async () => ({ status: 200, body: "<html>" }), /host-answer/],
  "answers with an error": [async () => ({ status: 500, body: "{}" }), /host-refused/],
};

for (const [what, [ask, told]] of Object.entries(broken)) {
  test(`a host that ${what} is an error of the call, and of no other`, async () => {
    await attached(ask, async (to) => {
      await assert.rejects(call(to, "sortie_launch", LAUNCH), told);
      assert.equal(await call(to, "sortie_status"), "No tasks.");
    });
    assert.equal(await call(sound, "sortie_status"), "No tasks.");
  });
}

test("a host that never answers holds up neither other calls nor detach", async () => {
  let asked = () => {};
  const asking = new Promise((resolve) => (asked = () => resolve(undefined)));
  const silent = () => {
    asked();
    return new Promise(() => {});
  };
  /** @type {Promise<unknown> | undefined} */
  let launched;
  await attached(silent, async (to) => {
    launched = call(to, "sortie_launch", LAUNCH);
    launched.catch(() => {});
    await deadline(asking, LIMIT_MS, "the host to be asked");
    assert.equal(await call(to, "sortie_status"), "No tasks.");
  });
  assert.equal(await call(sound, "sortie_status"), "No tasks.");
});

test("callbacks do not keep a process alive that has attached and ends", async () => {
  const child = join(ROOT, "__test__/binding/attach-and-end.mjs");
  const { stdout } = await promisify(execFile)(process.execPath, [child], { timeout: LIMIT_MS, killSignal: "SIGKILL" });
  assert.equal(stdout, "attached\n");
});
