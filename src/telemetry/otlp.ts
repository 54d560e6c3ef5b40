import type { LogRecord } from "@opentelemetry/api";
import type { Clock } from "../core/ports/clock.ts";
import { reasonOf, SpillwayError } from "../core/ports/errors.ts";
import type { Log } from "../core/ports/log.ts";
import { LogLimit } from "../core/timing/log-limit.ts";
import type { LogEntry } from "../log/logtape.ts";
import { createRegistry, type MetricsRegistry } from "../metrics/prometheus.ts";
import { metricProducer } from "./metric-producer.ts";
import { registered } from "./open-telemetry.ts";
import {
  type Environment,
  numberIn,
  readTelemetrySettings,
  type Signal,
  type TelemetrySettings,
} from "./settings.ts";

/** The longest that all flushes may hold up a stop. */
const FLUSH_MS = 2_000;
/** Minimum time between two lines of the log about telemetry that isn't taken. */
const LOG_INTERVAL_MS = 60_000;

/** The packages, as npm installs those versions that fit together. */
const INSTALL =
  "npm install @opentelemetry/api @opentelemetry/resources@3 @opentelemetry/sdk-trace@3 @opentelemetry/sdk-metrics@3 @opentelemetry/sdk-logs@3 @opentelemetry/exporter-trace-otlp-proto @opentelemetry/exporter-metrics-otlp-proto @opentelemetry/exporter-logs-otlp-proto";

/** Sends the telemetry of a process. */
export interface Telemetry {
  /** The signals that are sent. */
  readonly signals: readonly Signal[];
  /** The registry whose metrics are sent. */
  readonly registry: MetricsRegistry;
  /** Takes the lines of the log; `undefined`: they aren't sent. */
  readonly log: ((entry: LogEntry) => void) | undefined;
  /** Logs, from now on, that the collector doesn't take what is sent. */
  reportTo(log: Log, clock: Clock): void;
  /** Sends what has been gathered, for a short time. Never rejects. */
  flush(): Promise<void>;
  /** Sends what is left, and releases all timers. Never rejects. */
  stop(): Promise<void>;
}

/** Names the program whose telemetry is sent. */
export interface Service {
  readonly version: string;
  readonly runtime: string;
  readonly runtimeVersion: string;
  readonly pid: number;
}

/** A provider of the SDK. */
interface Provider {
  forceFlush(): Promise<void>;
  shutdown(): Promise<void>;
}

/** The packages of each signal. */
const PACKAGES: Readonly<Record<Signal, () => Promise<unknown>>> = {
  traces: () =>
    Promise.all([
      import("@opentelemetry/sdk-trace"),
      import("@opentelemetry/exporter-trace-otlp-proto"),
    ]),
  metrics: () =>
    Promise.all([
      import("@opentelemetry/sdk-metrics"),
      import("@opentelemetry/exporter-metrics-otlp-proto"),
    ]),
  logs: () =>
    Promise.all([
      import("@opentelemetry/sdk-logs"),
      import("@opentelemetry/exporter-logs-otlp-proto"),
    ]),
};

/**
 * Checks what {@linkcode startTelemetry} would start, and sends nothing.
 *
 * @throws SpillwayError `TELEMETRY_INVALID`
 */
export async function checkTelemetry(env: Environment): Promise<void> {
  const settings = readTelemetrySettings(env);
  if (settings === undefined) return;
  try {
    await Promise.all([import("@opentelemetry/api"), import("@opentelemetry/resources")]);
    for (const signal of settings.signals.keys()) await PACKAGES[signal]();
  } catch (cause) {
    throw notInstalled(settings, cause);
  }
}

/**
 * Sends traces, metrics and logs by OTLP, as far as the standard variables `OTEL_…` ask for it. Registers a provider
 * of traces with OpenTelemetry's API, unless there is one: Deno has its own if OTEL_DENO is set.
 *
 * @returns `undefined` if nothing is asked for; then no package is loaded.
 * @throws SpillwayError `TELEMETRY_INVALID` if a variable is wrong, or a package isn't installed.
 */
