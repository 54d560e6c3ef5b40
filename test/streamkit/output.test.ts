import { describe, expect, test } from "bun:test";
import { componentSchema } from "../../src/config/describe.ts";
import { thrown } from "./fake-engine.ts";
import { OutputHarness } from "./output-harness.ts";

/** What a tool gets that reads the component as JSON. */
function json(value: unknown): unknown {
  return JSON.parse(JSON.stringify(value));
}

describe("Output's JSON", () => {
  test("Meta has StreamKit's names", () => {
    const { output } = new OutputHarness({ name: "feed" });
    expect(json(output.meta())).toEqual({
      name: "feed",
      type: "output",
      description: "WebSocket server output",
      version: "1.2.3",
    });
  });

  test("Meta's name is the seed's when none is configured", () => {
    expect(new OutputHarness().output.meta().name).toBe("websocket-output");
  });

  test("InputPorts are one per subject", () => {
    const { output } = new OutputHarness({ subjects: ["orders.>", "trades.*"] });
    expect(json(output.inputPorts())).toEqual([
      {
        name: "nats_input_0",
        direction: "input",
        required: false,
        description: "NATS subject subscription for orders.>",
        config: { type: "nats", data: { subject: "orders.>" } },
      },
      {
        name: "nats_input_1",
        direction: "input",
        required: false,
        description: "NATS subject subscription for trades.*",
        config: { type: "nats", data: { subject: "trades.*" } },
      },
    ]);
  });

  test("OutputPorts are the one endpoint", () => {
    const { output } = new OutputHarness({ host: "::1", port: 9000, path: "/events" });
    expect(json(output.outputPorts())).toEqual([
      {
        name: "websocket_endpoint",
        direction: "output",
        required: false,
        description: "WebSocket endpoint at ws://[::1]:9000/events",
        config: { type: "network", data: { protocol: "websocket", host: "::1", port: 9000 } },
      },
    ]);
  });

  test("ConfigSchema is the configuration's own", () => {
    expect(new OutputHarness().output.configSchema()).toEqual(componentSchema());
  });

  test("Health before the first start has neither an uptime nor an error", () => {
    expect(json(new OutputHarness().output.health())).toEqual({
      healthy: false,
      last_check: "2026-01-01T00:00:00.000Z",
      error_count: 0,
      uptime: 0,
    });
  });

  test("Health of one that runs counts its engine's errors", async () => {
    const harness = new OutputHarness();
    await harness.output.start();
    harness.engine.meter.countError("write_timeout", "a client read nothing");
    harness.clock.advance(1500);
    expect(json(harness.output.health())).toEqual({
      healthy: true,
      last_check: "2026-01-01T00:00:01.500Z",
      error_count: 1,
      last_error: "a client read nothing",
      uptime: 1_500_000_000,
    });
  });

  test("DataFlow before the first start is all zero", () => {
    expect(json(new OutputHarness().output.dataFlow())).toEqual({
      messages_per_second: 0,
      bytes_per_second: 0,
      error_rate: 0,
      last_activity: "0001-01-01T00:00:00Z",
    });
  });
});

describe("Output", () => {
  test("shows the port that was taken while it runs, and the configured one afterwards", async () => {
    const harness = new OutputHarness({ port: 0 });
    const port = (): number | undefined => harness.output.outputPorts()[0]?.config.data.port;
    expect(port()).toBe(0);
    await harness.output.start();
    expect(port()).toBe(40_000);
    await harness.output.stop(1000);
    expect(port()).toBe(0);
  });

  test("measures its uptime since the last start, in whole nanoseconds", async () => {
    const harness = new OutputHarness();
    await harness.output.start();
    harness.clock.advance(60_000);
    await harness.output.stop(1000);
    expect(harness.output.health().uptime).toBe(0);
    await harness.output.start();
    harness.clock.advance(0.1234567);
    expect(harness.output.health().uptime).toBe(123_457);
  });

  test("measures its data flow while it runs, and leaves no timer", async () => {
    const harness = new OutputHarness();
    await harness.output.start();
    harness.engine.meter.messagesReceived += 40;
    harness.clock.advance(4000);
    expect(harness.output.dataFlow().messages_per_second).toBe(10);
    await harness.output.stop(1000);
    expect(harness.output.dataFlow().messages_per_second).toBe(0);
    expect(harness.clock.timers).toBe(0);
  });

  test("initializes with the default configuration", () => {
    expect(() => new OutputHarness().output.initialize()).not.toThrow();
  });

  test("initializes with every key set", () => {
    const { output } = new OutputHarness({
      host: "0.0.0.0",
      natsUrls: ["nats://one:4222", "tls://two:4222"],
      natsUser: "spillway",
      natsPassword: "secret",
      natsTlsCertFile: "/cert.pem",
      natsTlsKeyFile: "/key.pem",
      natsTlsCaFile: "/ca.pem",
      allowedOrigins: ["https://app.example.com", "*"],
      headers: ["Trace-Id"],
      writeTimeoutMs: 1500.25,
      flushIntervalMs: 0,
      publish: undefined,
    });
    expect(() => output.initialize()).not.toThrow();
  });

  test("does not initialize with a configuration that no file may have", () => {
    for (const [wrong, says] of [
      [{ port: 70_000 }, '"port" is 70000'],
      [{ path: "ws" }, '"path" is "ws"'],
      [{ subjects: [] }, '"subjects" is an empty list'],
      [{ subjects: ["a..b"] }, '"subjects" is "a..b"'],
      [{ ackTimeoutMs: 0 }, '"ack_timeout" is "0s"'],
      [{ writeTimeoutMs: Number.NaN }, '"write_timeout" is NaN'],
      [{ deliveryMode: "exactly-once" }, '"delivery_mode" is "exactly-once"'],
    ] as const) {
      const error = thrown(() => new OutputHarness(wrong as object).output.initialize());
      expect([error.class, error.code]).toEqual(["invalid", "CONFIG_INVALID"]);
      expect(error.message).toStartWith("Output.initialize: check configuration failed: Cannot");
      expect(error.message).toContain(says);
    }
  });

  test("has its engine show what the gateway says of itself", async () => {
    const harness = new OutputHarness();
    await harness.output.start();
    expect(harness.report).toBe(harness.gateway);
    expect(harness.output.meta()).toEqual(harness.gateway.meta());
    expect(harness.output.health()).toEqual(harness.gateway.health());
  });
});
