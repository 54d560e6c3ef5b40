import { readFileSync } from "node:fs";
import { type Gateway, startGateway } from "../support/gateway-process.ts";
import type { JumpingClock } from "../support/jumping-clock.ts";
import type { NatsCluster } from "../support/nats-cluster.ts";
import { limit, useUpFiles } from "../support/process-limits.ts";
import type { Target } from "../support/runtimes.ts";
import type { TcpProxy } from "../support/tcp-proxy.ts";
import type { AuditedParty } from "./audited-client.ts";
import { pause } from "./pause.ts";
import type { Random } from "./random.ts";

/** All that breaks. */
export interface Breakable {
  readonly random: Random;
  readonly clients: readonly AuditedParty[];
  readonly gateways: Gateway[];
  readonly starts: readonly GatewayStart[];
  readonly nats: NatsCluster;
  readonly stream: string;
  /** Between the gateways and the nodes of NATS. */
  readonly proxies: readonly TcpProxy[];
  /** Present in a soak, which has more faults, and never kills the first gateway. */
  readonly soak?: SoakParts | undefined;
}

/** The start of a gateway, which is the same each time. */
export interface GatewayStart {
  readonly target: Target;
  readonly config: Readonly<Record<string, unknown>>;
}

export interface SoakParts {
  /** The clock of all gateways that have no workers. */
  readonly clock: JumpingClock;
  /** The gateway that has workers. */
  readonly withWorkers: number;
}

type Acts = Readonly<Record<string, () => Promise<void> | void>>;

/** The pause between two faults in milliseconds: its minimum, and its random part. */
const CALM_MS = [300, 900] as const;
const HOUR_MS = 3_600_000;

/** Causes faults one after the other, by the seed. @returns the number of each kind. */
export async function breakThings(
  parts: Breakable,
  untilMs: number,
): Promise<Record<string, number>> {
  const { random } = parts;
  const acts: Acts = { ...faultsOf(parts), ...soakFaultsOf(parts) };
  const counts: Record<string, number> = {};
  while (performance.now() < untilMs) {
    await pause(CALM_MS[0] + random.below(CALM_MS[1]));
    const name = random.of(Object.keys(acts));
    counts[name] = (counts[name] ?? 0) + 1;
    await acts[name]!();
  }
  return counts;
}

function faultsOf(parts: Breakable): Acts {
  const { random, clients, gateways, starts, nats, stream, proxies, soak } = parts;
  return {
    "a gateway is killed": async () => {
      const which = soak === undefined ? random.below(gateways.length) : soak.withWorkers;
      const gateway = gateways[which]!;
      gateway.signal("SIGKILL");
      await gateway.exited;
      // Tabs that share a connection know one URL.
      const args = ["--port", String(gateway.port)];
      const { target, config } = starts[which]!;
      gateways[which] = await startGateway(target, { config, args });
    },
    "a node of NATS is killed": async () => {
      const name = random.of([...nats.nodes.keys()]);
      await nats.kill(name);
      await nats.nodes.get(name)!.restart();
      // Without two of its nodes, the cluster stops.
      await nats.whole(stream);
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
  };
}

/** The faults that take a machine whose processes may be stopped and limited. */
function soakFaultsOf({ random, clients, gateways, nats, stream, soak }: Breakable): Acts {
  if (soak === undefined) return {};
  const { clock, withWorkers } = soak;
  const anyNode = () => random.of([...nats.nodes.values()]);
  return {
    "a worker is killed": () => {
      const workers = childrenOf(gateways[withWorkers]!.pid);
      if (workers.length > 0) process.kill(random.of(workers), "SIGKILL");
    },
    "a worker stands still": async () => {
      const workers = childrenOf(gateways[withWorkers]!.pid);
      if (workers.length > 0) await standStill(random.of(workers), random);
    },
    "a gateway's clock jumps": () => {
      const { pid } = random.of(gateways.filter((_, which) => which !== withWorkers));
      clock.jump(pid, random.of([-HOUR_MS, 0, HOUR_MS]));
    },
    "a gateway stands still": () => standStill(random.of(gateways).pid, random),
    "a gateway has no file descriptors left": async () => {
      const { pid } = random.of(gateways);
      const free = useUpFiles(pid);
      random.of(clients).cut();
      await pause(random.below(2000));
      free();
    },
    "a node of NATS is cut off from the others": async () => {
      const rejoin = nats.isolate(random.of([...nats.nodes.keys()]));
      await pause(random.below(5000));
      rejoin();
      await nats.whole(stream);
    },
    ...(nats.unplug && {
      "a node of NATS has no network": async () => {
        const plug = nats.unplug!(random.of([...nats.nodes.keys()]));
        await pause(random.below(5000));
        plug();
        await nats.whole(stream);
      },
    }),
    "a node of NATS stands still": async () => {
      await standStill(anyNode().pid, random);
      await nats.whole(stream);
    },
    "a node of NATS can't write to its disk": async () => {
      const node = anyNode();
      limit(node.pid, "fsize", 1);
      await pause(random.below(2000));
      limit(node.pid, "fsize", "unlimited");
      // A stream that could not be written stays so until its server starts again.
      await node.restart();
      await nats.whole(stream);
    },
  };
}

function childrenOf(pid: number): number[] {
  const text = readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8");
  return text.split(" ").filter(Boolean).map(Number);
}

/** Stops a process and lets it go on, as a machine that is moved or a debugger does. */
async function standStill(pid: number, random: Random): Promise<void> {
  process.kill(pid, "SIGSTOP");
  await pause(random.below(5000));
  process.kill(pid, "SIGCONT");
}
