#!/usr/bin/env node
// @ts-check
/**
 * A sandbox with its scripted model as a process of its own, for tests in
 * Rust. Prints one line: the OpenCode to run, its whole environment, and its
 * projects (`--projects n`). Stops on SIGTERM, SIGINT, or when its stdin closes,
 * and ends then all that ran in the sandbox.
 * @module
 */
import { startModelServer } from "./model-server.mjs";
import { opencodeBinary } from "./opencode-binary.mjs";
import { createSandbox } from "./sandbox.mjs";

const flag = process.argv.indexOf("--projects");
const count = flag < 0 ? 1 : Number(process.argv[flag + 1]);
const server = await startModelServer({ port: 0 });
const sandbox = createSandbox({ model: server.url });
const projects = [sandbox.project];
for (let n = 2; n <= count; n++) projects.push(sandbox.addProject(`project-${n}`));

let stopping = false;
const stop = async () => {
  if (stopping) return;
  stopping = true;
  await sandbox.remove();
  await server.close();
  process.exit(0);
};
process.once("SIGTERM", stop);
process.once("SIGINT", stop);
process.stdin.once("end", stop).once("close", stop).once("error", stop).resume();

const said = { model: server.url, opencode: opencodeBinary(), root: sandbox.root, env: sandbox.env(), projects };
process.stdout.write(`${JSON.stringify(said)}\n`);
