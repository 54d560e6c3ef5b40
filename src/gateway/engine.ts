import type { Hono } from "hono";
import { listenerUrl } from "../config/address.ts";
import type { Config } from "../config/config.ts";
import type { Broadcaster } from "../core/broadcaster.ts";
import type { Meter } from "../core/metering/meter.ts";
import type { AuditLog } from "../core/ports/audit.ts";
import type { Clock } from "../core/ports/clock.ts";
import { type ErrorCode, SpillwayError } from "../core/ports/errors.ts";
import type { Log } from "../core/ports/log.ts";
import type { SourceStatus } from "../core/ports/source.ts";
import { isLoopback } from "../http/host.ts";
import { type MetricsRegistry, showMetrics } from "../metrics/prometheus.ts";
import { subjectFault } from "../protocol/subject.ts";
import type { Listener, ListenOptions, Runtime } from "../runtime/runtime.ts";
import type { AdminListener } from "./admin-listener.ts";
import { canPublish, type GatewaySource } from "./create-source.ts";
import type { PublishHeaders } from "./deps.ts";
import type { DescriptorWatch } from "./descriptor-watch.ts";
import type { Engine } from "./gateway-lifecycle.ts";
import { LoopLag } from "./loop-lag.ts";
import type { PolledFiles } from "./polled-files.ts";
import { runtimeVersion } from "./process-facts.ts";
import type { Readiness } from "./readiness.ts";
import type { RevocationControl, RevokeRequest } from "./revocation-control.ts";
import type { ServerTlsFiles } from "./server-tls.ts";
import { type GatewayStats, readStats } from "./stats.ts";
import { VERSION } from "./version.ts";

/** Whether the gateway listens on the configured port, or is mounted in a host's own server. */
export type Placement = "listens" | "mounted";

/** How long a stop keeps NATS for the clients' last acknowledgements; at most a quarter of `stop_timeout`. */
const LAST_ACKS_MS = 250;
/** Minimum of that time. */
const MIN_LAST_ACKS_MS = 50;

interface EngineParts {
  readonly config: Config;
  readonly clock: Clock;
  readonly log: Log;
  readonly meter: Meter;
  readonly runtime: Runtime;
  readonly placement: Placement;
  readonly source: GatewaySource;
  readonly broadcaster: Broadcaster;
  readonly revocation: RevocationControl;
  readonly files: PolledFiles;
  readonly readiness: Readiness;
  readonly descriptors: DescriptorWatch;
  readonly app: Hono;
  readonly admin: AdminListener;
  readonly tlsFiles: ServerTlsFiles;
  readonly audit: AuditLog;
  /** Whether clients must show who they are. */
  readonly needsLogin: boolean;
  /** The registries that show the metrics. */
  readonly registries: readonly MetricsRegistry[];
  /** `max_clients`, or fewer if file descriptors allow only fewer. */
  readonly maxClients: number;
  /** Whether clients can publish without a token. */
  readonly isOpenToAll: boolean;
}

/** Runs the parts of a gateway, which `createEngine` puts together: starts them, and stops them in order. */
export class GatewayEngine implements Engine {
  readonly meter: Meter;
  /** The whole HTTP surface. */
  readonly app: Hono;
  readonly #config: Config;
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #runtime: Runtime;
  readonly #admin: AdminListener;
  readonly #tlsFiles: ServerTlsFiles;
  readonly #audit: AuditLog;
  readonly #needsLogin: boolean;
  readonly #placement: Placement;
  readonly #source: GatewaySource;
  readonly #broadcaster: Broadcaster;
  readonly #revocation: RevocationControl;
  readonly #files: PolledFiles;
  readonly #readiness: Readiness;
  readonly #descriptors: DescriptorWatch;
  readonly #loopLag: LoopLag;
  readonly #maxClients: number;
  readonly #isOpenToAll: boolean;
  readonly #registries: readonly MetricsRegistry[];
  #listener: Listener | undefined;
  /** Whether the source was started and has told its first status. */
  #sourceBegan = false;
  #hideMetrics: (() => void)[] = [];

  constructor(parts: EngineParts) {
    this.meter = parts.meter;
    this.app = parts.app;
    this.#config = parts.config;
    this.#clock = parts.clock;
    this.#log = parts.log;
    this.#runtime = parts.runtime;
    this.#admin = parts.admin;
    this.#tlsFiles = parts.tlsFiles;
    this.#audit = parts.audit;
    this.#needsLogin = parts.needsLogin;
    this.#placement = parts.placement;
    this.#source = parts.source;
    this.#broadcaster = parts.broadcaster;
    this.#revocation = parts.revocation;
    this.#files = parts.files;
    this.#readiness = parts.readiness;
    this.#descriptors = parts.descriptors;
    this.#loopLag = new LoopLag(parts.clock);
    this.#maxClients = parts.maxClients;
    this.#isOpenToAll = parts.isOpenToAll;
    this.#registries = parts.registries;
  }

  /** Where clients connect; `undefined` while the gateway is stopped, and if it is mounted. */
  get listener(): Listener | undefined {
    return this.#listener;
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
      const tls = await this.#openTls();
      await this.#admin.start(tls);
      if (this.#placement === "listens") {
        const fetch = this.app.fetch as never;
        this.#listener = await this.#runtime.listen({ ...tls, host, port, fetch });
        this.#warnIfOpen(this.#listener);
        this.#warnIfShort();
        this.#descriptors.start(this.#listener);
      }
      this.#announceAdmin();
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
      this.#files.start();
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
    await this.#admin.stop();
    this.#tlsFiles.stop();
    this.#loopLag.stop();
    this.#revocation.stop();
    this.#files.stop();
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
    if (!this.#isOpenToAll || isLoopback(address)) return;
    this.#log.warn(
      'Anyone who can reach {host} on port {port} can publish to all clients with POST {path}. To prevent it, set "publish": false or "host": "127.0.0.1"',
      { event: "publish_open", host: this.#config.host, port, path: "/publish/<subject>" },
    );
  }

  /** Reads the files of TLS; both listeners take what is read later. */
  async #openTls(): Promise<Pick<ListenOptions, "tls" | "nameRefused">> {
    const tls = await this.#tlsFiles.open((renewed) => {
      this.#listener?.setTls?.(renewed);
      this.#admin.listener?.setTls?.(renewed);
    });
    return {
      tls,
      nameRefused: (names, address) =>
        this.#audit.say(
          "client_refused",
          "Refused a client at {address}: its certificate has none of tls_client_names",
          {
            address,
            names: names.join(", "),
          },
        ),
    };
  }

  /** Logs where operators find their pages, if that isn't the port of the clients. */
  #announceAdmin(): void {
    const { listener } = this.#admin;
    if (listener !== undefined) {
      const { adminHost: host, adminTokensFile, tlsCertFile } = this.#config;
      const url = listenerUrl(host, listener.port, tlsCertFile !== undefined);
      const properties = { event: "admin_listening", url, host, port: listener.port };
      this.#log.info(
        adminTokensFile === undefined
          ? "Operators find metrics, health and the console at {url}, without a token"
          : "Operators find metrics, health and the console at {url}",
        properties,
      );
    } else if (this.#needsLogin) {
      this.#log.info(
        "Clients need a token, so metrics, health and the console are not served to them. To serve them on a port of their own, set admin_port",
        { event: "admin_off" },
      );
    }
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
