import type { Hono } from "hono";
import type { Access } from "../access/access.ts";
import type { AuditLog } from "../access/audit-log.ts";
import type { RevokeRequest } from "../access/revocation-entry.ts";
import type { WatchedFiles } from "../access/watched-files.ts";
import { listenerUrl } from "../config/address.ts";
import type { ConfigChange } from "../config/changes.ts";
import type { Config } from "../config/config.ts";
import type { Clients } from "../core/clients.ts";
import { departureMs } from "../core/departures.ts";
import type { Meter } from "../core/metering/meter.ts";
import type { Clock } from "../core/ports/clock.ts";
import { type ErrorCode, SpillwayError } from "../core/ports/errors.ts";
import type { Log } from "../core/ports/log.ts";
import type { Tracer } from "../core/ports/tracer.ts";
import { withDeadline } from "../core/timing/deadline.ts";
import { pause } from "../core/timing/pause.ts";
import { isLoopback } from "../http/host.ts";
import type { ReloadFigures } from "../metrics/families.ts";
import { type MetricsRegistry, showMetrics } from "../metrics/prometheus.ts";
import { subjectFault } from "../protocol/subject.ts";
import { systemClock } from "../runtime/clock.ts";
import { descriptorLimit } from "../runtime/descriptors.ts";
import type { Listener, ListenOptions, Runtime, ServerTls } from "../runtime/runtime.ts";
import type { Accounts } from "./accounts.ts";
import type { AdminListener } from "./admin-listener.ts";
import { releaseInOrder } from "./cleanup.ts";
import { canPublish, type GatewaySource } from "./create-source.ts";
import type { PublishHeaders } from "./deps.ts";
import type { DescriptorWatch } from "./descriptor-watch.ts";
import type { Engine } from "./gateway-lifecycle.ts";
import type { GcTime } from "./gc-time.ts";
import { LoopLag } from "./loop-lag.ts";
import type { PolledFiles } from "./polled-files.ts";
import { presenceStatus } from "./presence-bucket.ts";
import { runtimeVersion } from "./process-facts.ts";
import type { Readiness } from "./readiness.ts";
import type { Reload } from "./reload.ts";
import type { RevocationControl } from "./revocation-control.ts";
import type { Siblings } from "./siblings.ts";
import { type GatewayStats, readStats } from "./stats.ts";
import { VERSION } from "./version.ts";
import { warmUp } from "./warm-up.ts";

/** Whether the gateway listens on the configured port, or is mounted in a host's own server. */
export type Placement = "listens" | "mounted";

/** How long a stop keeps NATS for the clients' last acknowledgements; at most a quarter of `stop_timeout`. */
const LAST_ACKS_MS = 250;
/** Minimum of that time. */
const MIN_LAST_ACKS_MS = 50;
/** Minimum time in which the last figures of this process reach the others. */
const MIN_REPORT_MS = 100;
/** The time in which the first request comes on a connection that was made just before a process leaves the others. */
const LAST_REQUESTS_MS = 500;

interface EngineParts {
  readonly config: Config;
  readonly clock: Clock;
  readonly log: Log;
  readonly meter: Meter;
  readonly runtime: Runtime;
  readonly placement: Placement;
  readonly source: GatewaySource;
  readonly clients: Clients;
  readonly accounts: Accounts;
  readonly revocation: RevocationControl;
  readonly files: PolledFiles;
  readonly readiness: Readiness;
  readonly descriptors: DescriptorWatch;
  readonly gcTime: GcTime;
  /** Records what `publish` publishes; `undefined`: nobody does. */
  readonly tracer: Tracer | undefined;
  /** Sends the last figures, before they are hidden. */
  readonly flushTelemetry: () => Promise<void>;
  readonly app: Hono;
  readonly admin: AdminListener;
  /** The other processes of the gateway, with which it shares its ports; `undefined`: it runs in one. */
  readonly siblings: Siblings | undefined;
  readonly access: Pick<Access, "start" | "stop" | "isRequired">;
  /** Reads the files of TLS; `undefined` if no certificate is configured. */
  readonly openTls: () => Promise<WatchedFiles<ServerTls> | undefined>;
  readonly reload: Reload;
  readonly audit: AuditLog;
  /** Whether clients must show who they are. */
  readonly needsLogin: boolean;
  /** The registries that show the metrics. */
  readonly registries: readonly MetricsRegistry[];
  /** `max_clients`, or fewer if file descriptors allow only fewer. */
  maxClients(): number;
  /** The most connections that may be open at a time. */
  maxConnections(): number;
  /** The figures of reloads, for the metrics. */
  reloads(): ReloadFigures;
  /** Whether clients can publish without a token. */
  isOpenToAll(): boolean;
}

