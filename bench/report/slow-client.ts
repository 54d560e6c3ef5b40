import type { EChartsOption, SeriesOption } from "echarts";
import { FIGURES } from "../figures.ts";
import { ABOUT, type Sample, SLOW_CLIENT, type Story } from "../slow-client/story.ts";
import { renderSvg } from "./svg.ts";
import { table } from "./table.ts";

const TITLE = "One client does not read for a while: what each policy makes of it";
export const SLOW_CLIENT_PLOT = { file: "slow-client.svg", title: TITLE };

const HEIGHT = 780;
const COLUMNS = 2;
const GRID = { width: 320, left: 60, top: 110, stepX: 390, stepY: 350 };
/** Above, messages; below it, what waits for the client. */
const MESSAGES_HEIGHT = 200;
const QUEUE = { top: 235, height: 65 };
const MiB = 1024 ** 2;
/** Where a sample has the memory. */
const RSS = 5;
const HAS = "the client has";
const TOLD = "the client was told that it will not have";
const PUBLISHED = "published";
const WAITS = "waits for it";

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
    legend: { top: 40, left: 16, itemGap: 24, data: [PUBLISHED, HAS, WAITS, TOLD] },
    grid: places.flatMap(({ left, top }) => [
      { left, top, width: GRID.width, height: MESSAGES_HEIGHT },
      { left, top: top + QUEUE.top, width: GRID.width, height: QUEUE.height },
    ]),
    xAxis: places.flatMap((_, index) =>
      [2 * index, 2 * index + 1].map((gridIndex) => ({
        type: "value" as const,
        gridIndex,
        min: 0,
        max: 8,
        axisLabel: { formatter: "{value} s", show: gridIndex % 2 === 0 },
        splitLine: { show: false },
      })),
    ),
    yAxis: places.flatMap((_, index) => [
      {
        type: "value",
        gridIndex: 2 * index,
        max: 40_000,
        axisLabel: { formatter: (messages: number) => `${messages / 1000}k` },
        splitLine: { lineStyle: { color: "#e9ecef" } },
      },
      {
        type: "value",
        gridIndex: 2 * index + 1,
        max: 5,
        interval: 5,
        axisLabel: { formatter: (bytes: number) => `${bytes} MiB` },
        splitLine: { show: false },
      },
    ]),
    series: stories.flatMap(panel),
  };
  return renderSvg(option, HEIGHT);
}

function panel({ samples, stalled }: Story, index: number): SeriesOption[] {
  const inGrid = (grid: number) =>
    ({ type: "line", xAxisIndex: grid, yAxisIndex: grid, showSymbol: false }) as const;
  const common = inGrid(2 * index);
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
    {
      ...inGrid(2 * index + 1),
      name: WAITS,
      color: "#7048e8",
      lineStyle: { width: 1 },
      areaStyle: { color: "#d0bfff", opacity: 1 },
      data: points(([, , , , queuedBytes]) => queuedBytes / MiB),
    },
  ];
}

/** What became of all messages in the end, and what the gateway needed for it. */
export function slowClientSection(stories: readonly Story[]): string {
  const rows = stories.map(({ policy, samples }) => {
    const [, ...counts] = samples.at(-1)!;
    const most = (value: (sample: Sample) => number) => Math.max(...samples.map(value));
    const queued = most(([, , , , queuedBytes]) => queuedBytes) / MiB;
    const [first, last] = [samples[0]![RSS], most((sample) => sample[RSS])];
    return [
      policy,
      ...counts.slice(0, 3).map((count) => count.toLocaleString("en")),
      `${queued.toFixed(1)} MiB`,
      [first, last].map(FIGURES.rssBytes.show).join(" – "),
    ];
  });
  return [
    `## ${SLOW_CLIENT}`,
    `On Node: ${ABOUT}. With \`disconnect\` it comes back with the cursor that it was told. The gateway's memory is that at first, and the most.`,
    table(["policy", PUBLISHED, HAS, TOLD, "waits, at most", "memory"], rows),
  ].join("\n\n");
}
