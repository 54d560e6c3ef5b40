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

/** The longest that a flush may hold up a stop. */
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
    const bounded = async (each: (provider: Provider) => Promise<void>): Promise<void> => {
      let timer: ReturnType<typeof setTimeout> | undefined;
      const late = new Promise<void>((resolve) => {
        timer = setTimeout(resolve, FLUSH_MS);
      });
      // The collector's fault is logged already.
      await Promise.race([Promise.allSettled(providers.map(each)), late]);
      clearTimeout(timer);
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
          const reason = words.map(reasonOf).join(" ");
          to.warn("Cannot send telemetry: {reason} ({others} more since the last such line)", {
            event: "telemetry_failed",
            reason,
            others,
          });
        };
        const quiet = (): void => {};
        const logger = { error: report, warn: report, info: quiet, debug: quiet, verbose: quiet };
        api.diag.setLogger(logger, {
          logLevel: api.DiagLogLevel.WARN,
          suppressOverrideMessage: true,
        });
      },
      flush: () => bounded((provider) => provider.forceFlush()),
      stop: () => bounded((provider) => provider.shutdown()),
    };
  } catch (cause) {
    if (cause instanceof SpillwayError) throw cause;
    const [variable] = signals.values();
    throw new SpillwayError(
      "TELEMETRY_INVALID",
      `Cannot send telemetry, which ${variable} asks for: ${reasonOf(cause)}. Install OpenTelemetry (${INSTALL}), or unset ${variable}`,
      { cause },
    );
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
  const interval = numberIn(env, "OTEL_METRIC_EXPORT_INTERVAL", 1) ?? 60_000;
  const timeout = numberIn(env, "OTEL_METRIC_EXPORT_TIMEOUT", 1) ?? 30_000;
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
  }).map(([option, name]) => {
    // A processor with batches of nothing flushes for ever, in one turn of the event loop.
    const least = name.endsWith("_SIZE") ? 1 : 0;
    return [option, numberIn(env, `OTEL_${processor}_${name}`, least)] as const;
  });
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
