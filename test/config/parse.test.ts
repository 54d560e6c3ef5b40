import { describe, expect, test } from "bun:test";
import { defaultConfig, parseConfig } from "../../src/config/parse.ts";
import { refusalOf, several } from "./refusal.ts";

describe("Configuration", () => {
  test("of nothing has the documented defaults", () => {
    expect(defaultConfig()).toEqual({
      name: "websocket-output",
      host: "127.0.0.1",
      port: 8080,
      path: "/ws",
      subjects: [">"],
      requiredSubjects: [],
      streams: [],
      startFrom: "new",
      maxReplayMessages: 1_000_000,
      maxReplayBytes: 1024 ** 3,
      natsUrls: [],
      accounts: [],
      maxOpenAccounts: 100,
      accountLingerMs: 60_000,
      deliveryMode: "at-most-once",
      ackTimeoutMs: 5000,
      maxDeliver: 5,
      redeliveryBackoffMs: 1000,
      maxInflightMessages: 256,
      maxInflightBytes: 4_194_304,
      sessionTtlMs: 60_000,
      maxSessions: 10_000,
      maxSessionBytes: 67_108_864,
      maxDurables: 1000,
      maxDurablesPerSub: 100,
      durableTtlMs: 86_400_000,
      writeTimeoutMs: 5000,
      readTimeoutMs: 60_000,
      pingIntervalMs: 30_000,
      flushIntervalMs: "auto",
      sockets: "auto",
      workers: 1,
      drainDelayMs: 0,
      drainWindowMs: 10_000,
      stopTimeoutMs: 10_000,
      maxClients: 10_000,
      maxFrameBytes: 65_536,
      maxFramesPerSecond: 1000,
      requestTimeoutMs: 30_000,
      maxMalformedFrames: 32,
      highWaterBytes: 1_048_576,
      lowWaterBytes: 262_144,
      maxLagMs: 2000,
      targetLagMs: 250,
      markIntervalMs: 1000,
      markBytes: 64_000,
      maxQueueBytes: 16_777_216,
      maxQueueMessages: 100_000,
      maxQueueAgeMs: 60_000,
      maxPublishesPerSecond: 100,
      maxRequestTimeoutMs: 10_000,
      publisherHeader: false,
      presenceTtlMs: 30_000,
      presenceGraceMs: 10_000,
      presenceIntervalMs: 1000,
      maxPresenceWatches: 16,
      maxPresenceEntries: 100_000,
      trustedProxies: [],
      forwardedHeader: "x-forwarded-for",
      maxTotalQueueBytes: undefined,
      policy: "disconnect",
      allowedPolicies: ["disconnect", "drop-oldest", "drop-newest", "conflate"],
      maxSubscriptions: 64,
      upstream: "demand",
      upstreamLingerMs: 30_000,
      maxPatterns: 1024,
      maxPatternBytes: 65_536,
      maxUpstreamPatterns: 50_000,
      maxTotalPatternBytes: 67_108_864,
      maxLingering: 10_000,
      maxLingeringBytes: 1_048_576,
      ringMessages: 20_000,
      ringBytes: 8_388_608,
      compression: false,
      compressionThresholdBytes: 1024,
      payloadFormat: "raw",
      headers: [],
      allowedOrigins: [],
      allowedHosts: [],
      maxPublishBytes: 1_048_576,
      tlsMinVersion: "1.2",
      tlsClientCaFiles: [],
      tlsClientNames: [],
      adminHost: "127.0.0.1",
      clockToleranceMs: 10_000,
      maxTokenAgeMs: 86_400_000,
      authorizerTimeoutMs: 2000,
      allowQueryToken: false,
      authTimeoutMs: 5000,
      publishSubjects: [],
      requestSubjects: [],
      logLevel: "info",
      watchConfig: false,
      logFormat: "auto",
    });
  });

  test("gets fresh lists each time", () => {
    defaultConfig().subjects.push("mine");
    expect(defaultConfig().subjects).toEqual([">"]);
  });

  test("takes every key of a file and gives it the code's name", () => {
    const config = parseConfig({
      name: "edge-1",
      host: "0.0.0.0",
      port: 9000,
      path: "/dashboard/stream",
      subjects: ["metrics.>", "events.*"],
      nats_url: ["nats://a:4222", "tls://b"],
      delivery_mode: "at-most-once",
      ack_timeout: "1m30s",
      max_deliver: 3,
      redelivery_backoff: "0s",
      max_inflight_messages: 10,
      max_inflight_bytes: 1000,
      session_ttl: "5m",
      max_sessions: 0,
      max_session_bytes: 0,
      dead_letter_subject: "dead.letters",
      max_durables: 0,
      durable_ttl: "1h",
      max_replay_age: "3s",
      write_timeout: "250ms",
      read_timeout: "1h",
      ping_interval: "1.5s",
      flush_interval: "0s",
      stop_timeout: "500ms",
      max_clients: 5,
      max_frame_bytes: 1024,
      max_malformed_frames: 0,
      high_water_bytes: 2,
      low_water_bytes: 1,
      max_queue_bytes: 3,
      max_queue_messages: 4,
      payload_format: "annotated",
      headers: ["Nats-Msg-Id"],
      allowed_origins: ["*"],
      allowed_hosts: ["app.example.com"],
      publish: false,
      max_publish_bytes: 6,
      nats_user: "u",
      nats_password: "p",
      nats_tls_ca_file: "ca.pem",
      nats_tls_cert_file: "cert.pem",
      nats_tls_key_file: "key.pem",
      log_level: "debug",
      watch_config: true,
      log_format: "json",
    });
    expect(config).toMatchObject({
      name: "edge-1",
      natsUrls: ["nats://a:4222", "tls://b"],
      ackTimeoutMs: 90_000,
      redeliveryBackoffMs: 0,
      sessionTtlMs: 300_000,
      deadLetterSubject: "dead.letters",
      maxDurables: 0,
      durableTtlMs: 3_600_000,
      maxReplayAgeMs: 3000,
      writeTimeoutMs: 250,
      readTimeoutMs: 3_600_000,
      pingIntervalMs: 1500,
      flushIntervalMs: 0,
      maxMalformedFrames: 0,
      allowedOrigins: ["*"],
      allowedHosts: ["app.example.com"],
      publish: false,
      natsPassword: "p",
      natsTlsKeyFile: "key.pem",
      watchConfig: true,
      logFormat: "json",
    });
  });

  test.each(["nats_nkey_file", "nats_creds_file", "nats_token"])("may log in by %s", (key) => {
    const config = parseConfig({ nats_url: "nats://a", [key]: "x" });
    expect(Object.values(config)).toContain("x");
  });

  test.each([1, 80, 443, 1023, 65_535])("may have the port %d, if the system allows it", (port) => {
    expect(parseConfig({ port }).port).toBe(port);
  });

  test("may name its schema, in a flow too", () => {
    const $schema = "http://localhost:8080/schema.json";
    expect(parseConfig({ $schema, path: "/a" }).path).toBe("/a");
    const config = { $schema, path: "/b" };
    const components = { a: { type: "output", name: "websocket", enabled: true, config } };
    expect(parseConfig({ $schema, components }).path).toBe("/b");
  });

  test("may have a login in a NATS URL", () => {
    expect(parseConfig({ nats_url: "nats://u:p@a:4222" }).natsUrls).toEqual(["nats://u:p@a:4222"]);
  });
});

