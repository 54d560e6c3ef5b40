import { ensureNode } from "../../test/support/node-binary.ts";
import { TARGETS } from "../../test/support/runtimes.ts";
import { onCore } from "../machine.ts";
import { programBehindNats } from "./behind-nats.ts";
import type { Contender, RuntimeName } from "./contender.ts";
import { startNatsFor } from "./kept-stream.ts";

/** What starts a file on a runtime. */
const RUN: Readonly<Record<RuntimeName, () => readonly string[]>> = {
  bun: () => [process.execPath, "run"],
  deno: () => [TARGETS.deno.command()[0]!, "run", "-A"],
  node: () => [ensureNode("node")],
};

/** A runtime that writes the same bytes by its best technique on these sockets, and no more. */
export function bare(runtime: RuntimeName, sockets: "node" | "native"): Contender {
  const name = `bare ${runtime}${sockets === "native" ? ", native" : ""}`;
  const file = `bench/controls/bare-${sockets === "native" ? runtime : "node"}.ts`;
  const at = { path: "/", dialect: "envelope" } as const;
  return {
    name,
    role: "bare",
    runtime,
    sockets,
    start: (cores, scenario) =>
      programBehindNats(name, [...RUN[runtime](), file], at, cores, scenario),
  };
}

/** nats-server's own WebSocket listener, with native subscribers. */
export const natsListener: Contender = {
  name: "nats-server",
  role: "nats",
  async start(cores, scenario) {
    const beganMs = performance.now();
    const nats = await onCore(cores, "gateway", () => startNatsFor(scenario));
    return {
      endpoint: { port: nats.wsPort, path: "/", dialect: "nats" },
      natsPort: nats.port,
      pids: { gateway: nats.pid },
      readyMs: performance.now() - beganMs,
      lastWords: () => "",
      stop: () => nats.stop(),
    };
  },
};

/** One `ws.send` per client and message, on Node. */
export const wsLoop: Contender = {
  name: "ws loop",
  role: "peer",
  start: (cores, scenario) =>
    programBehindNats(
      "ws loop",
      [...RUN.node(), "bench/controls/ws-loop.ts"],
      { path: "/", dialect: "envelope" },
      cores,
      scenario,
    ),
};

/** Socket.IO on Node, over WebSocket alone. */
export const socketIo: Contender = {
  name: "Socket.IO",
  role: "peer",
  start: (cores, scenario) =>
    programBehindNats(
      "Socket.IO",
      [...RUN.node(), "bench/controls/socket-io.ts"],
      { path: "/socket.io/?EIO=4&transport=websocket", dialect: "socket.io" },
      cores,
      scenario,
    ),
};
