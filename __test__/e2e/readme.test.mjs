// @ts-check
/** Every command of the README works: each has a way to be run here, and one without a way is a failure. */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { cpSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, dirname, join, resolve } from "node:path";
import { after, test } from "node:test";
import { fileURLToPath } from "node:url";
import { startModelServer } from "../../testkit/model-server.mjs";
import { run, serve } from "../../testkit/opencode.mjs";
import { opencodeBinary } from "../../testkit/opencode-binary.mjs";
import { createSandbox } from "../../testkit/sandbox.mjs";

const ROOT = resolve(dirname(fileURLToPath(import.meta.url)), "../..");
const README = readFileSync(join(ROOT, "README.md"), "utf8");
const place = mkdtempSync(join(tmpdir(), "sortie-r-"));
after(() => rmSync(place, { recursive: true, force: true }));

/** What is run for each command: the same words, kept short, or on this checkout's package. @type {Record<string, () => Promise<void>>} */
const WAYS = {
  "opencode plugin opencode-sortie": installs,
  "npm run demo": async () => {
    const { code, output } = await npm(["run", "demo"]);
    assert.equal(code, 0, output);
    assert.match(output, /✓ every end was told to the commander exactly once/);
  },
  // It is what runs this file; that it starts is seen by its answer to a part that there is not.
  "npm test": async () => {
    const { code, output } = await npm(["test", "--", "--only", "none"]);
    assert.equal(code, 1, output);
    assert.match(output, /there are rust, binding, e2e/);
  },
  "npm run bench -- --quick --json figures.json": async () => {
    const file = join(place, "figures.json");
    const { code, output } = await npm(["run", "bench", "--", "--quick", "--json", file, "--only", "size,launch"]);
    assert.equal(code, 0, output);
    const { rows } = JSON.parse(readFileSync(file, "utf8"));
    assert.deepEqual(
      rows.map((/** @type {{name: string}} */ { name }) => name),
      ["added to each model request", "the addon", "ids of a batch of 50, engine alone"],
    );
    for (const row of rows) assert.ok(output.includes(row.name) && Number.isFinite(row.median), row.name);
  },
  'npx sortie start build "Write the release notes" --timeout 10m --auto-retry': async () => {
    const { code, output } = await sortie(
      "start",
      "build",
      "Write the release notes",
      "--timeout",
      "10m",
      "--auto-retry",
    );
    assert.equal(code, 0, output);
    assert.match(output, /queued for build: Write the release notes/);
  },
  "npx sortie run --parallel 3": async () => {
    const { code, output } = await sortie("run", "--parallel", "3");
    assert.equal(code, 0, output);
    assert.match(output, /^1 complete, 0 failed, 0 cancelled$/m);
  },
  "npx sortie status --json": async () => {
    const { code, output } = await sortie("status", "--json");
    assert.equal(code, 0, output);
    const { version, totals, tasks } = JSON.parse(output);
    assert.deepEqual([version, totals.complete, tasks[0].agent], [1, 1, "build"]);
    assert.ok(recipeModel?.requests.some(({ lastUser }) => lastUser.includes("Write the release notes")));
  },
  "npx sortie checklist checks.md": async () => {
    const say = `SCRIPT: ${JSON.stringify([{ say: "VERDICT: pass" }])}`;
    writeFileSync(join(recipe?.project ?? "", "checks.md"), `- [ ] it holds\n  ${say}\n`);
    const { code, output } = await sortie("checklist", "checks.md");
    assert.equal(code, 0, output);
    assert.match(output, /^1 pass, 0 fail, 0 not known$/m);
  },
  // The tests stand on a build; another one now would pull it from under them.
  "npm run build": async () => {
    assert.ok(readdirSync(ROOT).some((name) => name.endsWith(".node")) && existsSync(join(ROOT, "dist/server.js")));
    const model = await startModelServer();
    const sandbox = createSandbox({ model: model.url, plugin: ROOT });
    try {
      await offersTask(sandbox);
    } finally {
      await sandbox.remove();
      await model.close();
    }
  },
};

/** The project of the recipe, made by its first command. @type {import("../../testkit/sandbox.mjs").Sandbox | undefined} */
let recipe;
/** @type {import("../../testkit/model-server.mjs").ModelServer | undefined} */
let recipeModel;
after(async () => {
  await recipe?.remove();
  await recipeModel?.close();
});

