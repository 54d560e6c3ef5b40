import { GROWTH } from "../block-kinds.ts";
import { FIGURES } from "../figures.ts";
import { Findings } from "../findings.ts";
import type { Results } from "../results.ts";
import type { Row } from "../summary.ts";
import { outcomeSection } from "./outcome.ts";
import { PLOTS } from "./plots.ts";
import { SLOW_CLIENT_PLOT, slowClientSection } from "./slow-client.ts";
import { percent, table, withSpread } from "./table.ts";
import { targetTable } from "./target-table.ts";
import { trustSection } from "./trust.ts";

/** The whole of `RESULTS.md`. */
export function resultsPage(results: Results): string {
  const { outcomes, slowClient } = results;
  const { file, title } = SLOW_CLIENT_PLOT;
  return [
    "# Results",
    "Written by `npm run bench`; [its README](README.md) says how, and what the words mean. The figures of each round are in `results.json`; where the time goes is in [PROFILES.md](PROFILES.md), what was tried in [FINDINGS.md](FINDINGS.md).",
    machineList(results),
    "## Where we go",
    "Each figure is a median, with the least and the most of the rounds; a ratio was taken within a round. What misses its goal says by how much of it.",
    targetTable(new Findings(outcomes)),
    growthOfReference(new Findings(outcomes)),
    ...PLOTS.map(({ file, title }) => `![${title}](plots/${file})`),
    "## How far to trust a ratio",
    trustSection(results),
    "## What the load client can read",
    ceiling(results),
    "## Native sockets against Node's",
    "Ratios of Spillway on a runtime's own sockets to Spillway on `node:http`'s, on the same runtime.",
    nativeTable(results),
    ...outcomes.map(outcomeSection),
    ...(slowClient === undefined || slowClient.length === 0
      ? []
      : [slowClientSection(slowClient), `![${title}](plots/${file})\n`]),
  ].join("\n\n");
}

/** What the machine itself asks of the row about growth. */
function growthOfReference(findings: Findings): string {
  const growth = findings.change(GROWTH, "C", "cpuUsPerDelivery");
  if (growth === undefined)
    return "The C reference, which the growth is to be held against, was left out.";
  const figure = withSpread(growth, (value) => value.toFixed(2));
  return `From 100 to 10,000 clients, the C reference's own CPU per delivery grows to ${figure} times as much.`;
}

function machineList(results: Results): string {
  const { machine, versions, rounds, timing, repeated, date, minutes, installed } = results;
  const pinned = machine.pinned
    ? "the gateway on core 0, everything else on core 1"
    : "nothing pinned to a core";
  const known = Object.entries(versions).map(([name, version]) => `${name} ${version}`);
  return [
    `- ${date.slice(0, 16).replace("T", " ")} UTC, in ${Math.round(minutes)} minutes; ${machine.cores} cores of ${machine.cpu}, ${machine.memoryGiB} GiB; ${machine.kernel}; ${pinned}`,
    `- ${known.join(", ")}`,
    `- medians of ${rounds} rounds of ${timing.measureMs / 1000} s, after ${timing.warmUpMs / 1000} s of warm-up; ${repeated} measurements were run again because of noise`,
    `- installed production dependencies: ${installed.packages} packages, ${(installed.bytes / 1e6).toFixed(1)} MB`,
  ].join("\n");
}

/** What is known from the C reference of the load client's limit. */
function ceiling({ outcomes, leftOut }: Results): string {
  const rows = outcomes.flatMap((outcome) =>
    outcome.rows.filter(
      ({ contender, scenario }) => contender === "C" && scenario.includes("saturated"),
    ),
  );
  if (rows.length === 0)
    return `The C reference was left out: ${leftOut ?? "it was not asked for"}.`;
  const { show } = FIGURES.deliveriesPerSecond;
  const line = (row: Row): string[] => [
    row.scenario,
    withSpread(row.figures.deliveriesPerSecond, show),
    cpuOf(row, "load"),
    cpuOf(row, "gateway"),
  ];
  return `A server of a hundred lines of C, which sends the same bytes and has no NATS in front, is read so fast. In the tables below, the column "limit" says of each saturated row whose core was full.\n\n${table(
    ["", "deliveries/s", "load client", "C"],
    rows.map(line),
  )}`;
}

function cpuOf({ rounds }: Row, name: string): string {
  const shares = rounds.map(({ cpuShares }) => cpuShares[name] ?? 0);
  return percent(shares.reduce((sum, value) => sum + value, 0) / shares.length);
}

function nativeTable({ outcomes }: Results): string {
  const figures = [
    "deliveriesPerSecond",
    "p50Us",
    "p99Us",
    "cpuUsPerDelivery",
    "rssBytes",
    "bytesPerConnection",
    "lastClientMs",
    "connectedMs",
  ] as const;
  const rows = outcomes
    .flatMap(({ comparisons }) => comparisons)
    .filter(({ of, to }) => of.contender === `${to.contender}, native`)
    .map(({ of, ratios }) => [
      `${of.contender}: ${of.scenario}`,
      ...figures.map((figure) => withSpread(ratios[figure], (value) => value.toFixed(2))),
    ]);
  if (rows.length === 0) return "Not measured.";
  return table(["", ...figures.map((figure) => FIGURES[figure].title)], rows);
}
