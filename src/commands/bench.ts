import process from "node:process";
import { setTimeout as wait } from "node:timers/promises";
import { type Connection, connect, type Subscription } from "../client/mod.ts";
import { reasonOf } from "../core/ports/errors.ts";
import { connectPublisher } from "../gateway/publish-to-nats.ts";
import { isLoopback } from "../http/host.ts";
import { subjectFault } from "../protocol/subject.ts";
import { EXIT, type Invocation } from "./command.ts";
import { BENCH, BENCH_FLAGS, JSON_FLAG } from "./command-flags.ts";
import { Latencies } from "./latencies.ts";
import {
  type FlagTexts,
  invalidCommand,
  lastOf,
  readDuration,
  readOwnFlags,
  readWhole,
} from "./read-flags.ts";
import {
  detailOf,
  findRefusal,
  otherToken,
  readToken,
  readUrl,
  streamOf,
  type Token,
  unreachable,
} from "./remote-gateway.ts";

/** Clients that connect at the same time. */
const DIALS = 50;
/** The longest time until all clients are connected and subscribed. */
const CONNECT_MS = 60_000;
/** The time between two groups of messages. */
const TICK_MS = 10;
/** Requests that wait for their answer; while there are more, nothing is sent. */
const MOST_POSTS = 64;
/** If no message comes for this long after the last one was published, the rest counts as missing. */
const QUIET_MS = 3000;

/** The load to make. */
interface Plan {
  readonly gateway: URL;
  readonly subject: string;
  readonly clients: number;
  readonly rate: number;
  readonly size: number;
  readonly timeMs: number;
}

/** The figures of a run. */
interface Report {
  readonly clients: number;
  readonly published: number;
  /** Messages that the gateway or NATS did not take, by the reason. */
  readonly refused: Readonly<Record<string, number>>;
  readonly published_per_second: number;
  readonly deliveries: number;
  readonly deliveries_per_second: number;
  /** From before the publish until a client's loop has the message, in milliseconds. */
  readonly latency_ms: { readonly p50: number; readonly p99: number; readonly max: number };
  /** Deliveries that gaps declare lost, or that newer messages replaced. */
  readonly declared_lost: number;
  /** Deliveries that nothing accounts for. */
  readonly undeclared_lost: number;
  readonly reconnects: number;
  /** CPU time of this process for each second, which includes its clients: near 1, they may be slower than the gateway. */
  readonly bench_cpu: number;
}

/** Loads a gateway, and prints what its clients got. */
export async function runBench(invocation: Invocation): Promise<number> {
  const { argv, write, writeError } = invocation;
  const { texts } = readOwnFlags(argv, BENCH_FLAGS);
  const plan = readPlan(texts);
  const natsUrl = lastOf(texts, "--nats");
  if (!texts.has("--allow-remote")) {
    expectLoopback("--url", plan.gateway.hostname);
    if (natsUrl !== undefined) expectLoopback("--nats", hostOf(natsUrl));
  }
  const token = await readToken(invocation, texts);
  await expectGateway(plan, token);
  const signal = invocation.interruption();
  const publisher =
    natsUrl === undefined
      ? postTo(plan, token)
      : await publishTo(natsUrl, await readCreds(invocation, texts), plan.subject);
  const crowd = new Crowd(plan, token);
  try {
    writeError(`Connecting ${plan.clients} clients to ${streamOf(plan.gateway)}\n`);
    await crowd.connect(signal);
    if (signal.aborted) return EXIT.failed;
    writeError(
      `Publishing ${plan.rate} messages of ${plan.size} bytes per second to ${plan.subject} for ${plan.timeMs / 1000} s\n`,
    );
    const report = await measure(plan, crowd, publisher, signal);
    write(texts.has(JSON_FLAG.name) ? `${JSON.stringify(report, null, 2)}\n` : tableOf(report));
    if (report.published === 0 && Object.keys(report.refused).length > 0) {
      writeError(`The gateway took no message. To publish, ${otherToken(token)}, or use --nats\n`);
    }
    return report.undeclared_lost > 0 || report.deliveries === 0 ? EXIT.failed : EXIT.done;
  } finally {
    await Promise.all([crowd.close(), publisher.close()]);
  }
}

function readPlan(texts: FlagTexts): Plan {
  const subject = lastOf(texts, "--subject") ?? BENCH.subject;
  const fault = subjectFault(subject, false);
  if (fault !== undefined) {
    throw invalidCommand(`"--subject" is ${JSON.stringify(subject)}, which ${fault}`);
  }
  return {
    gateway: readUrl(texts),
    subject,
    clients: readWhole(texts, "--clients", BENCH.clients, [1, 100_000]),
    rate: readWhole(texts, "--rate", BENCH.rate, [1, 1_000_000]),
    size: readWhole(texts, "--size", BENCH.size, [64, 1_000_000]),
    timeMs: readDuration(texts, "--time", BENCH.time),
  };
}

