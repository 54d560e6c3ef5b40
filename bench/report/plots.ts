import { mkdirSync, writeFileSync } from "node:fs";
import { type EChartsOption, init } from "echarts";
import { ROOT } from "../../test/support/runtimes.ts";
import { Findings } from "../findings.ts";
import type { Results } from "../results.ts";
import { axes, lines, type Panel } from "./panel.ts";

/** A picture of the fan-out to 100 clients against what is offered. */
interface Plot {
  readonly file: string;
  readonly title: string;
  /** Side by side. */
  readonly panels: readonly Panel[];
}

const WIDTH = 800;
const HEIGHT = 420;
const FONT = "system-ui, -apple-system, 'Segoe UI', 'DejaVu Sans', sans-serif";

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
export function writePlots({ outcomes }: Results): void {
  const findings = new Findings(outcomes);
  mkdirSync(FOLDER, { recursive: true });
  for (const plot of PLOTS) writeFileSync(FOLDER + plot.file, render(plot, findings));
}

function render({ title, panels }: Plot, findings: Findings): string {
  const chart = init(null, null, { renderer: "svg", ssr: true, width: WIDTH, height: HEIGHT });
  const width = (WIDTH - 40) / panels.length;
  const option: EChartsOption = {
    animation: false,
    backgroundColor: "#ffffff",
    textStyle: { fontFamily: FONT, fontSize: 13 },
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
  chart.setOption(option);
  const svg = chart.renderToSVGString();
  chart.dispose();
  return `${svg}\n`;
}
