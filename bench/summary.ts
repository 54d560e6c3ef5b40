import type { Contender } from "./contenders.ts";
import type { Measurement, Scenario } from "./measurement.ts";

/** The middle of what came of all rounds, and how far they lay apart. */
export interface Spread {
  readonly median: number;
  readonly least: number;
  readonly most: number;
}

/** The figures of a measurement that are compared. */
export const FIGURES = ["deliveriesPerSecond", "cpuUsPerDelivery", "p50Us", "p99Us"] as const;

export type Figure = (typeof FIGURES)[number];

/** One contender in one scenario. */
export interface Row {
  readonly contender: string;
  readonly rounds: readonly Measurement[];
  readonly figures: Readonly<Partial<Record<Figure, Spread>>>;
}

/** What Spillway did in relation to a control, by figure; each ratio was taken within a round. */
export interface Comparison {
  readonly contender: string;
  readonly control: string;
  readonly ratios: Readonly<Partial<Record<Figure, Spread>>>;
}

/** All that came of one scenario. */
export interface Outcome {
  readonly scenario: Scenario;
  readonly rows: readonly Row[];
  readonly comparisons: readonly Comparison[];
}

/** A round as it came: one measurement for each contender. */
export type Round = ReadonlyMap<Contender, Measurement>;

export function summarize(scenario: Scenario, rounds: readonly Round[]): Outcome {
  const contenders = [...(rounds[0]?.keys() ?? [])];
  return {
    scenario,
    rows: contenders.map((contender) => {
      const measured = rounds.map((round) => round.get(contender)!);
      return {
        contender: contender.name,
        rounds: measured,
        figures: spreads((figure) => measured.map((measurement) => measurement[figure])),
      };
    }),
    comparisons: contenders
      .filter(({ role }) => role === "spillway")
      .flatMap((contender) =>
        contenders
          .filter((control) => isControlOf(control, contender))
          .map((control) => compare(contender, control, rounds)),
      ),
  };
}

function isControlOf(control: Contender, { runtime }: Contender): boolean {
  return control.role === "nats" || (control.role === "bare" && control.runtime === runtime);
}

function compare(contender: Contender, control: Contender, rounds: readonly Round[]): Comparison {
  return {
    contender: contender.name,
    control: control.name,
    ratios: spreads((figure) =>
      rounds.map((round) => {
        const ours = round.get(contender)![figure];
        const theirs = round.get(control)![figure];
        return ours === undefined || !theirs ? undefined : ours / theirs;
      }),
    ),
  };
}

function spreads(valuesOf: (figure: Figure) => (number | undefined)[]): Comparison["ratios"] {
  const known = FIGURES.map((figure) => [figure, valuesOf(figure)] as const).flatMap(
    ([figure, values]) => {
      const numbers = values.filter((value) => value !== undefined);
      return numbers.length === 0 ? [] : [[figure, spread(numbers)] as const];
    },
  );
  return Object.fromEntries(known);
}

/** @param values at least one. */
export function spread(values: readonly number[]): Spread {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  const median =
    sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
  return { median, least: sorted[0]!, most: sorted.at(-1)! };
}
