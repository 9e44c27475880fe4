// @ts-check
/**
 * A home of its own for an OpenCode under test: nothing of the user's
 * configuration, keys or data is seen, nothing outside is written, nothing
 * touches the network.
 * @module
 */
import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { OPENCODE_VERSION } from "./opencode-binary.mjs";
import { alive, pidsWithEnv } from "./proc.mjs";
import { until } from "./wait.mjs";

/** The scripted model, as `provider/model`. */
export const MODEL = "scripted/model";

/** Variables a child may take over from this process. */
const INHERITED = ["PATH", "LANG", "LC_ALL", "TZ", "SystemRoot", "RUST_BACKTRACE", "LLVM_PROFILE_FILE"];

/** One author and one date, so that the first commit has the same id in every run. */
const IDENTITY = {
  GIT_AUTHOR_NAME: "Sortie Test",
  GIT_AUTHOR_EMAIL: "test@sortie.invalid",
  GIT_COMMITTER_NAME: "Sortie Test",
  GIT_COMMITTER_EMAIL: "test@sortie.invalid",
};
const FIRST_COMMIT_DATE = "2026-01-01T00:00:00Z";

/** @typedef {string | [string, Record<string, unknown>]} PluginSpec */

/**
 * @typedef {object} SandboxOptions
 * @property {string} model URL of the model server.
 * @property {PluginSpec | PluginSpec[]} [plugin] Plugin(s) of every project: absolute paths, or a path with options.
 * @property {PluginSpec | PluginSpec[]} [tuiPlugin] The same for `tui.json`.
 * @property {Record<string, unknown>} [config] Merged over the top level of `opencode.json`.
 * @property {boolean} [git] Make the project a git repository with one commit. Default true.
 */

/**
 * @typedef {object} Sandbox
 * @property {string} root Everything is below it.
 * @property {string} home
 * @property {string} sortieHome `SORTIE_HOME`.
 * @property {string} project Directory of the first project.
 * @property {(extra?: Record<string, string | undefined>) => Record<string, string>} env The whole environment of a child.
 * @property {(name: string, options?: {git?: boolean, config?: Record<string, unknown>}) => string} addProject A further project in this home.
 * @property {(cleanup: () => unknown) => void} defer Runs before removal, last added first.
 * @property {() => string} log The host's log of all its processes so far.
 * @property {() => Promise<void>} remove Stops what was started here, strays included, and deletes the directory.
 */

/**
 * Creates a sandbox.
 *
 * @param {SandboxOptions} options
 * @returns {Sandbox}
 */
export function createSandbox({ model, plugin, tuiPlugin, config, git = true }) {
  // Short: the path of a tmux socket inside must stay under 108 bytes.
  const root = mkdtempSync(join(tmpdir(), "sortie-"));
  const home = join(root, "home");
  const dirs = {
    XDG_DATA_HOME: join(home, ".local/share"),
    XDG_CONFIG_HOME: join(home, ".config"),
    XDG_STATE_HOME: join(home, ".local/state"),
    XDG_CACHE_HOME: join(home, ".cache"),
    SORTIE_HOME: join(root, "sortie"),
    TMPDIR: join(root, "tmp"),
  };
  for (const dir of Object.values(dirs)) mkdirSync(dir, { recursive: true });
  stubPluginSdk(join(dirs.XDG_CONFIG_HOME, "opencode"));
  const modelsFile = join(root, "models.json");
  writeFileSync(modelsFile, "{}");

  /** @type {(() => unknown)[]} */
  const cleanups = [];

  /** @type {Sandbox["env"]} */
  const env = (extra = {}) => {
    const inherited = Object.fromEntries(INHERITED.map((name) => [name, process.env[name]]));
    const all = {
      ...inherited,
      HOME: home,
      USERPROFILE: home,
      TERM: "xterm-256color",
      SHELL: "/bin/sh",
      SORTIE_SANDBOX: root,
      ...dirs,
      ...IDENTITY,
      GIT_CONFIG_NOSYSTEM: "1",
      OPENCODE_DISABLE_AUTOUPDATE: "1",
      OPENCODE_DISABLE_MODELS_FETCH: "1",
      OPENCODE_MODELS_PATH: modelsFile,
      OPENCODE_DISABLE_LSP_DOWNLOAD: "1",
      OPENCODE_DISABLE_DEFAULT_PLUGINS: "1",
      OPENCODE_DISABLE_SHARE: "1",
      OPENCODE_DISABLE_TERMINAL_TITLE: "1",
      OPENCODE_DISABLE_CLAUDE_CODE: "1",
      ...extra,
    };
    /** @type {Record<string, string>} */
    const given = {};
    for (const [name, value] of Object.entries(all)) if (value !== undefined) given[name] = value;
    return given;
  };

  /** @type {Sandbox["addProject"]} */
  const addProject = (name, options = {}) => {
    const dir = join(root, name);
    mkdirSync(join(dir, ".opencode"), { recursive: true });
    stubPluginSdk(join(dir, ".opencode"));
    writeJson(join(dir, "opencode.json"), { ...projectConfig(model, list(plugin)), ...config, ...options.config });
    if (tuiPlugin) writeJson(join(dir, ".opencode", "tui.json"), { plugin: list(tuiPlugin) });
    writeFileSync(join(dir, "README.md"), `# ${name}\n`);
    writeFileSync(join(dir, ".gitignore"), "node_modules/\n");
    if (options.git ?? git) initRepository(dir, env());
    return dir;
  };

  return {
    root,
    home,
    sortieHome: dirs.SORTIE_HOME,
    project: addProject("project"),
    env,
    addProject,
    defer: (cleanup) => void cleanups.push(cleanup),
    log: () => readLog(join(dirs.XDG_DATA_HOME, "opencode", "log")),
    async remove() {
      for (let cleanup = cleanups.pop(); cleanup; cleanup = cleanups.pop()) await cleanup();
      await killStrays(root);
      rmSync(root, { recursive: true, force: true, maxRetries: 5 });
    },
  };
}

