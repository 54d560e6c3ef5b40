import type { EChartsOption, SeriesOption } from "echarts";
import { ABOUT, type Sample, type Story } from "../slow-client/story.ts";
import { renderSvg } from "./svg.ts";
import { table } from "./table.ts";

const TITLE = "One client does not read for a while: what each policy makes of it";
export const SLOW_CLIENT_PLOT = { file: "slow-client.svg", title: TITLE };

const HEIGHT = 600;
const COLUMNS = 2;
const GRID = { width: 320, height: 200, left: 60, top: 110, stepX: 390, stepY: 265 };
const HAS = "the client has";
const TOLD = "the client was told that it will not have";
const PUBLISHED = "published";

/** A panel for each policy: in the end, what the client has and what it was told is all that was published. */
export function slowClientPlot(stories: readonly Story[]): string {
  const places = stories.map((_, index) => ({
    left: GRID.left + (index % COLUMNS) * GRID.stepX,
    top: GRID.top + Math.floor(index / COLUMNS) * GRID.stepY,
  }));
  const option: EChartsOption = {
    title: [
      { text: TITLE, left: 20, top: 10, textStyle: { fontSize: 16 } },
      ...stories.map(({ policy }, index) => ({
        text: policy,
        left: places[index]!.left,
        top: places[index]!.top - 28,
        textStyle: { fontSize: 13 },
      })),
    ],
    legend: { top: 40, left: 16, itemGap: 22, data: [PUBLISHED, HAS, TOLD] },
    grid: places.map((place) => ({ ...place, width: GRID.width, height: GRID.height })),
    xAxis: stories.map((_, gridIndex) => ({
      type: "value",
      gridIndex,
      min: 0,
      max: 8,
      axisLabel: { formatter: "{value} s" },
      splitLine: { show: false },
    })),
    yAxis: stories.map((_, gridIndex) => ({
      type: "value",
      gridIndex,
      max: 40_000,
      axisLabel: { formatter: (messages: number) => `${messages / 1000}k` },
      splitLine: { lineStyle: { color: "#e9ecef" } },
    })),
    series: stories.flatMap(panel),
  };
  return renderSvg(option, HEIGHT);
}

function panel({ samples, stalled }: Story, index: number): SeriesOption[] {
  const common = {
    type: "line",
    xAxisIndex: index,
    yAxisIndex: index,
    showSymbol: false,
  } as const;
  const points = (value: (sample: Sample) => number) =>
    samples.map((sample) => [sample[0], value(sample)]);
  return [
    {
      ...common,
      name: TOLD,
      color: "#e8590c",
      lineStyle: { width: 1 },
      areaStyle: { color: "#ffc9a3" },
      data: points(([, , got, declared]) => got + declared),
    },
    {
      ...common,
      name: HAS,
      color: "#1565d8",
      lineStyle: { width: 1 },
      areaStyle: { color: "#a9c9f5", opacity: 1 },
      data: points(([, , got]) => got),
      markArea: {
        silent: true,
        itemStyle: { color: "rgba(134,142,150,0.14)" },
        label: { position: "insideTop", color: "#495057", fontSize: 11 },
        data: [[{ name: "does not read", xAxis: stalled[0] }, { xAxis: stalled[1] }]],
      },
    },
    {
      ...common,
      name: PUBLISHED,
      color: "#495057",
      lineStyle: { width: 2, type: "dashed" },
      data: points(([, published]) => published),
    },
  ];
}

/** What became of all messages in the end. */
export function slowClientSection(stories: readonly Story[]): string {
  const rows = stories.map(({ policy, samples }) => {
    const [, ...counts] = samples.at(-1)!;
    return [policy, ...counts.map((count) => count.toLocaleString("en"))];
  });
  return [
    "## A slow client",
    `On Node: ${ABOUT}. With \`disconnect\` it comes back with the cursor that it was told.`,
    table(["policy", PUBLISHED, HAS, TOLD], rows),
  ].join("\n\n");
}
