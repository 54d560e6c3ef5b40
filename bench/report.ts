import { FIGURES, FIGURES_OF, type Figure } from "./figures.ts";
import {
  AT_1M,
  AT_6M,
  BARE,
  controlName,
  find,
  GOALS,
  missedBy,
  NATS,
  RUNTIMES,
  SATURATED,
  showValue,
} from "./goals.ts";
import type { Machine } from "./machine.ts";
import { PLOTS, SLOW_CLIENT_PLOT } from "./plots.ts";
import type { Scenario, Timing } from "./scenario.ts";
import { ABOUT, SLOW_CLIENT, type Story } from "./slow-client.ts";
import { figureOf, type Outcome, type Row, ratioOf, type Spread } from "./summary.ts";

/** All that a full run found. */
export interface Results {
  /** When the run began, in UTC. */
  readonly date: string;
  readonly minutes: number;
  readonly machine: Machine;
  readonly versions: Readonly<Record<string, string>>;
  readonly rounds: number;
  readonly timing: Timing;
  readonly outcomes: readonly Outcome[];
  readonly slowClient: readonly Story[];
}

/** Returns a Markdown table that also reads well on a terminal: all columns but the first are numbers. */
function table(titles: readonly string[], rows: readonly (readonly string[])[]): string {
  const widths = titles.map((title, column) =>
    Math.max(title.length, 3, ...rows.map((row) => row[column]!.length)),
  );
  const pad = (cell: string, column: number): string =>
    column === 0 ? cell.padEnd(widths[0]!) : cell.padStart(widths[column]!);
  const line = (cells: readonly string[]): string => `| ${cells.map(pad).join(" | ")} |`;
  const rule = widths.map((width, column) =>
    column === 0 ? "-".repeat(width) : `${"-".repeat(width - 1)}:`,
  );
  return [line(titles), line(rule), ...rows.map(line)].join("\n");
}

/** Writes the whole of `RESULTS.md`, without what only aligns tables on a terminal. */
export function resultsPage(results: Results): string {
  const { machine, versions, rounds, timing, date, minutes, outcomes, slowClient } = results;
  const pinned = machine.pinned
    ? "the gateway on core 0, everything else on core 1"
    : "nothing pinned to a core";
  const page = [
    "# Results",
    "Written by `npm run bench`; [its README](README.md) says what the words mean.",
    [
      `- ${date.slice(0, 16).replace("T", " ")} UTC, in ${Math.round(minutes)} minutes; ${machine.cores} cores of ${machine.cpu}, ${machine.memoryGiB} GiB; ${machine.kernel}; ${pinned}`,
      `- ${Object.entries(versions)
        .map((entry) => entry.join(" "))
        .join(", ")}`,
      `- medians of ${rounds} rounds of ${timing.measureMs / 1000} s, after ${timing.warmUpMs / 1000} s of warm-up; ratios (÷) are taken within a round`,
      "- faults for long, on each runtime: [SOAK.md](SOAK.md)",
    ].join("\n"),
    "## Goals",
    "Median (least–most of the rounds). A figure that misses its goal says by what part of the goal.",
    goalTable(outcomes),
    ...PLOTS.map(({ file, title }) => `![${title}](plots/${file})`),
    ...outcomes.map(outcomeSection),
    slowClientSection(slowClient),
    `![${SLOW_CLIENT_PLOT.title}](plots/${SLOW_CLIENT_PLOT.file})\n`,
  ].join("\n\n");
  return page.replaceAll(/ *\| */g, "|").replaceAll(/-{3,}/g, "-");
}

