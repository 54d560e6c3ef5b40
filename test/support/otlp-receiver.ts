import { type ProtoMessage, readMessage } from "./protobuf.ts";

/** A span that a collector was sent. */
export interface ReceivedSpan {
  readonly name: string;
  readonly traceId: string;
  readonly spanId: string;
  readonly parentSpanId: string;
  /** 2: server, 3: client, 4: producer, 5: consumer. */
  readonly kind: number;
  readonly attributes: Readonly<Record<string, unknown>>;
  readonly resource: Readonly<Record<string, unknown>>;
  /** 2: error. */
  readonly status: number;
  readonly startNanos: bigint;
  readonly endNanos: bigint;
}

/** A value of a metric. */
export interface ReceivedPoint {
  readonly kind: "gauge" | "counter" | "histogram";
  readonly attributes: Readonly<Record<string, unknown>>;
  /** The number of values of a histogram. */
  readonly value: number;
  /** The number of values in each bucket of a histogram, and the buckets' upper bounds. */
  readonly buckets: readonly number[];
  readonly bounds: readonly number[];
}

interface ReceivedLog {
  readonly body: unknown;
  readonly event: string;
  readonly severity: number;
  readonly attributes: Readonly<Record<string, unknown>>;
}

/** Takes telemetry by OTLP over HTTP, in protobuf, as a collector does. */
export class OtlpReceiver {
  readonly spans: ReceivedSpan[] = [];
  readonly logs: ReceivedLog[] = [];
  /** The latest points of each metric. */
  readonly metrics = new Map<string, readonly ReceivedPoint[]>();
  /** The resource of the metrics that came last. */
  metricsResource: Readonly<Record<string, unknown>> = {};
  /** The processes that have sent metrics of clients. */
  readonly instances = new Set<unknown>();
  /** Its answer. */
  status = 200;
  /** The number of requests. */
  requests = 0;
  readonly #server = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    fetch: async (request) => {
      const body = new Uint8Array(await request.arrayBuffer());
      this.requests++;
      if (this.status === 200) this.#take(new URL(request.url).pathname, body);
      return new Response(null, { status: this.status });
    },
  });

  get url(): string {
    return `http://127.0.0.1:${this.#server.port}`;
  }

  async stop(): Promise<void> {
    await this.#server.stop(true);
  }

  /** The numbers of fields are those of opentelemetry-proto, in which traces, metrics and logs have the same outline. */
  #take(path: string, body: Uint8Array): void {
    for (const perResource of readMessage(body).messages(1)) {
      const resource = attributesOf(perResource.messages(1)[0]?.messages(1) ?? []);
      for (const item of perResource.messages(2).flatMap((scope) => scope.messages(2))) {
        if (path === "/v1/traces") this.spans.push(spanOf(item, resource));
        else if (path === "/v1/logs") this.logs.push(logOf(item));
        else if (path === "/v1/metrics") {
          this.metricsResource = resource;
          this.metrics.set(item.text(1), pointsOf(item));
          if (item.text(1) === "websocket_clients_active") {
            this.instances.add(resource["service.instance.id"]);
          }
        } else throw new Error(`no such path: ${path}`);
      }
    }
  }
}

function spanOf(span: ProtoMessage, resource: ReceivedSpan["resource"]): ReceivedSpan {
  return {
    traceId: span.hex(1),
    spanId: span.hex(2),
    parentSpanId: span.hex(4),
    name: span.text(5),
    kind: span.number(6),
    startNanos: span.fixed64(7),
    endNanos: span.fixed64(8),
    attributes: attributesOf(span.messages(9)),
    status: span.messages(15)[0]?.number(3) ?? 0,
    resource,
  };
}

function logOf(record: ProtoMessage): ReceivedLog {
  return {
    severity: record.number(2),
    body: anyValue(record.messages(5)[0]),
    attributes: attributesOf(record.messages(6)),
    event: record.text(12),
  };
}

function pointsOf(metric: ProtoMessage): ReceivedPoint[] {
  const points = (kind: ReceivedPoint["kind"], of: ProtoMessage[]) =>
    of.flatMap((data) => data.messages(1)).map((point) => pointOf(kind, point));
  return [
    ...points("gauge", metric.messages(5)),
    ...points("counter", metric.messages(7)),
    ...points("histogram", metric.messages(9)),
  ];
}

function pointOf(kind: ReceivedPoint["kind"], point: ProtoMessage): ReceivedPoint {
  if (kind === "histogram") {
    return {
      kind,
      attributes: attributesOf(point.messages(9)),
      value: Number(point.fixed64(4)),
      buckets: point.fixed64s(6).map(Number),
      bounds: point.doubles(7),
    };
  }
  const value = point.has(6) ? Number(point.fixed64(6)) : point.double(4);
  return { kind, attributes: attributesOf(point.messages(7)), value, buckets: [], bounds: [] };
}

function attributesOf(pairs: readonly ProtoMessage[]): Record<string, unknown> {
  return Object.fromEntries(pairs.map((pair) => [pair.text(1), anyValue(pair.messages(2)[0])]));
}

function anyValue(value: ProtoMessage | undefined): unknown {
  if (value === undefined) return undefined;
  if (value.has(1)) return value.text(1);
  if (value.has(2)) return value.number(2) === 1;
  if (value.has(3)) return value.number(3);
  return value.has(4) ? value.double(4) : undefined;
}
