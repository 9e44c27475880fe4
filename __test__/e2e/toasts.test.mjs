// @ts-check
/** Toasts, and how many of them and of messages to the parent many quick tasks make. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { until } from "../../testkit/wait.mjs";
import { gate, isReport, PATIENCE, ROOT, Session, serveWith, setUp, task, timesTold } from "./stage.mjs";

/** @type {import("./stage.mjs").ModelServer} */
let model;
/** @type {import("./stage.mjs").Sandbox} */
let sandbox;
/** @type {import("./stage.mjs").Server} */
let server;
/** @type {import("../../testkit/sse.mjs").EventStream} */
let events;

before(async () => {
  ({ model, sandbox } = await setUp({ options: { limits: { default: 50 } } }));
  ({ server } = await serveWith(sandbox));
  events = server.events();
  await events.ready;
});

after(async () => {
  await server?.stop();
  await model?.close();
  await sandbox?.remove();
});

/** The toasts from this place in the stream on. @param {number} from @returns {{title: string, message: string, variant: string}[]} */
function toasts(from) {
  const shown = events.seen.slice(from).filter(({ payload }) => payload.type === "tui.toast.show");
  return shown.map(({ payload }) => payload.properties);
}

/** Waits for a toast that matches. @param {number} from @param {RegExp} message */
function untilToast(from, message) {
  return until(() => toasts(from).find((toast) => message.test(toast.message)), {
    timeoutMs: PATIENCE,
    what: () => `a toast like ${message}; there were ${JSON.stringify(toasts(from))}`,
  });
}

test("the start, the ends, a failure and the last end are shown, each once", async () => {
  const from = events.seen.length;
  const held = gate(sandbox.project, "toast");
  const parent = await Session.create(server);
  const ids = await parent.launch([
    { ...task("will fail", { status: 400, say: "no" }), key: "bad" },
    { ...task("will do", held.step, { say: "done" }), key: "good" },
  ]);
  const start = await untilToast(from, /2 tasks started/);
  assert.equal(start.title, "Sortie");
  const failure = await untilToast(from, /bad "will fail" failed/);
  assert.equal(failure.variant, "error");
  assert.match(failure.message, /1 open/);
  held.open();
  const last = await untilToast(from, /all done/);
  assert.match(last.message, /good "will do" complete/);
  assert.equal(last.variant, "success");
  await parent.untilTold(ids);
  for (const once of [/started/, /failed/, /complete/, /all done/]) {
    assert.equal(toasts(from).filter(({ message }) => once.test(message)).length, 1, String(once));
  }
});

test("fifty quick tasks make at most five toasts and three messages to their parent", async () => {
  const from = events.seen.length;
  const parent = await Session.create(server);
  const began = Date.now();
  const ids = await parent.launch(Array.from({ length: 50 }, (_, at) => task(`quick ${at}`, { say: `result ${at}` })));
  const messages = await parent.untilTold(ids);
  await untilToast(from, /all done/);
  const reports = messages.filter(isReport);
  // While others are open there is one message in ten seconds: a machine that takes longer than that needs more.
  const seconds = (Date.now() - began) / 1000;
  assert.ok(reports.length <= Math.max(3, 2 + seconds / 10), `${reports.length} messages in ${seconds} s`);
  assert.deepEqual(
    ids.filter((id) => timesTold(messages, id) !== 1),
    [],
  );
  const shown = toasts(from);
  assert.ok(shown.length <= 5, JSON.stringify(shown.map(({ message }) => message)));
  const seen = await parent.status(ids.slice(0, 20));
  assert.ok(seen.every(({ state }) => state === "complete"));
});

test("no toast is shown when the user wants none", async () => {
  const quiet = sandbox.addProject("quiet", { config: { plugin: [[ROOT, { toasts: false }]] } });
  const from = events.seen.length;
  const parent = await Session.create(server, { directory: quiet });
  const ids = await parent.launch([task("quietly", { say: "done" })]);
  await parent.untilTold(ids);
  // The other project's toast comes later than any of this one would have come.
  const loud = await Session.create(server);
  await loud.launch([task("loudly", { say: "done" })]);
  await untilToast(from, /all done/);
  assert.ok(toasts(from).every(({ message }) => !message.includes("quietly")));
});