/** Patterns of subjects that NATS' clients and JetStream use among themselves. */
const INTERNALS = /^(?:_INBOX|_R_|\$JS\.(?:API|ACK|FC)|\$SYS|\$SRV)(?:\.|$)/;

/** Runs the parts of a gateway, which `createEngine` puts together: starts them, and stops them in order. */
export class GatewayEngine implements Engine {
  readonly meter: Meter;
  /** The whole HTTP surface. */
  readonly app: Hono;
  readonly #parts: EngineParts;
  readonly #loopLag: LoopLag;
  #listener: Listener | undefined;
  #tls: WatchedFiles<ServerTls> | undefined;
  #hideMetrics: (() => void)[] = [];
  #isWarm = false;

  constructor(parts: EngineParts) {
    this.meter = parts.meter;
    this.app = parts.app;
    this.#parts = parts;
    this.#loopLag = new LoopLag(parts.clock);
  }

  /** Where clients connect; `undefined` while the gateway is stopped, and if it is mounted. */
  get listener(): Listener | undefined {
    return this.#listener;
  }

  /** The port of the operators' pages; `undefined`: they have none of their own. */
  get adminPort(): number | undefined {
    return this.#parts.admin.listener?.port;
  }

  /** See {@linkcode Runtime.websocket}. */
  get websocket(): unknown {
    return this.#parts.runtime.websocket;
  }

