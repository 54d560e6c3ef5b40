import { spawnSync } from "node:child_process";
import { readdirSync } from "node:fs";
import type { NatsConnection } from "nats";
import { until } from "../support/event-log.ts";
import { type Gateway, startGateway } from "../support/gateway-process.ts";
import { type NatsCluster, startNatsCluster } from "../support/nats-cluster.ts";
import type { Target } from "../support/runtimes.ts";
import { startTcpProxy, type TcpProxy } from "../support/tcp-proxy.ts";
import { AuditedClient, type AuditedParty } from "./audited-client.ts";
import { Random } from "./random.ts";
import { sdkClients } from "./sdk-clients.ts";

export interface AuditOptions {
  readonly seed: number;
  /** Duration of the messages and of the faults. */
  readonly durationMs: number;
  /** Pause between two batches of 20 messages. Default: 5 ms. */
  readonly batchPauseMs?: number;
  /**
   * Called now and then with the first gateway, which is never killed then. With it come the faults that take a machine
   * whose processes may be stopped and limited: Linux.
   */
  readonly watch?: (gateway: Gateway) => void;
}

export interface AuditReport {
  readonly published: number;
  readonly delivered: number;
  readonly declared: number;
  readonly connections: number;
  readonly faults: Readonly<Record<string, number>>;
}

/** Clients that speak the protocol themselves; the others use the client SDK. */
const CLIENTS = 8;
/** A quarter of the clients may not receive these subjects, and asks for them. */
const DENIED = "audit.internal";
const SUBJECTS = ["audit.a", `${DENIED}.x`, "audit.b", "audit.c"];
/** A text in each message on a denied subject. */
const SECRET = "only-for-insiders";
/** The subject of the service that accepts the clients' tokens. */
const AUTHORIZER = "_AUTH.audit";
/** The pause between two faults in milliseconds: its minimum, and its random part. */
const CALM_MS = [300, 900] as const;
/** Time after the last fault in which all clients must have all messages. */
const CATCH_UP_MS = 30_000;
/** Soft limit of a gateway's file descriptors that is enough. */
const FILES = 1024;
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
  { seed, durationMs, batchPauseMs = BATCH_PAUSE_MS, watch }: AuditOptions,
): Promise<AuditReport> {
  const random = new Random(seed);
  const nats = await startNatsCluster();
  const { connection } = nats;
  await nats.create("AUDIT");
  // The nodes don't advertise each other, so all connections of the gateways go through these proxies.
  const proxies = await Promise.all(
    [...nats.nodes.values()].map(({ port }) => startTcpProxy(port)),
  );
  const nats_url = proxies.map(({ port }) => `nats://127.0.0.1:${port}`);
  serveClaims(connection);
  const access = { authorizer_subject: AUTHORIZER, authorizer_timeout: "2s" };
  const config = { nats_url, streams: ["AUDIT"], ring_messages: 500, ...access };
  const acked = { ...config, delivery_mode: "at-least-once", ack_timeout: "2s" };
  // The last one is for clients that acknowledge.
  const configs = [config, config, acked];
  const gateways = await Promise.all(configs.map((config) => startGateway(target, { config })));
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
    const faults = await breakThings({
      random,
      untilMs,
      clients,
      gateways,
      nats,
      proxies,
      target,
      configs,
      isWatched: watch !== undefined,
    });
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
    if (wrong.length > 0) throw new Error(wrong.slice(0, 5).join("; "));
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
  }
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

interface Breakable {
  readonly random: Random;
  readonly untilMs: number;
  readonly clients: readonly AuditedParty[];
  readonly gateways: Gateway[];
  readonly nats: NatsCluster;
  readonly proxies: readonly TcpProxy[];
  readonly target: Target;
  readonly configs: readonly Readonly<Record<string, unknown>>[];
  readonly isWatched: boolean;
}

/** Causes faults one after the other, by the seed. @returns the number of each kind. */
async function breakThings(parts: Breakable): Promise<Record<string, number>> {
  const { random, untilMs, clients, gateways, nats, proxies, target, configs } = parts;
  const kill = async (): Promise<void> => {
    const which = parts.isWatched ? 1 : random.below(gateways.length);
    const gateway = gateways[which]!;
    gateway.signal("SIGKILL");
    await gateway.exited;
    // Tabs that share a connection know one URL.
    const args = ["--port", String(gateway.port)];
    gateways[which] = await startGateway(target, { config: configs[which]!, args });
  };
  const acts: Readonly<Record<string, () => Promise<void> | void>> = {
    "a gateway is killed": kill,
    "a node of NATS is killed": async () => {
      const name = random.of([...nats.nodes.keys()]);
      await nats.kill(name);
      await nats.nodes.get(name)!.restart();
      // Without two of its nodes, the cluster stops.
      await nats.whole("AUDIT");
    },
    "NATS is cut off": async () => {
      for (const proxy of proxies) proxy.cut();
      await pause(random.below(1500));
      for (const proxy of proxies) proxy.mend();
    },
    "a connection to NATS falls silent": async () => {
      const proxy = random.of(proxies);
      proxy.hold();
      await pause(random.below(1500));
      proxy.mend();
    },
    "a client is cut": () => random.of(clients).cut(),
    "several clients are cut": () => {
      for (let n = 0; n < 5; n++) random.of(clients).cut();
    },
    "a program ends, and another one continues": () =>
      random.of(clients.filter(({ restart }) => restart !== undefined)).restart?.(),
    "a client stalls": () => random.of(clients).stall(1500),
    ...(parts.isWatched && {
      "a gateway stands still": () => standStill(random.of(gateways).pid, random),
      "a node of NATS stands still": async () => {
        await standStill(random.of([...nats.nodes.values()]).pid, random);
        await nats.whole("AUDIT");
      },
      "a gateway has no file descriptors left": async () => {
        const { pid } = random.of(gateways);
        limit(pid, "nofile", readdirSync(`/proc/${pid}/fd`).length);
        random.of(clients).cut();
        await pause(random.below(2000));
        limit(pid, "nofile", FILES);
      },
      "a node of NATS can't write to its disk": async () => {
        const node = random.of([...nats.nodes.values()]);
        limit(node.pid, "fsize", 1);
        await pause(random.below(2000));
        limit(node.pid, "fsize", "unlimited");
        // A stream that could not be written stays so until its server starts again.
        await node.restart();
        await nats.whole("AUDIT");
      },
    }),
  };
  const counts: Record<string, number> = {};
  while (performance.now() < untilMs) {
    await pause(CALM_MS[0] + random.below(CALM_MS[1]));
    const name = random.of(Object.keys(acts));
    counts[name] = (counts[name] ?? 0) + 1;
    await acts[name]!();
  }
  return counts;
}

/** Stops a process and lets it go on, as a machine that is moved or a debugger does. */
async function standStill(pid: number, random: Random): Promise<void> {
  process.kill(pid, "SIGSTOP");
  await pause(random.below(5000));
  process.kill(pid, "SIGCONT");
}

/** Sets a process's soft limit of a resource. */
function limit(pid: number, resource: "nofile" | "fsize", value: number | "unlimited"): void {
  const args = ["--pid", `${pid}`, `--${resource}=${value}:`];
  const { status, stderr } = spawnSync("prlimit", args, { encoding: "utf8" });
  if (status !== 0) throw new Error(`prlimit: ${stderr}`);
}

async function pause(ms: number): Promise<void> {
  await new Promise((resolve) => setTimeout(resolve, ms));
}
