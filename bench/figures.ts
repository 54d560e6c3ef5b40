/** How a figure is called and written. */
export interface FigureFacts {
  readonly title: string;
  show(value: number): string;
}

/** All that is measured and compared. */
export const FIGURES = {
  deliveriesPerSecond: { title: "deliveries/s", show: whole },
  p50Us: { title: "p50", show: (us) => duration(us / 1000) },
  p99Us: { title: "p99", show: (us) => duration(us / 1000) },
  cpuUsPerDelivery: { title: "µs CPU/delivery", show: (us) => us.toFixed(us < 1 ? 3 : 2) },
  rssBytes: { title: "memory", show: (bytes) => `${Math.round(bytes / 1024 ** 2)} MiB` },
  bytesPerConnection: {
    title: "per connection",
    show: (bytes) => `${(bytes / 1000).toFixed(1)} kB`,
  },
  connectedMs: { title: "all are in after", show: duration },
  lastClientMs: { title: "last client has it after", show: duration },
  caughtUpMs: { title: "all have all after", show: duration },
  calmP50Us: { title: "p50 before", show: (us) => duration(us / 1000) },
  calmP99Us: { title: "p99 before", show: (us) => duration(us / 1000) },
  readyMs: { title: "ready after", show: duration },
} satisfies Record<string, FigureFacts>;

export type Figure = keyof typeof FIGURES;

/** What is measured in scenarios of a kind, in the order of their columns. */
export const FIGURES_OF = {
  flow: ["deliveriesPerSecond", "p50Us", "p99Us", "cpuUsPerDelivery", "rssBytes"],
  crowd: ["bytesPerConnection", "lastClientMs", "connectedMs"],
  replay: ["caughtUpMs", "p50Us", "p99Us", "calmP50Us", "calmP99Us", "rssBytes"],
  start: ["readyMs", "rssBytes"],
} as const satisfies Record<string, readonly Figure[]>;

function whole(value: number): string {
  return Math.round(value).toLocaleString("en");
}

function duration(ms: number): string {
  const digits = ms < 1 ? 2 : ms < 10 ? 1 : 0;
  return `${ms.toFixed(digits)} ms`;
}
