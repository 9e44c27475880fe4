// @ts-check
/**
 * The figures of the README, measured with the real OpenCode. `npm run bench` builds first and then runs this.
 * @module
 */
import { writeFileSync } from "node:fs";
import { arch, cpus, loadavg, platform } from "node:os";
import { parseArgs } from "node:util";
import { admission } from "./admission.mjs";
import { launch, size } from "./engine.mjs";
import { idle } from "./idle.mjs";
import { latency } from "./latency.mjs";
import { parallel } from "./parallel.mjs";
import { queue } from "./queue.mjs";
import { servers } from "./servers.mjs";
import { sessions } from "./sessions.mjs";
import { startup } from "./startup.mjs";
import { table } from "./stats.mjs";
import { todo } from "./todo.mjs";

/** @type {Record<string, import("./hosts.mjs").Group>} */
const GROUPS = { size, admission, launch, queue, servers, todo, sessions, latency, parallel, startup, idle };

const HELP = `npm run bench [-- options]

  --quick        fewer rounds
  --only a,b     some of: ${Object.keys(GROUPS).join(", ")}
  --json FILE    the rows for machines as well
`;

/** @returns {{quick: boolean, only: string[], json?: string}} */
function options() {
  try {
    const { values } = parseArgs({
      options: {
        quick: { type: "boolean" },
        only: { type: "string" },
        json: { type: "string" },
        help: { type: "boolean" },
      },
    });
    if (values.help) {
      console.log(HELP);
      process.exit(0);
    }
    const only = values.only?.split(",") ?? Object.keys(GROUPS);
    const unknown = only.find((name) => !(name in GROUPS));
    if (unknown !== undefined) throw new Error(`--only ${unknown}: there is no such group`);
    return { quick: values.quick ?? false, only, ...(values.json !== undefined && { json: values.json }) };
  } catch (error) {
    console.error(`${error instanceof Error ? error.message : error}\n\n${HELP}`);
    process.exit(2);
  }
}

/** @type {(() => unknown)[]} */
const cleanups = [];
/** @type {Promise<void> | undefined} */
let cleaning;

/** @returns {Promise<void>} */
function clean() {
  cleaning ??= (async () => {
    for (let cleanup = cleanups.pop(); cleanup; cleanup = cleanups.pop()) await cleanup();
    cleaning = undefined;
  })();
  return cleaning;
}

for (const signal of /** @type {const} */ (["SIGINT", "SIGTERM"])) {
  process.once(signal, async () => {
    await clean().catch(() => {});
    process.exit(signal === "SIGINT" ? 130 : 143);
  });
}

const { quick, only, json } = options();
if (platform() !== "linux" && only.some((name) => name === "startup" || name === "idle")) {
  console.error("start-up, memory and idle costs are read from /proc: on this platform leave them out with --only");
  process.exit(2);
}
// Progress goes to stderr: a line that is drawn again on a terminal, lines elsewhere.
const say = (/** @type {string} */ text) => {
  if (process.stderr.isTTY) process.stderr.write(`\r\u001b[2K${text}`);
  else if (text !== "") process.stderr.write(`${text}\n`);
};
/** @type {import("./stats.mjs").Row[]} */
const rows = [];
try {
  for (const name of only) {
    const group = GROUPS[name];
    if (group) rows.push(...(await group({ quick, say, defer: (cleanup) => cleanups.push(cleanup) })));
    await clean();
  }
} finally {
  await clean();
}
say("");
console.log(table(rows));
const load = loadavg()[0] ?? 0;
console.log(
  `\n${cpus().length} processors, load ${load.toFixed(1)} at the end: above the number of processors, times mean little.`,
);
if (json !== undefined) {
  const machine = { platform: platform(), arch: arch(), cpus: cpus().length, cpu: cpus()[0]?.model, load };
  writeFileSync(
    json,
    `${JSON.stringify({ version: 1, at: new Date().toISOString(), machine, quick, rows }, null, 2)}\n`,
  );
}
