import { describe, expect, test } from "bun:test";
import { variableOf } from "../../src/config/environment.ts";
import { keyTable } from "../../src/config/key-table.ts";
import { load, loadedConfig, loadRefusalOf } from "./refusal.ts";

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

  test("may have blanks around what is no text, and lists as JSON", async () => {
    const env = {
      SPILLWAY_PORT: " 9000\n",
      SPILLWAY_COMPRESSION: "true ",
      SPILLWAY_RING_BYTES: " 64KiB",
      SPILLWAY_UPSTREAM: "eager\n",
      SPILLWAY_SUBJECTS: ' ["a,b", "c"]',
      NATS_URL: '["nats://a","nats://b"]',
    };
    expect(await loadedConfig({ env })).toMatchObject({
      port: 9000,
      compression: true,
      ringBytes: 65_536,
      upstream: "eager",
      subjects: ["a,b", "c"],
      natsUrls: ["nats://a", "nats://b"],
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
      { SPILLWAY_PORT: "65536" },
      'SPILLWAY_PORT: "port" is 65536 but must be 0 (any free port) or an integer from 1 to 65535',
    ],
    [
      { spillway_port: "9000" },
      'the environment: "spillway_port" is not a known variable; did you mean "SPILLWAY_PORT"?',
    ],
    [
      { SPILLWAY_NATS_URl: "nats://a" },
      'the environment: "SPILLWAY_NATS_URl" is not a known variable; did you mean "SPILLWAY_NATS_URL"?',
    ],
    [
      { SPILWAY_MAX_CLIENTS: "5" },
      'the environment: "SPILWAY_MAX_CLIENTS" is not a known variable; did you mean "SPILLWAY_MAX_CLIENTS"?',
    ],
    [
      { SPILLWAY_MAX_CLIENTS: "1e3" },
      'SPILLWAY_MAX_CLIENTS: "max_clients" is "1e3" but must be an integer from 1 to 1000000',
    ],
    [
      { SPILLWAY_WRITE_TIMEOUT: "30" },
      'SPILLWAY_WRITE_TIMEOUT: "write_timeout" is "30" but must be a duration from "1ms" to "24h"; it needs a unit, like "30s" or "30ms"',
    ],
    [
      { SPILLWAY_COMPRESSION: "yes" },
      'SPILLWAY_COMPRESSION: "compression" is "yes" but must be true or false',
    ],
    [
      { SPILLWAY_SUBJECTS: "[a]" },
      'SPILLWAY_SUBJECTS: "subjects" is "[a]" but must be a list of one or more NATS subjects',
    ],
    [
      { SPILLWAY_SUBJECTS: '["a", 5]' },
      'SPILLWAY_SUBJECTS: "subjects[1]" is 5 but must be a NATS subject',
    ],
    [
      { SPILLWAY_PORT: "0x50" },
      'SPILLWAY_PORT: "port" is "0x50" but must be 0 (any free port) or an integer from 1 to 65535',
    ],
    [
      { PORT: "x" },
      'PORT: "port" is "x" but must be 0 (any free port) or an integer from 1 to 65535',
    ],
    [{ SPILLWAY_PUBLISH: "1" }, 'SPILLWAY_PUBLISH: "publish" is "1" but must be true or false'],
    [{ SPILLWAY_SUBJECTS: "a,,b" }, 'SPILLWAY_SUBJECTS: "subjects[1]" is "" but must not be empty'],
    [
      { NATS_URL: "a:4222" },
      'NATS_URL: "nats_url" is "a:4222" but must be a URL that begins with "nats://", "tls://", "ws://" or "wss://"',
    ],
    ...["nats://a:port", "nats://", "nats://a b"].map((url): [Record<string, string>, string] => [
      { NATS_URL: url },
      `NATS_URL: "nats_url" is "${url}" but must be a URL with a host and perhaps a port, like "nats://localhost:4222"`,
    ]),
    [
      { SPILLWAY_READ_TIMEOUT: "20s" },
      'SPILLWAY_READ_TIMEOUT: "ping_interval" is "30s" but must be shorter than "read_timeout" ("20s"), or every client that only listens is disconnected',
    ],
  ])("%j is refused with the variable's name", async (env, problem) => {
    expect(await loadRefusalOf({ env })).toBe(`Cannot use configuration from ${problem}`);
  });

  test("is refused with all that is wrong in it", async () => {
    const env = {
      SPILLWAY_Z: "",
      SPILLWAY_PROT: "1",
      SPILLWAY_PATH: "ws",
      PORT: "-1",
      NATS_URl: "a",
    };
    const lines = (await loadRefusalOf({ env })).split("\n");
    expect(lines.slice(1).map((line) => line.split(" but ")[0])).toEqual([
      '- the environment: "SPILLWAY_PROT" is not a known variable; did you mean "SPILLWAY_PORT"?',
      '- the environment: "SPILLWAY_Z" is not a known variable',
      '- the environment: "NATS_URl" is not a known variable; did you mean "NATS_URL"?',
      '- PORT: "port" is -1',
      '- SPILLWAY_PATH: "path" is "ws"',
    ]);
  });
});

describe("Variable that looks like NATS_URL", () => {
  test.each(["NATS_URl", "nats_url", "Nats_Url", "NATS_URLS", "NATS_URI", "NATS_ULR", "NATSURL"])(
    "%s is refused where nothing else says where NATS is",
    async (name) => {
      expect(await loadRefusalOf({ env: { [name]: "nats://a:4222" } })).toBe(
        `Cannot use configuration from the environment: "${name}" is not a known variable; did you mean "NATS_URL"?`,
      );
    },
  );

  test("is refused alone, whatever needs NATS", async () => {
    const env = { NATS_URl: "nats://a", SPILLWAY_NATS_USER: "u", SPILLWAY_STREAMS: "A" };
    expect((await loadRefusalOf({ env })).split("\n")).toHaveLength(1);
  });

  test("is somebody else's where something else says where NATS is", async () => {
    const env = { NATS_URl: "nats://a", SPILLWAY_NATS_URL: "nats://b" };
    expect((await loadedConfig({ env })).natsUrls).toEqual(["nats://b"]);
    const argv = ["--nats", "nats://c"];
    expect((await loadedConfig({ argv, env: { NATS_URI: "nats://a" } })).natsUrls).toEqual([
      "nats://c",
    ]);
  });

  test.each([
    { NATS_URI: "no address" },
    { NATS_URl: "" },
    { NATS_USER: "nats://a", NATS_CREDS: "/creds", NATS_CONTEXT: "nats://a" },
    { NATS_SERVICE_HOST: "10.0.0.7", NATS_PORT: "tcp://10.0.0.7:4222" },
  ])("%j does not", async (env) => {
    expect(await loadedConfig({ env })).toEqual(await loadedConfig({}));
  });
});

test("A variable that looks like PORT is no reason not to start, and named", async () => {
  const env = { port: "9000" };
  expect(await load({ env })).toMatchObject({
    config: { port: 8080 },
    notices: ['"port" is not a known variable; did you mean "PORT"?'],
  });
  expect(await load({ env, argv: ["--port", "9001"] })).toMatchObject({ notices: [] });
});
