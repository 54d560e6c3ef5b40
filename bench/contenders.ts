import { startProcess } from "../test/support/child-process.ts";
import { startGateway } from "../test/support/gateway-process.ts";
import { type NatsServer, startNatsServer } from "../test/support/nats-server.ts";
import { ensureNode } from "../test/support/node-binary.ts";
import { ROOT, TARGETS } from "../test/support/runtimes.ts";
import { type Cores, onCore } from "./machine.ts";

export type RuntimeName = "bun" | "deno" | "node";

/** What messages are carried by: Spillway, or a control. */
export interface Contender {
  readonly name: string;
  /**
   * - `"spillway"`: the command itself.
   * - `"bare"`: its runtime writing the same bytes, with nothing of ours in between.
   * - `"nats"`: nats-server's own WebSocket listener, with native subscribers.
   */
  readonly role: "spillway" | "bare" | "nats";
  readonly runtime: RuntimeName | undefined;
  /** Starts it, behind a NATS server of its own that takes what the publisher sends. */
  start(cores: Cores | undefined): Promise<Carrier>;
}

/** A contender that runs and is connected to NATS. */
export interface Carrier {
  /** Where clients connect. */
  readonly port: number;
  readonly path: string;
  readonly dialect: "envelope" | "nats";
  /** Where the publisher connects. */
  readonly natsPort: number;
  /** By what they are: always `gateway`, and `nats` where that is another process. */
  readonly pids: Readonly<Record<string, number>>;
  /** The last of what it said, for whoever wonders why it failed. */
  lastWords(): string;
  stop(): Promise<void>;
}

/** All of them, each control before what it is the control of. */
export const CONTENDERS: readonly Contender[] = [
  natsListener(),
  bare("bun", () => [process.execPath, "run"], "bench/controls/bare-bun.ts"),
  spillway("bun"),
  bare("node", () => [ensureNode("node")], "bench/controls/bare-node.ts"),
  spillway("node"),
  bare("deno", () => [TARGETS.deno.command()[0]!, "run", "-A"], "bench/controls/bare-deno.ts"),
  spillway("deno"),
];

function spillway(runtime: RuntimeName): Contender {
  return {
    name: `spillway on ${runtime}`,
    role: "spillway",
    runtime,
    start: (cores) =>
      behindNats(async (nats) => {
        const config = { nats_url: nats.url, subjects: ["bench.>"], log_level: "info" };
        const gateway = await onCore(cores, "gateway", () =>
          startGateway(TARGETS[runtime], { config }),
        );
        await gateway.waitForLog(
          ({ properties }) => properties.event === "source_connected",
          "log line that says that NATS is connected",
        );
        const { port, path, pid } = gateway;
        const lastWords = () => wordsOf(gateway.logs.map(({ message }) => message));
        return { port, path, pid, lastWords, stop: async () => void (await gateway.stop()) };
      }),
  };
}

function bare(runtime: RuntimeName, command: () => readonly string[], file: string): Contender {
  const name = `bare ${runtime}`;
  return {
    name,
    role: "bare",
    runtime,
    start: (cores) =>
      behindNats(async (nats) => {
        const server = await onCore(cores, "gateway", () =>
          startProcess(name, [...command(), file, nats.url], { cwd: ROOT }),
        );
        const { text } = await server.lines.next("line with its port");
        const { port } = JSON.parse(text) as { port: number };
        const { pid } = server;
        const lastWords = () => wordsOf(server.lines.entries.map((line) => line.text));
        return { port, path: "/", pid, lastWords, stop: async () => void (await server.stop()) };
      }),
  };
}

function natsListener(): Contender {
  return {
    name: "nats-server",
    role: "nats",
    runtime: undefined,
    async start(cores) {
      const nats = await onCore(cores, "gateway", () => startNatsServer());
      return {
        port: nats.wsPort,
        path: "/",
        dialect: "nats",
        natsPort: nats.port,
        pids: { gateway: nats.pid },
        lastWords: () => "",
        stop: () => nats.stop(),
      };
    },
  };
}

/** A NATS server, and what carries its messages; neither stays when the other does not start. */
async function behindNats(
  start: (
    nats: NatsServer,
  ) => Promise<Pick<Carrier, "port" | "path" | "lastWords" | "stop"> & { pid: number }>,
): Promise<Carrier> {
  const nats = await startNatsServer({ websocket: false });
  try {
    const { port, path, pid, lastWords, stop } = await start(nats);
    return {
      port,
      path,
      lastWords,
      dialect: "envelope",
      natsPort: nats.port,
      pids: { gateway: pid, nats: nats.pid },
      async stop() {
        await stop();
        await nats.stop();
      },
    };
  } catch (error) {
    await nats.stop();
    throw error;
  }
}

function wordsOf(lines: readonly string[]): string {
  return lines.slice(-8).join("\n");
}
