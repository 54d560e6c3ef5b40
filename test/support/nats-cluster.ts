import type { NatsConnection } from "nats";
import { loopbackNetwork, namespacedNetwork, proxiedNetwork } from "./cluster-network.ts";
import { until } from "./event-log.ts";
import { connectLasting } from "./nats-connection.ts";
import { type NatsServer, startNatsServer } from "./nats-server.ts";

const NODES = 3;
/** How long the nodes may take to elect a leader, and a replica to catch up. */
const TOGETHER_MS = 50_000;

/** Three `nats-server`s on loopback that keep streams together. */
export interface NatsCluster {
  /** By their names `n0`, `n1`, `n2`. */
  readonly nodes: ReadonlyMap<string, NatsServer>;
  readonly urls: readonly string[];
  /** A connection of the test's own, which goes to another node when its own is gone. */
  readonly connection: NatsConnection;
  /** Makes a stream of three replicas, of which subjects are all below its name in small letters. */
  create(name: string): Promise<void>;
  /** The name of the node that leads a stream, once one does. */
  leaderOf(stream: string): Promise<string>;
  /** Ends a node without a word. It comes back by its `restart`. */
  kill(name: string): Promise<void>;
  /**
   * Cuts a node off from the others, though not from its clients. Only if the cluster was started so that this is possible.
   *
   * @returns what connects it again.
   */
  isolate(name: string): () => void;
  /** Cuts a node off from everybody without a word, where the machine has network namespaces. @returns what connects it again. */
  readonly unplug?: (name: string) => () => void;
  /** Waits until all replicas of a stream have all of it. */
  whole(stream: string): Promise<void>;
  stop(): Promise<void>;
}

/**
 * Starts the nodes, which may not have agreed yet on who leads them. None tells clients of the others,
 * so that these go only where they were told to go.
 *
 * @param options.isolates whether nodes can be cut off from the others. They have network namespaces of their own then if the
 * machine can make these, or else reach each other through proxies.
 */
export async function startNatsCluster({ isolates = false } = {}): Promise<NatsCluster> {
  const network = isolates
    ? (namespacedNetwork(NODES) ?? (await proxiedNetwork(NODES)))
    : await loopbackNetwork(NODES);
  const started = await Promise.all(
    network.places.map(({ routed, routes, ...place }, n) => {
      const urls = routes.map((address) => `"nats://${address}"`).join(", ");
      // Nodes tell each other of addresses, too; there is nobody at this one.
      const advertise = isolates ? 'advertise: "127.0.0.1:1", ' : "";
      return startNatsServer({
        ...place,
        jetstream: true,
        websocket: false,
        config:
          `server_name: n${n}\n` +
          `cluster { name: spillway, listen: "${routed}", ${advertise}no_advertise: true, routes: [${urls}] }`,
      });
    }),
  );
  const nodes = new Map(started.map((node, n) => [`n${n}`, node]));
  const numberOf = (name: string): number => [...nodes.keys()].indexOf(name);
  const urls = started.map(({ url }) => url);
  const connection = await connectLasting(urls);
  const { streams } = await connection.jetstreamManager({ checkAPI: false });
  // While nobody leads there is no answer, or an error.
  const info = async (stream: string) =>
    (await streams.info(stream).catch(() => undefined))?.cluster;
  const whole = async (stream: string): Promise<void> => {
    await until(
      `whole ${stream}`,
      () => info(stream),
      (answer) =>
        answer?.replicas?.length === NODES - 1 &&
        answer.replicas.every(({ current, offline }) => current && offline !== true),
      TOGETHER_MS,
    );
  };
  return {
    nodes,
    urls,
    connection,
    async create(name) {
      const config = { name, subjects: [`${name.toLowerCase()}.>`], num_replicas: NODES };
      // Refused until the nodes know each other.
      await until(
        `stream ${name}`,
        () => streams.add(config).catch(() => undefined),
        (made) => made !== undefined,
        TOGETHER_MS,
      );
      await whole(name);
    },
    async leaderOf(stream) {
      const cluster = await until(
        `leader of ${stream}`,
        () => info(stream),
        (answer) => answer?.leader !== undefined,
      );
      return cluster!.leader!;
    },
    async kill(name) {
      const node = nodes.get(name)!;
      process.kill(node.pid, "SIGKILL");
      // It has ended when this returns.
      await node.stop();
    },
    isolate: (name) => network.isolate(numberOf(name)),
    ...(network.unplug && { unplug: (name: string) => network.unplug!(numberOf(name)) }),
    whole,
    async stop() {
      await connection.close();
      await Promise.all(started.map((node) => node.stop()));
      await network.close();
    },
  };
}
