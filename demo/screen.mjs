// @ts-check
/**
 * What the demo shows: lines of what happens, with the elapsed time, and a table that is drawn again in place on a
 * terminal. Without a terminal each change of a task is a line.
 * @module
 */

/**
 * A task as `sortie_status {json: true}` tells it.
 *
 * @typedef {object} TaskView
 * @property {string} id
 * @property {string | null} key
 * @property {string} title
 * @property {"pending" | "running" | "paused" | "complete" | "failed" | "cancelled"} state
 * @property {string | null} detail
 * @property {number} attempt
 * @property {number} interruptions
 * @property {string | null} session
 * @property {string} parentSession
 * @property {number | null} endedAt Milliseconds since the epoch.
 * @property {number} ms
 * @property {Record<string, number>} tokens
 * @property {string | null} result
 */

/** SGR codes of the colours. */
const CODES = { bold: 1, dim: 2, red: 31, green: 32, yellow: 33, blue: 34, cyan: 36 };
/** @type {Record<TaskView["state"], keyof typeof CODES>} */
const STATE_COLOURS = {
  pending: "dim",
  running: "cyan",
  paused: "yellow",
  complete: "green",
  failed: "red",
  cancelled: "yellow",
};

export class Screen {
  #out;
  #colours;
  #live;
  #start = performance.now();
  #drawn = 0;
  /** @type {Map<string, string>} */
  #shown = new Map();

  /** @param {NodeJS.WriteStream} [out] @param {NodeJS.ProcessEnv} [env] */
  constructor(out = process.stdout, env = process.env) {
    this.#out = out;
    this.#live = out.isTTY === true && env.TERM !== "dumb";
    const forced = env.FORCE_COLOR !== undefined && env.FORCE_COLOR !== "0";
    this.#colours = !env.NO_COLOR && (this.#live || forced);
  }

  /** @param {keyof typeof CODES} name @param {string} text */
  paint(name, text) {
    return this.#colours ? `\u001b[${CODES[name]}m${text}\u001b[0m` : text;
  }

  /** A line of what happens, with the time since the start. @param {string} text @param {keyof typeof CODES} [colour] */
  say(text, colour) {
    const time = `${((performance.now() - this.#start) / 1000).toFixed(1)}s`.padStart(6);
    this.#erase();
    this.#out.write(`${this.paint("dim", time)}  ${colour ? this.paint(colour, text) : text}\n`);
  }

  /** Plain lines, without the time. @param {string} text */
  print(text) {
    this.#erase();
    this.#out.write(`${text}\n`);
  }

  /** Shows how the tasks stand. @param {TaskView[]} tasks */
  progress(tasks) {
    if (this.#live) {
      this.#erase();
      const lines = this.table(tasks);
      // A table higher than the window cannot be drawn again in place.
      if (lines.length >= (this.#out.rows ?? 24)) return;
      this.#out.write(`${lines.join("\n")}\n`);
      this.#drawn = lines.length;
      return;
    }
    for (const task of tasks) {
      const now = this.#words(task);
      if (this.#shown.get(task.id) === now) continue;
      this.#shown.set(task.id, now);
      this.say(`${(task.key ?? task.id).padEnd(9)} ${this.paint(STATE_COLOURS[task.state], now)}`);
    }
  }

  /** @param {TaskView} task */
  #words(task) {
    const attempt = task.attempt > 1 ? `, attempt ${task.attempt}` : "";
    const resumed = task.interruptions > 0 ? ", resumed" : "";
    const detail = task.detail && task.state !== "complete" ? ` · ${short(task.detail)}` : "";
    return `${task.state}${attempt}${resumed}${detail}`;
  }

  /** The table of tasks, a line each. @param {TaskView[]} tasks @returns {string[]} */
  table(tasks) {
    const head = ["task", "state", "attempts", "resumed", "time", "tokens", "session"];
    const rows = tasks.map((task) => [
      task.key ?? task.title,
      task.state,
      String(task.attempt),
      task.interruptions > 0 ? `${task.interruptions}×` : "-",
      `${(task.ms / 1000).toFixed(1)} s`,
      String(tokens(task) || "-"),
      task.session ?? "-",
    ]);
    const widths = head.map((name, at) => Math.max(name.length, ...rows.map((row) => row[at]?.length ?? 0)));
    const line = (/** @type {string[]} */ cells) =>
      cells.map((cell, at) => (at >= 2 && at <= 5 ? cell.padStart(widths[at] ?? 0) : cell.padEnd(widths[at] ?? 0)));
    const body = rows.map((row, at) => {
      const cells = line(row);
      const state = tasks[at]?.state ?? "pending";
      cells[1] = this.paint(STATE_COLOURS[state], cells[1] ?? "");
      return `  ${cells.join("  ").trimEnd()}`;
    });
    return [`  ${this.paint("bold", line(head).join("  ").trimEnd())}`, ...body];
  }

  #erase() {
    if (this.#drawn > 0) this.#out.write(`\u001b[${this.#drawn}A\u001b[0J`);
    this.#drawn = 0;
  }
}

/** @param {TaskView} task */
function tokens(task) {
  return Object.values(task.tokens).reduce((sum, number) => sum + number, 0);
}

/** @param {string} text */
function short(text) {
  return text.length > 70 ? `${text.slice(0, 69)}…` : text;
}
