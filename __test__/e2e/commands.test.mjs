// @ts-check
/** Background commands: an agent starts a server, uses it and ends it, under the user's rules; and no end leaves one. */
import assert from "node:assert/strict";
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { messageText, serve } from "../../testkit/opencode.mjs";
import { alive } from "../../testkit/proc.mjs";
import { until } from "../../testkit/wait.mjs";
import { one, PATIENCE, Session, serveWith, setUp, task } from "./stage.mjs";

const skip = process.platform === "linux" ? false : "processes are looked up in /proc";

/** A server that tells its port and every request, and ignores being asked to end. */
const SERVER = `
import { createServer } from "node:http";
import { writeFileSync } from "node:fs";
const name = process.argv[2];
process.on("SIGTERM", () => console.log("asked to end"));
const server = createServer((request, response) => {
  console.log("request for " + request.url);
  response.end("hello from " + name);
});
server.listen(0, "127.0.0.1", () => {
  writeFileSync("pid-" + name, String(process.pid));
  console.log("listening on " + server.address().port);
});
`;

/** @type {import("./stage.mjs").ModelServer} */
let model;
/** @type {import("./stage.mjs").Sandbox} */
let sandbox;
/** @type {import("./stage.mjs").Server} */
let server;
/** @type {Session} */
let observer;

before(async () => {
  ({ model, sandbox } = await setUp());
  writeFileSync(join(sandbox.project, "server.mjs"), SERVER);
  ({ server, observer } = await serveWith(sandbox));
});

after(async () => {
  await server?.stop();
  await model?.close();
  await sandbox?.remove();
});

/** The process that a server has told of. @param {string} name @param {string} [directory] */
const pidOf = (name, directory = sandbox.project) => Number(readFileSync(join(directory, `pid-${name}`), "utf8"));

/** The number of a command in an answer. @param {string} output */
const idIn = (output) => /\bcmd_[0-9a-f]{6}\b/.exec(output)?.[0] ?? assert.fail(`no command in ${output}`);

/** @param {number} pid */
const untilGone = (pid) => until(() => !alive(pid), { timeoutMs: PATIENCE, what: `process ${pid} to end` });

/** The program that watches over a group, by its last argument. @param {number} group */
function guardOf(group) {
  const is = (/** @type {string} */ pid) => {
    try {
      const words = readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0");
      return words.includes("sortie-guard") && words.includes(String(group));
    } catch {
      return false;
    }
  };
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name) && is(name))
    .map(Number);
}

/** Starts the server and waits for its line. @param {Session} session @param {string} name @param {object} [more] */
async function startServer(session, name, more = {}) {
  const id = idIn(await session.ok("sortie_command_start", { command: `node server.mjs ${name}`, ...more }));
  const output = await session.ok("sortie_command", { id, do: "wait", text: "listening on" });
  const port = /listening on (\d+)/.exec(output)?.[1];
  assert.ok(port, output);
  return { id, port, pid: pidOf(name), output };
}

/** What a command of ours shows. @param {Session} session @param {string} command */
async function typed(session, command) {
  await server.request("POST", `/session/${session.id}/command`, { body: { command, arguments: "" } });
  return messageText((await session.messages()).at(-1));
}

/** A person's session with rules of its own. @param {object[]} permission */
const under = (...permission) => Session.create(server, { body: { title: "under rules", permission } });

/** @param {string} permission @param {string} pattern @param {string} action */
const rule = (permission, pattern, action) => ({ permission, pattern, action });

/** Has the model call a tool that must be asked for, looks at each prompt, and gives the answer of the tool.
 * @param {Session} session @param {Record<string, unknown>} args @param {(asked: any) => string} reply */
async function asked(session, args, reply) {
  const tool = "sortie_command_start";
  const mark = await session.say([{ tool, args }, { say: "noted" }]);
  /** @type {any[]} */
  const prompts = [];
  const answer = await until(
    async () => {
      const { body } = await server.request("GET", "/permission");
      for (const prompt of body.filter((/** @type {any} */ { sessionID }) => sessionID === session.id)) {
        if (prompts.some(({ id }) => id === prompt.id)) continue;
        prompts.push(prompt);
        await server.request("POST", `/permission/${prompt.id}/reply`, { body: { reply: reply(prompt) } });
      }
      const parts = (await session.after(mark)).flatMap(({ parts }) => parts);
      return parts.find((part) => part.tool === tool && /completed|error/.test(part.state.status))?.state;
    },
    { timeoutMs: PATIENCE, everyMs: 50, what: "the answer of the tool" },
  );
  await until(async () => !(await session.isBusy()), { timeoutMs: PATIENCE, what: "the turn's end" });
  return { prompts, answer };
}

