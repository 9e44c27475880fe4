// @ts-check
/**
 * The addon under Node and under Bun, with a host that is a function.
 * @module
 */
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as native from "../../index.js";

/** @typedef {import("../../index.js").HostRequest} HostRequest */
/** @typedef {import("../../index.js").HostResponse} HostResponse */
/** @typedef {(request: HostRequest) => Promise<HostResponse>} Ask */

/** What a host with one agent and no sessions answers. @param {HostRequest} request @returns {Promise<HostResponse>} */
export async function quietHost({ method, target }) {
  const path = target.split("?")[0] ?? "";
  if (path === "/agent") return json([{ name: "build", mode: "primary", permission: [] }]);
  if (path === "/session/status") return json({});
  if (path.endsWith("/children") || path.endsWith("/message")) return json([]);
  if (path.endsWith("/prompt_async")) return { status: 204, body: "" };
  if (method === "GET" && path.startsWith("/session/")) return json({ id: path.split("/")[2], directory: "/" });
  return { status: 404, body: JSON.stringify({ name: "NotFoundError", data: { message: `no ${path}` } }) };
}

/** @param {unknown} body @returns {HostResponse} */
export const json = (body) => ({ status: 200, body: JSON.stringify(body) });

/** The session that calls. */
export const CALLER = { session: "ses_caller", message: "msg_1", call: "call_1", directory: tmpdir() };

/**
 * A home and a project of their own.
 *
 * @returns {{home: string, project: string, remove: () => void}}
 */
export function place() {
  const root = mkdtempSync(join(tmpdir(), "sortie-binding-"));
  const [home, project] = [join(root, "home"), join(root, "project")];
  mkdirSync(project);
  return { home, project, remove: () => rmSync(root, { recursive: true, force: true, maxRetries: 5 }) };
}

/**
 * Attaches a project.
 *
 * @param {{home: string, project: string}} place
 * @param {{ask?: Function, listen?: (on: boolean) => void, options?: object}} [how] A host may misbehave, so its type
 *   is not checked.
 */
export function attach({ home, project }, { ask = quietHost, listen = () => {}, options = {} } = {}) {
  const spec = { directory: project, project, options: JSON.stringify({ home, ...options }), headless: false };
  return native.attach(spec, /** @type {any} */ (ask), /** @type {any} */ (listen));
}

export { native };
