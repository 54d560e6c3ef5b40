import { describe, expect, test } from "bun:test";
import { connect as connectNats } from "nats";
import { within } from "../support/event-log.ts";
import { startGateway } from "../support/gateway-process.ts";
import { requestUpgrade } from "../support/raw-handshake.ts";
import { openRaw } from "../support/raw-websocket.ts";
import type { Envelope, Subscriber } from "../support/subscriber.ts";
import { openV1 } from "../support/v1-client.ts";
import { contract, EVERY_EDGE, EVERY_SOCKET } from "./support/contract.ts";
import {
  subscribe,
  subscribeMany,
  subscribeRaw,
  subscribeV1,
  untilReady,
  useGateway,
} from "./support/gateway-fixture.ts";
import { metric, untilMetric } from "./support/metrics.ts";
import { countTo, numbersOf, useNats } from "./support/nats-fixture.ts";
import { useStreams } from "./support/stream-fixture.ts";

const PROMISE = {
  delivery_mode: "at-least-once",
  // Longer than any machine takes to acknowledge, where a test does not wait for it.
  ack_timeout: "1m",
  redelivery_backoff: "20ms",
  max_deliver: 3,
  session_ttl: "1s",
};

/** A gateway keeps a tenth of it, at most 250 ms, to end in time: a busy machine needs all of that. */
const STOP_TIMEOUT = "2500ms";

let sessions = 0;
const newSession = (): string => `session-of-a-test-${++sessions}`;

function ack(client: Pick<Subscriber, "send">, { id }: { readonly id?: unknown }): void {
  client.send(JSON.stringify({ type: "ack", id }));
}

function redeliveryOf(envelope: object): number | undefined {
  return (envelope as { redelivery?: number }).redelivery;
}

