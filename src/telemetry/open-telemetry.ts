import type { Span, Tracer as SpanMaker } from "@opentelemetry/api";
import { reasonOf } from "../core/ports/errors.ts";
import type { Log } from "../core/ports/log.ts";
import type { SourceMessage } from "../core/ports/source.ts";
import type { DeliveryTrace, OutgoingMessage, SendingTrace, Tracer } from "../core/ports/tracer.ts";
import type { RequestTrace, RequestTracer, TracedRequest } from "../http/request-trace.ts";
import { headerOf, headersOf, parentIn, sampledParentIn } from "./trace-context.ts";

type Api = typeof import("@opentelemetry/api");

/** The key under which every copy of OpenTelemetry's API keeps what the program has registered; Deno registers its own there. */
const REGISTERED = Symbol.for("opentelemetry.js.api.1");

interface Registered {
  readonly trace?: { getTracer(name: string, version: string): SpanMaker } | undefined;
}

/** Returns what the program has registered with OpenTelemetry's API, without loading it. */
export function registered(): Registered {
  return (globalThis as unknown as Record<symbol, Registered | undefined>)[REGISTERED] ?? {};
}

/**
 * Returns a tracer that gives its spans to the provider that the program has registered; `undefined` if it has none, or
 * if the API isn't installed, which is logged.
 *
 * @param version of this package.
 */
export async function createTracer(
  version: string,
  log: Log,
): Promise<(Tracer & RequestTracer) | undefined> {
  const provider = registered().trace;
  if (provider === undefined) return undefined;
  try {
    const api = await import("@opentelemetry/api");
    return new OpenTelemetryTracer(api, provider.getTracer("spillway", version));
  } catch (error) {
    log.warn("No traces are recorded, as @opentelemetry/api can't be loaded: {reason}", {
      event: "tracing_off",
      reason: reasonOf(error),
    });
    return undefined;
  }
}

/** Gives spans to OpenTelemetry. The attributes are those of its semantic conventions for messaging and HTTP. */
class OpenTelemetryTracer implements Tracer, RequestTracer {
  readonly #api: Api;
  readonly #spans: SpanMaker;

  constructor(api: Api, spans: SpanMaker) {
    this.#api = api;
    this.#spans = spans;
  }

  arrived(message: SourceMessage): DeliveryTrace | undefined {
    const { subject, data, headers, position } = message;
    if (headers === undefined) return undefined;
    // A trace begins where the message is published, not with each message that nobody traces. Spans that aren't
    // recorded take two microseconds, so none is made if the publisher doesn't record the trace.
    const parent = sampledParentIn(headerOf(headers), this.#api);
    if (parent === undefined) return undefined;
    const span = this.#spans.startSpan(
      "deliver",
      {
        kind: this.#api.SpanKind.CONSUMER,
        attributes: {
          "messaging.system": "nats",
          "messaging.operation.name": "deliver",
          "messaging.operation.type": "process",
          "messaging.destination.name": subject,
          "messaging.message.body.size": data.length,
          ...(position !== undefined && {
            "spillway.stream": position.origin.slice(0, position.origin.lastIndexOf(":")),
            "spillway.sequence": position.sequence,
          }),
        },
      },
      parent,
    );
    return span.isRecording() ? new DeliverySpan(span) : undefined;
  }

  sending({ action, subject, bytes, headers }: OutgoingMessage): SendingTrace {
    const { SpanKind, SpanStatusCode, context } = this.#api;
    const isRequest = action === "request";
    const span = this.#spans.startSpan(
      action,
      {
        kind: isRequest ? SpanKind.CLIENT : SpanKind.PRODUCER,
        attributes: {
          "messaging.system": "nats",
          "messaging.operation.name": action,
          "messaging.operation.type": "send",
          "messaging.destination.name": subject,
          "messaging.message.body.size": bytes,
        },
      },
      parentIn(headerOf(headers), this.#api) ?? context.active(),
    );
    return {
      headers: headersOf(span.spanContext()),
      end(failure) {
        if (failure !== undefined) {
          span.setAttribute("error.type", failure);
          span.setStatus({ code: SpanStatusCode.ERROR });
        }
        span.end();
      },
    };
  }

  request({ method, route, path, address, header }: TracedRequest): RequestTrace {
    const { SpanKind, SpanStatusCode, context } = this.#api;
    const span = this.#spans.startSpan(
      `${method} ${route}`,
      {
        kind: SpanKind.SERVER,
        attributes: {
          "http.request.method": method,
          "http.route": route,
          "url.path": path,
          "client.address": address,
        },
      },
      parentIn(header, this.#api) ?? context.active(),
    );
    return {
      headers: headersOf(span.spanContext()),
      end(status, reason) {
        span.setAttribute("http.response.status_code", status);
        if (status >= 400) span.setAttribute("error.type", `${status}`);
        // A refusal is the client's mistake (semantic conventions for HTTP, "Status").
        const message = reason ?? "";
        if (status >= 500) span.setStatus({ code: SpanStatusCode.ERROR, message });
        else if (message !== "") span.setAttribute("spillway.refusal", message);
        span.end();
      },
    };
  }
}

class DeliverySpan implements DeliveryTrace {
  readonly #span: Span;
  #audiences = 0;
  #live = 0;
  #queued = 0;

  constructor(span: Span) {
    this.#span = span;
  }

  wanted(live: number, queued: number): void {
    this.#audiences++;
    this.#live += live;
    this.#queued += queued;
  }

  end(): void {
    this.#span.setAttributes({
      "spillway.audiences": this.#audiences,
      "spillway.clients.sent": this.#live,
      "spillway.clients.queued": this.#queued,
    });
    this.#span.end();
  }
}
