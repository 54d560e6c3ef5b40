import { FIGURES } from "../figures.ts";
import { type Repeat, type StatedSpread, statedSpreads } from "../repeat.ts";
import type { Results } from "../results.ts";
import { table } from "./table.ts";

/** How far the ratios of this page are to be trusted, and what a second run said of those of a first. */
export function trustSection({ outcomes, repeat }: Results): string {
  const stated = statedSpreads(outcomes);
  if (stated.length === 0) return "One round says nothing of how far rounds lie apart.";
  const about =
    "95 % of the rounds' ratios, of all cells together, are no more than so many times the median of their cell, and no less than that part of it. So far apart two runs may be without meaning anything.";
  const rows = stated.map((one) => [FIGURES[one.figure].title, `${one.rounds}`, times(one)]);
  const spread = table(["ratios of", "rounds", "within × or ÷"], rows);
  return [about, spread, ...(repeat === undefined ? [] : repeated(repeat))].join("\n\n");
}

function repeated({ date, secondDate, figures, outliers }: Repeat): string[] {
  const all = figures.reduce((sum, { of }) => sum + of, 0);
  const rows = figures.map((one) => [
    FIGURES[one.figure].title,
    times(one),
    `${one.within} of ${one.of}`,
  ]);
  const when = (iso: string): string => iso.slice(0, 16).replace("T", " ");
  const found = outliers.map(({ of, to, figure, first, second }) => [
    `${FIGURES[figure].title}: ${of.contender}, ${of.scenario} ÷ ${to.contender}, ${to.scenario}`,
    first.toFixed(2),
    second.toFixed(2),
  ]);
  return [
    `Of two full runs on the same machine, the earlier one (${when(date)} UTC) states this of itself, and of the ratios of the later one (${when(secondDate)} UTC) ${all - outliers.length} of ${all} lie within it. Chance alone leaves one in twenty outside.`,
    table(["ratios of", "stated within × or ÷", "within"], rows),
    ...(found.length === 0 ? [] : ["Outside:", table(["", "earlier", "later"], found)]),
  ];
}

function times({ factor }: StatedSpread): string {
  return factor.toFixed(2);
}
