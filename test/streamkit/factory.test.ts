import { describe, expect, test } from "bun:test";
import type { NatsConnection } from "nats";
import type { Config } from "../../src/config/config.ts";
import { componentSchema } from "../../src/config/describe.ts";
import { parseConfig } from "../../src/config/parse.ts";
import type { GatewayDeps } from "../../src/gateway/deps.ts";
import { GatewayLifecycle } from "../../src/gateway/gateway-lifecycle.ts";
import { VERSION } from "../../src/gateway/version.ts";
import { createRegistry } from "../../src/metrics/prometheus.ts";
import {
  defaultConstructorConfig,
  type OutputDeps,
} from "../../src/streamkit/constructor-config.ts";
import { defaultConfig, FACTORY_NAME, outputFactory } from "../../src/streamkit/factory.ts";
import { Registry } from "../../src/streamkit/registry.ts";
import { ManualClock } from "../core/support/manual-clock.ts";
import { FakeEngine, thrown } from "./fake-engine.ts";
import { ErrorLog } from "./output-harness.ts";

/** The ways to make an output, and what they ask of the gateway's maker. */
function bench() {
  const asked: { config: Config; deps: GatewayDeps }[] = [];
  const maker = outputFactory((config, deps) => {
    return new GatewayLifecycle(config, {
      makeEngine: async () => {
        asked.push({ config, deps });
        return new FakeEngine();
      },
      clock: new ManualClock(),
      log: deps.log ?? new ErrorLog(),
      version: VERSION,
    });
  });
  return { maker, asked };
}

const natsConnection = { server: "one" } as unknown as NatsConnection;

/** The example in the seed's documentation. */
const SEED = {
  ports: {
    inputs: [{ name: "stream", type: "nats", subject: "events.>", required: true }],
  },
  port: 8080,
  path: "/ws",
  write_timeout: "5s",
  read_timeout: "60s",
  ping_interval: "30s",
};

