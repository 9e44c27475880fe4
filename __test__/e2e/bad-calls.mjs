// @ts-check
/**
 * Calls of Sortie's tools that have to be refused, each with the code of the refusal and what its message names.
 * @module
 */

/**
 * What the calls are made among.
 *
 * @typedef {object} World
 * @property {string} foreign Id of a task of another project.
 * @property {string} outside A directory outside the project.
 */

/**
 * @typedef {object} BadCall
 * @property {string} name What is wrong with it.
 * @property {string} tool
 * @property {any} args
 * @property {string} code Of `docs/errors.md`.
 * @property {string} names A text of the message: the field, or what was given.
 */

/** The most bytes of a prompt (`src/tools/text.rs`). */
const MOST = 512 * 1024;

const GOOD = { title: "fine", agent: "build", prompt: "do it" };

/** A launch of one task that differs from a good one. @param {Record<string, unknown>} wrong */
const task = (wrong) => ({ tasks: [{ ...GOOD, ...wrong }] });

/** A launch of tasks that wait for each other. @param {Record<string, unknown>} wrongs By key. */
const tasks = (wrongs) => ({
  tasks: Object.entries(wrongs).map(([key, wrong]) => ({ ...GOOD, key, .../** @type {object} */ (wrong) })),
});

/** A launch without one of the fields. @param {keyof typeof GOOD} field */
const without = (field) => ({ tasks: [Object.fromEntries(Object.entries(GOOD).filter(([name]) => name !== field))] });

/**
 * Parsed, because in a literal it would set the prototype.
 *
 * @param {string} json
 * @returns {any}
 */
const parsed = (json) => JSON.parse(json);

/** @param {string} tool @returns {(name: string, args: any, code: string, names: string) => BadCall} */
const calls = (tool) => (name, args, code, names) => ({ name, tool: `sortie_${tool}`, args, code, names });

const launch = calls("launch");
const status = calls("status");
const wait = calls("wait");
const result = calls("result");
const send = calls("send");
const cancel = calls("cancel");
const retry = calls("retry");
const extend = calls("extend");

/**
 * Calls of a session that has launched the tasks `done` (complete), `broken` (failed), `gone` (cancelled), `hangs`
 * (running) and `waits` (pending), in a project with a link `out` to a directory outside and a file `README.md`.
 *
 * @param {World} world
 * @returns {BadCall[]}
 */
