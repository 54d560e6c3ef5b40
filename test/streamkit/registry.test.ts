import { describe, expect, test } from "bun:test";
import { type ErrorCode, SpillwayError } from "../../src/core/ports/errors.ts";
import type {
  ComponentConfig,
  NetworkPortConfig,
  Port,
  Registration,
} from "../../src/streamkit/contract.ts";
import { endpointPort } from "../../src/streamkit/ports.ts";
import { Registry } from "../../src/streamkit/registry.ts";
import { thrown } from "./fake-engine.ts";
import { OutputHarness } from "./output-harness.ts";

interface Deps {
  readonly site: string;
}

const DEPS: Deps = { site: "north" };

/** A factory that notes what it is given, and reads host and port from it. */
function registration(given: unknown[] = []): Registration<Deps> {
  return {
    type: "output",
    protocol: "websocket",
    domain: "network",
    description: "A test's output",
    version: "1.0.0",
    schema: { properties: {}, required: [] },
    factory: (rawConfig, deps, instanceName) => {
      given.push([rawConfig, deps, instanceName]);
      return new OutputHarness(rawConfig as object).output;
    },
  };
}

function registry(given: unknown[] = []): Registry<Deps> {
  const all = new Registry<Deps>();
  all.registerFactory("websocket", registration(given));
  return all;
}

function entry(config: object = { port: 0 }): ComponentConfig {
  return { type: "output", name: "websocket", enabled: true, config };
}

/** An entry with something in it that the type does not allow. */
function oddEntry(odd: object): ComponentConfig {
  return { ...entry(), ...odd } as ComponentConfig;
}

describe("Registry", () => {
  test("makes a component from a flow file's entry, and keeps it by name", () => {
    const given: unknown[] = [];
    const all = registry(given);
    const component = all.createComponent("feed", entry({ port: 9000 }), DEPS);
    expect(component?.meta().type).toBe("output");
    expect(given).toEqual([[{ port: 9000 }, DEPS, "feed"]]);
    expect(all.component("feed")).toBe(component);
    expect([...all.components().keys()]).toEqual(["feed"]);
  });

  test("starts nothing", () => {
    const component = registry().createComponent("feed", entry(), DEPS);
    expect(component?.health().healthy).toBe(false);
  });

  test("has no component under a name that was not used", () => {
    expect(registry().component("feed")).toBeUndefined();
  });

  test("shows its factories with StreamKit's JSON names, and without the function", () => {
    const factories = registry().factories();
    expect(JSON.parse(JSON.stringify(Object.fromEntries(factories)))).toEqual({
      websocket: {
        type: "output",
        protocol: "websocket",
        domain: "network",
        description: "A test's output",
        version: "1.0.0",
        schema: { properties: {}, required: [] },
      },
    });
  });

  test("gives lists that do not change it", () => {
    const all = registry();
    all.createComponent("feed", entry(), DEPS);
    (all.components() as Map<string, unknown>).clear();
    (all.factories() as Map<string, unknown>).clear();
    expect(all.components().size).toBe(1);
    expect(all.factories().size).toBe(1);
  });

  test("skips an entry that is not enabled, whatever else is in it", () => {
    const all = registry();
    const disabled = { type: "input", name: "nothing like it", enabled: false };
    expect(all.createComponent("feed", disabled, DEPS)).toBeUndefined();
    expect(all.components().size).toBe(0);
  });

  test("takes an entry without enabled as not enabled, as Go does", () => {
    const { enabled, ...silent } = entry();
    expect(registry().createComponent("feed", silent, DEPS)).toBeUndefined();
  });

  test("forgets a component that is removed", () => {
    const all = registry();
    all.createComponent("feed", entry({ port: 9000 }), DEPS);
    expect(all.remove("feed")).toBe(true);
    expect(all.remove("feed")).toBe(false);
    expect(all.createComponent("feed", entry({ port: 9000 }), DEPS)).toBeDefined();
  });

  test("keeps nothing of a component that it refuses", () => {
    const all = registry();
    all.createComponent("feed", entry({ port: 9000 }), DEPS);
    thrown(() => all.createComponent("other", entry({ port: 9000 }), DEPS));
    expect([...all.components().keys()]).toEqual(["feed"]);
  });
});

