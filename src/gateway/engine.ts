import type { Hono } from "hono";
import type { Access } from "../access/access.ts";
import type { Config } from "../config/config.ts";
import { jsonSchema } from "../config/describe.ts";
import { streamInputs } from "../config/stream-inputs.ts";
import { Broadcaster } from "../core/broadcaster.ts";
import { Meter } from "../core/metering/meter.ts";
import type { Clock } from "../core/ports/clock.ts";
import { type ErrorCode, SpillwayError } from "../core/ports/errors.ts";
import type { Log } from "../core/ports/log.ts";
import type { MessageSource, Publisher, SourceStatus } from "../core/ports/source.ts";
import { EnvelopeEncoder } from "../core/wire/envelope.ts";
import { createApp } from "../http/app.ts";
import { EventStreams } from "../http/event-stream.ts";
import { isLoopback } from "../http/host.ts";
import type { StatusReport } from "../http/status.ts";
import { libraryLog } from "../log/logtape.ts";
import { showProcess } from "../metrics/process.ts";
import { createRegistry, type MetricsRegistry, showMetrics } from "../metrics/prometheus.ts";
import { subjectFault } from "../protocol/subject.ts";
import { systemClock } from "../runtime/clock.ts";
import { connectionRoom } from "../runtime/descriptors.ts";
import { createRuntime } from "../runtime/detect.ts";
import type { Listener, Runtime } from "../runtime/runtime.ts";
import { MemorySource } from "../source/memory.ts";
import { type GatewayReads, NatsSource } from "../source/nats.ts";
import { ConnectionHooks } from "./connection-hooks.ts";
import { createAccess, exposedSubjects } from "./create-access.ts";
import type { GatewayDeps, PublishHeaders } from "./deps.ts";
import { DescriptorWatch } from "./descriptor-watch.ts";
import type { Engine } from "./gateway-lifecycle.ts";
import { LoopLag } from "./loop-lag.ts";
import { memoryLimitBytes } from "./memory-limit.ts";
import { readNatsOptions } from "./nats-options.ts";
import { processFacts, runtimeVersion } from "./process-facts.ts";
import { Readiness } from "./readiness.ts";
import { RevocationControl, type RevokeRequest } from "./revocation-control.ts";
import { type GatewayStats, readStats } from "./stats.ts";
import { VERSION } from "./version.ts";

/** Whether the gateway listens on the configured port, or is mounted in a host's own server. */
export type Placement = "listens" | "mounted";

/** How long a stop keeps NATS for the clients' last acknowledgements; at most a quarter of `stop_timeout`. */
const LAST_ACKS_MS = 250;
/** Minimum of that time. */
const MIN_LAST_ACKS_MS = 50;

/** Maximum of connections beside those of clients: requests, and handshakes that are not finished. */
const OTHER_CONNECTIONS = 1024;

const FEWER_CLIENTS = "the limit of file descriptors allows no more clients: raise it (ulimit -n)";

/** The parts of a gateway, put together: runtime, source, broadcaster, HTTP app, metrics. */
export class GatewayEngine implements Engine {
  readonly meter = new Meter();
  /** The whole HTTP surface. */
  readonly app: Hono;
  readonly #config: Config;
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #runtime: Runtime;
  readonly #placement: Placement;
  readonly #source: GatewaySource;
  readonly #broadcaster: Broadcaster;
  readonly #revocation: RevocationControl;
  readonly #readiness: Readiness;
  readonly #descriptors: DescriptorWatch;
  readonly #loopLag: LoopLag;
  /** `max_clients`, or fewer if file descriptors allow only fewer. */
  readonly #maxClients: number;
  /** Whether clients can publish by HTTP. */
  readonly #takesPosts: boolean;
  readonly #registries: readonly MetricsRegistry[];
  #listener: Listener | undefined;
  /** Whether the source was started and has told its first status. */
  #sourceBegan = false;
  #hideMetrics: (() => void)[] = [];

