import { AuditLog } from "../access/audit-log.ts";
import { shownConfig } from "../config/changes.ts";
import type { Config } from "../config/config.ts";
import { jsonSchema } from "../config/describe.ts";
import { configError, type Problem, ruleProblem } from "../config/problem.ts";
import { Meter } from "../core/metering/meter.ts";
import type { ConnectionObserver } from "../core/ports/observer.ts";
import { addressGroupOf } from "../http/client-address.ts";
import { EventStreams } from "../http/event-stream.ts";
import { type Status, type StatusReport, withoutAddresses } from "../http/status.ts";
import { libraryAuditLog, libraryLog } from "../log/logtape.ts";
import { showProcess } from "../metrics/process.ts";
import { createRegistry, type MetricsRegistry } from "../metrics/prometheus.ts";
import { snapshotOf } from "../metrics/worker-metrics.ts";
import { systemClock } from "../runtime/clock.ts";
import { connectionRoom } from "../runtime/descriptors.ts";
import { createRuntime } from "../runtime/detect.ts";
import { MemorySource } from "../source/memory.ts";
import { NatsSource } from "../source/nats.ts";
import { createTracer } from "../telemetry/open-telemetry.ts";
import { mostConnections } from "./accounts.ts";
import { clientPublishing, somebodyPublishes } from "./client-publishing.ts";
import { ConnectionAudit } from "./connection-audit.ts";
import { ConnectionHooks } from "./connection-hooks.ts";
import { createAccess, openAuthenticators } from "./create-access.ts";
import { createAccounts } from "./create-accounts.ts";
import { createApps } from "./create-apps.ts";
import { createAccountSources, createSource } from "./create-source.ts";
import type { GatewayDeps } from "./deps.ts";
import { DescriptorWatch } from "./descriptor-watch.ts";
import { GatewayEngine, type Placement } from "./engine.ts";
import type { EngineReport } from "./gateway-lifecycle.ts";
import { GcTime } from "./gc-time.ts";
import { LiveConfig } from "./live-config.ts";
import { PolledFiles } from "./polled-files.ts";
import { presenceReads, presenceStatus } from "./presence-bucket.ts";
import { processFacts, runtimeVersion } from "./process-facts.ts";
import { Readiness } from "./readiness.ts";
import { Reload } from "./reload.ts";
import { RevocationControl } from "./revocation-control.ts";
import { openServerTls, unsupportedTls } from "./server-tls.ts";
import type { Siblings } from "./siblings.ts";
import { VERSION } from "./version.ts";

/** Maximum of connections beside those of clients: requests, and handshakes that are not finished. */
const OTHER_CONNECTIONS = 1024;

const REVOCATIONS_UNREAD = "revocation_bucket was not read yet, so no token is accepted";
const FEWER_CLIENTS = "the limit of file descriptors allows no more clients: raise it (ulimit -n)";

/** Parts that are handed in, not only by hosts. */
export interface EngineDeps extends GatewayDeps {
  /** Sends the metrics of the registry elsewhere, and those of the last moment when it is flushed. By default, nobody does. */
  readonly telemetry?: { readonly registry: MetricsRegistry; flush(): Promise<void> } | undefined;
  /** Returns the configuration of this process, if it may be one of several. By default, `workers` must be 1. */
  readonly share?: ((whole: Config) => Config) | undefined;
}

/**
 * Puts a gateway together: runtime, source, access, broadcaster, HTTP app, metrics. Opens nothing.
 *
 * @param report shows in `/healthz` how the gateway is, and takes an operator's request to drain it.
 * @param siblings the other processes of the gateway, if it runs in several.
 * @throws SpillwayError `"CONFIG_INVALID"` (invalid) if a file that the configuration names can't be used.
 */
