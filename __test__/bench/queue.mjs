// @ts-check
/**
 * The command line with few and many tasks, against a Python process that keeps them as one JSON file each (as the
 * orchestrator did that people come from), and against pueue where it is installed. Wall time of whole processes, by turns.
 * @module
 */
import { spawn, spawnSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ROOT } from "./hosts.mjs";
import { row } from "./stats.mjs";

/** What that orchestrator does for each command, without its table's colours. */
const PYTHON = `
import json, os, sys, time
directory, command = sys.argv[1], sys.argv[2]
tasks = os.path.join(directory, "tasks")
def load(name):
    with open(os.path.join(tasks, name)) as file:
        return json.load(file)
def save(task):
    path = os.path.join(tasks, task["taskId"] + ".json")
    with open(path + ".tmp", "w") as file:
        json.dump(task, file, indent=2)
    os.replace(path + ".tmp", path)
if command == "status":
    found = sorted((load(name) for name in os.listdir(tasks) if name.endswith(".json")), key=lambda task: task["createdAt"])
    for task in found[-50:]:
        print(task["taskId"], task["agent"], task["status"], task["prompt"][:40])
elif command == "start":
    task = {"taskId": "task_%d" % time.time_ns(), "status": "pending", "agent": "coder", "prompt": sys.argv[3],
            "createdAt": "2025-12-01T00:00:00Z", "retryCount": 0, "maxRetries": 3, "priority": 5, "timeout": 3600}
    save(task)
    print(task["taskId"])
else:
    task = load(sys.argv[3] + ".json")
    task["status"] = "cancelled"
    save(task)
    open(os.path.join(tasks, sys.argv[3] + ".cancelled"), "w").close()
`;

/**
 * How long a program takes, in ms.
 *
 * @param {string} program @param {string[]} args @param {NodeJS.ProcessEnv} env @param {string} cwd
 */
function time(program, args, env, cwd) {
  const from = performance.now();
  const { status, stdout, stderr } = spawnSync(program, args, { env, cwd, encoding: "utf8" });
  const took = performance.now() - from;
  if (status !== 0) throw new Error(`${program} ${args.join(" ")}: exit code ${status}: ${stdout}${stderr}`);
  return { took, out: stdout };
}

/** Prints the most memory that a program had, in KB. */
const PEAK = `
import resource, subprocess, sys
subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
`;

/**
 * The interpreter itself: what stands in PATH may be a version manager's program that looks for it each time.
 *
 * @returns {string | undefined}
 */
function findPython() {
  const { status, stdout } = spawnSync("python3", ["-c", "import sys; print(sys.executable)"], { encoding: "utf8" });
  return status === 0 ? stdout.trim() : undefined;
}

/** Whether a program is there. @param {string} program */
const has = (program) => spawnSync(program, ["--version"]).status === 0;

