import { describe, expect, test } from "bun:test";
import { checkReport } from "../../src/config/check-report.ts";
import { keyTable } from "../../src/config/key-table.ts";
import { load, loadedConfig, loadRefusalOf, several } from "./refusal.ts";

describe("Flags", () => {
  test("take their value as the next word or after an equals sign", async () => {
    const [spaced, joined] = await Promise.all([
      loadedConfig({
        argv: ["--port", "9000", "--host", "::1", "--path", "/a", "--log-level", "warn"],
      }),
      loadedConfig({ argv: ["--port=9000", "--host=::1", "--path=/a", "--log-level=warn"] }),
    ]);
    expect(spaced).toEqual(joined);
    expect(spaced).toMatchObject({ port: 9000, host: "::1", path: "/a", logLevel: "warn" });
  });

  test("that stand for lists may be repeated", async () => {
    const argv = [
      "--subject",
      "a.>",
      "--subject=b",
      "--nats",
      "nats://a,nats://b",
      "--nats=nats://c",
    ];
    expect(await loadedConfig({ argv })).toMatchObject({
      subjects: ["a.>", "b"],
      natsUrls: ["nats://a", "nats://b", "nats://c"],
    });
  });

  test("that stand for one value are last served when repeated", async () => {
    expect((await loadedConfig({ argv: ["--port", "9000", "--port", "9001"] })).port).toBe(9001);
  });

  test.each<[string[], string]>([
    [["--prot", "9000"], 'the command line: "--prot" is not a known flag; did you mean "--port"?'],
    [["--prot=9000"], 'the command line: "--prot" is not a known flag; did you mean "--port"?'],
    [
      ["--write_timeout", "5s"],
      'the command line: "--write_timeout" is not a known flag; did you mean "--write-timeout"?',
    ],
    [
      ["--write-timeout", "5"],
      '--write-timeout: "write_timeout" is "5" but must be a duration from "1ms" to "24h"; it needs a unit, like "5s" or "5ms"',
    ],
    [["--compression=yes"], '--compression: "compression" is "yes" but must be true or false'],
    [["--no-compression=true"], 'the command line: "--no-compression" takes no value'],
    [
      ["--no-compressio"],
      'the command line: "--no-compressio" is not a known flag; did you mean "--no-compression"?',
    ],
    [["--no-port"], 'the command line: "--no-port" is not a known flag'],
    [["--config="], 'the command line: "--config" needs a value'],
    [["-p", "9000"], 'the command line: "-p" is not a known flag'],
    [["here"], 'the command line: "here" is not a flag, which begins with "--"'],
    [
      ["spillway.json"],
      'the command line: "spillway.json" is not a flag; did you mean "--config spillway.json"?',
    ],
    [
      ["nats://a:4222"],
      'the command line: "nats://a:4222" is not a flag; did you mean "--nats nats://a:4222"?',
    ],
    [
      ["nats://u:s3cret@a"],
      'the command line: "nats://***@a" is not a flag; did you mean "--nats nats://***@a"?',
    ],
    [["--compression", "maybe"], 'the command line: "maybe" is not a flag, which begins with "--"'],
    [["--"], 'the command line: "--" is not a known flag'],
    [["--port"], 'the command line: "--port" needs a value'],
    [["--port="], 'the command line: "--port" needs a value'],
    [["--host", "--port", "9000"], 'the command line: "--host" needs a value'],
    [
      ["--port", "-1"],
      '--port: "port" is -1 but must be 0 (any free port) or an integer from 1 to 65535',
    ],
    [
      ["--port", "http"],
      '--port: "port" is "http" but must be 0 (any free port) or an integer from 1 to 65535',
    ],
    [["--subject", "a..b"], '--subject: "subjects" is "a..b" but must not contain an empty token'],
    [
      ["--log-level", "dbug"],
      '--log-level: "log_level" is "dbug" but must be "debug", "info", "warn" or "error"; did you mean "debug"?',
    ],
  ])("%j are refused", async (argv, problem) => {
    expect(await loadRefusalOf({ argv })).toBe(`Cannot use configuration from ${problem}`);
  });

  test("are refused together", async () => {
    expect(await loadRefusalOf({ argv: ["--config", "-h2", "--port", "x"] })).toBe(
      several(
        'the command line: "--config" needs a value',
        'the command line: "-h2" is not a known flag',
        '--port: "port" is "x" but must be 0 (any free port) or an integer from 1 to 65535',
      ),
    );
  });

  test("are there for every key", async () => {
    for (const { key, default: preset } of keyTable()) {
      if (preset === undefined || key === "nats_url") continue;
      const text = Array.isArray(preset) ? JSON.stringify(preset) : String(preset);
      const argv = [`--${key.replaceAll("_", "-")}=${text}`];
      expect(await loadedConfig({ argv })).toEqual(await loadedConfig({}));
    }
  });

  test("of lists are separated by commas, may be repeated, and go together with the short one", async () => {
    const argv = [
      "--subjects",
      "a,b",
      "--subject",
      "c,d",
      "--subjects=e",
      "--nats-url",
      "nats://a",
    ];
    expect(await loadedConfig({ argv })).toMatchObject({
      subjects: ["a", "b", "c,d", "e"],
      natsUrls: ["nats://a"],
    });
  });

  test.each<[string[], boolean]>([
    [["--compression"], true],
    [["--compression", "--port", "9000"], true],
    [["--compression", "true"], true],
    [["--compression", "false"], false],
    [["--compression=false"], false],
    [["--no-compression"], false],
    [["--compression", "--no-compression"], false],
  ])("%j switch compression", async (argv, compression) => {
    expect((await loadedConfig({ argv })).compression).toBe(compression);
  });
});

