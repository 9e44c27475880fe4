// `npm ci`, but only when node_modules is not what package-lock.json says.

import { existsSync, readFileSync } from "node:fs";
import path from "node:path";
import { fail, isMain, npm, ROOT } from "./process.mjs";

/**
 * @typedef {{ version?: string, optional?: boolean, devOptional?: boolean, peer?: boolean }} Locked
 */

/**
 * @param {string} file
 * @returns {Record<string, Locked> | undefined}
 */
function packagesOf(file) {
  if (!existsSync(file)) return undefined;
  return JSON.parse(readFileSync(file, "utf8")).packages;
}

/**
 * Why an install is needed, or `undefined`. It compares contents, not times: a checkout sets new times on old files.
 * @param {Record<string, Locked> | undefined} wanted `packages` of package-lock.json
 * @param {Record<string, Locked> | undefined} present `packages` of the lock that npm leaves in node_modules
 * @returns {string | undefined}
 */
export function staleness(wanted, present) {
  if (wanted === undefined) return "there is no package-lock.json";
  if (present === undefined) return "node_modules is missing";
  for (const [place, locked] of Object.entries(wanted)) {
    if (place === "") continue;
    const found = present[place];
    // Packages for other platforms are left out.
    if (found === undefined && (locked.optional || locked.devOptional || locked.peer)) continue;
    if (found?.version !== locked.version)
      return `${place} should be ${locked.version}, is ${found?.version ?? "absent"}`;
  }
  const extra = Object.keys(present).find((place) => !(place in wanted));
  return extra && `${extra} is not in package-lock.json`;
}

/**
 * Brings node_modules to the state of the lock.
 * @returns {Promise<void>}
 */
export async function ensureInstalled() {
  const why = staleness(
    packagesOf(path.join(ROOT, "package-lock.json")),
    packagesOf(path.join(ROOT, "node_modules", ".package-lock.json")),
  );
  if (why === undefined) return;
  console.log(`npm ci (${why})`);
  const result = await npm(["ci", "--loglevel=error", "--no-progress"]);
  if (!result.ok) fail(`${result.output}\nnpm ci failed (${result.why}).`);
}

if (isMain(import.meta.url)) await ensureInstalled();