/** @type {import("./hosts.mjs").Group} */
export async function queue(bench) {
  const place = mkdtempSync(join(tmpdir(), "sortie-bench-queue-"));
  bench.defer(() => rmSync(place, { recursive: true, force: true }));
  const program = join(ROOT, process.platform === "win32" ? "sortie.exe" : "sortie");
  if (!existsSync(program)) throw new Error(`${program} is not there: npm run build`);
  const python = findPython();
  const rows = [];
  for (const count of bench.quick ? [10, 1_000] : [10, 1_000, 100_000]) {
    bench.say(`queue: ${count} tasks`);
    const home = join(place, String(count));
    const project = join(home, "project");
    const older = join(home, "older");
    mkdirSync(project, { recursive: true });
    mkdirSync(join(older, "tasks"), { recursive: true });
    for (let number = 0; number < count; number++) {
      const createdAt = new Date(1_764_000_000_000 + number * 1_000).toISOString();
      const task = {
        taskId: `task_${number}`,
        status: "pending",
        agent: "coder",
        prompt: `do the work of ${number}`,
        createdAt,
      };
      writeFileSync(
        join(older, "tasks", `task_${number}.json`),
        JSON.stringify({ ...task, priority: 5, timeout: 3600 }),
      );
    }
    const env = { ...process.env, SORTIE_HOME: join(home, "sortie"), XDG_CONFIG_HOME: join(home, "config") };
    const own = (/** @type {string[]} */ ...args) => time(program, args, env, project);
    own("import", older);
    const py = (/** @type {string[]} */ ...args) =>
      time(String(python), ["-c", PYTHON, older, ...args], env, project).took;
    const pueue = count <= 1_000 && has("pueued") ? await startPueue(bench, home, count) : undefined;
    /** @type {Record<string, {ours: number[], python: number[], pueue: number[]}>} */
    const seen = {};
    const note = (/** @type {string} */ name) => {
      seen[name] ??= { ours: [], python: [], pueue: [] };
      return seen[name];
    };
    const rounds = bench.quick ? 15 : 50;
    for (let round = 0; round < rounds; round++) {
      const ids = [];
      const start = note("start");
      const started = own("start", "coder", `round ${round}`, "--quiet");
      start.ours.push(started.took);
      ids.push(started.out.trim());
      note("status").ours.push(own("status").took);
      note("cancel").ours.push(own("cancel", String(ids[0])).took);
      if (python !== undefined && (count < 100_000 || round < 5)) {
        start.python.push(py("start", `round ${round}`));
        note("status").python.push(py("status"));
        note("cancel").python.push(py("cancel", `task_${round % count}`));
      }
      if (pueue !== undefined) {
        start.pueue.push(pueue.call("add", "--stashed", "--", "true").took);
        note("status").pueue.push(pueue.call("status").took);
        note("cancel").pueue.push(pueue.call("remove", String(round)).took);
      }
    }
    if (python !== undefined && count === 1_000) {
      const peak = (/** @type {string[]} */ ...words) =>
        Number(time(python, ["-c", PEAK, ...words], env, project).out) / 1024;
      const ours = [peak(program, "status")];
      const memory = (/** @type {string} */ name, /** @type {number} */ other) =>
        row(`memory of status, 1,000 tasks, against ${name}`, "MB", ours, { baseline: [other] });
      rows.push(memory("Python", peak(python, "-c", PYTHON, older, "status")));
      if (pueue !== undefined) rows.push(memory("pueue's client", peak("pueue", ...pueue.words, "status")));
    }
    for (const [name, { ours, python: others, pueue: more }] of Object.entries(seen)) {
      const most = name !== "cancel" && count === 1_000 ? { most: 10 } : {};
      const size = count.toLocaleString("en");
      if (others.length > 0)
        rows.push(
          row(`sortie ${name}, ${size} tasks, against Python`, "ms", ours.slice(0, others.length), {
            ...most,
            baseline: others,
          }),
        );
      else rows.push(row(`sortie ${name}, ${size} tasks`, "ms", ours, most));
      if (more.length > 0)
        rows.push(row(`sortie ${name}, ${size} tasks, against pueue`, "ms", ours, { baseline: more }));
    }
  }
  return rows;
}

/**
 * pueue with so many stashed tasks; its daemon ends with the group.
 *
 * @param {import("./hosts.mjs").Bench} bench @param {string} home @param {number} count
 */
async function startPueue(bench, home, count) {
  const directory = join(home, "pueue");
  mkdirSync(directory, { recursive: true });
  const config = join(directory, "pueue.yml");
  writeFileSync(
    config,
    `shared:\n  pueue_directory: ${directory}\n  runtime_directory: ${directory}\n  use_unix_socket: true\nclient: {}\ndaemon: {}\n`,
  );
  const daemon = spawn("pueued", ["--config", config], { stdio: "ignore" });
  bench.defer(() => daemon.kill());
  const words = ["--config", config];
  const call = (/** @type {string[]} */ ...args) => time("pueue", [...words, ...args], process.env, home);
  const deadline = performance.now() + 10_000;
  while (spawnSync("pueue", ["--config", config, "status"]).status !== 0) {
    if (performance.now() > deadline) throw new Error("pueued does not answer");
    await new Promise((done) => setTimeout(done, 50));
  }
  for (let number = 0; number < count; number++) call("add", "--stashed", "--", "true");
  return { call, words };
}
