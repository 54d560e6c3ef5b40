import { describe, expect, test } from "bun:test";
import { contract, EVERY_SOCKET } from "./support/contract.ts";
import { subscribe, subscribeMany, subscribeRaw, useGateway } from "./support/gateway-fixture.ts";
import { metric, untilMetric } from "./support/metrics.ts";
import { countTo, numbersOf, useNats } from "./support/nats-fixture.ts";

/** More than the kernel's buffers of one connection take, so that the rest waits in the gateway. */
const FLOOD = { count: 3000, bytes: 10_000 };
/** Queues that are never full, for clients that are never cut unless a test says when. */
const PATIENT = {
  subjects: ["slow.>"],
  max_queue_bytes: 1024 ** 3,
  max_queue_messages: 1_000_000,
  write_timeout: "1h",
  read_timeout: "24h",
  ping_interval: "1h",
};

/** A client that does not read never delays another, and is told why it is cut. */
contract(EVERY_SOCKET, (target) => {
  describe("Slow clients within their bounds", () => {
    const nats = useNats();
    const gateway = useGateway(target, () => ({
      config: { ...PATIENT, nats_url: nats.url },
    }));

    test("Client that stops reading delays nobody, and gets all when it reads again", async () => {
      const stalled = await subscribeRaw(gateway());
      const healthy = await subscribeMany(gateway(), 3);
      stalled.pause();
      await nats.flood("slow.x", FLOOD.count, FLOOD.bytes);
      for (const client of healthy) {
        expect(numbersOf(await client.take(FLOOD.count))).toEqual(countTo(FLOOD.count));
      }
      // All of that came while the stalled one was still connected, and far behind.
      expect(await metric(gateway(), "websocket_clients_active")).toBe(4);
      expect(await metric(gateway(), "websocket_clients_lagging")).toBe(1);
      expect(await metric(gateway(), "websocket_messages_queued")).toBeGreaterThan(0);

      stalled.resume();
      const texts = await stalled.takeTexts(FLOOD.count);
      expect(numbersOf(texts.map((text) => JSON.parse(text)))).toEqual(countTo(FLOOD.count));
      await untilMetric(gateway(), "websocket_clients_lagging", (lagging) => lagging === 0);
      expect(await metric(gateway(), "websocket_messages_queued")).toBe(0);
    });

    test("Client that has caught up gets what comes next in order", async () => {
      const client = await subscribeRaw(gateway());
      client.pause();
      await nats.flood("slow.x", FLOOD.count, FLOOD.bytes);
      await untilMetric(gateway(), "websocket_clients_lagging", (lagging) => lagging === 1);
      client.resume();
      // These are published while it catches up, some before it is back among the others.
      await nats.flood("slow.y", 500, 100);
      await client.takeTexts(FLOOD.count);
      const next = (await client.takeTexts(500)).map((text) => JSON.parse(text));
      expect(new Set(next.map(({ subject }) => subject))).toEqual(new Set(["slow.y"]));
      expect(numbersOf(next)).toEqual(countTo(500));
    });

    test("Client that vanishes without a close is forgotten, and the others lose nothing", async () => {
      const [vanishing, stalled] = [await subscribeRaw(gateway()), await subscribeRaw(gateway())];
      const healthy = await subscribe(gateway());
      stalled.pause();
      const flooding = nats.flood("slow.x", FLOOD.count, FLOOD.bytes);
      await vanishing.nextText();
      vanishing.destroy();
      await flooding;
      // One that vanishes with a long queue of its own is no different.
      await untilMetric(gateway(), "websocket_clients_lagging", (lagging) => lagging === 1);
      stalled.destroy();
      expect(numbersOf(await healthy.take(FLOOD.count))).toEqual(countTo(FLOOD.count));
      await untilMetric(gateway(), "websocket_clients_active", (active) => active === 1);
      expect(await metric(gateway(), "websocket_messages_queued")).toBe(0);
    });
  });

  describe("Slow clients past their queue", () => {
    const nats = useNats();
    const gateway = useGateway(target, () => ({
      config: {
        nats_url: nats.url,
        subjects: ["slow.>"],
        max_queue_bytes: 1024 ** 2,
        write_timeout: "1h",
        read_timeout: "24h",
        ping_interval: "1h",
      },
    }));

    test("Client that stops reading is closed with 4510, and the others lose nothing", async () => {
      const stalled = await subscribeRaw(gateway());
      const healthy = await subscribe(gateway());
      stalled.pause();
      const got = await nats.floodInStep(healthy, "slow.x", FLOOD.count, FLOOD.bytes);
      expect(got).toEqual(countTo(FLOOD.count));
      await untilMetric(gateway(), "websocket_clients_active", (active) => active === 1);
      expect(await metric(gateway(), "websocket_errors_total", 'error_type="slow_consumer"')).toBe(
        1,
      );
      expect(await metric(gateway(), "websocket_messages_dropped_total")).toBeGreaterThan(0);

      stalled.resume();
      expect(await stalled.nextClose()).toEqual({ code: 4510, reason: "slow consumer" });
      // What it got before is the beginning, without a hole.
      const texts = stalled.frames.entries.filter(({ opcode }) => opcode === 1);
      const before = numbersOf(texts.map(({ payload }) => JSON.parse(payload.toString())));
      expect(before.length).toBeGreaterThan(0);
      expect(before).toEqual(countTo(before.length));
    });
  });

  describe("Slow clients past write_timeout", () => {
    const nats = useNats();
    const gateway = useGateway(target, () => ({
      config: {
        ...PATIENT,
        nats_url: nats.url,
        // Otherwise a client that lags has less in flight than the kernel's buffers hold.
        max_lag: "1h",
        high_water_bytes: 64 * 1024 ** 2,
        write_timeout: "300ms",
      },
    }));

    test("Client that takes no byte for write_timeout is cut, and the others lose nothing", async () => {
      const stalled = await subscribeRaw(gateway());
      const healthy = await subscribe(gateway());
      stalled.pause();
      const got = await nats.floodInStep(healthy, "slow.x", FLOOD.count, FLOOD.bytes);
      expect(got).toEqual(countTo(FLOOD.count));
      await untilMetric(gateway(), "websocket_clients_active", (active) => active === 1);
      expect(await metric(gateway(), "websocket_errors_total", 'error_type="write_timeout"')).toBe(
        1,
      );
      // It would have to read all that the kernel holds before a close frame could reach it.
      stalled.resume();
      expect([1006, 4511]).toContain((await stalled.nextClose()).code);
      nats.publish("slow.end", "1");
      expect((await healthy.next()).subject).toBe("slow.end");
    });
  });

  describe("Slow clients past read_timeout", () => {
    const nats = useNats();
    const gateway = useGateway(target, () => ({
      config: {
        ...PATIENT,
        nats_url: nats.url,
        write_timeout: "300ms",
        read_timeout: "5s",
        ping_interval: "1s",
      },
    }));

    test("Client that stops reading is cut, also if the kernel takes all that is in flight to it", async () => {
      const stalled = await subscribeRaw(gateway());
      const healthy = await subscribe(gateway());
      stalled.pause();
      const got = await nats.floodInStep(healthy, "slow.x", FLOOD.count, FLOOD.bytes);
      expect(got).toEqual(countTo(FLOOD.count));
      await untilMetric(gateway(), "websocket_clients_active", (active) => active === 1);
      const errors = (type: string) =>
        metric(gateway(), "websocket_errors_total", `error_type="${type}"`);
      expect((await errors("write_timeout")) + (await errors("no_pong"))).toBe(1);
      expect(await metric(gateway(), "websocket_messages_queued")).toBe(0);
      nats.publish("slow.end", "1");
      expect((await healthy.next()).subject).toBe("slow.end");
    });
  });
});
