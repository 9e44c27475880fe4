// `npm test`: every test there is, in phases. `npm test -- --only rust|binding|e2e` runs a part. The last line counts.

import { existsSync, readdirSync } from "node:fs";
import path from "node:path";
import { parseArgs } from "node:util";
import { bunBinary } from "./binaries.mjs";
import { build } from "./build.mjs";
import { changedByBuild } from "./check-generated.mjs";
import { bunTest, cargoTest, nextest, nodeTest } from "./counts.mjs";
import { ensureInstalled } from "./install.mjs";
import { fail, firstLine, ROOT, run, seconds } from "./process.mjs";
import { checkToolchain } from "./toolchain.mjs";

/** @typedef {import("./counts.mjs").Counts} Counts */

const GROUPS = ["rust", "binding", "e2e"];

const { only } = options();
const { env } = await checkToolchain();
const total = { passed: 0, failed: 0, skipped: 0, phases: 0 };
const start = Date.now();

// Some tests in Rust run the real OpenCode as well.
await ensureInstalled();
if (wants("rust")) await rust();
if (wants("binding") || wants("e2e")) {
  heading("build");
  await build(env);
}
if (wants("binding")) {
  generated();
  const files = testFiles("__test__/binding");
  await phase("binding under Node", process.execPath, [...nodeArgs(1), ...files], {
    files,
    read: nodeTest,
    minutes: 5,
  });
  const bun = [...files.map((file) => `./${file}`), "--timeout", "60000"];
  await phase("binding under Bun", bunBinary(), ["test", ...bun], { files, read: bunTest, minutes: 5 });
}
if (wants("e2e")) {
  const own = [...testFiles("scripts"), ...testFiles("testkit")];
  await phase("scripts and testkit", process.execPath, [...nodeArgs(2), ...own], {
    files: own,
    read: nodeTest,
    minutes: 5,
  });
  const files = testFiles("__test__/e2e");
  await phase("end to end", process.execPath, [...nodeArgs(2), ...files], { files, read: nodeTest, minutes: 35 });
}

console.log(
  `\n${total.phases} phases in ${seconds(Date.now() - start)}\n` +
    `${total.passed} passed, ${total.failed} failed, ${total.skipped} skipped`,
);
process.exit(total.failed > 0 || total.passed === 0 ? 1 : 0);

/** @param {number} concurrency */
function nodeArgs(concurrency) {
  return ["--test", "--test-reporter=spec", `--test-concurrency=${concurrency}`];
}

function options() {
  try {
    const { values } = parseArgs({ options: { only: { type: "string" } } });
    if (values.only !== undefined && !GROUPS.includes(values.only)) {
      throw new Error(`--only ${values.only}: no such part; there are ${GROUPS.join(", ")}`);
    }
    return values;
  } catch (error) {
    return fail(error instanceof Error ? error.message : String(error));
  }
}

/** @param {string} group */
function wants(group) {
  return only === undefined || only === group;
}

/** @param {string} name */
function heading(name) {
  console.log(`\n== ${name}`);
}

/**
 * Every `*.test.mjs` below a folder of the checkout, as paths from its root.
 * @param {string} folder
 * @returns {string[]}
 */
function testFiles(folder) {
  if (!existsSync(path.join(ROOT, folder))) return [];
  return readdirSync(path.join(ROOT, folder), { withFileTypes: true })
    .flatMap((entry) => {
      const name = `${folder}/${entry.name}`;
      if (entry.isDirectory()) return entry.name === "node_modules" ? [] : testFiles(name);
      return name.endsWith(".test.mjs") ? [name] : [];
    })
    .sort();
}

async function rust() {
  const locked = env.CI ? ["--locked"] : [];
  if (firstLine("cargo", ["nextest", "--version"], env) !== undefined) {
    const profile = env.CI ? ["--profile", "ci"] : [];
    const args = ["nextest", "run", ...locked, ...profile, "--status-level=fail", "--final-status-level=fail"];
    await phase("rust (cargo nextest)", "cargo", args, { read: nextest, minutes: 25 });
  } else {
    console.log("cargo-nextest is not installed: cargo test runs the same tests, without a time limit for each.");
    const args = ["test", ...locked, "--no-fail-fast", "--lib", "--bins", "--tests"];
    await phase("rust (cargo test)", "cargo", args, { read: cargoTest, minutes: 25 });
  }
}

/** The generated files that are committed have to be what the build makes. */
function generated() {
  const changed = changedByBuild();
  if (changed === undefined) return console.log("index.js and index.d.ts: not in git here, not compared");
  total.phases += 1;
  if (changed === "") total.passed += 1;
  else {
    total.failed += 1;
    console.log(changed);
  }
}

/**
 * Runs one test runner and adds its counts. Its output is shown only when something failed.
 * @param {string} name
 * @param {string} program
 * @param {string[]} args
 * @param {{ read: (output: string) => Counts, minutes: number, files?: string[] }} how
 */
async function phase(name, program, args, { read, minutes, files }) {
  heading(name);
  if (files?.length === 0) return console.log("no test files");
  const began = Date.now();
  const result = await run(program, args, { env, timeoutMs: minutes * 60_000 });
  const counts = read(result.output);
  // A runner that fails without a failed test (a compiler error, a time limit), or that runs nothing, is a failure too.
  const broken = counts.failed === 0 && (!result.ok || counts.passed + counts.skipped === 0);
  const failed = counts.failed + (broken ? 1 : 0);
  if (failed > 0) console.log(result.output.trimEnd());
  if (broken) console.log(`${name}: ${result.ok ? "no test was run" : `the runner itself failed (${result.why})`}`);
  for (const skip of counts.skips) console.log(`skipped: ${skip}`);
  console.log(`${counts.passed} passed, ${failed} failed, ${counts.skipped} skipped in ${seconds(Date.now() - began)}`);
  total.passed += counts.passed;
  total.failed += failed;
  total.skipped += counts.skipped;
  total.phases += 1;
}
