import { describe, expect, test } from "bun:test";
import { variableOf } from "../../src/config/environment.ts";
import { keyTable } from "../../src/config/key-table.ts";
import { loadedConfig, loadRefusalOf } from "./refusal.ts";

describe("Environment", () => {
  test("sets numbers, durations, lists, switches and texts", async () => {
    const env = {
      SPILLWAY_PORT: "9000",
      SPILLWAY_WRITE_TIMEOUT: "1m30s",
      SPILLWAY_SUBJECTS: "a.>, b",
      SPILLWAY_HEADERS: "Nats-Msg-Id",
      SPILLWAY_PUBLISH: "false",
      SPILLWAY_HOST: "0.0.0.0",
      SPILLWAY_NATS_URL: "nats://a,nats://b",
      SPILLWAY_NATS_TOKEN: "12345",
    };
    expect(await loadedConfig({ env })).toMatchObject({
      port: 9000,
      writeTimeoutMs: 90_000,
      subjects: ["a.>", "b"],
      headers: ["Nats-Msg-Id"],
      publish: false,
      host: "0.0.0.0",
      natsUrls: ["nats://a", "nats://b"],
      natsToken: "12345",
    });
  });

  test("has a variable for every key", async () => {
    for (const { key, default: preset } of keyTable()) {
      if (preset === undefined || key === "nats_url") continue;
      const text = Array.isArray(preset) ? preset.join(",") : String(preset);
      expect(await loadedConfig({ env: { [variableOf(key)]: text } })).toEqual(
        await loadedConfig({}),
      );
    }
  });

  test("has NATS_URL and PORT as second names, which the own names beat", async () => {
    expect(await loadedConfig({ env: { NATS_URL: "nats://a", PORT: "9001" } })).toMatchObject({
      natsUrls: ["nats://a"],
      port: 9001,
    });
    const env = {
      NATS_URL: "nats://a",
      SPILLWAY_NATS_URL: "nats://b",
      PORT: "9001",
      SPILLWAY_PORT: "9002",
    };
    expect(await loadedConfig({ env })).toMatchObject({ natsUrls: ["nats://b"], port: 9002 });
  });

  test("has empty variables that count as none, also before a second name", async () => {
    const env = {
      SPILLWAY_PORT: "",
      PORT: "9001",
      SPILLWAY_NATS_USER: "",
      NATS_URL: "",
      SPILLWAY_CONFIG: "",
    };
    expect(await loadedConfig({ env })).toEqual({ ...(await loadedConfig({})), port: 9001 });
  });

  test("is read at no other names", async () => {
    const env = new Proxy({ HOME: "/root", PATH: "/bin" } as Record<string, string>, {
      get(variables, name) {
        if (!/^(?:NATS_URL|PORT|SPILLWAY_\w+)$/.test(String(name)))
          throw new Error(`Read ${String(name)}`);
        return variables[String(name)];
      },
    });
    expect(await loadedConfig({ env })).toEqual(await loadedConfig({}));
  });

  test("may have what Kubernetes says about a service of the same name", async () => {
    const env = {
      SPILLWAY_SERVICE_HOST: "10.0.0.7",
      SPILLWAY_SERVICE_PORT: "8080",
      SPILLWAY_SERVICE_PORT_HTTP: "8080",
      SPILLWAY_PORT: "tcp://10.0.0.7:8080",
      SPILLWAY_PORT_8080_TCP: "tcp://10.0.0.7:8080",
      SPILLWAY_PORT_8080_TCP_PROTO: "tcp",
      SPILLWAY_PORT_8080_TCP_PORT: "8080",
      SPILLWAY_PORT_8080_TCP_ADDR: "10.0.0.7",
      SPILLWAY_EDGE_SERVICE_HOST: "10.0.0.8",
      SPILLWAY_EDGE_PORT: "tcp://10.0.0.8:80",
    };
    expect(await loadedConfig({ env })).toEqual(await loadedConfig({}));
  });

  test.each<[Record<string, string>, string]>([
    [
      { SPILLWAY_PROT: "1" },
      'the environment: "SPILLWAY_PROT" is not a known variable; did you mean "SPILLWAY_PORT"?',
    ],
    [
      { SPILLWAY_PORTS: "{}" },
      'the environment: "SPILLWAY_PORTS" is not a known variable; did you mean "SPILLWAY_PORT"?',
    ],
    [
      { SPILLWAY_CONFG: "x" },
      'the environment: "SPILLWAY_CONFG" is not a known variable; did you mean "SPILLWAY_CONFIG"?',
    ],
    [
      { SPILLWAY_Z: "", SPILLWAY_A: "" },
      'the environment: "SPILLWAY_A" is not a known variable (and 1 more)',
    ],
    [
      { SPILLWAY_PORT: "80" },
      'SPILLWAY_PORT: "port" is 80 but must be 0 (any free port) or an integer from 1024 to 65535',
    ],
    [
      { SPILLWAY_PORT: "0x50" },
      'SPILLWAY_PORT: "port" is "0x50" but must be 0 (any free port) or an integer from 1024 to 65535',
    ],
    [
      { PORT: "x" },
      'PORT: "port" is "x" but must be 0 (any free port) or an integer from 1024 to 65535',
    ],
    [{ SPILLWAY_PUBLISH: "1" }, 'SPILLWAY_PUBLISH: "publish" is "1" but must be true or false'],
    [{ SPILLWAY_SUBJECTS: "a,,b" }, 'SPILLWAY_SUBJECTS: "subjects[1]" is "" but must not be empty'],
    [
      { NATS_URL: "a:4222" },
      'NATS_URL: "nats_url" is "a:4222" but must be a URL that begins with "nats://", "tls://", "ws://" or "wss://"',
    ],
    [
      { SPILLWAY_READ_TIMEOUT: "20s" },
      'SPILLWAY_READ_TIMEOUT: "ping_interval" is "30s" but must be shorter than "read_timeout" ("20s"), or every client that only listens is cut',
    ],
  ])("%j is refused with the variable's name", async (env, problem) => {
    expect(await loadRefusalOf({ env })).toBe(`Cannot use configuration from ${problem}`);
  });
});
