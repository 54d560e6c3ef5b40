import { FIGURES, type Figure } from "./figures.ts";
import type { Results } from "./results.ts";
import type { Comparison, Outcome, Place } from "./summary.ts";

/** How far the ratios of rounds lie from the median of their cell, by figure. */
export interface StatedSpread {
  readonly figure: Figure;
  /** Of so many ratios. */
  readonly rounds: number;
  /** 95 % of them are no more than so many times their median, and no less than its part. */
  readonly factor: number;
}

/** A ratio that a second run found elsewhere than the first one had said. */
export interface Outlier {
  readonly of: Place;
  readonly to: Place;
  readonly figure: Figure;
  readonly first: number;
  readonly second: number;
}

/** What a second full run said of the ratios of a first one. */
export interface Repeat {
  /** When each began, in UTC. */
  readonly date: string;
  readonly secondDate: string;
  readonly figures: readonly (StatedSpread & { readonly within: number; readonly of: number })[];
  readonly outliers: readonly Outlier[];
}

const SHARE = 0.95;

/**
 * States the spread of each figure's ratios. The three rounds of one cell say little of it; those of all
 * cells together do.
 */
export function statedSpreads(outcomes: readonly Outcome[]): readonly StatedSpread[] {
  return figures.flatMap((figure) => {
    const away = outcomes
      .flatMap((outcome) => outcome.comparisons.flatMap((one) => roundsOf(outcome, one, figure)))
      .toSorted((one, other) => one - other);
    const factor = away[Math.ceil(away.length * SHARE) - 1];
    return factor === undefined ? [] : [{ figure, rounds: away.length, factor }];
  });
}

/** Compares a run with an earlier one: the medians of the same ratios, against the spread that the earlier one stated. */
export function repeatOf(first: Results, second: Results): Repeat {
  const medians = mediansOf(first.outcomes);
  const outliers: Outlier[] = [];
  const compared = statedSpreads(first.outcomes).map((stated) => {
    const { figure, factor } = stated;
    const pairs = second.outcomes
      .flatMap(({ comparisons }) => comparisons)
      .flatMap(({ of, to, ratios }) => {
        const before = medians.get(keyOf(of, to, figure));
        const now = ratios[figure]?.median;
        return before && now ? [{ of, to, figure, first: before, second: now }] : [];
      });
    const outside = pairs.filter(({ first, second }) => distance(first, second) > factor);
    outliers.push(...outside);
    return { ...stated, within: pairs.length - outside.length, of: pairs.length };
  });
  return { date: first.date, secondDate: second.date, figures: compared, outliers };
}

const figures = Object.keys(FIGURES) as Figure[];

function mediansOf(outcomes: readonly Outcome[]): ReadonlyMap<string, number> {
  return new Map(
    outcomes.flatMap(({ comparisons }) =>
      comparisons.flatMap(({ of, to, ratios }) =>
        figures.flatMap((figure) => {
          const median = ratios[figure]?.median;
          return median === undefined ? [] : [[keyOf(of, to, figure), median] as const];
        }),
      ),
    ),
  );
}

/** How far the ratio of each round lies from their median. */
function roundsOf({ rows }: Outcome, { of, to, ratios }: Comparison, figure: Figure): number[] {
  const median = ratios[figure]?.median;
  const roundsAt = (place: Place) =>
    rows.find((row) => row.scenario === place.scenario && row.contender === place.contender)
      ?.rounds;
  const [ours = [], theirs = []] = [roundsAt(of), roundsAt(to)];
  // Nothing can be said of the spread of one.
  if (!median || ours.length < 2) return [];
  return ours.flatMap((round, index) => {
    const ratio = (round.figures[figure] ?? 0) / (theirs[index]?.figures[figure] ?? 0);
    return ratio > 0 && Number.isFinite(ratio) ? [distance(ratio, median)] : [];
  });
}

/** How many times the smaller one the larger one is. */
function distance(one: number, other: number): number {
  return Math.max(one, other) / Math.min(one, other);
}

function keyOf(of: Place, to: Place, figure: Figure): string {
  return [of.scenario, of.contender, to.scenario, to.contender, figure].join("|");
}
