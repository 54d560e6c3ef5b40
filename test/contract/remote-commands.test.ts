/** Commands that are clients of a running gateway: `tail`, `top` and `bench`. */
import { describe, expect, test } from "bun:test";
import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type RunningProcess, startProcess } from "../support/child-process.ts";
import { within } from "../support/event-log.ts";
import {
  cleanEnvironment,
  type FinishedRun,
  type Gateway,
  startGateway,
} from "../support/gateway-process.ts";
import { startNatsServer } from "../support/nats-server.ts";
import { ROOT } from "../support/runtimes.ts";
import { startTcpProxy } from "../support/tcp-proxy.ts";
import { contract, EVERY_RUNTIME } from "./support/contract.ts";
import { asOperator, subscribe, untilReady, useGateway } from "./support/gateway-fixture.ts";
import { untilMetric } from "./support/metrics.ts";

/** A port where nothing listens. */
const CLOSED = "http://127.0.0.1:1";

contract(EVERY_RUNTIME, (target) => {
  const options = { cwd: ROOT, env: { ...cleanEnvironment(), ...target.env } };

  const start = (...args: readonly string[]): Promise<RunningProcess> =>
    startProcess(args[0]!, [...target.command(), ...args], options);

  /** Runs a command until it ends by itself. */
  async function run(...args: readonly string[]): Promise<FinishedRun> {
    const running = await start(...args);
    try {
      return await finished(running);
    } finally {
      running.signal("SIGKILL");
    }
  }

  async function finished(running: RunningProcess): Promise<FinishedRun> {
    const exit = await within(running.exited, () => "end of the command");
    const text = (stream: "stdout" | "stderr") =>
      running.lines.entries.flatMap((line) => (line.stream === stream ? [`${line.text}\n`] : []));
    return { ...exit, stdout: text("stdout").join(""), stderr: text("stderr").join("") };
  }

  async function publish(gateway: Gateway, subject: string, body: string, query = "") {
    const url = `${gateway.url}/publish/${subject}${query}`;
    expect((await fetch(url, { method: "POST", body })).status).toBe(202);
  }

  describe("spillway tail", () => {
    const gateway = useGateway(target, () => ({
      config: {
        ...{ subjects: ["orders.>", "jobs.>"], ring_messages: 2 },
        // A test publishes as fast as it can.
        max_publishes_per_second: 100_000,
      },
    }));

    /** Starts it, and waits until it follows its subjects. */
    async function follow(...args: readonly string[]): Promise<RunningProcess> {
      const tail = await start("tail", "--url", gateway().url, ...args);
      await tail.lines.find(({ text }) => /Following |"subscribed"/.test(text), "subscription");
      return tail;
    }

    test("prints messages for people, and ends with 0 on SIGINT", async () => {
      const tail = await follow("orders.>");
      await publish(gateway(), "orders.eu", '{"n":1}');
      await publish(gateway(), "orders.us", "a\u001b[31m b");
      const [one] = await Promise.all([
        tail.lines.find(({ text }) => text.includes("orders.eu"), "message"),
        tail.lines.find(({ text }) => text.includes("orders.us"), "text"),
      ]);
      expect(one.stream).toBe("stdout");
      expect(one.text).toMatch(/^\d{4}-\d\d-\d\dT[\d:.]+Z orders\.eu \{"n":1\}$/);
      tail.signal("SIGINT");
      const { code, stdout } = await finished(tail);
      expect(code).toBe(0);
      // A message can't move the cursor of the terminal.
      expect(stdout).toContain("orders.us a\\u{1b}[31m b\n");
    });

    test("prints one JSON object a line for programs, and ends after --count messages", async () => {
      const tail = await follow("--json", "orders.>", "--count", "2");
      await publish(gateway(), "orders.eu", '{"n":1}');
      await publish(gateway(), "orders.eu", "plain");
      const { code, stdout, stderr } = await finished(tail);
      expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
      const lines = stdout
        .trimEnd()
        .split("\n")
        .map((line) => JSON.parse(line));
      expect(lines.slice(-2)).toEqual([
        {
          ...{ type: "data", subject: "orders.eu", payload: { n: 1 } },
          ...{ id: expect.any(String), timestamp: expect.any(Number) },
        },
        expect.objectContaining({ type: "data", payload: "plain" }),
      ]);
      expect(lines.map(({ type }) => type)).toContainValues([
        "connected",
        "subscribed",
        "upstream",
      ]);
    });

    test("ends with 0 when its subjects have ended", async () => {
      const tail = await follow("jobs.7");
      await publish(gateway(), "jobs.7", '"done"', "?end=true");
      const { code, stdout } = await finished(tail);
      expect(code).toBe(0);
      expect(stdout).toMatch(/jobs\.7 "?done"?\nend of jobs\.7\n$/);
    });

    test("prints a gap in the place of messages that are not kept", async () => {
      const first = await follow("--json", "orders.>", "--count", "1");
      await publish(gateway(), "orders.eu", "0");
      const { stdout } = await finished(first);
      const { id } = JSON.parse(stdout.trimEnd().split("\n").at(-1)!);
      for (let n = 1; n <= 4; n++) await publish(gateway(), "orders.eu", `${n}`);
      const url = gateway().url;
      const later = await run(
        "tail",
        "orders.>",
        "--url",
        url,
        "--from",
        `after:${id}`,
        "--count",
        "2",
      );
      expect(later.code).toBe(0);
      expect(later.stdout).toMatch(
        /^gap: up to 2 missing \(expired\), .*\n.* orders\.eu 3\n.* orders\.eu 4\n$/,
      );
    });

    test("says when the connection is lost, and continues without a gap", async () => {
      const proxy = await startTcpProxy(gateway().port);
      const url = `http://127.0.0.1:${proxy.port}`;
      const tail = await start("tail", "orders.>", "--url", url, "--count", "2");
      await tail.lines.find(({ text }) => text.includes("Following"), "subscription");
      await publish(gateway(), "orders.eu", "1");
      await tail.lines.find(({ text }) => text.endsWith(" orders.eu 1"), "message");
      proxy.cut();
      await tail.lines.find(({ text }) => text.includes("the client tries again"), "loss");
      await publish(gateway(), "orders.eu", "2");
      proxy.mend();
      const { code, stdout, stderr } = await finished(tail);
      await proxy.close();
      expect(code).toBe(0);
      expect(stdout).toMatch(/^.* orders\.eu 1\n.* orders\.eu 2\n$/);
      expect(stderr.match(/^Connected to /gm)?.length).toBe(2);
    });

    test("ends with 0 when nobody reads its output any more", async () => {
      const [program = "", ...args] = [...target.command(), "tail", "orders.>"];
      const tail = spawn(program, [...args, "--url", gateway().url], options);
      let said = "";
      tail.stderr.on("data", (data) => {
        said += data;
      });
      const ended = once(tail, "exit");
      const reads = once(tail.stdout, "data");
      // Until it follows, nothing comes; it may have to read what was published before.
      let isOver = false;
      const publishing = (async () => {
        while (!isOver) await publish(gateway(), "orders.eu", "x");
      })();
      try {
        await within(reads, () => `message; it said: ${said}`);
        tail.stdout.destroy();
        const [code] = await within(ended, () => `end of tail; it said: ${said}`);
        expect(code).toBe(0);
      } finally {
        isOver = true;
        await publishing;
        tail.kill("SIGKILL");
      }
    });

    test("ends with 1 if the gateway refuses a subject, and says where to read more", async () => {
      const { code, stdout, stderr } = await run("tail", "secret.>", "--url", gateway().url);
      expect({ code, stdout }).toEqual({ code: 1, stdout: "" });
      expect(stderr).toContain("The gateway refuses the subscription: ");
      expect(stderr).toEndWith("\nMore: spillway explain forbidden\n");
    });
  });

  describe("spillway top", () => {
    const KEY = "operator-0123456789abcdef0123456789abcdef";

    test("shows clients, queues and lag once, as a table or as JSON", async () => {
      const gateway = await startGateway(target);
      await subscribe(gateway);
      await publish(gateway, "orders.eu", "1");
      await untilMetric(gateway, "websocket_messages_sent_total", (sent) => sent === 1);
      const table = await run("top", "--url", gateway.url);
      expect(table).toMatchObject({ code: 0, stderr: "" });
      // No NATS is configured.
      expect(table.stdout).toMatch(/^Spillway .*, messages from the embedded source, ready$/m);
      expect(table.stdout).toMatch(/^clients +1 connected +0 lagging +1 since the start$/m);
      expect(table.stdout).toMatch(/^deliveries +1 sent +0 conflated +0 dropped$/m);
      // biome-ignore lint/suspicious/noControlCharactersInRegex: no control characters may be there
      expect(table.stdout).not.toMatch(/[\u0000-\u0009\u000b-\u001f]/);
      const json = await run("top", "--json", "--sort", "bytes", "--url", gateway.url);
      expect(JSON.parse(json.stdout)).toMatchObject({
        ...{ ready: true, reasons: [], streams: [] },
        ...{ source: "the embedded source", source_connected: true },
        clients: { connected: 1, lagging: 0, total: 1 },
        queues: { messages: 0, bytes: 0 },
        deliveries: { sent: 1, conflated: 0, dropped: 0 },
        lag: { seconds: { p50: expect.any(Number) } },
      });
      await gateway.stop();
    });

    test("shows an operator's token to admin_port, and says if it needs one", async () => {
      const directory = await mkdtemp(join(tmpdir(), "spillway-top-"));
      const sha256 = createHash("sha256").update(KEY).digest("hex");
      const tokens = join(directory, "operators.json");
      await writeFile(tokens, JSON.stringify([{ sha256, sub: "vera", role: "viewer" }]));
      const token = join(directory, "token.txt");
      await writeFile(token, `${KEY}\n`);
      const gateway = await startGateway(target, {
        config: { admin_port: 0, admin_tokens_file: tokens },
      });
      await asOperator(gateway);
      const listening = gateway.logs.find(
        ({ properties }) => properties.event === "admin_listening",
      );
      const url = `http://127.0.0.1:${listening?.properties.port}`;
      const without = await run("top", "--url", url);
      expect(without).toMatchObject({ code: 1, stdout: "" });
      expect(without.stderr).toMatch(/it answered 401: .+\. Show an operator's token with --token/);
      const shown = await run("top", "--url", url, "--token", token, "--json");
      expect(shown).toMatchObject({ code: 0, stderr: "" });
      expect(JSON.parse(shown.stdout).ready).toBe(true);
      await gateway.stop();
      await rm(directory, { recursive: true });
    });

    test("ends with 1 if nobody answers", async () => {
      const { code, stdout, stderr } = await run("top", "--url", CLOSED);
      expect({ code, stdout }).toEqual({ code: 1, stdout: "" });
      expect(stderr).toStartWith(`Cannot read ${CLOSED}/`);
      expect(stderr).toEndWith("\nMore: spillway explain GATEWAY_UNREACHABLE\n");
    });
  });

  describe("spillway bench", () => {
    test("counts what each client got, published by POST", async () => {
      const gateway = await startGateway(target);
      const args = ["--clients", "5", "--rate", "20", "--time", "500ms", "--url", gateway.url];
      const { code, stdout } = await run("bench", "--json", ...args);
      expect(code).toBe(0);
      const report = JSON.parse(stdout);
      expect(report).toMatchObject({
        ...{ clients: 5, refused: {}, declared_lost: 0, undeclared_lost: 0, reconnects: 0 },
      });
      expect(report.published).toBeGreaterThan(0);
      expect(report.deliveries).toBe(5 * report.published);
      const { p50, p99, max } = report.latency_ms;
      expect([p50 > 0, p50 <= p99, p99 <= max]).toEqual([true, true, true]);
      const table = await run("bench", ...args);
      expect(table.code).toBe(0);
      expect(table.stdout).toMatch(/^lost +0 declared +0 undeclared$/m);
      await gateway.stop();
    });

    test("publishes to NATS, and says which messages the gateway refuses", async () => {
      const nats = await startNatsServer();
      const config = { nats_url: nats.url, subjects: ["bench.>"] };
      const gateway = await startGateway(target, { config });
      await untilReady(gateway);
      const args = [
        "--subject",
        "bench.a",
        "--clients",
        "2",
        "--time",
        "300ms",
        "--url",
        gateway.url,
      ];
      const byNats = await run("bench", "--json", "--rate", "500", "--nats", nats.url, ...args);
      expect(byNats.code).toBe(0);
      const { published, deliveries, undeclared_lost } = JSON.parse(byNats.stdout);
      expect({ deliveries, undeclared_lost }).toEqual({
        deliveries: 2 * published,
        undeclared_lost: 0,
      });
      // Clients may not publish to NATS unless the configuration says so.
      const byPost = await run("bench", "--json", ...args);
      expect(byPost.code).toBe(1);
      expect(Object.keys(JSON.parse(byPost.stdout).refused)[0]).toMatch(/^(403|404) /);
      await gateway.stop();
      await nats.stop();
    });

    test.each([
      [["--url", "http://192.0.2.1"], '"--url" is not this machine: give --allow-remote'],
      [["--nats", "nats://192.0.2.1:4222"], '"--nats" is not this machine: give --allow-remote'],
      [["--url", CLOSED], `Cannot connect to ${CLOSED.replace("http", "ws")}/ws: `],
      [["--rate", "fast"], '"--rate" is "fast" but must be an integer from 1 to 1000000'],
      [["--subject", "a.>"], '"--subject" is "a.>", which '],
    ])("ends with 1 and does nothing with %j", async (args, says) => {
      const { code, stdout, stderr } = await run("bench", ...args);
      expect({ code, stdout }).toEqual({ code: 1, stdout: "" });
      expect(stderr).toStartWith(says);
    });
  });
});
