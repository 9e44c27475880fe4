// `npm run build`: the native addon (index.js, index.d.ts, sortie.<platform>.node) and the plugin (dist/).

import { existsSync, rmSync } from "node:fs";
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
  if (!existsSync(path.join(ROOT, "plugin"))) return;
  // Files of a source that is gone must not stay in the package.
  rmSync(path.join(ROOT, "dist"), { recursive: true, force: true });
  await step("plugin", [scriptOf("typescript"), "--project", "tsconfig.plugin.json"], env);
}

/** ES modules, because package.json says `"type": "module"`; the addon itself is loaded through `createRequire`. */
const ADDON = ["build", "--platform", "--release", "--esm", "--no-default-features", "--features", "napi"];

/**
 * @param {string} what
 * @param {string[]} args
 * @param {NodeJS.ProcessEnv} env
 */
async function step(what, args, env) {
  const start = Date.now();
  const result = await run(process.execPath, args, { env });
  if (!result.ok) fail(`${result.output}\nBuilding the ${what} failed (${result.why}).`);
  console.log(`built the ${what} in ${seconds(Date.now() - start)}`);
}

if (isMain(import.meta.url)) {
  const { env } = await checkToolchain();
  await ensureInstalled();
  await build(env);
}
