import { describe, expect, test } from "bun:test";
import { COMMANDS } from "../../src/commands/commands.ts";
import { VERSION } from "../../src/gateway/version.ts";
import { run } from "./host.ts";

describe("spillway", () => {
  test.each([
    [["chek"], '"chek" is not a command; did you mean "check"?'],
    [["printconfig"], '"printconfig" is not a command; did you mean "print-config"?'],
    [["xyzzy"], '"xyzzy" is not a command. spillway --help lists the commands'],
    [["version"], '"version" is not a command; did you mean "--version"?'],
    [["help"], '"help" is not a command; did you mean "--help"?'],
    [
      ["--config", "c.json", "check"],
      '"check" is a command, which comes first: spillway check [flags]',
    ],
    [["token"], '"token" is not a command: it is "token make" or "token inspect"'],
    [["token", "--help"], '"token" is not a command: it is "token make" or "token inspect"'],
    [["token", "mkae"], '"token mkae" is not a command; did you mean "token make"?'],
    [["schema", "--jsn"], 'Cannot use the command line: "--jsn" is not a known flag'],
    [
      ["hash-password", "hunter2"],
      'Cannot use the command line: "hunter2" is not a flag, which begins with "--"',
    ],
    [
      ["check", "--conect"],
      'Cannot use configuration from the command line: "--conect" is not a known flag; did you mean "--connect"?',
    ],
    [
      ["--chekc"],
      'Cannot use configuration from the command line: "--chekc" is not a known flag; did you mean "--check"?',
    ],
    [["--check=yes"], 'Cannot use configuration from the command line: "--check" takes no value'],
    [["--help=yes"], 'Cannot use configuration from the command line: "--help" takes no value'],
    [
      ["spillway.json"],
      'Cannot use configuration from the command line: "spillway.json" is not a flag; did you mean "--config spillway.json"?',
    ],
    [
      ["check", "--port", "x"],
      'Cannot use configuration from --port: "port" is "x" but must be 0 (any free port) or an integer from 1 to 65535',
    ],
  ])("%j is refused with 1, and the nearest name", async (argv, error) => {
    const { code, output, error: said } = await run(argv);
    expect({ code, output }).toEqual({ code: 1, output: "" });
    const more = error.startsWith("Cannot use configuration")
      ? ""
      : "More: spillway explain COMMAND_INVALID\n";
    expect(said).toBe(`${error}\n${more}`);
  });

  test.each([
    [["--help"]],
    [["-h"]],
    [["--port", "9000", "--help"]],
    [["--prot", "9000", "--help"]],
  ])("%j prints the help, whatever else is wrong", async (argv) => {
    const { code, output, error } = await run(argv, { env: { SPILLWAY_NOPE: "1" } });
    expect({ code, error }).toEqual({ code: 0, error: "" });
    for (const { name, summary } of COMMANDS) {
      expect(output).toContain(`\n  ${name.padEnd(21)} ${summary}\n`);
    }
    for (const flag of ["--check", "--hash-password", "--version", "--config <file>"]) {
      expect(output).toContain(`\n  ${flag} `);
    }
  });

  test.each([[["--version"]], [["--version", "--help"]], [["check", "--version"]]])(
    "%j prints the version",
    async (argv) => {
      expect(await run(argv)).toEqual({ code: 0, output: `${VERSION}\n`, error: "" });
    },
  );

  test.each(COMMANDS)(
    "$name --help says how to use it, in lines of at most 96 columns",
    async (command) => {
      const { code, output } = await run([...command.name.split(" "), "--help"]);
      expect(code).toBe(0);
      const words = command.words === undefined ? "" : ` ${command.words}`;
      expect(output).toContain(`\nUsage: spillway ${command.name}${words} [flags]\n`);
      for (const { name } of command.flags) expect(output).toContain(`\n  ${name}`);
      for (const line of output.split("\n")) expect(line.length).toBeLessThanOrEqual(96);
    },
  );

  test.each([[["hash-password"]], [["--hash-password"]], [["--hash-password", "--prot", "9000"]]])(
    "%j hashes the password on the standard input",
    async (argv) => {
      const { code, output } = await run(argv, { input: "hunter2\n" });
      expect(code).toBe(0);
      expect(output).toMatch(/^scrypt\$32768\$8\$3\$[\w-]+\$[\w-]+\n$/);
    },
  );
});