describe("createOutput", () => {
  test("takes the seed's example, as an object and as JSON", () => {
    const { maker } = bench();
    for (const raw of [SEED, JSON.stringify(SEED)]) {
      const output = maker.createOutput(raw, {});
      output.initialize();
      expect(output.inputPorts()).toMatchObject([
        { required: true, config: { data: { subject: "events.>" } } },
      ]);
      expect(output.outputPorts()[0]?.config.data).toEqual({
        protocol: "websocket",
        host: "127.0.0.1",
        port: 8080,
      });
    }
  });

  test("keeps which inputs are required, in each of StreamKit's spellings", () => {
    const { maker } = bench();
    const inputs = [
      { subject: "a", required: true },
      { name: "typed", config: { kind: "nats", subject: "b" }, required: true },
      { subject: "c", required: false },
      { subject: "d" },
    ];
    const output = maker.createOutput({ ports: { inputs } });
    output.initialize();
    const required = output.inputPorts().map((port) => [port.config.data.subject, port.required]);
    expect(Object.fromEntries(required)).toEqual({ a: true, b: true, c: false, d: false });
  });

  test("takes no configuration as the default one", async () => {
    const { maker, asked } = bench();
    for (const raw of [undefined, "", "{}", {}]) await maker.createOutput(raw).start();
    expect(asked.map(({ config }) => config)).toEqual(Array(4).fill(parseConfig({})));
  });

  test("takes the default configuration, as it is, as JSON, and changed", async () => {
    const { maker, asked } = bench();
    expect(defaultConfig()).toMatchObject({ port: 8080, path: "/ws", write_timeout: "5s" });
    await maker.createOutput(defaultConfig()).start();
    await maker.createOutput(JSON.stringify(defaultConfig())).start();
    await maker.createOutput({ ...defaultConfig(), port: 9090 }).start();
    const expected = [{}, {}, { port: 9090 }].map((raw) => parseConfig(raw));
    expect(asked.map(({ config }) => config)).toEqual(expected);
  });

  test("hands the configuration and what was injected to the gateway's maker", async () => {
    const { maker, asked } = bench();
    const deps = { natsConnection, metricsRegistry: createRegistry() };
    await maker.createOutput(SEED, deps).start();
    expect(asked).toEqual([{ config: parseConfig(SEED), deps: { ...deps, log: undefined } }]);
    expect(asked[0]?.deps.natsConnection).toBe(natsConnection);
  });

  test("warns where it is given no NATS, as the seed's example has none", () => {
    const { maker } = bench();
    const logger = new ErrorLog();
    maker.createOutput(SEED, { logger }, "feed");
    maker.newOutputFromConfig({ ...defaultConstructorConfig(), port: 9000, logger });
    expect(logger.warnings).toEqual([
      { event: "embedded", name: "feed", subjects: "events.>" },
      { event: "embedded", name: "websocket-output-9000", subjects: ">" },
    ]);
    maker.createOutput(SEED, { logger, natsConnection });
    maker.createOutput({ ...SEED, nats_url: "nats://a" }, { logger });
    expect(logger.warnings).toHaveLength(2);
  });

  test("opens nothing", () => {
    const { maker, asked } = bench();
    maker.createOutput(SEED, {}).initialize();
    expect(asked).toEqual([]);
  });

  test("names the output after its instance, unless the configuration names it", () => {
    const { maker } = bench();
    const name = (raw: unknown) => maker.createOutput(raw, {}, "feed").meta().name;
    expect(name({})).toBe("feed");
    expect(name(undefined)).toBe("feed");
    expect(name({ name: "own" })).toBe("own");
  });

  test("refuses a configuration that no file may have", () => {
    const { maker } = bench();
    for (const [raw, says] of [
      ["{", "it is not JSON at line 1, column 1"],
      [null, "it must be a JSON object"],
      ["[]", "it must be a JSON object"],
      [{ prot: 8080 }, '"prot" is not a known key; did you mean "port"?'],
      [{ port: 70_000 }, '"port" is 70000 but must be'],
      [{ delivery_mode: "sometimes" }, '"delivery_mode" is "sometimes"'],
      // The gateway itself may have them; StreamKit promises 1024 to 65535.
      [{ port: 80 }, '"port" is 80 but must be 0 (any free port) or an integer from 1024 to 65535'],
      [{ ports: { outputs: [{ subject: "http://0.0.0.0:1023/ws" }] } }, '"port" is 1023 but'],
    ] as const) {
      const error = thrown(() => maker.createOutput(raw, {}, "feed"));
      expect([error.class, error.code]).toEqual(["invalid", "CONFIG_INVALID"]);
      expect(error.message).toContain(says);
    }
  });
});

describe("register", () => {
  test("makes the factory known under StreamKit's names", () => {
    const { maker } = bench();
    const registry = new Registry<OutputDeps>();
    maker.register(registry);
    expect(FACTORY_NAME).toBe("websocket");
    expect(JSON.parse(JSON.stringify(registry.factories().get("websocket")))).toEqual({
      type: "output",
      protocol: "websocket",
      domain: "network",
      description: "WebSocket server output",
      version: VERSION,
      schema: JSON.parse(JSON.stringify(componentSchema())),
    });
  });

  test("suits a host that gives its components more than an output needs", async () => {
    const { maker, asked } = bench();
    const registry = new Registry<OutputDeps & { readonly site: string }>();
    maker.register(registry);
    const deps = { site: "north", natsConnection };
    const entry = { type: "output", name: "websocket", enabled: true, config: SEED };
    const component = registry.createComponent("feed", entry, deps);
    await component?.start();
    expect(component?.meta().name).toBe("feed");
    expect(asked[0]?.deps.natsConnection).toBe(natsConnection);
  });

  test("refuses to register twice", () => {
    const { maker } = bench();
    const registry = new Registry<OutputDeps>();
    maker.register(registry);
    expect(thrown(() => maker.register(registry)).code).toBe("FACTORY_EXISTS");
  });
});
