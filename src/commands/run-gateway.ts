import type { Config } from "../config/config.ts";
import { reasonOf } from "../core/ports/errors.ts";
import type { Log } from "../core/ports/log.ts";
import { createListeningGateway } from "../gateway/gateway.ts";
import { systemClock } from "../runtime/clock.ts";
import type { Telemetry } from "../telemetry/otlp.ts";
import type { SupervisorChannel } from "../workers/spawn-worker.ts";
import { workerConfig } from "../workers/worker-limits.ts";
import { WorkerSiblings } from "../workers/worker-siblings.ts";
import { announce } from "./announce.ts";
import { EXIT } from "./command.ts";
import { type ConfigReading, ConfigReloader } from "./config-reloader.ts";
import { stopOnSignals } from "./stop-on-signals.ts";

/** Serves clients in this process until a signal or an operator stops it. @returns the exit code. */
export async function runGateway(
  reading: ConfigReading,
  log: Log,
  telemetry: Telemetry | undefined,
): Promise<number> {
  const { config } = reading.loaded;
  // "auto" may be one worker.
  const adapt = (now: Config): Config =>
    now.workers === config.workers ? { ...now, workers: 1 } : now;
  const gateway = createListeningGateway(adapt(config), { telemetry });
  const reloader = new ConfigReloader({ ...reading, gateway, adapt });
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
  // A key that can't change while the gateway runs keeps a new value, so that a reload is refused.
  const adapt = (now: Config): Config => ({
    ...workerConfig(now, count),
    port: now.port === config.port ? port : now.port,
    adminPort: now.adminPort === config.adminPort ? (adminPort ?? now.adminPort) : now.adminPort,
    workers: now.workers === config.workers ? 1 : now.workers,
  });
  const gateway = createListeningGateway(adapt(config), { telemetry }, siblings);
  const reloader = new ConfigReloader({ ...reading, gateway, adapt });
  const ordered = Promise.withResolvers<number>();
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
      if (message.type === "drain") end(gateway.drain());
      else if (message.type === "stop") end(gateway.stop());
      // The log has the reason of a failure.
      else if (message.type === "reload") reloader.reload().catch(() => {});
      else siblings.take(message);
    },
    () => {
      log.error("The supervisor of the workers is gone, so this one drains", { event: "orphaned" });
      end(gateway.drain());
    },
  );
  const signalled = stopOnSignals(gateway, log);
  gateway.onDrainRequest = () => channel.send({ type: "drain" });
  reloader.listen();
  gateway.onReloadRequest = async () => {
    const changes = await reloader.reload();
    channel.send({ type: "reload" });
    return changes;
  };
  await gateway.start();
  reloader.start();
  const engine = await gateway.prepare();
  channel.send({
    type: "listening",
    port: gateway.address?.port ?? port,
    ...(engine.adminPort !== undefined && { adminPort: engine.adminPort }),
  });
  const code = await Promise.race([ordered.promise, signalled]);
  reloader.stop();
  return code;
}