export async function createEngine(
  initial: Config,
  deps: EngineDeps,
  report: EngineReport,
  placement: Placement,
  siblings?: Siblings,
): Promise<GatewayEngine> {
  const live = new LiveConfig(initial, deps.share);
  const { config } = live;
  const unsupported =
    placement === "mounted" ? mountedTls(config) : unsupportedTls(config, runtimeVersion().runtime);
  unsupported.push(...severalWorkers(config));
  if (unsupported.length > 0) throw configError(unsupported);
  const log = deps.log ?? libraryLog();
  const clock = deps.clock ?? systemClock;
  const audit = new AuditLog(deps.log ?? libraryAuditLog(), clock, addressGroupOf);
  const meter = new Meter();
  const tracer = await createTracer(VERSION, log);

  const maxConnections = live.derive(({ maxClients, accounts, maxOpenAccounts }) => {
    const wanted = maxClients + OTHER_CONNECTIONS;
    if (placement === "mounted") return wanted;
    return connectionRoom(wanted, mostConnections(accounts.length, { maxOpenAccounts }));
  });
  const maxClients = live.derive((now) => clientRoom(now.maxClients, maxConnections()));
  const options = {
    ...config,
    maxBodyBytes: config.maxPublishBytes,
    maxConnections: maxConnections(),
  };
  const runtime =
    deps.runtime?.(options) ?? (await createRuntime(options, config.sockets, placement));

  const revocation = new RevocationControl(config, deps.authorize !== undefined, clock, log);
  const reads = {
    ...revocation.reads,
    presence: presenceReads(config, () => clients.presence),
  };
  const source = await createSource(config, { deps, log, runtime, reads });
  if (source instanceof NatsSource) revocation.use(source);
  const accountSources = await createAccountSources(config, { deps, log, runtime });
  const publishing = live.derive((now) => clientPublishing(now, source, deps.source !== undefined));
  const files = new PolledFiles(clock, deps.readTextFile);
  const authenticatorParts = {
    ...{ deps, clock, log, files },
    requests: source instanceof NatsSource ? source : undefined,
  };
  const access = await createAccess(config, {
    ...authenticatorParts,
    revocations: revocation,
    publishSubjects: () => publishing().openSubjects,
  });
  const takesPosts = (): boolean => somebodyPublishes(publishing(), access.isRequired);

  const eventStreams = new EventStreams();
  const observers: ConnectionObserver[] = [];
  if (deps.onConnect !== undefined || deps.onDisconnect !== undefined) {
    observers.push(new ConnectionHooks(deps, log, clock));
  }
  if (access.isRequired) observers.push(new ConnectionAudit(audit));
  const { clients, accounts } = createAccounts(live, {
    ...{ clock, log, meter, tracer, source, accountSources, maxClients },
    fanouts: { websocket: runtime.sockets, events: eventStreams },
    observer: observerOf(observers),
    presenceBucket: source instanceof NatsSource ? source.presenceBucket : undefined,
    isRevoked: (grant) => revocation.isRevoked(grant),
    renewed: (grant) => {
      const now = access.renewed(grant);
      return "kind" in now ? undefined : now;
    },
    statusChanged: (status) => {
      readiness.sourceChanged(status);
      clients.presence?.connected(status.state === "connected");
    },
  });
  revocation.list.onRevoked = () => clients.endRevoked();
  access.onChanged = () => clients.renewGrants();

  const descriptors = new DescriptorWatch(clock, log);
  const readiness = new Readiness(clock, source, accounts.defaultBroadcaster, clients, () => {
    const isShort = clients.refusal === "full" && maxClients() < config.maxClients;
    if (isShort) return FEWER_CLIENTS;
    return descriptors.problem ?? (revocation.isReady ? undefined : REVOCATIONS_UNREAD);
  });

  const registry = deps.telemetry?.registry ?? createRegistry();
  // A host adds the process' figures to its own registry if it wants them there.
  const gcTime = new GcTime();
  showProcess(registry, processFacts(gcTime));
  const { metricsRegistry } = deps;

  const own = {
    readiness: () => readiness.report(),
    status: (): Status => ({
      meta: report.meta(),
      health: report.health(),
      data_flow: report.dataFlow(),
      ledger: meter.ledger.balance(),
      lag: withoutAddresses(clients.lags),
      source: { name: source.name, connected: source.status.state === "connected" },
      accounts: config.accounts.length === 0 ? undefined : accounts.states,
      presence: presenceStatus(clients.presence, source),
      revocation: revocation.status,
    }),
    metrics: async () => ({ contentType: registry.contentType, text: await registry.metrics() }),
  };
  siblings?.join({
    ...own,
    metrics: () => snapshotOf(registry),
    revocations: () => revocation.ownEntries,
    posted: (message) => {
      if (source instanceof MemorySource) source.deliver(message);
    },
    missed: () => {
      if (source instanceof MemorySource) source.missed();
    },
    revoked: (entries) => {
      for (const entry of entries) revocation.list.add(entry);
    },
  });
  if (siblings !== undefined) {
    revocation.onRevoked = (entry) => siblings.revoked([entry]);
    if (source instanceof MemorySource) {
      source.onPublished = (message) => siblings.posted(message);
      source.whenRoom = (publish, signal) => siblings.whenRoom(publish, signal);
    }
  }
  const shown = siblings ?? own;
  const statusReport: StatusReport = {
    meta: () => report.meta(),
    readiness: () => shown.readiness(),
    status: () => shown.status(),
    metrics: () => shown.metrics(),
    schema: jsonSchema,
    config: () => shownConfig(live.whole),
  };
  const { app, admin } = createApps(live, {
    ...{ clock, log, audit, meter, clients, accounts, access, revocation, takesPosts },
    ...{ runtime, eventStreams, placement, tracer, report: statusReport },
    file: (path) => files.file(path),
    requestDrain: () => report.requestDrain(),
    requestReload: () => report.requestReload(),
    listener: () => engine.listener,
  });

  const openTls = (now: Config) =>
    openServerTls({ ...now }, { file: (path) => files.file(path), clock, log });
  const engine: GatewayEngine = new GatewayEngine({
    config,
    clock,
    log,
    meter,
    runtime,
    placement,
    source,
    clients,
    accounts,
    revocation,
    files,
    readiness,
    descriptors,
    gcTime,
    tracer,
    flushTelemetry: async () => await deps.telemetry?.flush(),
    app,
    admin,
    access,
    siblings,
    openTls: () => openTls(config),
    reload: new Reload({
      ...{ live, access, admin, clients, files, openTls },
      broadcasters: () => accounts.broadcasters,
      revocationsLastMs: revocation.longestLifeMs,
      openAuthenticators: (now, before) => openAuthenticators(now, authenticatorParts, before),
      publishSubjects: () => publishing().openSubjects,
    }),
    audit,
    needsLogin: access.isRequired,
    registries: metricsRegistry === undefined ? [registry] : [registry, metricsRegistry],
    ...{ maxClients, maxConnections },
    reloads: () => report.reloads(),
    isOpenToAll: () => takesPosts() && !access.isRequired,
  });
  return engine;
}

