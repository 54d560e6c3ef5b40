import { describe, expect, test } from "bun:test";
import { loadConfig } from "../../src/config/load.ts";
import { defaultConfig } from "../../src/config/parse.ts";
import { SpillwayError } from "../../src/core/ports/errors.ts";
import { load, loadedConfig, loadRefusalOf, several } from "./refusal.ts";

const files = {
  "spillway.json": { port: 9001, host: "0.0.0.0", path: "/file", write_timeout: "1s" },
  "ports.json": {
    ports: {
      inputs: [{ name: "in", type: "nats", subject: "file.>" }],
      outputs: [{ subject: "http://0.0.0.0:9001/file" }],
    },
  },
};

describe("Layers", () => {
  test("of nothing are the defaults, and no file is read", async () => {
    const readTextFile = () => Promise.reject(new Error("Read a file"));
    const loaded = await loadConfig({ argv: [], env: {}, readTextFile });
    expect(loaded).toMatchObject({ config: defaultConfig(), notices: [] });
  });

  test("are flags over environment over file over defaults", async () => {
    const argv = ["--config", "spillway.json", "--port", "9003"];
    const env = { SPILLWAY_PORT: "9002", SPILLWAY_HOST: "::1" };
    expect(await loadedConfig({ argv, env, files })).toEqual({
      ...defaultConfig(),
      port: 9003,
      host: "::1",
      path: "/file",
      writeTimeoutMs: 1000,
    });
  });

  test("replace a list, and don't add to it", async () => {
    const argv = ["--config", "a", "--subject", "flag"];
    const config = await loadedConfig({ argv, files: { a: { subjects: ["x", "y"] } } });
    expect(config.subjects).toEqual(["flag"]);
  });

  test("override what a file's ports say", async () => {
    const argv = ["--config", "ports.json", "--port", "9002", "--subject", "flag.>"];
    const config = await loadedConfig({ argv, env: { SPILLWAY_PATH: "/env" }, files });
    expect(config).toMatchObject({
      host: "0.0.0.0",
      port: 9002,
      path: "/env",
      subjects: ["flag.>"],
    });
  });

  test("of subjects leave nothing required that only a file's ports name", async () => {
    const inputs = [
      { subject: "a", required: true },
      { subject: "b", required: true },
    ];
    const files = { "f.json": { ports: { inputs } } };
    const argv = ["--config", "f.json", "--subject", "b", "--subject", "c"];
    expect((await loadedConfig({ argv, files })).requiredSubjects).toEqual(["b"]);
  });

  test("take the file from SPILLWAY_CONFIG, unless --config names one", async () => {
    const env = { SPILLWAY_CONFIG: "spillway.json" };
    expect((await loadedConfig({ env, files })).path).toBe("/file");
    expect((await loadedConfig({ argv: ["--config=ports.json"], env, files })).subjects).toEqual([
      "file.>",
    ]);
  });

  test("don't hide a wrong value of a lower one, which is named with its place", async () => {
    const rule = "0 (any free port) or an integer from 1 to 65535";
    const wrong = {
      a: { port: 70_000 },
      b: { ports: { outputs: [{ subject: "ws://0.0.0.0:70000" }] } },
    };
    const flag = ["--port", "9000"];
    const refused = (...argv: string[]) => loadRefusalOf({ argv, files: wrong });
    expect(await refused("--config", "a", ...flag)).toBe(
      `Cannot use configuration from a: "port" is 70000 but must be ${rule}`,
    );
    expect(await refused("--config", "b", ...flag)).toBe(
      `Cannot use configuration from ports.outputs[0] of b: "port" is 70000 but must be ${rule}`,
    );
    const files = { a: { subjects: ["a..b"] } };
    const env = { SPILLWAY_CONFIG: "a", SPILLWAY_SUBJECTS: "a.b" };
    expect(await loadRefusalOf({ env, files })).toStartWith(
      'Cannot use configuration from a: "subjects" is "a..b" but',
    );
    expect(await loadRefusalOf({ argv: flag, env: { PORT: "70000" } })).toBe(
      `Cannot use configuration from PORT: "port" is 70000 but must be ${rule}`,
    );
  });

  test("don't show a secret that they override", async () => {
    const argv = ["--config", "a", "--nats", "nats://b"];
    const files = { a: { nats_url: "http://me:s3cret@a" } };
    const line = await loadRefusalOf({ argv, files });
    expect(line).toStartWith('Cannot use configuration from a: "nats_url" must be');
    expect(line).not.toContain("s3cret");
  });

  test("may bring what a lower one lacks to agree with itself", async () => {
    const argv = ["--config", "a"];
    const files = { a: { ping_interval: "70s" } };
    expect(await loadRefusalOf({ argv, files })).toContain("read_timeout");
    const env = { SPILLWAY_READ_TIMEOUT: "2m" };
    expect((await loadedConfig({ argv, env, files })).readTimeoutMs).toBe(120_000);
  });
});

