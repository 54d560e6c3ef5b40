import { ANY_ADDRESS } from "../config/address.ts";
import type { Config } from "../config/config.ts";
import { jsonSchema } from "../config/describe.ts";
import { configError, type Problem } from "../config/problem.ts";
import { streamInputs } from "../config/stream-inputs.ts";
import { Broadcaster } from "../core/broadcaster.ts";
import { Meter } from "../core/metering/meter.ts";
import { AuditLog } from "../core/ports/audit.ts";
import type { Selection } from "../core/subject/subject.ts";
import { EnvelopeEncoder } from "../core/wire/envelope.ts";
import { createAdminApp } from "../http/admin-app.ts";
import { consoleOptions, createApp } from "../http/app.ts";
import { EventStreams } from "../http/event-stream.ts";
import { isLoopback } from "../http/host.ts";
import type { StatusReport } from "../http/status.ts";
import { libraryLog } from "../log/logtape.ts";
import { showProcess } from "../metrics/process.ts";
import { createRegistry } from "../metrics/prometheus.ts";
import { systemClock } from "../runtime/clock.ts";
import { connectionRoom } from "../runtime/descriptors.ts";
import { createRuntime } from "../runtime/detect.ts";
import { MemorySource } from "../source/memory.ts";
import { NatsSource } from "../source/nats.ts";
import { AdminListener } from "./admin-listener.ts";
import { ConnectionHooks } from "./connection-hooks.ts";
import { createAccess, exposedSubjects } from "./create-access.ts";
import { canPublish, clientPublisherOf, createSource } from "./create-source.ts";
import type { GatewayDeps } from "./deps.ts";
import { DescriptorWatch } from "./descriptor-watch.ts";
import { GatewayEngine, type Placement } from "./engine.ts";
import { memoryLimitBytes } from "./memory-limit.ts";
import { PolledFiles } from "./polled-files.ts";
import { processFacts, runtimeVersion } from "./process-facts.ts";
import { Readiness } from "./readiness.ts";
import { RevocationControl } from "./revocation-control.ts";
import { ServerTlsFiles, unsupportedTls } from "./server-tls.ts";
import { VERSION } from "./version.ts";

/** Maximum of connections beside those of clients: requests, and handshakes that are not finished. */
const OTHER_CONNECTIONS = 1024;

const FEWER_CLIENTS = "the limit of file descriptors allows no more clients: raise it (ulimit -n)";

/**
 * Puts a gateway together: runtime, source, access, broadcaster, HTTP app, metrics. Opens nothing.
 *
 * @param report what `/healthz` shows beside the deliveries.
 * @throws SpillwayError `"CONFIG_INVALID"` (invalid) if a file that the configuration names can't be used.
 */
