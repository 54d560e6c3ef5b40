import { describe, expect, test } from "bun:test";
import { load, loadedConfig, loadRefusalOf } from "./refusal.ts";

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

  test.each<[string[], "help" | "version"]>([
    [["--help"], "help"],
    [["-h"], "help"],
    [["--port", "9000", "--help"], "help"],
    [["--prot", "9000", "--help"], "help"],
    [["--version"], "version"],
    [["--version", "--help"], "version"],
  ])("%j ask for %s, whatever else is wrong", async (argv, kind) => {
    expect(await load({ argv, env: { SPILLWAY_NOPE: "1" } })).toEqual({ kind });
  });

  test.each<[string[], string]>([
    [["--prot", "9000"], 'the command line: "--prot" is not a known flag; did you mean "--port"?'],
    [["--prot=9000"], 'the command line: "--prot" is not a known flag; did you mean "--port"?'],
    [
      ["--subjects", "a"],
      'the command line: "--subjects" is not a known flag; did you mean "--subject"?',
    ],
    [
      ["--write-timeout", "5s"],
      'the command line: "--write-timeout" is not a known flag; set SPILLWAY_WRITE_TIMEOUT, or "write_timeout" in a file',
    ],
    [["-p", "9000"], 'the command line: "-p" is not a known flag'],
    [["serve"], 'the command line: "serve" is not a known flag'],
    [["--"], 'the command line: "--" is not a known flag'],
    [["--port"], 'the command line: "--port" needs a value'],
    [["--port="], 'the command line: "--port" needs a value'],
    [["--host", "--port", "9000"], 'the command line: "--host" needs a value'],
    [["--config", "-h2"], 'the command line: "--config" needs a value (and 1 more)'],
    [["--help=yes"], 'the command line: "--help" takes no value'],
    [
      ["--port", "-1"],
      '--port: "port" is -1 but must be 0 (any free port) or an integer from 1024 to 65535',
    ],
    [
      ["--port", "http"],
      '--port: "port" is "http" but must be 0 (any free port) or an integer from 1024 to 65535',
    ],
    [["--subject", "a..b"], '--subject: "subjects" is "a..b" but must not contain an empty token'],
    [
      ["--log-level", "dbug"],
      '--log-level: "log_level" is "dbug" but must be "debug", "info", "warn" or "error"; did you mean "debug"?',
    ],
  ])("%j are refused", async (argv, problem) => {
    expect(await loadRefusalOf({ argv })).toBe(`Cannot use configuration from ${problem}`);
  });
});
