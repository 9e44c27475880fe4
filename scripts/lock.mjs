// `node scripts/lock.mjs`: writes package-lock.json anew after a change of package.json.
//
// npm leaves an optional package out of the lock when the registry it asked does not have it (a mirror may hold the
// packages of some platforms only), and `npm ci` then refuses the lock, on every platform. Here each platform package
// that is named gets its entry, without a hash where none was to be had.

import { readFileSync, rmSync, writeFileSync } from "node:fs";
import path from "node:path";
import { fail, isMain, npm, ROOT } from "./process.mjs";

/**
 * @typedef {object} Locked
 * @property {string} [version]
 * @property {boolean} [dev]
 * @property {boolean} [optional]
 * @property {string[]} [os]
 * @property {string[]} [cpu]
 * @property {string[]} [libc]
 * @property {Record<string, string>} [optionalDependencies]
 */

/**
 * Entries for all platform packages that are named in a lock but missing from it.
 * @param {Record<string, Locked>} packages `packages` of package-lock.json
 * @returns {Record<string, Locked>}
 */
export function missingPlatforms(packages) {
  /** @type {Record<string, Locked>} */
  const missing = {};
  for (const locked of Object.values(packages)) {
    for (const [name, range] of Object.entries(locked.optionalDependencies ?? {})) {
      const place = `node_modules/${name}`;
      if (packages[place]?.version !== undefined) continue;
      const version = range.replace(/^[\^~]/, "");
      missing[place] = { version, ...(locked.dev && { dev: true }), optional: true, ...platformOf(name) };
    }
  }
  return missing;
}

/**
 * What the name of a platform package says: `opencode-linux-x64-musl`, `@napi-rs/tar-win32-arm64-msvc`.
 * @param {string} name
 * @returns {Pick<Locked, "os" | "cpu" | "libc">}
 */
export function platformOf(name) {
  const words = name.split("-");
  /** @type {Record<string, string>} */
  const systems = { windows: "win32", wasi: "wasi" };
  const os = words.find((word) =>
    /^(?:aix|android|darwin|freebsd|linux|netbsd|openbsd|openharmony|sunos|win(?:32|dows)|wasi)$/.test(word),
  );
  const cpu = words.find((word) =>
    /^(?:aarch64|arm|arm64|ia32|loong64|mips64el|ppc64|riscv64|s390x|wasm32|x64)$/.test(word),
  );
  const libc = words.includes("musl") ? "musl" : os === "linux" && words.includes("gnu") ? "glibc" : undefined;
  if (os === undefined || cpu === undefined) throw new Error(`${name}: no platform in the name`);
  return {
    ...(os === "wasi" ? {} : { os: [systems[os] ?? os] }),
    cpu: [cpu === "aarch64" ? "arm64" : cpu],
    ...(libc && { libc: [libc] }),
  };
}

if (isMain(import.meta.url)) {
  const file = path.join(ROOT, "package-lock.json");
  const before = readFileSync(file, "utf8");
  // With node_modules there, npm writes only the packages of this platform.
  rmSync(path.join(ROOT, "node_modules"), { recursive: true, force: true });
  rmSync(file);
  const result = await npm(["install", "--package-lock-only", "--loglevel=error"]);
  if (!result.ok) {
    writeFileSync(file, before);
    fail(`${result.output}\nnpm could not write the lock (${result.why}).`);
  }
  const lock = JSON.parse(readFileSync(file, "utf8"));
  const added = missingPlatforms(lock.packages);
  lock.packages = Object.fromEntries(
    Object.entries({ ...lock.packages, ...added }).sort(([left], [right]) => (left < right ? -1 : 1)),
  );
  writeFileSync(file, `${JSON.stringify(lock, undefined, 2)}\n`);
  console.log(
    `package-lock.json: ${Object.keys(lock.packages).length} packages, ${Object.keys(added).length} without a hash`,
  );
}
