import { startProcess } from "../../test/support/child-process.ts";
import type { NatsServer } from "../../test/support/nats-server.ts";
import { ROOT } from "../../test/support/runtimes.ts";
import type { Endpoint } from "../load/endpoint.ts";
import { type Cores, onCore } from "../machine.ts";
import type { Scenario } from "../scenario.ts";
import { type Carrier, lastOf } from "./contender.ts";
import { startNatsFor } from "./kept-stream.ts";

/** What carries the messages of a NATS server: a part of a {@linkcode Carrier}. */
export interface Gateway extends Pick<Carrier, "endpoint" | "readyMs" | "lastWords" | "stop"> {
  readonly pid: number;
}

/** A NATS server, and what carries its messages; neither stays when the other does not start. */
export async function behindNats(
  scenario: Scenario,
  start: (nats: NatsServer) => Promise<Gateway>,
): Promise<Carrier> {
  const nats = await startNatsFor(scenario, { websocket: false });
  try {
    const { pid, stop, ...gateway } = await start(nats);
    return {
      ...gateway,
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

/**
 * Starts a program of the bench on the gateway's core. It says `{"port":…}` when it is ready.
 *
 * @param command without the URL of NATS, which comes last.
 */
export function programBehindNats(
  name: string,
  command: readonly string[],
  at: Pick<Endpoint, "path" | "dialect">,
  cores: Cores | undefined,
  scenario: Scenario,
): Promise<Carrier> {
  return behindNats(scenario, (nats) => startProgram(name, [...command, nats.url], at, cores));
}

/** See {@linkcode programBehindNats}. */
export async function startProgram(
  name: string,
  command: readonly string[],
  at: Pick<Endpoint, "path" | "dialect">,
  cores: Cores | undefined,
): Promise<Gateway> {
  const { program, port, readyMs } = await onCore(cores, "gateway", async () => {
    const beganMs = performance.now();
    const program = await startProcess(name, command, { cwd: ROOT });
    const { text } = await program.lines.next("line with its port");
    const { port } = JSON.parse(text) as { port: number };
    return { program, port, readyMs: performance.now() - beganMs };
  });
  return {
    endpoint: { ...at, port },
    pid: program.pid,
    readyMs,
    lastWords: () => lastOf(program.lines.entries.map(({ text }) => text)),
    stop: async () => void (await program.stop(STOP_MS)),
  };
}

/** What has not ended by itself by then has too much to do for it, and is ended. */
export const STOP_MS = 1000;
