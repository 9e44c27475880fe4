// @ts-check
/** Attaches, starts, and has nothing more to do; does not detach. A process of its own for `attachment.test.mjs`. */
import { attach, place } from "./harness.mjs";

const here = place();
process.once("exit", here.remove);
const attachment = await attach(here);
await attachment.start();
console.log("attached");
