#!/usr/bin/env node
// `sortie` of the npm package: the platform's own program, with this one's arguments, input, output and exit code.

import { spawn } from "node:child_process";
import { constants } from "node:os";
import { program } from "../dist/program.js";

const path = program();
if (path === undefined) {
  console.error(
    `sortie: there is no program for ${process.platform} ${process.arch} here. ` +
      "Install opencode-sortie again without --no-optional, or build it with `cargo install --path . --bin sortie`.",
  );
  process.exit(7);
}
const child = spawn(path, process.argv.slice(2), { stdio: "inherit" });
// What a terminal sends reaches the program by itself.
process.on("SIGINT", () => {});
for (const signal of /** @type {const} */ (["SIGTERM", "SIGHUP"])) process.on(signal, () => child.kill(signal));
child.on("error", (error) => {
  console.error(`sortie: ${path}: ${error.message}`);
  process.exit(7);
});
child.on("exit", (code, signal) => process.exit(code ?? 128 + (signal ? constants.signals[signal] : 0)));
