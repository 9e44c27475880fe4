// @ts-check
/**
 * The hosts that are compared: OpenCode alone, with an empty plugin, and with Sortie. The model is a process of its
 * own, so that its work is nobody's.
 * @module
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, writeFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { serve } from "../../testkit/opencode.mjs";
import { createSandbox } from "../../testkit/sandbox.mjs";

export const ROOT = resolve(dirname(fileURLToPath(import.meta.url)), "../..");

/** @typedef {"alone" | "empty" | "sortie"} Kind */
/** @typedef {import("../../testkit/opencode.mjs").Server} Server */
/** @typedef {import("../../testkit/sandbox.mjs").Sandbox} Sandbox */
/** @typedef {{quick: boolean, say: (text: string) => void, defer: (cleanup: () => unknown) => void}} Bench */
/** @typedef {(bench: Bench) => Promise<import("./stats.mjs").Row[]>} Group */

/** @param {Bench} bench @returns {Promise<string>} Its URL. */
export async function startModel(bench) {
  const main = join(ROOT, "testkit/model-server-main.mjs");
  const child = spawn(process.execPath, [main], { stdio: ["pipe", "pipe", "inherit"] });
  bench.defer(async () => {
    child.stdin.end();
    if (child.exitCode === null && child.signalCode === null) await once(child, "exit");
  });
  const [line] = await once(child.stdout.setEncoding("utf8"), "data");
  return JSON.parse(line).url;
}

/**
 * A sandbox for one kind of host.
 *
 * @param {Bench} bench
 * @param {Kind} kind
 * @param {string} model
 * @returns {Sandbox}
 */
export function sandboxOf(bench, kind, model) {
  const empty = "empty-plugin";
  // Fifty at once: the default of ten an agent would be measured instead.
  const sortie = /** @type {[string, Record<string, unknown>]} */ ([ROOT, { limits: { default: 64 } }]);
  const sandbox = createSandbox({ model, ...(kind === "sortie" && { plugin: sortie }) });
  bench.defer(() => sandbox.remove());
  if (kind === "empty") {
    const dir = join(sandbox.root, empty);
    mkdirSync(dir);
    writeFileSync(join(dir, "index.js"), `export default { id: "${empty}", server: async () => ({}) };\n`);
    writeFileSync(join(dir, "package.json"), JSON.stringify({ name: empty, type: "module", main: "index.js" }));
    sandbox.project = sandbox.addProject("other", { config: { plugin: [dir] } });
  }
  return sandbox;
}

/** @param {Bench} bench @param {Kind} kind @param {string} model */
export async function startHost(bench, kind, model) {
  const sandbox = sandboxOf(bench, kind, model);
  return { sandbox, server: await serve(sandbox) };
}

/**
 * @param {Server} server
 * @param {Record<string, unknown>} body
 * @returns {Promise<string>}
 */
export async function newSession(server, body) {
  const { status, body: session } = await server.request("POST", "/session", { body });
  if (status !== 200) throw new Error(`no session: ${status} ${JSON.stringify(session)}`);
  return session.id;
}

/** @param {Server} server @param {string} session @param {string} text @param {Record<string, unknown>} [more] */
export async function prompt(server, session, text, more = {}) {
  const body = { parts: [{ type: "text", text }], ...more };
  const { status } = await server.request("POST", `/session/${session}/prompt_async`, { body });
  if (status !== 204) throw new Error(`a prompt was answered with ${status}`);
}

/** @param {import("../../testkit/model-script.mjs").Step[]} steps */
export const script = (...steps) => `SCRIPT: ${JSON.stringify(steps)}`;

/** All messages. @param {Server} server @param {string} session @returns {Promise<any[]>} */
export async function messagesOf(server, session) {
  return (await server.request("GET", `/session/${session}/message`)).body;
}

/** Ids of the tasks whose ends these messages tell. @param {any[]} messages */
export function reports(messages) {
  return messages
    .filter(
      ({ info, parts }) =>
        info.role === "user" && parts.some((/** @type {any} */ { text }) => text?.startsWith("<sortie-report>")),
    )
    .map(({ info, parts }) => ({
      at: Number(info.time.created),
      ids: [
        ...parts
          .map((/** @type {any} */ { text }) => text ?? "")
          .join("\n")
          .matchAll(/^## .*\] (tsk_\S+)$/gm),
      ].map(([, id]) => String(id)),
    }));
}