/** Returns one observer for all; `undefined` if there is none. */
function observerOf(observers: readonly ConnectionObserver[]): ConnectionObserver | undefined {
  if (observers.length <= 1) return observers[0];
  return {
    connected: (client) => observers.forEach((one) => void one.connected(client)),
    disconnected: (client, end) => observers.forEach((one) => void one.disconnected(client, end)),
    denied: (client, request) => observers.forEach((one) => void one.denied?.(client, request)),
  };
}

/** The command starts other processes, and each of them has a gateway of one. */
function severalWorkers({ workers }: Config): Problem[] {
  if (workers === 1) return [];
  const rule = "be 1 in a library, which starts no processes: only the command spillway does";
  return [{ key: "workers", text: `"workers" is ${JSON.stringify(workers)} but must ${rule}` }];
}

/** A host's own server decides about TLS. */
function mountedTls({ tlsCertFile }: Config): Problem[] {
  if (tlsCertFile === undefined) return [];
  const rule = "not be set in a host's own server, which does TLS itself";
  return [ruleProblem("tls_cert_file", tlsCertFile, rule)];
}

/** The clients that can be connected beside other requests, which say how the gateway is. */
function clientRoom(maxClients: number, maxConnections: number): number {
  const others = Math.min(OTHER_CONNECTIONS, Math.ceil(maxConnections / 4));
  return Math.min(maxClients, Math.max(1, maxConnections - others));
}
