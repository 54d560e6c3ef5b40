import { describe, expect, test } from "bun:test";
import { loadConfig } from "../../src/config/load.ts";
import { defaultConfig } from "../../src/config/parse.ts";
import { SpillwayError } from "../../src/core/errors.ts";
import { loadedConfig, loadRefusalOf } from "./refusal.ts";

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
    expect(loaded).toEqual({ kind: "run", config: defaultConfig() });
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
    const rule = "0 (any free port) or an integer from 1024 to 65535";
    const wrong = { a: { port: 80 }, b: { ports: { outputs: [{ subject: "ws://0.0.0.0:80" }] } } };
    const flag = ["--port", "9000"];
    const refused = (...argv: string[]) => loadRefusalOf({ argv, files: wrong });
    expect(await refused("--config", "a", ...flag)).toBe(
      `Cannot use configuration from a: "port" is 80 but must be ${rule}`,
    );
    expect(await refused("--config", "b", ...flag)).toBe(
      `Cannot use configuration from ports.outputs[0] of b: "port" is 80 but must be ${rule}`,
    );
    const files = { a: { subjects: ["a..b"] } };
    const env = { SPILLWAY_CONFIG: "a", SPILLWAY_SUBJECTS: "a.b" };
    expect(await loadRefusalOf({ env, files })).toStartWith(
      'Cannot use configuration from a: "subjects" is "a..b" but',
    );
    expect(await loadRefusalOf({ argv: flag, env: { PORT: "80" } })).toBe(
      `Cannot use configuration from PORT: "port" is 80 but must be ${rule}`,
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
      '"port" is 70000 but must be 0 (any free port) or an integer from 1024 to 65535',
    ],
    ['{"port": 1,\n  "path" "/ws"}', "it is not JSON at line 2, column 10"],
    ["[]", "it must be a JSON object"],
    [
      { ports: { inputs: [{ subject: "" }] } },
      '"ports.inputs[0].subject" is "" but must not be empty',
    ],
    [
      { port: 1, path: "x", nope: 1 },
      '"port" is 1 but must be 0 (any free port) or an integer from 1024 to 65535 (and 2 more)',
    ],
  ])("%j is refused with its path", async (content, problem) => {
    const argv = ["--config", "etc/spillway.json"];
    const line = await loadRefusalOf({ argv, files: { "etc/spillway.json": content } });
    expect(line).toBe(`Cannot use configuration from etc/spillway.json: ${problem}`);
  });

  test("that says where to listen is named with the place in it", async () => {
    const content = { ports: { outputs: [{ subject: "http://a:1/ws" }] } };
    expect(
      await loadRefusalOf({ argv: ["--config", "f.json"], files: { "f.json": content } }),
    ).toBe(
      'Cannot use configuration from ports.outputs[0] of f.json: "port" is 1 but must be 0 (any free port) or an integer from 1024 to 65535',
    );
  });

  test("and variable that don't agree are both named", async () => {
    const sources = {
      argv: ["--config", "f.json"],
      env: { SPILLWAY_READ_TIMEOUT: "20s" },
      files: { "f.json": { ping_interval: "25s" } },
    };
    expect(await loadRefusalOf(sources)).toBe(
      'Cannot use configuration from f.json and SPILLWAY_READ_TIMEOUT: "ping_interval" is "25s" but must be shorter than "read_timeout" ("20s"), or every client that only listens is cut',
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
