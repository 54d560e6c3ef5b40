import process from "node:process";
import type { Config } from "../config/config.ts";
import type { ConfigFile } from "../config/load.ts";
import { reasonOf } from "../core/ports/errors.ts";
import type { Log } from "../core/ports/log.ts";
import { createListeningGateway } from "../gateway/gateway.ts";
import { systemClock } from "../runtime/clock.ts";
import type { Telemetry } from "../telemetry/otlp.ts";
import { MOST_LEAVING_MS } from "../workers/messages.ts";
import type { SupervisorChannel } from "../workers/spawn-worker.ts";
import { workerConfig } from "../workers/worker-limits.ts";
import { WorkerSiblings } from "../workers/worker-siblings.ts";
import { announce } from "./announce.ts";
import { EXIT } from "./command.ts";
import { type ConfigReading, ConfigReloader, reloadGateway } from "./config-reloader.ts";
import { stopOnSignals } from "./stop-on-signals.ts";

/** Serves clients in this process until a signal or an operator stops it. @returns the exit code. */
export async function runGateway(
  reading: ConfigReading,
  log: Log,
  telemetry: Telemetry | undefined,
): Promise<number> {
  const { config } = reading.loaded;
  // "auto" may be one worker.
  const share = (now: Config): Config => ({ ...now, workers: 1 });
  const gateway = createListeningGateway(config, { telemetry, share });
  const reloader = new ConfigReloader(reading, () => reloadGateway(gateway, reading));
  gateway.onReloadRequest = () => reloader.reload();
  // Before the start, so that a signal works as soon as the log says that the gateway listens.
  const ended = stopOnSignals(gateway, log);
  reloader.listen();
  await gateway.start();
  announce(config, gateway.address?.port ?? config.port, log);
  reloader.start();
  const code = await ended;
  reloader.stop();
  return code;
}

/** Serves clients in one of several processes until its supervisor or a signal stops it. @returns the exit code. */
export async function runWorker(
  reading: ConfigReading,
  log: Log,
  channel: SupervisorChannel,
  telemetry: Telemetry | undefined,
): Promise<number> {
  const { config } = reading.loaded;
  const { number, count, port = config.port, adminPort, isReplacement } = channel.assignment;
  const siblings = new WorkerSiblings(
    number === 1 && !isReplacement,
    (message) => channel.send(message),
    systemClock,
  );
  const share = (now: Config): Config => ({
    ...workerConfig(now, count),
    port,
    adminPort: adminPort ?? now.adminPort,
  });
  const gateway = createListeningGateway(config, { telemetry, share }, siblings);
  const reload = async (id: number, file: ConfigFile | undefined): Promise<void> => {
    const { answer } = await reloadGateway(gateway, reading, file);
    channel.send({ type: "answer", id, answer });
  };
  const ordered = Promise.withResolvers<number>();
  const mayLeave = Promise.withResolvers<void>();
  const end = (stops: Promise<void>): void => {
    stops.then(
      () => ordered.resolve(EXIT.done),
      (error) => {
        log.error("The stop failed: {reason}", { event: "stop_failed", reason: reasonOf(error) });
        ordered.resolve(EXIT.forced);
      },
    );
  };
  await channel.open(
    (message) => {
      if (message.type === "leave") mayLeave.resolve();
      else if (message.type === "drain") end(gateway.drain());
      else if (message.type === "stop") end(gateway.stop());
      else if (message.type === "reload") void reload(message.id, message.file);
      else siblings.take(message);
    },
    () => {
      log.error("The supervisor of the workers is gone, so this one drains", { event: "orphaned" });
      siblings.orphaned();
      end(gateway.drain());
    },
  );
  const leave = async (): Promise<void> => {
    channel.send({ type: "leaving" });
    const late = systemClock.after(MOST_LEAVING_MS, () => mayLeave.resolve());
    await mayLeave.promise.finally(late);
    await gateway.leave();
  };
  const signalled = stopOnSignals(
    { drain: leave, stop: () => gateway.stop(), onDrainRequest: undefined },
    log,
  );
  gateway.onDrainRequest = () => channel.send({ type: "drain" });
  gateway.onReloadRequest = () => siblings.reload();
  // A terminal, and some programs, send it to all processes of a group. The supervisor tells the workers what to do.
  process.on("SIGHUP", () => {});
  await gateway.start();
  const engine = await gateway.prepare();
  channel.send({
    type: "listening",
    port: gateway.address?.port ?? port,
    ...(engine.adminPort !== undefined && { adminPort: engine.adminPort }),
  });
  return await Promise.race([ordered.promise, signalled]);
}
