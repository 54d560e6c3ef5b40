import type { Hono } from "hono";
import type { Config } from "../config/config.ts";
import { jsonSchema } from "../config/describe.ts";
import { streamInputs } from "../config/stream-inputs.ts";
import { Broadcaster } from "../core/broadcaster.ts";
import { Meter } from "../core/metering/meter.ts";
import { SpillwayError } from "../core/ports/errors.ts";
import type { Log } from "../core/ports/log.ts";
import type { MessageSource, Publisher, SourceStatus } from "../core/ports/source.ts";
import { EnvelopeEncoder } from "../core/wire/envelope.ts";
import { createApp } from "../http/app.ts";
import { EventStreams } from "../http/event-stream.ts";
import { isLoopback } from "../http/host.ts";
import { libraryLog } from "../log/logtape.ts";
import { showProcess } from "../metrics/process.ts";
import { createRegistry, type MetricsRegistry, showMetrics } from "../metrics/prometheus.ts";
import { systemClock } from "../runtime/clock.ts";
import { connectionRoom } from "../runtime/descriptors.ts";
import { createRuntime } from "../runtime/detect.ts";
import type { Listener, Runtime } from "../runtime/runtime.ts";
import type { NatsConnection } from "../source/connect.ts";
import { MemorySource } from "../source/memory.ts";
import { NatsSource } from "../source/nats.ts";
import type { OutputDeps } from "../streamkit/constructor-config.ts";
import type { Discoverable } from "../streamkit/contract.ts";
import type { Engine } from "../streamkit/engine.ts";
import { DescriptorWatch } from "./descriptor-watch.ts";
import { LoopLag } from "./loop-lag.ts";
import { memoryLimitBytes } from "./memory-limit.ts";
import { readNatsOptions } from "./nats-options.ts";
import { processFacts, runtimeVersion } from "./process-facts.ts";
import { Readiness } from "./readiness.ts";
import { VERSION } from "./version.ts";

/** What a host may hand in; each has a default of our own. */
export type EngineDeps = OutputDeps<NatsConnection, MetricsRegistry>;

/** Whether it opens the configured port, or is mounted into a host's own server. */
export type Placement = "listens" | "mounted";

/** How long NATS may take at a stop for the clients' last acknowledgements; at most a quarter of `stop_timeout`. */
const LAST_WORDS_MS = 250;
/** The least of that time. */
const LEAST_WORDS_MS = 50;

/** Connections that may be open beside those of clients: requests, and handshakes that are not finished. */
const OTHER_CONNECTIONS = 1024;

const FEWER_CLIENTS =
  "as many clients are connected as file descriptors allow: raise the limit (ulimit -n)";

/** A gateway put together: source, core, HTTP app and, where it has one, its own listener. */
export class GatewayEngine implements Engine {
  readonly meter: Meter;
  /** The whole HTTP surface; a host mounts it with `route()`. */
  readonly app: Hono;
  readonly #config: Config;
  readonly #runtime: Runtime;
  readonly #placement: Placement;
  readonly #source: MessageSource;
  readonly #publisher: Publisher | undefined;
  readonly #log: Log;
  readonly #broadcaster: Broadcaster;
  readonly #readiness: Readiness;
  readonly #descriptors: DescriptorWatch;
  /** How many clients descriptors allow, where that is fewer than `max_clients`. */
  readonly #maxClients: number;
  readonly #registries: readonly MetricsRegistry[];
  readonly #loopLag = new LoopLag(systemClock);
  #listener: Listener | undefined;
  #sourceBegan = false;
  #hideMetrics: (() => void)[] = [];

