// @ts-check
/**
 * What Sortie adds to model requests, in bytes: its tools, the agents' instructions, the memory in the system prompt,
 * and the messages that it wrote.
 * @module
 */
import { textOf } from "../../testkit/model-script.mjs";

/** @typedef {import("../../testkit/model-server.mjs").ModelRequest} ModelRequest */

/** @typedef {{tools: number, instructions: number, memory: number, messages: number}} Cost */

/** Where the host's own part of the first system message begins. */
const HOST_PART = "\nYou are powered by the model named";

/** @param {string} text */
const bytes = (text) => Buffer.byteLength(text);

/**
 * What one request holds of ours.
 *
 * @param {ModelRequest} request
 * @returns {Cost}
 */
export function costOf(request) {
  const { messages, tools = [] } = request.body;
  const ours = tools.filter(({ function: { name } }) => name.startsWith("sortie_"));
  const [first = "", ...others] = messages.filter(({ role }) => role === "system").map(textOf);
  const at = first.indexOf(HOST_PART);
  const written = messages.filter(({ role }) => role === "user").map(textOf);
  return {
    tools: ours.length > 0 ? bytes(JSON.stringify(ours)) : 0,
    instructions: at < 0 ? 0 : bytes(first.slice(0, at)),
    memory: others.filter((text) => text.includes("<sortie-memory>")).reduce((sum, text) => sum + bytes(text), 0),
    messages: written.filter((text) => /^<sortie-/.test(text)).reduce((sum, text) => sum + bytes(text), 0),
  };
}

/** @param {Cost[]} costs @returns {Cost & {total: number}} */
export function sumOf(costs) {
  const sum = { tools: 0, instructions: 0, memory: 0, messages: 0, total: 0 };
  for (const cost of costs) {
    for (const part of /** @type {const} */ (["tools", "instructions", "memory", "messages"])) {
      sum[part] += cost[part];
      sum.total += cost[part];
    }
  }
  return sum;
}

/**
 * The bytes of instructions in a session's requests if each message of ours repeated them, as a text of a user stays in
 * the conversation and is sent again with every later request.
 *
 * @param {ModelRequest[]} requests
 * @returns {number}
 */
export function repeatedInstructions(requests) {
  return requests.reduce((sum, request) => {
    const { instructions, memory } = costOf(request);
    const prompts = request.body.messages.filter(({ role }) => role === "user").length;
    return sum + prompts * (instructions + memory);
  }, 0);
}
