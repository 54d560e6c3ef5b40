import { SpillwayError } from "../core/ports/errors.ts";

/** The kinds of telemetry, as the names of variables have them. */
export const SIGNALS = ["traces", "metrics", "logs"] as const;

export type Signal = (typeof SIGNALS)[number];

/** Environment variables. A variable that is empty counts as absent (OpenTelemetry, "Environment Variable Specification"). */
export type Environment = Readonly<Record<string, string | undefined>>;

const SAMPLERS = [
  "always_on",
  "always_off",
  "traceidratio",
  "parentbased_always_on",
  "parentbased_always_off",
  "parentbased_traceidratio",
] as const;

/** Numbers of a processor of batches, and the least of each. With batches of nothing, it flushes for ever, in one turn of the event loop. */
const BATCHES = [
  ["SCHEDULE_DELAY", 0],
  ["EXPORT_TIMEOUT", 0],
  ["MAX_QUEUE_SIZE", 1],
  ["MAX_EXPORT_BATCH_SIZE", 1],
] as const;

/** The variables of each signal that are numbers, and the least of each. */
const NUMBERS: Readonly<Record<Signal, readonly (readonly [string, number])[]>> = {
  traces: BATCHES.map(([name, least]) => [`OTEL_BSP_${name}`, least]),
  metrics: [
    ["OTEL_METRIC_EXPORT_INTERVAL", 1],
    ["OTEL_METRIC_EXPORT_TIMEOUT", 1],
  ],
  logs: BATCHES.map(([name, least]) => [`OTEL_BLRP_${name}`, least]),
};

/** The most characters of a resource's attribute, in its name and in its value. */
const MOST_CHARACTERS = 255;

/** The settings that the standard variables of OpenTelemetry ask for. */
export interface TelemetrySettings {
  /** The signals that are sent by OTLP, and the variable that asks for them. */
  readonly signals: ReadonlyMap<Signal, string>;
  readonly sampler: (typeof SAMPLERS)[number];
  /** The share of traces that are recorded, for samplers of a ratio. */
  readonly ratio: number;
}

/**
 * Returns what the variables `OTEL_…` ask for; `undefined` if they ask for nothing.
 *
 * Nothing is sent unless an endpoint or an exporter is named: the default of the specification would be a collector on
 * this machine.
 *
 * @throws SpillwayError `TELEMETRY_INVALID` if they ask for something that isn't there.
 */
export function readTelemetrySettings(env: Environment): TelemetrySettings | undefined {
  if (env.OTEL_SDK_DISABLED?.toLowerCase() === "true") return undefined;
  const signals = new Map<Signal, string>();
  for (const signal of SIGNALS) {
    const variable = askedBy(signal, env);
    if (variable === undefined) continue;
    expectProtocol(signal, env);
    expectEndpoint(signal, env);
    expectExporter(signal, env);
    for (const [name, least] of NUMBERS[signal]) numberIn(env, name, least);
    signals.set(signal, variable);
  }
  if (signals.size === 0) return undefined;
  expectAttributes(env);
  return { signals, ...samplerIn(env) };
}

/** Returns the variable that asks for a signal. */
function askedBy(signal: Signal, env: Environment): string | undefined {
  const name = signal.toUpperCase();
  const variable = `OTEL_${name}_EXPORTER`;
  const exporter = env[variable];
  switch (exporter) {
    case undefined:
    case "":
      return [`OTEL_EXPORTER_OTLP_${name}_ENDPOINT`, "OTEL_EXPORTER_OTLP_ENDPOINT"].find(
        (endpoint) => env[endpoint],
      );
    case "otlp":
      return variable;
    case "none":
      return undefined;
    default:
      // Prometheus asks at /metrics, whatever else is sent.
      if (signal === "metrics" && exporter === "prometheus") return undefined;
      throw invalid(variable, exporter, '"otlp" or "none"');
  }
}

