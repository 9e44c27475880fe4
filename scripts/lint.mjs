// `npm run lint`: every check that does not run the program. All of them run, the cheap ones first.

import { scriptOf } from "./binaries.mjs";
import { ensureInstalled } from "./install.mjs";
import { firstLine, run, seconds } from "./process.mjs";
import { checkToolchain } from "./toolchain.mjs";

const { env } = await checkToolchain();
await ensureInstalled();

const node = process.execPath;
const locked = env.CI ? ["--locked"] : [];
const clippy = ["clippy", "--quiet", ...locked, "--all-targets"];
const deny = ["--", "-D", "warnings"];
/** @type {[name: string, program: string, args: string[]][]} */
const checks = [
  ["house", node, ["scripts/check-house.mjs"]],
  ["biome", node, [scriptOf("@biomejs/biome"), "check", "--error-on-warnings", "--max-diagnostics=100"]],
  ["tsc", node, [scriptOf("typescript"), "--project", "tsconfig.json"]],
  ["cargo fmt", "cargo", ["fmt", "--all", "--check"]],
  ["clippy", "cargo", [...clippy, ...deny]],
  ["clippy of the addon", "cargo", [...clippy, "--no-default-features", "--features", "napi", ...deny]],
];

if (firstLine("cargo", ["deny", "--version"], env) !== undefined) {
  // Advisories need the network: they are a job of their own, so that a new one does not break an old commit.
  checks.push(["cargo deny", "cargo", ["deny", "--log-level=error", "check", "bans", "licenses", "sources"]]);
} else console.log("cargo deny: not installed, left out (cargo install --locked cargo-deny)");

/** @type {string[]} */
const failed = [];
for (const [name, program, args] of checks) {
  const start = Date.now();
  const result = await run(program, args, { env, timeoutMs: 15 * 60_000 });
  console.log(`${name}: ${result.ok ? "ok" : `failed (${result.why})`} in ${seconds(Date.now() - start)}`);
  if (result.ok) continue;
  failed.push(name);
  console.log(result.output.trimEnd());
}
console.log(failed.length === 0 ? `lint: ${checks.length} checks, no findings` : `lint: failed: ${failed.join(", ")}`);
process.exit(failed.length === 0 ? 0 : 1);