test("an agent starts a server, waits for it, uses it, sees what is new, and ends it", { skip }, async () => {
  const session = await Session.create(server);
  const { id, port, pid, output } = await startServer(session, "one");
  assert.match(
    output,
    /^cmd_\w{6} \[running for .*, 29m\d\ds left\] node server\.mjs one\nlistening on \d+\n\[bytes 0 to/,
  );
  assert.equal(await (await fetch(`http://127.0.0.1:${port}/path`)).text(), "hello from one");
  assert.match(
    await session.ok("sortie_command", { id, do: "wait", text: "request for /path", seconds: 30 }),
    /\] node server\.mjs one\nrequest for \/path\n\[bytes/,
  );
  assert.match(await session.ok("sortie_command", { id }), /\(nothing new; \d+ bytes in all\)$/);
  assert.match(await session.ok("sortie_command", { id, offset: 0 }), /listening on \d+\nrequest for \/path\n/);
  assert.match(await session.ok("sortie_command", {}), new RegExp(`^${id} \\[running for .*\\] node server.mjs one$`));
  assert.match(await session.ok("sortie_command", { id, do: "limit", seconds: 7_200 }), /, (2h00m|1h59m) left\]/);
  assert.match(await typed(session, "tasks"), new RegExp(`Running in the background:\n${id} \\[running for .*one`));
  // Another person's session has no part in it.
  assert.match((await observer.call("sortie_command", { id, do: "kill" })).error, /sortie error no-such-command: /);
  assert.equal(await observer.ok("sortie_command", {}), "No commands.");
  assert.ok(alive(pid));
  // It is deaf to being asked, and says so.
  assert.match(await session.ok("sortie_command", { id, do: "kill" }), /\[killed after .*\nasked to end\n/);
  assert.ok(!alive(pid));
  assert.deepEqual(guardOf(pid), []);
  assert.doesNotMatch(await typed(session, "tasks"), /Running in the background/);
  assert.match((await session.call("sortie_command", { id, do: "limit", seconds: 60 })).error, /error command-ended: /);
});

test("a command ends by itself or at its time limit, and its end is told as it was", { skip }, async () => {
  const session = await Session.create(server);
  const run = async (/** @type {string} */ command, /** @type {object} */ more = {}) => {
    const id = idIn(await session.ok("sortie_command_start", { command, ...more }));
    return session.ok("sortie_command", { id, do: "wait" });
  };
  assert.match(
    await run("sh -c 'echo \"$0 $(pwd)\"; exit 3' 'a  b'"),
    /\[exited with 3 after [^\n]*\na {2}b \/[^\n]*project\n/,
  );
  assert.match(
    await run("node -e 'setInterval(() => {}, 1000)'", { timeout: 1 }),
    /\[ended by its time limit after [1-9][\d.]*s\]/,
  );
  const missing = await session.call("sortie_command_start", { command: "no-such-program --x" });
  assert.match(missing.error, /sortie error check-not-started: .*no-such-program/);
  const shell = await session.call("sortie_command_start", { command: "cd x && npm test" });
  assert.match(shell.error, /sortie error bad-command: `command` holds `&`/);
  // What the text never was is said.
  const id = idIn(await session.ok("sortie_command_start", { command: "echo hello" }));
  const never = await session.ok("sortie_command", { id, do: "wait", text: "goodbye" });
  assert.match(never, /It ended without that text\.\nhello\n/);
});

test("who may not run bash may not run a command", { skip }, async () => {
  const never = { command: "node server.mjs never" };
  for (const denial of [rule("bash", "*", "deny"), rule("bash", "node *", "deny"), rule("*", "?*server*", "deny")]) {
    const session = await under(denial);
    const { status, error } = await session.call("sortie_command_start", never);
    assert.equal(status, "error", JSON.stringify(denial));
    assert.match(error, /rule|permission|denied/i);
    assert.equal(await session.ok("sortie_command", {}), "No commands.");
  }
  // One that is denied but for some may run those, and a word that only looks like them is none.
  const session = await under(rule("bash", "*", "deny"), rule("bash", "echo *", "allow"));
  await session.ok("sortie_command_start", { command: "echo fine" });
  assert.equal((await session.call("sortie_command_start", { command: "'echo x' fine" })).status, "error");
  assert.equal((await session.call("sortie_command_start", never)).status, "error");
  assert.ok(!existsSync(join(sandbox.project, "pid-never")));
});

test("what must be asked is asked as bash asks it, and a refusal starts nothing", { skip }, async () => {
  const elsewhere = join(sandbox.root, "elsewhere");
  mkdirSync(elsewhere);
  const rules = [rule("bash", "*", "ask"), rule("external_directory", "*", "ask")];
  const args = { command: 'node "server.mjs" asked' };
  const refused = await asked(await under(...rules), args, () => "reject");
  assert.deepEqual(
    refused.prompts.map(({ permission, patterns, always, metadata }) => ({ permission, patterns, always, metadata })),
    [
      {
        permission: "bash",
        patterns: ["node server.mjs asked"],
        always: ["node server.mjs asked"],
        metadata: { command: "node server.mjs asked" },
      },
    ],
  );
  assert.equal(refused.answer.status, "error");
  assert.ok(!existsSync(join(sandbox.project, "pid-asked")));
  const outside = await asked(await under(...rules), { command: "pwd", directory: "../elsewhere" }, () => "once");
  assert.deepEqual(
    outside.prompts.map(({ permission, patterns }) => [permission, patterns]),
    [
      ["external_directory", [join(elsewhere, "*")]],
      ["bash", ["pwd"]],
    ],
  );
  assert.equal(outside.answer.status, "completed", outside.answer.error);
  const both = await under(...rules);
  const touched = await asked(both, { command: "rm ../elsewhere/x" }, (prompt) =>
    prompt.permission === "bash" ? "once" : "reject",
  );
  assert.deepEqual(
    [touched.prompts.map(({ permission }) => permission), touched.answer.status],
    [["external_directory"], "error"],
  );
  assert.equal(await both.ok("sortie_command", {}), "No commands.");
});

test("a task's commands end with it, those that are kept are its parent's to end", { skip }, async () => {
  const parent = await Session.create(server);
  const start = (/** @type {string} */ name, /** @type {object} */ more = {}) => ({
    tool: "sortie_command_start",
    args: { command: `node server.mjs ${name}`, ...more },
  });
  const both = `until [ -e pid-ends ] && [ -e pid-kept ]; do sleep 0.05; done`;
  const ids = await parent.launch([
    task(
      "serve",
      start("ends"),
      start("kept", { keep: true }),
      { tool: "bash", args: { command: both, description: "waits" } },
      {
        say: "served",
      },
    ),
  ]);
  await parent.untilTold(ids);
  await untilGone(pidOf("ends"));
  assert.ok(alive(pidOf("kept")));
  const [{ session, result }] = await parent.status(ids);
  assert.equal(result, "served");
  const lines = (await parent.ok("sortie_command", {})).split("\n");
  assert.match(one(lines), /\[ended with its task after .*\] node server\.mjs ends$/);
  assert.match(one(lines, 1), /\[running for .*\] node server\.mjs kept$/);
  const kept = idIn(one(lines, 1));
  assert.match(await typed(parent, "tasks"), new RegExp(`${kept} .*, for ${ids[0]}`));
  assert.match((await observer.call("sortie_command", { id: kept })).error, /no-such-command/);
  assert.match(await observer.of(session).ok("sortie_command", { id: kept }), /running/);
  assert.match(await parent.ok("sortie_command", { id: kept, do: "kill" }), /killed/);
  assert.ok(!alive(pidOf("kept")));
});

test("a directory that is disposed, and a host that ends in whatever way, leave no command", { skip }, async () => {
  const session = await Session.create(server);
  const disposed = await startServer(session, "disposed");
  const { status } = await server.request("POST", "/instance/dispose", { body: {} });
  assert.equal(status, 200);
  await untilGone(disposed.pid);

  const own = sandbox.addProject("own");
  writeFileSync(join(own, "server.mjs"), SERVER);
  const start = async (/** @type {string} */ name) => {
    const host = await serve(sandbox, { cwd: own, timeoutMs: 2 * PATIENCE });
    const session = await Session.create(host, { directory: own });
    await session.ok("sortie_command_start", { command: `node server.mjs ${name}` });
    await until(() => existsSync(join(own, `pid-${name}`)), { timeoutMs: PATIENCE, what: "the server" });
    return { host, pid: pidOf(name, own) };
  };
  const stopped = await start("stopped");
  await stopped.host.stop();
  await untilGone(stopped.pid);
  const killed = await start("killed");
  await killed.host.kill9();
  await untilGone(killed.pid);

  // The one that watches is killed as well: the next start finds what was left, by number and time of its start.
  const left = await start("left");
  const guards = await until(
    () => {
      const guards = guardOf(left.pid);
      return guards.length === 1 ? guards : undefined;
    },
    { timeoutMs: PATIENCE, what: "the one that watches" },
  );
  process.kill(one(guards), "SIGKILL");
  await untilGone(one(guards));
  await left.host.kill9();
  assert.ok(alive(left.pid));
  const notes = join(sandbox.sortieHome, "commands");
  const note = readdirSync(notes).find((name) =>
    readFileSync(join(notes, name), "utf8").includes(`"pid":${left.pid},`),
  );
  assert.equal(statSync(join(notes, note ?? assert.fail("no note"))).mode & 0o777, 0o600);
  const next = await start("next");
  await untilGone(left.pid);
  assert.ok(alive(next.pid));
  await next.host.stop();
  await untilGone(next.pid);
  // The last one was stopped by a signal, without a word to us: its note is the next one's to remove.
  assert.ok(readdirSync(notes).length <= 2, readdirSync(notes).join(", "));
  rmSync(own, { recursive: true });
});
