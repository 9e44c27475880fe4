// `node scripts/picture.mjs`: runs the demo and keeps what it prints as docs/demo.svg. Build first.

import { spawn } from "node:child_process";
import { writeFileSync } from "node:fs";
import path from "node:path";
import { fail, isMain, ROOT } from "./process.mjs";

/** Colours of the codes that demo/screen.mjs uses, on a dark ground. @type {Record<string, string>} */
const STYLES = {
  1: "font-weight:bold",
  2: "fill:#8b949e",
  31: "fill:#ff7b72",
  32: "fill:#7ee787",
  33: "fill:#e3b341",
  34: "fill:#79c0ff",
  36: "fill:#56d4dd",
};
const CELL = { width: 7.83, height: 18, font: 13 };
const MARGIN = 18;

/**
 * Terminal output as a picture: text stays text, so that it can be searched and read aloud.
 * @param {string} output with colour codes
 */
export function svg(output) {
  const lines = output.trimEnd().split("\n");
  // biome-ignore lint/suspicious/noControlCharactersInRegex: colour codes begin with the escape character
  const plain = lines.map((line) => line.replace(/\u001b\[\d*m/g, ""));
  const width = Math.ceil(Math.max(...plain.map((line) => [...line].length)) * CELL.width + 2 * MARGIN);
  const height = lines.length * CELL.height + 2 * MARGIN;
  const rows = lines.map((line, at) => {
    const y = MARGIN + (at + 0.75) * CELL.height;
    return `<text x="${MARGIN}" y="${y}" xml:space="preserve">${spans(line)}</text>`;
  });
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}" role="img" aria-label="npm run demo, recorded">
<style>text{font:${CELL.font}px ui-monospace,SFMono-Regular,Menlo,Consolas,monospace;fill:#e6edf3;white-space:pre}</style>
<rect width="100%" height="100%" rx="8" fill="#0d1117"/>
${rows.join("\n")}
</svg>
`;
}

/** @param {string} line */
function spans(line) {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: colour codes begin with the escape character
  const parts = line.split(/\u001b\[(\d*)m/);
  let text = escaped(parts[0] ?? "");
  for (let at = 1; at < parts.length; at += 2) {
    const style = STYLES[parts[at] ?? ""];
    const content = escaped(parts[at + 1] ?? "");
    text += style && content ? `<tspan style="${style}">${content}</tspan>` : content;
  }
  return text;
}

/** @param {string} text */
function escaped(text) {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
}

if (isMain(import.meta.url)) {
  const child = spawn(process.execPath, ["demo/main.mjs"], {
    cwd: ROOT,
    env: { ...process.env, FORCE_COLOR: "1", NO_COLOR: "" },
    stdio: ["ignore", "pipe", "inherit"],
  });
  let output = "";
  child.stdout.setEncoding("utf8").on("data", (text) => (output += text));
  const code = await new Promise((resolve) => child.once("close", resolve));
  if (code !== 0) fail(`${output}\nThe demo failed: no picture.`);
  writeFileSync(path.join(ROOT, "docs/demo.svg"), svg(`$ npm run demo\n${output}`));
}
