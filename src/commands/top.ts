import { setTimeout as wait } from "node:timers/promises";
import { reasonOf } from "../core/ports/errors.ts";
import type { ClientLag, Quantiles } from "../core/sessions/client-lags.ts";
import { escaped } from "../log/escaped.ts";
import { EXIT, type Invocation } from "./command.ts";
import { JSON_FLAG, TOP_FLAGS, TOP_INTERVAL } from "./command-flags.ts";
import { readChoice, readDuration, readOwnFlags } from "./read-flags.ts";
import { readMetrics, type Sample } from "./read-metrics.ts";
import {
  answered,
  causeOf,
  detailOf,
  NOBODY_ANSWERS,
  readToken,
  readUrl,
  type Token,
  unreachable,
} from "./remote-gateway.ts";
import { dimmer, warner } from "./style.ts";

/** The longest wait for an answer of the gateway. */
const ANSWER_MS = 5000;
/** Moves the cursor to the top left, and clears what is below. */
const CLEAR = "\u001b[H\u001b[J";

const SORTS = ["lag", "bytes", "id"] as const;
type Sort = (typeof SORTS)[number];

/** The clients' delay, as `/healthz` has it. */
interface Lag {
  readonly seconds: Quantiles;
  readonly bytes: Quantiles;
  /** With `worker` if there are several: each of them numbers its clients. */
  readonly furthest: readonly (Pick<ClientLag, "id" | "seconds" | "bytes"> & {
    readonly worker?: number;
  })[];
}

/** The figures of a gateway at one moment. */
interface Snapshot {
  readonly url: string;
  readonly version: string;
  readonly uptime_seconds: number;
  readonly ready: boolean;
  /** The reasons why it isn't ready. */
  readonly reasons: readonly string[];
  /** The name of the source: `"NATS"`, or that of another one. */
  readonly source: string;
  readonly source_connected: boolean;
  readonly clients: {
    readonly connected: number;
    readonly lagging: number;
    readonly total: number;
  };
  /** The messages that wait for clients that lag. */
  readonly queues: { readonly messages: number; readonly bytes: number };
  /** Averages over the last 10 s. */
  readonly received_per_second: number;
  readonly sent_bytes_per_second: number;
  /** Deliveries since the start. */
  readonly deliveries: {
    readonly sent: number;
    readonly conflated: number;
    readonly dropped: number;
  };
  readonly lag: Lag;
  readonly streams: readonly {
    readonly name: string;
    readonly followed: boolean;
    readonly behind: number;
  }[];
}

/** Shows what a gateway does, once or again and again. */
export async function showTop(invocation: Invocation): Promise<number> {
  const { argv, write, isTerminal, drained } = invocation;
  const { texts } = readOwnFlags(argv, TOP_FLAGS);
  const sort = readChoice(texts, "--sort", SORTS);
  const intervalMs = readDuration(texts, "--interval", TOP_INTERVAL);
  const url = readUrl(texts);
  const token = await readToken(invocation, texts);
  if (texts.has(JSON_FLAG.name)) {
    write(`${JSON.stringify(sorted(await takeSnapshot(url, token), sort), null, 2)}\n`);
    return EXIT.done;
  }
  if (!isTerminal) {
    write(picture(sorted(await takeSnapshot(url, token), sort), invocation));
    return EXIT.done;
  }
  const signal = invocation.interruption();
  // The first failure ends it: its address or token may be wrong.
  let shown = picture(sorted(await takeSnapshot(url, token), sort), invocation);
  while (!signal.aborted) {
    write(CLEAR + shown);
    await drained();
    await wait(intervalMs, undefined, { signal }).catch(() => {});
    if (signal.aborted) break;
    shown = await takeSnapshot(url, token).then(
      (snapshot) => picture(sorted(snapshot, sort), invocation),
      (error) => `${reasonOf(error)}\nIt is asked again.\n`,
    );
  }
  return EXIT.done;
}

