// Where the executables of installed packages really are. Their install scripts do not run here, so the files in
// node_modules/.bin are placeholders; the programs stand in the packages of this platform.

import { existsSync, readFileSync } from "node:fs";
import path from "node:path";
import { isMain, ROOT } from "./process.mjs";

/** Whether this Node is linked with musl; then the programs have to be, too. */
function isMusl() {
  if (process.platform !== "linux") return false;
  const report = /** @type {{ header?: { glibcVersionRuntime?: string } }} */ (process.report.getReport());
  return report.header?.glibcVersionRuntime === undefined;
}

/**
 * The Bun executable.
 * @returns {string}
 */
export function bunBinary() {
  const platform = process.platform === "win32" ? "windows" : process.platform;
  const arch = process.arch === "arm64" ? "aarch64" : process.arch;
  const name = `@oven/bun-${platform}-${arch}${isMusl() ? "-musl" : ""}`;
  const file = path.join(ROOT, "node_modules", name, "bin", process.platform === "win32" ? "bun.exe" : "bun");
  if (existsSync(file)) return file;
  throw new Error(`${name} is not in node_modules: optional packages were left out. Run: npm ci --include=optional`);
}

/**
 * The script behind a command of an installed package, to be run with Node.
 * @param {"@napi-rs/cli" | "typescript" | "@biomejs/biome"} name
 */
export function scriptOf(name) {
  const dir = path.join(ROOT, "node_modules", ...name.split("/"));
  const bin = { "@napi-rs/cli": "napi", typescript: "tsc", "@biomejs/biome": "biome" }[name];
  /** @type {{ bin: Record<string, string> }} */
  const manifest = JSON.parse(readFileSync(path.join(dir, "package.json"), "utf8"));
  return path.join(dir, manifest.bin[bin] ?? "");
}

if (isMain(import.meta.url)) console.log(bunBinary());
