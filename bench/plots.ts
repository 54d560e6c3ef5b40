import type { Figure } from "./figures.ts";
import { flow } from "./scenario.ts";
import type { Sample, Story } from "./slow-client.ts";
import { figureOf, type Outcome } from "./summary.ts";

/** One picture of the fan-out to 100 clients against the offered rate: a panel for each figure. */
interface Plot {
  readonly file: string;
  readonly title: string;
  /** The title of each panel, its figure, and how many of the figure's units are one on the axis. */
  readonly panels: readonly (readonly [string, Figure, number])[];
}

export const PLOTS: readonly Plot[] = [
  {
    file: "throughput.svg",
    title: "Deliveries per second against what is offered",
    panels: [["delivered per second", "deliveriesPerSecond", 1]],
  },
  {
    file: "latency.svg",
    title: "Latency in milliseconds against what is offered",
    panels: [
      ["p50 in ms", "p50Us", 1000],
      ["p99 in ms", "p99Us", 1000],
    ],
  },
  {
    file: "cpu.svg",
    title: "CPU time per delivery against what is offered",
    panels: [["µs of one core per delivery", "cpuUsPerDelivery", 1]],
  },
];
export const SLOW_CLIENT_PLOT = {
  file: "slow-client.svg",
  title: "One client stops reading for a while: what each policy does",
};

const RATES = [1_000, 10_000, 30_000, 60_000];
/** The colour of each contender: cool ones for ours. */
const COLORS: Readonly<Record<string, string>> = {
  "spillway on bun": "#1565d8",
  "spillway on node": "#0b8a5f",
  "spillway on deno": "#7b3ff2",
  "nats-server": "#e8590c",
  "ws loop": "#868e96",
  "Socket.IO": "#212529",
};
const WIDTH = 800;
const GREY = "#495057";

interface Line {
  readonly color: string;
  readonly points: readonly (readonly [x: number, y: number])[];
  readonly as: "area" | "dashes" | "dots";
}

interface Axis {
  readonly ticks: readonly number[];
  readonly isLog?: boolean;
  label(value: number): string;
}

/** A pair of axes with lines. */
interface Panel {
  readonly title: string;
  readonly left: number;
  readonly top: number;
  readonly width: number;
  readonly height: number;
  readonly x: Axis;
  readonly y: Axis;
  readonly lines: readonly Line[];
  /** A part of the x axis with a grey background. */
  readonly band?: readonly [from: number, to: number];
}

/** Draws the handshakes and losses while one of two gateways was replaced. */
export interface Deploy {
  readonly name: string;
  /** The handshakes per second that the other gateway got, by the seconds since the beginning of the drain. */
  readonly perSecond: readonly (readonly [s: number, handshakes: number])[];
  readonly endedAfterS: number;
  readonly published: number;
  /** Messages that clients did not get, over all of them: told in gaps, and not told. */
  readonly declared: number;
  readonly undeclared: number;
}

/** Draws the handshakes of each deploy, one panel beside the other. */
export function drawDeploys(deploys: readonly Deploy[]): string {
  const legend = { "handshakes per second at the other gateway": "#74a9f0" };
  const most = Math.max(...deploys.flatMap(({ perSecond }) => perSecond.map(([, rate]) => rate)));
  const step = 10 ** Math.floor(Math.log10(most));
  const ticks = Array.from({ length: Math.ceil(most / step) + 1 }, (_, tick) => tick * step);
  const panels = deploys.map(
    ({ name, perSecond, endedAfterS }, index): Panel => ({
      ...{ title: name, left: 60 + index * 390, top: 110, width: 320, height: 200 },
      x: { ticks: [0, 5, 10, 15, 20], label: (s) => `${s} s` },
      y: { ticks, label: short },
      lines: [
        {
          color: "#74a9f0",
          as: "area",
          points: perSecond.flatMap(([s, rate]) => [
            [s, rate],
            [s + 0.5, rate],
          ]),
        },
      ],
      band: [0, Math.min(endedAfterS, 20)],
    }),
  );
  return draw("One of two gateways with 2,000 clients is replaced", legend, panels, 350);
}

/** Draws all plots; returns them by file. */
export function drawPlots(
  outcomes: readonly Outcome[],
  stories: readonly Story[],
): ReadonlyMap<string, string> {
  const plots = PLOTS.map((plot) => [plot.file, drawFanOut(plot, outcomes)] as const);
  return new Map([...plots, [SLOW_CLIENT_PLOT.file, drawSlowClient(stories)]]);
}

function drawFanOut({ title, panels }: Plot, outcomes: readonly Outcome[]): string {
  const rows = outcomes.flatMap((outcome) => outcome.rows);
  const width = (WIDTH - 40) / panels.length;
  const drawn = panels.map(([name, figure, unit], index): Panel => {
    const lines = Object.entries(COLORS).map(([contender, color]): Line => {
      const points = RATES.flatMap((rate) => {
        const { name } = flow(100, 128, rate);
        const row = rows.find(
          (one) => one.scenario.name === name && one.contender.name === contender,
        );
        const value = row && figureOf(row, figure)?.median;
        return value === undefined ? [] : [[rate * 100, value / unit] as const];
      });
      return { color, points, as: "dots" };
    });
    const values = lines.flatMap(({ points }) => points.map(([, y]) => Math.log10(y)));
    const from = Math.floor(Math.min(...values));
    const count = Math.ceil(Math.max(...values)) - from + 1;
    const ticks = Array.from({ length: count }, (_, power) => 10 ** (from + power));
    return {
      ...{
        title: `${name}, by offered deliveries/s`,
        left: 60 + index * width,
        top: 100,
        width: width - 60,
        height: 260,
        lines,
      },
      x: { ticks: [1e5, 1e6, 1e7], isLog: true, label: short },
      y: { ticks, isLog: true, label: short },
    };
  });
  return draw(`${title}: 100 clients, 128 B`, COLORS, drawn, 400);
}