/** @throws SpillwayError `"GATEWAY_UNREACHABLE"` (transient) if there is no gateway, or it doesn't let us read. */
async function takeSnapshot(base: URL, token: Token): Promise<Snapshot> {
  const [health, ready, metrics] = await Promise.all([
    ask(base, "healthz", token).then(reader<Health>(base, ({ lag }) => lag.furthest)),
    ask(base, "readyz", token).then(reader<Ready>(base, ({ reasons }) => reasons)),
    ask(base, "metrics", token).then(({ text }) => readMetrics(text)),
  ]);
  const samples = (name: string): readonly Sample[] => metrics.get(`websocket_${name}`) ?? [];
  const total = (name: string): number =>
    samples(name).reduce((sum, sample) => sum + sample.value, 0);
  const ofStream = (name: string, stream: string): number =>
    samples(name).find(({ labels }) => labels.get("stream") === stream)?.value ?? 0;
  const streams = samples("stream_followed").map(({ labels }) => labels.get("stream") ?? "");
  return {
    url: base.href,
    version: health.meta.version,
    uptime_seconds: Math.round(health.health.uptime / 1e9),
    ready: ready.ready,
    reasons: ready.reasons,
    source: health.source.name,
    source_connected: health.source.connected,
    clients: {
      connected: total("clients_connected"),
      lagging: total("clients_lagging"),
      total: total("client_connections_total"),
    },
    queues: { messages: total("messages_queued"), bytes: total("queued_bytes") },
    received_per_second: health.data_flow.messages_per_second,
    sent_bytes_per_second: health.data_flow.bytes_per_second,
    deliveries: {
      sent: total("messages_sent_total"),
      conflated: total("messages_conflated_total"),
      dropped: total("messages_dropped_total"),
    },
    lag: health.lag,
    streams: streams.map((name) => ({
      name,
      followed: ofStream("stream_followed", name) === 1,
      behind: ofStream("stream_lag_messages", name),
    })),
  };
}

interface Answer {
  readonly status: number;
  readonly text: string;
}

/** Asks the gateway for one of its pages below a URL. */
async function ask(base: URL, page: string, token: Token): Promise<Answer> {
  const folder = base.pathname.endsWith("/") ? base.pathname : `${base.pathname}/`;
  const url = new URL(folder + page, base);
  const shown = token === undefined ? undefined : { Authorization: `Bearer ${await token()}` };
  let answer: Answer;
  try {
    const response = await fetch(url, {
      signal: AbortSignal.timeout(ANSWER_MS),
      ...(shown !== undefined && { headers: shown }),
    });
    answer = { status: response.status, text: await response.text() };
  } catch (error) {
    throw unreachable(`Cannot read ${url}: ${causeOf(error)}. ${NOBODY_ANSWERS}`);
  }
  // A gateway that isn't ready or healthy says so with 503.
  if (answer.status === 200 || answer.status === 503) return answer;
  const { status, text } = answer;
  const why = answered(status, detailOf(text), remedyOf(status));
  throw unreachable(`Cannot read ${url}: ${why}`);
}

function remedyOf(status: number): string {
  if (status === 401) return "Show an operator's token with --token";
  if (status === 403) return "Set --url to its admin_port; configure one if it has none";
  if (status === 404) return "If the gateway has an admin_port, set --url to it";
  return "Is it a gateway? Otherwise set --url";
}

interface Health {
  readonly meta: { readonly version: string };
  readonly health: { readonly uptime: number };
  readonly data_flow: {
    readonly messages_per_second: number;
    readonly bytes_per_second: number;
  };
  readonly lag: Lag;
  readonly source: { readonly name: string; readonly connected: boolean };
}

interface Ready {
  readonly ready: boolean;
  readonly reasons: readonly string[];
}

