import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { connect } from "nats";
import { until, within } from "../support/event-log.ts";
import { type Gateway, startGateway } from "../support/gateway-process.ts";
import { requestUpgrade } from "../support/raw-handshake.ts";
import { asConfig, permissionsOf } from "../support/shown-permissions.ts";
import { startTcpProxy, type TcpProxy } from "../support/tcp-proxy.ts";
import type { Said, V1Client } from "../support/v1-client.ts";
import { contract, EVERY_EDGE, EVERY_RUNTIME } from "./support/contract.ts";
import { subscribeRaw, subscribeV1, untilReady, useGateway } from "./support/gateway-fixture.ts";
import { metric, untilMetric } from "./support/metrics.ts";
import { countTo } from "./support/nats-fixture.ts";
import { numberOf, type StreamFixture, sequenceOf, useStreams } from "./support/stream-fixture.ts";

/** Longer than any test takes: where something comes again, it is not because of it. */
const PROMISE = {
  delivery_mode: "at-least-once",
  ack_timeout: "5m",
  redelivery_backoff: "20ms",
  session_ttl: "0s",
};

/** A name of as many characters as NATS takes. */
const LONGEST = `LONG${"x".repeat(251)}`;

let durables = 0;
/** A name that no other test has. */
const newName = (): string => `worker-${++durables}`;