export async function createEngine(
  config: Config,
  deps: GatewayDeps,
  report: Pick<StatusReport, "meta" | "health" | "dataFlow">,
  placement: Placement,
): Promise<GatewayEngine> {
  const unsupported =
    placement === "mounted" ? mountedTls(config) : unsupportedTls(config, runtimeVersion().runtime);
  if (unsupported.length > 0) throw configError(unsupported);
  const log = deps.log ?? libraryLog();
  const clock = deps.clock ?? systemClock;
  const meter = new Meter();

  const wanted = config.maxClients + OTHER_CONNECTIONS;
  const maxConnections = placement === "listens" ? connectionRoom(wanted) : wanted;
  const maxClients = clientRoom(config.maxClients, maxConnections);
  const options = { ...config, maxBodyBytes: config.maxPublishBytes, maxConnections };
  const runtime =
    deps.runtime?.(options) ?? (await createRuntime(options, config.sockets, placement));

  const revocation = new RevocationControl(config, clock, log);
  const source = await createSource(config, { deps, log, runtime, reads: revocation.reads });
  if (source instanceof NatsSource) revocation.use(source);
  const takesPosts =
    deps.source === undefined
      ? source instanceof MemorySource && config.publish !== false
      : config.publish === true;
  const publisher = config.publish === false ? undefined : clientPublisherOf(source);
  const published = publishSubjects(config, takesPosts);
  const files = new PolledFiles(clock);
  const access = await createAccess(config, {
    deps,
    clock,
    log,
    requests: source instanceof NatsSource ? source : undefined,
    revocations: revocation,
    files,
    publishSubjects: published,
  });
  const acceptsPosts =
    publisher !== undefined && (takesPosts || access.isRequired || published.length > 0);

  const subjects = exposedSubjects(config);
  const eventStreams = new EventStreams();
  const hasHooks = deps.onConnect !== undefined || deps.onDisconnect !== undefined;
  const broadcaster = new Broadcaster(
    {
      ...config,
      maxClients,
      maxTotalQueueBytes: config.maxTotalQueueBytes ?? memoryLimitBytes() / 4,
      subjects,
      demanded: config.subjects,
      streams: streamInputs(config.streams),
    },
    {
      log,
      clock,
      encoder: new EnvelopeEncoder(config),
      fanouts: { websocket: runtime.sockets, events: eventStreams },
      meter,
      source,
      publisher,
      deadLetters: canPublish(source) ? source : undefined,
      observer: hasHooks ? new ConnectionHooks(deps, log, clock) : undefined,
      version: VERSION,
      isRevoked: (grant) => revocation.isRevoked(grant),
    },
  );
  revocation.list.onRevoked = () => broadcaster.endRevoked();

  const descriptors = new DescriptorWatch(clock, log);
  const readiness = new Readiness(clock, source, broadcaster, () => {
    const isShort = broadcaster.refusal === "full" && maxClients < config.maxClients;
    return isShort ? FEWER_CLIENTS : descriptors.problem;
  });

  const registry = createRegistry();
  // A host adds the process' figures to its own registry if it wants them there.
  showProcess(registry, processFacts());
  const { metricsRegistry } = deps;

  const mounted = placement === "mounted";
  const statusReport: StatusReport = {
    meta: () => report.meta(),
    health: () => report.health(),
    dataFlow: () => report.dataFlow(),
    schema: jsonSchema,
    readiness: () => readiness.report(),
    ledger: () => meter.ledger.balance(),
    metrics: async () => ({ contentType: registry.contentType, text: await registry.metrics() }),
  };
  const listening = () =>
    mounted ? undefined : (engine.listener ?? { address: config.host, port: config.port });
  const app = createApp(
    { ...config, subjects, mounted },
    {
      clock,
      listening,
      consolePort: () => admin.listener?.port,
      broadcaster,
      sockets: runtime.sockets,
      eventStreams,
      access,
      meter,
      takesPosts: acceptsPosts,
      log,
      report: statusReport,
    },
  );
  const audit = new AuditLog(log);
  const admin = new AdminListener(config, {
    runtime,
    file: (path) => files.file(path),
    clock,
    log,
    makeFetch: (operators) =>
      createAdminApp(
        { ...config, host: config.adminHost },
        {
          clock,
          log,
          audit,
          listening: () => admin.listener,
          report: statusReport,
          operatorOf: operators === undefined ? undefined : (token) => operators.find(token),
          addressOf: (c) => runtime.sockets.addressOf(c),
          revoke: (order) => engine.revoke(order),
          clients: mounted ? undefined : (page) => clientsUrl(page, config.host, listening()?.port),
          console: consoleOptions({ ...config, subjects }, acceptsPosts),
        },
      ).fetch,
  });

  const engine = new GatewayEngine({
    config,
    clock,
    log,
    meter,
    runtime,
    placement,
    source,
    broadcaster,
    revocation,
    files,
    readiness,
    descriptors,
    app,
    admin,
    tlsFiles: new ServerTlsFiles(config, (path) => files.file(path), log),
    audit,
    needsLogin: access.isRequired,
    registries: metricsRegistry === undefined ? [registry] : [registry, metricsRegistry],
    maxClients,
    isOpenToAll: acceptsPosts && !access.isRequired,
  });
  return engine;
}

/** A host's own server decides about TLS. */
function mountedTls({ tlsCertFile }: Config): Problem[] {
  if (tlsCertFile === undefined) return [];
  const text = `"tls_cert_file" is ${JSON.stringify(tlsCertFile)} but must not be set in a host's own server, which does TLS itself`;
  return [{ key: "tls_cert_file", text }];
}

/** Returns where clients connect, seen from a page on another port; a page's host name is one of this machine. */
function clientsUrl(page: URL, host: string, port = 0): URL {
  const isNamed = !isLoopback(host) && !ANY_ADDRESS.includes(host);
  const name = host.includes(":") ? `[${host}]` : host;
  return new URL(`${page.protocol}//${isNamed ? name : page.hostname}:${port}`);
}

/** Returns what clients may publish to if they need no token: by default everything, where posts feed the source. */
function publishSubjects(config: Config, takesPosts: boolean): Selection {
  if (config.publish === false) return [];
  return takesPosts && config.publishSubjects.length === 0 ? "everything" : config.publishSubjects;
}

/** The clients that can be connected beside other requests, which say how the gateway is. */
function clientRoom(maxClients: number, maxConnections: number): number {
  const others = Math.min(OTHER_CONNECTIONS, Math.ceil(maxConnections / 4));
  return Math.min(maxClients, Math.max(1, maxConnections - others));
}