/** Returns what reads a page in JSON. @param listIn returns a list that only a page of this version's gateway has. */
function reader<T>(base: URL, listIn: (page: T) => readonly unknown[]): (answer: Answer) => T {
  return ({ text }) => {
    try {
      const page = JSON.parse(text) as T;
      if (Array.isArray(listIn(page))) return page;
    } catch {
      // It is another server.
    }
    throw unreachable(`Cannot read ${base}: it is not this version's gateway. Set --url`);
  };
}

/** Sorts the clients that are behind: the most first, ids upwards. */
function sorted(snapshot: Snapshot, sort: Sort): Snapshot {
  const furthest = [...snapshot.lag.furthest].sort((one, other) => {
    if (sort === "id") return one.id - other.id;
    return sort === "bytes" ? other.bytes - one.bytes : other.seconds - one.seconds;
  });
  return { ...snapshot, lag: { ...snapshot.lag, furthest } };
}

/** Draws a snapshot as a table. */
function picture(snapshot: Snapshot, invocation: Invocation): string {
  const { url, version, uptime_seconds, ready, reasons, clients, queues, lag } = snapshot;
  const [dim, warn] = [dimmer(invocation), warner(invocation)];
  const { sent, conflated, dropped } = snapshot.deliveries;
  const warned = (text: string, isBad: boolean): string => (isBad ? warn(text) : text);
  const line = (title: string, ...cells: string[]): string =>
    `${dim(title.padEnd(11))}${cells.join("   ")}`;
  const name = escaped(snapshot.source);
  const [is, isNot] =
    name === "NATS"
      ? ["NATS connected", "NATS not connected"]
      : [`messages from ${name}`, `${name} not connected`];
  const source = snapshot.source_connected ? is : warn(isNot);
  const state = ready ? "ready" : warn(`not ready: ${escaped(reasons.join("; "))}`);
  const streams = snapshot.streams.map(({ name, followed, behind }) =>
    followed ? `${escaped(name)} ${count(behind)} behind` : warn(`${escaped(name)} not followed`),
  );
  const rows = lag.furthest.map(({ worker, id, seconds, bytes }) =>
    [worker === undefined ? `${id}` : `${worker}/${id}`, `${round(seconds)} s`, size(bytes)]
      .map((cell) => cell.padStart(12))
      .join(""),
  );
  const { seconds } = lag;
  return `${[
    `Spillway ${escaped(version)} at ${url}, up ${uptime_seconds} s, ${source}, ${state}`,
    "",
    line(
      "clients",
      `${count(clients.connected)} connected`,
      warned(`${count(clients.lagging)} lagging`, clients.lagging > 0),
      `${count(clients.total)} since the start`,
    ),
    line(
      "messages",
      `${round(snapshot.received_per_second)}/s received`,
      `${size(snapshot.sent_bytes_per_second)}/s sent`,
    ),
    line(
      "deliveries",
      `${count(sent)} sent`,
      `${count(conflated)} conflated`,
      warned(`${count(dropped)} dropped`, dropped > 0),
    ),
    line("queues", `${count(queues.messages)} messages`, size(queues.bytes)),
    line(
      "lag",
      `p50 ${round(seconds.p50)} s`,
      `p99 ${round(seconds.p99)} s`,
      `max ${round(seconds.max)} s`,
    ),
    ...(streams.length === 0 ? [] : [line("streams", ...streams)]),
    "",
    ...(rows.length === 0
      ? [dim("No client is behind.")]
      : [dim(["client", "lag", "bytes"].map((cell) => cell.padStart(12)).join("")), ...rows]),
  ].join("\n")}\n`;
}

function count(value: number): string {
  return value.toLocaleString("en-US");
}

function round(value: number): string {
  return value.toLocaleString("en-US", { maximumFractionDigits: 2 });
}

/** Writes bytes with a unit, rounded for people. */
function size(bytes: number): string {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  const power = Math.min(units.length - 1, Math.floor(Math.log2(Math.max(1, bytes)) / 10));
  return `${(bytes / 1024 ** power).toLocaleString("en-US", { maximumFractionDigits: 1 })} ${units[power]}`;
}