/** Writes what we ask of Spillway, and what each runtime reaches. */
export function goalTable(outcomes: readonly Outcome[]): string {
  return table(
    ["", "goal", ...RUNTIMES.map(nameOfRuntime)],
    GOALS.map((goal) => [
      goal.asks,
      `${goal.bound} ${showValue(goal, goal.goal)}`,
      ...RUNTIMES.map((runtime) => {
        const found = find(outcomes, goal, runtime);
        if (found === undefined) return "";
        const missed = missedBy(goal, found.median);
        const figure = withSpread(found, (value) => showValue(goal, value));
        return missed === 0 ? `${figure} ✓` : `${figure} ✗ by ${percent(missed)}`;
      }),
    ]),
  );
}

/** Writes a block: one table per scenario. Ratios stand below the row that they are of. */
export function outcomeSection({ name, about, rows }: Outcome): string {
  const scenarios = [...new Set(rows.map(({ scenario }) => scenario))];
  const tables = scenarios.map((scenario) => {
    const here = rows.filter((row) => row.scenario === scenario);
    const columns = columnsOf(scenario).filter(({ cell }) => here.some((row) => cell(row) !== ""));
    const lines = here.flatMap((row) => [
      [nameOf(row), ...columns.map(({ cell }) => cell(row))],
      ...row.controls.map((control) => [
        `… ÷ ${controlName(row, control)}`,
        ...columns.map(({ figure }) => (figure ? ratioCell(row, control, figure) : "")),
      ]),
    ]);
    const title = scenarios.length > 1 ? `### ${scenario.name}\n\n` : "";
    return title + table(["", ...columns.map(({ title }) => title)], lines);
  });
  return `${[`## ${name}`, about, ...tables].join("\n\n")}\n`;
}

function ratioCell(row: Row, control: Row, figure: Figure): string {
  return ratioOf(row, control, figure)?.median.toFixed(2) ?? "";
}

interface Column {
  readonly title: string;
  /** Of which ratios are taken. */
  readonly figure?: Figure;
  cell(row: Row): string;
}

function columnsOf(scenario: Scenario): readonly Column[] {
  const figures = FIGURES_OF[scenario.kind].map((figure): Column => {
    const { title, show } = FIGURES[figure];
    if (figure === "delivered") return { title, cell: delivered };
    const cell = (row: Row): string => {
      const median = figureOf(row, figure)?.median;
      return median === undefined ? "" : show(median);
    };
    return { title, figure, cell };
  });
  if (scenario.kind !== "flow") return figures;
  const cpu = { title: "gateway's core", cell: (row: Row) => percent(share(row, "gateway")) };
  return [...figures, cpu, ...(scenario.rate ? [] : [{ title: "limit", cell: limitOf }])];
}

/** With less than this, a contender falls behind the offered rate; one message in twenty may be in flight. */
const IN_TIME = 0.93;

/** The worst of all rounds. */
function delivered(row: Row): string {
  const share = figureOf(row, "delivered")?.least;
  const isComplete = row.rounds.every(({ complete, failure }) => complete || failure);
  if (share === undefined) return isComplete ? "all" : "not all";
  if (!isComplete) return percent(share);
  return share < IN_TIME ? `${percent(share)}, then all` : "all";
}

/** What limits a saturated row: a core that is busier than this. */
const FULL = 0.9;

/** Returns whose core kept a saturated row from more: the gateway's, or that of everything else. */
export function limitOf(row: Row): string {
  if (share(row, "gateway") >= FULL) return "gateway";
  return share(row, "load") >= FULL ? "load client" : "neither";
}

/** The mean share of one core. */
function share({ rounds }: Row, name: "gateway" | "load"): number {
  const known = rounds.flatMap(({ cpuShares }) => cpuShares?.[name] ?? []);
  return known.reduce((sum, value) => sum + value, 0) / known.length;
}

/** The contender's name, with what went wrong. */
function nameOf({ contender, rounds }: Row): string {
  const failures = rounds.flatMap(({ failure }) => failure ?? []);
  const lost = Math.max(0, ...rounds.map(({ lostClients }) => lostClients ?? 0));
  const troubles = [
    ...(failures.length === 0 ? [] : [`failed ${failures.length} times: ${failures[0]}`]),
    ...(lost === 0 ? [] : [`${lost} clients lost`]),
  ];
  return troubles.length === 0 ? contender.name : `${contender.name} (${troubles.join("; ")})`;
}