  async start(): Promise<{ host: string; port: number }> {
    const { config, clock, clients, accounts, source, admin, access, files } = this.#parts;
    const { name, host, port } = config;
    const startedMs = clock.nowMs();
    clients.open();
    this.#parts.readiness.started();
    try {
      const { siblings } = this.#parts;
      const shared = { ...(await this.#startTls()), sharesPort: siblings !== undefined };
      const announces = siblings?.announces ?? true;
      await admin.start(shared);
      if (this.#parts.placement === "listens") {
        await this.#warmUp();
        const fetch = this.app.fetch as never;
        siblings?.opens();
        this.#listener = await this.#parts.runtime.listen({ ...shared, host, port, fetch });
        if (announces) this.#warnIfOpen(this.#listener);
        if (announces) this.#announceDescriptors();
      }
      this.#parts.descriptors.start(this.#listener, admin.listener);
      if (announces) this.#announceAdmin();
      const uptimeSeconds = (): number => (clock.nowMs() - startedMs) / 1000;
      const sourceConnected = (): boolean => source.status.state === "connected";
      const { runtime, version } = runtimeVersion();
      const metered = {
        name,
        meter: this.meter,
        build: { version: VERSION, runtime, runtimeVersion: version },
        streams: () => source.streams ?? [],
        loopLag: () => this.#loopLag.seconds,
        lags: () => clients.lags,
        sourceConnected,
        uptimeSeconds,
        upstream: () => accounts.upstream,
        kept: () => accounts.kept,
        sessionBytes: () => accounts.sessionBytes,
        durables: () => accounts.durables,
        accounts: () => Object.entries(accounts.states),
        presence: () => clients.presence?.figures,
        reloads: () => this.#parts.reloads(),
      };
      this.#hideMetrics = this.#parts.registries.map((registry) => showMetrics(registry, metered));
      this.#loopLag.start();
      this.#parts.gcTime.start();
      access.start();
      files.start();
      accounts.start();
    } catch (error) {
      // An error of this stop would hide the first one.
      await this.stop(0).catch(() => {});
      throw error;
    }
    return { host, port: this.#listener?.port ?? port };
  }

  /** Does nothing at a second start. */
  async #warmUp(): Promise<void> {
    if (this.#isWarm) return;
    this.#isWarm = true;
    await warmUp(this.#parts.config, systemClock);
  }

  async drain(signal: AbortSignal): Promise<void> {
    const { config, clock, clients, readiness } = this.#parts;
    readiness.draining();
    await pause(clock, config.drainDelayMs, signal);
    if (signal.aborted) return;
    clients.refuse();
    await this.#depart(signal);
  }

  /** Disconnects clients evenly over `drain_window`. */
  async #depart(signal: AbortSignal): Promise<void> {
    const { config, clients, log } = this.#parts;
    const overMs = departureMs(clients.connected, config.drainWindowMs);
    log.info("Draining: all clients ({clients}) are disconnected within {seconds} s", {
      ...{ event: "draining", clients: clients.connected, seconds: overMs / 1000 },
    });
    await clients.depart(overMs, signal);
  }

  async leave(signal: AbortSignal): Promise<void> {
    const { clock, readiness, admin } = this.#parts;
    readiness.draining();
    this.#listener?.close?.();
    admin.listener?.close?.();
    await pause(clock, LAST_REQUESTS_MS, signal);
    if (!signal.aborted) await this.#depart(signal);
  }

  async reload(config: Config): Promise<readonly ConfigChange[]> {
    return await this.#parts.reload.run(config, {
      hasTls: this.#tls !== undefined,
      setTls: (tls) => {
        this.#tls?.stop();
        this.#tls = tls;
        this.#showTls(tls.value);
        tls.start((renewed) => this.#showTls(renewed));
      },
      limitsChanged: () => this.#listener?.setMaxConnections?.(this.#parts.maxConnections()),
    });
  }

  async stop(timeoutMs: number): Promise<void> {
    const { clock, clients, accounts, readiness, descriptors, admin, access } = this.#parts;
    const untilMs = clock.nowMs() + timeoutMs;
    const left = (): number => Math.max(0, untilMs - clock.nowMs());
    clients.refuse();
    readiness.stopped();
    // The time is shared: a NATS that doesn't answer leaves half of it to the clients' last messages, and clients that
    // don't acknowledge leave some of it to the last acknowledgements of others.
    const lastAcksMs = Math.min(LAST_ACKS_MS, timeoutMs / 4);
    const drainMs = (): number => Math.max(0, left() - lastAcksMs);
    // A source of the host may fail: the clients and the listeners are closed all the same.
    await releaseInOrder([
      () => accounts.drain(drainMs() / 2),
      () => clients.drain(drainMs()),
      () => accounts.stop(Math.max(left(), MIN_LAST_ACKS_MS)),
      () => this.#tls?.stop(),
      () => descriptors.stop(),
      () => this.#stopListener(),
      () => admin.stop(),
      () => access.stop(),
      () => this.#parts.audit.stop(),
      () => this.#loopLag.stop(),
      () => this.#parts.gcTime.stop(),
      () => this.#parts.revocation.stop(),
      () => this.#parts.files.stop(),
      () => this.#flushTelemetry(left()),
      () => this.#parts.siblings?.stopped(Math.max(left(), MIN_REPORT_MS)),
      ...this.#hideMetrics.splice(0),
    ]);
  }

  /** See `Gateway.publish`. */
  publish(subject: string, data: string | Uint8Array, headers?: PublishHeaders): void {
    const problem = subjectFault(subject, false);
    const fail = (code: ErrorCode, reason: string): SpillwayError =>
      new SpillwayError(code, `Cannot publish to ${JSON.stringify(subject)} ${reason}`);
    if (problem !== undefined) throw fail("SUBJECT_INVALID", `as a subject ${problem}`);
    const { source } = this.#parts;
    if (!canPublish(source))
      throw fail("PUBLISH_UNSUPPORTED", `as ${source.name} takes no messages`);
    const { status } = source;
    if (status.state !== "connected") {
      const reason = status.state === "idle" ? "the gateway is not running" : status.reason;
      throw fail("PUBLISH_FAILED", `as ${source.name} is not connected: ${reason}`);
    }
    const bytes = typeof data === "string" ? new TextEncoder().encode(data) : data;
    const given = Object.entries(headers ?? {}).map(
      ([name, value]) => [name, [value].flat()] as const,
    );
    const trace = this.#parts.tracer?.sending({
      ...{ action: "publish", subject, bytes: bytes.length, headers: given },
    });
    const all = new Map([...given, ...(trace?.headers ?? [])]);
    try {
      source.publish({ subject, data: bytes, headers: all.size === 0 ? undefined : all });
    } finally {
      trace?.end();
    }
  }

  /** See `Gateway.revoke`. */
  async revoke(request: RevokeRequest): Promise<void> {
    await this.#parts.revocation.revoke(request);
  }

