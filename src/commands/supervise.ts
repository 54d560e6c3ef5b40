import process from "node:process";
import type { Config } from "../config/config.ts";
import type { ConfigFile } from "../config/load.ts";
import type { Log } from "../core/ports/log.ts";
import { systemClock } from "../runtime/clock.ts";
import { expectFree } from "../runtime/listen-error.ts";
import { workerSpawner } from "../workers/spawn-worker.ts";
import { Supervisor, type SupervisorLimits } from "../workers/supervisor.ts";
import { announce } from "./announce.ts";
import { type ConfigReading, ConfigReloader, type Reloaded } from "./config-reloader.ts";
import { stopOnSignals } from "./stop-on-signals.ts";

/** The time that a worker needs beyond its own deadlines until its process is gone. */
const MARGIN_MS = 5000;

/**
 * Runs several processes that serve clients, until a signal or an operator stops them.
 *
 * @returns the exit code.
 * @throws SpillwayError `"LISTEN_FAILED"` (transient) if an address is taken, `"WORKER_FAILED"` (fatal) if a worker refuses to start, or none can be kept running.
 */
export async function supervise(
  reading: ConfigReading,
  count: number,
  runtime: string,
  log: Log,
): Promise<number> {
  const { config, file } = reading.loaded;
  const { name, host, port, adminHost, adminPort } = config;
  await expectFree(host, port);
  if (adminPort !== undefined) await expectFree(adminHost, adminPort);
  const supervisor = new Supervisor(
    { name, count, file, limits: limitsOf(config) },
    { spawn: workerSpawner(runtime), clock: systemClock, log },
  );
  const reloader = new ConfigReloader(reading, () => reload(supervisor, reading));
  supervisor.onReloadRequest = () => reloader.reload();
  process.on("exit", () => supervisor.kill());
  const ended = stopOnSignals(supervisor, log);
  reloader.listen();
  const ports = await Promise.race([supervisor.start(), ended]);
  // A signal has stopped it before it listened.
  if (typeof ports === "number") return ports;
  log.info("{workers} processes serve clients", {
    event: "workers",
    workers: supervisor.listening,
  });
  announce(config, ports.port, log);
  reloader.start();
  const code = await Promise.race([ended, supervisor.failed]);
  reloader.stop();
  return code;
}

/** Reloads the configuration of all workers. Never rejects. */
async function reload(supervisor: Supervisor, reading: ConfigReading): Promise<Reloaded> {
  const file = await readFile(reading);
  const answer = await supervisor.reload(file);
  if ("fault" in answer) return { answer };
  // The workers have checked it. A file that it names may be broken since.
  const loaded = await reading.load(file).catch(() => undefined);
  if (loaded !== undefined) {
    supervisor.limits = limitsOf(loaded.config);
    reading.setLogLevel(loaded.config.logLevel);
  }
  return { answer, loaded };
}

/** Reads the file of the configuration; `undefined` if there is none. If it can't be read, the workers say so. */
async function readFile({
  loaded: { file },
  readTextFile,
}: ConfigReading): Promise<ConfigFile | undefined> {
  if (file === undefined) return undefined;
  const { path } = file;
  return await readTextFile(path).then(
    (text) => ({ path, text }),
    () => undefined,
  );
}

function limitsOf({ stopTimeoutMs, drainDelayMs, drainWindowMs }: Config): SupervisorLimits {
  const maxStopMs = stopTimeoutMs + MARGIN_MS;
  return { maxStopMs, maxDrainMs: drainDelayMs + drainWindowMs + maxStopMs };
}
