// @ts-check
/**
 * What a person may say on the command line of the demo.
 * @module
 */
import { parseArgs } from "node:util";

export const HELP = `npm run demo [-- options]

Installs and builds what is missing, then lets a real OpenCode work in a temporary project with this plugin: one /task
mission of six agents, a failure that is tried again, and a kill -9 of the server in the middle. Nothing stays behind.

  --model provider/name  your own OpenCode configuration and this model, instead of the played one. The prompts are
                         short and harmless; they cost what your provider takes for seven short conversations
  --tui                  opens the mission in OpenCode's terminal interface, without the kill. Needs a terminal
  --help                 shows this

NO_COLOR=1 leaves the colours out, FORCE_COLOR=1 keeps them when the output is no terminal.
The exit code is 0 if all went as expected, 1 if not, 2 for a wrong option, 130 after Ctrl+C.
`;

/**
 * @typedef {object} DemoOptions
 * @property {string} [model] `provider/name` of the user's own; absent: the played one.
 * @property {boolean} tui
 * @property {boolean} help
 */

/**
 * @param {string[]} args
 * @returns {DemoOptions}
 * @throws {Error} that says which option is wrong, and what there is.
 */
export function readOptions(args) {
  const { values } = parseArgs({
    args,
    options: { model: { type: "string" }, tui: { type: "boolean" }, help: { type: "boolean" } },
  });
  if (values.model !== undefined && !/^[^/\s]+\/\S+$/.test(values.model)) {
    throw new Error(`--model is ${JSON.stringify(values.model)}; it has the form provider/name`);
  }
  const { tui = false, help = false } = values;
  if (tui && !(process.stdin.isTTY && process.stdout.isTTY)) throw new Error("--tui needs a terminal");
  return { ...(values.model !== undefined && { model: values.model }), tui, help };
}
