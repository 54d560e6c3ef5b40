import { ensureNode } from "../../test/support/node-binary.ts";
import { TARGETS } from "../../test/support/runtimes.ts";
import type { Endpoint } from "../load/endpoint.ts";
import { onGatewayCore } from "../machine.ts";
import {
  behindNats,
  type Contender,
  type RuntimeName,
  startNatsFor,
  startProgram,
} from "./contender.ts";

/** The command that starts a file on a runtime. */
const RUN: Readonly<Record<RuntimeName, () => readonly string[]>> = {
  bun: () => [process.execPath, "run"],
  deno: () => [TARGETS.deno.command()[0]!, "run", "-A"],
  node: () => [ensureNode("node")],
};

/** A runtime that writes the same bytes by its best technique on these sockets, and no more. */
export function bare(runtime: RuntimeName, sockets: "node" | "native"): Contender {
  const isNative = sockets === "native";
  return {
    ...program(
      `bare ${runtime}${isNative ? ", native" : ""}`,
      runtime,
      `bare-${isNative ? runtime : "node"}`,
    ),
    role: "bare",
    runtime,
    sockets,
  };
}

/** nats-server's own WebSocket listener, with native subscribers. */
export const natsListener: Contender = {
  name: "nats-server",
  role: "nats",
  async start(cores, scenario) {
    let beganMs = 0;
    const nats = await onGatewayCore(cores, () => {
      beganMs = performance.now();
      return startNatsFor(scenario, true);
    });
    return {
      endpoint: { port: nats.wsPort, path: "/", dialect: "nats" },
      natsPort: nats.port,
      pids: { gateway: nats.pid },
      readyMs: performance.now() - beganMs,
      stop: () => nats.stop(),
    };
  },
};

/** One `ws.send` per client and message, on Node. */
export const wsLoop = program("ws loop", "node", "ws-loop");

/** Socket.IO on Node, over WebSocket alone. */
export const socketIo = program("Socket.IO", "node", "socket-io", {
  path: "/socket.io/?EIO=4&transport=websocket",
  dialect: "socket.io",
});

function program(
  name: string,
  runtime: RuntimeName,
  file: string,
  at: Pick<Endpoint, "path" | "dialect"> = { path: "/", dialect: "envelope" },
): Contender {
  return {
    name,
    role: "peer",
    start: (cores, scenario) =>
      behindNats(scenario, (nats) => {
        const command = [...RUN[runtime](), `bench/controls/${file}.ts`, nats.url];
        return startProgram(name, command, at, cores);
      }),
  };
}
