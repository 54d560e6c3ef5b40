import type { Context, createTraceState, SpanContext, trace } from "@opentelemetry/api";

/** The parts of OpenTelemetry's API that read and write a context. */
export interface ContextApi {
  readonly trace: Pick<typeof trace, "setSpanContext">;
  readonly createTraceState: typeof createTraceState;
  readonly ROOT_CONTEXT: Context;
}

const TRACEPARENT = "traceparent";
const TRACESTATE = "tracestate";
/** W3C Trace Context, section 3.2.2: version, trace id, parent id, flags; later versions may have more. */
const FORMAT = /^([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?$/;
/** The place of the last digit of the flags. */
const FLAGS_END = 54;
const SAMPLED = 1;
const ZEROS = /^0+$/;

/** Returns the value of a header whatever the case of its name. */
type ReadHeader = (name: string) => string | undefined;

/** Reads headers that are kept by name, as NATS has them. */
export function headerOf(
  headers: Iterable<readonly [name: string, values: readonly string[]]>,
): ReadHeader {
  return (wanted) => {
    for (const [name, values] of headers) {
      if (name.length === wanted.length && name.toLowerCase() === wanted) return values[0];
    }
    return undefined;
  };
}

/** Returns the context of the trace that headers continue; `undefined` if there is none, or it is malformed. */
export function parentIn(read: ReadHeader, api: ContextApi): Context | undefined {
  const text = read(TRACEPARENT);
  if (text === undefined) return undefined;
  const [, version = "", traceId = "", spanId = "", flags = "", more] = FORMAT.exec(text) ?? [];
  if (version === "" || version === "ff" || (version === "00" && more !== undefined))
    return undefined;
  if (ZEROS.test(traceId) || ZEROS.test(spanId)) return undefined;
  const state = read(TRACESTATE);
  return api.trace.setSpanContext(api.ROOT_CONTEXT, {
    ...{ traceId, spanId, isRemote: true },
    traceFlags: Number.parseInt(flags, 16) & SAMPLED,
    ...(state !== undefined && { traceState: api.createTraceState(state) }),
  });
}

/** The same, if the trace is recorded: the last bit of the flags says it. */
export function sampledParentIn(read: ReadHeader, api: ContextApi): Context | undefined {
  const flags = read(TRACEPARENT)?.charAt(FLAGS_END) ?? "";
  return (Number.parseInt(flags, 16) & SAMPLED) === SAMPLED ? parentIn(read, api) : undefined;
}

/** Returns the headers with which a message continues the trace of a span; none if the span has no trace. */
export function headersOf({
  traceId,
  spanId,
  traceFlags,
  traceState,
}: SpanContext): Map<string, string[]> {
  const headers = new Map<string, string[]>();
  if (ZEROS.test(traceId)) return headers;
  headers.set(TRACEPARENT, [`00-${traceId}-${spanId}-0${traceFlags & SAMPLED}`]);
  const state = traceState?.serialize() ?? "";
  if (state !== "") headers.set(TRACESTATE, [state]);
  return headers;
}
