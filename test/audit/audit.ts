import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { NatsConnection } from "nats";
import { until } from "../support/event-log.ts";
import { freePort } from "../support/free-port.ts";
import { type Gateway, startGateway } from "../support/gateway-process.ts";
import { JumpingClock } from "../support/jumping-clock.ts";
import type { MemoryLog } from "../support/memory-log.ts";
import { startNatsCluster } from "../support/nats-cluster.ts";
import { allowing, type Target } from "../support/runtimes.ts";
import { startTcpProxy } from "../support/tcp-proxy.ts";
import { AuditedClient, type AuditedParty } from "./audited-client.ts";
import { breakThings, type GatewayStart, type SoakParts } from "./faults.ts";
import { pause } from "./pause.ts";
import { Random } from "./random.ts";
import { sdkClients } from "./sdk-clients.ts";

export interface AuditOptions {
  readonly seed: number;
  /** Duration of the messages and of the faults. */
  readonly durationMs: number;
  /** Pause between two batches of 20 messages. Default: 5 ms. */
  readonly batchPauseMs?: number;
  /**
   * Called now and then with the first gateway, which is never killed then. With it come two workers of the second gateway,
   * and the faults that take a machine whose processes may be stopped and limited: Linux.
   */
  readonly watch?: (gateway: Gateway) => void;
  /** In which that gateway writes what it keeps in memory. */
  readonly memoryLog?: MemoryLog;
}

export interface AuditReport {
  readonly published: number;
  readonly delivered: number;
  readonly declared: number;
  readonly connections: number;
  readonly faults: Readonly<Record<string, number>>;
}

const STREAM = "AUDIT";
/** Clients that speak the protocol themselves; the others use the client SDK. */
const CLIENTS = 8;
/** A quarter of the clients may not receive these subjects, and asks for them. */
const DENIED = "audit.internal";
const SUBJECTS = ["audit.a", `${DENIED}.x`, "audit.b", "audit.c"];
/** A text in each message on a denied subject. */
const SECRET = "only-for-insiders";
/** The subject of the service that accepts the clients' tokens. */
const AUTHORIZER = "_AUTH.audit";
/** Time after the last fault in which all clients must have all messages. */
const CATCH_UP_MS = 30_000;
/** Messages published at a time: a few thousand a second. */
const BATCH = 20;
const BATCH_PAUSE_MS = 5;
const WATCH_MS = 5_000;

/**
 * Runs three gateways, a NATS cluster with a stream of three replicas and clients that reconnect, with faults by the seed's
 * schedule. At the end, each message is accounted for at each client: delivered once and in order, declared in a gap, or
 * not subscribed to. No denied message reached a client without permission.
 *
 * @throws Error that names the seed and the first things that are wrong.
 */
