import { spawnSync } from "node:child_process";
import process from "node:process";
import { freePort } from "./free-port.ts";
import { startTcpProxy, type TcpProxy } from "./tcp-proxy.ts";

/** The place of a node in a network. */
export interface NodePlace {
  /** The address for its clients. */
  readonly host: string;
  /** Any free one if it isn't given. */
  readonly port?: number;
  /** The address, with its port, at which it listens for the other nodes. */
  readonly routed: string;
  /** The addresses, with ports, of the other nodes. */
  readonly routes: readonly string[];
  /** Stands before the command of its process. */
  readonly command?: readonly string[];
}

/** The network of a cluster. */
export interface ClusterNetwork {
  readonly places: readonly NodePlace[];
  /**
   * Cuts a node off from the others, though not from its clients.
   *
   * @returns what connects it again.
   */
  isolate(node: number): () => void;
  /**
   * Cuts a node off from everybody: no packet comes or goes, and no connection ends. `undefined` if this takes what the machine
   * doesn't have.
   *
   * @returns what connects it again.
   */
  readonly unplug?: (node: number) => () => void;
  close(): Promise<void>;
}

const LOOPBACK = "127.0.0.1";

/** Nodes that reach each other by loopback, always. */
export async function loopbackNetwork(count: number): Promise<ClusterNetwork> {
  const routed = (await freePorts(count)).map((port) => `${LOOPBACK}:${port}`);
  return {
    places: routed.map((own) => ({ host: LOOPBACK, routed: own, routes: routed })),
    isolate() {
      throw new Error("nothing is between these nodes");
    },
    async close() {},
  };
}

/** Nodes that reach each other by proxies on loopback. */
export async function proxiedNetwork(count: number): Promise<ClusterNetwork> {
  const ports = await freePorts(count);
  const links = await linksBetween(ports);
  return {
    places: ports.map((port, node) => ({
      ...{ host: LOOPBACK, routed: `${LOOPBACK}:${port}` },
      routes: links
        .filter(({ from }) => from === node)
        .map(({ proxy }) => `${LOOPBACK}:${proxy.port}`),
    })),
    isolate(node) {
      const cut = links.filter(({ from, to }) => from === node || to === node);
      for (const { proxy } of cut) proxy.cut();
      return () => {
        for (const { proxy } of cut) proxy.mend();
      };
    },
    async close() {
      await Promise.all(links.map(({ proxy }) => proxy.close()));
    },
  };
}

const CLIENT_PORT = 4222;
const ROUTE_PORT = 6222;

/**
 * Nodes that have a network namespace each, with one link to their clients and another one to the other nodes. A link that is
 * down loses packets without a word, as a switch that fails does.
 *
 * Returns `undefined` if the machine has no such namespaces, or doesn't let this user make them: it takes Linux, root and `ip`
 * of iproute2.
 */
export function namespacedNetwork(count: number): ClusterNetwork | undefined {
  const id = process.pid % 2 ** 13;
  const name = `spw${id.toString(36)}`;
  const subnet = `10.${64 + (id >> 7)}`;
  const third = 2 * (id & 127);
  /** The link of each network in a namespace, and the start of its addresses. */
  const nets = { c: `${subnet}.${third}`, r: `${subnet}.${third + 1}` } as const;
  const links = Object.entries(nets);
  const nodes = Array.from({ length: count }, (_, node) => node);
  const close = (): void => {
    for (const node of nodes) tried(`netns del ${name}${node}`);
    for (const [kind] of links) tried(`link del ${name}${kind}`);
  };
  // An earlier process may have had the same number and a sudden end.
  close();
  // Some containers allow links, but no namespaces.
  const first = [`link add ${name}c type bridge`, ...nodes.map((n) => `netns add ${name}${n}`)];
  if (first.some((args) => tried(args) !== undefined)) {
    close();
    return undefined;
  }
  process.once("exit", close);
  ip(`link add ${name}r type bridge`);
  ip(`addr add ${nets.c}.254/24 dev ${name}c`);
  for (const [kind] of links) ip(`link set ${name}${kind} up`);
  for (const node of nodes) {
    const space = `${name}${node}`;
    ip(`-n ${space} link set lo up`);
    for (const [kind, start] of links) {
      ip(`link add ${name}${kind}${node} type veth peer name ${kind} netns ${space}`);
      ip(`link set ${name}${kind}${node} master ${name}${kind} up`);
      ip(`-n ${space} addr add ${start}.${node + 1}/24 dev ${kind}`);
      ip(`-n ${space} link set ${kind} up`);
    }
  }
  const cut = (node: number, kinds: readonly string[]) => {
    for (const kind of kinds) ip(`link set ${name}${kind}${node} down`);
    return () => {
      for (const kind of kinds) ip(`link set ${name}${kind}${node} up`);
    };
  };
  const routed = nodes.map((node) => `${nets.r}.${node + 1}:${ROUTE_PORT}`);
  return {
    places: nodes.map((node) => ({
      ...{ host: `${nets.c}.${node + 1}`, port: CLIENT_PORT },
      ...{ routed: routed[node]!, routes: routed },
      command: ["ip", "netns", "exec", `${name}${node}`],
    })),
    isolate: (node) => cut(node, ["r"]),
    unplug: (node) => cut(node, ["c", "r"]),
    async close() {
      process.off("exit", close);
      close();
    },
  };
}

function ip(args: string): void {
  const error = tried(args);
  if (error !== undefined) throw new Error(`ip ${args}: ${error}`);
}

/** Runs `ip`. @returns why that failed, if it did. */
function tried(args: string): string | undefined {
  const { status, stderr, error } = spawnSync("ip", args.split(" "), { encoding: "utf8" });
  if (error !== undefined) return error.message;
  return status === 0 ? undefined : stderr;
}

/** A way from one node to another. */
interface Link {
  readonly from: number;
  readonly to: number;
  readonly proxy: TcpProxy;
}

async function linksBetween(ports: readonly number[]): Promise<Link[]> {
  const pairs = ports.flatMap((_, from) => ports.map((port, to) => ({ from, to, port })));
  return await Promise.all(
    pairs
      .filter(({ from, to }) => from !== to)
      .map(async ({ from, to, port }) => ({ from, to, proxy: await startTcpProxy(port) })),
  );
}

/** Returns ports for the routes, which must be known before any node runs. */
async function freePorts(count: number): Promise<number[]> {
  const ports = new Set<number>();
  while (ports.size < count) ports.add(await freePort());
  return [...ports];
}
