import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { headers as makeHeaders, type NatsConnection } from "nats";
import { until } from "../support/event-log.ts";
import { type Gateway, startGateway } from "../support/gateway-process.ts";
import { connectLasting } from "../support/nats-connection.ts";
import { OtlpReceiver, type ReceivedSpan } from "../support/otlp-receiver.ts";
import { contract, EVERY_RUNTIME } from "./support/contract.ts";
import { subscribe, subscribeV1, untilReady, useGateway } from "./support/gateway-fixture.ts";
import { useNats } from "./support/nats-fixture.ts";

const TRACE = "0af7651916cd43dd8448eb211c80319c";
const PARENT = "b7ad6b7169203331";

/** The header of a trace that a publisher records, or doesn't. */
function traceparent(trace = TRACE, isSampled = true): string {
  return `00-${trace}-${PARENT}-0${isSampled ? 1 : 0}`;
}

function natsHeaders(values: Record<string, string>) {
  const made = makeHeaders();
  for (const [name, value] of Object.entries(values)) made.set(name, value);
  return made;
}

/** OpenTelemetry: traces, metrics and logs at a collector. */
contract(EVERY_RUNTIME, (target) => {
  describe("Telemetry", () => {
    const nats = useNats();
    let collector: OtlpReceiver;
    let connection: NatsConnection;
    beforeAll(async () => {
      collector = new OtlpReceiver();
      connection = await connectLasting(nats.url);
    });
    afterAll(async () => {
      await connection?.close();
      await collector?.stop();
    });
    const environment = () => ({
      OTEL_EXPORTER_OTLP_ENDPOINT: collector.url,
      OTEL_BSP_SCHEDULE_DELAY: "20",
      OTEL_BLRP_SCHEDULE_DELAY: "20",
      OTEL_METRIC_EXPORT_INTERVAL: "100",
      OTEL_RESOURCE_ATTRIBUTES: "deployment.environment.name=test",
    });
    const gateway = useGateway(target, () => ({
      env: environment(),
      config: {
        ...{ nats_url: nats.url, subjects: ["t.>"], name: "traced" },
        ...{ publish_subjects: ["t.>"], request_subjects: ["svc.>"] },
      },
    }));

    const spansOf = (trace: string) => collector.spans.filter(({ traceId }) => traceId === trace);
    const spans = (trace: string, count: number): Promise<ReceivedSpan[]> =>
      until(
        `${count} spans of ${trace}`,
        async () => spansOf(trace),
        ({ length }) => length >= count,
      );
    const newTrace = () => crypto.randomUUID().replaceAll("-", "");

    test("A message whose publisher traces it has one span, whatever the number of clients", async () => {
      const clients = [await subscribe(gateway()), await subscribe(gateway())];
      const trace = newTrace();
      const [unsampled, last] = [newTrace(), newTrace()];
      nats.publish(
        "t.one",
        "1",
        natsHeaders({ Traceparent: traceparent(trace), tracestate: "a=b" }),
      );
      nats.publish("t.one", "2", natsHeaders({ traceparent: traceparent(unsampled, false) }));
      nats.publish("t.one", "3");
      nats.publish("t.one", "4", natsHeaders({ traceparent: "00-0-0-01" }));
      nats.publish("t.one", "5", natsHeaders({ traceparent: traceparent(last) }));
      for (const client of clients) await client.take(5);
      await spans(last, 1);
      const delivered = collector.spans.filter(({ name }) => name === "deliver");
      expect(delivered.map(({ traceId }) => traceId)).toEqual([trace, last]);
      const [span] = delivered;
      expect(span).toMatchObject({ parentSpanId: PARENT, kind: 5, status: 0 });
      expect(span?.attributes).toMatchObject({
        "messaging.system": "nats",
        "messaging.destination.name": "t.one",
        "messaging.message.body.size": 1,
        "spillway.audiences": 1,
        "spillway.clients.sent": 2,
        "spillway.clients.queued": 0,
      });
      expect(span!.endNanos).toBeGreaterThanOrEqual(span!.startNanos);
      expect(span?.resource).toMatchObject({
        "service.name": "spillway",
        "process.runtime.name": target.runtime,
        "deployment.environment.name": "test",
      });
      for (const client of clients) await client.close();
    });

    test("A handshake has a span, with the reason if it is refused", async () => {
      const [good, bad] = [newTrace(), newTrace()];
      const get = (query: string, trace: string, upgrade: Record<string, string>) =>
        fetch(`${gateway().url}/ws${query}`, {
          headers: { ...upgrade, traceparent: traceparent(trace) },
        });
      const refused = await get("/sse?subjects=other.x", bad, {});
      await refused.text();
      const events = await get("/sse", good, {});
      await events.body?.cancel();
      const [span] = await spans(bad, 1);
      expect(span).toMatchObject({ name: "GET /ws/sse", parentSpanId: PARENT, kind: 2 });
      expect(span?.attributes).toMatchObject({
        "http.response.status_code": refused.status,
        "error.type": `${refused.status}`,
        "url.path": "/ws/sse",
      });
      expect(span?.attributes["spillway.refusal"]).toContain("other.x");
      const [open] = await spans(good, 1);
      expect(open?.attributes).toMatchObject({ "http.response.status_code": 200 });
      const upgraded = await until(
        "span of an upgrade",
        async () => collector.spans.find(({ name }) => name === "GET /ws"),
        (found) => found !== undefined,
      );
      expect(upgraded?.attributes).toMatchObject({ "http.response.status_code": 101 });
    });

    test("A message that is posted continues its request's trace to NATS, and back to the clients", async () => {
      const trace = newTrace();
      const subscription = connection.subscribe("t.post", { max: 1 });
      await connection.flush();
      const client = await subscribe(gateway());
      const answer = await fetch(`${gateway().url}/publish/t.post`, {
        method: "POST",
        body: "1",
        headers: { traceparent: traceparent(trace) },
      });
      expect(answer.status).toBe(202);
      await client.take(1);
      const received = await spans(trace, 3);
      const named = (name: string) => received.find((span) => span.name === name);
      const [post, publish, deliver] = ["POST /publish/:subject", "publish", "deliver"].map(named);
      expect(post).toMatchObject({ parentSpanId: PARENT });
      expect(publish).toMatchObject({ parentSpanId: post?.spanId, kind: 4, status: 0 });
      expect(deliver).toMatchObject({ parentSpanId: publish?.spanId });
      for await (const { headers } of subscription) {
        expect(headers?.get("traceparent")).toBe(`00-${trace}-${publish?.spanId}-01`);
      }
      await client.close();
    });

    test("A client's frames continue its trace, and a failure is an error", async () => {
      const [trace, failed] = [newTrace(), newTrace()];
      const service = connection.subscribe("svc.echo", { max: 1 });
      const echoed = (async () => {
        for await (const msg of service) {
          msg.respond(msg.data);
          return msg.headers?.get("traceparent");
        }
      })();
      await connection.flush();
      const client = await subscribeV1(gateway());
      const request = (id: string, subject: string, of: string) =>
        client.send({
          ...{ type: "request", id, subject, payload: 1 },
          headers: { Traceparent: [traceparent(of)], tracestate: ["vendor=1"] },
        });
      request("r1", "svc.echo", trace);
      expect(await client.next("response")).toMatchObject({ id: "r1" });
      const [span] = await spans(trace, 1);
      expect(span).toMatchObject({ name: "request", kind: 3, parentSpanId: PARENT, status: 0 });
      expect(await echoed).toBe(`00-${trace}-${span?.spanId}-01`);
      request("r2", "svc.nobody", failed);
      expect(await client.next("error")).toMatchObject({ id: "r2" });
      const [error] = await spans(failed, 1);
      expect(error).toMatchObject({ status: 2, attributes: { "error.type": "no_responders" } });
      client.raw.close();
    });

    test("Metrics are those of /metrics, with the same names, labels and values", async () => {
      const client = await subscribe(gateway());
      nats.publish("t.sizes", "x".repeat(100));
      await client.take(1);
      const text = await (await gateway().get("/metrics")).text();
      const seriesValue = (series: string) =>
        Number(
          text
            .split("\n")
            .find((line) => line.startsWith(`${series} `))
            ?.split(" ")[1],
        );
      const size = 'websocket_message_size_bytes_count{component="traced"}';
      const points = await until(
        "metrics that are as new",
        async () => collector.metrics.get("websocket_message_size_bytes"),
        (found) => found?.[0]?.value === seriesValue(size),
      );
      expect(points).toHaveLength(1);
      const [{ kind, attributes, buckets, bounds, value }] = points as [
        (typeof points & object)[0],
      ];
      expect({ kind, attributes }).toEqual({
        kind: "histogram",
        attributes: { component: "traced" },
      });
      expect(buckets.reduce((sum, count) => sum + count, 0)).toBe(value);
      const upTo = (bound: string) =>
        seriesValue(`websocket_message_size_bytes_bucket{component="traced",le="${bound}"}`);
      expect(buckets.map((_, index) => bounds[index] ?? "+Inf").map((le) => upTo(`${le}`))).toEqual(
        buckets.map((_, index) => buckets.slice(0, index + 1).reduce((a, b) => a + b, 0)),
      );
      const withSeries = new Set(
        Array.from(text.matchAll(/^(\w+?)(?:_bucket|_sum|_count)?(?:\{| )/gm), ([, name]) => name),
      );
      const names = Array.from(text.matchAll(/^# TYPE (\w+)/gm), ([, name = ""]) => name);
      expect([...collector.metrics.keys()].sort()).toEqual(
        names.filter((name) => withSeries.has(name)).sort(),
      );
      const dropped = collector.metrics.get("websocket_messages_dropped_total") ?? [];
      expect(dropped.map((point) => point.attributes.reason)).toContain("slow_consumer");
      expect(dropped.every((point) => point.kind === "counter" && point.value === 0)).toBe(true);
      const lag = collector.metrics.get("websocket_client_lag_seconds") ?? [];
      expect(lag.map((point) => [point.kind, point.attributes.quantile])).toEqual(
        ["0.5", "0.9", "0.99", "1"].map((quantile) => ["gauge", quantile]),
      );
      expect(collector.metricsResource).toMatchObject({ "service.name": "spillway" });
      await client.close();
    });

    test("The log is sent too, line by line", async () => {
      const listening = await until(
        "line of the log",
        async () => collector.logs.find(({ event }) => event === "listening"),
        (found) => found !== undefined,
      );
      expect(listening).toMatchObject({
        severity: 9,
        body: expect.stringContaining("Listening"),
        attributes: { port: gateway().port, "log.category": "spillway" },
      });
    });

    test("What happened last is sent before the process ends", async () => {
      const last = new OtlpReceiver();
      const short = await startGateway(target, {
        env: { OTEL_EXPORTER_OTLP_ENDPOINT: last.url, OTEL_SERVICE_NAME: "short" },
        config: { subjects: ["t.>"] },
      });
      await fetch(`${short.url}/publish/t.x`, { method: "POST", body: "1" });
      expect(await short.stop()).toEqual({ code: 0, signal: null });
      const received = last.metrics.get("websocket_client_messages_published_total");
      expect(received?.map(({ value }) => value)).toEqual([1]);
      expect(last.spans.map(({ name }) => name)).toContain("publish");
      expect(last.logs.map(({ event }) => event)).toContain("stopped");
      expect(last.metricsResource).toMatchObject({ "service.name": "short" });
      await last.stop();
    });

    test("OTEL_TRACES_SAMPLER decides what is recorded; what isn't goes on unsampled", async () => {
      const other = new OtlpReceiver();
      const off = await startGateway(target, {
        env: {
          ...environment(),
          OTEL_EXPORTER_OTLP_ENDPOINT: other.url,
          OTEL_TRACES_SAMPLER: "always_off",
        },
        config: { nats_url: nats.url, subjects: ["t.>"], publish_subjects: ["t.>"] },
      });
      await untilReady(off);
      const subscription = connection.subscribe("t.off", { max: 1 });
      await connection.flush();
      const trace = newTrace();
      const headers = { traceparent: traceparent(trace) };
      const answer = await fetch(`${off.url}/publish/t.off`, {
        method: "POST",
        body: "1",
        headers,
      });
      expect(answer.status).toBe(202);
      for await (const { headers } of subscription) {
        expect(headers?.get("traceparent")).toMatch(new RegExp(`^00-${trace}-[0-9a-f]{16}-00$`));
      }
      await off.stop();
      expect(other.spans).toEqual([]);
      await other.stop();
    });

    test("A collector that takes nothing is logged, and costs nothing else", async () => {
      const deaf = new OtlpReceiver();
      deaf.status = 400;
      const silent = await startGateway(target, {
        env: { ...environment(), OTEL_EXPORTER_OTLP_ENDPOINT: deaf.url },
        config: { subjects: ["t.>"] },
      });
      const line = await silent.waitForLog(
        ({ properties }) => properties.event === "telemetry_failed",
      );
      expect(line.level).toBe("WARN");
      const client = await subscribe(silent);
      await fetch(`${silent.url}/publish/t.x`, { method: "POST", body: "1" });
      await client.take(1);
      expect(await silent.stop()).toEqual({ code: 0, signal: null });
      expect(deaf.requests).toBeGreaterThan(0);
      await deaf.stop();
    });
  });

  test("Each of several workers sends its own telemetry", async () => {
    const collector = new OtlpReceiver();
    // Deno may start programs only if it is told so.
    const command = () =>
      target.command().flatMap((word) => (word === "run" ? ["run", "--allow-run"] : [word]));
    const starter = target.runtime === "deno" ? { ...target, command } : target;
    const gateway = await startGateway(starter, {
      env: { OTEL_EXPORTER_OTLP_ENDPOINT: collector.url, OTEL_METRIC_EXPORT_INTERVAL: "100" },
      config: { subjects: ["t.>"], workers: 2 },
    });
    await until(
      "metrics of two processes",
      async () => collector.instances.size,
      (size) => size === 2,
    );
    expect(await gateway.stop()).toEqual({ code: 0, signal: null });
    const workers = new Set(collector.logs.map(({ attributes }) => attributes.worker));
    expect(workers).toEqual(new Set([undefined, 1, 2]));
    await collector.stop();
  });

  if (target.runtime === "deno") {
    test("OTEL_DENO sends traces by Deno's own means", async () => {
      const collector = new OtlpReceiver();
      const gateway: Gateway = await startGateway(target, {
        env: {
          ...{ OTEL_DENO: "true", OTEL_TRACES_EXPORTER: "otlp", OTEL_BSP_SCHEDULE_DELAY: "20" },
          OTEL_EXPORTER_OTLP_ENDPOINT: collector.url,
          OTEL_LOGS_EXPORTER: "none",
          OTEL_METRICS_EXPORTER: "none",
        },
        config: { subjects: ["t.>"] },
      });
      await fetch(`${gateway.url}/publish/t.x`, {
        method: "POST",
        body: "1",
        headers: { traceparent: traceparent() },
      });
      const span = await until(
        "span of Deno",
        async () => collector.spans.find(({ name }) => name === "publish"),
        (found) => found !== undefined,
      );
      expect(span).toMatchObject({ traceId: TRACE, kind: 4 });
      await gateway.stop();
      await collector.stop();
    });
  }
});