/** Acknowledged delivery of what streams keep, with JetStream's own consumers. */
contract([...EVERY_RUNTIME, ...EVERY_EDGE], (target) => {
  describe("Durables", () => {
    const nats = useStreams();
    const names = ["ACKED", "AGAIN", "TAKEN", "GONE", "PLAIN", "OTHER", "ROLLS", "EDITED", LONGEST];
    const gateway = useGateway(target, async () => {
      for (const name of names) await nats.create(name, name === "ROLLS" ? { max_msgs: 20 } : {});
      const streams = names.map((name) => `${name}:${name.toLowerCase()}.>`);
      const config = { ...PROMISE, nats_url: nats.url, streams, subjects: ["core.>"] };
      const bounds = { max_durables: 3, max_inflight_messages: 10, max_deliver: 3 };
      return { config: { ...config, ...bounds, dead_letter_subject: "dead.letters" } };
    });

    test("JetStream is told of an acknowledgement when the client has given it, and not before", async () => {
      const name = newName();
      const client = await using(gateway(), name, ["acked.>"]);
      await nats.fill("acked.x", 5);
      const ids = await idsOf(client, 5);
      await untilPending(nats, "ACKED", name, 5);
      client.send({ type: "ack", id: ids[0] });
      await untilPending(nats, "ACKED", name, 4);
      expect(await ackFloor(nats, "ACKED", name)).toBe(1);
      client.send({ type: "ack", ids: [ids[1], ids[4]] });
      client.send({ type: "ack", upto: ids[2] });
      await untilPending(nats, "ACKED", name, 1);
      client.send({ type: "ack", id: ids[2] });
      client.send({ type: "ack", id: ids[3] });
      await untilPending(nats, "ACKED", name, 0);
      expect(await ackFloor(nats, "ACKED", name)).toBe(5);
      await untilMetric(gateway(), "websocket_messages_in_flight", (count) => count === 0);
      expect(await metric(gateway(), "websocket_durables")).toBe(1);
    });

    test("the names of the durable and of its stream may be as long as they can be", async () => {
      const name = newName().padEnd(64, "x");
      const client = await using(gateway(), name, [`${LONGEST.toLowerCase()}.>`]);
      await nats.fill(`${LONGEST.toLowerCase()}.x`, 1);
      const [id] = await idsOf(client, 1);
      await untilPending(nats, LONGEST, name, 1);
      client.send({ type: "ack", id });
      await untilPending(nats, LONGEST, name, 0);
    });

    test("a message that is refused comes again, and nobody waits for one that is being worked on", async () => {
      const client = await using(gateway(), newName(), ["again.>"]);
      await nats.fill("again.x", 2);
      const [first, second] = await idsOf(client, 2);
      client.send({ type: "working", id: second });
      client.send({ type: "nack", id: first });
      expect((await atLeast(client, 3)).at(-1)).toMatchObject({ id: first, redelivery: 1 });
      client.send({ type: "nack", ids: [first] });
      expect((await atLeast(client, 4)).at(-1)).toMatchObject({ id: first, redelivery: 2 });
      client.send({ type: "ack", upto: second });
      await untilMetric(gateway(), "websocket_messages_in_flight", (count) => count === 0);
    });

    test("one that is refused max_deliver times is given up with a gap and a dead letter", async () => {
      const letters = nats.connection.subscribe("dead.letters", { max: 1 });
      const name = newName();
      const client = await using(gateway(), name, ["taken.no"]);
      await nats.fill("taken.no", 1);
      for (const n of [1, 2, 3]) {
        client.send({ type: "nack", id: (await idsOf(client, n)).at(-1) });
      }
      expect(await client.next("gap")).toMatchObject({ reason: "max_deliver", count: 1 });
      await untilPending(nats, "TAKEN", name, 0);
      for await (const { headers } of letters) {
        expect(headers?.get("Spillway-Last-Failure")).toBe("nack");
      }
      expect(client.messages).toHaveLength(3);
    });

    test("a client that never acknowledges gets a full window, and another durable gets all", async () => {
      await nats.fill("again.y", 30);
      const mute = await using(gateway(), newName(), ["again.y"], { from: "all" });
      const other = await using(gateway(), newName(), ["again.y"], { from: "all" });
      await atLeast(mute, 10);
      for (const n of countTo(30)) {
        other.send({ type: "ack", id: (await idsOf(other, n + 1))[n] });
      }
      expect(other.messages.map(numberOf)).toEqual(countTo(30));
      expect(mute.messages.map(numberOf)).toEqual(countTo(10));
    });

    test("a second connection takes a durable over, and has what the first had not acknowledged at once", async () => {
      const name = newName();
      const first = await using(gateway(), name, ["taken.>"]);
      await nats.fill("taken.x", 3);
      const [id] = await idsOf(first, 3);
      first.send({ type: "ack", id });
      await untilPending(nats, "TAKEN", name, 2);
      const second = await using(gateway(), name, ["taken.>"]);
      expect(await first.closed()).toEqual({ code: 4409, reason: "session taken over" });
      const again = await atLeast(second, 2);
      expect(again.map(numberOf).toSorted()).toEqual([1, 2]);
      await nats.fill("taken.x", 1, 3);
      expect((await atLeast(second, 3)).map(numberOf).at(-1)).toBe(3);
      expect(first.messages).toHaveLength(3);
      second.send({ type: "ack", upto: second.messages.at(-1)?.id });
      await untilPending(nats, "TAKEN", name, 0);
    });

    test("a client that unsubscribes leaves the durable where it is", async () => {
      const name = newName();
      const client = await using(gateway(), name, ["taken.y"]);
      await nats.fill("taken.y", 2);
      const [first] = await idsOf(client, 2);
      client.send({ type: "ack", id: first });
      await untilPending(nats, "TAKEN", name, 1);
      client.send({ type: "unsubscribe", sub: "mine" });
      await client.next("unsubscribed");
      await untilMetric(gateway(), "websocket_messages_returned_total", (count) => count > 0);
      const subscribed = await client.subscribe("mine", ["taken.y"], {
        durable: name,
        from: "all",
      });
      expect(sequenceOf(subscribed.from)).toBeLessThanOrEqual(sequenceOf(first));
      const again = (await atLeast(client, 3)).at(-1);
      expect(again).toMatchObject({ payload: { n: 1 }, redelivery: 1 });
      client.send({ type: "ack", id: again?.id });
      await untilPending(nats, "TAKEN", name, 0);
    });

    test("its consumer is deleted: another one goes on behind what was acknowledged", async () => {
      const name = newName();
      const client = await using(gateway(), name, ["gone.>"]);
      await nats.fill("gone.x", 3);
      const [, second] = await idsOf(client, 3);
      client.send({ type: "ack", upto: second });
      await untilPending(nats, "GONE", name, 1);
      await nats.manager.consumers.delete("GONE", consumerOf(name));
      await atLeast(client, 4);
      await nats.fill("gone.x", 1, 3);
      const ids = await idsOf(client, 5);
      expect(client.messages.map(numberOf)).toEqual([0, 1, 2, 2, 3]);
      client.send({ type: "ack", upto: ids.at(-1) });
      await untilPending(nats, "GONE", name, 0);
    });

    test("a stream lets go of messages that wait in it: a gap in their place", async () => {
      const name = newName();
      const client = await using(gateway(), name, ["rolls.>"], { from: "all" });
      await nats.fill("rolls.x", 100);
      for (let last = 0; last < 100; ) {
        const isNew = () => sequenceOf(client.messages.at(-1)?.id ?? 0) > last;
        await client.until(isNew, `what is behind ${last}`);
        last = sequenceOf(client.messages.at(-1)?.id);
        client.send({ type: "ack", upto: client.messages.at(-1)?.id });
      }
      let reached = 0;
      for (const said of client.said.entries) {
        const isGap = said.type === "gap";
        if (!isGap && said.type !== "data") continue;
        expect(sequenceOf(isGap ? said.from : said.id)).toBe(reached + 1);
        reached = sequenceOf(isGap ? said.to : said.id);
        if (isGap) expect(said).toMatchObject({ reason: "expired", exact: false });
      }
      expect(reached).toBe(100);
      await untilPending(nats, "ROLLS", name, 0);
    });

    test("its consumer is edited: what it says of deliveries is as it was for who uses it next", async () => {
      const name = newName();
      (await using(gateway(), name, ["edited.>"])).raw.destroy();
      // A message that NATS still sends for the client of before comes again only after `ack_timeout`.
      await untilMetric(gateway(), "websocket_durables", (used) => used === 0);
      const requests = async () =>
        (await nats.manager.consumers.info("EDITED", consumerOf(name))).num_waiting;
      await until("end of its requests for messages", requests, (count) => count === 0);
      await nats.manager.consumers.update("EDITED", consumerOf(name), {
        max_deliver: 1,
        headers_only: true,
      });
      await nats.fill("edited.x", 1);
      const client = await using(gateway(), name, ["edited.>"]);
      for (let times = 1; times <= 3; times++) {
        const id = (await idsOf(client, times)).at(-1);
        client.send({ type: "nack", id });
      }
      expect(client.messages.map(numberOf)).toEqual([0, 0, 0]);
      expect(await client.next("gap")).toMatchObject({ reason: "max_deliver" });
      await untilPending(nats, "EDITED", name, 0);
    });

    test("NATS restarts: what is acknowledged meanwhile does not come again, and the rest goes on", async () => {
      const name = newName();
      const client = await using(gateway(), name, ["acked.y"]);
      await nats.fill("acked.y", 2);
      const [first] = await idsOf(client, 2);
      await nats.server.stop();
      await client.until(({ state }) => state === "disconnected", "disconnected");
      client.send({ type: "ack", id: first });
      await nats.server.restart();
      await untilReady(gateway());
      const connection = await connect({ servers: nats.url });
      await connection.jetstream().publish("acked.y", '{"n":2}');
      await connection.close();
      await client.until((said) => numberOf(said) === 2, "the third message");
      client.send({ type: "ack", upto: client.messages.at(-1)?.id });
      await untilPending(nats, "ACKED", name, 0);
      const numbers = client.messages.map(numberOf);
      expect(numbers.filter((n) => n === 0)).toEqual([0]);
      expect(numbers.at(-1)).toBe(2);
    });

    test("plain clients name theirs in the query", async () => {
      const name = newName();
      const query = `?subjects=plain.*&durable=${name}&from=all`;
      await nats.fill("plain.x", 2);
      const before = await subscribeRaw(gateway(), {}, query);
      const [first] = (await before.takeTexts(2)).map((text) => JSON.parse(text));
      before.send(JSON.stringify({ type: "ack", id: first.id, timestamp: 1 }));
      await untilPending(nats, "PLAIN", name, 1);
      before.destroy();
      await untilMetric(gateway(), "websocket_durables", (used) => used === 0);
      const after = await subscribeRaw(gateway(), {}, query);
      const again = JSON.parse(await after.nextText());
      expect(again).toMatchObject({ payload: { n: 1 }, redelivery: 1 });
      after.send(JSON.stringify({ type: "ack", id: again.id }));
      await untilPending(nats, "PLAIN", name, 0);
    });

    test("what can't be kept is refused", async () => {
      const client = await subscribeV1(gateway());
      const refused = async (subjects: string[], more: object): Promise<unknown> => {
        client.send({ type: "subscribe", id: "r", subjects, ...more });
        return (await client.next("error")).error;
      };
      const unsupported = { code: "unsupported", retryable: false };
      const durable = newName();
      expect(await refused(["core.x"], { durable })).toMatchObject(unsupported);
      expect(await refused(["acked.>", "again.>"], { durable })).toMatchObject(unsupported);
      expect(await refused(["acked.>"], { durable, max_rate: 1 })).toMatchObject(unsupported);
      const malformed = { code: "malformed" };
      expect(await refused(["acked.>"], { durable: "a.b" })).toMatchObject(malformed);
      expect(await refused(["acked.>"], { durable: "x".repeat(65) })).toMatchObject(malformed);
      await using(gateway(), durable, ["other.a"]);
      expect(await refused(["other.b"], { durable })).toMatchObject(unsupported);
      for (const query of [
        "durable=a.b",
        "durable=d&subjects=core.x",
        "durable=d&policy=conflate",
      ]) {
        expect((await requestUpgrade(`${gateway().wsUrl}?${query}`)).status).toBe(400);
      }
      const events = await gateway().get(`${gateway().path}/sse?durable=d&subjects=acked.x`);
      expect(events.status).toBe(400);
    });

    test("a stream has no more of them than it may", async () => {
      const client = await subscribeV1(gateway());
      // One of another test is there as well.
      for (const id of ["1", "2"]) await client.subscribe(id, ["other.x"], { durable: newName() });
      client.send({ type: "subscribe", id: "many", subjects: ["other.x"], durable: newName() });
      const error = await client.next("error");
      expect(error).toMatchObject({ error: { code: "too_many_durables", retryable: true } });
      const plain = await subscribeRaw(gateway(), {}, `?subjects=other.x&durable=${newName()}`);
      expect((await plain.nextClose()).code).toBe(4503);
    });
  });

  describe("Durables, past ack_timeout", () => {
    const nats = useStreams();
    const gateway = useGateway(target, async () => {
      await nats.create("LATE");
      return {
        config: {
          ...PROMISE,
          nats_url: nats.url,
          streams: ["LATE:late.>"],
          ack_timeout: "300ms",
          max_deliver: 2,
          durable_ttl: "1s",
          dead_letter_subject: "dead.letters",
        },
      };
    });

    test("a message comes again, and is given up with a gap and a dead letter in the end", async () => {
      const letters = nats.connection.subscribe("dead.letters", { max: 1 });
      const name = newName();
      const client = await using(gateway(), name, ["late.>"]);
      await nats.fill("late.x", 1);
      const [first, second] = await atLeast(client, 2);
      const id = first?.id;
      expect(second).toMatchObject({ id, redelivery: 1 });
      expect(await client.next("gap")).toMatchObject({ from: id, to: id, reason: "max_deliver" });
      await untilPending(nats, "LATE", name, 0);
      for await (const { headers } of letters) {
        expect(headers?.get("Spillway-Last-Failure")).toBe("ack_timeout");
      }
      expect(client.messages).toHaveLength(2);
    });

    test("a message does not come again while its client says that it works on it", async () => {
      const name = newName();
      const client = await using(gateway(), name, ["late.z"]);
      await nats.fill("late.z", 1);
      const [id] = await idsOf(client, 1);
      const untilMs = performance.now() + 1000;
      await until(
        "more than three times ack_timeout",
        async () => {
          client.send({ type: "working", id });
          await gateway().get("/livez");
          return performance.now();
        },
        (nowMs) => nowMs > untilMs,
      );
      client.send({ type: "ack", id });
      await untilPending(nats, "LATE", name, 0);
      expect(client.messages).toHaveLength(1);
    });

    test("one that nobody uses is gone after durable_ttl", async () => {
      const name = newName();
      const client = await using(gateway(), name, ["late.>"]);
      client.send({ type: "unsubscribe", sub: "mine" });
      await client.next("unsubscribed");
      const names = () => consumersOf(nats, "LATE");
      await until("no such consumer", names, (all) => !all.includes(consumerOf(name)));
    });
  });

  describe("Durables, acknowledged at about ack_timeout", () => {
    const nats = useStreams();
    let proxy: TcpProxy;
    beforeAll(async () => {
      const { port, wsPort } = nats.server;
      proxy = await startTcpProxy(target.isEdge ? wsPort : port);
    });
    afterAll(() => proxy.close());
    const gateway = useGateway(target, async () => {
      await nats.create("RACE");
      const nats_url = `${target.isEdge ? "ws" : "nats"}://127.0.0.1:${proxy.port}`;
      return { config: { ...PROMISE, nats_url, streams: ["RACE"], ack_timeout: "300ms" } };
    });

    test("nothing that is acknowledged comes again, though it was on its way already", async () => {
      const name = newName();
      const client = await using(gateway(), name, ["race.>"]);
      await nats.fill("race.x", 100);
      const idsNow = () => new Set(client.messages.map(({ id }) => id));
      await client.until(() => idsNow().size === 100, "100 messages");
      proxy.hold();
      const sentAgain = async (): Promise<number> => {
        const consumer = await nats.manager.consumers.info("RACE", consumerOf(name));
        // What was sent before is on its way as well.
        return consumer.delivered.consumer_seq - client.messages.length;
      };
      await until("100 messages that were sent again", sentAgain, (count) => count >= 100);
      client.send({ type: "ack", ids: [...idsNow()] });
      client.send({ type: "ping", id: "acknowledged" });
      await client.next("pong");
      const before = client.messages.length;
      proxy.mend();
      await untilPending(nats, "RACE", name, 0);
      await nats.fill("race.x", 1, 100);
      await client.until((said) => numberOf(said) === 100, "the next message");
      expect(client.messages.slice(before).map(numberOf)).toEqual([100]);
      client.send({ type: "ack", id: client.messages.at(-1)?.id });
      await untilPending(nats, "RACE", name, 0);
    });
  });

  describe("Durables of a gateway that NATS allows what docs/operations.md says", () => {
    const shown = permissionsOf("durables").map((one) => {
      return { ...one, subject: one.subject.replace("ORDERS", "STRICT") };
    });
    const users = [
      { user: "tests", password: "x" },
      { user: "gateway", password: "y", permissions: asConfig(shown) },
    ];
    const nats = useStreams({
      config: `authorization { users: ${JSON.stringify(users)} }\nno_auth_user: tests`,
    });
    const gateway = useGateway(target, async () => {
      await nats.create("STRICT");
      const nats_url = nats.url.replace("//", "//gateway:y@");
      return { config: { ...PROMISE, nats_url, streams: ["STRICT"], max_inflight_messages: 1000 } };
    });

    test("are followed, taken over and acknowledged", async () => {
      const name = newName();
      const live = await subscribeV1(gateway());
      await live.subscribe("1", ["strict.>"]);
      const first = await using(gateway(), name, ["strict.>"]);
      await nats.fill("strict.x", 600);
      await live.until((said) => numberOf(said) === 599, "the last one");
      await atLeast(first, 1);
      const second = await using(gateway(), name, ["strict.>"]);
      expect((await first.closed()).code).toBe(4409);
      for (let seen = 0; seen < 600; seen = second.messages.length) {
        await atLeast(second, seen + 1);
        second.send({ type: "ack", upto: second.messages.at(-1)?.id });
      }
      second.send({ type: "ack", ids: second.messages.map(({ id }) => id) });
      await untilPending(nats, "STRICT", name, 0);
      const refused = gateway().logs.filter(({ message }) => /permission/i.test(message));
      expect(refused).toEqual([]);
    });
  });

  describe.skipIf(target.gaps.farewell !== undefined)("Durables, when the gateway stops", () => {
    const nats = useStreams();

    test("what is acknowledged until stop_timeout reaches JetStream", async () => {
      await nats.create("LAST");
      const config = { ...PROMISE, nats_url: nats.url, streams: ["LAST"], stop_timeout: "10s" };
      const gateway = await startGateway(target, { config });
      await untilReady(gateway);
      const name = newName();
      const client = await using(gateway, name, ["last.>"]);
      await nats.fill("last.x", 2);
      const [first, second] = await idsOf(client, 2);
      gateway.signal("SIGTERM");
      await gateway.waitForLog(({ message }) => /^Stopping/.test(message), "word of the stop");
      client.send({ type: "ack", id: first });
      await untilPending(nats, "LAST", name, 1);
      client.send({ type: "ack", id: second });
      expect((await client.closed()).code).toBe(1001);
      expect(await within(gateway.exited, "end after SIGTERM")).toEqual({ code: 0, signal: null });
      await untilPending(nats, "LAST", name, 0);
      client.raw.destroy();
    });
  });

  describe("Durables of two gateways", () => {
    const nats = useStreams();
    let gateways: readonly Gateway[] = [];
    beforeAll(async () => {
      await nats.create("SHARED");
      const config = { ...PROMISE, nats_url: nats.url, streams: ["SHARED"] };
      gateways = await Promise.all(
        // The second one must not owe its messages to the time.
        ["1s", "5m"].map((time) =>
          startGateway(target, { config: { ...config, ack_timeout: time } }),
        ),
      );
      for (const gateway of gateways) await untilReady(gateway);
    });
    afterAll(async () => {
      for (const gateway of gateways) await gateway.stop();
    });

    test("it is taken over from one by the other", async () => {
      const [one, two] = gateways as [Gateway, Gateway];
      const name = newName();
      const first = await using(two, name, ["shared.x"]);
      await nats.fill("shared.x", 2);
      await idsOf(first, 2);
      const second = await using(one, name, ["shared.x"]);
      expect((await first.closed()).code).toBe(4409);
      await atLeast(second, 2);
      second.send({ type: "ack", upto: second.messages.at(-1)?.id });
      await untilPending(nats, "SHARED", name, 0);
      second.raw.destroy();
    });

    // Cloudflare ends an object without a stop, which would give back what is not acknowledged.
    test.skipIf(target.runtime === "workerd")(
      "one is stopped, or killed: the other one has what was not acknowledged",
      async () => {
        const [one, two] = gateways as [Gateway, Gateway];
        const name = newName();
        const client = await using(two, name, ["shared.y"]);
        await nats.fill("shared.y", 3);
        const [first] = await idsOf(client, 3);
        client.send({ type: "ack", id: first });
        await untilPending(nats, "SHARED", name, 2);
        two.signal("SIGTERM");
        client.raw.destroy();
        expect(await within(two.exited, "end after SIGTERM")).toEqual({ code: 0, signal: null });
        const next = await using(one, name, ["shared.y"]);
        await atLeast(next, 2);
        expect(next.messages.map(numberOf).toSorted()).toEqual([1, 2]);
        one.signal("SIGKILL");
        await within(one.exited, "end after SIGKILL");
        const { ack_timeout: _, ...promise } = PROMISE;
        const config = { ...promise, nats_url: nats.url, streams: ["SHARED"], ack_timeout: "1s" };
        const third = await startGateway(target, { config });
        await untilReady(third);
        const last = await using(third, name, ["shared.y"]);
        await atLeast(last, 2);
        expect(last.messages.map(numberOf).toSorted()).toEqual([1, 2]);
        last.send({ type: "ack", ids: last.messages.map(({ id }) => id) });
        await untilPending(nats, "SHARED", name, 0);
        last.raw.destroy();
        await third.stop();
      },
    );
  });
});

