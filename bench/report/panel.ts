import type { EChartsOption, LineSeriesOption } from "echarts";
import type { Figure } from "../figures.ts";
import type { Findings } from "../findings.ts";

/** A system of axes, with a line for each contender. */
export interface Panel {
  readonly name: string;
  readonly figure: Figure;
  /** So much of the figure's own unit is one on the axis. */
  readonly unit: number;
}

const CLIENTS = 100;
const PAYLOAD_BYTES = 128;
const RATES = [1_000, 10_000, 30_000, 60_000];

/** Who is shown, and how: ours in colours of their own, the others in warm ones and grey. */
const LINES = [
  { contender: "spillway on bun", color: "#1565d8", symbol: "circle" },
  { contender: "spillway on node", color: "#0b8a5f", symbol: "rect" },
  { contender: "spillway on deno", color: "#7b3ff2", symbol: "triangle" },
  { contender: "nats-server", color: "#e8590c", symbol: "diamond" },
  { contender: "ws loop", color: "#868e96", symbol: "emptyCircle" },
  { contender: "Socket.IO", color: "#212529", symbol: "emptyRect" },
];

export function axes(panels: readonly Panel[]): Pick<EChartsOption, "xAxis" | "yAxis"> {
  const line = { lineStyle: { color: "#adb5bd" } };
  const common = {
    type: "log",
    axisLine: { show: true, ...line },
    splitLine: { show: true, lineStyle: { color: "#e9ecef" } },
    axisLabel: { color: "#495057", fontSize: 12, formatter: short },
    nameTextStyle: { color: "#495057", fontSize: 13 },
  } as const;
  return {
    xAxis: panels.map((_, gridIndex) => ({
      ...common,
      gridIndex,
      name: "offered deliveries per second",
      nameLocation: "middle",
      nameGap: 30,
      min: 70_000,
      max: 10_000_000,
      axisLabel: { ...common.axisLabel, showMinLabel: false },
    })),
    yAxis: panels.map(({ name }, gridIndex) => ({
      ...common,
      gridIndex,
      name,
      nameLocation: "end",
      nameGap: 12,
      nameTextStyle: { ...common.nameTextStyle, align: "left" },
    })),
  };
}

/** The lines of the panel at this place among all panels. */
export function lines(panel: Panel, index: number, findings: Findings): LineSeriesOption[] {
  return LINES.map(({ contender, color, symbol }) => ({
    type: "line",
    name: contender,
    xAxisIndex: index,
    yAxisIndex: index,
    color,
    symbol,
    symbolSize: 8,
    lineStyle: { width: 2 },
    data: RATES.flatMap((rate) => {
      const scenario = findings.flow(CLIENTS, PAYLOAD_BYTES, rate);
      const value = findings.value(scenario, contender, panel.figure);
      return value === undefined ? [] : [[rate * CLIENTS, value.median / panel.unit]];
    }),
  }));
}

/** `"3M"`, `"100k"`, `"0.05"`. */
function short(value: number): string {
  if (value >= 1e6) return `${value / 1e6}M`;
  return value >= 1e3 ? `${value / 1e3}k` : String(Number(value.toPrecision(2)));
}
