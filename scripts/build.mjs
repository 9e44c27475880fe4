// `npm run build`: the native addon (index.js, index.d.ts, sortie.<platform>.node) and the plugin (dist/).

import { copyFileSync, existsSync, renameSync, rmSync } from "node:fs";
import path from "node:path";
import { scriptOf } from "./binaries.mjs";
import { ensureInstalled } from "./install.mjs";
import { fail, isMain, ROOT, run, seconds } from "./process.mjs";
import { checkToolchain } from "./toolchain.mjs";

/**
 * Builds everything; ends the script with the compiler's words when that fails. `SORTIE_BUILT=1` says that it is done:
 * tests that run commands of ours stand on one build and must not replace it under each other.
 * @param {NodeJS.ProcessEnv} env from `checkToolchain`
 */
export async function build(env) {
  if (env.SORTIE_BUILT === "1") return;
  await step("native addon", [scriptOf("@napi-rs/cli"), ...ADDON, ...(env.CI ? ["--", "--locked"] : [])], env);
  await program(env);
  if (!existsSync(path.join(ROOT, "plugin"))) return;
  // Files of a source that is gone must not stay in the package.
  rmSync(path.join(ROOT, "dist"), { recursive: true, force: true });
  await step("plugin", [scriptOf("typescript"), "--project", "tsconfig.plugin.json"], env);
}

/** ES modules, because package.json says `"type": "module"`; the addon itself is loaded through `createRequire`. */
const ADDON = ["build", "--platform", "--release", "--esm", "--no-default-features", "--features", "napi"];

/** The command line, put beside the addon: there the launcher of the package looks for it. @param {NodeJS.ProcessEnv} env */
async function program(env) {
  const args = ["build", "--release", "--no-default-features", "--features", "cli", "--bin", "sortie"];
  await step("command line", [...args, ...(env.CI ? ["--locked"] : [])], env, "cargo");
  const name = process.platform === "win32" ? "sortie.exe" : "sortie";
  const target = env.CARGO_TARGET_DIR ?? path.join(ROOT, "target");
  // Written beside it first: a program that runs cannot be written over.
  const fresh = path.join(ROOT, `.${name}.new`);
  copyFileSync(path.join(target, "release", name), fresh);
  renameSync(fresh, path.join(ROOT, name));
}

/**
 * @param {string} what
 * @param {string[]} args
 * @param {NodeJS.ProcessEnv} env
 */
async function step(what, args, env, command = process.execPath) {
  const start = Date.now();
  const result = await run(command, args, { env });
  if (!result.ok) fail(`${result.output}\nBuilding the ${what} failed (${result.why}).`);
  console.log(`built the ${what} in ${seconds(Date.now() - start)}`);
}

if (isMain(import.meta.url)) {
  const { env } = await checkToolchain();
  await ensureInstalled();
  await build(env);
}
