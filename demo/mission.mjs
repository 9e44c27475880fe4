// @ts-check
/**
 * The mission of the demo: what is asked, which tasks it becomes, and how the played model answers.
 * @module
 */

/** @typedef {import("../testkit/model-server.mjs").ModelRequest} ModelRequest */
/** @typedef {import("../testkit/model-script.mjs").Step} Step */

/**
 * @typedef {object} MissionTask
 * @property {string} key
 * @property {string} title
 * @property {string} agent
 * @property {string} prompt
 * @property {string[]} [depends_on]
 */

/**
 * @typedef {object} Mission
 * @property {string} request What follows `/task`.
 * @property {MissionTask[]} tasks
 * @property {string} last Key of the task that waits for others and gets their results.
 * @property {string} [flaky] Key of the task whose first attempt fails.
 * @property {((request: ModelRequest) => Step | undefined)} [answer] The played model.
 * @property {boolean} held While it is set, the slow ones of the played agents go on writing: the kill finds them at work.
 */

/** Answers of the played agents: text, and how long they write, ms. @type {Record<string, {says: string, ms: number}>} */
const PLAYED = {
  api: { says: "The API has 12 public functions; all are documented, none has changed.", ms: 1_600 },
  docs: { says: "The guide is current. One link was dead and is mended.", ms: 2_200 },
  deps: { says: "No dependency is outdated; the licences are MIT and Apache-2.0.", ms: 3_600 },
  tests: { says: "All 214 tests pass; the slowest takes 0.8 s.", ms: 4_200 },
  security: { says: "No input reaches a shell or a query unescaped.", ms: 3_000 },
  notes: { says: "Release notes: nothing breaks, one link mended, 214 tests green.", ms: 1_200 },
};

const CHUNKS = 12;
/** Who has ended before the kill; the others are held for it. */
const QUICK = ["api", "docs"];
/** How much slower those are that are held. */
const HELD = 30;

/** @returns {Mission} */
export function playedMission() {
  const read = (/** @type {string} */ key, /** @type {string} */ title, /** @type {string} */ prompt) => ({
    key,
    title,
    agent: "general",
    prompt: `${title}. ${prompt}`,
  });
  const tasks = [
    read("api", "Read the public API", "Report what changed since the last release."),
    read("docs", "Check the guide", "Report what is out of date."),
    read("deps", "Check the dependencies", "Report what is outdated, and the licences."),
    read("tests", "Run the tests", "Report failures and the slowest test."),
    read("security", "Look for injections", "Report inputs that reach a shell or a query."),
  ];
  const notes = {
    ...read("notes", "Write the release notes", ""),
    depends_on: tasks.map(({ key }) => key),
    prompt: `Write the release notes. What the others found:\n${tasks.map(({ key }) => `- {{result:${key}}}`).join("\n")}`,
  };
  const all = [...tasks, notes];
  let silences = 1;
  /** @type {Mission} */
  const mission = {
    held: false,
    request: "Check this project before its release: API, guide, dependencies, tests, security. Then write the notes.",
    tasks: all,
    last: "notes",
    flaky: "security",
    answer(request) {
      if (request.tools.includes("sortie_launch")) return commander(request, all);
      const task = all.find(({ title }) => request.lastUser.startsWith(title));
      const played = task && PLAYED[task.key];
      if (!played) return undefined;
      // An agent that ends without a word: the host calls that success. Sortie does not.
      if (task.key === "security" && silences-- > 0) return { say: "", delay: 700 };
      const slower = mission.held && !QUICK.includes(task.key) ? HELD : 1;
      return { stream: { text: played.says, chunks: CHUNKS, every: Math.round((played.ms * slower) / CHUNKS) } };
    },
  };
  return mission;
}

/** What the demo's own result is recognised by. @param {string} key */
export function playedResult(key) {
  return PLAYED[key]?.says ?? "";
}

/** @param {ModelRequest} request @param {MissionTask[]} tasks @returns {Step} */
function commander(request, tasks) {
  const launched = request.body.messages.some(({ tool_calls }) =>
    JSON.stringify(tool_calls ?? "").includes("sortie_launch"),
  );
  if (!launched) return { say: "Five agents look, a sixth writes.", tool: "sortie_launch", args: { tasks } };
  if (!request.lastUser.includes("<sortie-report>")) return { say: "They are out. I am told of every end." };
  if (!request.lastUser.includes("No task of this session is open")) return { say: "Noted. I wait for the others." };
  return { say: "All six are back: the project can be released." };
}

/** The same shape for a model that is not played: short questions, no tools, no cost to speak of. @returns {Mission} */
export function realMission() {
  const ask = (/** @type {string} */ key, /** @type {string} */ title) => ({
    key,
    title,
    agent: "general",
    prompt: `${title} Answer in about 150 words, from memory, without using any tool.`,
  });
  const tasks = [
    ask("mutex", "What is a mutex?"),
    ask("semaphore", "What is a semaphore?"),
    ask("channel", "What is a channel between threads?"),
    ask("atomic", "What is an atomic operation?"),
    ask("barrier", "What is a barrier between threads?"),
  ];
  const summary = {
    ...ask("summary", "Summarise the answers below in one sentence."),
    depends_on: tasks.map(({ key }) => key),
    prompt: `Summarise these answers in one sentence, without using any tool.\n${tasks.map(({ key }) => `- {{result:${key}}}`).join("\n")}`,
  };
  const all = [...tasks, summary];
  return {
    request:
      "Call sortie_launch once, with exactly these arguments, before anything else. Use no other tool. " +
      `When all tasks have ended, answer in one sentence.\n${JSON.stringify({ tasks: all })}`,
    tasks: all,
    last: "summary",
    held: false,
  };
}