/** Acknowledged delivery, with real sockets and a real NATS. */
contract([...EVERY_SOCKET, ...EVERY_EDGE], (target) => {
  describe("At least once, past ack_timeout", () => {
    const nats = useNats();
    const gateway = useGateway(target, () => ({
      config: {
        ...PROMISE,
        nats_url: nats.url,
        subjects: ["alo.>"],
        ack_timeout: "300ms",
        dead_letter_subject: "dead.letters",
      },
    }));

    test("a message that nobody acknowledges comes again, and in the end is a gap and a dead letter", async () => {
      const letters = await connectNats({ servers: nats.url });
      const dead = letters.subscribe("dead.letters", { max: 1 });
      await letters.flush();
      const client = await subscribeV1(gateway());
      await client.subscribe("1", ["alo.x"]);
      nats.publish("alo.x", '{"big":12345678901234567890}');
      const deliveries = [await client.next("data"), await client.next("data")];
      deliveries.push(await client.next("data"));
      const [first] = deliveries;
      expect(deliveries.map(redeliveryOf)).toEqual([undefined, 1, 2]);
      expect(new Set(deliveries.map(({ id }) => id))).toEqual(new Set([first?.id]));
      const id = String(first?.id);
      expect(await client.next("gap")).toEqual({
        type: "gap",
        from: id,
        to: id,
        count: 1,
        reason: "max_deliver",
      });
      for await (const letter of dead) {
        expect(letter.string()).toBe('{"big":12345678901234567890}');
        expect(letter.headers?.get("Spillway-Subject")).toBe("alo.x");
        expect(letter.headers?.get("Spillway-Id")).toBe(id);
        expect(letter.headers?.get("Spillway-Reason")).toBe("max_deliver");
        expect(letter.headers?.get("Spillway-Last-Failure")).toBe("ack_timeout");
        expect(letter.headers?.get("Spillway-Deliveries")).toBe("3");
      }
      await letters.close();
    });
  });

  describe("At least once", () => {
    const nats = useNats();
    const gateway = useGateway(target, () => ({
      config: { ...PROMISE, nats_url: nats.url, subjects: ["alo.>"] },
    }));

    test("a message that is refused comes again, and one that is acknowledged does not", async () => {
      const client = await subscribe(gateway());
      nats.publish("alo.x", "1");
      const first = await client.next();
      const { id } = first;
      const payload = { reason: "publish_failed", error: "x" };
      client.send(JSON.stringify({ type: "nack", id, timestamp: 1, payload }));
      const again = await client.next();
      expect(again).toEqual({ ...first, redelivery: 1 } as Envelope);
      ack(client, again);
      nats.publish("alo.x", "2");
      const next = await client.next();
      expect(next.payload).toBe(2);
      ack(client, next);
      expect(await metric(gateway(), "websocket_acks_total", 'result="nacked"')).toBe(1);
      await untilMetric(gateway(), "websocket_messages_in_flight", (count) => count === 0);
      expect(await metric(gateway(), "websocket_acks_total", 'result="acked"')).toBe(2);
      expect(await metric(gateway(), "websocket_messages_redelivered_total")).toBe(1);
      expect(await metric(gateway(), "websocket_ack_latency_seconds_count")).toBe(2);
    });

    test("acknowledgements of several, of all up to one, twice, and of nothing are all the same to it", async () => {
      const client = await subscribeV1(gateway());
      await client.subscribe("1", ["alo.x"]);
      await nats.flood("alo.x", 10, 50);
      await client.until(({ payload }) => (payload as { n?: number })?.n === 9, "the last one");
      const ids = client.messages.map(({ id }) => id);
      client.send({ type: "ack", ids: [ids[9], ids[8]] });
      client.send({ type: "ack", upto: ids[6] });
      client.send({ type: "ack", id: ids[7] });
      client.send({ type: "ack", id: ids[7] });
      client.send({ type: "ack", id: "nothing:1" });
      client.send({ type: "nack", id: "nothing:1" });
      client.send({ type: "ping" });
      await client.next("pong");
      expect(await metric(gateway(), "websocket_messages_in_flight")).toBe(0);
      expect(client.notices("error")).toEqual([]);
    });

    test("a plain client that comes back with its session gets what it has not acknowledged, in order, then the rest", async () => {
      const query = `?session=${newSession()}`;
      const before = await subscribeRaw(gateway(), {}, query);
      await nats.flood("alo.x", 5, 50);
      const got = (await before.takeTexts(5)).map((text) => JSON.parse(text));
      before.send(JSON.stringify({ type: "ack", id: got[1].id }));
      before.send(JSON.stringify({ type: "ping-that-is-malformed" }));
      await untilMetric(gateway(), "websocket_messages_in_flight", (count) => count === 4);
      before.destroy();
      await untilMetric(gateway(), "websocket_sessions_parked", (count) => count === 1);
      await nats.flood("alo.y", 3, 50);
      const after = await subscribe(gateway(), query);
      const again = await after.take(7);
      expect(numbersOf(again)).toEqual([0, 2, 3, 4, 0, 1, 2]);
      expect(again.map(redeliveryOf)).toEqual([1, 1, 1, 1, undefined, undefined, undefined]);
      for (const envelope of again) ack(after, envelope);
      nats.publish("alo.z", '{"n":7}');
      const [last] = await after.take(1);
      expect(numbersOf([last!])).toEqual([7]);
      ack(after, last!);
      await untilMetric(gateway(), "websocket_messages_in_flight", (count) => count === 0);
    });

    test("a client of v1 comes back with what welcome said, and its subscriptions are there", async () => {
      const before = await subscribeV1(gateway());
      const welcome = await before.next("welcome");
      await before.subscribe("mine", ["alo.x"]);
      nats.publish("alo.x", "1");
      await before.next("data");
      before.raw.destroy();
      await untilMetric(gateway(), "websocket_sessions_parked", (count) => count === 1);
      nats.publish("alo.y", "0");
      nats.publish("alo.x", "2");
      await nats.flush();
      const after = await subscribeV1(gateway(), `?session=${welcome.session}`);
      expect(await after.next("welcome")).toMatchObject({
        session: welcome.session,
        delivery: { resumed: true },
      });
      expect(await after.next("subscribed")).toMatchObject({ sub: "mine", subjects: ["alo.x"] });
      expect(await after.next("data")).toMatchObject({ payload: 1, redelivery: 1 });
      expect((await after.next("data")).payload).toBe(2);
    });

    test("without a session, and with one that is over, it begins anew, and what is lost is declared", async () => {
      const reason = 'reason="session_expired"';
      const expired = () => metric(gateway(), "websocket_messages_lost_total", reason);
      const expiredBefore = await expired();
      const before = await subscribeV1(gateway());
      const { session } = await before.next("welcome");
      await before.subscribe("1", ["alo.x"]);
      nats.publish("alo.x", "1");
      await before.next("data");
      before.raw.destroy();
      await untilMetric(gateway(), "websocket_sessions_parked", (count) => count === 1);
      // session_ttl
      await untilMetric(gateway(), "websocket_sessions_parked", (count) => count === 0);
      expect(await expired()).toBe(expiredBefore + 1);
      const after = await subscribeV1(gateway(), `?session=${session}`);
      expect(await after.next("welcome")).toMatchObject({ delivery: { resumed: false } });
      expect(await after.next("gap")).toMatchObject({ reason: "session_expired", exact: false });

      const plain = await subscribeRaw(gateway());
      nats.publish("alo.x", "2");
      await plain.nextText();
      plain.destroy();
      const gone = 'reason="disconnected"';
      await untilMetric(gateway(), "websocket_messages_lost_total", (count) => count > 0, gone);
      const anew = await subscribe(gateway());
      nats.publish("alo.x", "3");
      const { payload, ...envelope } = await anew.next();
      expect(payload).toBe(3);
      ack(anew, envelope);
    });

    test("a second connection takes a session over, and the first is closed with 4409", async () => {
      const query = `?session=${newSession()}`;
      const first = await subscribeRaw(gateway(), {}, query);
      nats.publish("alo.x", "1");
      await first.nextText();
      const second = await subscribe(gateway(), query);
      expect(await first.nextClose()).toEqual({ code: 4409, reason: "session taken over" });
      const again = await second.next();
      expect(again).toMatchObject({ payload: 1, redelivery: 1 });
      ack(second, again);
      await untilMetric(gateway(), "websocket_messages_in_flight", (count) => count === 0);
    });

    test("a connection that is cut in the middle of a frame loses nothing", async () => {
      const query = `?session=${newSession()}`;
      const before = await subscribeRaw(gateway(), {}, query);
      before.pause();
      const data = JSON.stringify("x".repeat(900_000));
      for (let n = 0; n < 4; n++) nats.publish("alo.big", data);
      await nats.flush();
      await untilMetric(gateway(), "websocket_messages_received_total", (count) => count >= 4);
      before.destroy();
      await untilMetric(gateway(), "websocket_sessions_parked", (count) => count === 1);
      const after = await subscribe(gateway(), query);
      for (let n = 0; n < 4; n++) {
        const envelope = await after.next();
        expect(envelope.payload).toHaveLength(900_000);
        ack(after, envelope);
      }
      await untilMetric(gateway(), "websocket_messages_in_flight", (count) => count === 0);
    });

    test("a session has a name of a certain form, and server-sent events have none", async () => {
      for (const bad of ["short", "x".repeat(129), "has-a-space-%20in-it"]) {
        const { status, headers } = await requestUpgrade(`${gateway().wsUrl}?session=${bad}`);
        expect([status, headers.get("content-type")]).toEqual([400, "application/problem+json"]);
      }
      const events = await gateway().get(`${gateway().path}/sse?session=${newSession()}`);
      expect(events.status).toBe(400);
    });
  });

  describe("At least once, from streams", () => {
    const nats = useStreams();
    const gateway = useGateway(target, async () => {
      await nats.create("ORDERS");
      return {
        config: {
          ...PROMISE,
          nats_url: nats.url,
          max_inflight_messages: 50,
          ports: {
            inputs: [
              { name: "o", type: "jetstream", stream_name: "ORDERS", subject: "orders.>" },
              { name: "c", type: "nats", subject: "core.>" },
            ],
          },
        },
      };
    });

    test("messages of a stream and of plain NATS are acknowledged, redelivered and come back alike", async () => {
      const query = `?session=${newSession()}`;
      const before = await subscribeRaw(gateway(), {}, query);
      await nats.fill("orders.x", 2);
      await nats.connection.flush();
      const [first] = (await before.takeTexts(2)).map((text) => JSON.parse(text));
      nats.connection.publish("core.x", '{"n":2}');
      await before.takeTexts(1);
      before.send(JSON.stringify({ type: "ack", upto: first.id }));
      await untilMetric(gateway(), "websocket_messages_in_flight", (count) => count === 2);
      before.destroy();
      await untilMetric(gateway(), "websocket_sessions_parked", (count) => count === 1);
      const after = await subscribe(gateway(), query);
      const again = await after.take(2);
      expect(numbersOf(again)).toEqual([1, 2]);
      expect(again.map(redeliveryOf)).toEqual([1, 1]);
      for (const envelope of again) ack(after, envelope);
      await untilMetric(gateway(), "websocket_messages_in_flight", (count) => count === 0);
    });

    test("what a stream has kept comes no faster than it is acknowledged", async () => {
      await nats.fill("orders.y", 500);
      const client = await subscribeV1(gateway());
      await client.subscribe("1", ["orders.y"], { from: "all" });
      await client.until(({ payload }) => (payload as { n?: number })?.n === 49, "a full window");
      expect(await metric(gateway(), "websocket_messages_in_flight")).toBe(50);
      for (let seen = 0; seen < 500; ) {
        const { messages } = client;
        if (messages.length > seen) client.send({ type: "ack", upto: messages.at(-1)?.id });
        seen = messages.length;
        client.send({ type: "ping" });
        await client.next("pong");
      }
      const numbers = client.messages.map(({ payload }) => (payload as { n: number }).n);
      expect(numbers).toEqual(countTo(500));
      await untilMetric(gateway(), "websocket_messages_in_flight", (count) => count === 0);
    });
  });

  describe("At least once, with one client among a hundred that never acknowledges", () => {
    const nats = useNats();
    const gateway = useGateway(target, () => ({
      config: {
        ...PROMISE,
        nats_url: nats.url,
        subjects: ["alo.>"],
        max_inflight_messages: 10,
        policy: "drop-oldest",
        max_queue_messages: 100,
      },
    }));

    test("the others get all, and no later than without it", async () => {
      const clients = await subscribeMany(gateway(), 99);
      const without: number[] = [];
      const beside: number[] = [];
      const holds = () => Math.min(...beside) < 2 * Math.min(...without);
      // In turns, and the best of each, as other things happen on the machine: so long that they don't matter.
      for (let round = 0; round < 3 || (round < 15 && !holds()); round++) {
        without.push(await slowestOfHundred(nats, clients));
        const mute = await subscribe(gateway());
        beside.push(await slowestOfHundred(nats, clients));
        await mute.close();
        await untilMetric(gateway(), "websocket_clients_active", (active) => active === 99);
      }
      expect({ beside, without, holds: holds() }).toMatchObject({ holds: true });
    });
  });

  describe.skipIf(target.gaps.farewell !== undefined)("At least once, when it stops", () => {
    const nats = useNats();

    test("what is under way is waited for", async () => {
      const gateway = await startGateway(target, {
        config: { ...PROMISE, nats_url: nats.url, stop_timeout: "1h" },
      });
      await untilReady(gateway);
      const quick = await subscribe(gateway);
      const mute = await openV1(gateway.wsUrl);
      await mute.subscribe("1", ["alo.x"]);
      nats.publish("alo.x", "1");
      const envelope = await quick.next();
      const { id } = await mute.next("data");
      gateway.signal("SIGTERM");
      ack(quick, envelope);
      expect((await quick.closed()).code).toBe(1001);
      // The other one is still there.
      mute.send({ type: "ping" });
      await mute.next("pong");
      mute.send({ type: "ack", id });
      expect((await mute.closed()).code).toBe(1001);
      expect(await within(gateway.exited, "end after SIGTERM")).toEqual({ code: 0, signal: null });
      mute.raw.destroy();
    });

    test("what is under way is not waited for longer than stop_timeout", async () => {
      const gateway = await startGateway(target, {
        config: { ...PROMISE, nats_url: nats.url, stop_timeout: STOP_TIMEOUT },
      });
      await untilReady(gateway);
      const mute = await openV1(gateway.wsUrl);
      await mute.subscribe("1", ["alo.x"]);
      nats.publish("alo.x", "1");
      await mute.next("data");
      gateway.signal("SIGTERM");
      expect((await mute.closed()).code).toBe(1001);
      expect(await within(gateway.exited, "end after SIGTERM")).toEqual({ code: 0, signal: null });
      mute.raw.destroy();
    });
  });

  describe.skipIf(target.gaps.farewell !== undefined)(
    "At least once, when it stops, and something is given up",
    () => {
      const nats = useNats();

      test("its dead letter arrives", async () => {
        const letters = await connectNats({ servers: nats.url });
        const dead = letters.subscribe("dead.letters", { max: 1 });
        await letters.flush();
        const gateway = await startGateway(target, {
          config: {
            ...PROMISE,
            nats_url: nats.url,
            subjects: ["alo.>"],
            max_deliver: 1,
            dead_letter_subject: "dead.letters",
            stop_timeout: "1h",
          },
        });
        await untilReady(gateway);
        const client = await subscribe(gateway);
        nats.publish("alo.x", "1");
        const { id } = await client.next();
        gateway.signal("SIGTERM");
        await gateway.waitForLog(({ message }) => /^Stopping/.test(message), "word of the stop");
        client.send(JSON.stringify({ type: "nack", id }));
        for await (const letter of dead) expect(letter.string()).toBe("1");
        expect((await client.closed()).code).toBe(1001);
        expect(await within(gateway.exited, "end after SIGTERM")).toEqual({
          code: 0,
          signal: null,
        });
        await letters.close();
      });
    },
  );

  describe("At most once", () => {
    const gateway = useGateway(target, () => ({ config: {} }));

    test("has no sessions, and says so", async () => {
      const url = `${gateway().wsUrl}?session=${newSession()}`;
      expect((await requestUpgrade(url)).status).toBe(400);
      const raw = await openRaw(gateway().wsUrl);
      raw.destroy();
    });
  });
});

/** The 99th percentile of how long messages take to all clients, in milliseconds. */
async function slowestOfHundred(
  nats: ReturnType<typeof useNats>,
  clients: readonly Subscriber[],
): Promise<number> {
  const all: number[] = [];
  for (const _ of countTo(25)) {
    const coming = clients.map(async (client) => {
      const envelope = await client.next();
      const tookMs = performance.now() - (envelope.payload as { at: number }).at;
      ack(client, envelope);
      return tookMs;
    });
    nats.publish("alo.x", JSON.stringify({ at: performance.now() }));
    all.push(...(await Promise.all(coming)));
  }
  all.sort((one, other) => one - other);
  return all[Math.floor(all.length * 0.99)]!;
}