describe("Registry refuses, as invalid,", () => {
  const cases: {
    readonly what: string;
    readonly call: (all: Registry<Deps>) => unknown;
    readonly code: ErrorCode;
    readonly message: string;
  }[] = [
    {
      what: "a factory's name that is taken",
      call: (all) => all.registerFactory("websocket", registration()),
      code: "FACTORY_EXISTS",
      message: 'Registry.registerFactory: register "websocket" failed: it is registered already',
    },
    {
      what: "a factory's name that is none",
      call: (all) => all.registerFactory("", registration()),
      code: "NAME_INVALID",
      message:
        'Registry.registerFactory: check factory name failed: it is "" but must be 1 to 64 of A-Z a-z 0-9 _ . -',
    },
    {
      what: "an instance's name that is none",
      call: (all) => all.createComponent("a b", entry(), DEPS),
      code: "NAME_INVALID",
      message:
        'Registry.createComponent: check instance name failed: it is "a b" but must be 1 to 64 of A-Z a-z 0-9 _ . -',
    },
    {
      what: "an entry that is no object",
      call: (all) => all.createComponent("feed", null as never, DEPS),
      code: "ENTRY_INVALID",
      message: 'Registry.createComponent: create "feed" failed: the entry must be an object',
    },
    {
      what: "an entry whose enabled is neither true nor false",
      call: (all) => all.createComponent("feed", oddEntry({ enabled: "yes" }), DEPS),
      code: "ENTRY_INVALID",
      message:
        'Registry.createComponent: create "feed" failed: "enabled" is "yes" but must be true or false',
    },
    {
      what: "an entry with an unknown key",
      call: (all) => all.createComponent("feed", oddEntry({ conifg: {} }), DEPS),
      code: "ENTRY_INVALID",
      message:
        'Registry.createComponent: create "feed" failed: "conifg" is not a known key; did you mean "config"?',
    },
    {
      what: "an entry without a factory's name",
      call: (all) => all.createComponent("feed", oddEntry({ name: undefined }), DEPS),
      code: "NAME_INVALID",
      message:
        "Registry.createComponent: check factory name failed: it is missing but must be 1 to 64 of A-Z a-z 0-9 _ . -",
    },
    {
      what: "a factory that is unknown, and names the nearest",
      call: (all) => all.createComponent("feed", oddEntry({ name: "webscoket" }), DEPS),
      code: "FACTORY_UNKNOWN",
      message:
        'Registry.createComponent: find factory "webscoket" failed: it is not registered; did you mean "websocket"?',
    },
    {
      what: "a factory that is unknown, and names all when none is near",
      call: (all) => {
        all.registerFactory("udp", registration());
        all.createComponent("feed", oddEntry({ name: "kafka-sink" }), DEPS);
      },
      code: "FACTORY_UNKNOWN",
      message:
        'Registry.createComponent: find factory "kafka-sink" failed: it is not registered; "websocket", "udp" are',
    },
    {
      what: "any factory while there is none",
      call: () => new Registry<Deps>().createComponent("feed", entry(), DEPS),
      code: "FACTORY_UNKNOWN",
      message:
        'Registry.createComponent: find factory "websocket" failed: it is not registered; none is',
    },
    {
      what: "a type that the factory does not make",
      call: (all) => all.createComponent("feed", oddEntry({ type: "input" }), DEPS),
      code: "TYPE_MISMATCH",
      message:
        'Registry.createComponent: check type failed: it is "input" but "websocket" makes "output"',
    },
    {
      what: "an instance's name that is taken",
      call: (all) => {
        all.createComponent("feed", entry(), DEPS);
        all.createComponent("feed", entry(), DEPS);
      },
      code: "INSTANCE_EXISTS",
      message: 'Registry.createComponent: create "feed" failed: there is one of that name already',
    },
    {
      what: "a second component on the same address",
      call: (all) => {
        all.createComponent("feed", entry({ port: 9000 }), DEPS);
        all.createComponent("other", entry({ port: 9000 }), DEPS);
      },
      code: "ADDRESS_TAKEN",
      message: 'Registry.createComponent: create "other" failed: 127.0.0.1:9000 belongs to "feed"',
    },
  ];
  for (const { what, call, code, message } of cases) {
    test(what, () => {
      const error = thrown(() => call(registry()));
      expect([error.class, error.code]).toEqual(["invalid", code]);
      expect(error.message).toBe(message);
    });
  }
});