export const badCalls = ({ foreign, outside }) => [
  launch("no tasks field", {}, "bad-arguments", "tasks"),
  launch("no tasks", { tasks: [] }, "empty-batch", "tasks"),
  launch("tasks is null", { tasks: null }, "bad-arguments", "tasks"),
  launch("tasks is a text", { tasks: "all of them" }, "bad-arguments", "tasks"),
  launch("tasks is JSON in a text", { tasks: JSON.stringify([GOOD]) }, "bad-arguments", "tasks"),
  launch("tasks is one object", { tasks: GOOD }, "bad-arguments", "tasks"),
  launch("a task is a text", { tasks: ["do it"] }, "bad-arguments", "tasks[0]"),
  launch("a task is null", { tasks: [GOOD, null] }, "bad-arguments", "tasks[1]"),
  launch("a task is an array", { tasks: [["k", "fine", "build", "do it"]] }, "bad-arguments", "tasks[0]"),
  launch(
    "a task is an array of all its fields in order",
    { tasks: [["k", "fine", "build", "do it", [], "high", null, null, null, null, null]] },
    "bad-arguments",
    "tasks[0]",
  ),
  launch("201 tasks", { tasks: Array(201).fill(GOOD) }, "batch-too-large", "tasks"),
  launch("an unknown key beside tasks", { ...task({}), parallel: true }, "bad-arguments", "parallel"),
  launch("an unknown key in a task", task({ name: "x" }), "bad-arguments", "name"),
  launch("constructor in a task", task({ constructor: "x" }), "bad-arguments", "constructor"),
  launch("toString in a task", task({ toString: "x" }), "bad-arguments", "toString"),
  launch("no title", without("title"), "bad-arguments", "title"),
  launch("no agent", without("agent"), "bad-arguments", "agent"),
  launch("no prompt", without("prompt"), "bad-arguments", "prompt"),
  launch("a number as title", task({ title: 7 }), "bad-arguments", "tasks[0].title"),
  launch("an object as prompt", task({ prompt: { text: "do it" } }), "bad-arguments", "tasks[0].prompt"),
  launch("a list as agent", task({ agent: ["build"] }), "bad-arguments", "tasks[0].agent"),
  launch("null as prompt", task({ prompt: null }), "bad-arguments", "tasks[0].prompt"),
  launch("an empty title", task({ title: "" }), "empty-field", "tasks[0].title"),
  launch("a blank title", task({ title: " \t " }), "empty-field", "tasks[0].title"),
  launch("an empty prompt", task({ prompt: "" }), "empty-field", "tasks[0].prompt"),
  launch("a prompt of white space", task({ prompt: " \n\u3000\n " }), "empty-field", "tasks[0].prompt"),
  launch("an empty agent", task({ agent: "" }), "empty-field", "tasks[0].agent"),
  launch("a line break in the title", task({ title: "one\ntwo" }), "bad-characters", "tasks[0].title"),
  launch("an escape sequence in the title", task({ title: "\u001b[2Jred" }), "bad-characters", "tasks[0].title"),
  launch("NUL in the title", task({ title: "a\0b" }), "bad-characters", "tasks[0].title"),
  launch("NUL in the prompt", task({ prompt: "a\0b" }), "bad-characters", "tasks[0].prompt"),
  launch("a title of 301 bytes", task({ title: "t".repeat(301) }), "text-too-long", "tasks[0].title"),
  launch("half a surrogate pair in the title", task({ title: "a\ud800b" }), "bad-arguments", "tasks[0].title"),
  launch("half a surrogate pair in the prompt", task({ prompt: "\udc00" }), "bad-arguments", "tasks[0].prompt"),
  launch("an unknown agent", task({ agent: "nobody" }), "unknown-agent", "nobody"),
  launch("an agent in the wrong case", task({ agent: "Build" }), "unknown-agent", "tasks[0].agent"),
  launch("a hidden agent", task({ agent: "title" }), "unknown-agent", "tasks[0].agent"),
  launch("shell in the agent", task({ agent: "$(touch pwned)" }), "unknown-agent", "$(touch pwned)"),
  launch(
    "the second task is wrong",
    { tasks: [GOOD, { ...GOOD, agent: "nobody" }] },
    "unknown-agent",
    "tasks[1].agent",
  ),
  launch("an empty key", task({ key: "" }), "empty-field", "tasks[0].key"),
  launch("a key with a space", task({ key: "a b" }), "bad-key", "tasks[0].key"),
  launch("SQL as key", task({ key: "'; DROP TABLE tasks; --" }), "bad-key", "DROP TABLE"),
  launch("shell as key", task({ key: "`touch pwned`" }), "bad-key", "touch pwned"),
  launch("a key that is not ASCII", task({ key: "schlüssel" }), "bad-key", "tasks[0].key"),
  launch("a key of 65 letters", task({ key: "k".repeat(65) }), "text-too-long", "tasks[0].key"),
  launch("a number as key", task({ key: 1 }), "bad-arguments", "tasks[0].key"),
  launch(
    "one key twice",
    { tasks: [{ ...GOOD, key: "a" }, GOOD, { ...GOOD, key: "a" }] },
    "duplicate-key",
    "tasks[2].key",
  ),
  launch("a task waits for itself", tasks({ a: { depends_on: ["a"] } }), "cycle", "a -> a"),
  launch(
    "two tasks wait for each other",
    tasks({ a: { depends_on: ["b"] }, b: { depends_on: ["a"] } }),
    "cycle",
    "a -> b -> a",
  ),
  launch(
    "three tasks wait in a circle",
    tasks({ a: { depends_on: ["b"] }, b: { depends_on: ["c"] }, c: { depends_on: ["a"] } }),
    "cycle",
    "a -> b -> c -> a",
  ),
  launch(
    "prompts wait in a circle",
    tasks({ a: { prompt: "use {{result:b}}" }, b: { depends_on: ["a"] } }),
    "cycle",
    "a -> b -> a",
  ),
  launch("a prompt asks for its own result", tasks({ a: { prompt: "{{result:a}}" } }), "cycle", "a -> a"),
  launch("an unknown dependency", task({ depends_on: ["nothing"] }), "unknown-dependency", "nothing"),
  launch("an unknown result", task({ prompt: "use {{result:nothing}}" }), "unknown-dependency", "tasks[0].prompt"),
  launch("a dependency of another project", task({ depends_on: [foreign] }), "unknown-dependency", foreign),
  launch("a failed dependency", task({ depends_on: ["broken"] }), "dead-dependency", "broken"),
  launch("the result of a failed task", task({ prompt: "use {{result:broken}}" }), "dead-dependency", "broken"),
  launch("a cancelled dependency", task({ depends_on: ["gone"] }), "dead-dependency", "gone"),
  launch("SQL as dependency", task({ depends_on: ["' OR 1=1 --"] }), "bad-key", "depends_on[0]"),
  launch("an empty dependency", task({ depends_on: [""] }), "empty-field", "depends_on[0]"),
  launch("a text as dependencies", task({ depends_on: "done" }), "bad-arguments", "tasks[0].depends_on"),
  launch("a number as dependency", task({ depends_on: [1] }), "bad-arguments", "tasks[0].depends_on[0]"),
  launch("an unknown priority", task({ priority: "urgent" }), "bad-arguments", "tasks[0].priority"),
  launch("a number as priority", task({ priority: 1 }), "bad-arguments", "tasks[0].priority"),
  launch("an object as priority", task({ priority: { high: null } }), "bad-arguments", "tasks[0].priority"),
  launch("an unknown resume", task({ resume: "maybe" }), "bad-arguments", "tasks[0].resume"),
  launch("an object as resume", task({ resume: { auto: null } }), "bad-arguments", "tasks[0].resume"),
  launch("timeout 0", task({ timeout: 0 }), "bad-timeout", "tasks[0].timeout"),
  launch("a timeout of more than a day", task({ timeout: 86_401 }), "bad-timeout", "tasks[0].timeout"),
  launch("a negative timeout", task({ timeout: -1 }), "bad-arguments", "tasks[0].timeout"),
  launch("a timeout of half a second", task({ timeout: 0.5 }), "bad-arguments", "tasks[0].timeout"),
  launch("a text as timeout", task({ timeout: "60" }), "bad-arguments", "tasks[0].timeout"),
  launch("NaN in a text as timeout", task({ timeout: "NaN" }), "bad-arguments", "tasks[0].timeout"),
  launch("an immense timeout", task({ timeout: 1e300 }), "bad-arguments", "tasks[0].timeout"),
  launch("too many retries", task({ retries: 5 }), "bad-retries", "tasks[0].retries"),
  launch("negative retries", task({ retries: -1 }), "bad-arguments", "tasks[0].retries"),
  launch("retries beyond 32 bits", task({ retries: 2 ** 32 }), "bad-arguments", "tasks[0].retries"),
  launch("yes as retries", task({ retries: true }), "bad-arguments", "tasks[0].retries"),
  launch("a model without a provider", task({ model: "gpt" }), "bad-model", "tasks[0].model"),
  launch("a model without a name", task({ model: "scripted/" }), "bad-model", "tasks[0].model"),
  launch("a model with an empty provider", task({ model: "/model" }), "bad-model", "tasks[0].model"),
  launch("a model that OpenCode does not have", task({ model: "nope/model" }), "bad-model", "tasks[0].model"),
  launch("an empty model", task({ model: "" }), "empty-field", "tasks[0].model"),
  launch("an object as model", task({ model: { provider: "a", model: "b" } }), "bad-arguments", "tasks[0].model"),
  launch("the directory above", task({ directory: ".." }), "outside-project", "tasks[0].directory"),
  launch("a directory above in disguise", task({ directory: ".opencode/../.." }), "outside-project", "[0].directory"),
  launch("an absolute directory outside", task({ directory: outside }), "outside-project", outside),
  launch("a link that leads outside", task({ directory: "out" }), "outside-project", "out"),
  launch("a directory that is not there", task({ directory: "nowhere" }), "no-directory", "nowhere"),
  launch("a file as directory", task({ directory: "README.md" }), "no-directory", "README.md"),
  launch("an empty directory", task({ directory: "" }), "empty-field", "tasks[0].directory"),
  launch("NUL in the directory", task({ directory: "src\0" }), "bad-characters", "tasks[0].directory"),
  launch("shell as directory", task({ directory: "$(touch pwned)" }), "no-directory", "$(touch pwned)"),
  launch("very deep nesting", task({ title: nested(2_000) }), "bad-arguments", ""),

  status("an unknown key", { task: "done" }, "bad-arguments", "task"),
  status("no names", { tasks: [] }, "empty-batch", "tasks"),
  status("a text as tasks", { tasks: "done" }, "bad-arguments", "tasks"),
  status("a number as name", { tasks: [1] }, "bad-arguments", "tasks[0]"),
  status("a text as all", { all: "yes" }, "bad-arguments", "all"),
  status("an unknown name", { tasks: ["done", "nothing"] }, "no-such-task", "nothing"),
  status("a task of another project", { tasks: [foreign] }, "no-such-task", foreign),
  status("SQL as name", { tasks: ["' OR 1=1 --"] }, "no-such-task", "' OR 1=1 --"),
  status("SQL in an id", { tasks: ["tsk_' OR 1=1 --"] }, "no-such-task", "tsk_"),
  status("an escape sequence as name", { tasks: ["\u001b[2J"] }, "no-such-task", "\\u{1b}[2J"),
  status("an empty name", { tasks: [""] }, "no-such-task", ""),
  wait("an unknown name", { tasks: ["nothing"] }, "no-such-task", "nothing"),
  wait("no names", { tasks: [] }, "empty-batch", "tasks"),
  wait("an unknown mode", { tasks: ["done"], mode: "some" }, "bad-arguments", "mode"),
  wait("timeout 0", { tasks: ["done"], timeout: 0 }, "bad-timeout", "timeout"),
  wait("a negative timeout", { tasks: ["done"], timeout: -5 }, "bad-arguments", "timeout"),
  wait("a task of another project", { tasks: [foreign] }, "no-such-task", foreign),
  result("no task", {}, "bad-arguments", "task"),
  result("a list as task", { task: ["done"] }, "bad-arguments", "task"),
  result("an unknown name", { task: "nothing" }, "no-such-task", "nothing"),
  result("a malformed id", { task: "tsk_123" }, "no-such-task", "tsk_123"),
  result("an id in capitals", { task: foreign.toUpperCase() }, "no-such-task", foreign.toUpperCase()),
  result("a task of another project", { task: foreign }, "no-such-task", foreign),
  result("a task that runs", { task: "hangs" }, "not-ended", "running"),
  result("a task that waits", { task: "waits" }, "not-ended", "pending"),
  result("a negative offset", { task: "done", offset: -1 }, "bad-arguments", "offset"),
  result("an offset beyond the end", { task: "done", offset: 1_000_000 }, "bad-arguments", "offset"),
  send("no message", { task: "done" }, "bad-arguments", "message"),
  send("an empty message", { task: "done", message: "" }, "empty-field", "message"),
  send("NUL in the message", { task: "done", message: "a\0" }, "bad-characters", "message"),
  send("an unknown name", { task: "nothing", message: "hello" }, "no-such-task", "nothing"),
  send("a task of another project", { task: foreign, message: "hello" }, "no-such-task", foreign),
  send("a task that has not begun", { task: "waits", message: "hello" }, "no-session", "tsk_"),
  cancel("no tasks field", {}, "bad-arguments", "tasks"),
  cancel("no names", { tasks: [] }, "empty-batch", "tasks"),
  cancel("an unknown name beside a good one", { tasks: ["hangs", "nothing"] }, "no-such-task", "nothing"),
  cancel("an ended task beside an open one", { tasks: ["hangs", "done"] }, "not-open", "complete"),
  cancel("a task of another project", { tasks: [foreign] }, "no-such-task", foreign),
  cancel("an unknown key", { tasks: ["hangs"], force: true }, "bad-arguments", "force"),
  extend("no seconds field", { task: "hangs" }, "bad-arguments", "seconds"),
  extend("seconds below 0", { task: "hangs", seconds: -1 }, "bad-arguments", "seconds"),
  extend("no second", { task: "hangs", seconds: 0 }, "bad-timeout", "`seconds` is 0"),
  extend("more than a day", { task: "hangs", seconds: 86_400 }, "bad-timeout", "86400"),
  extend("an ended task", { task: "done", seconds: 60 }, "not-open", "complete"),
  extend("an unknown task", { task: "nothing", seconds: 60 }, "no-such-task", "nothing"),
  extend("a task of another project", { task: foreign, seconds: 60 }, "no-such-task", foreign),
  extend("an unknown key", { task: "hangs", seconds: 60, force: true }, "bad-arguments", "force"),
  retry("no names", { tasks: [] }, "empty-batch", "tasks"),
  retry("an unknown name beside a failed one", { tasks: ["broken", "nothing"] }, "no-such-task", "nothing"),
  retry("a complete task", { tasks: ["done"] }, "not-retryable", "complete"),
  retry("a running task beside a failed one", { tasks: ["broken", "hangs"] }, "not-retryable", "running"),
  retry("a task of another project", { tasks: [foreign] }, "no-such-task", foreign),
];

