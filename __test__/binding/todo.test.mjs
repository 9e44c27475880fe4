// @ts-check
/**
 * Eight processes change TODO.md through the tool while a ninth edits the file by hand: no change is lost, no edit is
 * lost, an item is claimed once, and in the end the file is the last revision. Runs under Node and under Bun.
 *
 * `SORTIE_TODO_UPDATES` says how many updates each process makes, `SORTIE_SEED` repeats a run's choices.
 */
import assert from "node:assert/strict";
import {
  closeSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  statSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { test } from "node:test";
import { ROOT } from "../../scripts/process.mjs";
import { startCrew } from "../../testkit/crew.mjs";
import { mulberry32 } from "../../testkit/random.mjs";
import { until } from "../../testkit/wait.mjs";
import { attach, place } from "./harness.mjs";
import { board, counter, FILE, writer } from "./todo-board.mjs";

/** @typedef {import("./todo-writer.mjs").Done} Done */
/** @typedef {ReturnType<typeof board>} Board */

const WRITERS = 8;
/** Items that all of them change, by reading them first. */
const SHARED = 4;
/** Items that each may have, once. */
const CLAIMS = 40;
const UPDATES = Number(process.env.SORTIE_TODO_UPDATES ?? 40);
const SEED = Number(process.env.SORTIE_SEED ?? Date.now() % 1_000_000);

/** At least so many edits by hand; and at most so many, because all must fit into one answer. */
const [LEAST_EDITS, MOST_EDITS] = [10, 200];
/** Of so many revisions each is read, of more as many of them at random. */
const READ = UPDATES > 100 ? 100_000 : 60;
/** So many revisions keep their text. */
const KEPT = 10_000;

const LIMIT_MS = 45_000;
const LONG_MS = LIMIT_MS + UPDATES * WRITERS * 50;

test(`eight processes × ${UPDATES} updates and a person lose nothing (SORTIE_SEED=${SEED})`, async () => {
  const here = place();
  const path = join(here.project, FILE);
  mkdirSync(dirname(path));
  writeFileSync(path, begin());
  const jobs = Array.from({ length: WRITERS }, (_, me) => ({
    ...{ home: here.home, project: here.project, me, updates: UPDATES },
    ...{ shared: SHARED, claims: CLAIMS, seed: SEED + me },
  }));
  const to = await attach(here);
  /** @type {import("../../testkit/crew.mjs").Crew | undefined} */
  let crew;
  try {
    await to.start();
    const todo = board(to, "ses_reader");
    await until(async () => (await todo.all()).text === begin(), { timeoutMs: LIMIT_MS, what: "the file to be read" });
    crew = await startCrew(join(ROOT, "__test__/binding/todo-writer.mjs"), jobs, { resultMs: LONG_MS });
    const from = performance.now();
    let isOver = false;
    const working = crew.go().finally(() => (isOver = true));
    working.catch(() => {});
    const edits = await editByHand(todo, path, () => isOver);
    /** @type {Done[]} */
    const done = await working;
    const ms = Math.round(performance.now() - from);

    let seen = "";
    const quiet = { timeoutMs: LIMIT_MS, what: () => `the file to be the newest revision, and alone: ${seen}` };
    const last = await until(async () => {
      const head = await todo.all();
      const [names, text] = [readdirSync(dirname(path)).join(), readFileSync(path, "utf8")];
      seen = `${names}\n${text}\nwhich is not ${head.rev}\n${head.text}`;
      return names === "todo.md" && text === head.text ? head : undefined;
    }, quiet);

    checkChanges(last.text, done);
    for (const edit of edits) assert.equal(times(last.text, edit), 1, `${edit}\n${last.text}`);
    assert.ok(!last.text.includes("outside:"), `a merge took an update for a conflict:\n${last.text}`);
    const outside = await checkHistory(todo, last.rev, done);
    const read = await checkRevisions(todo, last.rev, edits);
    const conflicts = done.reduce((sum, one) => sum + one.conflicts, 0);
    console.log(
      `${last.rev} revisions in ${ms} ms, ${outside} from outside (${edits.length} edits by hand), ${read} read again; ` +
        `${conflicts} conflicts repeated; ${figures(done.flatMap((one) => one.times))}`,
    );
  } finally {
    await crew?.end();
    await to.detach();
    here.remove();
  }
});

/** The file that they begin with. */
function begin() {
  const list = (/** @type {number} */ length, /** @type {(n: number) => string} */ of) =>
    Array.from({ length }, (_, n) => `- [ ] ${of(n)}\n`).join("");
  const counters = list(WRITERS, (n) => `own${n}: counted 0`) + list(SHARED, (n) => `shared${n}: counted 0`);
  const claims = list(CLAIMS, (n) => `claim${n}: once`);
  return `# TODO\n\n## Counters\n\n${counters}\n## To claim\n\n${claims}\n## Added\n\n- [ ] first: one\n\n## By hand\n\n- [ ] hand: see below\n`;
}

/**
 * Edits the file as people, editors and scripts do, until the others have ended. Each edit is made when the one before
 * is a revision: two buffers of one person would overwrite each other.
 *
 * @param {Board} todo
 * @param {string} path
 * @param {() => boolean} isOver
 * @returns {Promise<string[]>} The lines that it wrote.
 */
async function editByHand(todo, path, isOver) {
  const random = mulberry32(SEED + WRITERS);
  const pace = Math.ceil((UPDATES * WRITERS) / MOST_EDITS);
  /** @type {string[]} */
  const made = [];
  const knowsAll = (/** @type {string} */ text) => text.endsWith("\n") && text.includes(made.at(-1) ?? "# TODO");
  let stale = readFileSync(path, "utf8");
  while (made.length < LEAST_EDITS || (!isOver() && made.length < MOST_EDITS)) {
    const line = `- [ ] h${made.length}: by hand\n`;
    // A file that is just replaced is no buffer; nor is one without the person's own edits.
    const fresh = await until(() => [readFileSync(path, "utf8")].find(knowsAll), {
      timeoutMs: LIMIT_MS,
      what: "the file to be as it was saved",
    });
    const how = Math.floor(random() * 4);
    if (how === 0) {
      writeFileSync(path, fresh + line);
    } else if (how === 1) {
      const temporary = join(dirname(path), "editor.tmp");
      writeFileSync(temporary, fresh + line);
      renameSync(temporary, path);
    } else if (how === 2) {
      // As a shell's `>>` does: opened, and written a little later.
      const file = openSync(path, "a");
      await todo.all();
      writeSync(file, line);
      closeSync(file);
    } else {
      // A buffer that knows of the person's own edits; what the others did since is not in it.
      writeFileSync(path, (knowsAll(stale) ? stale : fresh) + line);
    }
    const { rev } = await until(
      async () => {
        const head = await todo.all();
        return head.text.includes(line) ? head : undefined;
      },
      {
        timeoutMs: LIMIT_MS,
        everyMs: 5,
        what: () => `the edit by hand (${how}) in a revision: ${line} in ${holders(dirname(path), line)}`,
      },
    );
    made.push(line);
    if (random() < 0.5) stale = readFileSync(path, "utf8");
    // Spread over the whole run.
    const isNext = async () => isOver() || (await todo.all()).rev >= rev + pace;
    await until(isNext, { timeoutMs: LONG_MS, what: "the others to go on" });
  }
  return made;
}

/** Files with a text, to tell where it is. @param {string} directory @param {string} part */
function holders(directory, part) {
  const names = readdirSync(directory).map((name) => {
    const path = join(directory, name);
    const [text, { mtimeMs }] = [readFileSync(path, "utf8"), statSync(path)];
    return `${name} (${text.length} bytes, ${Math.round(Date.now() - mtimeMs)} ms old): ${text.includes(part)}`;
  });
  return names.join("\n");
}

/** Every change that was reported is there. @param {string} text @param {Done[]} done */
function checkChanges(text, done) {
  const own = Math.ceil(UPDATES / 2);
  let shared = 0;
  for (let n = 0; n < SHARED; n++) shared += counter(text, `shared${n}`);
  assert.equal(shared, WRITERS * (UPDATES - own), text);
  for (const [me, { added, notes }] of done.entries()) {
    assert.equal(counter(text, `own${me}`), own, text);
    for (const id of added) assert.equal(times(text, `- [ ] ${id}: new\n`), 1, `${id}\n${text}`);
    assert.ok(added.length > 0 && added.length === notes);
    for (let note = 1; note <= notes; note++) assert.equal(times(text, `note ${me}.${note}.`), 1, text);
  }
  const claims = done.flatMap(({ claimed }) => claimed).sort();
  assert.deepEqual(claims, Array.from({ length: CLAIMS }, (_, n) => `claim${n}`).sort());
  for (const id of claims) assert.equal(times(text, `- [~] ${id}: once\n`), 1, text);
}

/** How often a text contains another. @param {string} text @param {string} part */
function times(text, part) {
  return text.split(part).length - 1;
}

/**
 * Each revision is the one change of its author that was told with its number.
 *
 * @param {Board} todo
 * @param {number} head
 * @param {Done[]} done
 * @returns {Promise<number>} How many came from outside.
 */
async function checkHistory(todo, head, done) {
  /** @type {Map<number, string>} */
  const told = new Map();
  for (const [me, { revs }] of done.entries()) {
    for (const rev of revs) {
      assert.ok(!told.has(rev), `two changes are told to be revision ${rev}`);
      told.set(rev, writer(me));
    }
  }
  let outside = 0;
  for (let before = head + 1; before > 1; ) {
    const lines = (await todo.ask({ do: "history", rev: before })).split("\n").filter((line) => /^\d/.test(line));
    for (const line of lines) {
      const [, rev, author] = /^(\d+) \S+ ago (\S+): /.exec(line) ?? [];
      assert.equal(Number(rev), before - 1, line);
      assert.equal(author, told.get(--before) ?? "outside", line);
      if (author === "outside") outside++;
    }
    assert.ok(lines.length > 0, `no revision before ${before}`);
  }
  assert.equal(outside + told.size, head);
  return outside;
}

/**
 * Reads revisions again, oldest first: counters only rise, and what was written by hand stays.
 *
 * @param {Board} todo
 * @param {number} head
 * @param {string[]} edits
 * @returns {Promise<number>} How many were read.
 */
async function checkRevisions(todo, head, edits) {
  const random = mulberry32(SEED);
  let before = { counts: Array(WRITERS + SHARED).fill(0), edits: 0 };
  let read = 0;
  for (let rev = Math.max(1, head - KEPT + 1); rev <= head; rev++) {
    if (rev < head && random() >= READ / head) continue;
    const { rev: told, text } = await todo.all(rev);
    assert.equal(told, rev);
    const counts = before.counts.map((_, n) => counter(text, n < WRITERS ? `own${n}` : `shared${n - WRITERS}`));
    const now = { counts, edits: edits.filter((edit) => text.includes(edit)).length };
    assert.ok(
      now.edits >= before.edits && counts.every((count, n) => count >= before.counts[n]),
      `revision ${rev} undoes what was: ${JSON.stringify({ before, now })}`,
    );
    assert.ok(now.edits === edits.length || !text.includes(edits[now.edits] ?? ""), `an edit is missing in ${rev}`);
    before = now;
    read++;
  }
  return read;
}

/** @param {number[]} values Milliseconds. */
function figures(values) {
  const sorted = values.toSorted((a, b) => a - b);
  const at = (/** @type {number} */ share) => sorted[Math.floor((sorted.length - 1) * share)]?.toFixed(2);
  return `a change took p50 ${at(0.5)} ms, p99 ${at(0.99)} ms`;
}
