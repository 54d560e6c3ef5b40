import { describe, expect, test } from "bun:test";
import { connect as connectTcp, createServer } from "node:net";
import { networkInterfaces } from "node:os";
import { startProcess } from "../support/child-process.ts";
import { until, within } from "../support/event-log.ts";
import {
  cleanEnvironment,
  type Gateway,
  runToExit,
  startGateway,
} from "../support/gateway-process.ts";
import { requestUpgrade } from "../support/raw-handshake.ts";
import { findDeno, ROOT, TARGETS } from "../support/runtimes.ts";
import type { Subscriber } from "../support/subscriber.ts";
import { contract, EVERY_TARGET } from "./support/contract.ts";
import { subscribe, subscribeRaw, untilReady } from "./support/gateway-fixture.ts";
import { metric, metricsOf, untilMetric } from "./support/metrics.ts";
import { useNats } from "./support/nats-fixture.ts";
import { expectRefusal } from "./support/refusal.ts";

/** An address of this machine that others can reach; `undefined` where it has none. */
const OUTER = Object.values(networkInterfaces())
  .flat()
  .find((face) => face?.family === "IPv4" && !face.internal)?.address;

/** Reserved names and documentation addresses (RFC 2606, 5737 and 3849): nobody has them. */
const UNUSABLE_HOSTS: readonly (readonly [what: string, host: string, says: string])[] = [
  ["An unknown host", "nobody.invalid", ': the host name "nobody.invalid" is unknown'],
  [
    "Another machine's IPv4 address",
    "203.0.113.9",
    ": 203.0.113.9 is not an address of this machine",
  ],
  [
    "Another machine's IPv6 address",
    "2001:db8::9",
    ": 2001:db8::9 is not an address of this machine",
  ],
];

const UNBOUNDED = { max_queue_bytes: 1024 ** 3, max_queue_messages: 1_000_000 };

/** A gateway keeps a tenth of it, at most 250 ms, to end in time: a busy machine needs all of that. */
const STOP_TIMEOUT = "2500ms";

/** More than enough for the kernel's buffers of a client that does not read. */
const MOST_FLOOD = 6000;

const CLEAN = { code: 0, signal: null };
const FORCED = { code: 2, signal: null };

