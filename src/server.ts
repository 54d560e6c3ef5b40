#!/usr/bin/env node
import { readFile } from "node:fs/promises";
import process from "node:process";
import { hashPassword, MAX_PASSWORD_LENGTH } from "./access/password-hash.ts";
import { ANY_ADDRESS, listenerUrl } from "./config/address.ts";
import type { Config } from "./config/config.ts";
import { checkReport, helpText } from "./config/describe.ts";
import { type Loaded, type LoadedConfig, loadConfig } from "./config/load.ts";
import { reasonOf, SpillwayError } from "./core/ports/errors.ts";
import type { Log } from "./core/ports/log.ts";
import { adminProblems } from "./gateway/admin-listener.ts";
import { credentialFileProblems } from "./gateway/credential-files.ts";
import { createListeningGateway } from "./gateway/gateway.ts";
import { natsFileProblems } from "./gateway/nats-options.ts";
import { runtimeVersion } from "./gateway/process-facts.ts";
import { tlsProblems } from "./gateway/server-tls.ts";
import { VERSION } from "./gateway/version.ts";
import { isLoopback } from "./http/host.ts";
import { configureLog } from "./log/logtape.ts";
import { systemClock } from "./runtime/clock.ts";

/** A second signal within this time is the first one again: npm and shells pass it on to the whole group. */
const PASSED_ON_MS = 500;

/**
 * The exit codes of the command.
 *
 * - 0: a clean stop; also after `--help`, `--version`, `--hash-password`, and `--check` of a valid configuration.
 * - 1: the configuration is wrong, or the port is not available.
 * - 2: another signal came during the stop.
 */
const EXIT = { clean: 0, configuration: 1, forced: 2 } as const;

/** The oldest supported Node. Bun and Deno report a newer version of Node. */
const OLDEST_NODE = 22;

try {
  await main();
} catch (error) {
  // Our own errors say what can't be done.
  const isOurs = error instanceof SpillwayError;
  process.stderr.write(`${isOurs ? "" : "Cannot start: "}${reasonOf(error)}\n`);
  process.exit(EXIT.configuration);
}

async function main(): Promise<void> {
  const { node } = process.versions;
  if (Number.parseInt(node, 10) < OLDEST_NODE) {
    throw new Error(
      `Spillway needs Node ${OLDEST_NODE} or newer, Bun or Deno, and this is Node ${node}; install one of them and start it again`,
    );
  }
  const readTextFile = (path: string): Promise<string> => readFile(path, "utf8");
  const loaded: Loaded = await loadConfig({
    argv: process.argv.slice(2),
    env: process.env,
    readTextFile,
    checkFiles: async (config) => [
      ...(await natsFileProblems(config, readTextFile)),
      ...(await credentialFileProblems(config, systemClock, readTextFile)),
      ...(await adminProblems(config, readTextFile)),
      ...(await tlsProblems(config, runtimeVersion().runtime, readTextFile)),
    ],
  });
  if (loaded.kind === "help") process.stdout.write(helpText(VERSION));
  else if (loaded.kind === "version") process.stdout.write(`${VERSION}\n`);
  else if (loaded.kind === "hash-password") process.stdout.write(`${await hashFromInput()}\n`);
  else if (loaded.kind === "check") process.stdout.write(checkReport(loaded));
  else await serve(loaded);
}

/** Hashes the first line of the standard input: an argument would be seen by all users of the machine. */
async function hashFromInput(): Promise<string> {
  if (process.stdin.isTTY) process.stderr.write("Password (it is shown): ");
  process.stdin.setEncoding("utf8");
  let text = "";
  for await (const chunk of process.stdin) {
    text += chunk;
    if (text.includes("\n") || text.length > MAX_PASSWORD_LENGTH) break;
  }
  const [password = ""] = text.split(/\r?\n/);
  if (password === "" || password.length > MAX_PASSWORD_LENGTH) {
    throw new SpillwayError(
      "CONFIG_INVALID",
      `Cannot hash the password on the standard input: it must have 1 to ${MAX_PASSWORD_LENGTH} characters`,
    );
  }
  return await hashPassword(password);
}

async function serve({ config, notices }: LoadedConfig): Promise<void> {
  const terminal = process.stdout.isTTY === true;
  // If the reader of the log is gone, the service continues.
  process.stdout.on("error", () => {});
  const log = await configureLog({
    level: config.logLevel,
    format: config.logFormat === "auto" ? (terminal ? "pretty" : "json") : config.logFormat,
    write: (text) => void process.stdout.write(text),
  });
  for (const notice of notices) log.warn("{notice}", { event: "configuration_notice", notice });
  const gateway = createListeningGateway(config, { log });
  let stoppingSinceMs: number | undefined;
  const stop = (signal: string): void => {
    const nowMs = performance.now();
    if (stoppingSinceMs !== undefined) {
      if (nowMs - stoppingSinceMs > PASSED_ON_MS) process.exit(EXIT.forced);
      return;
    }
    stoppingSinceMs = nowMs;
    log.info("Stopping on {signal}; a second signal ends the process at once", {
      event: "stopping",
      signal,
    });
    gateway.stop().then(
      () => {
        log.info("Stopped", { event: "stopped" });
        process.exit(EXIT.clean);
      },
      (error) => {
        log.error("The stop failed: {reason}", { event: "stop_failed", reason: reasonOf(error) });
        process.exit(EXIT.forced);
      },
    );
  };
  // Before the start, so that a signal works as soon as the log says that the gateway listens.
  for (const name of ["SIGTERM", "SIGINT"] as const) process.on(name, () => stop(name));

  await gateway.start();
  announce(config, gateway.address?.port ?? config.port, log);
}

/** Logs where clients connect, and hints for a first start. */
function announce(config: Config, port: number, log: Log): void {
  const { host, path, tlsCertFile } = config;
  const url = listenerUrl(host, port, tlsCertFile !== undefined);
  if (config.natsUrls.length === 0) {
    log.warn(
      "No NATS is configured: messages come only from the page at {url} and from {publish}. To carry your own, set NATS_URL",
      { event: "embedded", url, publish: `POST ${url}/publish/<subject>` },
    );
  }
  if (isLoopback(host)) {
    log.info("Only this machine can connect. To let others connect, set --host 0.0.0.0", {
      event: "loopback",
    });
  }
  const stream = `${url.replace("http", "ws")}${path}`;
  const listening = ANY_ADDRESS.includes(host)
    ? "Listening on all addresses; clients on this machine connect to {stream}"
    : "Listening; clients connect to {stream}";
  log.info(listening, {
    event: "listening",
    stream,
    url,
    host,
    port,
    path,
  });
}
