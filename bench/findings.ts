import type { Figure } from "./figures.ts";
import type { Flow, Scenario } from "./scenario.ts";
import type { Comparison, Outcome, Row, Spread } from "./summary.ts";
import { spread } from "./summary.ts";

/** Finds single figures in what a run found, by what they are and not by the names of scenarios. */
export class Findings {
  readonly #outcomes: readonly Outcome[];

  constructor(outcomes: readonly Outcome[]) {
    this.#outcomes = outcomes;
  }

  /** The plain scenario with this load: nobody stalls, nothing is set. */
  flow(clients: number, payloadBytes: number, rate: number | undefined): string | undefined {
    return this.#find(
      (scenario) =>
        isPlain(scenario) &&
        scenario.clients === clients &&
        scenario.payloadBytes === payloadBytes &&
        scenario.rate === rate,
    );
  }

  value(scenario: string | undefined, contender: string, figure: Figure): Spread | undefined {
    return this.row(scenario, contender)?.figures[figure];
  }

  row(scenario: string | undefined, contender: string): Row | undefined {
    return this.#outcomes
      .flatMap(({ rows }) => rows)
      .find((row) => row.scenario === scenario && row.contender === contender);
  }

  /** What part of what was offered arrived while it was; what came afterwards was too late. */
  delivered(scenario: string | undefined, contender: string): Spread | undefined {
    const shares = this.row(scenario, contender)?.rounds.flatMap(({ delivered }) =>
      delivered === undefined ? [] : Math.min(1, delivered.share),
    );
    return shares === undefined || shares.length === 0 ? undefined : spread(shares);
  }

  /** Of a contender to another in the same scenario. */
  ratio(scenario: string | undefined, of: string, to: string, figure: Figure): Spread | undefined {
    return this.#comparisons().find(
      (comparison) =>
        comparison.of.scenario === scenario &&
        comparison.to.scenario === scenario &&
        comparison.of.contender === of &&
        comparison.to.contender === to,
    )?.ratios[figure];
  }

  /** Of a contender in the last scenario of a block to itself in the first. */
  change(block: string, contender: string, figure: Figure): Spread | undefined {
    const { scenarios = [], comparisons = [] } = this.#block(block);
    return comparisons.find(
      ({ of }) => of.contender === contender && of.scenario === scenarios.at(-1)?.name,
    )?.ratios[figure];
  }

  /** Of a contender in the second scenario of a block to itself in the first. */
  second(block: string, contender: string, figure: Figure): Spread | undefined {
    const { scenarios = [], comparisons = [] } = this.#block(block);
    return comparisons.find(
      ({ of }) => of.contender === contender && of.scenario === scenarios[1]?.name,
    )?.ratios[figure];
  }

  /** By how much of a unit a figure grows from the first scenario of a block to the last, by the round. */
  growth(block: string, contender: string, figure: Figure, unit: number): Spread | undefined {
    const { scenarios = [] } = this.#block(block);
    const of = (index: number) =>
      this.row(scenarios.at(index)?.name, contender)?.rounds.map(({ figures }) => figures[figure]);
    const [before, after] = [of(0), of(-1)];
    const grown = after?.flatMap((value, round) => {
      const from = before?.[round];
      return value === undefined || from === undefined ? [] : [(value - from) / unit];
    });
    return grown === undefined || grown.length === 0 ? undefined : spread(grown);
  }

  /** Of a contender in the last scenario of a block. */
  last(block: string, contender: string, figure: Figure): Spread | undefined {
    return this.value(this.#block(block).scenarios?.at(-1)?.name, contender, figure);
  }

  #block(block: string): Partial<Outcome> {
    return this.#outcomes.find(({ name }) => name === block) ?? {};
  }

  #comparisons(): readonly Comparison[] {
    return this.#outcomes.flatMap(({ comparisons }) => comparisons);
  }

  #find(fits: (scenario: Scenario) => boolean): string | undefined {
    return this.#outcomes.flatMap(({ scenarios }) => scenarios).find(fits)?.name;
  }
}

function isPlain(scenario: Scenario): scenario is Flow {
  return (
    scenario.kind === "flow" &&
    scenario.stalled === undefined &&
    scenario.v1 === undefined &&
    scenario.settings === undefined &&
    scenario.measureMs === undefined
  );
}