function expectProtocol(signal: Signal, env: Environment): void {
  const own = `OTEL_EXPORTER_OTLP_${signal.toUpperCase()}_PROTOCOL`;
  const variable = env[own] ? own : "OTEL_EXPORTER_OTLP_PROTOCOL";
  const protocol = env[variable] || "http/protobuf";
  if (protocol !== "http/protobuf") {
    throw invalid(variable, protocol, '"http/protobuf", which collectors take at port 4318');
  }
}

/** In place of a URL that it can't read, the exporter would take its default, a collector on this machine. */
function expectEndpoint(signal: Signal, env: Environment): void {
  const own = `OTEL_EXPORTER_OTLP_${signal.toUpperCase()}_ENDPOINT`;
  const variable = env[own] ? own : "OTEL_EXPORTER_OTLP_ENDPOINT";
  const endpoint = env[variable] || "http://localhost:4318";
  if (URL.canParse(endpoint) && /^https?:$/.test(new URL(endpoint).protocol)) return;
  throw invalid(
    variable,
    endpoint.replace(/[^/]*@/, "***@"),
    'a URL that begins with "http://" or "https://"',
  );
}

/** The exporter would go on without what it can't read. */
function expectExporter(signal: Signal, env: Environment): void {
  const own = `OTEL_EXPORTER_OTLP_${signal.toUpperCase()}`;
  for (const prefix of ["OTEL_EXPORTER_OTLP", own]) {
    numberIn(env, `${prefix}_TIMEOUT`, 1);
    const compression = env[`${prefix}_COMPRESSION`] || "none";
    if (compression !== "gzip" && compression !== "none") {
      throw invalid(`${prefix}_COMPRESSION`, compression, '"gzip" or "none"');
    }
    const headers = (env[`${prefix}_HEADERS`] ?? "").split(",").filter((pair) => pair.trim());
    // They may be secrets.
    if (!headers.every((pair) => /^\s*[^=\s]+\s*=/.test(pair))) {
      throw invalid(`${prefix}_HEADERS`, "***", 'pairs like "name=value,other=value"');
    }
  }
}

/** If OpenTelemetry's package can't read one of the pairs, it goes on without all of them. */
function expectAttributes({ OTEL_RESOURCE_ATTRIBUTES: text = "" }: Environment): void {
  if (text.split(",").every((pair) => pair.trim() === "" || isAttribute(pair))) return;
  const rule = `pairs like "name=value,other=value", with %2C and %3D for "," and "=" in a value, and at most ${MOST_CHARACTERS} characters in each`;
  throw invalid("OTEL_RESOURCE_ATTRIBUTES", text, rule);
}

function isAttribute(pair: string): boolean {
  try {
    const parts = pair.split("=").map((part) => decodeURIComponent(part.trim()));
    const isShort = parts.every(({ length }) => length <= MOST_CHARACTERS);
    return parts.length === 2 && parts[0] !== "" && isShort;
  } catch {
    return false;
  }
}

function samplerIn(env: Environment): Pick<TelemetrySettings, "sampler" | "ratio"> {
  const { OTEL_TRACES_SAMPLER: named = "", OTEL_TRACES_SAMPLER_ARG: arg = "" } = env;
  const sampler = SAMPLERS.find((name) => name === (named || "parentbased_always_on"));
  if (sampler === undefined) {
    throw invalid("OTEL_TRACES_SAMPLER", named, `one of ${SAMPLERS.join(", ")}`);
  }
  const ratio = arg === "" ? 1 : Number(arg);
  if (sampler.endsWith("traceidratio") && !(ratio >= 0 && ratio <= 1)) {
    throw invalid("OTEL_TRACES_SAMPLER_ARG", arg, "a number from 0 to 1");
  }
  return { sampler, ratio };
}

function invalid(variable: string, value: string, rule: string): SpillwayError {
  const message = `${variable} is ${JSON.stringify(value)} but must be ${rule}`;
  return new SpillwayError("TELEMETRY_INVALID", message);
}

/** Returns a number of a variable; `undefined`: the default counts. */
export function numberIn(env: Environment, variable: string, least = 0): number | undefined {
  const text = env[variable];
  if (!text) return undefined;
  const value = Number(text);
  if (!(value >= least)) throw invalid(variable, text, `a number, ${least} or more`);
  return value;
}