describe("spillway check", () => {
  const files = { "f.json": { port: 9000, nats_token: "hunter2", nats_url: "nats://a" } };

  test.each([[["check"]], [["--check"]]])(
    "%j prints the settings, without colours",
    async (argv) => {
      const { code, output, error } = await run([...argv, "--config", "f.json"], { files });
      expect({ code, error }).toEqual({ code: 0, error: "" });
      expect(output).toStartWith("The configuration is valid.\n");
      expect(output).toMatch(/^ {2}port = 9000 +# f\.json$/m);
      expect(output).not.toContain("hunter2");
    },
  );

  test("prints the sources less bright on a terminal", async () => {
    const { output } = await run(["check", "--port", "9000"], { hasColors: true });
    expect(output).toContain("\u001b[2m# --port\u001b[22m\n");
  });

  test("--json prints problems for programs", async () => {
    const { code, output } = await run(["check", "--json", "--prt", "1", "--path", "ws"]);
    expect(code).toBe(1);
    expect(JSON.parse(output)).toEqual({
      valid: false,
      problems: [
        {
          key: "port",
          from: "the command line",
          text: '"--prt" is not a known flag; did you mean "--port"?',
        },
        { key: "path", from: "--path", text: expect.stringContaining('"path" is "ws" but must') },
      ],
    });
    const right = await run(["check", "--json"]);
    expect([right.code, JSON.parse(right.output)]).toEqual([0, { valid: true, notices: [] }]);
  });
});

describe("spillway print-config", () => {
  const sources = {
    env: {
      NATS_URL: "nats://a",
      SPILLWAY_NATS_TOKEN: "hunter2",
      SPILLWAY_PORT: "9001",
    },
    files: { "f.json": { subjects: ["orders.>"], port: 9000, write_timeout: "1m" } },
  };

  test("prints each setting with its source and no secret", async () => {
    const argv = ["print-config", "--config", "f.json", "--write-timeout", "5s"];
    const { code, output } = await run(argv, sources);
    expect(code).toBe(0);
    expect(output).not.toContain("hunter2");
    const rows = output.split("\n").map((line) => line.trim().replace(/ {2,}/g, " "));
    for (const row of [
      'subjects = ["orders.>"] # file: f.json',
      "port = 9001 # environment: SPILLWAY_PORT",
      'write_timeout = "5s" # flag: --write-timeout',
      'read_timeout = "1m" # default',
      'nats_url = ["nats://a"] # environment: NATS_URL',
      'nats_token = "***" # environment: SPILLWAY_NATS_TOKEN',
    ]) {
      expect(rows).toContain(row);
    }
  });

  test("--json prints them for programs", async () => {
    const { output } = await run(["print-config", "--json", "--config", "f.json"], sources);
    expect(output).not.toContain("hunter2");
    expect(JSON.parse(output)).toMatchObject({
      subjects: { value: ["orders.>"], source: "file", from: "f.json" },
      port: { value: 9001, source: "environment", from: "SPILLWAY_PORT" },
      write_timeout: { value: "1m", source: "file", from: "f.json" },
      host: { value: "127.0.0.1", source: "default" },
    });
  });
});

test("spillway schema prints the schema of a file", async () => {
  const { code, output } = await run(["schema"]);
  expect(code).toBe(0);
  expect(JSON.parse(output)).toMatchObject({
    $schema: "https://json-schema.org/draft/2020-12/schema",
    properties: { port: { default: 8080 } },
  });
});
