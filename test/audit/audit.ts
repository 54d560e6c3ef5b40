import type { NatsConnection } from "nats";
import { until } from "../support/event-log.ts";
import { type Gateway, startGateway } from "../support/gateway-process.ts";
import { type NatsCluster, startNatsCluster } from "../support/nats-cluster.ts";
import type { Target } from "../support/runtimes.ts";
import { startTcpProxy, type TcpProxy } from "../support/tcp-proxy.ts";
import { AuditedClient } from "./audited-client.ts";
import { Random } from "./random.ts";

export interface AuditOptions {
  readonly seed: number;
  /** How long messages flow and things break. */
  readonly durationMs: number;
}

export interface AuditReport {
  readonly published: number;
  readonly delivered: number;
  readonly declared: number;
  readonly connections: number;
  readonly faults: Readonly<Record<string, number>>;
}

const CLIENTS = 12;
/** A third of the clients may not have it, though half of these ask for everything. */
const DENIED = "audit.internal";
const SUBJECTS = ["audit.a", `${DENIED}.x`, "audit.b", "audit.c"];
/** Stands in each message that is denied to some. */
const SECRET = "only-for-insiders";
/** The service behind NATS that knows the clients' tokens, which are their names. */
const AUTHORIZER = "_AUTH.audit";
/** Between two things that break, in milliseconds: at least, and at most so much more. */
const CALM_MS = [300, 900] as const;
/** So long after the last fault everybody must have everything. */
const CATCH_UP_MS = 30_000;
/** A few thousand messages a second at most. */
const BATCH = 20;

/**
 * Two gateways and a NATS cluster with a stream of three replicas, clients that come back, and faults
 * by the seed's schedule; at the end each message is accounted for, for each client: delivered once
 * and in order, declared in a gap, or not wanted. Nothing of a denied message reached those who may not have it.
 *
 * @throws Error that names the seed and the first things that are wrong.
 */
export async function audit(
  target: Target,
  { seed, durationMs }: AuditOptions,
): Promise<AuditReport> {
  const random = new Random(seed);
  const nats = await startNatsCluster();
  const { connection } = nats;
  await nats.create("AUDIT");
  // No node tells of the others, so that all of the gateways' connections go through these.
  const proxies = await Promise.all(
    [...nats.nodes.values()].map(({ port }) => startTcpProxy(port)),
  );
  const nats_url = proxies.map(({ port }) => `nats://127.0.0.1:${port}`);
  serveClaims(connection);
  const access = { authorizer_subject: AUTHORIZER, authorizer_timeout: "2s" };
  const config = { nats_url, streams: ["AUDIT"], ring_messages: 500, ...access };
  const gateways = await Promise.all([1, 2].map(() => startGateway(target, { config })));
  const clients = Array.from({ length: CLIENTS }, (_, n) => {
    const subjects = n % 2 === 0 ? ["audit.>"] : [SUBJECTS[n % 4]!];
    const urls = (): string[] => gateways.map(({ wsUrl }) => wsUrl);
    const access =
      n % 4 === 0
        ? { token: "outsider", never: [DENIED, SECRET] }
        : { token: "insider", never: [] };
    return new AuditedClient(`client ${n}`, subjects, access, urls, new Random(seed + n + 1));
  });
  const running = clients.map((client) => new Promise<void>((began) => void client.run(began)));
  try {
    await Promise.all(running);
    const untilMs = performance.now() + durationMs;
    const publisher = publish(connection, untilMs);
    const faults = await breakThings({
      random,
      untilMs,
      clients,
      gateways,
      nats,
      proxies,
      target,
      config,
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
    const sum = (count: (client: AuditedClient) => number): number =>
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
    for (const client of clients) client.stop();
    await Promise.all(gateways.map((gateway) => gateway.stop()));
    await Promise.all(proxies.map((proxy) => proxy.close()));
    await nats.stop();
  }
}

/** Answers gateways that ask what a token allows. */
function serveClaims(connection: NatsConnection): void {
  connection.subscribe(AUTHORIZER, {
    callback: (error, msg) => {
      if (error !== null) return;
      const { credentials } = msg.json<{ credentials: { token: string } }>();
      const sub = credentials.token;
      const subjects = { allow: ["audit.>"], deny: sub === "outsider" ? [`${DENIED}.>`] : [] };
      const authorization_details = [{ type: "spillway", subjects }];
      msg.respond(JSON.stringify({ sub, authorization_details }));
    },
  });
}

function wants({ subjects, access }: AuditedClient, subject: string): boolean {
  if (access.never.some((text) => subject.includes(text))) return false;
  return subjects.includes("audit.>") || subjects.includes(subject);
}

/** Numbers messages by the stream itself; each is tried until the stream has it, and is in it once. */
async function publish(connection: NatsConnection, untilMs: number): Promise<Map<number, string>> {
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
    await pause(5);
  }
  return published;
}

interface Breakable {
  readonly random: Random;
  readonly untilMs: number;
  readonly clients: readonly AuditedClient[];
  readonly gateways: Gateway[];
  readonly nats: NatsCluster;
  readonly proxies: readonly TcpProxy[];
  readonly target: Target;
  readonly config: Readonly<Record<string, unknown>>;
}

/** Breaks one thing after the other, by the seed. @returns how often each. */
async function breakThings(parts: Breakable): Promise<Record<string, number>> {
  const { random, untilMs, clients, gateways, nats, proxies, target, config } = parts;
  const kill = async (): Promise<void> => {
    const which = random.below(gateways.length);
    const gateway = gateways[which]!;
    gateway.signal("SIGKILL");
    await gateway.exited;
    gateways[which] = await startGateway(target, { config });
  };
  const acts: Readonly<Record<string, () => Promise<void> | void>> = {
    "a gateway is killed": kill,
    "a node of NATS is killed": async () => {
      const name = random.of([...nats.nodes.keys()]);
      await nats.kill(name);
      await nats.nodes.get(name)!.restart();
      // With two away at once there is no cluster any more.
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
    "a client stalls": () => random.of(clients).stall(1500),
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

async function pause(ms: number): Promise<void> {
  await new Promise((resolve) => setTimeout(resolve, ms));
}
