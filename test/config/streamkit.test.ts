import { describe, expect, test } from "bun:test";
import { parseConfig } from "../../src/config/parse.ts";
import { loadedConfig, refusalOf, several } from "./refusal.ts";

const input = { name: "stream", type: "nats", subject: "events.>", required: true };
const output = { name: "server", type: "network", subject: "http://0.0.0.0:9001/live" };

describe("StreamKit's ports", () => {
  test("in the shape of its documentation say the subjects", () => {
    const config = parseConfig({
      ports: { inputs: [{ name: "stream", type: "nats", subject: "events.>", required: true }] },
      port: 8080,
      path: "/ws",
      write_timeout: "5s",
      read_timeout: "60s",
      ping_interval: "30s",
      delivery_mode: "at-most-once",
      ack_timeout: "5s",
    });
    expect(config).toMatchObject({
      host: "127.0.0.1",
      port: 8080,
      path: "/ws",
      subjects: ["events.>"],
    });
  });

  test("in the shape of its code say where to listen too", () => {
    const config = parseConfig({ ports: { inputs: [input], outputs: [output] } });
    expect(config).toMatchObject({
      host: "0.0.0.0",
      port: 9001,
      path: "/live",
      subjects: ["events.>"],
    });
  });

  test("in the typed shape say the same", () => {
    const config = parseConfig({
      ports: {
        inputs: [
          {
            name: "in",
            config: { kind: "nats", subject: "a.>", interface: { type: "core.json.v1" } },
          },
          { name: "too", type: "nats", config: { kind: "nats", subject: "b" } },
        ],
        outputs: [
          {
            name: "out",
            config: { kind: "network", protocol: "http", host: "0.0.0.0", port: 8081 },
          },
        ],
      },
    });
    expect(config).toMatchObject({
      host: "0.0.0.0",
      port: 8081,
      path: "/ws",
      subjects: ["a.>", "b"],
    });
  });

  test.each<[unknown, object]>([
    ["http://0.0.0.0:9001", { host: "0.0.0.0", port: 9001, path: "/ws" }],
    ["http://0.0.0.0:9001/", { host: "0.0.0.0", port: 9001, path: "/ws" }],
    ["http://0.0.0.0/live", { host: "0.0.0.0", port: 8081, path: "/live" }],
    ["http://0.0.0.0:80/ws", { host: "0.0.0.0", port: 80, path: "/ws" }],
    ["ws://localhost", { host: "localhost", port: 8081, path: "/ws" }],
    ["http://[::1]:9001/ws", { host: "::1", port: 9001, path: "/ws" }],
    ["http://:9001/ws", { host: "127.0.0.1", port: 9001, path: "/ws" }],
  ])("with the output %s have StreamKit's defaults for the rest", (subject, where) => {
    const config = parseConfig({ ports: { outputs: [{ subject }] } });
    expect(config).toMatchObject({ ...where, subjects: ["semantic.>"] });
  });

  test("with a typed output have StreamKit's defaults for the rest", () => {
    const config = parseConfig({ ports: { outputs: [{ config: { kind: "network" } }] } });
    expect(config).toMatchObject({ port: 8081, path: "/ws", subjects: ["semantic.>"] });
  });

  test.each([{}, { inputs: [] }, { inputs: [], outputs: [] }])("%j say nothing", (ports) => {
    expect(parseConfig({ ports })).toEqual(parseConfig({}));
  });

  test("leave to plain keys what they don't say themselves", () => {
    const ports = { outputs: [{ subject: "http://0.0.0.0" }] };
    const config = parseConfig({ ports, port: 9000, path: "/live", subjects: ["a"] });
    expect(config).toMatchObject({ host: "0.0.0.0", port: 9000, path: "/live", subjects: ["a"] });
  });

  test("count for plain keys that are undefined", () => {
    const config = parseConfig({ ports: { outputs: [output] }, port: undefined });
    expect(config.port).toBe(9001);
  });

  test("may repeat what plain keys say", () => {
    expect(parseConfig({ ports: { outputs: [output] }, port: 9001, path: "/live" }).port).toBe(
      9001,
    );
  });
});