/** Asks the gateway whether it lets clients in: they would try for long. */
async function expectGateway({ gateway, subject }: Plan, token: Token): Promise<void> {
  const stream = streamOf(gateway);
  const refusal = await findRefusal(stream, [subject], token, ADVICE);
  if (refusal !== undefined) throw unreachable(`Cannot connect to ${stream}: ${refusal.reason}`);
}

const ADVICE = {
  subjects: "Set --subject to one that clients may receive",
  tooMany: "Lower --clients, or raise the limits of the gateway",
};

function hostOf(url: string): string {
  return URL.canParse(url) ? new URL(url).hostname : "";
}

/** A load of somebody else's machine must be meant. */
function expectLoopback(flag: string, host: string): void {
  if (isLoopback(host)) return;
  throw invalidCommand(
    `"${flag}" is not this machine: give --allow-remote if you may load ${host === "" ? "it" : host}`,
  );
}

async function readCreds(
  { readTextFile }: Invocation,
  texts: FlagTexts,
): Promise<string | undefined> {
  const path = lastOf(texts, "--nats-creds-file");
  if (path === undefined) return undefined;
  return await readTextFile(path).catch((error) => {
    throw invalidCommand(`Cannot read the credentials: ${reasonOf(error)}`);
  });
}

async function measure(
  plan: Plan,
  crowd: Crowd,
  publisher: Publisher,
  signal: AbortSignal,
): Promise<Report> {
  const cpuBefore = process.cpuUsage();
  const startMs = performance.now();
  const elapsed = (): number => performance.now() - startMs;
  for (let sent = 0; elapsed() < plan.timeMs && !signal.aborted; ) {
    const due = Math.floor((elapsed() / 1000) * plan.rate) + 1;
    while (sent < due && publisher.hasRoom) {
      publisher.publish(crowd.message());
      sent++;
    }
    await wait(TICK_MS);
  }
  await publisher.flush();
  const publishedMs = elapsed();
  await crowd.settle(publisher.accepted * plan.clients, signal);
  const seconds = Math.max(publishedMs, crowd.lastMs - startMs) / 1000;
  const { user, system } = process.cpuUsage(cpuBefore);
  const { deliveries, declared, reconnects, latencies } = crowd;
  return {
    clients: plan.clients,
    published: publisher.accepted,
    refused: Object.fromEntries(publisher.refused),
    published_per_second: round(publisher.accepted / (publishedMs / 1000)),
    deliveries,
    deliveries_per_second: round(deliveries / seconds),
    latency_ms: {
      p50: round(latencies.quantile(0.5)),
      p99: round(latencies.quantile(0.99)),
      max: round(latencies.max),
    },
    declared_lost: declared,
    undeclared_lost: Math.max(0, publisher.accepted * plan.clients - deliveries - declared),
    reconnects,
    bench_cpu: round((user + system) / 1e3 / elapsed()),
  };
}

function round(value: number): number {
  return Math.round(value * 100) / 100;
}

function tableOf(report: Report): string {
  const { published, refused, latency_ms, deliveries, declared_lost, undeclared_lost } = report;
  const { p50, p99, max } = latency_ms;
  const rows = [
    ["published", `${number(published)}`, `${number(report.published_per_second)}/s`],
    ...Object.entries(refused).map(([why, times]) => ["refused", number(times), why]),
    ["delivered", number(deliveries), `${number(report.deliveries_per_second)}/s`],
    ["latency", `p50 ${number(p50)} ms`, `p99 ${number(p99)} ms, max ${number(max)} ms`],
    ["lost", `${number(declared_lost)} declared`, `${number(undeclared_lost)} undeclared`],
    ["reconnects", number(report.reconnects), ""],
    ["bench", `${number(report.bench_cpu * 100)} % CPU`, ""],
  ];
  return rows
    .map(([title = "", one = "", more = ""]) => `${title.padEnd(12)}${one.padEnd(20)}${more}`)
    .map((line) => `${line.trimEnd()}\n`)
    .join("");
}

function number(value: number): string {
  return value.toLocaleString("en-US", { maximumFractionDigits: 2 });
}

/** Publishes messages, and counts which of them arrived. */
interface Publisher {
  /** Whether another message may be published now. */
  readonly hasRoom: boolean;
  readonly accepted: number;
  /** The number of refused messages by reason. */
  readonly refused: ReadonlyMap<string, number>;
  publish(data: string): void;
  /** Resolves when each message was accepted or refused. */
  flush(): Promise<void>;
  close(): Promise<void>;
}

