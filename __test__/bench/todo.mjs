// @ts-check
/**
 * TODO.md through the binding, in processes of their own: what a change costs, alone and among others, how soon an edit
 * of the file is a revision, and what a long file costs. Stores at their default durability, a host in memory.
 * @module
 */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { startCrew } from "../../testkit/crew.mjs";
import { until } from "../../testkit/wait.mjs";
import { attach, native } from "../binding/harness.mjs";
import { board, FILE } from "../binding/todo-board.mjs";
import { ROOT } from "./hosts.mjs";
import { row } from "./stats.mjs";

const WRITERS = 8;
const ITEMS = 100;
const MANY = 10_000;
const LIMIT_MS = 300_000;

/** @type {import("./hosts.mjs").Group} */
export async function todo(bench) {
  const alone = await changes(bench, 1, bench.quick ? 300 : 2_000);
  const among = await changes(bench, WRITERS, bench.quick ? 40 : 250);
  const imports = await importing(bench, bench.quick ? 20 : 100);
  const reads = await reading(bench, bench.quick ? 10 : 50);
  const note = "baseline: 4 KiB appended to a file and synced, which each change has to wait for as well";
  return [
    row(`a change of TODO.md, ${ITEMS} items`, "ms", alone.times, { most: 1, baseline: alone.synced, note }),
    row(`a change that is not made, ${ITEMS} items`, "ms", alone.refused, {
      note: "a claim that is refused: all but the commit",
    }),
    row("a call that only asks the store", "ms", alone.calls, { note: "sortie_status" }),
    row(`a change with ${WRITERS} processes at it`, "ms", among.times, {
      most: 1,
      note: `from the call to its answer, the turns of the others included; ${Math.round(among.rate)} changes a second by all, ${Math.round(alone.rate)} by one alone`,
    }),
    row("an edit by hand → its revision", "ms", imports, { most: 100, of: "p99" }),
    row(`parse and print ${MANY} items`, "ms", reprinting(bench.quick ? 20 : 100), {
      most: 20,
      note: "across the boundary and back, the text's two copies included",
    }),
    row(`ready items of ${MANY}`, "ms", reads, {
      note: "the tool's call: read from the store, parsed, told apart, told in 16 KiB",
    }),
  ];
}

/**
 * A home and a project whose TODO.md has so many items.
 *
 * @param {import("./hosts.mjs").Bench} bench
 * @param {number} items
 */
function site(bench, items) {
  const root = mkdtempSync(join(tmpdir(), "sortie-bench-"));
  bench.defer(() => rmSync(root, { recursive: true, force: true, maxRetries: 5 }));
  const [home, project] = [join(root, "home"), join(root, "project")];
  const path = join(project, FILE);
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, text(items));
  return { home, project, path };
}

/** A file like those of missions: in groups, every third item waits for the one before it. @param {number} items */
function text(items) {
  const lines = ["# TODO", ""];
  for (let n = 1; n <= items; n++) {
    if (n % 50 === 1) lines.push("", `## Group ${Math.ceil(n / 50)}`, "");
    const after = n % 3 === 0 ? `; after: t${n - 1}` : "";
    lines.push(
      `- [ ] t${n}: Change what number ${n} is about {agent: worker; files: src/part${n}.rs; size: M${after}}`,
    );
    if (n % 4 === 0) lines.push(`  A note about item ${n}.`);
  }
  return `${lines.join("\n")}\n`;
}

/**
 * Waits until the engine has read a file that was there before it.
 *
 * @param {{home: string, project: string}} at
 */
async function attached(at) {
  const to = await attach(at);
  await to.start();
  const todo = board(to, "ses_bench");
  await until(async () => (await todo.ask({ do: "read", id: "t1" })).startsWith("rev 1\n"), { timeoutMs: LIMIT_MS });
  return { to, todo };
}

/**
 * So many processes change one file as fast as they can, each its own items.
 *
 * @param {import("./hosts.mjs").Bench} bench
 * @param {number} writers
 * @param {number} rounds
 */
async function changes(bench, writers, rounds) {
  bench.say(`todo: ${writers} × ${rounds} changes`);
  const { home, project } = site(bench, ITEMS);
  const { to } = await attached({ home, project });
  // It has read the file, and would be one process more.
  await to.detach();
  const jobs = Array.from({ length: writers }, (_, me) => ({ home, project, me, writers, items: ITEMS, rounds }));
  const crew = await startCrew(join(ROOT, "__test__/bench/todo-writer.mjs"), jobs, { resultMs: LIMIT_MS });
  bench.defer(() => crew.end());
  const from = performance.now();
  /** @type {import("./todo-writer.mjs").Done[]} */
  const done = await crew.go();
  const all = (/** @type {"times" | "calls" | "refused" | "synced"} */ name) => done.flatMap((one) => one[name]);
  const synced = all("synced").reduce((sum, ms) => sum + ms, 0);
  const seconds = (Math.max(...done.map(({ ms }) => ms)) - synced) / 1_000;
  bench.say(`todo: ${writers} × ${rounds} changes in ${Math.round(performance.now() - from)} ms`);
  const times = all("times");
  return { times, calls: all("calls"), refused: all("refused"), synced: all("synced"), rate: times.length / seconds };
}

/** @param {number} rounds @returns {number[]} */
function reprinting(rounds) {
  const long = text(MANY);
  return Array.from({ length: rounds }, () => {
    const from = performance.now();
    if (native.reprintTodo(long) !== long) throw new Error("what was printed is not what was read");
    return performance.now() - from;
  });
}

/** @param {import("./hosts.mjs").Bench} bench @param {number} rounds @returns {Promise<number[]>} */
async function importing(bench, rounds) {
  bench.say(`todo: ${rounds} edits by hand`);
  const { path, ...at } = site(bench, ITEMS);
  const { to, todo } = await attached(at);
  /** @type {number[]} */
  const times = [];
  try {
    for (let round = 0; round < rounds; round++) {
      // An item that was written without an id gets one: the edit before is over when the file says so.
      const edited = await until(() => [readFileSync(path, "utf8")].find((text) => !text.includes("- [ ] Round")), {
        timeoutMs: LIMIT_MS,
        everyMs: 1,
      });
      const number = (/** @type {string} */ answer) => Number(/^rev (\d+)/.exec(answer)?.[1]);
      const rev = number(await todo.ask({ do: "read", id: "t1" }));
      writeFileSync(path, `${edited}- [ ] Round ${round}\n`);
      const from = performance.now();
      while (number(await todo.ask({ do: "read", id: "t1" })) === rev) {
        if (performance.now() - from > LIMIT_MS) throw new Error("an edit was not taken in");
      }
      times.push(performance.now() - from);
    }
  } finally {
    await to.detach();
  }
  return times;
}

/** @param {import("./hosts.mjs").Bench} bench @param {number} rounds @returns {Promise<number[]>} */
async function reading(bench, rounds) {
  bench.say(`todo: ${rounds} reads of ${MANY} items`);
  const { home, project } = site(bench, MANY);
  const { to, todo } = await attached({ home, project });
  /** @type {number[]} */
  const times = [];
  try {
    for (let round = -2; round < rounds; round++) {
      const from = performance.now();
      await todo.ask({ do: "read", view: "ready" });
      if (round >= 0) times.push(performance.now() - from);
    }
  } finally {
    await to.detach();
  }
  return times;
}
