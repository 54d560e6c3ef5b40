import { FIGURES, FIGURES_OF } from "../figures.ts";
import { limitOf } from "../limit.ts";
import type { Measurement } from "../measure/measurement.ts";
import type { Scenario } from "../scenario.ts";
import type { Comparison, Outcome, Row } from "../summary.ts";
import { percent, table, withSpread } from "./table.ts";

/** A block's figures and ratios, as Markdown. */
export function outcomeSection(outcome: Outcome): string {
  const { name, about, scenarios, rows, comparisons, renewed } = outcome;
  const parts = [`## ${name}`, about];
  if (renewed !== undefined) {
    parts.push(`Measured by itself, ${renewed.slice(0, 16).replace("T", " ")} UTC.`);
  }
  for (const scenario of scenarios) {
    if (scenarios.length > 1) parts.push(`### ${scenario.name}`);
    const here = rows.filter((row) => row.scenario === scenario.name);
    parts.push(rowTable(scenario, here));
    const compared = comparisons.filter(
      ({ of, to }) => of.scenario === scenario.name && to.scenario === scenario.name,
    );
    if (compared.length > 0) parts.push(ratioTable(scenario, compared));
  }
  // Against a baseline, scenarios are read one beside the other.
  const changes = comparisons.filter(({ of, to }) => of.scenario !== to.scenario);
  if (changes.length > 0) parts.push(ratioTable(scenarios[0]!, changes));
  return `${parts.join("\n\n")}\n`;
}

function rowTable(scenario: Scenario, rows: readonly Row[]): string {
  const columns = columnsOf(scenario).filter(({ cell }) => rows.some((row) => cell(row) !== ""));
  return table(
    ["", ...columns.map(({ title }) => title)],
    rows.map((row) => [nameOf(row), ...columns.map(({ cell }) => cell(row))]),
  );
}

interface Column {
  readonly title: string;
  cell(row: Row): string;
}

function columnsOf(scenario: Scenario): readonly Column[] {
  const [first, ...others] = FIGURES_OF[scenario.kind].map(
    (figure): Column => ({
      title: FIGURES[figure].title,
      cell: ({ figures }) => withSpread(figures[figure], FIGURES[figure].show),
    }),
  );
  const saturated = scenario.kind === "flow" && scenario.rate === undefined;
  return [
    first!,
    { title: scenario.kind === "flow" ? "delivered" : "failed", cell: delivered },
    ...others,
    ...(saturated ? [{ title: "limit", cell: limitOf }] : []),
    ...["gateway", "load", "nats", "publisher", "others"].map((name) => ({
      title: name === "load" ? "load client" : name,
      cell: cpuCell(name),
    })),
    { title: "steal", cell: ({ rounds }) => stealCell(rounds) },
  ];
}

/** With less than this, it falls behind what is offered; a message in twenty may be on its way. */
const IN_TIME = 0.93;

/** The worst of all rounds. */
function delivered({ rounds }: Row): string {
  const worked = rounds.filter(({ failure }) => failure === undefined);
  const lost = Math.max(0, ...worked.map(({ lostClients }) => lostClients));
  const all = worked.flatMap(({ delivered }) => (delivered === undefined ? [] : [delivered]));
  if (all.length === 0) return lost > 0 ? lost.toLocaleString("en") : "";
  const share = Math.min(1, ...all.map(({ share }) => share));
  if (lost > 0) return `${percent(share)}, ${lost.toLocaleString("en")} clients lost`;
  if (!all.every(({ complete }) => complete)) return percent(share);
  return share < IN_TIME ? `${percent(share)}, then all` : "all";
}

function cpuCell(name: string): (row: Row) => string {
  return ({ rounds }) => {
    const shares = rounds.flatMap(({ cpuShares }) => cpuShares[name] ?? []);
    return shares.length === 0
      ? ""
      : percent(shares.reduce((sum, value) => sum + value, 0) / shares.length);
  };
}

/** The worst of all rounds; nothing where there was none to speak of. */
function stealCell(rounds: readonly Measurement[]): string {
  const steal = Math.max(...rounds.map(({ stealShare }) => stealShare));
  return steal < 0.005 ? "" : percent(steal);
}

/** With what failed, and why. */
function nameOf({ contender, rounds }: Row): string {
  const failures = rounds.flatMap(({ failure }) => failure ?? []);
  if (failures.length === 0) return contender;
  const often = failures.length === rounds.length ? "failed" : `failed ${failures.length} times`;
  return `${contender} (${often}: ${failures[0]})`;
}

function ratioTable({ kind }: Scenario, comparisons: readonly Comparison[]): string {
  const figures = FIGURES_OF[kind].filter((figure) =>
    comparisons.some(({ ratios }) => ratios[figure] !== undefined),
  );
  return table(
    ["ratio, within a round", ...figures.map((figure) => FIGURES[figure].title)],
    comparisons.map(({ of, to, ratios }) => [
      of.scenario === to.scenario
        ? `${of.contender} ÷ ${to.contender}`
        : `${of.contender}: ${of.scenario} ÷ ${to.scenario}`,
      ...figures.map((figure) => withSpread(ratios[figure], (value) => value.toFixed(2))),
    ]),
  );
}
