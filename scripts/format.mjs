// `npm run format`: rustfmt and Biome, in place.

import { scriptOf } from "./binaries.mjs";
import { ensureInstalled } from "./install.mjs";
import { fail, run } from "./process.mjs";
import { checkToolchain } from "./toolchain.mjs";

const { env } = await checkToolchain();
await ensureInstalled();
const steps = /** @type {const} */ ([
  ["cargo fmt", "cargo", ["fmt", "--all"]],
  ["biome", process.execPath, [scriptOf("@biomejs/biome"), "check", "--write", "--log-level=error"]],
]);
for (const [name, program, args] of steps) {
  const result = await run(program, args, { env });
  if (!result.ok) fail(`${result.output}\n${name} failed (${result.why}).`);
}
