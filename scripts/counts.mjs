// Reads the real numbers out of what the test runners print.

/**
 * @typedef {{ passed: number, failed: number, skipped: number, skips: string[] }} Counts
 */

/**
 * The sum of all numbers that a pattern's first group finds.
 * @param {string} text
 * @param {RegExp} pattern
 */
function sum(text, pattern) {
  let total = 0;
  for (const match of text.matchAll(pattern)) total += Number(match[1]);
  return total;
}

/**
 * @param {string} text
 * @param {RegExp} pattern
 */
function names(text, pattern) {
  return [...text.matchAll(pattern)].map((match) => (match[1] ?? "").trim());
}

/**
 * `cargo nextest run`: one line `Summary [ 0.1s] 5 tests run: 3 passed (1 slow), 1 failed, 1 timed out, 2 skipped`.
 * @param {string} text
 * @returns {Counts}
 */
export function nextest(text) {
  const line = text.split("\n").findLast((each) => /^\s*Summary \[/.test(each)) ?? "";
  return {
    passed: sum(line, /(\d+) passed/g),
    failed: sum(line, /(\d+) (?:failed|timed out|exec failed)/g),
    skipped: sum(line, /(\d+) skipped/g),
    skips: [],
  };
}

/**
 * `cargo test`: one line `test result: ok. 5 passed; 0 failed; 1 ignored; …` for each test program.
 * @param {string} text
 * @returns {Counts}
 */
export function cargoTest(text) {
  const lines = text
    .split("\n")
    .filter((line) => line.startsWith("test result:"))
    .join("\n");
  return {
    passed: sum(lines, /(\d+) passed/g),
    failed: sum(lines, /(\d+) failed/g),
    skipped: sum(lines, /(\d+) ignored/g),
    skips: names(text, /^test (.+?) \.\.\. ignored/gm),
  };
}

/**
 * `node --test` with the `spec` reporter: lines `ℹ pass 3`, and `﹣ name (1ms) # reason` for what was skipped.
 * @param {string} text
 * @returns {Counts}
 */
export function nodeTest(text) {
  return {
    passed: sum(text, /^ℹ pass (\d+)$/gm),
    failed: sum(text, /^ℹ (?:fail|cancelled) (\d+)$/gm),
    skipped: sum(text, /^ℹ (?:skipped|todo) (\d+)$/gm),
    skips: names(text, /^\s*﹣ (.+)$/gm).map((name) => name.replace(/ \([\d.]+ms\)/, "")),
  };
}

/**
 * `bun test`: lines ` 3 pass`, ` 1 fail`, ` 1 error`, and `(skip) name` for what was skipped.
 * @param {string} text
 * @returns {Counts}
 */
export function bunTest(text) {
  return {
    passed: sum(text, /^ (\d+) pass$/gm),
    failed: sum(text, /^ (\d+) (?:fail|errors?)$/gm),
    skipped: sum(text, /^ (\d+) (?:skip|todo)$/gm),
    skips: names(text, /^\(skip\) (.+)$/gm),
  };
}