/** Writes `"1.02 (0.98–1.10)"`, or the one value of a single round; a unit stands once. */
export function withSpread(spread: Spread, show: (value: number) => string): string {
  const [median, least, most] = [spread.median, spread.least, spread.most].map(show);
  if (least === most) return median!;
  const unit = / \D+$/.exec(least!)?.[0];
  const short = unit !== undefined && most!.endsWith(unit) ? least!.slice(0, -unit.length) : least;
  return `${median} (${short}–${most})`;
}

function percent(share: number): string {
  return Number.isNaN(share) ? "" : `${Math.round(share * 100)} %`;
}

/** Writes what happened to all messages in the end, and what the gateway needed for it. */
export function slowClientSection(stories: readonly Story[]): string {
  const { show } = FIGURES.rssBytes;
  const rows = stories.map(({ policy, samples }) => {
    const [, ...counts] = samples.at(-1)!;
    const most = (of: 4 | 5) => Math.max(...samples.map((sample) => sample[of]));
    return [
      policy,
      ...counts.slice(0, 3).map((count) => count.toLocaleString("en")),
      `${(most(4) / 1024 ** 2).toFixed(1)} MiB`,
      `${show(samples[0]![5])} – ${show(most(5))}`,
    ];
  });
  const titles = ["policy", "published", "received", "declared lost", "queued, at most", "memory"];
  const about = `On Node: ${ABOUT}. With \`disconnect\` it reconnects with the cursor that it was told. Memory is the gateway's, at first and at most.`;
  return `## ${SLOW_CLIENT}\n\n${about}\n\n${table(titles, rows)}`;
}

const SPEED = /(<!-- speed: [^>]*-->\n)[\s\S]*?(<!-- \/speed -->)/;

/** Returns a README with the figures that a run found. */
export function withSpeed(readme: string, outcomes: readonly Outcome[]): string {
  if (!SPEED.test(readme)) throw new Error("README.md has no place for the figures");
  const table = speedTable(outcomes);
  return readme.replace(SPEED, (_, begin: string, end: string) => `${begin}\n${table}\n\n${end}`);
}

/** The rows of the README's table: title, scenario, figures, and the control of a ratio. */
export const SPEED_ROWS: readonly [string, string, readonly Figure[], string?][] = [
  ["deliveries/s, saturated", SATURATED, ["deliveriesPerSecond"]],
  ["… ÷ the bare runtime's", SATURATED, ["deliveriesPerSecond"], BARE],
  ["… ÷ nats-server's own WebSocket's", SATURATED, ["deliveriesPerSecond"], NATS],
  ["at 6M/s: p50, p99", AT_6M, ["p50Us", "p99Us"]],
  ["… p99 ÷ nats-server's", AT_6M, ["p99Us"], NATS],
  ["at 1M/s: p50, p99", AT_1M, ["p50Us", "p99Us"]],
  ["… CPU per delivery ÷ nats-server's", AT_1M, ["cpuUsPerDelivery"], NATS],
];

function speedTable(outcomes: readonly Outcome[]): string {
  const rows = SPEED_ROWS.map(([title, scenario, figures, to]) => [
    title,
    ...RUNTIMES.map((runtime) =>
      figures
        .map((figure) => {
          const asked = { scenario, figure, ...(to && { to }) };
          const found = find(outcomes, asked, runtime);
          return found === undefined ? "" : showValue(asked, found.median);
        })
        .join(", "),
    ),
  ]);
  return table(["", ...RUNTIMES.map(nameOfRuntime)], rows);
}

function nameOfRuntime(runtime: string): string {
  return runtime[0]!.toUpperCase() + runtime.slice(1);
}
