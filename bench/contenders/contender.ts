import { connect, StorageType } from "nats";
import { startProcess } from "../../test/support/child-process.ts";
import { type NatsServer, startNatsServer } from "../../test/support/nats-server.ts";
import { ROOT } from "../../test/support/runtimes.ts";
import { type Endpoint, keptStream } from "../load/endpoint.ts";
import { type Cores, onGatewayCore } from "../machine.ts";
import type { Replay, Scenario } from "../scenario.ts";

export type RuntimeName = "bun" | "deno" | "node";

/** A server that carries messages to clients: Spillway, or a control. */
export interface Contender {
  readonly name: string;
  /**
   * - `"spillway"`: the command itself.
   * - `"bare"`: its runtime writing the same bytes, with nothing of ours in between.
   * - `"nats"`: nats-server's own WebSocket listener, with native subscribers.
   * - `"peer"`: what people write or use instead.
   * - `"reference"`: C, which makes its messages itself.
   */
  readonly role: "spillway" | "bare" | "nats" | "peer" | "reference";
  readonly runtime?: RuntimeName;
  /** The kind of sockets that clients connect to, if a runtime has two. */
  readonly sockets?: "node" | "native";
  /**
   * Starts it, behind a NATS server of its own that takes the publisher's messages.
   *
   * @param flowMs how long messages flow, for a contender that makes them itself.
   */
  start(cores: Cores | undefined, scenario: Scenario, flowMs: number): Promise<Carrier>;
}

/** A contender that runs and is connected to NATS. */
export interface Carrier {
  /** Where clients connect. */
  readonly endpoint: Pick<Endpoint, "port" | "path" | "dialect">;
  /** Where the publisher connects; `undefined` if the contender makes its messages itself. */
  readonly natsPort?: number;
  /** Its process, and that of NATS if it is another one. */
  readonly pids: { readonly gateway: number; readonly nats?: number };
  /** From the start of its process until it could take clients and was connected to NATS. */
  readonly readyMs: number;
  stop(): Promise<void>;
}

/** A process that has not ended by then has too much to do, and is killed. */
export const STOP_MS = 1000;

/** Messages of a stream that are confirmed together. */
const TOGETHER = 500;

/** Starts a NATS server, and what carries its messages; neither stays if the other does not start. */
export async function behindNats(
  scenario: Scenario,
  start: (nats: NatsServer) => Promise<Carrier>,
): Promise<Carrier> {
  const nats = await startNatsFor(scenario, false);
  try {
    const carrier = await start(nats);
    return {
      ...carrier,
      natsPort: nats.port,
      pids: { ...carrier.pids, nats: nats.pid },
      async stop() {
        await carrier.stop();
        await nats.stop();
      },
    };
  } catch (error) {
    await nats.stop();
    throw error;
  }
}

/** Starts a program of the bench on the gateway's core. It prints `{"port":…}` when it is ready. */
export async function startProgram(
  name: string,
  command: readonly string[],
  at: Pick<Endpoint, "path" | "dialect">,
  cores: Cores | undefined,
): Promise<Carrier> {
  let beganMs = 0;
  const program = await onGatewayCore(cores, () => {
    beganMs = performance.now();
    return startProcess(name, command, { cwd: ROOT });
  });
  const { text } = await program.lines.next("line with its port");
  const { port } = JSON.parse(text) as { port: number };
  return {
    endpoint: { ...at, port },
    pids: { gateway: program.pid },
    readyMs: performance.now() - beganMs,
    stop: async () => void (await program.stop(STOP_MS)),
  };
}

/** Starts a NATS server for a scenario, with the streams that its clients replay, if there is one. */
export async function startNatsFor(scenario: Scenario, websocket: boolean): Promise<NatsServer> {
  const jetstream = scenario.kind === "replay";
  const nats = await startNatsServer({ websocket, jetstream });
  try {
    if (jetstream) await fillStreams(nats.url, scenario);
    return nats;
  } catch (error) {
    await nats.stop();
    throw error;
  }
}

async function fillStreams(url: string, replay: Replay): Promise<void> {
  const { messages, payloadBytes, direct, earlier } = replay;
  const connection = await connect({ servers: url });
  const manager = await connection.jetstreamManager();
  const storage = StorageType.Memory;
  const client = connection.jetstream();
  const payload = `{"d":"${"x".repeat(payloadBytes - '{"d":""}'.length)}"}`;
  for (let number = 0; number <= earlier; number++) {
    const { stream, subject } = keptStream(number);
    await manager.streams.add({ name: stream, subjects: [subject], storage, allow_direct: direct });
    for (let left = messages; left > 0; left -= TOGETHER) {
      const count = Math.min(TOGETHER, left);
      await Promise.all(Array.from({ length: count }, () => client.publish(subject, payload)));
    }
  }
  await connection.close();
}
