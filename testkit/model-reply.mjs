// @ts-check
/**
 * Writes one {@link Step} as an OpenAI chat completion, streamed or whole.
 * Every timer belongs to the response and dies with its socket.
 * @module
 */

/** @typedef {import("./model-script.mjs").Step} Step */
/** @typedef {import("node:http").ServerResponse} Response */

/**
 * @typedef {object} ReplyContext
 * @property {string} id Id of the completion, unique in the server.
 * @property {string} model
 * @property {boolean} streaming
 * @property {number} bodyBytes For the estimate of prompt tokens.
 */

/**
 * Answers. Resolves when the answer is written, or its socket is gone.
 *
 * @param {Response} res
 * @param {Step} step
 * @param {ReplyContext} context
 */
export async function reply(res, step, context) {
  if (step.delay && !(await pause(res, step.delay))) return;
  if (step.hang) return closed(res);
  if (step.status !== undefined) return sendError(res, step);
  if (step.raw !== undefined) {
    res.writeHead(200, { "content-type": "text/event-stream" });
    return void res.end(step.raw);
  }
  if (context.streaming) return stream(res, step, context);
  if (step.cut) return void res.destroy();
  const text = step.stream?.text ?? step.say ?? "";
  const calls = toolCalls(step, context.id);
  const message = { role: "assistant", content: text || null, ...(calls.length > 0 && { tool_calls: calls }) };
  sendJson(res, 200, {
    ...head(context, "chat.completion"),
    choices: [{ index: 0, message, finish_reason: finishOf(step) }],
    usage: usageOf(step, context),
  });
}

/**
 * @param {Response} res
 * @param {number} status
 * @param {unknown} body
 * @param {Record<string, string>} [headers]
 */
export function sendJson(res, status, body, headers = {}) {
  res.writeHead(status, { "content-type": "application/json", ...headers });
  res.end(JSON.stringify(body));
}

/** @param {Response} res @param {Step} step */
function sendError(res, step) {
  const status = step.status ?? 500;
  const body = step.body ?? {
    error: { message: step.say ?? `scripted ${status}`, type: "scripted", code: String(status) },
  };
  sendJson(res, status, body, step.headers);
}

/** @param {Response} res @param {Step} step @param {ReplyContext} context */
async function stream(res, step, context) {
  res.writeHead(200, { "content-type": "text/event-stream", "cache-control": "no-cache" });
  const base = head(context, "chat.completion.chunk");
  /** @param {object} delta @param {string | null} [finish] */
  const send = (delta, finish = null) => {
    res.write(`data: ${JSON.stringify({ ...base, choices: [{ index: 0, delta, finish_reason: finish }] })}\n\n`);
  };
  send({ role: "assistant", content: "" });
  if (step.reasoning) send({ reasoning_content: step.reasoning });
  const { text, chunks, every } = step.stream ?? { text: step.say ?? "", chunks: 1, every: 0 };
  for (const [at, piece] of split(text, chunks).entries()) {
    if (at > 0 && every > 0 && !(await pause(res, every))) return;
    send({ content: piece });
  }
  // A short pause lets the partial text reach the client before the reset.
  if (step.cut) return void ((await pause(res, 50)) && res.destroy());
  for (const [index, call] of toolCalls(step, context.id).entries()) send({ tool_calls: [{ index, ...call }] });
  send({}, finishOf(step));
  res.write(`data: ${JSON.stringify({ ...base, choices: [], usage: usageOf(step, context) })}\n\n`);
  res.end("data: [DONE]\n\n");
}

/** @param {Step} step @param {string} id */
function toolCalls(step, id) {
  const calls = step.tools ?? (step.tool ? [{ name: step.tool, args: step.args }] : []);
  return calls.map(({ name, args }, at) => ({
    id: `call_${id}_${at}`,
    type: "function",
    function: { name, arguments: JSON.stringify(args ?? {}) },
  }));
}

/** @param {Step} step */
function finishOf(step) {
  return step.finish ?? (step.tool || step.tools ? "tool_calls" : "stop");
}

/** Four bytes a token: an estimate that grows with the prompt. @param {Step} step @param {ReplyContext} context */
function usageOf(step, context) {
  const said = (step.stream?.text ?? step.say ?? "").length + JSON.stringify(step.args ?? step.tools ?? "").length;
  const prompt_tokens = step.usage?.prompt_tokens ?? Math.ceil(context.bodyBytes / 4);
  const completion_tokens = step.usage?.completion_tokens ?? Math.ceil(said / 4);
  return { prompt_tokens, completion_tokens, total_tokens: prompt_tokens + completion_tokens };
}

/** @param {ReplyContext} context @param {string} object */
function head(context, object) {
  return { id: context.id, object, created: Math.floor(Date.now() / 1000), model: context.model };
}

/** @param {string} text @param {number} chunks */
function split(text, chunks) {
  const size = Math.max(1, Math.ceil(text.length / Math.max(1, chunks)));
  const pieces = [];
  for (let at = 0; at < text.length; at += size) pieces.push(text.slice(at, at + size));
  return pieces;
}

/** Waits; false when the socket went first. @param {Response} res @param {number} ms @returns {Promise<boolean>} */
function pause(res, ms) {
  return new Promise((resolve) => {
    if (res.destroyed) return resolve(false);
    const gone = () => {
      clearTimeout(timer);
      resolve(false);
    };
    const timer = setTimeout(() => {
      res.off("close", gone);
      resolve(true);
    }, ms);
    res.once("close", gone);
  });
}

/** @param {Response} res @returns {Promise<void>} */
function closed(res) {
  return new Promise((resolve) => (res.destroyed ? resolve() : res.once("close", () => resolve())));
}
