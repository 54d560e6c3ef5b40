import type {
  AccountStatus,
  DataFlow,
  Health,
  LagStatus,
  PresenceStatus,
  Readiness,
  RevocationStatus,
  Status,
  WorkerStatus,
} from "../http/status.ts";

/** The answer of one worker. */
export interface Answer<T> {
  readonly worker: number;
  readonly value: T;
}

/** The clients that are furthest behind: as many as of one process. */
const MAX_FURTHEST = 10;

/**
 * Returns whether traffic should be sent to a port that workers share: at least one of them must be ready. The reasons name those
 * that aren't, also while others are.
 *
 * @param answers the answers of the workers that listen and are not replaced.
 * @param starting the workers that did not listen yet since the gateway was started: it is not ready before.
 * @param isStopping whether all of them were told to end.
 */
export function mergeReadiness(
  answers: readonly Answer<Readiness | undefined>[],
  starting: readonly number[],
  isStopping: boolean,
): Readiness {
  const reasons = new Map<string, number[]>();
  const add = (reason: string, worker: number): void => {
    reasons.set(reason, [...(reasons.get(reason) ?? []), worker]);
  };
  for (const { worker, value } of answers) {
    if (value === undefined) add("it doesn't answer", worker);
    for (const reason of value?.reasons ?? []) add(reason, worker);
  }
  for (const worker of starting) add("it is starting", worker);
  const all = answers.length + starting.length;
  const said = Array.from(reasons, ([reason, workers]) =>
    workers.length === all && starting.length === 0
      ? reason
      : `${workers.map((worker) => `worker ${worker}`).join(", ")}: ${reason}`,
  );
  if (all === 0) said.push("no worker runs");
  const isReady = answers.some(({ value }) => value?.ready) && starting.length === 0;
  if (isStopping && isReady) said.push("the workers are about to drain");
  return { ready: isReady && !isStopping, reasons: said };
}

/** Returns the state of a gateway that runs in several processes, of at least one answer. */
export function mergeStatus(
  answers: readonly Answer<Status>[],
  workers: readonly WorkerStatus[],
): Status {
  const all = answers.map(({ value }) => value);
  const [first] = all as [Status, ...Status[]];
  return {
    meta: first.meta,
    health: mergeHealth(all.map(({ health }) => health)),
    data_flow: mergeFlow(all.map(({ data_flow }) => data_flow)),
    ledger: sumFields(all.map(({ ledger }) => ledger)),
    lag: mergeLag(answers),
    source: {
      name: first.source.name,
      connected: all.every(({ source }) => source.connected),
    },
    accounts: mergeAccounts(all.map(({ accounts }) => accounts)),
    presence: mergePresence(all.flatMap(({ presence }) => presence ?? [])),
    revocation: firstProblem(all.flatMap(({ revocation }) => revocation ?? [])),
    workers,
  };
}

function mergeHealth(all: readonly Health[]): Health {
  const lastError = all.find(({ last_error }) => last_error !== undefined)?.last_error;
  return {
    healthy: all.every(({ healthy }) => healthy),
    last_check: latest(all.map(({ last_check }) => last_check)),
    error_count: sum(all.map(({ error_count }) => error_count)),
    ...(lastError !== undefined && { last_error: lastError }),
    uptime: Math.max(...all.map(({ uptime }) => uptime)),
  };
}

function mergeFlow(all: readonly DataFlow[]): DataFlow {
  return {
    messages_per_second: sum(all.map((flow) => flow.messages_per_second)),
    bytes_per_second: sum(all.map((flow) => flow.bytes_per_second)),
    error_rate: Math.max(...all.map((flow) => flow.error_rate)),
    last_activity: latest(all.map((flow) => flow.last_activity)),
  };
}

/** The quantiles are the largest ones of a worker: those of all clients are at most as large. */
function mergeLag(answers: readonly Answer<Status>[]): LagStatus {
  const lags = answers.map(({ value }) => value.lag);
  return {
    seconds: maxFields(lags.map(({ seconds }) => seconds)),
    bytes: maxFields(lags.map(({ bytes }) => bytes)),
    // Connections are numbered by each worker.
    furthest: answers
      .flatMap(({ worker, value }) => value.lag.furthest.map((one) => ({ worker, ...one })))
      .sort((one, other) => other.seconds - one.seconds)
      .slice(0, MAX_FURTHEST),
  };
}

/** An account counts as connected if all workers that have it open are. */
function mergeAccounts(
  all: readonly Status["accounts"][],
): Record<string, AccountStatus> | undefined {
  if (all.every((accounts) => accounts === undefined)) return undefined;
  const merged: Record<string, AccountStatus> = {};
  for (const [name, account] of all.flatMap((accounts) => Object.entries(accounts ?? {}))) {
    const before = merged[name] ?? account;
    const status = before.status.state === "connected" ? account.status : before.status;
    const sessions = account.sessions + (merged[name]?.sessions ?? 0);
    merged[name] = { status, sessions };
  }
  return merged;
}

/** Each worker knows of all connections of all gateways. */
function mergePresence(all: readonly PresenceStatus[]): PresenceStatus | undefined {
  if (all.length === 0) return undefined;
  return {
    connections: Math.max(...all.map(({ connections }) => connections)),
    watches: sum(all.map(({ watches }) => watches)),
    stale: all.some(({ stale }) => stale),
    ...firstProblem(all),
  };
}

/** `undefined` if there is none to ask. */
function firstProblem(all: readonly RevocationStatus[]): RevocationStatus | undefined {
  if (all.length === 0) return undefined;
  const problem = all.find((one) => one.problem !== undefined)?.problem;
  return problem === undefined ? {} : { problem };
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}

/** Times as in RFC 3339 and in UTC sort as texts. */
function latest(times: readonly string[]): string {
  return [...times].sort().at(-1) ?? "";
}

function sumFields<T extends object>(all: readonly T[]): T {
  return joinFields(all, (one, other) => one + other);
}

function maxFields<T extends object>(all: readonly T[]): T {
  return joinFields(all, Math.max);
}

/** Joins objects whose fields are all numbers. */
function joinFields<T extends object>(
  all: readonly T[],
  join: (one: number, other: number) => number,
): T {
  const [first, ...others] = all as readonly Readonly<Record<string, number>>[] as [
    Readonly<Record<string, number>>,
    ...Readonly<Record<string, number>>[],
  ];
  const joined = Object.keys(first).map((key) => {
    const values = others.map((other) => other[key] ?? 0);
    return [key, values.reduce((total, value) => join(total, value), first[key] ?? 0)];
  });
  return Object.fromEntries(joined) as T;
}
