// @ts-check
/**
 * OpenCode's server pool: what a check costs when its server is started for it, and five at once on one server against
 * five `opencode run`, with the memory that each way takes at its most.
 * @module
 */
import { execFile } from "node:child_process";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { opencodeBinary } from "../../testkit/opencode-binary.mjs";
import { ROOT, sandboxOf, script, startModel } from "./hosts.mjs";
import { row } from "./stats.mjs";

/** How often memory is looked at, ms. */
const LOOK_MS = 250;

/** @type {import("./hosts.mjs").Group} */
export async function servers(bench) {
  const sandbox = sandboxOf(bench, "alone", await startModel(bench));
  const program = join(ROOT, process.platform === "win32" ? "sortie.exe" : "sortie");
  const env = sandbox.env({ OPENCODE_PATH: opencodeBinary(), PWD: sandbox.project });
  const list = (/** @type {number} */ count) => {
    const path = join(sandbox.project, `list-${count}.md`);
    const check = `- [ ] it holds\n  ${script({ say: "VERDICT: pass" })}\n`;
    writeFileSync(path, check.repeat(count));
    return path;
  };
  const run = (/** @type {string} */ file, /** @type {string[]} */ args) =>
    new Promise((/** @type {(done: unknown) => void} */ done, fail) => {
      const child = execFile(file, args, { cwd: sandbox.project, env }, (error, stdout, stderr) =>
        error ? fail(new Error(`${file} ${args.join(" ")}: ${stdout}${stderr}`)) : done(stdout),
      );
      child.stdin?.end();
    });
  const checklist = (/** @type {number} */ count) => () => run(program, ["checklist", list(count)]);
  const prompt = `does it hold?\n${script({ say: "VERDICT: pass" })}`;
  const alone = (/** @type {number} */ count) => () =>
    Promise.all(Array.from({ length: count }, () => run(opencodeBinary(), ["run", prompt])));
  // Its caches are filled, and its packages are there.
  await checklist(1)();
  const rows = [];
  for (const count of [1, 5]) {
    /** @type {{took: number, peak: number}[]} */
    const ours = [];
    /** @type {{took: number, peak: number}[]} */
    const theirs = [];
    for (let round = 0; round < (bench.quick ? 3 : 10); round++) {
      bench.say(`servers: ${count} at once, round ${round + 1}`);
      ours.push(await measured(sandbox.root, checklist(count)));
      theirs.push(await measured(sandbox.root, alone(count)));
    }
    const what =
      count === 1 ? "one check, its server started for it, against" : "five checks at once, one server, against five";
    const of = (/** @type {"took" | "peak"} */ part) => [ours, theirs].map((all) => all.map((one) => one[part]));
    const [took = [], tookAlone = []] = of("took");
    const [peak = [], peakAlone = []] = of("peak");
    rows.push(row(`${what} opencode run`, "ms", took, { baseline: tookAlone }));
    rows.push(row(`${what} opencode run: memory at its most`, "MB", peak, { baseline: peakAlone }));
  }
  return rows;
}

/**
 * How long something takes, in ms, and the most memory that all processes of a sandbox had meanwhile, in MB.
 *
 * @param {string} root @param {() => Promise<unknown>} work
 */
async function measured(root, work) {
  let peak = 0;
  const timer = setInterval(() => {
    peak = Math.max(peak, resident(root));
  }, LOOK_MS);
  const from = performance.now();
  try {
    await work();
    return { took: performance.now() - from, peak };
  } finally {
    clearInterval(timer);
  }
}

/** The resident memory of a sandbox's processes, in MB. @param {string} root */
function resident(root) {
  let kilobytes = 0;
  for (const pid of readdirSync("/proc").filter((name) => /^\d+$/.test(name))) {
    try {
      if (!readFileSync(`/proc/${pid}/environ`, "utf8").split("\0").includes(`SORTIE_SANDBOX=${root}`)) continue;
      // What several share is counted once.
      const rollup = readFileSync(`/proc/${pid}/smaps_rollup`, "utf8");
      kilobytes += Number(/^Pss:\s+(\d+)/m.exec(rollup)?.[1] ?? 0);
    } catch {
      // It has ended.
    }
  }
  return kilobytes / 1024;
}