export async function startTelemetry(
  env: Environment,
  service: Service,
): Promise<Telemetry | undefined> {
  const settings = readTelemetrySettings(env);
  if (settings === undefined) return undefined;
  const { signals } = settings;
  try {
    const api = await import("@opentelemetry/api");
    const early: unknown[][] = [];
    listen(api, (...words) => void early.push(words));
    const resource = await resourceOf(service);
    const registry = createRegistry();
    const providers: Provider[] = [];
    if (signals.has("traces") && registered().trace === undefined) {
      const provider = await traceProvider(settings, env, resource);
      api.trace.setGlobalTracerProvider(provider);
      providers.push(provider);
    }
    if (signals.has("metrics")) {
      providers.push(await meterProvider(registry, service, env, resource));
    }
    let log: Telemetry["log"];
    if (signals.has("logs")) {
      const provider = await loggerProvider(env, resource);
      providers.push(provider);
      const logger = provider.getLogger("spillway", service.version);
      log = (entry) => logger.emit(recordOf(entry, api));
    }
    let leftMs = FLUSH_MS;
    const bounded = async (each: (provider: Provider) => Promise<void>): Promise<void> => {
      const sinceMs = performance.now();
      let timer: ReturnType<typeof setTimeout> | undefined;
      const late = new Promise<void>((resolve) => {
        timer = setTimeout(resolve, leftMs);
      });
      // The collector's fault is logged already.
      await Promise.race([Promise.allSettled(providers.map(each)), late]);
      clearTimeout(timer);
      leftMs = Math.max(0, leftMs - (performance.now() - sinceMs));
    };
    return {
      signals: [...signals.keys()],
      registry,
      log,
      reportTo(to, clock) {
        const limit = new LogLimit<string>(clock, LOG_INTERVAL_MS);
        const report = (...words: unknown[]): void => {
          const others = limit.othersBefore("telemetry");
          if (others === undefined) return;
          const reason = words.map(reasonIn).join(" ");
          to.warn("Cannot send telemetry: {reason} ({others} more since the last such line)", {
            event: "telemetry_failed",
            reason,
            others,
          });
        };
        listen(api, report);
        for (const words of early.splice(0)) report(...words);
      },
      flush: () => bounded((provider) => provider.forceFlush()),
      stop: () => bounded((provider) => provider.shutdown()),
    };
  } catch (cause) {
    throw notInstalled(settings, cause);
  }
}

function notInstalled({ signals }: TelemetrySettings, cause: unknown): SpillwayError {
  const [variable] = signals.values();
  return new SpillwayError(
    "TELEMETRY_INVALID",
    `Cannot send telemetry, which ${variable} asks for: ${reasonOf(cause)}. Install OpenTelemetry (${INSTALL}), or unset ${variable}`,
    { cause },
  );
}

/** Takes the warnings and errors of OpenTelemetry from now on. */
function listen(
  { diag, DiagLogLevel }: Pick<typeof import("@opentelemetry/api"), "diag" | "DiagLogLevel">,
  report: (...words: unknown[]) => void,
): void {
  const quiet = (): void => {};
  const logger = { error: report, warn: report, info: quiet, debug: quiet, verbose: quiet };
  diag.setLogger(logger, { logLevel: DiagLogLevel.WARN, suppressOverrideMessage: true });
}

/** Returns the reason in an error that OpenTelemetry has written as JSON, with its stack. */
function reasonIn(word: unknown): string {
  const reason = reasonOf(word);
  try {
    return String((JSON.parse(reason) as { message?: unknown }).message ?? reason);
  } catch {
    return reason;
  }
}

type Resource = Awaited<ReturnType<typeof resourceOf>>;

/** Returns the attributes of the program; the variables OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES have precedence. */
async function resourceOf({ version, runtime, runtimeVersion, pid }: Service) {
  const { defaultResource, detectResources, envDetector, resourceFromAttributes } = await import(
    "@opentelemetry/resources"
  );
  const own = resourceFromAttributes({
    "service.name": "spillway",
    "service.version": version,
    "service.instance.id": crypto.randomUUID(),
    "process.pid": pid,
    "process.runtime.name": runtime,
    "process.runtime.version": runtimeVersion,
  });
  return defaultResource()
    .merge(own)
    .merge(detectResources({ detectors: [envDetector] }));
}

