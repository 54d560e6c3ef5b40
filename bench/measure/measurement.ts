import type { Figure } from "../figures.ts";
import type { Usage } from "../load/usage.ts";

/** What came of one contender in one scenario of one round. */
export interface Measurement {
  readonly figures: Readonly<Partial<Record<Figure, number>>>;
  /** What each had of one core; `others`: all that has no part in the bench. */
  readonly cpuShares: Readonly<Record<string, number>>;
  /** What the hypervisor took of the machine. */
  readonly stealShare: number;
  /** Of the messages of a flow; `undefined` where there is none. */
  readonly delivered?: Delivered;
  /** Clients whose connection ended before its time or never came about. */
  readonly lostClients: number;
  /** Why it came to nothing; then nothing else means anything. */
  readonly failure?: string;
}

export interface Delivered {
  /** Of what was offered while it was measured; 1 is all. */
  readonly share: number;
  /** Whether all that was offered was published, and in the end each client had got it. */
  readonly complete: boolean;
}

/** A measurement that came to nothing. */
export function failed(why: string): Measurement {
  return { figures: {}, cpuShares: {}, stealShare: 0, lostClients: 0, failure: why };
}

/** The shares of one core, and of the machine, that usage was. */
export function sharesOf(
  { cpuSeconds, machine, seconds }: Usage,
  more: Readonly<Record<string, number>> = {},
): Pick<Measurement, "cpuShares" | "stealShare"> {
  const used = { ...cpuSeconds, ...more };
  const ours = Object.values(used).reduce((sum, value) => sum + value, 0);
  const all = { ...used, ...(machine && { others: Math.max(0, machine.busy - ours) }) };
  const shares = Object.entries(all).map(([name, value]) => [name, value / seconds]);
  return {
    cpuShares: Object.fromEntries(shares),
    stealShare: machine === undefined ? 0 : machine.stolen / machine.total,
  };
}
