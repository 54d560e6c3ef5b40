import { describe, expect, test } from "bun:test";
import { componentSchema } from "../../src/config/describe.ts";
import { defaultConfig } from "../../src/config/parse.ts";
import { Output } from "../../src/streamkit/output.ts";
import { ManualClock } from "../core/support/manual-clock.ts";
import { FakeEngine, thrown } from "./fake-engine.ts";
import { ErrorLog, Rig } from "./output-harness.ts";

/** What a tool gets that reads the component as JSON. */
function json(value: unknown): unknown {
  return JSON.parse(JSON.stringify(value));
}

describe("Output's JSON", () => {
  test("Meta has StreamKit's names", () => {
    const { output } = new Rig({ name: "feed" });
    expect(json(output.meta())).toEqual({
      name: "feed",
      type: "output",
      description: "WebSocket server output",
      version: "1.2.3",
    });
  });

  test("Meta's name is the seed's when none is configured", () => {
    expect(new Rig().output.meta().name).toBe("websocket-output");
  });

  test("InputPorts are one per subject", () => {
    const { output } = new Rig({ subjects: ["orders.>", "trades.*"] });
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
    const { output } = new Rig({ host: "::1", port: 9000, path: "/events" });
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
    expect(new Rig().output.configSchema()).toEqual(componentSchema());
  });

  test("Health before the first start has neither an uptime nor an error", () => {
    expect(json(new Rig().output.health())).toEqual({
      healthy: false,
      last_check: "2026-01-01T00:00:00.000Z",
      error_count: 0,
      uptime: 0,
    });
  });

  test("Health of one that runs counts its engine's errors", async () => {
    const rig = new Rig();
    await rig.output.start();
    rig.engine.meter.countError("write_timeout", "a client read nothing");
    rig.clock.advance(1500);
    expect(json(rig.output.health())).toEqual({
      healthy: true,
      last_check: "2026-01-01T00:00:01.500Z",
      error_count: 1,
      last_error: "a client read nothing",
      uptime: 1_500_000_000,
    });
  });

  test("DataFlow before the first start is all zero", () => {
    expect(json(new Rig().output.dataFlow())).toEqual({
      messages_per_second: 0,
      bytes_per_second: 0,
      error_rate: 0,
      last_activity: "0001-01-01T00:00:00Z",
    });
  });
});

describe("Output", () => {
  test("shows the port that was taken while it runs, and the configured one afterwards", async () => {
    const rig = new Rig({ port: 0 });
    const port = (): number | undefined => rig.output.outputPorts()[0]?.config.data.port;
    expect(port()).toBe(0);
    await rig.output.start();
    expect(port()).toBe(40_000);
    await rig.output.stop(1000);
    expect(port()).toBe(0);
  });

  test("measures its uptime since the last start, in whole nanoseconds", async () => {
    const rig = new Rig();
    await rig.output.start();
    rig.clock.advance(60_000);
    await rig.output.stop(1000);
    expect(rig.output.health().uptime).toBe(0);
    await rig.output.start();
    rig.clock.advance(0.1234567);
    expect(rig.output.health().uptime).toBe(123_457);
  });

  test("measures its data flow while it runs, and leaves no timer", async () => {
    const rig = new Rig();
    await rig.output.start();
    rig.engine.meter.messagesReceived += 40;
    rig.clock.advance(4000);
    expect(rig.output.dataFlow().messages_per_second).toBe(10);
    await rig.output.stop(1000);
    expect(rig.output.dataFlow().messages_per_second).toBe(0);
    expect(rig.clock.timers).toBe(0);
  });

  test("initializes with the default configuration", () => {
    expect(() => new Rig().output.initialize()).not.toThrow();
  });

  test("initializes with every key set", () => {
    const { output } = new Rig({
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
      const error = thrown(() => new Rig(wrong as object).output.initialize());
      expect([error.class, error.code]).toEqual(["invalid", "CONFIG_INVALID"]);
      expect(error.message).toStartWith("Output.initialize: check configuration failed: Cannot");
      expect(error.message).toContain(says);
    }
  });

  test("is what its engine is told to show", async () => {
    const shown: unknown[] = [];
    const output = new Output(defaultConfig(), {
      makeEngine: async (component) => {
        shown.push(component);
        return new FakeEngine();
      },
      clock: new ManualClock(),
      log: new ErrorLog(),
      version: "1.2.3",
    });
    await output.start();
    expect(shown).toEqual([output]);
  });
});
