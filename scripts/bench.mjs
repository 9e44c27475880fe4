// `npm run bench`: builds, and runs the benchmarks in __test__/bench/. One of their groups runs those in benches/.

import { build } from "./build.mjs";
import { ensureInstalled } from "./install.mjs";
import { runAttached } from "./process.mjs";
import { checkToolchain } from "./toolchain.mjs";

const args = process.argv.slice(2);
const main = "__test__/bench/main.mjs";
const { env } = await checkToolchain();
await ensureInstalled();
if (args.includes("--help")) process.exit(await runAttached(process.execPath, [main, ...args], env));

await build(env);
process.exit(await runAttached(process.execPath, [main, ...args], env));