  constructor(parts: {
    config: Config;
    runtime: Runtime;
    placement: Placement;
    source: MessageSource & Publisher;
    /** Where clients may post messages to. */
    publisher: Publisher | undefined;
    /** How many connections can be open at a time. */
    maxConnections: number;
    deps: EngineDeps;
    /** What is shown as the component that this engine drives. */
    component: Discoverable;
  }) {
    const { config, runtime, deps, component } = parts;
    this.#config = config;
    this.#runtime = runtime;
    this.#placement = parts.placement;
    this.#source = parts.source;
    this.meter = new Meter();
    const own = createRegistry();
    // A host's registry has the process' figures, if the host wants them there.
    showProcess(own, processFacts());
    this.#registries = deps.metricsRegistry === undefined ? [own] : [own, deps.metricsRegistry];
    const log = deps.logger ?? libraryLog();
    this.#log = log;
    this.#publisher = parts.publisher;
    const eventStreams = new EventStreams();
    const maxTotalQueueBytes = config.maxTotalQueueBytes ?? memoryLimitBytes() / 4;
    const streams = streamInputs(config.streams);
    const subjects = [...config.subjects, ...streams.flatMap((stream) => stream.subjects)];
    this.#maxClients = clientRoom(config.maxClients, parts.maxConnections);
    this.#broadcaster = new Broadcaster(
      {
        ...config,
        maxClients: this.#maxClients,
        maxTotalQueueBytes,
        subjects,
        demanded: config.subjects,
        streams,
      },
      {
        log,
        clock: systemClock,
        encoder: new EnvelopeEncoder(config),
        fanouts: { websocket: runtime.sockets, events: eventStreams },
        meter: this.meter,
        source: parts.source,
        deadLetters: parts.source,
        version: VERSION,
      },
    );
    this.#descriptors = new DescriptorWatch(systemClock, log);
    this.#readiness = new Readiness(systemClock, parts.source, this.#broadcaster, () => {
      const isShort = this.#broadcaster.refusal === "full" && this.#maxClients < config.maxClients;
      return isShort ? FEWER_CLIENTS : this.#descriptors.problem;
    });
    const mounted = parts.placement === "mounted";
    this.app = createApp(
      { ...config, subjects, mounted },
      {
        clock: systemClock,
        listening: () =>
          mounted ? undefined : (this.#listener ?? { address: config.host, port: config.port }),
        broadcaster: this.#broadcaster,
        sockets: runtime.sockets,
        eventStreams,
        publisher: parts.publisher,
        log,
        report: {
          meta: () => component.meta(),
          health: () => component.health(),
          dataFlow: () => component.dataFlow(),
          schema: jsonSchema,
          readiness: () => this.#readiness.report(),
          ledger: () => this.meter.ledger.balance(),
          metrics: async () => ({ contentType: own.contentType, text: await own.metrics() }),
        },
      },
    );
  }

  /** What a host's own server needs beside the app; see `Runtime.websocket`. */
  get websocket(): unknown {
    return this.#runtime.websocket;
  }

  async start(): Promise<{ host: string; port: number }> {
    const { name, host, port } = this.#config;
    const startedMs = systemClock.nowMs();
    this.#broadcaster.open();
    this.#readiness.started();
    try {
      if (this.#placement === "listens") {
        this.#listener = await this.#runtime.listen({ host, port, fetch: this.app.fetch as never });
        this.#warnIfOpen(this.#listener);
        this.#warnIfShort();
        this.#descriptors.start(this.#listener);
      }
      const uptimeSeconds = (): number => (systemClock.nowMs() - startedMs) / 1000;
      const sourceConnected = (): boolean => this.#source.status.state === "connected";
      const { runtime, version } = runtimeVersion();
      const metered = {
        name,
        meter: this.meter,
        build: { version: VERSION, runtime, runtimeVersion: version },
        streams: () => this.#source.streams ?? [],
        loopLag: () => this.#loopLag.seconds,
        sourceConnected,
        uptimeSeconds,
        upstream: () => this.#broadcaster.upstream,
        kept: () => this.#broadcaster.kept,
        sessionBytes: () => this.#broadcaster.reception.sessions?.bytes ?? 0,
        durables: () => this.#broadcaster.streams.durables.used,
      };
      this.#hideMetrics = this.#registries.map((registry) => showMetrics(registry, metered));
      this.#loopLag.start();
      this.#source.start({
        message: (message) => this.#broadcaster.message(message),
        status: (status) => this.#sourceChanged(status),
        arrives: (pattern) => this.#broadcaster.arrives(pattern),
        refused: (pattern, reason, isFinal) => this.#broadcaster.refused(pattern, reason, isFinal),
        stream: (tip) => this.#broadcaster.stream(tip),
        streamRefused: (name, reason) => this.#broadcaster.streamRefused(name, reason),
        fault: (kind, detail) => this.#broadcaster.fault(kind, detail),
      });
    } catch (error) {
      await this.stop(0);
      throw error;
    }
    return { host, port: this.#listener?.port ?? port };
  }

  async stop(timeoutMs: number): Promise<void> {
    const untilMs = systemClock.nowMs() + timeoutMs;
    const left = (): number => Math.max(0, untilMs - systemClock.nowMs());
    this.#broadcaster.refuse();
    this.#readiness.stopped();
    // A NATS that does not answer must not take the clients' time for their last messages, nor clients
    // that don't acknowledge the time for what others said last.
    const lastWordsMs = Math.min(LAST_WORDS_MS, timeoutMs / 4);
    const drainMs = (): number => Math.max(0, left() - lastWordsMs);
    await this.#source.drain(drainMs() / 2);
    await this.#broadcaster.drain(drainMs());
    await this.#source.stop(Math.max(left(), LEAST_WORDS_MS));
    this.#descriptors.stop();
    await this.#listener?.stop();
    this.#listener = undefined;
    this.#loopLag.stop();
    for (const hide of this.#hideMetrics.splice(0)) hide();
  }

  /** Warns if strangers can publish: without NATS, posting is on unless the configuration says otherwise. */
  #warnIfOpen({ address, port }: Listener): void {
    if (this.#publisher === undefined || isLoopback(address)) return;
    this.#log.warn(
      'Anyone who can reach {host} on port {port} can publish to all clients, by POST {path}: set "publish": false, or "host": "127.0.0.1", unless that is intended',
      { event: "publish_open", host: this.#config.host, port, path: "/publish/<subject>" },
    );
  }

  #warnIfShort(): void {
    const { maxClients } = this.#config;
    if (this.#maxClients >= maxClients) return;
    this.#log.warn(
      "The limit of file descriptors (ulimit -n) allows for {clients} clients at a time, where max_clients is {maxClients}",
      { event: "descriptor_limit", clients: this.#maxClients, maxClients },
    );
  }

  #sourceChanged(status: SourceStatus): void {
    this.#readiness.sourceChanged(status);
    this.#broadcaster.status(status);
    // That it is not connected when it has only just begun is no error.
    if (status.state === "connecting" && this.#sourceBegan) {
      this.meter.countError("source", status.reason);
    }
    this.#sourceBegan = status.state !== "idle";
  }
}

