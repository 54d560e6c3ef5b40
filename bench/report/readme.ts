import { readFileSync, writeFileSync } from "node:fs";
import { ROOT } from "../../test/support/runtimes.ts";
import { FIGURES, type Figure } from "../figures.ts";
import { Findings } from "../findings.ts";
import type { Results } from "../results.ts";
import { RUNTIMES } from "../targets.ts";
import { table } from "./table.ts";

const README = `${ROOT}README.md`;
const SPEED = /(<!-- speed: [^>]*-->\n)[\s\S]*?(<!-- \/speed -->)/;
const NATS = "nats-server";

/** Writes the README's table of figures anew. */
export function writeReadme(results: Results): void {
  writeFileSync(README, withSpeed(readFileSync(README, "utf8"), results));
}

/** A README with the figures that a run found. */
export function withSpeed(readme: string, results: Results): string {
  if (!SPEED.test(readme)) throw new Error("README.md has no place for the figures");
  return readme.replace(
    SPEED,
    (_, begin: string, end: string) => `${begin}\n${speedTable(results)}\n${end}`,
  );
}

function speedTable({ outcomes }: Results): string {
  const found = new Findings(outcomes);
  const saturated = found.flow(100, 128, undefined);
  const at = (rate: number) => found.flow(100, 128, rate);
  const value = (scenario: string | undefined, figure: Figure) => (runtime: string) => {
    const spread = found.value(scenario, `spillway on ${runtime}`, figure);
    return spread === undefined ? "" : FIGURES[figure].show(spread.median);
  };
  const ratio =
    (scenario: string | undefined, to: (runtime: string) => string, figure: Figure) =>
    (runtime: string) => {
      const spread = found.ratio(scenario, `spillway on ${runtime}`, to(runtime), figure);
      return spread?.median.toFixed(2) ?? "";
    };
  const bare = (runtime: string): string => `bare ${runtime}`;
  const nats = (): string => NATS;
  const both = (scenario: string | undefined) => (runtime: string) =>
    [value(scenario, "p50Us")(runtime), value(scenario, "p99Us")(runtime)].join(", ");
  const rows: [string, (runtime: string) => string][] = [
    ["deliveries/s, saturated", value(saturated, "deliveriesPerSecond")],
    ["… ÷ the bare runtime's", ratio(saturated, bare, "deliveriesPerSecond")],
    ["… ÷ nats-server's own WebSocket's", ratio(saturated, nats, "deliveriesPerSecond")],
    ["at 6M/s: p50, p99", both(at(60_000))],
    ["… p99 ÷ nats-server's", ratio(at(60_000), nats, "p99Us")],
    ["at 1M/s: p50, p99", both(at(10_000))],
    ["… CPU per delivery ÷ nats-server's", ratio(at(10_000), nats, "cpuUsPerDelivery")],
  ];
  const titles = RUNTIMES.map((runtime) => runtime[0]!.toUpperCase() + runtime.slice(1));
  const cells = rows.map(([title, cell]) => [title, ...RUNTIMES.map(cell)]);
  return `${table(["", ...titles], cells)}\n`;
}