/** Publishes by HTTP to the gateway itself. */
function postTo({ gateway, subject }: Plan, token: Token): Publisher {
  const url = new URL(`/publish/${encodeURIComponent(subject)}`, gateway);
  const refused = new Map<string, number>();
  const pending = new Set<Promise<void>>();
  let accepted = 0;
  const post = async (body: string): Promise<void> => {
    let why: string;
    try {
      const shown = token && { headers: { Authorization: `Bearer ${await token()}` } };
      const response = await fetch(url, { method: "POST", body, ...shown });
      const answer = await response.text();
      if (response.ok) {
        accepted++;
        return;
      }
      why = `${response.status} ${detailOf(answer)}`;
    } catch (error) {
      why = reasonOf(error);
    }
    refused.set(why, (refused.get(why) ?? 0) + 1);
  };
  return {
    get hasRoom() {
      return pending.size < MOST_POSTS;
    },
    get accepted() {
      return accepted;
    },
    refused,
    publish(data) {
      const posted = post(data).finally(() => pending.delete(posted));
      pending.add(posted);
    },
    flush: async () => void (await Promise.all(pending)),
    close: async () => {},
  };
}

async function publishTo(
  url: string,
  creds: string | undefined,
  subject: string,
): Promise<Publisher> {
  const connection = await connectPublisher(url, creds);
  const encoder = new TextEncoder();
  let accepted = 0;
  return {
    hasRoom: true,
    get accepted() {
      return accepted;
    },
    refused: new Map(),
    publish(data) {
      connection.publish(subject, encoder.encode(data));
      accepted++;
    },
    flush: () => connection.flush(),
    close: () => connection.close(),
  };
}

/** A message of a run, without its padding. */
interface Sent {
  readonly run: string;
  /** The time before it was published, of `performance.now()`. */
  readonly at: number;
}

/** The clients of a run. */
class Crowd {
  readonly #plan: Plan;
  readonly #token: Token;
  readonly #connections: Connection[] = [];
  /** Tells the messages of this run from others of the subject. */
  readonly #run = crypto.randomUUID().slice(0, 8);
  readonly latencies = new Latencies();
  deliveries = 0;
  declared = 0;
  reconnects = 0;
  /** The time of the last delivery or gap. */
  lastMs = 0;

  constructor(plan: Plan, token: Token) {
    this.#plan = plan;
    this.#token = token;
  }

  /** @throws SpillwayError `"GATEWAY_UNREACHABLE"` if not all clients are connected and subscribed in time. */
  async connect(signal: AbortSignal): Promise<void> {
    const deadline = AbortSignal.any([signal, AbortSignal.timeout(CONNECT_MS)]);
    for (let left = this.#plan.clients; left > 0 && !signal.aborted; left -= DIALS) {
      await Promise.all(Array.from({ length: Math.min(DIALS, left) }, () => this.#add(deadline)));
    }
  }

  /** Returns the next message to publish, of the size that the plan says. */
  message(): string {
    const message: Sent = { run: this.#run, at: performance.now() };
    const json = JSON.stringify(message);
    const padding = Math.max(0, this.#plan.size - json.length - ',"pad":""'.length);
    return `${json.slice(0, -1)},"pad":"${"x".repeat(padding)}"}`;
  }

  /** Waits until all deliveries are accounted for, or none has come for a while. */
  async settle(expected: number, signal: AbortSignal): Promise<void> {
    const beganMs = performance.now();
    const isQuiet = (): boolean => performance.now() - Math.max(beganMs, this.lastMs) > QUIET_MS;
    while (this.deliveries + this.declared < expected && !isQuiet() && !signal.aborted) {
      await wait(TICK_MS);
    }
  }

  async close(): Promise<void> {
    await Promise.all(this.#connections.map((connection) => connection.close()));
  }

  async #add(deadline: AbortSignal): Promise<void> {
    const { gateway, subject } = this.#plan;
    const token = this.#token;
    const connection = connect(streamOf(gateway), token === undefined ? {} : { token });
    this.#connections.push(connection);
    let reason = "no answer came";
    connection.on("error", ({ message }) => {
      reason = message;
    });
    const subscription = connection.subscribe<Sent>(subject);
    const isLate = Promise.withResolvers<never>();
    const late = (): void => isLate.reject(new Error(reason));
    deadline.addEventListener("abort", late);
    try {
      await Promise.race([subscription.ready, isLate.promise]);
    } catch (error) {
      const stream = streamOf(gateway);
      const refusal = await findRefusal(stream, [subject], token, ADVICE);
      const why = refusal?.reason ?? `${reasonOf(error)}. ${ADVICE.tooMany}`;
      throw unreachable(`Cannot connect a client to ${stream}: ${why}`);
    } finally {
      deadline.removeEventListener("abort", late);
    }
    connection.on("state", ({ type }) => {
      if (type === "open") this.reconnects++;
    });
    void this.#read(subscription);
  }

  async #read(subscription: Subscription<Sent>): Promise<void> {
    try {
      for await (const item of subscription) {
        if (item.type === "gap") this.declared += item.count;
        else if (item.type !== "data" || item.payload?.run !== this.#run) continue;
        else {
          this.latencies.add(performance.now() - item.payload.at);
          this.deliveries++;
          this.declared += item.superseded;
        }
        this.lastMs = performance.now();
      }
    } catch {
      // Its connection was closed for good: the rest counts as missing.
    }
  }
}
