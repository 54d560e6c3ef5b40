import { mkdirSync, writeFileSync } from "node:fs";
import type { EChartsOption } from "echarts";
import { ROOT } from "../../test/support/runtimes.ts";
import { Findings } from "../findings.ts";
import type { Results } from "../results.ts";
import { axes, lines, type Panel } from "./panel.ts";
import { SLOW_CLIENT_PLOT, slowClientPlot } from "./slow-client.ts";
import { FONT, renderSvg, WIDTH } from "./svg.ts";

/** A picture of the fan-out to 100 clients against what is offered. */
interface Plot {
  readonly file: string;
  readonly title: string;
  /** Side by side. */
  readonly panels: readonly Panel[];
}

const HEIGHT = 420;

export const PLOTS: readonly Plot[] = [
  {
    file: "throughput.svg",
    title: "Deliveries per second against what is offered",
    panels: [{ name: "delivered per second", figure: "deliveriesPerSecond", unit: 1 }],
  },
  {
    file: "latency.svg",
    title: "Latency in milliseconds against what is offered",
    panels: [
      { name: "p50 in ms", figure: "p50Us", unit: 1000 },
      { name: "p99 in ms", figure: "p99Us", unit: 1000 },
    ],
  },
  {
    file: "cpu.svg",
    title: "CPU time per delivery against what is offered",
    panels: [{ name: "µs of one core per delivery", figure: "cpuUsPerDelivery", unit: 1 }],
  },
];

const FOLDER = `${ROOT}bench/plots/`;

/** Writes all plots as SVG. */
export function writePlots(results: Results): void {
  mkdirSync(FOLDER, { recursive: true });
  for (const [file, svg] of renderPlots(results)) writeFileSync(FOLDER + file, svg);
}

/** All plots by their files' names. */
export function renderPlots({ outcomes, slowClient = [] }: Results): Map<string, string> {
  const findings = new Findings(outcomes);
  const plots = new Map(PLOTS.map((plot) => [plot.file, render(plot, findings)]));
  if (slowClient.length > 0) plots.set(SLOW_CLIENT_PLOT.file, slowClientPlot(slowClient));
  return plots;
}

function render({ title, panels }: Plot, findings: Findings): string {
  const width = (WIDTH - 40) / panels.length;
  const option: EChartsOption = {
    title: {
      text: `${title}: 100 clients, 128 B`,
      left: 20,
      top: 10,
      textStyle: { fontSize: 16, fontWeight: 600, color: "#212529", fontFamily: FONT },
    },
    legend: { top: 40, left: 16, itemGap: 22, textStyle: { fontSize: 12, color: "#343a40" } },
    grid: panels.map((_, index) => ({
      left: 60 + index * width,
      width: width - 60,
      top: 100,
      bottom: 56,
    })),
    ...axes(panels),
    series: panels.flatMap((panel, index) => lines(panel, index, findings)),
  };
  return renderSvg(option, HEIGHT);
}