const PORT = "0 (any free port) or an integer from 1 to 65535";
const PATH =
  'a path that begins with "/", like "/live/ws", of letters, digits and - . _ ~, other than the gateway\'s own (/ /livez /readyz /healthz /metrics /schema.json /asyncapi.json /client.js /publish)';
const TOTAL = 'a size from "1B" to "1TiB": a number of bytes, or a text like "64KiB" or "64kB"';
const TIMEOUT = 'a duration from "1ms" to "24h"';

describe("Configuration is refused", () => {
  test.each<[unknown, string]>([
    [{ prot: 9000 }, '"prot" is not a known key; did you mean "port"?'],
    [{ writeTimeout: "5s" }, '"writeTimeout" is not a known key; did you mean "write_timeout"?'],
    [{ pass_through: true }, '"pass_through" is not a known key; did you mean "passthrough"?'],
    [{ $shcema: "x" }, '"$shcema" is not a known key; did you mean "$schema"?'],
    [{ $schema: 5 }, '"$schema" is 5 but must be a text'],
    [JSON.parse('{"__proto__":{"port":9000}}'), '"__proto__" is not a known key'],
    [{ constructor: 1 }, '"constructor" is not a known key'],
    [{ "a\nb": 1 }, '"a\\nb" is not a known key'],
    [{ port: 70_000 }, `"port" is 70000 but must be ${PORT}`],
    [{ port: 65_536 }, `"port" is 65536 but must be ${PORT}`],
    [{ port: Number.NaN }, `"port" is NaN but must be ${PORT}`],
    [{ port: true }, `"port" is true but must be ${PORT}`],
    [{ port: -1 }, `"port" is -1 but must be ${PORT}`],
    [{ port: 8080.5 }, `"port" is 8080.5 but must be ${PORT}`],
    [{ port: "8080" }, `"port" is "8080" but must be ${PORT}`],
    [{ port: null }, `"port" is null but must be ${PORT}`],
    [{ port: { deep: "value" } }, `"port" is an object but must be ${PORT}`],
    [{ host: "" }, '"host" is "" but must be an IP address or a host name'],
    [{ host: "a b" }, '"host" is "a b" but must be an IP address or a host name'],
    [{ host: "a:80" }, '"host" is "a:80" but must be an IP address or a host name'],
    [{ host: "http://a" }, '"host" is "http://a" but must be an IP address or a host name'],
    [{ name: "a b" }, '"name" is "a b" but must be 1 to 64 of A-Z a-z 0-9 _ . -'],
    [{ path: "ws" }, `"path" is "ws" but must be ${PATH}`],
    [{ path: "/ws?x" }, `"path" is "/ws?x" but must be ${PATH}`],
    [{ path: "/w s" }, `"path" is "/w s" but must be ${PATH}`],
    [{ path: "/:id" }, `"path" is "/:id" but must be ${PATH}`],
    [
      { subjects: [] },
      '"subjects" is an empty list but must be a list of one or more NATS subjects',
    ],
    [{ subjects: ">" }, '"subjects" is ">" but must be a list of one or more NATS subjects'],
    [{ subjects: ["a..b"] }, '"subjects" is "a..b" but must not contain an empty token'],
    [{ subjects: ["a", ">.b"] }, '"subjects[1]" is ">.b" but may have ">" only as its last token'],
    [{ ack_timeout: "0s" }, `"ack_timeout" is "0s" but must be ${TIMEOUT}`],
    [{ write_timeout: "0" }, `"write_timeout" is "0" but must be ${TIMEOUT}`],
    [{ read_timeout: "-5s" }, `"read_timeout" is "-5s" but must be ${TIMEOUT}`],
    [
      { stop_timeout: 5 },
      `"stop_timeout" is 5 but must be ${TIMEOUT}; it needs a unit, like "5s" or "5ms"`,
    ],
    [
      { ping_interval: "1.5" },
      `"ping_interval" is "1.5" but must be ${TIMEOUT}; it needs a unit, like "1.5s" or "1.5ms"`,
    ],
    [{ ping_interval: null }, `"ping_interval" is null but must be ${TIMEOUT}`],
    [{ ping_interval: "" }, `"ping_interval" is "" but must be ${TIMEOUT}`],
    [{ ping_interval: ["5s"] }, `"ping_interval" is a list of 1 but must be ${TIMEOUT}`],
    [{ max_total_queue_bytes: "" }, `"max_total_queue_bytes" is "" but must be ${TOTAL}`],
    [{ max_clients: "many" }, '"max_clients" is "many" but must be an integer from 1 to 1000000'],
    [{ compression: 1 }, '"compression" is 1 but must be true or false'],
    [{ compression: "true" }, '"compression" is "true" but must be true or false'],
    [{ publish: null }, '"publish" is null but must be true or false'],
    [{ subjects: null }, '"subjects" is null but must be a list of one or more NATS subjects'],
    [{ subjects: {} }, '"subjects" is an object but must be a list of one or more NATS subjects'],
    [{ subjects: ["a", 5] }, '"subjects[1]" is 5 but must be a NATS subject'],
    [{ nats_token: "" }, '"nats_token" must be a text that is not empty'],
    [{ nats_user: 5 }, '"nats_user" is 5 but must be a text that is not empty'],
    [{ log_level: null }, '"log_level" is null but must be "debug", "info", "warn" or "error"'],
    ...["25d", "5sec", "5 s"].map((text): [object, string] => [
      { ack_timeout: text },
      `"ack_timeout" is "${text}" but must be ${TIMEOUT}, written like "250ms", "5s" or "1m30s"`,
    ]),
    [{ ack_timeout: "600h" }, `"ack_timeout" is "600h" but must be ${TIMEOUT}`],
    [
      { flush_interval: "2s" },
      '"flush_interval" is "2s" but must be "auto" or a duration from "0s" to "1s"',
    ],
    [
      { flush_interval: "fast" },
      '"flush_interval" is "fast" but must be "auto" or a duration from "0s" to "1s", written like "250ms", "5s" or "1m30s"',
    ],
    [
      { flush_interval: 2 },
      '"flush_interval" is 2 but must be "auto" or a duration from "0s" to "1s"; it needs a unit, like "2s" or "2ms"',
    ],
    [{ max_clients: 0 }, '"max_clients" is 0 but must be an integer from 1 to 1000000'],
    [
      { max_frame_bytes: 1 },
      '"max_frame_bytes" is 1 but must be a size from "1KiB" to "16MiB": a number of bytes, or a text like "64KiB" or "64kB"',
    ],
    [{ publish: "yes" }, '"publish" is "yes" but must be true or false'],
    [
      { headers: ["a:b"] },
      '"headers" is "a:b" but must be a header name: printable ASCII without spaces and ":"',
    ],
    [{ headers: "a" }, '"headers" is "a" but must be a list of header names'],
    [
      { delivery_mode: "at-most-onec" },
      '"delivery_mode" is "at-most-onec" but must be "at-most-once" or "at-least-once"; did you mean "at-most-once"?',
    ],
    [
      { delivery_mode: "At-Least-Once" },
      '"delivery_mode" is "At-Least-Once" but must be "at-most-once" or "at-least-once"; did you mean "at-least-once"?',
    ],
    [
      { delivery_mode: "exactly-once" },
      '"delivery_mode" is "exactly-once" but must be "at-most-once" or "at-least-once"',
    ],
    [
      { log_level: "wran" },
      '"log_level" is "wran" but must be "debug", "info", "warn" or "error"; did you mean "warn"?',
    ],
  ])("with %j", (raw, problem) => {
    expect(refusalOf(raw)).toBe(`Cannot use configuration: ${problem}`);
  });

  test("with everything that is wrong, a line each", () => {
    expect(refusalOf({ nope: 1, "a\nb": 1, port: -1, name: "", subjects: ["", "a", ">."] })).toBe(
      several(
        '"name" is "" but must be 1 to 64 of A-Z a-z 0-9 _ . -',
        `"port" is -1 but must be ${PORT}`,
        '"subjects[0]" is "" but must not be empty',
        '"subjects[2]" is ">." but may have ">" only as its last token',
        '"nope" is not a known key',
        '"a\\nb" is not a known key',
      ),
    );
  });

  test("with no more lines than one reads", () => {
    const lines = refusalOf({ subjects: Array.from({ length: 5000 }, () => "") });
    expect(lines.split("\n")).toHaveLength(52);
    expect(lines).toStartWith("Cannot use configuration, as 5000 things are wrong:\n- ");
    expect(lines).toEndWith("\n… and 4950 more");
  });

  test.each([[[]], [null], ["x"], [5], [undefined]])("when it is %j", (raw) => {
    expect(refusalOf(raw)).toBe("Cannot use configuration: it must be a JSON object");
  });

  test("with a long value that is cut short", () => {
    const line = refusalOf({ host: `${"a ".repeat(5000)}` });
    expect(line.length).toBeLessThan(250);
    expect(line).toContain("…");
  });
});
