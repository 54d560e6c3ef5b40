import { describe, expect, test } from "bun:test";
import type { NatsConnection } from "nats";
import { defaultConfig } from "../../src/config/parse.ts";
import { GatewayLifecycle } from "../../src/gateway/gateway-lifecycle.ts";
import { createRegistry } from "../../src/metrics/prometheus.ts";
import {
  type ConstructorConfig,
  configOf,
  defaultConstructorConfig,
} from "../../src/streamkit/constructor-config.ts";
import { outputFactory } from "../../src/streamkit/factory.ts";
import { ManualClock } from "../core/support/manual-clock.ts";
import { FakeEngine, thrown } from "./fake-engine.ts";
import { ErrorLog } from "./output-harness.ts";

/** The default with something changed, even to what the type does not allow. */
function changed(change: object): ConstructorConfig {
  return { ...defaultConstructorConfig(), ...change };
}

describe("ConstructorConfig", () => {
  test("has a file's defaults", () => {
    expect(defaultConstructorConfig()).toEqual({
      name: "",
      port: 8080,
      path: "/ws",
      subjects: [">"],
      deliveryMode: "at-most-once",
      ackTimeoutMs: 5000,
    });
    expect(configOf(defaultConstructorConfig())).toEqual({
      ...defaultConfig(),
      name: "websocket-output-8080",
    });
  });

  test("becomes a configuration, security included", () => {
    const config = configOf({
      name: "feed",
      port: 9000,
      path: "/events",
      subjects: ["orders.>"],
      deliveryMode: "at-most-once",
      ackTimeoutMs: 1500,
      natsUrls: ["tls://one:4222", "tls://two:4222"],
      security: {
        host: "0.0.0.0",
        allowedOrigins: ["https://app.example.com"],
        maxClients: 50,
        nats: {
          credsFile: "/nats.creds",
          tlsCaFile: "/ca.pem",
          tlsCertFile: "/cert.pem",
          tlsKeyFile: "/key.pem",
        },
      },
    });
    expect(config).toEqual({
      ...defaultConfig(),
      name: "feed",
      host: "0.0.0.0",
      port: 9000,
      path: "/events",
      subjects: ["orders.>"],
      natsUrls: ["tls://one:4222", "tls://two:4222"],
      ackTimeoutMs: 1500,
      allowedOrigins: ["https://app.example.com"],
      maxClients: 50,
      natsCredsFile: "/nats.creds",
      natsTlsCaFile: "/ca.pem",
      natsTlsCertFile: "/cert.pem",
      natsTlsKeyFile: "/key.pem",
    });
  });

  test("knows the other ways to log in", () => {
    const natsUrls = ["nats://one:4222"];
    const login = (nats: object) => configOf(changed({ natsUrls, security: { nats } }));
    expect(login({ user: "me", password: "it" })).toMatchObject({
      natsUser: "me",
      natsPassword: "it",
    });
    expect(login({ token: "it" })).toMatchObject({ natsToken: "it" });
    expect(login({ nkeyFile: "/seed" })).toMatchObject({ natsNkeyFile: "/seed" });
  });

  test("listens on loopback unless its security says otherwise", () => {
    expect(configOf(changed({ security: {} })).host).toBe("127.0.0.1");
    expect(configOf(changed({ security: undefined })).host).toBe("127.0.0.1");
  });

  test("refuses what a file may not have either, and names it as a file does", () => {
    for (const [change, says] of [
      [{ port: 80 }, '"port" is 80 but must be'],
      [{ path: "" }, '"path" is ""'],
      [{ subjects: [] }, '"subjects" is an empty list'],
      [{ name: "a b" }, '"name" is "a b"'],
      [{ ackTimeoutMs: 0 }, '"ack_timeout" is "0s"'],
      [{ ackTimeoutMs: -5 }, '"ack_timeout" is "-5ms"'],
      [{ ackTimeoutMs: Number.POSITIVE_INFINITY }, '"ack_timeout" is Infinity'],
      [{ deliveryMode: "exactly-once" }, '"delivery_mode" is "exactly-once"'],
      [{ security: { maxClients: 0 } }, '"max_clients" is 0'],
      [{ security: { allowedOrigin: [] } }, 'did you mean "allowed_origins"?'],
      [{ security: { nats: { user: "me" } } }, 'must not be set without "nats_url"'],
      [{ security: { nats: { pass: "secret" } } }, '"natsPass" is not a known key'],
      [{ portt: 1 }, '"portt" is not a known key; did you mean "port"?'],
    ] as const) {
      const error = thrown(() => configOf(changed(change)));
      expect([error.class, error.code]).toEqual(["invalid", "CONFIG_INVALID"]);
      expect(error.message).toContain(says);
    }
  });

  test("makes an output with what it injects", async () => {
    const asked: unknown[] = [];
    const { newOutputFromConfig } = outputFactory((config, deps) => {
      asked.push([config.name, deps]);
      return new GatewayLifecycle(config, {
        makeEngine: async () => new FakeEngine(),
        clock: new ManualClock(),
        log: deps.log ?? new ErrorLog(),
        version: "1.2.3",
      });
    });
    const injected = {
      natsConnection: { server: "one" } as unknown as NatsConnection,
      metricsRegistry: createRegistry(),
    };
    const logger = new ErrorLog();
    const output = newOutputFromConfig({
      ...defaultConstructorConfig(),
      ...injected,
      port: 9000,
      logger,
    });
    output.initialize();
    await output.start();
    expect(output.meta().name).toBe("websocket-output-9000");
    expect(asked).toEqual([["websocket-output-9000", { ...injected, log: logger }]]);
  });
});
