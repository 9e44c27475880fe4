// @ts-check
/**
 * Rows of the benchmark and the numbers in them.
 * @module
 */

/**
 * A line of the table. Targets are shown, never asserted: a shared machine proves nothing by one run.
 *
 * @typedef {object} Row
 * @property {string} name
 * @property {string} unit
 * @property {number} n Samples.
 * @property {number} median
 * @property {number} p99 With fewer than a hundred samples it is the largest.
 * @property {number} [baseline] Median of the baseline of the same run.
 * @property {number} [ratio] Median of the ratios of pairs.
 * @property {string} target Empty when there is none.
 * @property {boolean} [met] Absent when there is no target.
 * @property {string} [note]
 */

/** @param {number[]} values @param {number} share 0 to 1 */
export function quantile(values, share) {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.max(0, Math.ceil(share * sorted.length) - 1))] ?? Number.NaN;
}

/** @param {number[]} values */
export function median(values) {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1
    ? (sorted[middle] ?? Number.NaN)
    : ((sorted[middle - 1] ?? Number.NaN) + (sorted[middle] ?? Number.NaN)) / 2;
}

/**
 * A row of samples.
 *
 * @param {string} name
 * @param {string} unit
 * @param {number[]} values
 * @param {{most?: number, of?: "median" | "p99" | "ratio", baseline?: number[], note?: string}} how `most` is the target, for `of` (default the median); absent: none.
 * @returns {Row}
 */
export function row(name, unit, values, { most, of = "median", baseline, note }) {
  const pairs = baseline?.map((base, at) => (values[at] ?? Number.NaN) / base);
  const numbers = { median: median(values), p99: quantile(values, 0.99), ratio: pairs ? median(pairs) : undefined };
  return {
    name,
    unit,
    n: values.length,
    median: numbers.median,
    p99: numbers.p99,
    ...(baseline && { baseline: median(baseline) }),
    ...(numbers.ratio !== undefined && { ratio: numbers.ratio }),
    target: most === undefined ? "" : `${of === "median" ? "" : `${of} `}≤ ${most}`,
    ...(most !== undefined && { met: (numbers[of] ?? Number.NaN) <= most }),
    ...(note !== undefined && { note }),
  };
}

/** @param {Row[]} rows */
export function table(rows) {
  const head = ["figure", "n", "median", "p99", "baseline", "ratio", "unit", "target", ""];
  const body = rows.map((one) => [
    one.name,
    String(one.n),
    short(one.median),
    short(one.p99),
    short(one.baseline),
    one.ratio === undefined ? "" : one.ratio.toFixed(2),
    one.unit,
    one.target,
    one.met === undefined ? "" : one.met ? "met" : "missed",
  ]);
  const widths = head.map((cell, at) => Math.max(cell.length, ...body.map((cells) => cells[at]?.length ?? 0)));
  const line = (/** @type {string[]} */ cells) =>
    cells
      .map((cell, at) => (at >= 1 && at <= 5 ? cell.padStart(widths[at] ?? 0) : cell.padEnd(widths[at] ?? 0)))
      .join("  ")
      .trimEnd();
  const notes = rows.filter(({ note }) => note).map(({ name, note }) => `  ${name}: ${note}`);
  return [line(head), ...body.map(line), ...(notes.length > 0 ? ["", ...notes] : [])].join("\n");
}

/** @param {number | undefined} value */
function short(value) {
  if (value === undefined) return "";
  return Math.abs(value) >= 100 || Number.isInteger(value) ? String(Math.round(value)) : value.toFixed(2);
}
