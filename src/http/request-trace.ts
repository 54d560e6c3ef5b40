import type { Context, MiddlewareHandler } from "hono";
import type { TraceHeaders } from "../core/ports/tracer.ts";
import { refusalOf } from "./problem.ts";

/** A request, as its trace tells it. */
export interface TracedRequest {
  readonly method: string;
  /** The pattern of its path. */
  readonly route: string;
  readonly path: string;
  readonly address: string;
  /** Returns the value of a header. */
  header(name: string): string | undefined;
}

/** Records requests. Its methods return at once and never throw. */
export interface RequestTracer {
  request(request: TracedRequest): RequestTrace;
}

/** Records a request until it is answered. */
export interface RequestTrace {
  /** The headers with which a message continues its trace. */
  readonly headers: TraceHeaders;
  /** @param reason why it was refused. */
  end(status: number, reason: string | undefined): void;
}

const TRACE = "spillwayTrace";
const NONE: TraceHeaders = new Map();

/** Returns the headers with which a message continues the trace of its request. */
export function traceHeadersOf(c: Context): TraceHeaders {
  return c.get(TRACE) ?? NONE;
}

/** Records the requests to a route; stands before all else. */
export function traceRequests(
  route: string,
  tracer: RequestTracer,
  sockets: { addressOf(c: Context): string },
): MiddlewareHandler {
  return async (c, next) => {
    const { method, path } = c.req;
    const header = (name: string): string | undefined => c.req.header(name);
    const trace = tracer.request({ method, route, path, address: sockets.addressOf(c), header });
    c.set(TRACE, trace.headers);
    await next();
    const { status } = c.res;
    // The runtime itself answers an upgrade; what stands here then differs among runtimes.
    const isUpgraded = status < 300 && header("upgrade")?.toLowerCase() === "websocket";
    trace.end(isUpgraded ? 101 : status, refusalOf(c));
  };
}
