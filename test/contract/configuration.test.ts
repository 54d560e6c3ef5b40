import { describe, expect, test } from "bun:test";
import { createServer, type Server } from "node:net";
import {
  type FinishedRun,
  type GatewayOptions,
  runToExit,
  startGateway,
} from "../support/gateway-process.ts";
import { TARGETS, type Target } from "../support/runtimes.ts";
import { contract, EVERY_RUNTIME } from "./support/contract.ts";

type Wrong = readonly (readonly [what: string, GatewayOptions, says: readonly string[]])[];

/** What is wrong where a runtime reads it: in a file, a variable or a flag; and what the one line about it must say. */
const WRONG_SOURCES: Wrong = [
  ["An unknown key", { config: { write_timeuot: "5s" } }, ["write_timeuot", '"write_timeout"']],
  [
    "A credentials file without credentials",
    { config: { nats_url: "ws://127.0.0.1", nats_creds_file: "package.json" } },
    ["nats_creds_file", "package.json", "JWT"],
  ],
  ["A file that is no JSON", { config: "{port: 1" }, ["spillway.json", "JSON"]],
  ["A file that is missing", { args: ["--config", "/nonexistent.json"] }, ["/nonexistent.json"]],
  [
    "A wrong variable",
    { env: { SPILLWAY_MAX_CLIENTS: "many" } },
    ["SPILLWAY_MAX_CLIENTS", "max_clients", "many"],
  ],
  [
    "An unknown variable",
    { env: { SPILLWAY_MAX_CLIENT: "5" } },
    ["SPILLWAY_MAX_CLIENT", "SPILLWAY_MAX_CLIENTS"],
  ],
  ["A misspelt NATS_URL", { env: { NATS_URl: "nats://127.0.0.1" } }, ['"NATS_URl"', '"NATS_URL"']],
  ["An unknown flag", { args: ["--prot", "8080"] }, ["--prot", "--port"]],
  ["A flag with a wrong value", { args: ["--path", "ws"] }, ["--path", '"ws"']],
];

/** Values that are refused by what is the same code on all runtimes. */
const WRONG_VALUES: Wrong = [
  ["A port above 65535", { config: { port: 70000 } }, ["port", "70000", "65535"]],
  ["A port that is a text", { config: { port: "80" } }, ["port", '"80"', "integer"]],
  ["A path without a slash", { config: { path: "ws" } }, ["path", '"ws"', '"/"']],
  ["A path of its own", { config: { path: "/metrics" } }, ["path", '"/metrics"']],
  [
    "A duration without unit",
    { config: { write_timeout: "5" } },
    ["write_timeout", '"5"', "duration"],
  ],
  [
    "A duration that is a number",
    { config: { read_timeout: 60 } },
    ["read_timeout", "60", "duration"],
  ],
  ["A duration of zero", { config: { ack_timeout: "0s" } }, ["ack_timeout", '"0s"']],
  ["A negative duration", { config: { ping_interval: "-1s" } }, ["ping_interval", '"-1s"']],
  ["An invalid subject", { config: { subjects: ["a..b"] } }, ["subjects", '"a..b"', "empty token"]],
  [
    "A ping_interval not below read_timeout",
    { config: { ping_interval: "5s", read_timeout: "5s" } },
    ["ping_interval", '"5s"', "read_timeout"],
  ],
  [
    "An unknown delivery_mode",
    { config: { delivery_mode: "exactly-once" } },
    ["delivery_mode", '"exactly-once"', "at-most-once"],
  ],
  [
    "A dead_letter_subject with a wildcard",
    { config: { dead_letter_subject: "dead.>" } },
    ["dead_letter_subject", '"dead.>"', "wildcard"],
  ],
  ["A NATS URL of another scheme", { config: { nats_url: "http://x" } }, ["nats_url", "nats://"]],
  [
    "An NKey file without an NKey's seed",
    { config: { nats_url: "nats://127.0.0.1", nats_nkey_file: "package.json" } },
    ["nats_nkey_file", "package.json", "SU"],
  ],
  [
    "An authority's file without a certificate",
    { config: { nats_url: "tls://127.0.0.1", nats_tls_ca_file: "package.json" } },
    ["nats_tls_ca_file", "package.json", "PEM"],
  ],
  [
    "A size with a unit that is unknown",
    { config: { max_queue_bytes: "16M" } },
    ["max_queue_bytes", '"16M"', '"64KiB"'],
  ],
  [
    "A passthrough that contradicts payload_format",
    { config: { passthrough: false, payload_format: "raw" } },
    ["payload_format", "passthrough", "annotated"],
  ],
  ["Streams without NATS", { config: { streams: ["ORDERS"] } }, ["streams", "nats_url"]],
];

