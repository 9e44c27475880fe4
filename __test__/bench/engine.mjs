// @ts-check
/**
 * The engine alone, in this process, with a host that answers from memory: what a launch costs without OpenCode.
 * And what the package weighs.
 * @module
 */
import { mkdtempSync, readdirSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { attach } from "../../index.js";
import { startModelServer } from "../../testkit/model-server.mjs";
import { waitIdle } from "../../testkit/opencode.mjs";
import { newSession, prompt, ROOT, startHost } from "./hosts.mjs";
import { row } from "./stats.mjs";

const BATCH = 50;

/** @type {import("./hosts.mjs").Group} */
export async function launch(bench) {
  const home = mkdtempSync(join(tmpdir(), "sortie-bench-"));
  bench.defer(() => rmSync(home, { recursive: true, force: true }));
  process.env.SORTIE_HOME = home;
  const ask = async (/** @type {{target: string}} */ { target }) => {
    const agents = [{ name: "general", mode: "subagent", permission: [] }];
    const answer = target.startsWith("/agent") ? agents : target.includes("/message") ? [] : { id: "ses_bench" };
    return { status: 200, body: JSON.stringify(answer) };
  };
  const spec = { directory: home, project: home, options: "{}", headless: false };
  // Never started: the tasks stay pending, and only the launch is measured.
  const attachment = await attach(spec, ask, () => {});
  const tasks = Array.from({ length: BATCH }, (_, at) => ({
    title: `task ${at}`,
    agent: "general",
    prompt: `do ${at}`,
  }));
  const args = JSON.stringify({ tasks });
  /** @type {number[]} */
  const times = [];
  for (let round = 0; round < (bench.quick ? 30 : 200); round++) {
    const from = performance.now();
    // Each from a session of its own: what one session may bring about is bounded.
    await attachment.call(round + 1, "sortie_launch", args, { session: `ses_bench${round}`, directory: home });
    if (round >= 5) times.push(performance.now() - from);
  }
  await attachment.detach();
  return [row(`ids of a batch of ${BATCH}, engine alone`, "ms", times, { most: 10, of: "p99" })];
}

/** Bytes that our tools add to each request to the model, and bytes of the addon. @type {import("./hosts.mjs").Group} */
export async function size(bench) {
  const model = await startModelServer();
  bench.defer(() => model.close());
  /** @type {number[]} */
  const bytes = [];
  for (const kind of /** @type {const} */ (["alone", "sortie"])) {
    const { server } = await startHost(bench, kind, model.url);
    const session = await newSession(server, { title: "one" });
    await prompt(server, session, `hello from ${kind}`);
    await waitIdle(server, session);
    const request = model.requests.find(({ kind: sort, lastUser }) => sort === "chat" && lastUser.includes(kind));
    bytes.push(JSON.stringify(request?.body.tools ?? []).length);
    await server.stop();
  }
  const [without = 0, withTools = 0] = bytes;
  const addons = readdirSync(ROOT).filter((name) => name.endsWith(".node"));
  return [
    row("added to each model request", "bytes", [withTools - without], {
      most: 6 * 1024,
      note: `tools: ${withTools} against ${without}`,
    }),
    row(
      "the addon",
      "MB",
      addons.map((name) => statSync(join(ROOT, name)).size / 1e6),
      { most: 8 },
    ),
  ];
}
