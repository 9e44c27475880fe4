// @ts-check
/**
 * A whole mission while OpenCode is killed at random moments: the repository, the plan and the report are the same as
 * without. `SORTIE_MISSION_KILLS` sets the number of missions and `SORTIE_KILL_SEED` the moments.
 */
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { playMission } from "../../testkit/mission.mjs";
import { addHarbour, ITEMS } from "../../testkit/mission-items.mjs";
import { startModelServer } from "../../testkit/model-server.mjs";
import { messageText, serve } from "../../testkit/opencode.mjs";
import { mulberry32 } from "../../testkit/random.mjs";
import { createSandbox } from "../../testkit/sandbox.mjs";
import { byTask, PLUGIN, rowsOf } from "./durable.mjs";
import { assertDone, begin, endsOf, MISSION_MS, OPTIONS, untilReport } from "./mission-stage.mjs";
import { PATIENCE } from "./stage.mjs";

/** @typedef {import("../../testkit/model-server.mjs").ModelServer} ModelServer */
/** @typedef {import("../../testkit/sandbox.mjs").Sandbox} Sandbox */
/** @typedef {import("../../testkit/opencode.mjs").Server} Server */

const ROUNDS = Number(process.env.SORTIE_MISSION_KILLS ?? 3);
const SEED = Number(process.env.SORTIE_KILL_SEED ?? Date.now() % 1_000_000);
const LANES = 2;

/** About how many requests a mission makes of its model when nobody disturbs it: the kills are spread over them. */
const REQUESTS = 45;

test(`a mission survives kill -9 of OpenCode: ${ROUNDS} missions, seed ${SEED}`, async (t) => {
  let next = 0;
  let kills = 0;
  const lane = async () => {
    while (next < ROUNDS) {
      const number = next++;
      const random = mulberry32(SEED + number);
      // The kills after so many requests of the model, and so much later.
      const moments = Array.from({ length: 1 + Math.floor(random() * 3) }, () => ({
        after: Math.floor(random() * REQUESTS),
        ms: random() < 0.5 ? 0 : random() * 400,
      })).sort((one, other) => one.after - other.after);
      kills += moments.length;
      const name = `mission ${number} of seed ${SEED}, killed ${moments
        .map(({ after, ms }) => `${Math.round(ms)} ms after request ${after}`)
        .join(" and ")}`;
      await play(name, moments, (text) => t.diagnostic(text));
    }
  };
  await Promise.all(Array.from({ length: LANES }, lane));
  t.diagnostic(`${ROUNDS} missions, ${kills} kills`);
});

/**
 * One mission with its kills, in a sandbox of its own.
 *
 * @param {string} name @param {{after: number, ms: number}[]} moments @param {(text: string) => void} say
 */
async function play(name, moments, say) {
  const model = await startModelServer();
  const sandbox = createSandbox({ model: model.url, plugin: [[PLUGIN, OPTIONS]] });
  try {
    const directory = addHarbour(sandbox);
    const cast = playMission(model, { deaths: ["tide"] });
    const start = async () => {
      const server = await serve(sandbox, { cwd: directory, timeoutMs: 2 * PATIENCE });
      // The plugin is loaded with the directory's first request, which the next kill may catch.
      server.request("GET", "/session").catch(() => {});
      return server;
    };
    let server = await start();
    const session = await begin(server);
    for (const { after, ms } of moments) {
      // The last requests may be fewer than usual: then the kill comes when the report was asked for.
      await model.waitFor((request) => request.seq > after || isReportAsked(request.lastUser), {
        timeoutMs: MISSION_MS,
      });
      await pause(ms);
      await server.kill9();
      server = await start();
      await resend(server, session);
    }
    await untilReport(server, session);
    const { rows } = await assertDone({ sandbox, server, cast, session, directory, cuts: moments.length });
    const ends = endsOf(rows);
    assert.equal(ends.failed, 1, `one worker dies, and no other task fails: ${JSON.stringify(ends)}`);
    for (const { key } of ITEMS) {
      assert.equal(cast.sessions("worker", key).length, key === "tide" ? 2 : 1, `one session for each worker: ${key}`);
    }
    assert.equal(cast.sessions("planner").length, 1);
    await server.stop();
  } catch (error) {
    say(`the log of the failed mission:\n${sortieLog(sandbox).slice(-8_000)}`);
    for (const [id, task] of byTask(await rowsOf(sandbox, join(sandbox.root, "harbour")).catch(() => []))) {
      say(`${id}: ${task.map(({ change, to }) => `${change} ${to}`).join(", ")}`);
    }
    if (error instanceof Error) error.message = `${name}: ${error.message}`;
    throw error;
  } finally {
    await sandbox.remove();
    await model.close();
  }
}

/** A kill may come before the request for the mission was taken: then the person gives it again. @param {Server} server @param {string} session */
async function resend(server, session) {
  const { status, body } = await server.request("GET", `/session/${session}/message`, { timeoutMs: 2 * PATIENCE });
  assert.equal(status, 200, JSON.stringify(body));
  if (body.every((/** @type {any} */ message) => messageText(message) === "")) await begin(server, { session });
}

/** @param {string} text */
function isReportAsked(text) {
  return /^Report to the user/m.test(text);
}

/** @param {Sandbox} sandbox */
function sortieLog(sandbox) {
  const dir = join(sandbox.sortieHome, "log");
  return readdirSync(dir)
    .map((name) => readFileSync(join(dir, name), "utf8"))
    .join("");
}

/** A moment chosen by chance is what this test is about; nothing is waited for by it. @param {number} ms */
function pause(ms) {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
