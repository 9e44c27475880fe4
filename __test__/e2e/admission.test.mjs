// @ts-check
/** Who may start: limits that change while things run, and a provider that asks for patience. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { messageText, serve } from "../../testkit/opencode.mjs";
import { until } from "../../testkit/wait.mjs";
import { gate, one, PATIENCE, ROOT, Session, setUp, task, timesTold } from "./stage.mjs";

/** @typedef {import("../../testkit/model-server.mjs").ModelRequest} ModelRequest */

/** @type {import("./stage.mjs").ModelServer} */
let model;
/** @type {import("./stage.mjs").Sandbox} */
let sandbox;

/** How many tasks meet the storm. */
const TASKS = 50;
/** How long it lasts from its first refusal on, ms. */
const STORM_MS = 10_000;
/** What a refusal asks for, seconds. */
const RETRY_AFTER = 3;

before(async () => {
  ({ model, sandbox } = await setUp({ options: { limits: { default: 1 } } }));
});

after(async () => {
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
  await session.server.request("POST", `/session/${session.id}/command`, { body: { command, arguments: args } });
  return until(
    async () => {
      const texts = (await session.messages()).slice(before).map(messageText);
      return texts.length > 0 ? texts.join("\n") : undefined;
    },
    { timeoutMs: PATIENCE, everyMs: 100, what: `/${command} to show something` },
  );
}

test("a limit is changed while tasks run, and a waiting task says what it waits for", async (t) => {
  const server = await serve(sandbox, { timeoutMs: 2 * PATIENCE });
  t.after(server.stop);
  const person = await Session.create(server);
  const held = gate(sandbox.project, "first");
  const ids = await person.launch([task("FIRST", held.step, { say: "first" }), task("SECOND", { say: "second" })]);
  await person.untilState([one(ids)], "running");
  assert.match(await shown(person, "tasks", ""), /SECOND: waits: general 1\/1/);
  assert.match(await shown(person, "limits", ""), /^any other agent\s+0\/1$/m);
  assert.match(await shown(person, "limits", "nobody 3"), /bad-limit[\s\S]*`nobody` is no agent/);
  assert.match(await shown(person, "limits", "general 0"), /bad-limit[\s\S]*no number above 0/);
  assert.match(await shown(person, "limits", "reset nobody"), /bad-limit/);
  // Upper and lower case are the same; the first goes on meanwhile.
  assert.match(await shown(person, "limits", "General 2"), /^general\s+\d\/2$/m);
  await person.untilState([one(ids, 1)], "complete");
  assert.equal(one(await person.status([one(ids)])).state, "running");
  assert.match(await shown(person, "limits", "general default"), /^general\s+1\/1$/m);
  held.open();
  await person.untilTold(ids);
});

test("two processes share a limit", async (t) => {
  const servers = await Promise.all([1, 2].map(() => serve(sandbox, { timeoutMs: 2 * PATIENCE })));
  for (const server of servers) t.after(server.stop);
  const [here, there] = await Promise.all(servers.map((server) => Session.create(server)));
  assert.ok(here && there);
  const held = gate(sandbox.project, "shared");
  const mine = await here.launch([task("HERE", held.step, { say: "here" })]);
  await here.untilState(mine, "running");
  const theirs = await there.launch([task("THERE", { say: "there" })]);
  const waits = async () => /THERE: waits: general 1\/1/.test(await there.ok("sortie_status", {}));
  await until(waits, { timeoutMs: PATIENCE, everyMs: 200, what: "the other process's task to wait" });
  assert.equal(model.requestsFor(/THERE\./).filter(({ parentHint }) => parentHint).length, 0);
  held.open();
  await Promise.all([here.untilTold(mine), there.untilTold(theirs)]);
});

test("fifty tasks in a storm of 429 all come back, and the closed gate lets one through at a time", {
  timeout: 6 * PATIENCE,
}, async (t) => {
  const storm = newStorm();
  t.after(storm.end);
  const project = sandbox.addProject("storm", { config: { plugin: [[ROOT, { limits: { default: TASKS } }]] } });
  const server = await serve(sandbox, { cwd: project, timeoutMs: 2 * PATIENCE });
  t.after(server.stop);
  const person = await Session.create(server);
  const ids = await person.launch(Array.from({ length: TASKS }, (_, n) => task(`STORM ${n}`, { say: `done ${n}` })));
  const messages = await until(
    async () => {
      const messages = await person.messages();
      return ids.every((id) => timesTold(messages, id) === 1) ? messages : undefined;
    },
    { timeoutMs: 4 * PATIENCE, everyMs: 250, what: "all to be told" },
  );
  assert.ok(messages);
  const ended = await person.status(ids);
  assert.deepEqual(
    ended.map(({ state, attempt }) => `${state} ${attempt}`),
    ids.map(() => "complete 1"),
  );
  const [refused, served] = [storm.refused(), storm.served()];
  // One that was let through in the moment of its abort is asked again.
  assert.ok(served >= TASKS, `${served} answers`);

  // The same load on the host alone, which lets each session ask again by itself.
  storm.begin();
  const bare = await Promise.all(Array.from({ length: TASKS }, () => Session.create(server, { directory: project })));
  const texts = bare.map((session, n) => session.say([{ say: `bare ${n}` }], { text: `STORM bare ${n}.` }));
  await Promise.all(texts);
  await until(() => storm.served() >= TASKS, { timeoutMs: 4 * PATIENCE, everyMs: 250, what: "the bare sessions" });
  t.diagnostic(
    `${TASKS} tasks, ${STORM_MS} ms of 429 with retry-after ${RETRY_AFTER}: ${refused} requests in vain with the gate, ` +
      `${storm.refused()} without`,
  );
  // Each may have begun before the gate was closed; after that it is tried once for each time it was to open.
  const trials = Math.ceil(STORM_MS / 1_000 / RETRY_AFTER) + 1;
  assert.ok(refused <= TASKS + trials, `${refused} requests in vain`);
  assert.ok(storm.refused() > refused, "the host alone asks more often");
});

/** A model that refuses from its first request on, for {@link STORM_MS}. */
function newStorm() {
  let since = 0;
  let [refused, served] = [0, 0];
  const end = model.on(
    (/** @type {ModelRequest} */ { kind, lastUser }) => kind === "chat" && /STORM (bare )?\d+\./.test(lastUser),
    () => {
      since ||= performance.now();
      if (performance.now() - since < STORM_MS) {
        refused += 1;
        return { status: 429, headers: { "retry-after": String(RETRY_AFTER) }, say: "slow down" };
      }
      served += 1;
      return undefined;
    },
  );
  return {
    end,
    refused: () => refused,
    served: () => served,
    begin() {
      since = 0;
      [refused, served] = [0, 0];
    },
  };
}
