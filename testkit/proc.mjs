// @ts-check
/**
 * What a process costs, read from `/proc`: descriptors, threads, memory, CPU
 * and wake-ups. Linux only. Leak tests compare two samples; the idle test wants
 * the difference of CPU ticks and context switches to be next to nothing.
 * @module
 */
import { readdirSync, readFileSync, readlinkSync } from "node:fs";

/**
 * @typedef {object} ProcSample
 * @property {number} fds Open file descriptors.
 * @property {number} threads
 * @property {number} rssBytes Resident memory.
 * @property {number} cpuTicks utime + stime of all threads, in clock ticks (100 a second on Linux).
 * @property {number} voluntarySwitches Voluntary context switches of all living threads: each is a wake-up.
 */

/**
 * Samples a process of this user.
 *
 * @param {number} pid
 * @returns {ProcSample}
 */
export function sample(pid) {
  linuxOnly();
  const status = readFileSync(`/proc/${pid}/status`, "utf8");
  return {
    fds: readdirSync(`/proc/${pid}/fd`).length,
    threads: field(status, "Threads"),
    rssBytes: field(status, "VmRSS") * 1024,
    cpuTicks: cpuTicks(pid),
    voluntarySwitches: voluntarySwitches(pid),
  };
}

/**
 * The open descriptors by what they point to, to name a leak and not only count it.
 *
 * @param {number} pid
 * @returns {string[]} Link targets such as `socket:[123]` or `/path/file`, sorted.
 */
export function descriptors(pid) {
  linuxOnly();
  return readdirSync(`/proc/${pid}/fd`)
    .map((fd) => linkTarget(`/proc/${pid}/fd/${fd}`))
    .filter((target) => target !== "")
    .sort();
}

/**
 * The living threads of a process by their names, which tell whose they are.
 *
 * @param {number} pid
 * @returns {{tid: number, name: string, voluntarySwitches: number}[]}
 */
export function threads(pid) {
  linuxOnly();
  return readdirSync(`/proc/${pid}/task`).flatMap((tid) => {
    try {
      const status = readFileSync(`/proc/${pid}/task/${tid}/status`, "utf8");
      const name = /^Name:\s+(.*)$/m.exec(status)?.[1] ?? "";
      return [{ tid: Number(tid), name, voluntarySwitches: field(status, "voluntary_ctxt_switches") }];
    } catch {
      // It ended between the listing and the read.
      return [];
    }
  });
}

/** Names of the threads that the addon starts: of the store, of its runtime, of its watch on the database. */
export const OUR_THREADS = /^(?:sortie|tokio|notify)/;

/**
 * Whether a process is there and not a zombie.
 *
 * @param {number} pid
 * @returns {boolean}
 */
export function alive(pid) {
  linuxOnly();
  try {
    return statFields(pid)[0] !== "Z";
  } catch {
    return false;
  }
}

/**
 * Processes of this user whose environment holds `entry` exactly, such as
 * `SORTIE_SANDBOX=/tmp/x`: finds children that left their process group.
 *
 * @param {string} entry
 * @returns {number[]}
 */
export function pidsWithEnv(entry) {
  linuxOnly();
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((pid) => pid !== process.pid && environOf(pid).includes(entry));
}

/** @param {number} pid */
function cpuTicks(pid) {
  const fields = statFields(pid);
  // proc(5): utime and stime are fields 14 and 15; `fields` starts at field 3.
  return Number(fields[11]) + Number(fields[12]);
}

/** @param {number} pid */
function voluntarySwitches(pid) {
  return threads(pid).reduce((sum, thread) => sum + thread.voluntarySwitches, 0);
}

/** Fields of `stat` from field 3 (state) on; the name before it may hold spaces. @param {number} pid */
function statFields(pid) {
  const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
  return stat.slice(stat.lastIndexOf(")") + 2).split(" ");
}

/** @param {number} pid */
function environOf(pid) {
  try {
    return readFileSync(`/proc/${pid}/environ`, "utf8").split("\0");
  } catch {
    return [];
  }
}

/** @param {string} path */
function linkTarget(path) {
  try {
    return readlinkSync(path);
  } catch {
    return "";
  }
}

/** @param {string} status @param {string} name */
function field(status, name) {
  return Number(new RegExp(`^${name}:\\s+(\\d+)`, "m").exec(status)?.[1] ?? 0);
}

function linuxOnly() {
  if (process.platform !== "linux") {
    throw new Error(`process counts come from /proc, which ${process.platform} does not have: skip this test there`);
  }
}
