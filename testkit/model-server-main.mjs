#!/usr/bin/env node
// @ts-check
/**
 * The scripted model as a process of its own, for the demo and for tests that
 * kill the host and keep the model. Prints one line `{"url": …}`; stops on
 * SIGTERM, SIGINT, or when its stdin closes, so that it never outlives its
 * parent. `GET /requests` lists what it was asked. `--port n` fixes the port.
 * @module
 */
import { startModelServer } from "./model-server.mjs";

const flag = process.argv.indexOf("--port");
const server = await startModelServer({ port: flag < 0 ? 0 : Number(process.argv[flag + 1]) });

let stopping = false;
const stop = async () => {
  if (stopping) return;
  stopping = true;
  await server.close();
  process.exit(0);
};
process.once("SIGTERM", stop);
process.once("SIGINT", stop);
process.stdin.once("end", stop).once("close", stop).once("error", stop).resume();

process.stdout.write(`${JSON.stringify({ url: server.url })}\n`);
