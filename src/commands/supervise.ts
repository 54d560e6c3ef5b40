import process from "node:process";
import type { Config } from "../config/config.ts";
import type { Log } from "../core/ports/log.ts";
import { systemClock } from "../runtime/clock.ts";
import { expectFree } from "../runtime/listen-error.ts";
import { workerSpawner } from "../workers/spawn-worker.ts";
import { Supervisor } from "../workers/supervisor.ts";
import { announce } from "./announce.ts";
import { stopOnSignals } from "./stop-on-signals.ts";

/** The time that a worker needs beyond its own deadlines until its process is gone. */
const MARGIN_MS = 5000;

/**
 * Runs several processes that serve clients, until a signal or an operator stops them.
 *
 * @returns the exit code.
 * @throws SpillwayError `"LISTEN_FAILED"` (transient) if an address is taken, `"WORKER_FAILED"` (fatal) if workers can't be kept running.
 */
export async function supervise(
  config: Config,
  count: number,
  runtime: string,
  log: Log,
): Promise<number> {
  const { name, host, port, adminHost, adminPort } = config;
  const maxStopMs = config.stopTimeoutMs + MARGIN_MS;
  const maxDrainMs = config.drainDelayMs + config.drainWindowMs + maxStopMs;
  await expectFree(host, port);
  if (adminPort !== undefined) await expectFree(adminHost, adminPort);
  const supervisor = new Supervisor(
    { name, count, maxDrainMs, maxStopMs },
    { spawn: workerSpawner(runtime), clock: systemClock, log },
  );
  process.on("exit", () => supervisor.kill());
  const ended = stopOnSignals(supervisor, log);
  process.on("SIGHUP", () => supervisor.reload());
  const ports = await Promise.race([supervisor.start(), ended]);
  // A signal has stopped it before it listened.
  if (typeof ports === "number") return ports;
  log.info("{workers} processes serve clients", { event: "workers", workers: count });
  announce(config, ports.port, log);
  return await Promise.race([ended, supervisor.failed]);
}
