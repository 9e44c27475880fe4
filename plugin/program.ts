/** Where the command line's program is. */
import { existsSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

/** The ends of the names of the packages that may hold this platform's program, the likelier first. */
function platforms(): string[] {
  const base = `${process.platform}-${process.arch}`;
  if (process.platform === "win32") return [`${base}-msvc`];
  return process.platform === "linux" ? [`${base}-gnu`, `${base}-musl`] : [base];
}

/** The program: beside this package where it was built, else in the platform's own package; none where there is none. */
export function program(): string | undefined {
  const name = process.platform === "win32" ? "sortie.exe" : "sortie";
  const root = dirname(dirname(fileURLToPath(import.meta.url)));
  const own = join(root, name);
  if (existsSync(own)) return own;
  const require = createRequire(import.meta.url);
  for (const platform of platforms()) {
    try {
      const path = join(dirname(require.resolve(`opencode-sortie-${platform}/package.json`)), name);
      if (existsSync(path)) return path;
    } catch {
      // Of the packages for all platforms one is installed, or none.
    }
  }
  return undefined;
}
