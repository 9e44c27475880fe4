// @ts-check
/**
 * The language of scripted models: what a prompt may contain, and which step
 * answers a request.
 *
 * A user message carries a script as a line `SCRIPT: [ …steps… ]` or as a fence
 * ```` ```script ````. The last message with a script is in force. A step that
 * answers is chosen by *counting the assistant messages after that message*, so
 * it stays right when the host or the model server restarts. A step that fails
 * (`status`, `cut`, `hang`, `raw`) leaves no assistant message; those are counted in
 * memory, per conversation, and one at the end of a script repeats for ever.
 * @module
 */

/**
 * @typedef {object} ToolStep
 * @property {string} name
 * @property {Record<string, unknown>} [args]
 */

/**
 * One answer. Exactly one of `say`, `tool`, `tools`, `stream`, `status`, `hang`,
 * `raw` and `cut` decides its kind (`say` may go with `tool`, `tools`, `cut`).
 *
 * @typedef {object} Step
 * @property {string} [say] Text of the answer.
 * @property {string} [reasoning] Reasoning text before it.
 * @property {string} [tool] Name of a tool to call, with `args`.
 * @property {Record<string, unknown>} [args]
 * @property {ToolStep[]} [tools] Several calls in one answer.
 * @property {{text: string, chunks: number, every: number}} [stream] Slow text: `chunks` pieces, one each `every` ms.
 * @property {number} [status] Answer with this HTTP error.
 * @property {Record<string, string>} [headers] Headers of the error.
 * @property {unknown} [body] Body of the error; default an OpenAI error object.
 * @property {boolean} [hang] Never answer.
 * @property {string} [raw] This as the event stream, whatever it is.
 * @property {boolean} [cut] Start to stream `say`, then destroy the socket.
 * @property {number} [times] How often a failing step is given. Default 1.
 * @property {number} [delay] Wait before answering, ms.
 * @property {string} [finish] Finish reason instead of `stop` or `tool_calls`, such as `length`.
 * @property {{prompt_tokens?: number, completion_tokens?: number}} [usage] Token counts instead of estimates.
 */

/** @typedef {{role: string, content?: unknown, tool_calls?: unknown}} ChatMessage */

/** @typedef {{index: number, steps: Step[]}} Script `index` is the place of its message in the conversation. */

/**
 * The text of a chat message, whatever form its content has.
 *
 * @param {ChatMessage | undefined} message
 * @returns {string}
 */
export function textOf(message) {
  const content = message?.content;
  if (typeof content === "string") return content;
  if (!Array.isArray(content)) return "";
  return content.map((part) => (typeof part?.text === "string" ? part.text : "")).join("\n");
}

/**
 * The script in force: that of the last user message which carries one.
 *
 * @param {ChatMessage[]} messages
 * @returns {Script | undefined}
 */
export function findScript(messages) {
  for (let index = messages.length - 1; index >= 0; index--) {
    const message = messages[index];
    const steps = message?.role === "user" ? parseScript(textOf(message)) : undefined;
    if (steps) return { index, steps };
  }
  return undefined;
}

/**
 * Reads the steps out of a prompt.
 *
 * @param {string} text
 * @returns {Step[] | undefined} Nothing when the prompt has no script.
 * @throws {Error} when it has one that is not a JSON array.
 */
export function parseScript(text) {
  const marker = /(?:^|\n)[ \t"'>]*(?:SCRIPT:|```script)\s*(?=\[)/.exec(text);
  if (!marker) return undefined;
  const source = text.slice(marker.index + marker[0].length);
  // `opencode run` quotes an argument with spaces and escapes the quotes in it.
  for (const candidate of [source, source.replaceAll('\\"', '"')]) {
    const json = bracketed(candidate);
    if (json === undefined) continue;
    try {
      return JSON.parse(json);
    } catch {
      // Try the unescaped form.
    }
  }
  throw new Error(`the SCRIPT of this prompt is not a JSON array: ${source.slice(0, 200)}`);
}

/**
 * The step that answers.
 *
 * @param {Step[]} steps
 * @param {number} answered Assistant messages since the script.
 * @param {(step: number) => number} failed How often the failing step at this place was given already.
 * @returns {{step: Step, place: number} | undefined} Nothing when the script is used up.
 */
export function chooseStep(steps, answered, failed) {
  let passed = 0;
  for (const [place, step] of steps.entries()) {
    if (isFailure(step)) {
      const last = place === steps.length - 1;
      if (passed === answered && (last || failed(place) < (step.times ?? 1))) return { step, place };
    } else if (passed++ === answered) {
      return { step, place };
    }
  }
  return undefined;
}

/**
 * Whether a step leaves no assistant message behind.
 *
 * @param {Step} step
 * @returns {boolean}
 */
export function isFailure(step) {
  return step.status !== undefined || step.hang === true || step.cut === true || step.raw !== undefined;
}

/** The first balanced `[…]`, strings respected. @param {string} text */
function bracketed(text) {
  let depth = 0;
  let quoted = false;
  for (let at = 0; at < text.length; at++) {
    const char = text[at];
    if (quoted) {
      if (char === "\\") at++;
      else if (char === '"') quoted = false;
    } else if (char === '"') quoted = true;
    else if (char === "[") depth++;
    else if (char === "]" && --depth === 0) return text.slice(0, at + 1);
  }
  return undefined;
}