/** The clients that can be connected beside other requests, which say how the gateway is. */
function clientRoom(maxClients: number, maxConnections: number): number {
  const others = Math.min(OTHER_CONNECTIONS, Math.ceil(maxConnections / 4));
  return Math.min(maxClients, Math.max(1, maxConnections - others));
}

/**
 * Puts a gateway together; nothing is opened yet.
 *
 * @throws SpillwayError `"CONFIG_INVALID"` (invalid) when a file that the configuration names cannot be read.
 */
export async function createEngine(
  config: Config,
  deps: EngineDeps,
  component: Discoverable,
  placement: Placement,
): Promise<GatewayEngine> {
  const wanted = config.maxClients + OTHER_CONNECTIONS;
  const maxConnections = placement === "listens" ? connectionRoom(wanted) : wanted;
  const limits = { ...config, maxBodyBytes: config.maxPublishBytes, maxConnections };
  const runtime = await createRuntime(limits, config.sockets, placement);
  const parts = { config, runtime, placement, maxConnections, deps, component };
  const streams = streamInputs(config.streams);
  if (deps.natsConnection === undefined && config.natsUrls.length === 0) {
    if (streams.length > 0) {
      const message = 'Cannot use "streams" without NATS: "nats_url" must say where it is';
      throw new SpillwayError("CONFIG_INVALID", message);
    }
    const source = new MemorySource();
    const publisher = config.publish === false ? undefined : source;
    return new GatewayEngine({ ...parts, source, publisher });
  }
  const { readFile } = await import("node:fs/promises");
  const { readFileSync } = await import("node:fs");
  const nats =
    deps.natsConnection === undefined
      ? {
          options: await readNatsOptions(
            config,
            runtime.dialWebSocket,
            (path) => readFile(path, "utf8"),
            (path) => readFileSync(path, "utf8"),
          ),
        }
      : { connection: deps.natsConnection };
  const log = deps.logger ?? libraryLog();
  const source = new NatsSource({ log, nats, streams, durables: config });
  return new GatewayEngine({ ...parts, source, publisher: undefined });
}