async function traceProvider(settings: TelemetrySettings, env: Environment, resource: Resource) {
  const sdk = await import("@opentelemetry/sdk-trace");
  const { OTLPTraceExporter } = await import("@opentelemetry/exporter-trace-otlp-proto");
  const { AlwaysOffSampler, AlwaysOnSampler, ParentBasedSampler, TraceIdRatioBasedSampler } = sdk;
  const { sampler: name, ratio } = settings;
  const root = name.endsWith("traceidratio")
    ? new TraceIdRatioBasedSampler(ratio)
    : name.endsWith("always_on")
      ? new AlwaysOnSampler()
      : new AlwaysOffSampler();
  return new sdk.TracerProvider({
    resource,
    sampler: name.startsWith("parentbased_") ? new ParentBasedSampler({ root }) : root,
    spanProcessors: [
      new sdk.BatchSpanProcessor({ exporter: new OTLPTraceExporter(), ...batching("BSP", env) }),
    ],
  });
}

async function meterProvider(
  registry: MetricsRegistry,
  { version }: Service,
  env: Environment,
  resource: Resource,
) {
  const sdk = await import("@opentelemetry/sdk-metrics");
  const { OTLPMetricExporter } = await import("@opentelemetry/exporter-metrics-otlp-proto");
  const interval = numberIn(env, "OTEL_METRIC_EXPORT_INTERVAL") ?? 60_000;
  const timeout = numberIn(env, "OTEL_METRIC_EXPORT_TIMEOUT") ?? 30_000;
  const scope = { name: "spillway", version };
  const reader = new sdk.PeriodicExportingMetricReader({
    exporter: new OTLPMetricExporter(),
    exportIntervalMillis: interval,
    exportTimeoutMillis: Math.min(timeout, interval),
    metricProducers: [metricProducer(registry, scope, Date.now(), { constants: sdk, resource })],
  });
  return new sdk.MeterProvider({ resource, readers: [reader] });
}

async function loggerProvider(env: Environment, resource: Resource) {
  const { BatchLogRecordProcessor, LoggerProvider } = await import("@opentelemetry/sdk-logs");
  const { OTLPLogExporter } = await import("@opentelemetry/exporter-logs-otlp-proto");
  const exporter = new OTLPLogExporter();
  const processor = new BatchLogRecordProcessor({ exporter, ...batching("BLRP", env) });
  return new LoggerProvider({ resource, processors: [processor] });
}

/** Returns the options of a processor in batches, as far as its variables are set. */
function batching(processor: "BSP" | "BLRP", env: Environment) {
  const options = Object.entries({
    scheduledDelayMillis: "SCHEDULE_DELAY",
    exportTimeoutMillis: "EXPORT_TIMEOUT",
    maxQueueSize: "MAX_QUEUE_SIZE",
    maxExportBatchSize: "MAX_EXPORT_BATCH_SIZE",
  }).map(([option, name]) => [option, numberIn(env, `OTEL_${processor}_${name}`)] as const);
  return Object.fromEntries(options.filter(([, value]) => value !== undefined));
}

function recordOf(
  { timeMs, level, message, category, properties }: LogEntry,
  {
    SeverityNumber,
  }: { readonly SeverityNumber: typeof import("@opentelemetry/api").SeverityNumber },
): LogRecord {
  const { event, ...others } = properties;
  const severities = {
    debug: SeverityNumber.DEBUG,
    info: SeverityNumber.INFO,
    warn: SeverityNumber.WARN,
    error: SeverityNumber.ERROR,
  };
  const attributes = Object.entries(others).map(([name, value]) => [
    name,
    ["string", "number", "boolean"].includes(typeof value) ? value : reasonOf(value),
  ]);
  return {
    timestamp: timeMs,
    severityNumber: severities[level],
    severityText: level,
    body: message,
    ...(typeof event === "string" && { eventName: event }),
    attributes: { ...Object.fromEntries(attributes), "log.category": category.join(".") },
  };
}