/** A command of the package, with the real OpenCode on its way. @param {string[]} args */
async function sortie(...args) {
  recipeModel ??= await startModelServer();
  recipe ??= createSandbox({ model: recipeModel.url });
  const path = [dirname(opencodeBinary()), process.env.PATH].join(delimiter);
  const options = { cwd: recipe.project, env: recipe.env({ PATH: path }) };
  return new Promise((/** @type {(done: {code: number, output: string}) => void} */ done) => {
    execFile(process.execPath, [join(ROOT, "bin", "sortie.mjs"), ...args], options, (error, stdout, stderr) => {
      done({ code: error ? Number(error.code) : 0, output: stdout + stderr });
    });
  });
}

const commands = [...README.matchAll(/^```sh\n([\s\S]*?)^```/gm)].flatMap(([, block]) =>
  (block ?? "").split("\n").filter((line) => line.trim() !== "" && !line.startsWith("#")),
);

test("the README has commands, and each has a way to be run", () => {
  assert.deepEqual([...new Set(commands)].sort(), Object.keys(WAYS).sort());
});

for (const command of new Set(commands)) {
  test(`the README's \`${command}\` works`, { timeout: 300_000 }, async () => {
    const way = WAYS[command];
    assert.ok(way, "there is no way to run it: add one");
    await way();
  });
}

test("what the README shows and links is there", () => {
  const targets = [...README.matchAll(/\]\(([^)#]+)\)/g)].map(([, target]) => String(target));
  assert.ok(targets.includes("docs/demo.svg") && targets.includes("docs/errors.md"));
  for (const target of targets) assert.ok(existsSync(join(ROOT, target)), target);
});

/** Packs the package with its addon inside, and installs that by OpenCode's own command. */
async function installs() {
  const pack = join(place, "package");
  for (const name of ["dist", "index.js", "index.d.ts", "LICENSE"])
    cpSync(join(ROOT, name), join(pack, name), { recursive: true });
  const addons = readdirSync(ROOT).filter((name) => name.endsWith(".node"));
  for (const name of addons) cpSync(join(ROOT, name), join(pack, name));
  const manifest = JSON.parse(readFileSync(join(ROOT, "package.json"), "utf8"));
  // The platform packages are in a registry only after a release.
  const { devDependencies: _, optionalDependencies: __, ...kept } = manifest;
  writeFileSync(join(pack, "package.json"), JSON.stringify({ ...kept, files: [...kept.files, "*.node"] }));
  const packed = await npm(["pack", pack, "--pack-destination", place]);
  assert.equal(packed.code, 0, packed.output);
  const tarball = readdirSync(place).find((name) => name.endsWith(".tgz"));

  const model = await startModelServer();
  const sandbox = createSandbox({ model: model.url });
  try {
    const { code, stdout, stderr } = await run(
      sandbox,
      ["plugin", `opencode-sortie@file:${join(place, String(tarball))}`],
      {
        timeoutMs: 120_000,
      },
    );
    assert.equal(code, 0, `${stdout}\n${stderr}`);
    await offersTask(sandbox);
  } finally {
    await sandbox.remove();
    await model.close();
  }
}

/** The plugin is loaded and works. @param {import("../../testkit/sandbox.mjs").Sandbox} sandbox */
async function offersTask(sandbox) {
  const server = await serve(sandbox);
  const { body } = await server.request("GET", "/command", { timeoutMs: 120_000 });
  const names = body.map((/** @type {{name: string}} */ { name }) => name);
  assert.ok(names.includes("task") && names.includes("tasks"), names.join(", "));
  await server.stop();
}

/** @param {string[]} args @returns {Promise<{code: number, output: string}>} */
function npm(args) {
  const cli = process.env.npm_execpath;
  const [program, first] = cli?.endsWith("npm-cli.js") ? [process.execPath, [cli]] : ["npm", []];
  return new Promise((done) => {
    // The build that the tests stand on is there; a new one would pull it from under those that run beside this.
    const env = { ...process.env, SORTIE_BUILT: "1", TMPDIR: place };
    execFile(program, [...first, ...args], { cwd: ROOT, env, timeout: 240_000 }, (error, stdout, stderr) =>
      done({ code: error ? Number(error.code ?? 1) : 0, output: `${stdout}${stderr}` }),
    );
  });
}