/** Too large to stand among the others: the host stores and shows each call many times. @type {BadCall[]} */
export const immenseCalls = [
  send("a message too long", { task: "nothing", message: "m".repeat(MOST + 1) }, "text-too-long", "message"),
  launch("a prompt too long in bytes only", task({ prompt: "é".repeat(MOST / 2 + 1) }), "text-too-long", "[0].prompt"),
  launch("a prompt one byte too long", task({ prompt: "p".repeat(MOST + 1) }), "text-too-long", "tasks[0].prompt"),
  launch("a prompt of 10 MB", task({ prompt: "p".repeat(10 * 1024 * 1024) }), "text-too-long", "tasks[0].prompt"),
];

/** Calls that the host itself refuses before they reach us. @type {{name: string, args: any}[]} */
export const hostsCalls = [
  '{"__proto__":{"tasks":[]}}',
  '{"tasks":[{"__proto__":{"title":"x"}}]}',
  '{"tasks":[{"constructor":{"prototype":{"title":"x"}}}]}',
].map((json) => ({ name: "sortie_launch", args: parsed(json) }));

/** Calls of a session that has launched nothing. @type {BadCall[]} */
export const strangersCalls = [
  wait("nothing to wait for", {}, "nothing-to-wait", "no task of this session"),
  wait("a key of another session", { tasks: ["done"] }, "no-such-task", "done"),
  result("a key of another session", { task: "done" }, "no-such-task", "done"),
  launch("a dependency of another session", task({ depends_on: ["done"] }), "unknown-dependency", "done"),
];

/** Calls of a session that stands as deep as tasks may. @type {BadCall[]} */
export const deepCalls = [
  launch("a launch beyond the depth", task({}), "too-deep", "depth 1"),
  send("a follow-up beyond the depth", { task: "{done}", message: "go on" }, "too-deep", "depth 1"),
  retry("a retry beyond the depth", { tasks: ["{broken}"] }, "too-deep", "depth 1"),
];

/** @param {number} depth @returns {unknown} */
function nested(depth) {
  return parsed("[".repeat(depth) + "]".repeat(depth));
}
