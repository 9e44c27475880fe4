// @ts-check
/** The queue from inside OpenCode: `/agent:…` is the command line, and no model is asked. And the npm package's program. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { messageText, serve } from "../../testkit/opencode.mjs";
import { until } from "../../testkit/wait.mjs";
import { PATIENCE, ROOT, Session, setUp } from "./stage.mjs";

/** @type {import("./stage.mjs").ModelServer} */
let model;
/** @type {import("./stage.mjs").Sandbox} */
let sandbox;
/** @type {import("./stage.mjs").Server} */
let server;

before(async () => {
  ({ model, sandbox } = await setUp());
  const line = 'echo "did $1"; [ "$1" != "break it" ]';
  const agents = {
    coder: { command: "sh", args: ["-c", line, "coder", "{prompt}"] },
    slow: { command: "sleep", args: ["600"] },
  };
  writeFileSync(join(sandbox.project, "sortie.jsonc"), JSON.stringify({ agents }));
  server = await serve(sandbox, { timeoutMs: 2 * PATIENCE });
});

after(async () => {
  await server?.stop();
  await model?.close();
  await sandbox?.remove();
});

/**
 * What a command shows.
 *
 * @param {Session} session @param {string} command @param {string} args
 */
async function shown(session, command, args) {
  const before = (await session.messages()).length;
  const body = { command: `agent:${command}`, arguments: args };
  await session.server.request("POST", `/session/${session.id}/command`, { body });
  return until(
    async () => {
      const texts = (await session.messages()).slice(before).map(messageText);
      return texts.length > 0 ? texts.join("\n") : undefined;
    },
    { timeoutMs: PATIENCE, everyMs: 100, what: `/agent:${command} to show something` },
  );
}

test("a task goes through the queue by commands of the host, and no model is asked", async () => {
  const session = await Session.create(server);
  const asked = model.requests.length;
  const status = () => shown(session, "status", "");
  assert.match(await status(), /^no tasks$/m);
  assert.match(await shown(session, "start", 'coder "write it"'), /queued for coder: write it/);
  assert.match(await shown(session, "start", "coder break it --title wrong"), /queued for coder: wrong/);
  assert.match(await shown(session, "start", "slow wait"), /queued for slow: wait/);
  assert.match(await status(), /3 pending/);
  assert.match(await shown(session, "run", ""), /a worker works the queue/);
  const patience = { timeoutMs: PATIENCE, everyMs: 200 };
  await until(async () => /1 complete/.test(await status()), { ...patience, what: "the first end" });
  assert.match(await shown(session, "run-parallel", "2"), /a worker works the queue/);
  await until(async () => /1 running[\s\S]*1 failed/.test(await status()), { ...patience, what: "the failure" });
  const id = (/** @type {string} */ text, /** @type {RegExp} */ of) =>
    text
      .split("\n")
      .find((line) => of.test(line))
      ?.split(" ")[0] ?? "";
  const seen = await status();
  assert.match(await shown(session, "timeout", "list"), /wait/);
  assert.match(await shown(session, "timeout", `extend ${id(seen, /running/)} 5m`), /has 1h 5m in all/);
  assert.match(await shown(session, "cancel", id(seen, /running/)), /cancelled: wait/);
  assert.match(await shown(session, "retry", id(seen, /failed/)), /\(retry 1 of 3\): wrong/);
  assert.match(await shown(session, "retry", "ffff"), /sortie error unknown-id/);
  assert.match(await shown(session, "cancel", id(await status(), /pending/)), /cancelled/);
  assert.match(await shown(session, "clean", "all"), /4 cleared away/);
  assert.match(await status(), /^no tasks$/m);
  assert.equal(model.requests.length, asked);
});

test("the package's program is the command line", () => {
  const run = (/** @type {string[]} */ ...args) =>
    spawnSync(process.execPath, [join(ROOT, "bin", "sortie.mjs"), ...args], {
      cwd: sandbox.project,
      env: sandbox.env({ SORTIE_HOME: join(sandbox.root, "own-home") }),
      encoding: "utf8",
    });
  assert.match(run("start", "coder", "break it").stdout, /queued for coder/);
  const worked = run("run");
  assert.deepEqual([worked.status, worked.stderr], [1, ""]);
  assert.match(worked.stdout, /failed after \d+s: error: exit code 1: did break it/);
  assert.equal(run("frobnicate").status, 2);
  assert.equal(JSON.parse(run("status", "--json").stdout).totals.failed, 1);
});
