// index.js and index.d.ts are generated and committed: a fresh build must leave them as git has them.

import { spawnSync } from "node:child_process";
import { fail, isMain, ROOT } from "./process.mjs";

const GENERATED = ["index.js", "index.d.ts"];

/**
 * What the last build changed: `""` for nothing, otherwise the message with the difference; `undefined` when git does
 * not have the files here, so that nothing can be compared.
 * @returns {string | undefined}
 */
export function changedByBuild() {
  const tracked = git(["ls-files", "--error-unmatch", "--", ...GENERATED]);
  if (tracked.status !== 0) return undefined;
  const diff = git(["diff", "--exit-code", "--no-color", "--", ...GENERATED]);
  if (diff.status === 0) return "";
  return (
    `${diff.stdout}${diff.stderr}\n` +
    `The build has rewritten ${GENERATED.join(" or ")}. They are never edited by hand: if the change is meant, ` +
    `stage it with: git add ${GENERATED.join(" ")}`
  );
}

/** @param {string[]} args */
function git(args) {
  return spawnSync("git", args, { cwd: ROOT, encoding: "utf8" });
}

if (isMain(import.meta.url)) {
  const changed = changedByBuild();
  if (changed) fail(changed);
}