/** How the service starts and ends. */
contract(EVERY_TARGET, (target) => {
  describe("Lifecycle", () => {
    const nats = useNats();

    /** Publishes until one client lags, and another one has got everything. */
    const floodUntilLagging = async (gateway: Gateway, healthy: Subscriber): Promise<void> => {
      const step = 500;
      for (let count = 0; (await metric(gateway, "websocket_clients_lagging")) !== 1; ) {
        expect(count).toBeLessThan(MOST_FLOOD);
        await nats.flood("any.thing", step, 10_000);
        await healthy.take(step);
        count += step;
      }
    };

    for (const signal of ["SIGTERM", "SIGINT"] as const) {
      test(`${signal}: clients get 1001, and the process ends with 0 long before stop_timeout`, async () => {
        const config = { nats_url: nats.url, stop_timeout: "60s" };
        const gateway = await startGateway(target, { config });
        await untilReady(gateway);
        const clients = [await subscribe(gateway), await subscribe(gateway)];
        const raw = await subscribeRaw(gateway);
        gateway.signal(signal);
        for (const client of clients) expect((await client.closed()).code).toBe(1001);
        expect((await raw.nextClose()).code).toBe(1001);
        expect(await within(gateway.exited, `end after ${signal}`)).toEqual(CLEAN);
      });
    }

    test("A gateway that has just started has counted no message and no client, and has logged none", async () => {
      const config = { nats_url: nats.url, log_level: "debug" };
      const gateway = await startGateway(target, { config });
      await untilReady(gateway);
      const counters = [...(await metricsOf(gateway))].filter(([name]) =>
        /_(messages|bytes|clients|sessions|acks|gaps)_(\w+_)?(total|active)\b/.test(name),
      );
      expect(counters.length).toBeGreaterThan(10);
      expect(counters.filter(([, value]) => value !== 0)).toEqual([]);
      expect(gateway.output).not.toContain("warm");
      expect(gateway.logs.filter(({ message }) => /client .*connect/i.test(message))).toEqual([]);
      await gateway.stop();
    });

    test("A signal in the moment in which it says that it listens ends it with 0", async () => {
      const startAndStop = async (): Promise<unknown> => {
        const gateway = await startGateway(target, { config: { stop_timeout: "60s" } });
        gateway.signal("SIGTERM");
        return await within(gateway.exited, "end after SIGTERM");
      };
      const ends = await Promise.all([startAndStop(), startAndStop(), startAndStop()]);
      expect(ends).toEqual([CLEAN, CLEAN, CLEAN]);
    });

    test("Without clients and with idle connections of other kinds, SIGTERM ends it", async () => {
      const gateway = await startGateway(target, { config: { stop_timeout: "60s" } });
      const idle = connectTcp({ host: "127.0.0.1", port: gateway.port });
      await new Promise((resolve) => idle.once("connect", resolve));
      idle.on("error", () => {});
      expect((await gateway.get("/livez")).status).toBe(200);
      gateway.signal("SIGTERM");
      expect(await within(gateway.exited, "end after SIGTERM")).toEqual(CLEAN);
      idle.destroy();
    });

    test("Messages that came before SIGTERM reach the clients before their 1001", async () => {
      const gateway = await startGateway(target, { config: { nats_url: nats.url } });
      await untilReady(gateway);
      const client = await subscribe(gateway);
      await nats.flood("any.thing", 1000, 100);
      await untilMetric(gateway, "websocket_messages_received_total", (count) => count === 1000);
      gateway.signal("SIGTERM");
      expect((await client.take(1000)).length).toBe(1000);
      expect((await client.closed()).code).toBe(1001);
      expect(await gateway.exited).toEqual(CLEAN);
    });

    test("Client that does not read is waited for until stop_timeout, and not longer", async () => {
      const gateway = await startGateway(target, {
        config: {
          nats_url: nats.url,
          stop_timeout: STOP_TIMEOUT,
          write_timeout: "1h",
          ...UNBOUNDED,
        },
      });
      await untilReady(gateway);
      const [stalled, healthy] = [await subscribeRaw(gateway), await subscribe(gateway)];
      stalled.pause();
      await floodUntilLagging(gateway, healthy);
      gateway.signal("SIGTERM");
      expect((await healthy.closed()).code).toBe(1001);
      expect(await within(gateway.exited, "end after SIGTERM")).toEqual(CLEAN);
      stalled.destroy();
    });

    test("Two signals at once drain it once, and a later one ends it at once with 2", async () => {
      const gateway = await startGateway(target, {
        config: {
          nats_url: nats.url,
          stop_timeout: "10m",
          write_timeout: "1h",
          ...UNBOUNDED,
        },
      });
      await untilReady(gateway);
      const [stalled, healthy] = [await subscribeRaw(gateway), await subscribe(gateway)];
      stalled.pause();
      await floodUntilLagging(gateway, healthy);
      // The kernel makes one of two that are equal; of these, both arrive.
      gateway.signal("SIGTERM");
      gateway.signal("SIGINT");
      expect((await healthy.closed()).code).toBe(1001);

      // While it drains it says that it is not ready, and takes nobody in.
      expect((await gateway.get("/readyz")).status).toBe(503);
      expectRefusal(target, await requestUpgrade(gateway.wsUrl), 503);

      const ended = await until(
        "end after a later signal",
        async () => {
          gateway.signal("SIGINT");
          // A round trip, or no one there to answer.
          await gateway.get("/livez").catch(() => gateway.exited);
          return await Promise.race([gateway.exited, undefined]);
        },
        (exit) => exit !== undefined,
      );
      expect(ended).toEqual(FORCED);
      stalled.destroy();
    });

    test("SIGTERM while NATS is away ends it too", async () => {
      const config = { nats_url: "nats://127.0.0.1:1", stop_timeout: "60s" };
      const gateway = await startGateway(target, { config });
      const client = await subscribe(gateway);
      gateway.signal("SIGTERM");
      expect((await client.closed()).code).toBe(1001);
      expect(await within(gateway.exited, "end after SIGTERM")).toEqual(CLEAN);
    });

    test("A port in use: it says so and ends, and does not listen elsewhere", async () => {
      const taken = createServer().listen(0, "127.0.0.1");
      await new Promise((resolve) => taken.once("listening", resolve));
      const { port } = taken.address() as { port: number };
      const { code, stdout, stderr } = await runToExit(target, { args: ["--port", `${port}`] });
      expect(code).toBe(1);
      expect(stderr + stdout).toContain(`${port}`);
      expect(stderr).toMatch(/^Cannot listen on 127\.0\.0\.1:\d+: the port is in use$/m);
      expect(stderr + stdout).not.toContain('"listening"');
      taken.close();
    });

    // What the compiler makes of it listens as its source does.
    const unusable = target === TARGETS["node-dist"] ? [] : UNUSABLE_HOSTS;
    for (const [what, host, says] of unusable) {
      test(`${what}: it says so, whatever the port, and ends`, async () => {
        const taken = createServer().listen(0, "127.0.0.1");
        await new Promise((resolve) => taken.once("listening", resolve));
        const { port } = taken.address() as { port: number };
        for (const tried of ["0", `${port}`]) {
          const args = ["--host", host, "--port", tried];
          const { code, stderr } = await runToExit(target, { args });
          expect(code).toBe(1);
          expect(stderr).toMatch(/^Cannot listen on /m);
          expect(stderr).toContain(says);
        }
        taken.close();
      });
    }

    test.skipIf(OUTER === undefined)("Nobody outside of this machine can connect", async () => {
      const gateway = await startGateway(target);
      const { promise: refused, resolve, reject } = Promise.withResolvers<string>();
      const socket = connectTcp({ host: OUTER!, port: gateway.port });
      socket.once("connect", () => reject(new Error(`it listens on ${OUTER} as well`)));
      socket.once("error", ({ message }) => resolve(message));
      expect(await refused).toContain("ECONNREFUSED");
      expect(await gateway.stop()).toEqual(CLEAN);
    });

    test("Without NATS it says that the source is embedded", async () => {
      const gateway = await startGateway(target);
      const { message } = await gateway.waitForLog(({ message }) => /NATS/.test(message));
      // Not 127.0.0.1: a browser would take that for another origin than the README's.
      expect(message).toContain(`the page at http://localhost:${gateway.port}`);
      expect(await gateway.stop()).toEqual(CLEAN);
    });

    if (target.runtime === "deno") {
      test("deno task start runs it with the permissions it needs, and passes SIGTERM on", async () => {
        const command = [findDeno(), "task", "start", "--port", "0"];
        const task = await startProcess("deno task start", command, {
          cwd: ROOT,
          // No program is on the PATH, Deno included.
          env: { ...cleanEnvironment(), PATH: "" },
        });
        await task.lines.find(({ text }) => text.includes('"event":"listening"'), "listening");
        task.signal("SIGTERM");
        expect(await within(task.exited, "end after SIGTERM")).toEqual(CLEAN);
      });
    }
  });
});