/** A client that uses a durable, which is there when this returns. */
async function using(
  gateway: Gateway,
  durable: string,
  subjects: readonly string[],
  more: object = {},
): Promise<V1Client> {
  const client = await subscribeV1(gateway);
  expect(await client.subscribe("mine", subjects, { durable, ...more })).toMatchObject({ durable });
  return client;
}

/** All messages so far, once there are so many. */
async function atLeast(client: V1Client, count: number): Promise<Said[]> {
  await client.until(() => client.messages.length >= count, `${count} messages`);
  return client.messages;
}

/** The id of each message so far, once there are so many. */
async function idsOf(client: V1Client, count: number): Promise<string[]> {
  return (await atLeast(client, count)).map(({ id }) => String(id));
}

function consumerOf(name: string): string {
  return `spillway_${name}`;
}

async function consumersOf(nats: StreamFixture, stream: string): Promise<string[]> {
  return (await nats.manager.consumers.list(stream).next()).map(({ name }) => name);
}

async function ackFloor(nats: StreamFixture, stream: string, name: string): Promise<number> {
  return (await nats.manager.consumers.info(stream, consumerOf(name))).ack_floor.stream_seq;
}

/** Waits until so many messages of a durable are not acknowledged. */
async function untilPending(
  nats: StreamFixture,
  stream: string,
  name: string,
  count: number,
): Promise<void> {
  const ask = async (): Promise<number> => {
    const info = await nats.manager.consumers.info(stream, consumerOf(name));
    return info.num_ack_pending + info.num_pending;
  };
  // A question that is asked while NATS restarts is lost: the next one counts.
  const askAgain = (): Promise<number> =>
    ask().catch((error) => {
      if (error.code === "TIMEOUT") return Number.NaN;
      throw error;
    });
  await until(
    `${count} messages that are not acknowledged`,
    askAgain,
    (pending) => pending === count,
  );
}
