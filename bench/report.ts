import type { describeMachine } from "./machine.ts";
import type { Measurement } from "./measurement.ts";
import type { Plan } from "./plan.ts";
import type { Comparison, Figure, Outcome, Row, Spread } from "./summary.ts";

/** All that a run found, as it stands in `results.json`. */
export interface Results {
  /** When the run began, in UTC. */
  readonly date: string;
  readonly machine: ReturnType<typeof describeMachine>;
  readonly versions: Readonly<Record<string, string>>;
  readonly rounds: number;
  readonly timing: Plan["timing"];
  /** Measurements that were made again, because the hypervisor took too much of the machine. */
  readonly repeated: number;
  readonly outcomes: readonly Outcome[];
}

/** The whole of `RESULTS.md`. */
export function resultsPage(results: Results): string {
  const { machine, versions, rounds, timing, repeated, date } = results;
  const pinned = machine.pinned
    ? "the gateway on core 0, everything else on core 1"
    : "nothing pinned to a core";
  return `# Results

Written by \`npm run bench\`; its README says how, and what the words mean. The raw figures of each
round are in \`results.json\`.

- ${date.slice(0, 16).replace("T", " ")} UTC; ${machine.cores} cores of ${machine.cpu}, ${machine.memoryGiB} GiB; ${machine.kernel}; ${pinned}
- ${Object.entries(versions)
    .map(([name, version]) => `${name} ${version}`)
    .join(", ")}
- medians of ${rounds} rounds of ${timing.measureMs / 1000} s, after ${timing.warmUpMs / 1000} s of warm-up; ${repeated} measurements were run again because of noise

${results.outcomes.map(outcomeSection).join("\n")}`;
}

/** A scenario's figures and ratios, as Markdown that also reads well on a terminal. */
export function outcomeSection({ scenario, rows, comparisons }: Outcome): string {
  const parts = [`## ${scenario.name}`, table(ROW_TITLES, rows.map(rowCells))];
  if (comparisons.length > 0) parts.push(table(RATIO_TITLES, comparisons.map(ratioCells)));
  return `${parts.join("\n\n")}\n`;
}

const ROW_TITLES = [
  "",
  "deliveries/s",
  "delivered",
  "p50",
  "p99",
  "µs CPU/delivery",
  "gateway",
  "load client",
  "NATS",
  "publisher",
  "others",
  "steal",
];

function rowCells({ contender, rounds, figures }: Row): string[] {
  const cpu = (name: string): string => {
    const shares = rounds.map(({ cpuShares }) => cpuShares[name]);
    return shares.includes(undefined) ? "" : percent(mean(shares as number[]));
  };
  return [
    contender,
    withSpread(figures.deliveriesPerSecond, (value) => Math.round(value).toLocaleString("en")),
    delivered(rounds),
    withSpread(figures.p50Us, milliseconds),
    withSpread(figures.p99Us, milliseconds),
    withSpread(figures.cpuUsPerDelivery, (value) => value.toFixed(value < 1 ? 3 : 2)),
    ...["gateway", "load", "nats", "publisher", "others"].map(cpu),
    percent(Math.max(...rounds.map(({ stealShare }) => stealShare))),
  ];
}

const RATIO_TITLES = ["ratio, within a round", "deliveries/s", "CPU/delivery", "p50", "p99"];

function ratioCells({ contender, control, ratios }: Comparison): string[] {
  const cell = (figure: Figure): string => withSpread(ratios[figure], (value) => value.toFixed(2));
  return [
    `${contender} ÷ ${control}`,
    cell("deliveriesPerSecond"),
    cell("cpuUsPerDelivery"),
    cell("p50Us"),
    cell("p99Us"),
  ];
}

/** The worst of all rounds. */
function delivered(rounds: readonly Measurement[]): string {
  const lost = Math.max(...rounds.map(({ lostClients }) => lostClients));
  if (lost > 0) return `${lost} clients lost`;
  if (rounds.every(({ complete }) => complete)) return "all";
  return percent(Math.min(1, ...rounds.map(({ deliveredShare }) => deliveredShare)));
}

/** `"1.02 (0.98–1.10)"`, or the one value of a single round. */
function withSpread(spread: Spread | undefined, show: (value: number) => string): string {
  if (spread === undefined) return "";
  const { median, least, most } = spread;
  return least === most ? show(median) : `${show(median)} (${show(least)}–${show(most)})`;
}

function milliseconds(us: number): string {
  const digits = us < 1_000 ? 2 : us < 10_000 ? 1 : 0;
  return `${(us / 1000).toFixed(digits)} ms`;
}

function percent(share: number): string {
  return `${Math.round(share * 100)} %`;
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

function table(titles: readonly string[], rows: readonly (readonly string[])[]): string {
  const widths = titles.map((title, column) =>
    Math.max(title.length, ...rows.map((row) => row[column]!.length)),
  );
  const line = (cells: readonly string[]): string =>
    `| ${cells.map((cell, column) => (column === 0 ? cell.padEnd(widths[0]!) : cell.padStart(widths[column]!))).join(" | ")} |`;
  const rule = widths.map((width, column) =>
    column === 0 ? "-".repeat(width) : `${"-".repeat(width - 1)}:`,
  );
  return [line(titles), line(rule), ...rows.map(line)].join("\n");
}
