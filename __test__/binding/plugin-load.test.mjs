// @ts-check
/** What the plugin says when its addon cannot be had: the words of the catalogue, in the log and in a toast. */
import assert from "node:assert/strict";
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { pathToFileURL } from "node:url";
import { ROOT } from "../../scripts/process.mjs";
import { until } from "../../testkit/wait.mjs";

const ADDON = "export const tools = () => [];";

/**
 * Loads a copy of the plugin beside this addon and returns what it told the host.
 *
 * @param {string | undefined} addon Source of `index.js`.
 * @param {number} [copies] Loaded one after the other; the last one's words are returned.
 * @returns {Promise<{log: string, toast: string}>}
 */
async function words(addon, copies = 1) {
  const root = mkdtempSync(join(tmpdir(), "sortie-load-"));
  /** What the last copy told. @type {Record<string, any>} */
  let told = {};
  const global = /** @type {Record<symbol, unknown>} */ (/** @type {unknown} */ (globalThis));
  try {
    for (let copy = 0; copy < copies; copy++) {
      const at = join(root, String(copy));
      /** @type {Record<string, any>} */
      const heard = {};
      told = heard;
      const fetch = async (/** @type {Request} */ request) => {
        heard[new URL(request.url).pathname] = await request.json();
        return new Response("true");
      };
      const client = { _client: { getConfig: () => ({ fetch, baseUrl: "http://host.invalid" }) } };
      mkdirSync(at);
      writeFileSync(join(at, "package.json"), '{"type": "module"}');
      if (addon !== undefined) writeFileSync(join(at, "index.js"), addon);
      cpSync(join(ROOT, "dist"), join(at, "dist"), { recursive: true });
      const { default: plugin } = await import(pathToFileURL(join(at, "dist/server.js")).href);
      const hooks = await plugin.server({ client, directory: at, project: { worktree: at } }).catch(() => undefined);
      if (copy === copies - 1) assert.deepEqual(hooks, {});
    }
    await until(() => told["/log"] && told["/tui/show-toast"], { what: "the plugin to complain" });
    return { log: told["/log"].message, toast: told["/tui/show-toast"].message };
  } finally {
    delete global[Symbol.for("opencode-sortie.loaded")];
    rmSync(root, { recursive: true, force: true });
  }
}

/** The catalogue's words for what to do. @param {string} code */
function remedy(code) {
  const page = readFileSync(join(ROOT, "docs/errors.md"), "utf8");
  const line = page.split("\n").find((line) => line.startsWith(`| \`${code}\` |`));
  assert.ok(line, `${code} is not in the catalogue`);
  return line.split(" | ").at(-1)?.replace(/ \|$/, "") ?? "";
}

for (const { code, when, addon, copies } of [
  { code: "addon-missing", when: "there is no addon", addon: undefined },
  {
    code: "addon-missing",
    when: "the addon's file is missing",
    addon: 'throw new Error("Cannot find native binding.")',
  },
  { code: "addon-platform", when: "the addon does not load", addon: 'throw new Error("invalid ELF header")' },
  { code: "loaded-twice", when: "the plugin is configured under two specs", addon: ADDON, copies: 2 },
]) {
  test(`when ${when} the plugin says ${code} and the host goes on`, async () => {
    const { log, toast } = await words(addon, copies);
    assert.ok(log.startsWith(`sortie error ${code}: `), log);
    assert.ok(log.endsWith(`. ${remedy(code)}`), log);
    assert.equal(toast, log);
  });
}
