import process from "node:process";
import type { Config } from "../config/config.ts";
import type { ConfigFile } from "../config/load.ts";
import type { Log } from "../core/ports/log.ts";
import { runtimeVersion } from "../gateway/process-facts.ts";
import { VERSION } from "../gateway/version.ts";
import { configureLog, type LogOptions } from "../log/logtape.ts";
import { systemClock } from "../runtime/clock.ts";
import { startTelemetry, type Telemetry } from "../telemetry/otlp.ts";
import {
  type SupervisorChannel,
  supervisorChannel,
  WORKER_VARIABLE,
} from "../workers/spawn-worker.ts";
import { workerCount } from "../workers/worker-count.ts";
import { checkConfig } from "./check.ts";
import { readCheckedConfig } from "./checked-config.ts";
import type { Invocation } from "./command.ts";
import { SERVE_FLAGS } from "./command-flags.ts";
import type { ConfigReading } from "./config-reloader.ts";
import { printPasswordHash } from "./hash-password.ts";

/** The names that two commands had before they were commands. */
const CHECK = "--check";
const HASH_PASSWORD = "--hash-password";

/** Runs the gateway until a signal stops it, in this process or in several that this one supervises. */
export async function serve(invocation: Invocation): Promise<number> {
  const { argv, hasColors, readTextFile } = invocation;
  if (argv.includes(HASH_PASSWORD)) return await printPasswordHash({ ...invocation, argv: [] });
  if (argv.includes(CHECK)) {
    return await checkConfig({ ...invocation, argv: argv.filter((word) => word !== CHECK) });
  }
  const { [WORKER_VARIABLE]: variable, ...ownEnv } = invocation.env;
  const channel = supervisorChannel(variable);
  const env = channel === undefined ? invocation.env : ownEnv;
  const load = (file?: ConfigFile) => {
    const read = async (path: string): Promise<string> =>
      path === file?.path ? file.text : await readTextFile(path);
    return readCheckedConfig({ ...invocation, env, readTextFile: read }, SERVE_FLAGS);
  };
  const loaded = await load(await channel?.file());
  const { runtime, version } = runtimeVersion();
  const service = { version: VERSION, runtime, runtimeVersion: version, pid: process.pid };
  const telemetry = await startTelemetry(env, service);
  const setLogLevel = (level: Config["logLevel"]): Log =>
    openLog(
      { ...loaded.config, logLevel: level },
      { hasColors, worker: channel?.assignment.number, also: telemetry?.log },
    );
  const log = setLogLevel(loaded.config.logLevel);
  if (telemetry !== undefined) announceTelemetry(telemetry, log);
  try {
    return await run({ loaded, load, readTextFile, setLogLevel }, log, channel, telemetry);
  } finally {
    await telemetry?.stop();
  }
}

/** Runs what this process is for. @returns the exit code. */
async function run(
  reading: ConfigReading,
  log: Log,
  channel: SupervisorChannel | undefined,
  telemetry: Telemetry | undefined,
): Promise<number> {
  const { config, notices } = reading.loaded;
  // Each of these loads its own code, so that a process that only supervises loads no gateway.
  if (channel !== undefined) {
    return await (await import("./run-gateway.ts")).runWorker(reading, log, channel, telemetry);
  }
  for (const notice of notices) log.warn("{notice}", { event: "configuration_notice", notice });
  const count = workerCount(config, process.platform);
  if (count === 1) {
    const { runGateway } = await import("./run-gateway.ts");
    return await runGateway(reading, log, telemetry);
  }
  const { runtime } = runtimeVersion();
  return await (await import("./supervise.ts")).supervise(reading, count, runtime, log);
}

function announceTelemetry(telemetry: Telemetry, log: Log): void {
  telemetry.reportTo(log, systemClock);
  const signals = telemetry.signals.join(", ");
  log.info("Sending {signals} by OTLP", { event: "telemetry", signals });
}

function openLog(
  { logLevel, logFormat }: Config,
  options: Pick<LogOptions, "hasColors" | "worker" | "also">,
): Log {
  const terminal = process.stdout.isTTY === true;
  return configureLog({
    level: logLevel,
    format: logFormat === "auto" ? (terminal ? "pretty" : "json") : logFormat,
    ...options,
    write: (text) => void process.stdout.write(text),
  });
}