describe("Registry passes on", () => {
  test("what is wrong with a configuration, under its own class and code", () => {
    const cause = new SpillwayError("CONFIG_INVALID", "Cannot use configuration: …");
    const all = new Registry<Deps>();
    all.registerFactory("websocket", {
      ...registration(),
      factory: () => {
        throw cause;
      },
    });
    const error = thrown(() => all.createComponent("feed", entry(), DEPS));
    expect([error.class, error.code]).toEqual(["invalid", "CONFIG_INVALID"]);
    expect(error.message).toBe(
      'Registry.createComponent: create "feed" failed: Cannot use configuration: …',
    );
    expect(error.cause).toBe(cause);
  });

  test("a factory's own fault, as fatal", () => {
    const all = new Registry<Deps>();
    all.registerFactory("websocket", {
      ...registration(),
      factory: () => {
        throw new TypeError("x is undefined");
      },
    });
    const error = thrown(() => all.createComponent("feed", entry(), DEPS));
    expect([error.class, error.code]).toEqual(["fatal", "FACTORY_FAILED"]);
  });
});

describe("Two components", () => {
  const addresses: [one: string, other: string, together: boolean][] = [
    ["127.0.0.1:0", "127.0.0.1:0", true],
    ["127.0.0.1:9000", "127.0.0.1:9001", true],
    ["127.0.0.1:9000", "127.0.0.2:9000", true],
    ["127.0.0.1:9000", "::1:9000", true],
    ["0.0.0.0:9000", "::1:9000", true],
    ["127.0.0.1:9000", "127.0.0.1:9000", false],
    ["localhost:9000", "127.0.0.1:9000", false],
    ["Gateway.local:9000", "gateway.local:9000", false],
    ["0.0.0.0:9000", "127.0.0.1:9000", false],
    ["127.0.0.1:9000", "0.0.0.0:9000", false],
    ["::1:9000", ":::9000", false],
    [":::9000", "0.0.0.0:9000", false],
  ];
  for (const [one, other, together] of addresses) {
    const can = together ? "can" : "cannot";
    test(`${can} have ${one} and ${other}`, () => {
      const all = registry();
      all.createComponent("one", entry(address(one)), DEPS);
      const create = () => all.createComponent("other", entry(address(other)), DEPS);
      if (together) expect(create()).toBeDefined();
      else expect(thrown(create).code).toBe("ADDRESS_TAKEN");
    });
  }

  test("can have one port each on UDP and TCP", () => {
    const all = registry();
    all.registerFactory("udp", {
      ...registration(),
      factory: (rawConfig) => {
        const { output } = new OutputHarness(rawConfig as object);
        const { config, ...port } = endpointPort("127.0.0.1", 9000, "/");
        const udp: Port<NetworkPortConfig> = {
          ...port,
          config: { type: "network", data: { ...config.data, protocol: "udp" } },
        };
        return Object.assign(output, { outputPorts: () => [udp] });
      },
    });
    all.createComponent("feed", entry({ port: 9000 }), DEPS);
    expect(all.createComponent("sensor", oddEntry({ name: "udp" }), DEPS)).toBeDefined();
  });

  test("cannot have a port that the one was given when it started on any free port", async () => {
    const all = registry();
    await all.createComponent("one", entry({ port: 0 }), DEPS)?.start();
    const error = thrown(() => all.createComponent("other", entry({ port: 40_000 }), DEPS));
    expect(error.code).toBe("ADDRESS_TAKEN");
  });
});

function address(text: string): { host: string; port: number } {
  const colon = text.lastIndexOf(":");
  return { host: text.slice(0, colon), port: Number(text.slice(colon + 1)) };
}