describe("File", () => {
  test.each<[unknown, string]>([
    [{ prot: 9000 }, '"prot" is not a known key; did you mean "port"?'],
    [
      { port: 70_000 },
      '"port" is 70000 but must be 0 (any free port) or an integer from 1 to 65535',
    ],
    ['{"port": 1,\n  "path" "/ws"}', "it is not JSON at line 2, column 10"],
    ["[]", "it must be a JSON object"],
    [
      { ports: { inputs: [{ subject: "" }] } },
      '"ports.inputs[0].subject" is "" but must not be empty',
    ],
  ])("%j is refused with its path", async (content, problem) => {
    const argv = ["--config", "etc/spillway.json"];
    const line = await loadRefusalOf({ argv, files: { "etc/spillway.json": content } });
    expect(line).toBe(`Cannot use configuration from etc/spillway.json: ${problem}`);
  });

  test("that says where to listen is named with the place in it", async () => {
    const content = { ports: { outputs: [{ subject: "http://a:70000/ws" }] } };
    expect(
      await loadRefusalOf({ argv: ["--config", "f.json"], files: { "f.json": content } }),
    ).toBe(
      'Cannot use configuration from ports.outputs[0] of f.json: "port" is 70000 but must be 0 (any free port) or an integer from 1 to 65535',
    );
  });

  test("and variable that don't agree are both named", async () => {
    const sources = {
      argv: ["--config", "f.json"],
      env: { SPILLWAY_READ_TIMEOUT: "20s" },
      files: { "f.json": { ping_interval: "25s" } },
    };
    expect(await loadRefusalOf(sources)).toBe(
      'Cannot use configuration from f.json and SPILLWAY_READ_TIMEOUT: "ping_interval" is "25s" but must be shorter than "read_timeout" ("20s"), or every client that only listens is disconnected',
    );
  });

  test("that can't be read is refused in one line, with the cause kept", async () => {
    const cause = new Error("no such file,\nopen 'f.json'");
    const loading = loadConfig({
      argv: ["--config", "f.json"],
      env: {},
      readTextFile: () => Promise.reject(cause),
    });
    const error = await loading.catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(SpillwayError);
    expect(error).toMatchObject({
      message:
        "Cannot use configuration from f.json: it can't be read: no such file, open 'f.json'",
      cause,
    });
  });

  test("that is no JSON has no cause, which would repeat its text", async () => {
    const loading = loadConfig({
      argv: ["--config", "f.json"],
      env: {},
      readTextFile: async () => "{hunter2}",
    });
    const error = await loading.catch((thrown: unknown) => thrown);
    expect((error as Error).cause).toBeUndefined();
  });
});

describe("Everything that is wrong is told at once", () => {
  test("in a file, the environment and the flags", async () => {
    const sources = {
      argv: ["--config", "f.json", "--prot", "1", "--write-timeout", "5"],
      env: { SPILLWAY_PATH: "ws", SPILLWAY_LOG_LEVL: "debug", SPILLWAY_READ_TIMEOUT: "20s" },
      files: {
        "f.json": {
          $schema: "x",
          ports: { inputs: [{ subject: "a..b" }, { type: "nast", subject: "a" }] },
          max_clients: 0,
          nope: 1,
        },
      },
    };
    expect(
      (await loadRefusalOf(sources)).split("\n").map((line) => line.split(" but ")[0]),
    ).toEqual([
      "Cannot use configuration, as 8 things are wrong:",
      '- f.json: "ports.inputs[0].subject" is "a..b"',
      '- f.json: "ports.inputs[1].type" is "nast"',
      '- the environment: "SPILLWAY_LOG_LEVL" is not a known variable; did you mean "SPILLWAY_LOG_LEVEL"?',
      '- the command line: "--prot" is not a known flag; did you mean "--port"?',
      '- SPILLWAY_PATH: "path" is "ws"',
      '- --write-timeout: "write_timeout" is "5"',
      '- f.json: "max_clients" is 0',
      '- f.json: "nope" is not a known key',
    ]);
  });

  test("where a file can't be read, but for rules that it may have to do with", async () => {
    const env = { SPILLWAY_NATS_USER: "u", SPILLWAY_PORT: "x" };
    const argv = ["--config", "f.json"];
    expect(await loadRefusalOf({ argv, env, files: { "f.json": "{" } })).toBe(
      several(
        "f.json: it is not JSON at line 1, column 1",
        'SPILLWAY_PORT: "port" is "x" but must be 0 (any free port) or an integer from 1 to 65535',
      ),
    );
  });

  test("with the files that it names", async () => {
    const env = { NATS_URL: "nats://a", SPILLWAY_NATS_CREDS_FILE: "creds", SPILLWAY_PATH: "x" };
    const asked: unknown[] = [];
    const loading = loadConfig({
      argv: [],
      env,
      readTextFile: () => Promise.reject(new Error("Read a file")),
      checkFiles: async (config) => {
        asked.push(config.natsCredsFile);
        return [{ key: "nats_creds_file", text: '"nats_creds_file" is empty' }];
      },
    });
    const { message } = (await loading.catch((thrown: unknown) => thrown)) as Error;
    expect(message).toContain('- SPILLWAY_PATH: "path" is "x"');
    expect(message).toContain('- SPILLWAY_NATS_CREDS_FILE: "nats_creds_file" is empty');
    expect(asked).toEqual(["creds"]);
  });
});

describe("Without NATS", () => {
  const ports = { inputs: [{ name: "stream", type: "nats", subject: "events.>", required: true }] };
  const argv = ["--config", "sample.json"];

  test("a file that names NATS subjects is used, and says where its messages come from", async () => {
    const files = { "sample.json": { ports } };
    expect(await load({ argv, files })).toMatchObject({
      notices: [
        'sample.json names NATS subjects (events.>), but no setting gives the address of NATS, so messages come from an in-memory source: set NATS_URL, --nats or "nats_url"',
      ],
    });
    const env = { NATS_URL: "nats://a" };
    expect(await load({ argv, env, files })).toMatchObject({ notices: [] });
    expect(await load({ argv, files: { "sample.json": {} } })).toMatchObject({ notices: [] });
  });

  test("streams can't be carried", async () => {
    const files = { "sample.json": { streams: ["ORDERS"] } };
    expect(await loadRefusalOf({ argv, files })).toBe(
      'Cannot use configuration from sample.json: "streams" is a list of 1 but needs NATS: set "nats_url"',
    );
  });
});
