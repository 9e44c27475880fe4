// @ts-check
/**
 * OpenCode's terminal interface in a tmux of its own: a fixed window, keys in,
 * screen out. The socket lives in the sandbox, so no other tmux is touched.
 * @module
 */
import { execFile } from "node:child_process";
import { join } from "node:path";
import { promisify } from "node:util";
import { opencodeBinary } from "./opencode-binary.mjs";
import { alive } from "./proc.mjs";
import { until } from "./wait.mjs";

const exec = promisify(execFile);
let started = 0;

/**
 * @typedef {object} Terminal
 * @property {number} pid Of the program in the window.
 * @property {(...keys: string[]) => Promise<void>} send Presses keys by tmux name: `Enter`, `Escape`, `C-c`, `Down`.
 * @property {(text: string) => Promise<void>} type Types text, as it is.
 * @property {(options?: {colours?: boolean}) => Promise<string>} screen What is shown now; with `colours`, escape codes too.
 * @property {(pattern: RegExp, timeoutMs?: number) => Promise<string>} waitForText The screen, once it matches.
 * @property {() => Promise<void>} kill9 SIGKILL to the program and its children: the crash. The window stays.
 * @property {() => Promise<void>} close Ends the program and its tmux.
 */

/**
 * Starts the interface (or another program of the sandbox) in tmux.
 *
 * @param {import("./sandbox.mjs").Sandbox} sandbox
 * @param {{command?: string[], args?: string[], cwd?: string, env?: Record<string, string | undefined>, columns?: number, rows?: number}} [options]
 *   `command` replaces the OpenCode executable, `args` are added to it.
 * @returns {Promise<Terminal>}
 */
export async function startTui(sandbox, options = {}) {
  const { command = [opencodeBinary()], args = [], cwd = sandbox.project, columns = 120, rows = 40 } = options;
  const env = sandbox.env({ PWD: cwd, COLORTERM: "truecolor", ...options.env });
  const socket = join(sandbox.root, `tmux-${++started}`);
  const tmux = async (/** @type {string[]} */ ...words) => {
    const { stdout } = await exec("tmux", ["-S", socket, "-f", "/dev/null", ...words], { env, cwd });
    return stdout;
  };
  const size = ["-x", String(columns), "-y", String(rows)];
  // The window stays after the program's end, so that its last screen can be read.
  const settings = ["set", "-g", "remain-on-exit", "on", ";", "set", "-g", "status", "off", ";"];
  // tmux runs a lone word by `sh -c`; with `env` in front the process of the window is the program itself.
  const program = ["env", ...command, ...args];
  await tmux("start-server", ";", ...settings, "new-session", "-d", ...size, ...program);
  const pid = Number(await tmux("display-message", "-p", "#{pane_pid}"));

  const close = async () => {
    // SIGTERM first: OpenCode then runs its clean-up (five seconds at most for each side), which a lost terminal does not.
    signal(pid, "SIGTERM");
    await until(() => !alive(pid), { timeoutMs: 12_000, what: "the TUI to end" }).catch(() => signal(-pid, "SIGKILL"));
    await tmux("kill-server").catch(() => {});
  };
  sandbox.defer(close);

  const screen = ({ colours = false } = {}) => tmux("capture-pane", "-p", ...(colours ? ["-e"] : []));
  return {
    pid,
    screen,
    close,
    async kill9() {
      signal(-pid, "SIGKILL");
      await until(() => !alive(pid), { timeoutMs: 5_000, what: "the TUI to die" });
    },
    send: async (...keys) => void (await tmux("send-keys", ...keys)),
    type: async (text) => void (await tmux("send-keys", "-l", text)),
    async waitForText(pattern, timeoutMs = 30_000) {
      let shown = "";
      return until(
        async () => {
          shown = await screen();
          return shown.search(pattern) >= 0 ? shown : undefined;
        },
        { timeoutMs, everyMs: 50, what: () => `${pattern} on the screen, which shows:\n${shown.trimEnd()}\n` },
      );
    },
  };
}

/** @param {number} pid Negative for the group. @param {NodeJS.Signals} name */
function signal(pid, name) {
  try {
    process.kill(pid, name);
  } catch {
    // It is gone.
  }
}
