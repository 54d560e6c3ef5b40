import type { Spread } from "../summary.ts";

/** A Markdown table that also reads well on a terminal: all columns but the first are numbers. */
export function table(titles: readonly string[], rows: readonly (readonly string[])[]): string {
  const widths = titles.map((title, column) =>
    Math.max(title.length, 3, ...rows.map((row) => row[column]!.length)),
  );
  const pad = (cell: string, column: number): string =>
    column === 0 ? cell.padEnd(widths[0]!) : cell.padStart(widths[column]!);
  const line = (cells: readonly string[]): string => `| ${cells.map(pad).join(" | ")} |`;
  const rule = widths.map((width, column) =>
    column === 0 ? "-".repeat(width) : `${"-".repeat(width - 1)}:`,
  );
  return [line(titles), line(rule), ...rows.map(line)].join("\n");
}

/** `"1.02 (0.98–1.10)"`, or the one value of a single round; a unit stands once. */
export function withSpread(spread: Spread | undefined, show: (value: number) => string): string {
  if (spread === undefined) return "";
  const [median, least, most] = [spread.median, spread.least, spread.most].map(show);
  if (least === most) return median!;
  const unit = / \D+$/.exec(least!)?.[0];
  const short = unit !== undefined && most!.endsWith(unit) ? least!.slice(0, -unit.length) : least;
  return `${median} (${short}–${most})`;
}

export function percent(share: number): string {
  return `${Math.round(share * 100)} %`;
}
