/** The lag of a client: the messages that it was sent and has not confirmed, and those that wait for it. */
export interface ClientLag {
  /** The number of its connection, which the log has too. */
  readonly id: number;
  readonly address: string;
  /** The age of the oldest of it, in seconds. */
  readonly seconds: number;
  readonly bytes: number;
}

/** The value that so many of all values don't exceed, by part: half of them, nine of ten, and so on. */
export interface Quantiles {
  readonly p50: number;
  readonly p90: number;
  readonly p99: number;
  readonly max: number;
}

/** The lag of all clients. */
export interface ClientLags {
  readonly seconds: Quantiles;
  readonly bytes: Quantiles;
  /** The clients that are furthest behind, in seconds: at most ten. */
  readonly furthest: readonly ClientLag[];
}

const MAX_FURTHEST = 10;

/** Measures how far the clients of connections are behind now. */
export function measureLags(
  connections: Iterable<{ lag(nowMs: number): ClientLag }>,
  nowMs: number,
): ClientLags {
  const lags = [...connections].map((connection) => connection.lag(nowMs));
  const bytes = lags.map((lag) => lag.bytes).sort(ascending);
  lags.sort((one, other) => one.seconds - other.seconds);
  return {
    seconds: quantilesOf(lags.map(({ seconds }) => seconds)),
    bytes: quantilesOf(bytes),
    furthest: lags
      .slice(-MAX_FURTHEST)
      .filter(({ seconds }) => seconds > 0)
      .reverse(),
  };
}

function ascending(one: number, other: number): number {
  return one - other;
}

function quantilesOf(sorted: readonly number[]): Quantiles {
  const at = (part: number): number =>
    sorted[Math.max(0, Math.ceil(sorted.length * part) - 1)] ?? 0;
  return { p50: at(0.5), p90: at(0.9), p99: at(0.99), max: at(1) };
}