/** The newest Node runs the compiled program here: it is the one that users configure. */
const CONFIGURED = EVERY_RUNTIME.map((target) =>
  target === TARGETS.node ? TARGETS["node-dist"] : target,
);

/** Configuration: errors before anything opens, and which source beats which. */
contract(CONFIGURED, (target) => {
  describe("Configuration", () => {
    const wrong = target === TARGETS.bun ? [...WRONG_SOURCES, ...WRONG_VALUES] : WRONG_SOURCES;
    test.each(wrong)("%s: one line, and exit code 1", async (_what, options, says) => {
      const { run, port } = await runWithPortTaken(target, options);
      const lines = run.stderr.trimEnd().split("\n");
      expect(run).toMatchObject({ code: 1, signal: null });
      expect(lines).toHaveLength(1);
      for (const part of says) expect(lines[0]).toContain(part);
      // It was said before the port was tried, which is in use.
      expect(run.stderr + run.stdout).not.toContain(String(port));
    });

    test("Everything that is wrong is told at once, a line each", async () => {
      const { run } = await runWithPortTaken(target, {
        config: { ports: { inputs: [{ type: "nast" }] }, path: "ws", max_clients: 0, nope: 1 },
        env: {
          SPILLWAY_PROT: "1",
          SPILLWAY_PING_INTERVAL: "5",
          NATS_URL: "nats://127.0.0.1",
          SPILLWAY_NATS_CREDS_FILE: "package.json",
        },
        args: ["--write-timeout", "soon"],
      });
      const says = [
        '"ports.inputs[0].type"',
        "SPILLWAY_PROT",
        '"path"',
        '"nats_creds_file"',
        '"write_timeout"',
        '"ping_interval"',
        '"max_clients"',
        '"nope"',
      ];
      const lines = run.stderr.trimEnd().split("\n");
      expect(run.code).toBe(1);
      expect(lines).toHaveLength(1 + says.length);
      for (const part of says) expect(lines.filter((line) => line.includes(part))).toHaveLength(1);
    });

    test("--check says what is right, and opens nothing", async () => {
      const config = `{
        "$schema": "http://localhost:8080/schema.json",
        // What a newer StreamKit writes.
        "passthrough": true,
        "max_queue_bytes": "16MB",
      }`;
      const { run, port } = await runWithPortTaken(target, {
        config,
        env: { NATS_URL: "nats://me:hunter2@127.0.0.1:1" },
        args: ["--check", "--path", "/checked"],
      });
      expect(run).toMatchObject({ code: 0, signal: null, stderr: "" });
      for (const part of [`ws://localhost:${port}/checked`, "16MB", "--path", "NATS_URL"]) {
        expect(run.stdout).toContain(part);
      }
      expect(run.stdout).not.toContain("hunter2");
    });

    test("--check says what is wrong, and takes a port of the system", async () => {
      const wrong = await runToExit(target, { args: ["--check", "--port", "x", "--path", "y"] });
      expect(wrong).toMatchObject({ code: 1, stdout: "" });
      expect(wrong.stderr.trimEnd().split("\n")).toHaveLength(3);
      const right = await runToExit(target, { args: ["--check"], env: { PORT: "80" } });
      expect(right).toMatchObject({ code: 0, stderr: "" });
      expect(right.stdout).toContain("ws://localhost:80/ws");
    });

    test("A file that names NATS subjects and no NATS is used, with a warning", async () => {
      const inputs = [{ name: "stream", type: "nats", subject: "events.>", required: true }];
      const gateway = await startGateway(target, { config: { ports: { inputs } } });
      const { level, properties } = await gateway.waitForLog(
        (line) => line.properties.event === "configuration_notice",
      );
      expect(level).toBe("WARN");
      for (const part of ["spillway.json", "events.>", "in-memory", "NATS_URL"]) {
        expect(String(properties.notice)).toContain(part);
      }
      await gateway.stop();
    });

    test("Flags beat the environment, that beats the file, and that the defaults", async () => {
      const file = { config: { path: "/file", name: "file" } };
      const env = { env: { SPILLWAY_PATH: "/env" } };
      const flag = { args: ["--path", "/flag"] };
      for (const [options, path] of [
        [{}, "/ws"],
        [file, "/file"],
        [{ ...file, ...env }, "/env"],
        [{ ...file, ...env, ...flag }, "/flag"],
      ] as const) {
        const gateway = await startGateway(target, options);
        expect(gateway.path).toBe(path);
        await gateway.stop();
      }
    });

    test("--subject may be repeated, and PORT is the port", async () => {
      const port = await freePort();
      const gateway = await startGateway(target, {
        env: { PORT: `${port}` },
        args: ["--subject", "a.>", "--subject", "b.*"],
      });
      expect(gateway.port).toBe(port);
      const publish = (subject: string) =>
        fetch(`${gateway.url}/publish/${subject}`, { method: "POST", body: "1" });
      expect((await publish("a.b.c")).status).toBe(202);
      expect((await publish("b.x")).status).toBe(202);
      expect((await publish("c")).status).toBe(400);
      await gateway.stop();
    });

    test("StreamKit's own file is read", async () => {
      const gateway = await startGateway(target, {
        config: {
          ports: {
            inputs: [{ name: "stream", type: "nats", subject: "events.>", required: true }],
          },
          port: 8080,
          path: "/stream",
          write_timeout: "5s",
          read_timeout: "60s",
          ping_interval: "30s",
          delivery_mode: "at-most-once",
          ack_timeout: "5s",
        },
      });
      expect(gateway.path).toBe("/stream");
      const publish = (subject: string) =>
        fetch(`${gateway.url}/publish/${subject}`, { method: "POST", body: "1" });
      expect((await publish("events.x")).status).toBe(202);
      expect((await publish("other.x")).status).toBe(400);
      await gateway.stop();
    });

    test("--help says every flag and ends with 0", async () => {
      const { code, stdout, stderr } = await runToExit(target, { args: ["--help"] });
      expect(code).toBe(0);
      expect(stderr).toBe("");
      const flags = [
        "--config",
        "--port",
        "--host",
        "--path",
        "--subject",
        "--nats",
        "--check",
        "--version",
      ];
      for (const flag of flags) expect(stdout).toContain(flag);
      expect(stdout).toContain("write_timeout");
      expect(stdout).toContain("--max-queue-bytes <size>");
    });

    test("--version says the package's version and ends with 0", async () => {
      const manifest = await import("../../package.json", { with: { type: "json" } });
      const { code, stdout } = await runToExit(target, { args: ["--version"] });
      expect(code).toBe(0);
      expect(stdout.trim()).toContain(manifest.default.version);
    });
  });
});

/** Runs the service where its port is in use, unless the options are about the port. */
async function runWithPortTaken(
  target: Target,
  options: GatewayOptions,
): Promise<{ run: FinishedRun; port: number }> {
  const taken = await listen();
  const { port } = taken.address() as { port: number };
  const config = options.config;
  const withPort =
    typeof config === "object" && config.port === undefined
      ? { ...options, config: { ...config, port } }
      : {
          ...options,
          env: { ...options.env, ...(typeof config !== "object" && { PORT: `${port}` }) },
        };
  const run = await runToExit(target, withPort);
  taken.close();
  return { run, port };
}

async function freePort(): Promise<number> {
  const server = await listen();
  const { port } = server.address() as { port: number };
  await new Promise((resolve) => server.close(resolve));
  return port;
}

async function listen(): Promise<Server> {
  const server = createServer().listen(0, "127.0.0.1");
  await new Promise((resolve) => server.once("listening", resolve));
  return server;
}