export async function audit(
  target: Target,
  { seed, durationMs, batchPauseMs = BATCH_PAUSE_MS, watch, memoryLog }: AuditOptions,
): Promise<AuditReport> {
  const random = new Random(seed);
  const nats = await startNatsCluster({ isolates: watch !== undefined });
  const { connection } = nats;
  await nats.create(STREAM);
  // The nodes don't advertise each other, so all connections of the gateways go through these proxies.
  const proxies = await Promise.all(
    [...nats.nodes.values()].map(({ url, port }) => startTcpProxy(port, new URL(url).hostname)),
  );
  const nats_url = proxies.map(({ port }) => `nats://127.0.0.1:${port}`);
  serveClaims(connection);
  const access = { authorizer_subject: AUTHORIZER, authorizer_timeout: "2s" };
  const config = { nats_url, streams: [STREAM], ring_messages: 500, ...access };
  const acked = { ...config, delivery_mode: "at-least-once", ack_timeout: "2s" };
  const directory = mkdtempSync(join(tmpdir(), "spillway-audit-"));
  const clock = new JumpingClock(join(directory, "ahead-ms"));
  // The last one is for clients that acknowledge.
  const starts: readonly GatewayStart[] =
    watch === undefined
      ? [config, config, acked].map((config) => ({ target, config }))
      : [
          { target: memoryLog?.on(clock.on(target)) ?? clock.on(target), config },
          { target: withWorkers(target), config: { ...config, workers: 2 } },
          { target: clock.on(target), config: acked },
        ];
  const soak: SoakParts | undefined = watch && { clock, withWorkers: 1 };
  const gateways = await Promise.all(
    starts.map(async ({ target, config }) =>
      // One that is killed starts again at its port.
      startGateway(target, { config, args: ["--port", String(await freePort())] }),
    ),
  );
  const urls = (): string[] => gateways.slice(0, 2).map(({ wsUrl }) => wsUrl);
  const insider = { token: "insider", never: [] };
  const outsider = { token: "outsider", never: [DENIED, SECRET] };
  const protocolClients = Array.from({ length: CLIENTS }, (_, n) => {
    const subjects = n % 2 === 0 ? ["audit.>"] : [SUBJECTS[n % 4]!];
    const access = n % 4 === 0 ? outsider : insider;
    return new AuditedClient(`client ${n}`, subjects, access, urls, new Random(seed + n + 1));
  });
  const clients: readonly AuditedParty[] = [
    ...protocolClients,
    ...sdkClients({
      ...{ random: new Random(seed + CLIENTS + 1), insider, outsider, urls },
      ...{ all: "audit.>", two: ["audit.a", "audit.b"], ackedUrl: () => gateways[2]!.wsUrl },
    }),
  ];
  const running = clients.map((client) => new Promise<void>((began) => void client.run(began)));
  const watching = watch && setInterval(() => watch(gateways[0]!), WATCH_MS);
  try {
    await Promise.all(running);
    const untilMs = performance.now() + durationMs;
    const publisher = publish(connection, untilMs, batchPauseMs);
    const faults = await breakThings(
      { random, clients, gateways, starts, nats, stream: STREAM, proxies, soak },
      untilMs,
    );
    const published = await publisher;
    const last = Math.max(...published.keys());
    const lasts = clients.map((client) =>
      Math.max(...[...published].filter(([, subject]) => wants(client, subject)).map(([n]) => n)),
    );
    const behind = (): number[] => clients.map((client, n) => client.last - lasts[n]!);
    await until<number[]>(
      `the last of ${last} messages at all clients`,
      async () => {
        await pause(20);
        return behind();
      },
      (by) => by.every((count) => count >= 0),
      CATCH_UP_MS,
    ).catch((error: unknown) => {
      const late = clients.filter((_, n) => behind()[n]! < 0);
      const logs = gateways.map(({ logs }) => logs.slice(-8).map(({ message }) => message));
      const examples = late.slice(0, 3).map(({ history }) => history);
      throw new Error([`${error}`, ...examples, ...logs.flat()].join("\n"));
    });
    const wrong = clients.flatMap((client) =>
      client.faults(published, (subject) => wants(client, subject)),
    );
    if (wrong.length > 0) {
      throw new Error([...wrong.slice(0, 20), ...warningsOf(gateways)].join("\n"));
    }
    const sum = (count: (client: AuditedParty) => number): number =>
      clients.reduce((total, client) => total + count(client), 0);
    return {
      published: published.size,
      delivered: sum(({ records }) => records.sequences.length),
      declared: sum(({ records }) => records.gaps.length),
      connections: sum(({ connections }) => connections),
      faults,
    };
  } catch (cause) {
    throw new Error(`The audit of ${target.name} with seed ${seed} failed: ${cause}`, { cause });
  } finally {
    clearInterval(watching);
    for (const client of clients) client.stop();
    await Promise.all(gateways.map((gateway) => gateway.stop()));
    await Promise.all(proxies.map((proxy) => proxy.close()));
    await nats.stop();
    rmSync(directory, { recursive: true });
  }
}

/** Returns what the gateways complained of, with the time. */
function warningsOf(gateways: readonly Gateway[]): readonly string[] {
  return gateways.flatMap(({ logs, wsUrl }) =>
    logs
      .filter(({ level }) => level !== "info" && level !== "debug")
      .map((line) => `${wsUrl} ${line["@timestamp"]} ${line.message}`),
  );
}

/** Returns a target whose gateways may start workers. */
function withWorkers(target: Target): Target {
  return target.runtime === "deno" ? allowing(target, "--allow-run") : target;
}

/** Answers the gateways' requests about tokens. */
function serveClaims(connection: NatsConnection): void {
  connection.subscribe(AUTHORIZER, {
    callback: (error, msg) => {
      if (error !== null) return;
      const { credentials } = msg.json<{ credentials: { token: string } }>();
      const sub = credentials.token;
      const subjects = { allow: ["audit.>"], deny: sub === "outsider" ? [`${DENIED}.>`] : [] };
      const authorization_details = [{ type: "spillway", subjects, durables: ["audit-*"] }];
      msg.respond(JSON.stringify({ sub, authorization_details }));
    },
  });
}

function wants({ subjects, access }: AuditedParty, subject: string): boolean {
  if (access.never.some((text) => subject.includes(text))) return false;
  return subjects.includes("audit.>") || subjects.includes(subject);
}

/** Publishes messages, each until the stream has it once. The stream numbers them. */
async function publish(
  connection: NatsConnection,
  untilMs: number,
  batchPauseMs: number,
): Promise<Map<number, string>> {
  const published = new Map<number, string>();
  const stream = connection.jetstream();
  const put = async (n: number): Promise<void> => {
    const subject = SUBJECTS[n % SUBJECTS.length]!;
    for (;;) {
      try {
        const payload = subject.startsWith(DENIED) ? { n, secret: SECRET } : { n };
        const { seq } = await stream.publish(subject, JSON.stringify(payload), {
          msgID: `${n}`,
          timeout: 1000,
        });
        published.set(seq, subject);
        return;
      } catch {
        await pause(50);
      }
    }
  };
  for (let n = 0; performance.now() < untilMs; n += BATCH) {
    await Promise.all(Array.from({ length: BATCH }, (_, index) => put(n + index)));
    await pause(batchPauseMs);
  }
  return published;
}
