import { describe, expect, test } from "bun:test";
import * as Client from "spillway/client";
import { Meter } from "../../src/core/metering/meter.ts";
import { VERSION } from "../../src/gateway/version.ts";
import { FAMILIES, zeroReloads } from "../../src/metrics/families.ts";
import { until } from "../support/event-log.ts";
import { startGateway } from "../support/gateway-process.ts";
import { contract, EVERY_TARGET } from "./support/contract.ts";
import { subscribe, subscribeRaw, useGateway } from "./support/gateway-fixture.ts";
import { metric, metricsOf, untilMetric } from "./support/metrics.ts";
import { useNats } from "./support/nats-fixture.ts";
import { expectProblem } from "./support/refusal.ts";

/** What answers GET and HEAD. */
const READABLE = "/ /livez /readyz /healthz /metrics /schema.json /asyncapi.json /client.js".split(
  " ",
);

/** Series that `/metrics` must have, as they are written there but for their values. */
const PROMISED = [
  "websocket_clients_total",
  "websocket_clients_active",
  "websocket_client_connections_total",
  "websocket_clients_connected",
  "websocket_messages_received_total",
  "websocket_messages_sent_total",
  "websocket_bytes_sent_total",
  "websocket_server_uptime_seconds",
  "websocket_broadcast_duration_seconds_count",
  "websocket_message_size_bytes_count",
];