describe("StreamKit's inputs of streams", () => {
  test.each<[string, unknown[], object]>([
    [
      "untyped",
      [{ name: "in", type: "jetstream", stream_name: "A", subject: "a.>" }],
      { subjects: [], streams: ["A:a.>"] },
    ],
    ["without subjects", [{ type: "jetstream", stream_name: "A" }], { streams: ["A"] }],
    [
      "typed, beside plain NATS",
      [
        input,
        {
          config: {
            kind: "jetstream",
            stream_name: "A",
            subjects: ["a.x", "a.y"],
            deliver_policy: "all",
            ack_policy: "explicit",
            ack_wait: "5s",
            max_deliver: 5,
            max_ack_pending: 100,
          },
        },
        { config: { kind: "jetstream", stream_name: "B", subjects: ["b"] } },
      ],
      { subjects: ["events.>"], streams: ["A:a.x", "A:a.y", "B:b"], startFrom: "all" },
    ],
    [
      "of key-value buckets",
      [{ type: "kv", bucket: "settings" }, { config: { kind: "kv", bucket: "b" } }],
      { subjects: [], streams: ["KV_settings", "KV_b"] },
    ],
  ])("%s", (_, inputs, expected) => {
    expect(parseConfig({ ports: { inputs } })).toMatchObject(expected);
  });
});

describe("StreamKit's ports are refused", () => {
  test.each<[string, unknown, string]>([
    [
      "beside subjects",
      { ports: { inputs: [input] }, subjects: ["a"] },
      '"subjects" must not be set beside "ports.inputs", which says the same',
    ],
    [
      "beside another port",
      { ports: { outputs: [output] }, port: 8080 },
      '"port" is 8080 but "ports.outputs[0]" says 9001',
    ],
    [
      "beside another path",
      { ports: { outputs: [output] }, path: "/ws" },
      '"path" is "/ws" but "ports.outputs[0]" says "/live"',
    ],
    [
      "beside another host",
      { ports: { outputs: [output] }, host: "::1" },
      '"host" is "::1" but "ports.outputs[0]" says "0.0.0.0"',
    ],
    [
      "with a stream that is not named",
      { ports: { inputs: [{ type: "jetstream", subject: "a.>" }] } },
      '"ports.inputs[0].stream_name" is missing but must name a stream',
    ],
    [
      "with two places to begin",
      {
        ports: {
          inputs: [
            { type: "jetstream", stream_name: "A", deliver_policy: "all" },
            { type: "jetstream", stream_name: "B", deliver_policy: "last" },
          ],
        },
      },
      '"ports.inputs" must have one "deliver_policy" but have "all" and "last"',
    ],
    [
      "with a time to begin, for which there is no field",
      {
        ports: {
          inputs: [
            { config: { kind: "jetstream", stream_name: "A", deliver_policy: "by_start_time" } },
          ],
        },
      },
      '"ports.inputs[0].config.deliver_policy" is "by_start_time" but must be "new", "all", "last" or "last_per_subject"',
    ],
    [
      "with a misspelt kind",
      { ports: { inputs: [{ config: { kind: "nast", subject: "a" } }] } },
      '"ports.inputs[0].config.kind" is "nast" but must be "nats", "jetstream" or "kv"; did you mean "nats"?',
    ],
    [
      "with an input that is no subject",
      { ports: { inputs: [{ config: { kind: "kv-watch", bucket: "B" } }] } },
      '"ports.inputs[0].config.kind" is "kv-watch" but must be "nats", "jetstream" or "kv"',
    ],
    [
      "with an output that is no listener",
      { ports: { outputs: [{ config: { kind: "nats", subject: "a" } }] } },
      '"ports.outputs[0].config.kind" is "nats" but must be "network"',
    ],
    [
      "without a kind",
      { ports: { inputs: [{ config: { subject: "a" } }] } },
      '"ports.inputs[0].config.kind" is missing but must be "nats", "jetstream" or "kv"',
    ],
    [
      "without a subject",
      { ports: { inputs: [{ config: { kind: "nats" } }] } },
      '"ports.inputs[0].config.subject" is missing but must be a NATS subject',
    ],
    [
      "with a misspelt key",
      { ports: { input: [] } },
      '"ports.input" is not a known key; did you mean "inputs"?',
    ],
    [
      "with a misspelt key of a port",
      { ports: { inputs: [{ ...input, requierd: true }] } },
      '"ports.inputs[0].requierd" is not a known key; did you mean "required"?',
    ],
    [
      "with a misspelt key of a kind",
      { ports: { outputs: [{ config: { kind: "network", prot: 8081 } }] } },
      '"ports.outputs[0].config.prot" is not a known key; did you mean "port"?',
    ],
    [
      "with a stream of plain NATS",
      { ports: { inputs: [{ ...input, stream_name: "A" }] } },
      '"ports.inputs[0].stream_name" is "A" but must not be set in a port of kind "nats"',
    ],
    [
      "with no subject of any kind",
      { ports: { inputs: [{ name: "in" }] } },
      '"ports.inputs[0]" is an object but must have either "subject" or "config"',
    ],
    [
      "with two subjects for one port",
      { ports: { inputs: [{ subject: "a", config: { kind: "nats", subject: "b" } }] } },
      '"ports.inputs[0]" is an object but must have either "subject" or "config"',
    ],
    [
      "with a bad subject",
      { ports: { inputs: [{ subject: "a..b" }] } },
      '"ports.inputs[0].subject" is "a..b" but must not contain an empty token',
    ],
    [
      "with TLS",
      { ports: { outputs: [{ subject: "https://0.0.0.0:8443/ws" }] } },
      '"ports.outputs[0].subject" is "https://0.0.0.0:8443/ws" but must be a URL like "http://0.0.0.0:8081/ws", without TLS (a proxy in front does that)',
    ],
    [
      "with two outputs",
      { ports: { outputs: [output, output] } },
      '"ports.outputs" is a list of 2 but must be a list of one: a gateway listens in one place',
    ],
    ["as a list", { ports: [] }, '"ports" is an empty list but must be an object'],
    [
      "with a text for inputs",
      { ports: { inputs: "events.>" } },
      '"ports.inputs" is "events.>" but must be a list of ports',
    ],
    [
      "with a typed port out of range",
      { ports: { outputs: [{ config: { kind: "network", port: 65_536 } }] } },
      '"ports.outputs[0].config.port" is 65536 but must be 0 (any free port) or an integer from 1 to 65535',
    ],
  ])("%s", (_, raw, problem) => {
    expect(refusalOf(raw)).toBe(`Cannot use configuration: ${problem}`);
  });

  test("with a subject that comes by itself and from a stream", () => {
    const inputs = [input, { type: "jetstream", stream_name: "A", subject: "events.x" }];
    expect(refusalOf({ ports: { inputs } })).toBe(
      'Cannot use configuration from ports.inputs: "subjects" is a list of 1 but must not contain "events.>": stream A carries events.x, so clients would get such messages twice',
    );
  });

  test("together with other mistakes", () => {
    expect(refusalOf({ ports: { inputs: 5 }, prot: 1, port: -2 })).toBe(
      several(
        '"ports.inputs" is 5 but must be a list of ports',
        '"port" is -2 but must be 0 (any free port) or an integer from 1 to 65535',
        '"prot" is not a known key; did you mean "port"?',
      ),
    );
  });

  test("with a port that is too great, and told where it is", () => {
    expect(refusalOf({ ports: { outputs: [{ subject: "http://0.0.0.0:65536/ws" }] } })).toBe(
      'Cannot use configuration from ports.outputs[0]: "port" is 65536 but must be 0 (any free port) or an integer from 1 to 65535',
    );
  });
});

