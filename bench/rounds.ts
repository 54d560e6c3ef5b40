import type { Cores } from "./machine.ts";
import { measure } from "./measure/measure.ts";
import type { Measurement } from "./measure/measurement.ts";
import { Repeater } from "./noise.ts";
import type { Block, Cell, Plan } from "./plan.ts";
import { type Outcome, type Round, summarize } from "./summary.ts";

/** What was found so far. */
export interface Progress {
  readonly outcomes: readonly Outcome[];
  /** Measurements that were made again. */
  readonly repeated: number;
}

/** Measures block after block, and says after each what was found so far. */
export async function* runPlan(
  { blocks, rounds, mostRepeated, timing }: Plan,
  cores: Cores | undefined,
): AsyncGenerator<Progress> {
  const repeater = new Repeater(mostRepeated);
  const outcomes: Outcome[] = [];
  for (const block of blocks) {
    const measured: Round[] = [];
    for (let index = 0; index < rounds; index++) {
      const round = new Map<Cell, Measurement>();
      for (const cell of block.cells) {
        show(block, cell, `round ${index + 1} of ${rounds}`);
        const once = () => measure(cell.contender, cell.scenario, timing, cores);
        round.set(cell, await repeater.measure(once));
      }
      measured.push(round);
    }
    clearLine();
    outcomes.push(summarize(block, measured));
    yield { outcomes: [...outcomes], repeated: repeater.repeated };
  }
}

/** What is being done, on a line that the next one replaces; for terminals only. */
function show({ name }: Block, { scenario, contender }: Cell, round: string): void {
  if (!process.stderr.isTTY) return;
  process.stderr.write(`\r\x1b[K${name}, ${round}: ${scenario.name}: ${contender.name}`);
}

function clearLine(): void {
  if (process.stderr.isTTY) process.stderr.write("\r\x1b[K");
}
