// @ts-check
/**
 * Finds the real OpenCode executable. The package `opencode-ai` only selects a
 * platform package in an install script, and this project installs without
 * scripts, so the platform package is looked up here.
 * @module
 */
import { existsSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";

/** The version the project is tested against, a dev dependency. */
export const OPENCODE_VERSION = "1.18.33";

const require = createRequire(import.meta.url);

/**
 * The path of the executable: `OPENCODE_BIN` if set, else the one of the
 * installed platform package.
 *
 * @param {NodeJS.ProcessEnv} [env]
 * @returns {string}
 * @throws {Error} naming the fix when there is none.
 */
export function opencodeBinary(env = process.env) {
  const chosen = env.OPENCODE_BIN;
  if (chosen) {
    if (existsSync(chosen)) return chosen;
    throw new Error(`OPENCODE_BIN is ${JSON.stringify(chosen)}, and there is no such file: correct or unset it`);
  }
  const names = platformPackages();
  for (const name of names) {
    const path = inPackage(name);
    if (path) return path;
  }
  throw new Error(
    `no OpenCode executable for this platform in node_modules (looked for ${names.join(", ")}): ` +
      `run "npm install", or "npm install --no-save opencode-ai@${OPENCODE_VERSION}", or set OPENCODE_BIN`,
  );
}

/** Names of platform packages that can run here, best first. */
function platformPackages() {
  const platform = process.platform === "win32" ? "windows" : process.platform;
  const base = `opencode-${platform}-${process.arch}`;
  const plain = process.arch === "x64" ? (lacksAvx2() ? [`${base}-baseline`] : [base, `${base}-baseline`]) : [base];
  return isMusl() ? plain.map((name) => `${name}-musl`) : plain;
}

/** @param {string} name */
function inPackage(name) {
  const file = process.platform === "win32" ? "opencode.exe" : "opencode";
  for (const from of [require, requireOfWrapper()]) {
    try {
      const path = join(dirname(from?.resolve(`${name}/package.json`) ?? ""), "bin", file);
      if (existsSync(path)) return path;
    } catch {
      // Not installed from this place.
    }
  }
  return undefined;
}

/** Resolution as `opencode-ai` sees it, for package managers that nest. */
function requireOfWrapper() {
  try {
    return createRequire(require.resolve("opencode-ai/package.json"));
  } catch {
    return undefined;
  }
}

/** The default build uses AVX2; `-baseline` does not. */
function lacksAvx2() {
  if (process.platform !== "linux") return false;
  return !/\bavx2\b/.test(readFileSync("/proc/cpuinfo", "utf8"));
}

function isMusl() {
  return (
    process.platform === "linux" && existsSync(`/lib/ld-musl-${process.arch === "x64" ? "x86_64" : "aarch64"}.so.1`)
  );
}