/**
 * Runs git in a sandbox's environment.
 *
 * @param {Sandbox} sandbox
 * @param {string} cwd
 * @param {...string} args
 * @returns {string} Its standard output.
 */
export function git(sandbox, cwd, ...args) {
  return execFileSync("git", args, { cwd, env: sandbox.env(), encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] });
}

/** @param {string} model @param {PluginSpec[]} plugins */
function projectConfig(model, plugins) {
  return {
    $schema: "https://opencode.ai/config.json",
    autoupdate: false,
    share: "disabled",
    model: MODEL,
    small_model: MODEL,
    enabled_providers: ["scripted"],
    lsp: false,
    formatter: false,
    plugin: plugins,
    provider: {
      scripted: {
        name: "Scripted",
        npm: "@ai-sdk/openai-compatible",
        options: { baseURL: `${model}/v1`, apiKey: "none" },
        models: {
          model: {
            name: "Scripted model",
            limit: { context: 200_000, output: 8_000 },
            cost: { input: 1, output: 2 },
            variants: { high: { reasoningEffort: "high" } },
          },
        },
      },
    },
  };
}

/**
 * Tells the host that its plugin SDK is installed already in a configuration
 * directory; otherwise any external plugin makes it ask the npm registry.
 *
 * @param {string} dir
 */
function stubPluginSdk(dir) {
  mkdirSync(join(dir, "node_modules"), { recursive: true });
  const dependencies = { "@opencode-ai/plugin": OPENCODE_VERSION };
  writeJson(join(dir, "package.json"), { dependencies });
  writeJson(join(dir, "package-lock.json"), { packages: { "": { dependencies } } });
  writeFileSync(join(dir, ".gitignore"), "node_modules\npackage.json\npackage-lock.json\nbun.lock\n.gitignore\n");
}

/** @param {string} dir @param {Record<string, string>} env */
function initRepository(dir, env) {
  const run = (/** @type {string[]} */ ...args) =>
    execFileSync("git", args, {
      cwd: dir,
      env: { ...env, GIT_AUTHOR_DATE: FIRST_COMMIT_DATE, GIT_COMMITTER_DATE: FIRST_COMMIT_DATE },
      stdio: ["ignore", "ignore", "pipe"],
    });
  run("init", "--quiet", "--initial-branch=main");
  run("add", "--all");
  run("commit", "--quiet", "--message=first");
}

/** Kills what left its process group but still carries the sandbox in its environment. @param {string} root */
async function killStrays(root) {
  if (process.platform !== "linux") return;
  const pids = pidsWithEnv(`SORTIE_SANDBOX=${root}`);
  for (const pid of pids) {
    try {
      process.kill(pid, "SIGKILL");
    } catch {
      // It ended by itself.
    }
  }
  await until(() => !pids.some(alive), { timeoutMs: 5_000, what: `stray processes ${pids.join(", ")} to end` });
}

/** @param {string} dir */
function readLog(dir) {
  try {
    return readFileSync(join(dir, "opencode.log"), "utf8");
  } catch {
    return "";
  }
}

/** @param {PluginSpec | PluginSpec[] | undefined} plugin @returns {PluginSpec[]} */
function list(plugin) {
  if (plugin === undefined) return [];
  if (typeof plugin === "string") return [plugin];
  const [first, second] = plugin;
  const single =
    plugin.length === 2 && typeof first === "string" && typeof second === "object" && !Array.isArray(second);
  return single ? [/** @type {PluginSpec} */ (plugin)] : /** @type {PluginSpec[]} */ (plugin);
}

/** @param {string} path @param {unknown} value */
function writeJson(path, value) {
  writeFileSync(path, `${JSON.stringify(value, null, 2)}\n`);
}