describe("The report of a check", () => {
  test.each([
    ["127.0.0.1", "localhost"],
    ["0.0.0.0", "localhost"],
    ["::", "localhost"],
    ["::1", "[::1]"],
    ["192.0.2.7", "192.0.2.7"],
  ])(
    "says where clients connect if the host is %s: a name that a browser can open",
    async (host, name) => {
      const loaded = await load({ argv: ["--host", host] });
      expect(checkReport(loaded)).toContain(`Clients connect to ws://${name}:8080/ws`);
    },
  );

  test("says what a configuration comes to, where from, and no secret", async () => {
    const loaded = await load({
      argv: ["--config", "f.json", "--write-timeout", "1500ms"],
      env: { NATS_URL: "nats://me:hunter2@a,nats://b?jwt=hunter2" },
      files: { "f.json": { subjects: ["orders.>"], ring_bytes: 4096 } },
    });
    const report = checkReport(loaded);
    expect(report).not.toContain("hunter2");
    expect(report).toMatch(/^The configuration is valid\./);
    expect(report).toContain("ws://localhost:8080/ws, and get orders.> from NATS.");
    const rows = report.split("\n").map((line) => line.trim().replace(/ {2,}/g, " "));
    for (const row of [
      'subjects = ["orders.>"] # f.json',
      'ring_bytes = "4KiB" # f.json',
      'nats_url = ["nats://***@a","nats://b?***"] # NATS_URL',
      'write_timeout = "1.5s" # --write-timeout',
      "port = 8080",
    ]) {
      expect(rows).toContain(row);
    }
  });

  test("hides a secret key's value", async () => {
    const env = { NATS_URL: "nats://a", SPILLWAY_NATS_TOKEN: "hunter2" };
    const loaded = await load({ env });
    const rows = checkReport(loaded).split("\n");
    const row = rows
      .find((line) => line.includes("nats_token "))
      ?.trim()
      .replace(/ {2,}/g, " ");
    expect(row).toBe('nats_token = "***" # SPILLWAY_NATS_TOKEN');
  });
});
