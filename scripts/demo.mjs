// `npm run demo`: installs and builds what is missing, then shows Sortie at work with the real OpenCode (demo/).

import { HELP, readOptions } from "../demo/options.mjs";
import { build } from "./build.mjs";
import { ensureInstalled } from "./install.mjs";
import { runAttached } from "./process.mjs";
import { checkToolchain } from "./toolchain.mjs";

const args = process.argv.slice(2);
try {
  // A wrong option is told before a minute of building.
  if (readOptions(args).help) {
    console.log(HELP);
    process.exit(0);
  }
} catch (error) {
  console.error(`${error instanceof Error ? error.message : error}\n\n${HELP}`);
  process.exit(2);
}
const { env } = await checkToolchain();
await ensureInstalled();
await build(env);
process.exit(await runAttached(process.execPath, ["demo/main.mjs", ...args], env));