/** One panel per policy: in the end, received and declared messages add up to the published ones. */
function drawSlowClient(stories: readonly Story[]): string {
  const legend = {
    published: GREY,
    "the client received": "#74a9f0",
    "a gap declared lost": "#ffa869",
    "queued for it": "#b197fc",
    "age of what it has read": "#63c5a2",
  };
  const [published, received, declared, queued, age] = Object.values(legend) as [
    string,
    string,
    string,
    string,
    string,
  ];
  const panels = stories.flatMap(({ policy, stalled, samples }, index): Panel[] => {
    const place = { left: 60 + (index % 2) * 390, width: 320, band: stalled };
    const top = 110 + Math.floor(index / 2) * 470;
    const line = (color: string, as: Line["as"], value: (sample: Sample) => number): Line => ({
      ...{ color, as },
      points: samples.map((sample) => [sample[0], value(sample)]),
    });
    const lines = [
      line(declared, "area", (sample) => sample[2] + sample[3]),
      line(received, "area", (sample) => sample[2]),
      line(published, "dashes", (sample) => sample[1]),
    ];
    const queue = [line(queued, "area", (sample) => sample[4] / 1024 ** 2)];
    const ages = [line(age, "area", (sample) => sample[6])];
    const seconds = { ticks: [0, 4], label: (age: number) => `${age} s` };
    const x = { ticks: [0, 2, 4, 6, 8], label: (s: number) => `${s} s` };
    const y = { ticks: [0, 10_000, 20_000, 30_000, 40_000], label: short };
    const size = { ticks: [0, 8], label: (size: number) => `${size} MiB` };
    return [
      { title: policy, ...place, top, height: 200, x, y, lines },
      { title: "", ...place, top: top + 235, height: 65, x, y: size, lines: queue },
      { title: "", ...place, top: top + 335, height: 65, x, y: seconds, lines: ages },
    ];
  });
  return draw(SLOW_CLIENT_PLOT.title, legend, panels, 1020);
}

function draw(
  title: string,
  legend: Readonly<Record<string, string>>,
  panels: readonly Panel[],
  height: number,
): string {
  let left = 20;
  const names = Object.entries(legend).map(([name, color]) => {
    const mark = `<path stroke="${color}" stroke-width="4" d="M${Math.round(left)} 56h14"/>`;
    const entry = mark + text(left + 20, 60, name);
    left += 40 + name.length * 6.6;
    return entry;
  });
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" font-family="system-ui, sans-serif" font-size="12" fill="${GREY}">`,
    `<path fill="#fff" d="M0 0h${WIDTH}v${height}H0z"/>`,
    text(20, 28, title, ` font-size="16" font-weight="600"`),
    ...names,
    ...panels.map(drawPanel),
    "</svg>\n",
  ].join("\n");
}

function drawPanel({ title, left, top, width, height, x, y, lines, band }: Panel): string {
  const bottom = top + height;
  const xOf = (value: number): number => Math.round(left + width * along(x, value));
  const yOf = (value: number): number => Math.round(bottom - height * along(y, value));
  const parts = [text(left, top - 14, title, ` font-size="13"`)];
  if (band !== undefined) {
    const [from, to] = band.map(xOf);
    parts.push(`<path fill="#e9ecef" d="M${from} ${top}H${to}V${bottom}H${from}z"/>`);
  }
  for (const tick of y.ticks) {
    parts.push(
      `<path stroke="#dee2e6" d="M${Math.round(left)} ${yOf(tick)}h${Math.round(width)}"/>`,
    );
    parts.push(text(left - 6, yOf(tick) + 4, y.label(tick), ` text-anchor="end"`));
  }
  for (const tick of x.ticks) {
    parts.push(text(xOf(tick), bottom + 18, x.label(tick), ` text-anchor="middle"`));
  }
  for (const { color, points, as } of lines) {
    const places = points.map(([px, py]) => [xOf(px), yOf(py)] as const);
    const steps = places.slice(1).flatMap(([px, py], index) => {
      const [beforeX, beforeY] = places[index]!;
      return [px - beforeX, py - beforeY];
    });
    const path = `M${places[0]?.join(" ")}l${steps.join(" ")}`;
    const stroke = `fill="none" stroke="${color}" stroke-width`;
    if (as === "area") {
      parts.push(`<path fill="${color}" d="${path}V${bottom}H${places[0]?.[0]}z"/>`);
    } else if (as === "dashes") {
      parts.push(`<path ${stroke}="2" stroke-dasharray="5 4" d="${path}"/>`);
    } else if (places.length > 0) {
      const dots = places.map((place) => `M${place.join(" ")}h0`).join("");
      parts.push(`<path ${stroke}="2" d="${path}"/>`);
      parts.push(`<path ${stroke}="8" stroke-linecap="round" d="${dots}"/>`);
    }
  }
  return parts.join("\n");
}

/** Returns where a value stands on an axis, from 0 to 1. */
function along({ ticks, isLog }: Axis, value: number): number {
  const [from, to, at] = [ticks[0]!, ticks.at(-1)!, value].map(isLog ? Math.log : Number);
  return (at! - from!) / (to! - from!);
}

function text(x: number, y: number, content: string, more = ""): string {
  return `<text x="${Math.round(x)}" y="${Math.round(y)}"${more}>${content}</text>`;
}

/** Writes `"3M"`, `"100k"`, `"0.05"`. */
function short(value: number): string {
  if (value >= 1e6) return `${value / 1e6}M`;
  return value >= 1e3 ? `${value / 1e3}k` : String(Number(value.toPrecision(2)));
}