describe("StreamKit's passthrough", () => {
  test.each<[object, string]>([
    [{}, "raw"],
    [{ passthrough: true }, "raw"],
    [{ passthrough: true, payload_format: "raw" }, "raw"],
    [{ passthrough: false }, "annotated"],
    [{ passthrough: false, payload_format: "annotated" }, "annotated"],
    [{ passthrough: false, ports: { inputs: [input] } }, "annotated"],
  ])("%j is the payload_format of the same effect", (raw, format) => {
    expect(parseConfig(raw).payloadFormat).toBe(format as never);
  });

  test("is overridden like any key", async () => {
    const argv = ["--config", "f", "--payload-format", "raw"];
    const files = { f: { passthrough: false } };
    expect((await loadedConfig({ argv, files })).payloadFormat).toBe("raw");
    expect((await loadedConfig({ argv: argv.slice(0, 2), files })).payloadFormat).toBe("annotated");
  });

  test.each<[object, string]>([
    [
      { passthrough: false, payload_format: "raw" },
      '"payload_format" is "raw" but "passthrough" is false, which is "annotated"',
    ],
    [
      { passthrough: true, payload_format: "annotated" },
      '"payload_format" is "annotated" but "passthrough" is true, which is "raw"',
    ],
    [{ passthrough: "true" }, '"passthrough" is "true" but must be true or false'],
    [{ passthrough: null }, '"passthrough" is null but must be true or false'],
  ])("%j is refused", (raw, problem) => {
    expect(refusalOf(raw)).toBe(`Cannot use configuration: ${problem}`);
  });
});