  /** See `Gateway.stats`. */
  stats(): GatewayStats {
    const { meter, clients, accounts, source, readiness, revocation } = this.#parts;
    return readStats({
      ...{ meter, accounts, source },
      lags: clients.lags,
      readiness: readiness.report(),
      presence: presenceStatus(clients.presence, source),
      revocation: revocation.status,
    });
  }

  /** A collector that doesn't answer must not hold up the stop. */
  async #flushTelemetry(timeoutMs: number): Promise<void> {
    const { clock, flushTelemetry } = this.#parts;
    await withDeadline(clock, timeoutMs, flushTelemetry).catch(() => {});
  }

  async #stopListener(): Promise<void> {
    const listener = this.#listener;
    this.#listener = undefined;
    await listener?.stop();
  }

  /** Warns if the configuration opens more than its author may have meant to. */
  #warnIfOpen({ address, port }: Listener): void {
    const { config, log, isOpenToAll, needsLogin } = this.#parts;
    const { host, subjects, tlsCertFile, trustedProxies } = config;
    const internals = subjects.filter((pattern) => INTERNALS.test(pattern));
    if (internals.length > 0) {
      log.warn(
        "Clients may receive {subjects}, which carry answers and requests of NATS that are meant for others",
        { event: "internals_exposed", subjects: internals.join(", ") },
      );
    }
    if (isLoopback(address)) return;
    if (needsLogin && tlsCertFile === undefined && trustedProxies.length === 0) {
      log.warn(
        'Clients send their tokens unencrypted to {host} on port {port}. Set "tls_cert_file", or "trusted_proxies" if a proxy speaks TLS with them',
        { event: "tokens_unencrypted", host, port },
      );
    }
    if (!isOpenToAll()) return;
    log.warn(
      'Anyone who can reach {host} on port {port} can publish to all clients with POST {path}. To prevent it, set "publish": false or "host": "127.0.0.1"',
      { event: "publish_open", host, port, path: "/publish/<subject>" },
    );
  }

  /** Reads the files of TLS; both listeners take what is read later. */
  async #startTls(): Promise<Pick<ListenOptions, "tls" | "certificateRefused">> {
    const { openTls, audit } = this.#parts;
    this.#tls = await openTls();
    this.#tls?.start((renewed) => this.#showTls(renewed));
    return {
      tls: this.#tls?.value,
      certificateRefused: ({ address, reason, names }) =>
        audit.record("client_refused", {
          ...{ address, kind: "unauthenticated", reason },
          names: names?.join(", "),
        }),
    };
  }

  #showTls(tls: ServerTls): void {
    this.#listener?.setTls?.(tls);
    this.#parts.admin.listener?.setTls?.(tls);
  }

  /** Logs where operators find their pages, if that isn't the port of the clients. */
  #announceAdmin(): void {
    const { config, log, admin, needsLogin } = this.#parts;
    const { listener } = admin;
    if (listener !== undefined) {
      const { adminHost: host, adminTokensFile, tlsCertFile } = config;
      const url = listenerUrl(host, listener.port, tlsCertFile !== undefined);
      const properties = { event: "admin_listening", url, host, port: listener.port };
      log.info(
        adminTokensFile === undefined
          ? "Operators find metrics, health and the console at {url}, without a token"
          : "Operators find metrics, health and the console at {url}",
        properties,
      );
    } else if (needsLogin) {
      log.info(
        "Clients need a token, so metrics, health and the console are not served to them. To serve them on a port of their own, set admin_port",
        { event: "admin_off" },
      );
    }
  }

  /** Logs the limit of file descriptors, and warns if `max_clients` needs more. */
  #announceDescriptors(): void {
    const { config, log } = this.#parts;
    const maxClients = this.#parts.maxClients();
    const limit = descriptorLimit();
    if (limit !== undefined && limit !== Number.POSITIVE_INFINITY) {
      log.info("Up to {limit} files and connections can be open at a time (ulimit -n)", {
        event: "descriptors",
        limit,
      });
    }
    if (maxClients >= config.maxClients) return;
    log.warn(
      "The limit of file descriptors (ulimit -n) allows only {clients} clients at a time; max_clients is {maxClients}",
      { event: "descriptor_limit", clients: maxClients, maxClients: config.maxClients },
    );
  }
}
