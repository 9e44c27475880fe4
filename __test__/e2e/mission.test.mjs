// @ts-check
/**
 * `/task` as a mission, from the plan to the report: parallel workers, a rejection that is mended, a worker that dies,
 * the project's checks, and what all of it costs in prompts.
 */
import assert from "node:assert/strict";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { playMission, REPORT, reasonFor, roleOf } from "../../testkit/mission.mjs";
import { addHarbour, ITEMS, REJECTED } from "../../testkit/mission-items.mjs";
import { textOf } from "../../testkit/model-script.mjs";
import { messageText, serve } from "../../testkit/opencode.mjs";
import { until } from "../../testkit/wait.mjs";
import { costOf, repeatedInstructions, sumOf } from "./mission-cost.mjs";
import {
  asksForReport,
  assertDone,
  begin,
  endsOf,
  MISSION_MS,
  markOf,
  missionMessages,
  OPTIONS,
  order,
  untilReport,
} from "./mission-stage.mjs";
import { gate, one, PATIENCE, setUp } from "./stage.mjs";

/** @typedef {import("../../testkit/mission.mjs").Role} Role */

/** @type {import("./stage.mjs").ModelServer} */
let model;
/** @type {import("./stage.mjs").Sandbox} */
let sandbox;
/** @type {import("./stage.mjs").Server} */
let server;
/** @type {import("../../testkit/mission.mjs").Cast} */
let cast;
/** @type {string} */
let directory;
/** @type {string} */
let session;
/** @type {Awaited<ReturnType<typeof assertDone>>} */
let done;
/** @type {import("../../testkit/sse.mjs").EventStream} */
let events;

/** The items that need no other. */
const ROOTS = ITEMS.filter(({ after }) => after.length === 0);

before(async () => {
  ({ model, sandbox } = await setUp({ options: OPTIONS }));
  directory = addHarbour(sandbox);
  const gates = new Map(ROOTS.map(({ key }) => [key, gate(join(directory, ".opencode"), key)]));
  const deaths = ["tide"];
  cast = playMission(model, {
    deaths,
    direct: ({ role, item, request }) => {
      const held = role === "worker" && item ? gates.get(item.key) : undefined;
      // Held are the workers that live, at their first step.
      const isFirst = !request.body.messages.some(({ role }) => role === "tool" || role === "assistant");
      const dies = item && deaths.includes(item.key) && cast.sessions("worker", item.key).length < 2;
      return held && isFirst && !dies && !held.isReached() ? held.step : undefined;
    },
  });
  server = await serve(sandbox, { cwd: directory, timeoutMs: 2 * PATIENCE });
  events = server.events();
  await events.ready;
  session = await begin(server);
  const all = [...gates.values()];
  await until(() => all.every((held) => held.isReached()), {
    timeoutMs: MISSION_MS,
    what: () =>
      `the workers of ${[...gates].filter(([, held]) => !held.isReached()).map(([key]) => key)} to be at work`,
  });
  for (const held of all) held.open();
  await untilReport(server, session);
  done = await assertDone({ sandbox, server, cast, session, directory });
});

after(async () => {
  await server?.stop();
  await model?.close();
  await sandbox?.remove();
});

test("what is ready is worked on at the same time, what needs other items after them", () => {
  // That the first three were at work together is what the gates have waited for; `assertDone` has seen to the rest.
  for (const { key } of ITEMS) {
    assert.equal(cast.sessions("worker", key).length, key === "tide" ? 2 : 1, key);
    assert.equal(markOf(directory, one(ITEMS.filter((item) => item.key === key))), "x");
  }
});

test("a rejection goes back to the same worker with its reasons, and is mended in the second round", () => {
  assert.equal(cast.sessions("worker", REJECTED).length, 1);
  const verdicts = cast
    .requests("reviewer", REJECTED)
    .flatMap(({ step }) => /^VERDICT: (\w+)$/m.exec(step?.say ?? "")?.[1] ?? []);
  assert.deepEqual(verdicts, ["REJECT", "ACCEPT"]);
  const last = one(cast.requests("worker", REJECTED).slice(-1));
  const users = last.body.messages.filter(({ role }) => role === "user").map(textOf);
  assert.equal(users.length, 2);
  assert.ok(users[1]?.includes(reasonFor(REJECTED)), users[1]);
});

test("a worker that dies is followed by another one", () => {
  const [dead, living] = cast.sessions("worker", "tide");
  const answers = (/** @type {string | undefined} */ id) =>
    cast.requests("worker", "tide").filter(({ sessionHint }) => sessionHint === id);
  assert.deepEqual([...new Set(answers(dead).map(({ step }) => step?.status))], [400]);
  assert.ok(answers(living).every(({ step }) => step?.status === undefined));
  const { failed, complete, ...others } = endsOf(done.rows);
  assert.deepEqual(others, {});
  assert.equal(failed, 1);
  // The planner, a worker and a reviewer for each item, and the second round of the rejected one.
  const rounds = cast.sessions("reviewer").length + cast.sessions("worker").length - 1;
  assert.ok(complete !== undefined && complete >= 1 + rounds && complete <= 2 + rounds, `${complete} of ${rounds}`);
});

