import type { Figure } from "./figures.ts";
import type { Block, Cell } from "./plan.ts";

/** One contender in one scenario of one round. */
export interface Measurement {
  readonly figures: Readonly<Partial<Record<Figure, number>>>;
  /** Shares of one core: the gateway's, and everything else's together. */
  readonly cpuShares?: { readonly gateway?: number; readonly load?: number };
  /** Whether every message was published and in the end reached every client. */
  readonly complete?: boolean;
  /** Clients whose connection ended early or never opened. */
  readonly lostClients?: number;
  /** The error, if the measurement failed; then there are no figures. */
  readonly failure?: string;
}

/** The median of all rounds, the least and the most. */
export interface Spread {
  readonly median: number;
  readonly least: number;
  readonly most: number;
}

/** All rounds of a cell, and the rows that it is compared with. */
export interface Row extends Cell {
  readonly rounds: readonly Measurement[];
  readonly controls: readonly Row[];
}

/** The results of a block. */
export interface Outcome extends Pick<Block, "name" | "about"> {
  readonly rows: readonly Row[];
}

/** @param measured the rounds of each cell. */
export function summarize(
  { name, about, cells, baseline }: Block,
  measured: ReadonlyMap<Cell, readonly Measurement[]>,
): Outcome {
  const rows = cells.map((cell) => ({
    ...cell,
    rounds: measured.get(cell) ?? [],
    controls: [] as Row[],
  }));
  for (const row of rows) {
    const isOfRow = (other: Cell): boolean =>
      baseline === undefined
        ? isControl(other, row)
        : other !== row && other.contender === row.contender && other.scenario === baseline;
    row.controls.push(...rows.filter(isOfRow));
  }
  return { name, about, rows };
}

/** Returns a figure of a row; `undefined` if no round has it. */
export function figureOf({ rounds }: Row, figure: Figure): Spread | undefined {
  return spread(rounds.map(({ figures }) => figures[figure]));
}

/** Returns the ratio of a row's figure to that of another row. Each ratio is taken within a round. */
export function ratioOf(row: Row, control: Row, figure: Figure): Spread | undefined {
  const ratios = row.rounds.map(({ figures }, round) => {
    const theirs = control.rounds[round]?.figures[figure];
    return figures[figure] === undefined || !theirs ? undefined : figures[figure] / theirs;
  });
  return spread(ratios);
}

/** Returns the spread of the values that are known; `undefined` if there are none. */
export function spread(values: readonly (number | undefined)[]): Spread | undefined {
  const sorted = values.filter((value) => value !== undefined).toSorted((a, b) => a - b);
  if (sorted.length === 0) return undefined;
  const middle = sorted.length >> 1;
  const median =
    sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
  return { median, least: sorted[0]!, most: sorted.at(-1)! };
}

/** Spillway's controls are nats-server, its bare runtime and, for native sockets, itself on Node's. */
function isControl({ scenario, contender: control }: Cell, of: Cell): boolean {
  const { role, runtime, sockets } = of.contender;
  if (scenario !== of.scenario || role !== "spillway") return false;
  if (control.role === "nats") return true;
  if (control.runtime !== runtime) return false;
  if (control.role === "bare") return control.sockets === sockets;
  return control.role === "spillway" && sockets === "native" && control.sockets === "node";
}
