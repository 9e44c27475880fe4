// @ts-check
/** `sortie checklist` and `sortie servers` with the real OpenCode: verdicts, exit codes, and nothing that is left. */
import assert from "node:assert/strict";
import { execFile, spawn } from "node:child_process";
import { existsSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { startModelServer } from "../../testkit/model-server.mjs";
import { serve } from "../../testkit/opencode.mjs";
import { opencodeBinary } from "../../testkit/opencode-binary.mjs";
import { createSandbox } from "../../testkit/sandbox.mjs";
import { until } from "../../testkit/wait.mjs";
import { one, PATIENCE, ROOT, script } from "./stage.mjs";

/** @type {import("./stage.mjs").ModelServer} */
let model;
/** @type {import("./stage.mjs").Sandbox} */
let sandbox;

before(async () => {
  model = await startModelServer();
  sandbox = createSandbox({ model: model.url });
});

after(async () => {
  await model?.close();
  await sandbox?.remove();
});

const PROGRAM = join(ROOT, "bin", "sortie.mjs");

/** The environment of a command. @param {Record<string, string>} [more] */
const env = (more) => sandbox.env({ OPENCODE_PATH: opencodeBinary(), ...more });

/**
 * What a command prints, and its exit code.
 *
 * @param {string[]} args
 * @param {Record<string, string>} [more] Variables.
 * @returns {Promise<{code: number, stdout: string, stderr: string}>}
 */
function sortie(args, more) {
  return new Promise((done) => {
    execFile(process.execPath, [PROGRAM, ...args], { cwd: sandbox.project, env: env(more) }, (error, stdout, stderr) =>
      done({ code: error ? Number(error.code) : 0, stdout, stderr }),
    );
  });
}

/** A check of a list, and what the model answers. @param {string} text @param {string} answer */
const check = (text, answer) => `- [ ] ${text}\n  ${script({ say: answer })}\n`;

/** Writes a list. @param {string} name @param {...string} lines */
const list = (name, ...lines) => writeFileSync(join(sandbox.project, name), lines.join(""));

/** Whether somebody listens. @param {string} url @returns {Promise<boolean>} */
function listens(url) {
  const { hostname, port } = new URL(url);
  return new Promise((done) => {
    const socket = connect(Number(port), hostname);
    socket.once("connect", () => done(true)).once("error", () => done(false));
    socket.once("connect", () => socket.destroy());
  });
}

test("each check has a verdict, and the exit code is that of all together", async () => {
  const checks = Array.from({ length: 6 }, (_, n) => check(`check ${n}`, "Looked.\nVERDICT: pass"));
  list("good.md", "# Security\n", ...checks, "- [x] done long ago\n");
  const good = await sortie(["checklist", "good.md"]);
  assert.equal(good.code, 0, good.stdout + good.stderr);
  assert.match(good.stdout, /^ +VERDICT +TIME +TOKENS +CHECK\n/);
  assert.equal([...good.stdout.matchAll(/^\d +✓ pass +\d+s +\d+ +check \d/gm)].length, 6, good.stdout);
  assert.match(good.stdout, /\n6 pass, 0 fail, 0 not known, 1 ticked off already\n$/);

  list("vague.md", check("sure", "VERDICT: pass"), check("vague", "Hard to say."));
  const vague = await sortie(["checklist", "vague.md"]);
  assert.equal(vague.code, 8, vague.stdout + vague.stderr);
  assert.match(vague.stdout, /\? unclear .* vague SCRIPT.*: the answer does not end with a verdict\n/);

  list("bad.md", check("vague", "Hard to say."), check("bad", "VERDICT: fail: README.md is empty"));
  const bad = await sortie(["checklist", "bad.md", "--parallel", "1", "--json"]);
  assert.equal(bad.code, 1, bad.stdout + bad.stderr);
  const { version, command, overall, checks: rows, ticked } = JSON.parse(bad.stdout);
  assert.deepEqual([version, command, overall, ticked], [1, "checklist", "fail", 0]);
  assert.deepEqual(
    rows.map((/** @type {any} */ row) => [row.verdict, row.reason, row.group]),
    [
      ["unclear", "the answer does not end with a verdict", null],
      ["fail", "README.md is empty", null],
    ],
  );
  for (const row of rows) assert.ok(row.session.startsWith("ses_") && row.tokens > 0 && row.seconds > 0, bad.stdout);
  assert.deepEqual(JSON.parse((await sortie(["servers", "--json"])).stdout).servers, []);
});

test("one server does all checks at once, is listed meanwhile, and ends with an interrupted command", async (t) => {
  const late = script({ delay: 600_000, say: "late" });
  list("slow.md", ...Array.from({ length: 4 }, (_, n) => `- [ ] slow ${n}\n  ${late}\n`));
  const before = model.requests.length;
  const child = spawn(process.execPath, [PROGRAM, "checklist", "slow.md"], {
    cwd: sandbox.project,
    env: env(),
    stdio: "ignore",
  });
  t.after(() => child.kill());
  const ended = new Promise((done) => child.once("exit", (code, signal) => done([code, signal])));
  const asked = () => model.requests.slice(before).filter(({ lastUser }) => lastUser.includes("slow")).length;
  await until(() => asked() >= 4, { timeoutMs: 2 * PATIENCE, what: "all four checks to be at work" });
  const people = await sortie(["servers"]);
  assert.match(people.stdout, /^SERVER +STATE +PROCESS +UP +STARTED FOR\nhttp:\/\/127\.0\.0\.1:\d+ +● running +\d+ /);
  const { servers } = JSON.parse((await sortie(["servers", "--json"])).stdout);
  assert.equal(servers.length, 1);
  assert.ok(await listens(one(servers).url));
  child.kill();
  assert.deepEqual(await ended, [130, null]);
  assert.equal(await listens(one(servers).url), false);
  assert.throws(() => process.kill(one(servers).pid, 0), { code: "ESRCH" });
  assert.match((await sortie(["servers"])).stdout, /^no server runs/);
});

test("more servers share the work where more are configured, on the configured ports", async (t) => {
  const project = sandbox.addProject("shared");
  writeFileSync(join(project, "sortie.jsonc"), '{ "servers": { "max": 2, "ports": "45100-45180", "isolated": true } }');
  const late = script({ delay: 600_000, say: "late" });
  writeFileSync(join(project, "list.md"), Array.from({ length: 4 }, (_, n) => `- [ ] mine ${n}\n  ${late}\n`).join(""));
  const before = model.requests.length;
  const args = [PROGRAM, "-C", project, "checklist", join(project, "list.md")];
  const child = spawn(process.execPath, args, { cwd: sandbox.project, env: env(), stdio: "ignore" });
  t.after(() => child.kill());
  const ended = new Promise((done) => child.once("exit", (code, signal) => done([code, signal])));
  const asked = () => model.requests.slice(before).filter(({ lastUser }) => lastUser.includes("mine")).length;
  await until(() => asked() >= 4, { timeoutMs: 2 * PATIENCE, what: "all four checks to be at work" });
  const { servers } = JSON.parse((await sortie(["servers", "--json"])).stdout);
  const ports = servers.map((/** @type {any} */ { url }) => Number(new URL(url).port));
  assert.equal(ports.length, 2);
  assert.ok(
    ports.every((/** @type {number} */ port) => port >= 45_100 && port <= 45_180),
    String(ports),
  );
  child.kill();
  assert.deepEqual(await ended, [130, null]);
  assert.deepEqual(JSON.parse((await sortie(["servers", "--json"])).stdout).servers, []);
});

test("what OpenCode would ask a person is denied, but for what is allowed", async () => {
  const call = (/** @type {string} */ file) => ({ tool: "bash", args: { command: `touch ${file}`, description: "x" } });
  const project = sandbox.addProject("asking", { config: { permission: { bash: "ask" } } });
  const steps = script(call("allowed"), call("denied"), { say: "VERDICT: pass" });
  writeFileSync(join(project, "list.md"), `- [ ] ask\n  ${steps}\n`);
  const did = await sortie(["-C", project, "checklist", join(project, "list.md"), "--allow", "bash=touch allowed"]);
  assert.equal(did.code, 0, did.stdout + did.stderr);
  const seen = model.requests.flatMap(({ body }) => body.messages).filter(({ role }) => role === "tool");
  assert.ok(
    seen.some(({ content }) => JSON.stringify(content).includes("not allowed")),
    JSON.stringify(seen),
  );
  assert.deepEqual([existsSync(join(project, "allowed")), existsSync(join(project, "denied"))], [true, false]);
});

test("a server that runs already is used with its password, and stays", async () => {
  const password = { OPENCODE_SERVER_PASSWORD: "open-sesame" };
  const server = await serve(sandbox, { timeoutMs: 2 * PATIENCE });
  try {
    list("one.md", check("one", "VERDICT: pass"));
    const did = await sortie(["checklist", "one.md", "--server", server.url]);
    assert.equal(did.code, 0, did.stdout + did.stderr);
    assert.equal((await server.request("GET", "/global/health")).status, 200);
    const sessions = (await server.request("GET", "/session")).body;
    assert.ok(
      sessions.some((/** @type {any} */ { title }) => title.startsWith("check: one")),
      JSON.stringify(sessions),
    );
    // Who sends a password where none is wanted is let in as well.
    assert.equal((await sortie(["checklist", "one.md", "--server", server.url], password)).code, 0);
  } finally {
    await server.stop();
  }
});

test("without an OpenCode it says where it has looked", async () => {
  list("one.md", check("one", "VERDICT: pass"));
  const did = await sortie(["checklist", "one.md"], { OPENCODE_PATH: "/nowhere/opencode" });
  assert.equal(did.code, 7);
  assert.match(did.stderr, /^sortie error opencode-missing: .*OPENCODE_PATH `\/nowhere\/opencode`, which is not there/);
});
