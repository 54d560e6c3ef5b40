/** How a figure is named and written. */
export interface FigureFacts {
  readonly title: string;
  show(value: number): string;
}

/** All that is measured and compared. */
export const FIGURES = {
  deliveriesPerSecond: { title: "deliveries/s", show: whole },
  delivered: { title: "delivered", show: (share) => `${Math.round(share * 100)} %` },
  p50Us: { title: "p50", show: (us) => duration(us / 1000) },
  p99Us: { title: "p99", show: (us) => duration(us / 1000) },
  cpuUsPerDelivery: { title: "µs CPU/delivery", show: (us) => us.toFixed(us < 1 ? 3 : 2) },
  rssBytes: { title: "memory", show: (bytes) => `${Math.round(bytes / 1024 ** 2)} MiB` },
  bytesPerConnection: { title: "per connection", show: (n) => `${(n / 1000).toFixed(1)} kB` },
  lastClientMs: { title: "last client has it after", show: duration },
  connectedMs: { title: "all connected after", show: duration },
  failedClients: { title: "failed", show: whole },
  caughtUpMs: { title: "all caught up after", show: duration },
  calmP50Us: { title: "p50 before", show: (us) => duration(us / 1000) },
  calmP99Us: { title: "p99 before", show: (us) => duration(us / 1000) },
  ageP50Ms: { title: "age of what it sees, p50", show: duration },
  ageMaxMs: { title: "at most", show: duration },
  received: { title: "received", show: whole },
  accounted: { title: "received or declared", show: (share) => `${(share * 100).toFixed(2)} %` },
  knownMs: { title: "known to lag after", show: duration },
  readyMs: { title: "ready after", show: duration },
} satisfies Record<string, FigureFacts>;

export type Figure = keyof typeof FIGURES;

/** The figures of each kind of scenario, in the order of their columns. */
export const FIGURES_OF = {
  flow: ["deliveriesPerSecond", "delivered", "p50Us", "p99Us", "cpuUsPerDelivery", "rssBytes"],
  crowd: ["bytesPerConnection", "lastClientMs", "connectedMs", "failedClients"],
  replay: ["caughtUpMs", "p50Us", "p99Us", "calmP50Us", "calmP99Us", "rssBytes"],
  slow: ["ageP50Ms", "ageMaxMs", "received", "accounted", "knownMs"],
  start: ["readyMs", "rssBytes"],
} as const satisfies Record<string, readonly Figure[]>;

function whole(value: number): string {
  return Math.round(value).toLocaleString("en");
}

function duration(ms: number): string {
  return `${ms.toFixed(ms < 1 ? 2 : ms < 10 ? 1 : 0)} ms`;
}