/** The HTTP side: health, metrics, schema, page, and publishing without NATS. */
contract(EVERY_TARGET, (target) => {
  describe("HTTP on the embedded source", () => {
    const gateway = useGateway(target, () => ({
      config: { subjects: ["demo.>"], max_publish_bytes: 2000 },
    }));

    const post = (subject: string, body: string | Uint8Array<ArrayBuffer>, headers = {}) =>
      fetch(`${gateway().url}/publish/${subject}`, { method: "POST", body, headers });

    test("Published message reaches the clients byte for byte: 202", async () => {
      const client = await subscribe(gateway());
      const response = await post("demo.hello", '{"n":9007199254740993}');
      expect(response.status).toBe(202);
      expect(await response.json()).toMatchObject({ subject: "demo.hello" });
      expect(await client.nextText()).toEndWith(
        '"subject":"demo.hello","payload":{"n":9007199254740993}}',
      );
      await post("demo.bytes", Uint8Array.of(0xff, 0xfe, 0x00));
      expect(await client.nextText()).toEndWith('"encoding":"base64","payload":"//4A"}');
    });

    for (const subject of ["a..b", ".a", "demo.*", "demo.>", "a%20b", "%24SYS.x", "_INBOX.x"]) {
      test(`Publish to "${decodeURIComponent(subject)}": 400`, async () => {
        const response = await post(subject, "1");
        expect(response.status).toBe(400);
        expectProblem(400, response.headers.get("content-type"), await response.text());
      });
    }

    test("Publish to a subject that the gateway does not carry: 400", async () => {
      const response = await post("other.x", "1");
      expect(response.status).toBe(400);
      const body = await response.text();
      expectProblem(400, response.headers.get("content-type"), body);
      expect(body).toContain("outside the configured subjects");
    });

    test("Publish of more than max_publish_bytes: 413", async () => {
      const response = await post("demo.x", "x".repeat(2001));
      expect(response.status).toBe(413);
      expect(response.headers.get("connection")).toBe("close");
      expectProblem(413, response.headers.get("content-type"), await response.text());
    });

    test("Publish to no subject: 400, and GET of it: 405", async () => {
      const response = await post("", "1");
      expect(response.status).toBe(400);
      const body = await response.text();
      expectProblem(400, response.headers.get("content-type"), body);
      expect(body).toContain("must not be empty");
      const read = await gateway().get("/publish/");
      expect([read.status, read.headers.get("allow")]).toEqual([405, "POST"]);
    });

    test("Publish from a page of another origin: 403", async () => {
      const response = await post("demo.x", "1", { Origin: "https://evil.example" });
      expect(response.status).toBe(403);
      expectProblem(403, response.headers.get("content-type"), await response.text());
    });

    test("GET of the publish path: 405 with Allow", async () => {
      const response = await gateway().get("/publish/demo.x");
      expect(response.status).toBe(405);
      expect(response.headers.get("allow")).toBe("POST");
    });

    test("/livez and /readyz answer 200", async () => {
      expect((await gateway().get("/livez")).status).toBe(200);
      const ready = await gateway().get("/readyz");
      expect(ready.status).toBe(200);
      expect(await ready.json()).toMatchObject({ ready: true, reasons: [] });
    });

    test("/healthz shows StreamKit's health and data flow", async () => {
      const response = await gateway().get("/healthz");
      expect(response.status).toBe(200);
      expect(await response.json()).toMatchObject({
        health: {
          healthy: true,
          last_check: expect.stringMatching(/^\d{4}-\d\d-\d\dT/),
          error_count: expect.any(Number),
          uptime: expect.anything(),
        },
        data_flow: {
          messages_per_second: expect.any(Number),
          bytes_per_second: expect.any(Number),
          error_rate: expect.any(Number),
          last_activity: expect.anything(),
        },
      });
    });

    test("/schema.json is the schema of the configuration", async () => {
      const response = await gateway().get("/schema.json");
      expect(response.headers.get("content-type")).toContain("application/schema+json");
      const schema = await response.json();
      expect(schema).toMatchObject({
        properties: { port: { default: 8080 }, path: { default: "/ws" } },
      });
    });

    test("/ is a page that knows where the WebSocket is", async () => {
      const response = await gateway().get("/");
      expect(response.headers.get("content-type")).toStartWith("text/html");
      const page = await response.text();
      expect(page).toStartWith("<!doctype html>");
      expect(page).toContain("/ws");
    });

    test("/client.js is the client as a module of its own, which connects and gets a message", async () => {
      const response = await gateway().get("/client.js");
      expect(Object.fromEntries(response.headers)).toMatchObject({
        "content-type": "text/javascript; charset=utf-8",
        "cache-control": "no-cache",
        "spillway-version": VERSION,
        etag: expect.stringMatching(/^"[\w-]{22}"$/),
      });
      const text = await response.text();
      expect(text).toStartWith(`/* spillway/client ${VERSION} */\n`);
      const script: typeof Client = await import(`data:text/javascript;base64,${btoa(text)}`);
      expect(Object.keys(script).sort()).toEqual(Object.keys(Client).sort());
      await using connection = script.connect(gateway().wsUrl);
      const messages = connection.subscribe("demo.>", { from: "new" });
      await messages.ready;
      await post("demo.script", '{"n":1}');
      for await (const item of messages) {
        expect(item).toMatchObject({ type: "data", subject: "demo.script", payload: { n: 1 } });
        break;
      }
    });

    test("/client.js is asked for again: 304; with the version in ?v=, it may be kept", async () => {
      const ask = async (query: string, headers: Record<string, string> = {}) => {
        const response = await fetch(`${gateway().url}/client.js${query}`, { headers });
        const { length } = await response.text();
        return [response.status, response.headers.get("cache-control"), length > 1000];
      };
      const etag = (await gateway().get("/client.js")).headers.get("etag")!;
      const kept = "public, max-age=31536000, immutable";
      expect(await ask("", { "If-None-Match": etag })).toEqual([304, "no-cache", false]);
      expect(await ask("", { "If-None-Match": `"a", W/${etag}` })).toEqual([
        304,
        "no-cache",
        false,
      ]);
      expect(await ask("", { "If-None-Match": '"a"' })).toEqual([200, "no-cache", true]);
      expect(await ask(`?v=${VERSION}`)).toEqual([200, kept, true]);
      expect(await ask("?v=0.0.0")).toEqual([200, "no-cache", true]);
    });

    test("HEAD answers like GET, without a body", async () => {
      for (const path of READABLE) {
        const response = await fetch(gateway().url + path, { method: "HEAD" });
        expect([path, response.status, await response.text()]).toEqual([path, 200, ""]);
      }
    });

    test("A method that a path does not know: 405 with Allow", async () => {
      for (const path of READABLE) {
        const response = await fetch(gateway().url + path, { method: "DELETE" });
        expect([path, response.status]).toEqual([path, 405]);
        expect(response.headers.get("allow")).toBe("GET, HEAD");
        expectProblem(405, response.headers.get("content-type"), await response.text());
      }
    });
  });

  describe("HTTP beside NATS", () => {
    const nats = useNats();
    const gateway = useGateway(target, () => ({
      config: { nats_url: nats.url, subjects: ["m.>"], name: "dashboard" },
    }));

    test("Publishing is off", async () => {
      const response = await fetch(`${gateway().url}/publish/m.x`, { method: "POST", body: "1" });
      expect([404, 405]).toContain(response.status);
      expectProblem(response.status, response.headers.get("content-type"), await response.text());
    });

    test("/metrics is Prometheus text with the promised names, each with its component", async () => {
      const response = await gateway().get("/metrics");
      expect(response.headers.get("content-type")).toStartWith("text/plain");
      const text = await response.text();
      for (const name of PROMISED) expect(text).toContain(`\n${name}{component="dashboard"}`);
      expect(text).toContain("\n# TYPE websocket_errors_total counter");
      expect(text).toContain("\n# TYPE websocket_client_disconnections_total counter");
      expect(text).toContain("\n# TYPE websocket_broadcast_duration_seconds histogram");
      expect(text).toContain("\n# TYPE websocket_message_size_bytes histogram");
    });

    test("/metrics has every metric from the start, with every value of its label at 0", async () => {
      const fresh = await startGateway(target, { config: { name: "fresh" } });
      const series = await metricsOf(fresh);
      const expected = FAMILIES.flatMap((family) => {
        if (family.kind === "histogram") return [`${family.name}_count{component="fresh"}`];
        if (family.kind !== "counter" || family.labels.length === 0) return [];
        const [label = ""] = family.labels;
        const reloads = () => ({ counts: zeroReloads() });
        const values = [...family.read({ meter: new Meter(), reloads } as never)];
        expect(values.length).toBeGreaterThan(1);
        return values.map(([[value]]) => `${family.name}{component="fresh",${label}="${value}"}`);
      });
      const isLag = (name: string) => name.includes("event_loop_lag");
      expect(expected.filter((name) => !isLag(name) && series.get(name) !== 0)).toEqual([]);
      expect(expected).toContain('websocket_errors_total{component="fresh",error_type="no_pong"}');
      expect(expected).toContain(
        'websocket_client_disconnections_total{component="fresh",disconnect_reason="vanished"}',
      );
      await fresh.stop();
    });

    test("/metrics says what runs, and what the process takes", async () => {
      const series = await metricsOf(gateway());
      const of = (name: string) => series.get(name) ?? Number.NaN;
      const info = [...series.keys()].find((name) => name.startsWith("websocket_build_info"));
      expect(info).toMatch(
        new RegExp(
          `component="dashboard",version="${VERSION}",runtime="${target.runtime}",runtime_version="v?\\d+\\.`,
        ),
      );
      expect(of("process_resident_memory_bytes")).toBeGreaterThan(10e6);
      expect(of("process_heap_bytes")).toBeGreaterThan(1e5);
      expect(of("process_cpu_seconds_total")).toBeGreaterThan(0);
      expect(of("process_start_time_seconds")).toBeWithin(
        Date.now() / 1000 - 3600,
        Date.now() / 1000,
      );
      // No series at all where it is not known: 0 would be a lie.
      const known = target.gaps.descriptors === undefined;
      for (const name of ["process_open_fds", "process_max_fds"]) {
        expect([name, series.has(name)]).toEqual([name, known]);
        if (known) expect(of(name)).toBeGreaterThan(3);
      }
      const lag = 'websocket_event_loop_lag_seconds_count{component="dashboard"}';
      await until("a measure of the event loop", metricsOf.bind(null, gateway()), (now) => {
        return (now.get(lag) ?? 0) > (series.get(lag) ?? 0);
      });
    });

    test("/metrics counts what happened", async () => {
      const read = () => metricsOf(gateway());
      const of = (series: Map<string, number>, name: string) =>
        series.get(`${name}{component="dashboard"}`) ?? Number.NaN;
      const before = await read();
      const clients = [await subscribe(gateway()), await subscribe(gateway())];
      for (let n = 0; n < 10; n++) nats.publish("m.count", `${n}`);
      for (const client of clients) await client.take(10);
      const bytes = Buffer.byteLength(clients[0]!.texts.join(""));
      const after = await read();
      const grown = (name: string) => of(after, name) - of(before, name);
      expect({
        clients: grown("websocket_clients_total"),
        active: grown("websocket_clients_active"),
        connections: grown("websocket_client_connections_total"),
        connected: grown("websocket_clients_connected"),
        received: grown("websocket_messages_received_total"),
        sent: grown("websocket_messages_sent_total"),
        bytes: grown("websocket_bytes_sent_total"),
        sizes: grown("websocket_message_size_bytes_count"),
      }).toEqual({
        clients: 2,
        active: 2,
        connections: 2,
        connected: 2,
        received: 10,
        sent: 20,
        bytes: 2 * bytes,
        sizes: 10,
      });
      expect(grown("websocket_broadcast_duration_seconds_count")).toBeGreaterThan(0);
      expect(grown("websocket_server_uptime_seconds")).toBeGreaterThanOrEqual(0);
    });

    test("/metrics counts why connections ended", async () => {
      const ended = (reason: string) =>
        metric(gateway(), "websocket_client_disconnections_total", `disconnect_reason="${reason}"`);
      const before = { client: await ended("client"), vanished: await ended("vanished") };
      const closing = await subscribe(gateway());
      const vanishing = await subscribeRaw(gateway());
      await closing.close();
      vanishing.destroy();
      await untilMetric(gateway(), "websocket_clients_active", (active) => active === 0);
      expect({ client: await ended("client"), vanished: await ended("vanished") }).toEqual({
        client: before.client + 1,
        vanished: before.vanished + 1,
      });
    });

    test("A thousand subjects add no series to /metrics", async () => {
      const client = await subscribe(gateway());
      nats.publish("m.first", "1");
      await client.next();
      const before = [...(await metricsOf(gateway())).keys()];
      for (let n = 0; n < 1000; n++) nats.publish(`m.subject.${n}`, `${n}`);
      await client.take(1000);
      expect([...(await metricsOf(gateway())).keys()]).toEqual(before);
    });
  });
});