  constructor(parts: EngineParts) {
    const { config, deps, clock, log, runtime, placement, source, report } = parts;
    this.#config = config;
    this.#clock = clock;
    this.#log = log;
    this.#runtime = runtime;
    this.#placement = placement;
    this.#source = source;
    this.#takesPosts = parts.publisher !== undefined;
    const registry = createRegistry();
    // A host adds the process' figures to its own registry if it wants them there.
    showProcess(registry, processFacts());
    const { metricsRegistry } = deps;
    this.#registries = metricsRegistry === undefined ? [registry] : [registry, metricsRegistry];
    const eventStreams = new EventStreams();
    const streams = streamInputs(config.streams);
    const subjects = exposedSubjects(config);
    this.#maxClients = clientRoom(config.maxClients, parts.maxConnections);
    const hasHooks = deps.onConnect !== undefined || deps.onDisconnect !== undefined;
    this.#broadcaster = new Broadcaster(
      {
        ...config,
        maxClients: this.#maxClients,
        maxTotalQueueBytes: config.maxTotalQueueBytes ?? memoryLimitBytes() / 4,
        subjects,
        demanded: config.subjects,
        streams,
      },
      {
        log,
        clock,
        encoder: new EnvelopeEncoder(config),
        fanouts: { websocket: runtime.sockets, events: eventStreams },
        meter: this.meter,
        source,
        deadLetters: canPublish(source) ? source : undefined,
        observer: hasHooks ? new ConnectionHooks(deps, log, clock) : undefined,
        version: VERSION,
        isRevoked: (grant) => parts.revocation.isRevoked(grant),
      },
    );
    this.#revocation = parts.revocation;
    this.#revocation.list.onRevoked = () => this.#broadcaster.endRevoked();
    const { access } = parts;
    this.#loopLag = new LoopLag(clock);
    this.#descriptors = new DescriptorWatch(clock, log);
    this.#readiness = new Readiness(clock, source, this.#broadcaster, () => {
      const isShort = this.#broadcaster.refusal === "full" && this.#maxClients < config.maxClients;
      return isShort ? FEWER_CLIENTS : this.#descriptors.problem;
    });
    const mounted = placement === "mounted";
    this.app = createApp(
      { ...config, subjects, mounted },
      {
        clock,
        listening: () =>
          mounted ? undefined : (this.#listener ?? { address: config.host, port: config.port }),
        broadcaster: this.#broadcaster,
        sockets: runtime.sockets,
        eventStreams,
        access,
        meter: this.meter,
        publisher: parts.publisher,
        log,
        report: {
          meta: () => report.meta(),
          health: () => report.health(),
          dataFlow: () => report.dataFlow(),
          schema: jsonSchema,
          readiness: () => this.#readiness.report(),
          ledger: () => this.meter.ledger.balance(),
          metrics: async () => ({
            contentType: registry.contentType,
            text: await registry.metrics(),
          }),
        },
      },
    );
  }

  /** See {@linkcode Runtime.websocket}. */
  get websocket(): unknown {
    return this.#runtime.websocket;
  }

  async start(): Promise<{ host: string; port: number }> {
    const { name, host, port } = this.#config;
    const startedMs = this.#clock.nowMs();
    this.#broadcaster.open();
    this.#readiness.started();
    try {
      if (this.#placement === "listens") {
        this.#listener = await this.#runtime.listen({ host, port, fetch: this.app.fetch as never });
        this.#warnIfOpen(this.#listener);
        this.#warnIfShort();
        this.#descriptors.start(this.#listener);
      }
      const uptimeSeconds = (): number => (this.#clock.nowMs() - startedMs) / 1000;
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
        sessionBytes: () => this.#broadcaster.sessions.detachedBytes,
        durables: () => this.#broadcaster.durables,
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
    const untilMs = this.#clock.nowMs() + timeoutMs;
    const left = (): number => Math.max(0, untilMs - this.#clock.nowMs());
    this.#broadcaster.refuse();
    this.#readiness.stopped();
    // The time is shared: a NATS that doesn't answer leaves half of it to the clients' last messages, and clients that
    // don't acknowledge leave some of it to the last acknowledgements of others.
    const lastAcksMs = Math.min(LAST_ACKS_MS, timeoutMs / 4);
    const drainMs = (): number => Math.max(0, left() - lastAcksMs);
    await this.#source.drain(drainMs() / 2);
    await this.#broadcaster.drain(drainMs());
    await this.#source.stop(Math.max(left(), MIN_LAST_ACKS_MS));
    this.#descriptors.stop();
    await this.#listener?.stop();
    this.#listener = undefined;
    this.#loopLag.stop();
    this.#revocation.stop();
    for (const hide of this.#hideMetrics.splice(0)) hide();
  }

  /** See `Gateway.publish`. */
  publish(subject: string, data: string | Uint8Array, headers?: PublishHeaders): void {
    const problem = subjectFault(subject, false);
    const fail = (code: ErrorCode, reason: string): SpillwayError =>
      new SpillwayError(code, `Cannot publish to ${JSON.stringify(subject)} ${reason}`);
    if (problem !== undefined) throw fail("SUBJECT_INVALID", `as a subject ${problem}`);
    const source = this.#source;
    if (!canPublish(source))
      throw fail("PUBLISH_UNSUPPORTED", `as ${source.name} takes no messages`);
    const { status } = source;
    if (status.state !== "connected") {
      const reason = status.state === "idle" ? "the gateway is not running" : status.reason;
      throw fail("PUBLISH_FAILED", `as ${source.name} is not connected: ${reason}`);
    }
    source.publish({
      subject,
      data: typeof data === "string" ? new TextEncoder().encode(data) : data,
      headers:
        headers && new Map(Object.entries(headers).map(([name, value]) => [name, [value].flat()])),
    });
  }

  /** See `Gateway.revoke`. */
  async revoke(request: RevokeRequest): Promise<void> {
    await this.#revocation.revoke(request);
  }

  /** See `Gateway.stats`. */
  stats(): GatewayStats {
    return readStats({
      meter: this.meter,
      broadcaster: this.#broadcaster,
      source: this.#source,
      readiness: this.#readiness.report(),
    });
  }

  /** Warns if strangers can publish: without NATS, posting is on unless the configuration says otherwise. */
  #warnIfOpen({ address, port }: Listener): void {
    if (!this.#takesPosts || isLoopback(address)) return;
    this.#log.warn(
      'Anyone who can reach {host} on port {port} can publish to all clients with POST {path}. To prevent it, set "publish": false or "host": "127.0.0.1"',
      { event: "publish_open", host: this.#config.host, port, path: "/publish/<subject>" },
    );
  }

  #warnIfShort(): void {
    const { maxClients } = this.#config;
    if (this.#maxClients >= maxClients) return;
    this.#log.warn(
      "The limit of file descriptors (ulimit -n) allows only {clients} clients at a time; max_clients is {maxClients}",
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

/** Where the messages of a gateway come from, and go to where the source takes them. */
type GatewaySource = MessageSource & Partial<Publisher>;

interface EngineParts {
  readonly config: Config;
  readonly deps: GatewayDeps;
  readonly clock: Clock;
  readonly log: Log;
  readonly runtime: Runtime;
  readonly placement: Placement;
  readonly source: GatewaySource;
  readonly access: Access;
  readonly revocation: RevocationControl;
  /** Takes what clients post; `undefined` if they can't. */
  readonly publisher: Publisher | undefined;
  /** How many connections can be open at a time. */
  readonly maxConnections: number;
  readonly report: EngineReport;
}

/** The rest of what `/healthz` shows. */
type EngineReport = Pick<StatusReport, "meta" | "health" | "dataFlow">;

/**
 * Puts a gateway together; opens nothing.
 *
 * @throws SpillwayError `"CONFIG_INVALID"` (invalid) if a file that the configuration names can't be used.
 */
export async function createEngine(
  config: Config,
  deps: GatewayDeps,
  report: EngineReport,
  placement: Placement,
): Promise<GatewayEngine> {
  const log = deps.log ?? libraryLog();
  const clock = deps.clock ?? systemClock;
  const wanted = config.maxClients + OTHER_CONNECTIONS;
  const maxConnections = placement === "listens" ? connectionRoom(wanted) : wanted;
  const options = { ...config, maxBodyBytes: config.maxPublishBytes, maxConnections };
  const runtime =
    deps.runtime?.(options) ?? (await createRuntime(options, config.sockets, placement));
  const revocation = new RevocationControl(config, clock, log);
  const source = await createSource(config, deps, log, runtime, revocation.reads);
  if (source instanceof NatsSource) revocation.use(source);
  const takesPosts =
    deps.source === undefined
      ? source instanceof MemorySource && config.publish !== false
      : config.publish === true;
  return new GatewayEngine({
    config,
    deps,
    clock,
    log,
    runtime,
    placement,
    source,
    access: await createAccess(config, {
      deps,
      clock,
      log,
      requests: source instanceof NatsSource ? source : undefined,
      revocations: revocation,
    }),
    revocation,
    publisher: takesPosts && canPublish(source) ? source : undefined,
    maxConnections,
    report,
  });
}

async function createSource(
  config: Config,
  deps: GatewayDeps,
  log: Log,
  runtime: Runtime,
  reads: GatewayReads,
): Promise<GatewaySource> {
  if (deps.source !== undefined) return deps.source;
  const streams = streamInputs(config.streams);
  const { natsConnection } = deps;
  if (natsConnection !== undefined) {
    const nats = { connection: natsConnection };
    return new NatsSource({ log, nats, streams, durables: config, reads });
  }
  if (config.natsUrls.length === 0) {
    if (streams.length === 0) return new MemorySource();
    const message = 'Cannot use "streams" without NATS: "nats_url" must say where it is';
    throw new SpillwayError("CONFIG_INVALID", message);
  }
  const { readFile } = await import("node:fs/promises");
  const { readFileSync } = await import("node:fs");
  const options = await readNatsOptions(
    config,
    runtime.dialWebSocket,
    (path) => readFile(path, "utf8"),
    (path) => readFileSync(path, "utf8"),
  );
  return new NatsSource({ log, nats: { options }, streams, durables: config, reads });
}

function canPublish(source: GatewaySource): source is MessageSource & Publisher {
  return source.publish !== undefined;
}
