import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { until, within } from "../support/event-log.ts";
import { type Gateway, startGateway } from "../support/gateway-process.ts";
import { JumpingClock } from "../support/jumping-clock.ts";
import { type NatsServer, startNatsServer } from "../support/nats-server.ts";
import { startTcpProxy, type TcpProxy } from "../support/tcp-proxy.ts";
import { contract, EVERY_RUNTIME } from "./support/contract.ts";
import { subscribeV1, untilReady } from "./support/gateway-fixture.ts";
import { useStreams } from "./support/stream-fixture.ts";

/** Much shorter than all that a gateway waits for while NATS doesn't answer. */
const STOP_TIMEOUT = "1s";

/** NATS that is not there, is something else, or does not answer. */
contract(EVERY_RUNTIME, (target) => {
  describe("Where NATS should be", () => {
    let server: NatsServer;
    let closedPort: number;
    beforeAll(async () => {
      server = await startNatsServer();
      const former = await startNatsServer();
      closedPort = former.wsPort;
      await former.stop();
    });
    afterAll(() => server?.stop());

    for (const [what, url, reason] of [
      ["its WebSocket port", () => `nats://127.0.0.1:${server.wsPort}`, /is NATS' WebSocket port/],
      ["its TCP port", () => `ws://127.0.0.1:${server.port}`, /is NATS' TCP port/],
      ["no TLS", () => `wss://127.0.0.1:${server.wsPort}`, /WebSocket port, without TLS/],
      ["closed", () => `ws://127.0.0.1:${closedPort}`, /nobody answers|ECONNREFUSED/],
    ] as const) {
      test(`is ${what}: the log and /readyz say so`, async () => {
        const gateway = await startGateway(target, { config: { nats_url: url() } });
        const ask = async () => (await gateway.get("/readyz")).text();
        await until(`reason that says ${reason}`, ask, (text) => reason.test(text));
        const { message } = await gateway.waitForLog(({ message }) => reason.test(message));
        expect(message).not.toMatch(/not connected yet|first attempt|\.;/);
        expect(await gateway.stop()).toEqual({ code: 0, signal: null });
      });
    }

    test("is nobody after it was lost: the log and /readyz say that, and not once for each attempt", async () => {
      const lost = await startNatsServer();
      const gateway = await startGateway(target, { config: { nats_url: lost.url } });
      await untilReady(gateway);
      await lost.stop();
      const ask = async () => (await gateway.get("/readyz")).text();
      await until("word of nobody", ask, (text) =>
        /lost the connection.*nobody answers/.test(text),
      );
      const lines = gateway.logs.filter(({ properties }) => properties.event === "source_lost");
      expect(lines.length).toBeLessThan(4);
      expect(await gateway.stop()).toEqual({ code: 0, signal: null });
    });

    test("is back after the wall clock was set back: the gateway is connected again", async () => {
      const directory = await mkdtemp(join(tmpdir(), "spillway-clock-"));
      const clock = new JumpingClock(join(directory, "ahead-ms"));
      const back = await startNatsServer();
      const gateway = await startGateway(clock.on(target), { config: { nats_url: back.url } });
      await untilReady(gateway);
      clock.jump(gateway.pid, -3_600_000);
      await back.stop();
      await gateway.waitForLog(({ properties }) => properties.event === "source_lost");
      await back.restart();
      await until(
        "connection to NATS",
        async () =>
          gateway.logs.filter(({ properties }) => properties.event === "source_connected"),
        (lines) => lines.length === 2,
      );
      expect(await gateway.stop()).toEqual({ code: 0, signal: null });
      await back.stop();
      await rm(directory, { recursive: true });
    });
  });

  describe("Who is in the place of NATS", () => {
    const strangers: { close(): unknown }[] = [];
    afterAll(() => {
      for (const stranger of strangers) stranger.close();
    });
    /** Somebody who does this with each connection. */
    const stranger = async (serve: (socket: Socket) => void): Promise<number> => {
      const server = createServer((socket) => serve(socket.on("error", () => {})));
      strangers.push(server);
      await new Promise<void>((listening) => server.listen(0, "127.0.0.1", listening));
      return (server.address() as { port: number }).port;
    };
    /** Whether clients are served and the gateway can be stopped. */
    const expectServing = async (gateway: Gateway): Promise<void> => {
      const client = await subscribeV1(gateway);
      client.send({ type: "ping", id: "x" });
      await client.next("pong");
      expect((await gateway.get("/readyz")).status).toBe(503);
      client.raw.destroy();
      expect(await gateway.stop()).toEqual({ code: 0, signal: null });
    };

    test("and talks without an end is left, and holds nobody up", async () => {
      const chunk = Buffer.alloc(64 * 1024, "x");
      let left = 0;
      const port = await stranger((socket) => {
        let chunks = 1000;
        const talk = (): void => {
          while (chunks-- > 0 && socket.write(chunk));
        };
        socket.on("drain", talk).on("close", () => left++);
        talk();
      });
      const gateway = await startGateway(target, {
        config: { nats_url: `nats://127.0.0.1:${port}` },
      });
      await gateway.waitForLog(({ message }) => /is not a NATS server: it says "xxx/.test(message));
      const count = async () => (await gateway.get("/livez")).ok && left;
      // One is who looked at who listens there.
      await until("connections that were left", count, (ended) => Number(ended) >= 2);
      await expectServing(gateway);
    });

    test("and says nothing is left", async () => {
      const { promise: left, resolve } = Promise.withResolvers<void>();
      const port = await stranger((socket) => {
        socket.resume().on("close", resolve);
        // Who only looks asks for a WebSocket.
        socket.once("data", () => socket.removeAllListeners("close"));
      });
      const gateway = await startGateway(target, {
        config: { nats_url: `nats://127.0.0.1:${port}` },
      });
      await within(left, "end of a connection on which nothing is said");
      await expectServing(gateway);
    });

    test("and says text over WebSockets ends nothing", async () => {
      let said = 0;
      const server = Bun.serve({
        port: 0,
        hostname: "127.0.0.1",
        fetch: (request, bun) =>
          bun.upgrade(request) ? undefined : new Response("", { status: 400 }),
        websocket: {
          open: (socket) => {
            // As many bytes can't be had, and so many should not.
            for (const text of ["-5", "hello", "1e9"]) socket.send(text);
            said++;
          },
          message: () => {},
        },
      });
      strangers.push({ close: () => server.stop(true) });
      const gateway = await startGateway(target, {
        config: { nats_url: `ws://127.0.0.1:${server.port}` },
      });
      const count = async () => (await gateway.get("/livez")).ok && said;
      // Who connects again was not ended by it.
      await until("connections", count, (connections) => Number(connections) >= 3);
      await expectServing(gateway);
    });
  });

  describe("While NATS does not answer, SIGTERM ends the gateway in time", () => {
    const nats = useStreams();
    const silent: Server[] = [];
    let proxy: TcpProxy;
    beforeAll(async () => {
      await nats.create("MUTE");
      await nats.create("WORK");
      proxy = await startTcpProxy(nats.server.port);
    });
    afterAll(async () => {
      await proxy?.close();
      for (const server of silent) server.close();
    });
    const start = async (nats_url: string, more: object = {}): Promise<Gateway> =>
      await startGateway(target, { config: { nats_url, stop_timeout: STOP_TIMEOUT, ...more } });
    const expectStop = async (gateway: Gateway): Promise<void> => {
      const exit = await gateway.stop();
      const failures = gateway.logs.filter(({ properties }) => properties.event === "stop_failed");
      expect(failures.map(({ message }) => message)).toEqual([]);
      expect(exit).toEqual({ code: 0, signal: null });
    };
    /** Somebody who accepts and says so much, and nothing more. */
    const mute = async (words = ""): Promise<number> => {
      const server = createServer((socket) => socket.on("error", () => {}).write(words));
      silent.push(server);
      await new Promise<void>((listening) => server.listen(0, "127.0.0.1", listening));
      return (server.address() as { port: number }).port;
    };
    const INFO = {
      server_id: "x",
      version: "2.10.0",
      max_payload: 1048576,
      proto: 1,
      headers: true,
    };

    for (const scheme of ["nats", "tls", "ws", "wss"]) {
      test(`in the middle of ${scheme}:// to somebody who says nothing`, async () => {
        await expectStop(await start(`${scheme}://127.0.0.1:${await mute()}`));
      });
    }

    test("in the middle of the login", async () => {
      const port = await mute(`INFO ${JSON.stringify(INFO)}\r\n`);
      await expectStop(await start(`nats://127.0.0.1:${port}`));
    });

    test("in the middle of TLS", async () => {
      const info = JSON.stringify({ ...INFO, tls_required: true });
      const port = await mute(`INFO ${info}\r\n`);
      await expectStop(await start(`tls://127.0.0.1:${port}`));
    });

    test("in the middle of JetStream's answers, with durables and dead letters under way", async () => {
      const gateway = await start(`nats://127.0.0.1:${proxy.port}`, {
        ...{
          streams: ["MUTE:mute.>", "WORK:work.>"],
          subjects: ["core.>"],
          delivery_mode: "at-least-once",
        },
        ...{ max_deliver: 1, redelivery_backoff: "10ms", dead_letter_subject: "dead.letters" },
      });
      await untilReady(gateway);
      const client = await subscribeV1(gateway);
      await client.subscribe("1", ["work.>"], { durable: "mute" });
      await client.subscribe("2", ["core.>"]);
      await nats.fill("work.x", 5);
      nats.connection.publish("core.x", "1");
      const { id } = await client.until(({ subject }) => subject === "core.x", "core message");
      await client.until(({ subject }) => subject === "work.x", "durable message");
      proxy.hold();
      client.send({ type: "nack", id });
      client.send({ type: "subscribe", id: "3", subjects: ["mute.>"], from: "all" });
      client.send({ type: "subscribe", id: "4", subjects: ["work.y"], durable: "other" });
      client.send({ type: "ping", id: "taken" });
      await client.next("pong");
      await expectStop(gateway);
      client.raw.destroy();
      proxy.mend();
    });

    test("stopped by SIGSTOP, with clients and a subscription under way", async () => {
      const frozen = await startNatsServer({ jetstream: true });
      for (const url of [frozen.url, frozen.wsUrl]) {
        const gateway = await start(url, { subjects: ["a.>"] });
        await untilReady(gateway);
        const client = await subscribeV1(gateway);
        await client.subscribe("1", ["a.x"]);
        process.kill(frozen.pid, "SIGSTOP");
        try {
          client.send({ type: "subscribe", id: "2", subjects: ["a.y"] });
          client.send({ type: "ping", id: "taken" });
          await client.next("pong");
          await expectStop(gateway);
        } finally {
          process.kill(frozen.pid, "SIGCONT");
        }
        client.raw.destroy();
      }
      await frozen.stop();
    });
  });
});
