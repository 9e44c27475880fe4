// @ts-check
/**
 * The mission that tests play: a small repository with failing tests, the eight items that mend it, and what a worker
 * does for each with the host's own tools.
 * @module
 */
import { cpSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { git } from "./sandbox.mjs";

/** @typedef {import("./model-script.mjs").ToolStep} ToolStep */
/** @typedef {import("./sandbox.mjs").Sandbox} Sandbox */

/**
 * @typedef {object} Item
 * @property {string} key
 * @property {string} title
 * @property {string[]} files What it changes.
 * @property {string[]} after Keys of the items that it needs.
 * @property {ToolStep[]} steps What the worker does.
 * @property {string} evidence A command that fails until it is done well.
 */

/** What a person asks for. */
export const GOAL = "make every test of the harbour pass";

/** A command that fails until all items are done well. */
export const CHECK = ["node", "--test"];

const FIXTURE = fileURLToPath(new URL("./fixtures/harbour/", import.meta.url));

/** @param {string} path @returns {string} */
const finished = (path) => readFileSync(join(FIXTURE, "after", path), "utf8");

/** @param {string} path @param {string} oldString @param {string} newString @returns {ToolStep} */
const edit = (path, oldString, newString) => ({ name: "edit", args: { filePath: path, oldString, newString } });

/** @param {string} path @returns {ToolStep} */
const write = (path) => ({ name: "write", args: { filePath: path, content: finished(path) } });

/** @param {string} command @returns {ToolStep} */
export const bash = (command) => ({ name: "bash", args: { command, description: "one step of the item" } });

/** @param {string} name */
const testOf = (name) => `node test/${name}.mjs`;

/** @type {Item[]} */
export const ITEMS = [
  {
    key: "weight",
    title: "Correct tons in toKilos",
    files: ["src/weight.mjs"],
    after: [],
    steps: [edit("src/weight.mjs", "? 100 :", "? 1000 :")],
    evidence: testOf("weight"),
  },
  {
    key: "tide",
    title: "Let minutesUntil pass midnight",
    files: ["src/tide.mjs"],
    after: [],
    steps: [
      edit("src/tide.mjs", "return minutes(at) - minutes(now);", "return (minutes(at) - minutes(now) + 1440) % 1440;"),
    ],
    evidence: testOf("tide"),
  },
  {
    key: "name",
    title: "Turn blanks of a name into dashes",
    files: ["src/name.mjs"],
    after: [],
    // Not enough: a second blank stays.
    steps: [edit("src/name.mjs", "return name;", 'return name.toLowerCase().replace(" ", "-");')],
    evidence: testOf("name"),
  },
  {
    key: "berth",
    title: "Write berthFor",
    files: ["src/berth.mjs"],
    after: ["weight"],
    steps: [write("src/berth.mjs")],
    evidence: testOf("berth"),
  },
  {
    key: "manifest",
    title: "Write the manifest of ships",
    files: ["src/manifest.mjs"],
    after: ["name", "berth"],
    steps: [write("src/manifest.mjs")],
    evidence: testOf("manifest"),
  },
  {
    key: "schedule",
    title: "Write the schedule of departures",
    files: ["src/schedule.mjs"],
    after: ["tide", "berth"],
    steps: [write("src/schedule.mjs")],
    evidence: testOf("schedule"),
  },
  {
    key: "index",
    title: "Export everything from one door",
    files: ["src/index.mjs"],
    after: ["manifest", "schedule"],
    steps: [write("src/index.mjs")],
    evidence: "node src/index.mjs",
  },
  {
    key: "usage",
    title: "Name every function on the usage page",
    files: ["docs/USAGE.md"],
    after: ["index"],
    // As a person would with the shell; the whole file, so that doing it twice is doing it once.
    steps: [bash(`cat > docs/USAGE.md <<'END'\n${finished("docs/USAGE.md")}END`)],
    evidence: testOf("index"),
  },
];

/** What mends the rejected item. */
export const MENDED = [edit("src/name.mjs", '.replace(" ", "-")', '.replaceAll(" ", "-")')];

/** The item that is rejected once. */
export const REJECTED = "name";

/**
 * A git repository with the failing tests as its first commit.
 *
 * @param {Sandbox} sandbox
 * @param {string} [name]
 * @param {{config?: Record<string, unknown>}} [options]
 * @returns {string} Its directory.
 */
export function addHarbour(sandbox, name = "harbour", options = {}) {
  const directory = sandbox.addProject(name, { ...options, git: false });
  cpSync(join(FIXTURE, "before"), directory, { recursive: true });
  git(sandbox, directory, "init", "--quiet", "--initial-branch=main");
  git(sandbox, directory, "add", "--all");
  git(sandbox, directory, "commit", "--quiet", "--message=first");
  return directory;
}

/**
 * The files of the repository that differ from the first commit, new ones included, without the host's own.
 *
 * @param {Sandbox} sandbox
 * @param {string} directory
 * @returns {Record<string, string>} Contents by path.
 */
export function changesIn(sandbox, directory) {
  const status = git(sandbox, directory, "status", "--porcelain", "--untracked-files=all", "-z");
  const paths = status
    .split("\0")
    .filter((entry) => entry !== "")
    .map((entry) => entry.slice(3))
    .filter((path) => !path.startsWith(".opencode/"));
  return Object.fromEntries(paths.sort().map((path) => [path, readFileSync(join(directory, path), "utf8")]));
}

/**
 * What {@link changesIn} gives when these items are done.
 *
 * @param {Item[]} [items]
 * @returns {Record<string, string>}
 */
export function changesOf(items = ITEMS) {
  const paths = items.flatMap(({ files }) => files).sort();
  return Object.fromEntries(paths.map((path) => [path, finished(path)]));
}
