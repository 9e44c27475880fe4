// Finds the tools that a build needs, and names the missing one together with its cure.

import { existsSync, realpathSync } from "node:fs";
import { access, constants } from "node:fs/promises";
import path from "node:path";
import { fail, firstLine, isMain } from "./process.mjs";

/** `File::lock` is in the standard library since 1.89. */
const RUST = "1.89.0";
/** The oldest Node 20 that `@napi-rs/cli` runs on. */
const NODE = "20.17.0";

/**
 * Where an executable stands on PATH.
 * @param {string} name
 * @param {NodeJS.ProcessEnv} env
 */
export function which(name, env = process.env) {
  const extensions = process.platform === "win32" ? [".exe", ".cmd", ""] : [""];
  for (const dir of (env.PATH ?? "").split(path.delimiter)) {
    for (const extension of extensions) {
      const file = path.join(dir, name + extension);
      if (dir !== "" && existsSync(file)) return file;
    }
  }
  return undefined;
}

/**
 * rustup's proxies look for their toolchains under HOME. With another HOME (a sandbox, an empty CI account) they find
 * none, although they stand beside them: then say where those are. An explicit setting is never changed.
 * @param {NodeJS.ProcessEnv} env
 * @returns {Promise<NodeJS.ProcessEnv>}
 */
export async function withRustup(env = process.env) {
  const cargo = which("cargo", env);
  if (cargo === undefined || env.RUSTUP_HOME) return env;
  if (existsSync(path.join(env.HOME ?? env.USERPROFILE ?? "", ".rustup"))) return env;
  const proxy = realpathSync(cargo);
  if (!path.basename(proxy).startsWith("rustup")) return env;
  for (const file of [cargo, proxy]) {
    const cargoHome = path.dirname(path.dirname(file));
    const name = path.basename(cargoHome);
    const rustupHome = path.join(path.dirname(cargoHome), name.replace(/cargo$/, "rustup"));
    if (!name.endsWith("cargo") || !existsSync(path.join(rustupHome, "toolchains"))) continue;
    // Cargo's own home holds the downloaded crates and the registry settings; it has to be writable for its lock.
    const writable = await access(cargoHome, constants.W_OK).then(
      () => true,
      () => false,
    );
    return { ...env, RUSTUP_HOME: rustupHome, ...(writable && !env.CARGO_HOME && { CARGO_HOME: cargoHome }) };
  }
  return env;
}

/**
 * @param {string} found such as `cargo 1.95.0 (…)` or `v20.20.2`
 * @param {string} least
 */
export function atLeast(found, least) {
  const [have, want] = [found, least].map((text) =>
    (/\d+\.\d+(\.\d+)?/.exec(text)?.[0] ?? "0.0").split(".").map(Number),
  );
  for (let at = 0; at < 3; at += 1) {
    const difference = (have?.[at] ?? 0) - (want?.[at] ?? 0);
    if (difference !== 0) return difference > 0;
  }
  return true;
}

/**
 * Checks the tools and returns the environment for every child that may call cargo.
 * @returns {Promise<{ env: NodeJS.ProcessEnv, found: string[] }>}
 */
export async function checkToolchain() {
  /** @type {string[]} */
  const problems = [];
  /** @type {string[]} */
  const found = [];

  if (atLeast(process.version, NODE)) found.push(`node ${process.version}`);
  else
    problems.push(
      `Node.js ${process.version} is too old: ${NODE} or newer is needed. Get it from https://nodejs.org/.`,
    );

  const git = firstLine("git", ["--version"]);
  if (git) found.push(git);
  else problems.push("git is missing. Install it with your package manager, or from https://git-scm.com/.");

  const env = await withRustup();
  for (const tool of ["cargo", "rustc"]) {
    const version = which(tool, env) && firstLine(tool, ["--version"], env);
    if (version && atLeast(version, RUST)) found.push(version);
    else if (version) problems.push(`${version} is too old: ${RUST} or newer is needed. Run: rustup update stable`);
    else if (which(tool, env)) {
      problems.push(`${tool} is on PATH but does not run: rustup has no toolchain here. Run: rustup default stable`);
    } else problems.push(`${tool} is missing: Rust ${RUST} or newer is needed. Get it from https://rustup.rs/.`);
  }

  // SQLite is compiled from source. On Windows cargo finds the compiler of Visual Studio itself.
  if (process.platform !== "win32") {
    const compiler = [env.CC?.split(" ")[0], "cc", "gcc", "clang"].find((name) => name && which(name, env));
    if (compiler) found.push(`C compiler ${compiler}`);
    else {
      problems.push(
        process.platform === "darwin"
          ? "A C compiler is missing (SQLite is built from source). Run: xcode-select --install"
          : "A C compiler is missing (SQLite is built from source). Install gcc or clang, e.g.: apt-get install build-essential",
      );
    }
  }

  if (problems.length > 0)
    fail(`Sortie cannot be built here yet:\n${problems.map((text) => `  - ${text}`).join("\n")}`);
  return { env, found };
}

if (isMain(import.meta.url)) console.log((await checkToolchain()).found.join("\n"));
