import type { Contender } from "./contenders/contender.ts";
import { FIGURES_OF, type Figure } from "./figures.ts";
import type { Measurement } from "./measure/measurement.ts";
import type { Block, Cell } from "./plan.ts";
import type { Scenario } from "./scenario.ts";

/** The middle of what came of all rounds, and how far they lay apart. */
export interface Spread {
  readonly median: number;
  readonly least: number;
  readonly most: number;
}

export type Spreads = Readonly<Partial<Record<Figure, Spread>>>;

/** One contender in one scenario, by their names. */
export interface Place {
  readonly scenario: string;
  readonly contender: string;
}

export interface Row extends Place {
  /** Without the figures of rounds in which it failed. */
  readonly figures: Spreads;
  readonly rounds: readonly Measurement[];
}

/** What one did in relation to another, by figure; each ratio was taken within a round. */
export interface Comparison {
  readonly of: Place;
  readonly to: Place;
  readonly ratios: Spreads;
}

/** All that came of a block. */
export interface Outcome {
  readonly name: string;
  readonly about: string;
  readonly scenarios: readonly Scenario[];
  readonly rows: readonly Row[];
  readonly comparisons: readonly Comparison[];
  /** When it was measured, in UTC, where that was not with the others. */
  readonly renewed?: string | undefined;
}

/** A round as it came: one measurement for each cell. */
export type Round = ReadonlyMap<Cell, Measurement>;

export function summarize(
  { name, about, cells, baseline }: Block,
  rounds: readonly Round[],
): Outcome {
  return {
    name,
    about,
    scenarios: [...new Set(cells.map(({ scenario }) => scenario))],
    rows: cells.map((cell) => ({
      ...placeOf(cell),
      figures: spreads(cell, (figure) => rounds.map((round) => figureIn(round, cell, figure))),
      rounds: rounds.map((round) => round.get(cell)!),
    })),
    comparisons: cells.flatMap((cell) =>
      cells
        .filter((to) => (baseline ? isBaselineOf(to, cell, baseline) : isControlOf(to, cell)))
        .map((to) => ({
          of: placeOf(cell),
          to: placeOf(to),
          ratios: spreads(cell, (figure) =>
            rounds.map((round) => ratioIn(round, cell, to, figure)),
          ),
        })),
    ),
  };
}

function isBaselineOf(to: Cell, of: Cell, baseline: Scenario): boolean {
  return to.contender === of.contender && to !== of && to.scenario === baseline;
}

function isControlOf(to: Cell, of: Cell): boolean {
  return to.scenario === of.scenario && isControl(to.contender, of.contender);
}

/** Its own runtime and nats-server; of native sockets, ours on Node's too. */
function isControl(control: Contender, { role, runtime, sockets }: Contender): boolean {
  if (role !== "spillway") return false;
  if (control.role === "nats") return true;
  if (control.runtime !== runtime) return false;
  if (control.role === "bare") return control.sockets === sockets;
  return control.role === "spillway" && sockets === "native" && control.sockets === "node";
}

function placeOf({ scenario, contender }: Cell): Place {
  return { scenario: scenario.name, contender: contender.name };
}

function figureIn(round: Round, cell: Cell, figure: Figure): number | undefined {
  return round.get(cell)!.figures[figure];
}

function ratioIn(round: Round, of: Cell, to: Cell, figure: Figure): number | undefined {
  const ours = figureIn(round, of, figure);
  const theirs = figureIn(round, to, figure);
  return ours === undefined || !theirs ? undefined : ours / theirs;
}

function spreads(
  { scenario }: Cell,
  valuesOf: (figure: Figure) => readonly (number | undefined)[],
): Spreads {
  const known = FIGURES_OF[scenario.kind].flatMap((figure) => {
    const values = valuesOf(figure).filter((value) => value !== undefined);
    return values.length === 0 ? [] : [[figure, spread(values)] as const];
  });
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
