// `npm run bench`: the Rust benchmarks in benches/ if there are any, then those with the real OpenCode in __test__/bench/.

import { existsSync, readdirSync } from "node:fs";
import path from "node:path";
import { build } from "./build.mjs";
import { ensureInstalled } from "./install.mjs";
import { fail, ROOT, run, runAttached } from "./process.mjs";
import { checkToolchain } from "./toolchain.mjs";

const args = process.argv.slice(2);
const main = "__test__/bench/main.mjs";
const { env } = await checkToolchain();
await ensureInstalled();
if (args.includes("--help")) process.exit(await runAttached(process.execPath, [main, ...args], env));

const inRust =
  existsSync(path.join(ROOT, "benches")) &&
  readdirSync(path.join(ROOT, "benches")).some((name) => name.endsWith(".rs"));
if (inRust && !args.includes("--only")) {
  const result = await run("cargo", ["bench", "--quiet", "--benches"], { env, live: true });
  if (!result.ok) fail(`The Rust benchmarks failed (${result.why}).`);
}
await build(env);
process.exit(await runAttached(process.execPath, [main, ...args], env));
