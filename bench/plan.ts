import { CONTENDERS, type Contender } from "./contenders.ts";
import type { Scenario, Timing } from "./measurement.ts";

/** What a run measures, and how thoroughly. */
export interface Plan {
  readonly scenarios: readonly { scenario: Scenario; contenders: readonly Contender[] }[];
  readonly rounds: number;
  readonly timing: Timing;
}

const RATES = [1_000, 10_000, 30_000, undefined];
const QUICK_RATES = [10_000, undefined];

/**
 * The plan of a run.
 *
 * @param quick one short round of few scenarios.
 * @param only words that the names of scenario and contender, taken together, must all contain.
 */
export function makePlan({ quick, only }: { quick: boolean; only: string }): Plan {
  const words = only.toLowerCase().split(/\s+/);
  const wanted = (scenario: Scenario, contender: Contender): boolean => {
    const name = `${scenario.name} ${contender.name}`.toLowerCase();
    return words.every((word) => name.includes(word));
  };
  return {
    scenarios: (quick ? QUICK_RATES : RATES)
      .map((rate) => fanOut(100, 128, rate))
      .map((scenario) => ({
        scenario,
        contenders: CONTENDERS.filter((contender) => wanted(scenario, contender)),
      }))
      .filter(({ contenders }) => contenders.length > 0),
    rounds: quick ? 1 : 3,
    timing: quick ? { warmUpMs: 700, measureMs: 2000 } : { warmUpMs: 1000, measureMs: 3000 },
  };
}

function fanOut(clients: number, payloadBytes: number, rate: number | undefined): Scenario {
  const load = rate === undefined ? "saturated" : `${rate.toLocaleString("en")} messages/s`;
  return { name: `${clients} clients, ${payloadBytes} B, ${load}`, clients, payloadBytes, rate };
}