test("sessions say whose they are: agent, item, and the commander as their parent", () => {
  for (const { key, title } of ITEMS) {
    const ids = cast.sessions("worker", key);
    for (const child of done.children.filter(({ id }) => ids.includes(id))) {
      assert.match(child.title, new RegExp(`^\\S+ ${title}`), child.title);
      assert.equal(child.parentID, session);
    }
  }
  assert.equal(cast.sessions("planner").length, 1);
});

test("each agent has the least that it needs", () => {
  const offered = (/** @type {Role} */ role) => one(cast.requests(role)).tools;
  const own = (/** @type {Role} */ role) => offered(role).filter((name) => name.startsWith("sortie_"));
  assert.deepEqual(own("planner"), ["sortie_todo"]);
  for (const role of /** @type {const} */ (["worker", "reviewer"])) {
    assert.ok(!own(role).includes("sortie_launch"), `${role}: ${own(role)}`);
    assert.ok(!offered(role).includes("task"), `${role} cannot launch the host's own agents`);
  }
  for (const role of /** @type {const} */ (["commander", "planner", "reviewer"])) {
    for (const tool of ["edit", "write"]) assert.ok(!offered(role).includes(tool), `${role} is offered ${tool}`);
  }
  for (const tool of ["edit", "write", "bash"]) assert.ok(offered("worker").includes(tool), tool);
  assert.ok(own("commander").includes("sortie_launch") && own("commander").includes("sortie_todo"));
});

test("the commander is asked for its report once, with what the checks said, and the mission is over", async () => {
  const [message, ...others] = missionMessages(done.messages);
  assert.equal(others.length, 0);
  assert.ok(asksForReport(message));
  const text = messageText(message);
  assert.match(text, /node --test/, "the check is named");
  for (const { title } of ITEMS) assert.ok(text.includes(title), title);
  assert.equal(messageText(done.messages.at(-1)), REPORT);
  const before = model.requests.length;
  const shown = await order(server, session, "mission");
  assert.match(shown, /\bcomplete\b/);
  assert.match(shown, /8 done, 0 open/);
  assert.equal(model.requests.length, before, "/mission asks no model");
});

test("peers' fault 4: the engine speaks with the commander's agent and model", () => {
  const [first] = done.messages;
  for (const { info } of missionMessages(done.messages)) {
    assert.equal(info.agent, "commander");
    assert.deepEqual(info.model, first.info.model);
  }
  assert.equal(roleOf(one(cast.requests("commander").slice(-1))), "commander");
});

test("the memory is in the system prompt once, bounded, and in no message", () => {
  for (const role of /** @type {const} */ (["commander", "planner", "worker", "reviewer"])) {
    const asked = cast.requests(role);
    for (const { body, sessionHint } of asked) {
      const system = body.messages.filter(({ role }) => role === "system").map(textOf);
      const times = system.join("\n").split("<sortie-memory>").length - 1;
      // A commander's first request may come before there is anything to remember.
      assert.ok(times === 1 || (times === 0 && sessionHint === session), `${role}: ${times} times`);
      const memory = system.filter((text) => text.includes("<sortie-memory>")).join("");
      assert.ok(Buffer.byteLength(memory) <= 2_100, `${Buffer.byteLength(memory)} bytes`);
      const others = body.messages.filter(({ role }) => role !== "system").map(textOf);
      assert.ok(others.every((text) => !text.includes("<sortie-memory>")));
    }
  }
});

test("toasts tell the start, the plan, and the end, and are few", () => {
  const shown = events.seen.filter(({ payload }) => payload.type === "tui.toast.show");
  const texts = shown.map(({ payload }) => `${payload.properties.title}: ${payload.properties.message}`);
  assert.ok(texts.length >= 2 && texts.length <= 16, `${texts.length}: ${texts.join(" | ")}`);
  assert.ok(
    texts.some((text) => /8 items/.test(text)),
    texts.join(" | "),
  );
  assert.ok(
    texts.some((text) => /complete/i.test(text)),
    texts.join(" | "),
  );
});

test("prompt cost: what is added to the requests of each agent", (t) => {
  for (const role of /** @type {const} */ (["commander", "planner", "worker", "reviewer"])) {
    const asked = cast.requests(role);
    const sum = sumOf(asked.map(costOf));
    const each = Math.round(sum.total / asked.length);
    const { tools, instructions, memory } = costOf(one(asked.slice(-1)));
    t.diagnostic(
      `${role}: ${asked.length} requests, ${sum.total} bytes added, ${each} a request ` +
        `(last: ${tools} tools, ${instructions} instructions, ${memory} memory)`,
    );
    assert.ok(instructions > 0 && instructions < 6_000, `${role}: ${instructions} bytes of instructions`);
    assert.ok(each < 16_000, `${role}: ${each} bytes a request`);
  }
  const asked = cast.requests("commander");
  const ours = sumOf(asked.map(costOf));
  const repeated = repeatedInstructions(asked);
  t.diagnostic(
    `the commander's mission: ${ours.instructions + ours.memory} bytes of instructions and memory in the system ` +
      `prompt; ${repeated} if every message carried them`,
  );
  assert.ok(ours.instructions + ours.memory < repeated);
});
