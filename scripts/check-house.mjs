// The rules of the house for packages and JavaScript; those for Rust and for all files are in tests/house/.

import { existsSync, readdirSync, readFileSync } from "node:fs";
import path from "node:path";
import { missingPlatforms } from "./lock.mjs";
import { fail, isMain, ROOT } from "./process.mjs";

/**
 * @typedef {object} Manifest
 * @property {string} [version]
 * @property {Record<string, string>} [scripts]
 * @property {Record<string, string>} [dependencies]
 * @property {Record<string, string>} [devDependencies]
 * @property {Record<string, string>} [optionalDependencies]
 */

/**
 * No script may run when the package is installed, and what is installed to build it is exact.
 * @param {Manifest} manifest
 * @returns {string[]}
 */
export function manifestFaults(manifest) {
  const hooks = ["preinstall", "install", "postinstall", "prepare", "prepublish", "preprepare", "postprepare"];
  const faults = hooks
    .filter((hook) => manifest.scripts?.[hook] !== undefined)
    .map((hook) => `package.json: scripts.${hook} would run at install time; nothing may`);
  for (const [name, version] of Object.entries(manifest.devDependencies ?? {})) {
    if (!/^\d+\.\d+\.\d+(-[\w.]+)?$/.test(version)) {
      faults.push(`package.json: devDependencies.${name} is ${version}; pin one exact version`);
    }
  }
  for (const name of Object.keys(manifest.dependencies ?? {})) {
    faults.push(`package.json: dependencies.${name}: the plugin needs no package at run time`);
  }
  return faults;
}

/**
 * The lock works behind every registry and on every platform: it names no address from which something is downloaded,
 * and every platform package.
 * @param {string} text package-lock.json
 * @returns {string[]}
 */
export function lockFaults(text) {
  const missing = Object.keys(missingPlatforms(JSON.parse(text).packages));
  const addresses = text
    .split("\n")
    .flatMap((line, at) =>
      /"resolved":|\.tgz\b/.test(line)
        ? [`package-lock.json:${at + 1}: a download address; keep .npmrc and run: node scripts/lock.mjs`]
        : [],
    );
  return [
    ...addresses,
    ...missing.map((place) => `package-lock.json: ${place} is missing, npm ci would fail; run: node scripts/lock.mjs`),
  ];
}

/**
 * @param {string} name path from the root
 * @param {string} text
 * @returns {string[]}
 */
export function scriptFaults(name, text) {
  /** @type {[pattern: RegExp, why: string][]} */
  const rules = [[/\b(?:test|it|describe|suite)\.only\b|\bonly:\s*true\b/, "a test marked `only` silences all others"]];
  if (name.startsWith("plugin/")) {
    rules.push(
      [
        /\bfrom\s*["']bun[:"']|\bimport\(\s*["']bun[:"']/,
        "OpenCode's desktop app runs plugins on Node: import nothing of Bun",
      ],
      [
        /^\s*import\s+(?!type\b).*["']@opencode-ai\//,
        "only `import type` from @opencode-ai: it is not there at run time",
      ],
      [/\bconsole\.\w+\(/, "the console is the user's screen: log through the engine"],
    );
  }
  return text
    .split("\n")
    .flatMap((line, at) =>
      rules.filter(([pattern]) => pattern.test(line)).map(([, why]) => `${name}:${at + 1}: ${why}`),
    );
}

/**
 * One version everywhere.
 * @param {Record<string, string | undefined>} versions by file
 * @returns {string[]}
 */
export function versionFaults(versions) {
  const wanted = versions["package.json"];
  return Object.entries(versions)
    .filter(([, version]) => version !== wanted)
    .map(([file, version]) => `${file}: version ${version} differs from ${wanted} in package.json`);
}

/** @param {string} name */
function read(name) {
  return readFileSync(path.join(ROOT, name), "utf8");
}

/**
 * @param {string} folder
 * @returns {string[]}
 */
function sources(folder) {
  if (!existsSync(path.join(ROOT, folder))) return [];
  return readdirSync(path.join(ROOT, folder), { withFileTypes: true }).flatMap((entry) => {
    const name = `${folder}/${entry.name}`;
    if (entry.isDirectory()) return entry.name === "node_modules" ? [] : sources(name);
    return /\.(?:mjs|ts|tsx)$/.test(name) ? [name] : [];
  });
}

function allFaults() {
  /** @type {Manifest} */
  const manifest = JSON.parse(read("package.json"));
  const platforms = readdirSync(path.join(ROOT, "npm")).map((name) => `npm/${name}/package.json`);
  /** @type {Record<string, string | undefined>} */
  const versions = {
    "package.json": manifest.version,
    "Cargo.toml": /^version = "(.+)"$/m.exec(read("Cargo.toml"))?.[1],
  };
  for (const name of platforms) versions[name] = JSON.parse(read(name)).version;
  return [
    ...manifestFaults(manifest),
    ...lockFaults(read("package-lock.json")),
    ...versionFaults(versions),
    ...["plugin", "testkit", "scripts", "__test__"].flatMap(sources).flatMap((name) => scriptFaults(name, read(name))),
    ...(read("CHANGELOG.md").includes("\n## [Unreleased]\n")
      ? []
      : ["CHANGELOG.md: the section [Unreleased] is missing"]),
  ];
}

if (isMain(import.meta.url)) {
  const faults = allFaults();
  if (faults.length > 0) fail(faults.join("\n"));
}
