// @ts-check
/**
 * Where the demo's OpenCode lives: a sandbox for the played model, or the user's own home with a temporary project.
 * @module
 */
import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createSandbox } from "../testkit/sandbox.mjs";

/** @typedef {import("../testkit/sandbox.mjs").Sandbox} Sandbox */

/**
 * @param {string} plugin
 * @param {string} model URL of the played model.
 * @returns {Sandbox}
 */
export function playedHome(plugin, model) {
  return createSandbox({ model, plugin });
}

/**
 * The user's own configuration and providers; project and Sortie's home are temporary.
 *
 * @param {string} plugin
 * @param {string} model `provider/name`
 * @returns {Sandbox}
 */
export function ownHome(plugin, model) {
  const root = mkdtempSync(join(tmpdir(), "sortie-demo-"));
  const [project, sortieHome, tmp] = [join(root, "project"), join(root, "sortie"), join(root, "tmp")];
  for (const dir of [project, sortieHome, tmp]) mkdirSync(dir);
  writeFileSync(join(project, "opencode.json"), JSON.stringify({ model, share: "disabled", plugin: [plugin] }));
  execFileSync("git", ["init", "--quiet"], { cwd: project, stdio: "ignore" });
  /** @type {(() => unknown)[]} */
  const cleanups = [];
  return {
    root,
    home: process.env.HOME ?? "",
    sortieHome,
    project,
    env: (extra = {}) => {
      // A killed OpenCode leaves the libraries that it unpacks in TMPDIR.
      const all = { ...process.env, SORTIE_HOME: sortieHome, TMPDIR: tmp, SORTIE_SANDBOX: root, ...extra };
      return /** @type {Record<string, string>} */ (
        Object.fromEntries(Object.entries(all).filter(([, value]) => value !== undefined))
      );
    },
    addProject: () => project,
    defer: (cleanup) => void cleanups.push(cleanup),
    log: () => "",
    async remove() {
      for (let cleanup = cleanups.pop(); cleanup; cleanup = cleanups.pop()) await cleanup();
      rmSync(root, { recursive: true, force: true, maxRetries: 5 });
    },
  };
}
