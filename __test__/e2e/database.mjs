// @ts-check
/**
 * Sortie's database as it lies on the disk.
 * @module
 */
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { bunBinary } from "../../scripts/binaries.mjs";

// Node 20 has no SQLite of its own; Bun has.
const PROGRAM = `
  import { Database } from "bun:sqlite";
  const database = new Database(process.argv.at(-1), { readonly: true });
  const names = database.query("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name").values().flat();
  const tables = names.map((name) => [name, database.query('SELECT * FROM "' + name + '" ORDER BY 1, 2').all()]);
  console.log(JSON.stringify(Object.fromEntries(tables)));
`;

/**
 * Every row of every table.
 *
 * @param {{sortieHome: string}} sandbox
 * @returns {Record<string, any[]>} By table.
 */
export function tables({ sortieHome }) {
  const args = ["-e", PROGRAM, join(sortieHome, "sortie.db")];
  const read = spawnSync(bunBinary(), args, { encoding: "utf8", maxBuffer: 256 * 1024 * 1024 });
  if (read.status !== 0) throw new Error(`the database cannot be read: ${read.error ?? read.stderr}`);
  return JSON.parse(read.stdout);
}
