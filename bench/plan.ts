import { fullBlocks, quickBlocks } from "./blocks.ts";
import type { Contender } from "./contenders/contender.ts";
import type { Scenario, Timing } from "./scenario.ts";

/** What a run measures, and how thoroughly. */
export interface Plan {
  readonly blocks: readonly Block[];
  readonly rounds: number;
  /** So many measurements may be made again because of noise. */
  readonly mostRepeated: number;
  readonly timing: Timing;
}

/** What is measured together: each round goes through all cells, one after another. */
export interface Block {
  readonly name: string;
  /** What it shows, in a sentence or two. */
  readonly about: string;
  readonly cells: readonly Cell[];
  /**
   * In this scenario each contender is its own control in the others. Without it, contenders are
   * compared with others in the same scenario.
   */
  readonly baseline?: Scenario;
}

/** One contender in one scenario. */
export interface Cell {
  readonly scenario: Scenario;
  readonly contender: Contender;
}

/**
 * The plan of a run.
 *
 * @param quick one round of few scenarios.
 * @param only words that the names of block, scenario and contender, taken together, must all contain.
 * @param reference the C reference, where there is one.
 */
export function makePlan(
  { quick, only }: { quick: boolean; only: string },
  reference: Contender | undefined,
): Plan {
  const wanted = (block: Block, { scenario, contender }: Cell): boolean =>
    isMeant(only, `${block.name} ${scenario.name} ${contender.name}`);
  return {
    blocks: (quick ? quickBlocks(reference) : fullBlocks(reference))
      .map((block) => ({ ...block, cells: block.cells.filter((cell) => wanted(block, cell)) }))
      .filter(({ cells }) => cells.length > 0),
    rounds: quick ? 1 : 3,
    mostRepeated: quick ? 5 : 30,
    timing: { warmUpMs: 400, measureMs: 1200 },
  };
}

/** Whether a name has all of these words. */
export function isMeant(only: string, name: string): boolean {
  const words = only.toLowerCase().split(/\s+/);
  return words.every((word) => name.toLowerCase().includes(word));
}
