// The scripts' own rules and readers, shown at work and failing.

import assert from "node:assert/strict";
import { chmodSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { test } from "node:test";
import { lockFaults, manifestFaults, scriptFaults, versionFaults } from "./check-house.mjs";
import { bunTest, cargoTest, nextest, nodeTest } from "./counts.mjs";
import { staleness } from "./install.mjs";
import { missingPlatforms } from "./lock.mjs";
import { run } from "./process.mjs";
import { atLeast, withRustup } from "./toolchain.mjs";

test("counts are those of the runners", () => {
  assert.deepEqual(
    nextest("     Summary [   1.2s] 9 tests run: 5 passed (1 slow), 2 failed, 1 timed out, 1 exec failed, 3 skipped\n"),
    { passed: 5, failed: 4, skipped: 3, skips: [] },
  );
  assert.deepEqual(
    cargoTest(
      "test a::b ... ignored\ntest result: ok. 5 passed; 0 failed; 1 ignored; 0 measured\ntest result: FAILED. 1 passed; 2 failed; 0 ignored\n",
    ),
    { passed: 6, failed: 2, skipped: 1, skips: ["a::b"] },
  );
  assert.deepEqual(
    nodeTest(
      "✔ a (1ms)\n﹣ b (0.1ms) # no tmux\nℹ tests 5\nℹ pass 2\nℹ fail 1\nℹ cancelled 1\nℹ skipped 1\nℹ todo 0\n",
    ),
    { passed: 2, failed: 2, skipped: 1, skips: ["b # no tmux"] },
  );
  assert.deepEqual(bunTest("(pass) a\n(skip) b\n\n 2 pass\n 1 skip\n 3 fail\n 1 error\n 7 expect() calls\n"), {
    passed: 2,
    failed: 4,
    skipped: 1,
    skips: ["b"],
  });
});

test("an install is needed exactly when the packages differ", () => {
  const wanted = {
    "": {},
    "node_modules/a": { version: "1.0.0" },
    "node_modules/b": { version: "2.0.0", optional: true },
  };
  const present = { "node_modules/a": { version: "1.0.0" } };
  assert.equal(staleness(wanted, present), undefined);
  assert.match(staleness(wanted, undefined) ?? "", /missing/);
  assert.match(staleness(wanted, {}) ?? "", /a should be 1\.0\.0, is absent/);
  assert.match(staleness(wanted, { "node_modules/a": { version: "1.0.1" } }) ?? "", /is 1\.0\.1/);
  assert.match(staleness(wanted, { ...present, "node_modules/c": { version: "1.0.0" } }) ?? "", /c is not in/);
});

test("versions are compared by number", () => {
  assert.equal(atLeast("cargo 1.100.0 (x 2026-01-01)", "1.89.0"), true);
  assert.equal(atLeast("cargo 1.88.9", "1.89.0"), false);
  assert.equal(atLeast("v20.17.0", "20.17.0"), true);
});

test("rustup is found beside its proxies when HOME is another", { skip: process.platform === "win32" }, async () => {
  const dir = mkdtempSync(path.join(tmpdir(), "sortie-toolchain-"));
  try {
    const bin = path.join(dir, ".cargo", "bin");
    mkdirSync(bin, { recursive: true });
    writeFileSync(path.join(bin, "rustup"), "");
    chmodSync(path.join(bin, "rustup"), 0o755);
    symlinkSync("rustup", path.join(bin, "cargo"));
    const env = { PATH: bin, HOME: path.join(dir, "empty") };
    assert.equal(await withRustup(env), env, "no toolchains: nothing to point at");
    mkdirSync(path.join(dir, ".rustup", "toolchains"), { recursive: true });
    const found = await withRustup(env);
    assert.equal(found.RUSTUP_HOME, path.join(dir, ".rustup"));
    assert.equal(found.CARGO_HOME, path.join(dir, ".cargo"));
    const own = { ...env, HOME: dir };
    assert.equal(await withRustup(own), own, "its own HOME needs no help");
    const set = { ...env, RUSTUP_HOME: "/elsewhere" };
    assert.equal(await withRustup(set), set, "a setting is never changed");
  } finally {
    rmSync(dir, { recursive: true });
  }
});

test("a child is bounded in time, with its own children", async () => {
  const forever =
    "require('node:child_process').spawn(process.execPath, ['-e', 'setInterval(() => {}, 1e6)'], { stdio: 'inherit' })";
  const result = await run(process.execPath, ["-e", `${forever}; setInterval(() => {}, 1e6)`], { timeoutMs: 300 });
  assert.equal(result.ok, false);
  assert.match(result.why, /stopped after its limit of 0\.3 s/);
  assert.match((await run("no-such-program", [])).why, /could not start no-such-program/);
  assert.equal((await run(process.execPath, ["-e", "process.exit(3)"])).why, "exit code 3");
});

test("house rules find what they forbid", () => {
  assert.deepEqual(manifestFaults({ scripts: { build: "x" }, devDependencies: { a: "1.2.3" } }), []);
  assert.equal(manifestFaults({ scripts: { postinstall: "x" } }).length, 1);
  assert.equal(manifestFaults({ devDependencies: { a: "^1.2.3" } }).length, 1);
  assert.equal(manifestFaults({ dependencies: { a: "1.2.3" } }).length, 1);
  const locked = { version: "1.0.0", optionalDependencies: { "b-linux-x64-musl": "1.0.0" } };
  const other = { version: "1.0.0", resolved: "https://example.org/b-1.0.0.tgz" };
  const lock = (/** @type {object} */ packages) => lockFaults(JSON.stringify({ packages }));
  assert.deepEqual(lock({ a: { version: "1.0.0", integrity: "sha512-x" } }), []);
  assert.match(lock({ b: other })[0] ?? "", /download address/);
  assert.match(lock({ a: locked })[0] ?? "", /b-linux-x64-musl is missing/);
  assert.deepEqual(missingPlatforms({ a: locked }), {
    "node_modules/b-linux-x64-musl": { version: "1.0.0", optional: true, os: ["linux"], cpu: ["x64"], libc: ["musl"] },
  });
  assert.equal(scriptFaults("plugin/a.ts", `import { file } from "${"bun"}";`).length, 1);
  assert.equal(scriptFaults("plugin/b.ts", `import x from "${"bun"}:sqlite";`).length, 1);
  assert.equal(scriptFaults("__test__/a.mjs", `test.${"only"}("x", () => {});`).length, 1);
  assert.equal(scriptFaults("plugin/a.ts", 'import { tool } from "@opencode-ai/plugin";').length, 1);
  assert.deepEqual(scriptFaults("plugin/a.ts", 'import type { Plugin } from "@opencode-ai/plugin";'), []);
  assert.equal(scriptFaults("plugin/a.ts", "console.log(1);").length, 1);
  assert.deepEqual(versionFaults({ "package.json": "1.0.0", "Cargo.toml": "1.0.0" }), []);
  assert.equal(versionFaults({ "package.json": "1.0.0", "Cargo.toml": "1.0.1" }).length, 1);
});
