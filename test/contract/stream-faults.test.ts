import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { connect } from "nats";
import { type Gateway, startGateway } from "../support/gateway-process.ts";
import type { Said, V1Client } from "../support/v1-client.ts";
import { contract, EVERY_EDGE, EVERY_RUNTIME } from "./support/contract.ts";
import { subscribeV1, untilReady, useGateway } from "./support/gateway-fixture.ts";
import { countTo } from "./support/nats-fixture.ts";
import { numberOf, sequenceOf, useStreams } from "./support/stream-fixture.ts";

/** Waits for the message of this number, and says which ones came until then. */
async function numbersUntil(client: V1Client, last: number): Promise<number[]> {
  await client.until((said) => numberOf(said) === last, `message ${last}`);
  return client.messages.map(numberOf);
}

/** What happens to streams, and to those who read them. */
contract([...EVERY_RUNTIME, ...EVERY_EDGE], (target) => {
  describe("Streams in trouble", () => {
    const nats = useStreams();
    const names = ["LOST", "CONSUMER", "PURGED", "GONE", "SHORT", "AGE", "ONE"];
    const gateway = useGateway(target, async () => {
      for (const name of names) {
        if (name === "SHORT") await nats.create(name, { max_msgs: 100 });
        else await nats.create(name, name === "ONE" ? { max_msgs_per_subject: 1 } : {});
      }
      for (const name of ["TIGHT", "PART"]) await nats.create(name, { max_msgs: 5 });
      const streams = [...names, "TIGHT", "PART:part.x"];
      return { config: { nats_url: nats.url, streams, ring_messages: 50 } };
    });
    /** Restarts NATS, and does something before the gateway is back: it waits half a second at least. */
    const whileAway = async (
      call: (
        publish: (subject: string, n: number) => Promise<void>,
        purge: (stream: string) => Promise<void>,
      ) => Promise<void>,
    ) => {
      await nats.server.restart();
      const connection = await connect({ servers: nats.url });
      const stream = connection.jetstream();
      await call(
        async (subject, n) => void (await stream.publish(subject, `{"n":${n}}`)),
        async (name) => void (await (await connection.jetstreamManager()).streams.purge(name)),
      );
      await connection.close();
    };

    test("NATS restarts: clients stay, and get what was published meanwhile, once and in order", async () => {
      const client = await subscribeV1(gateway());
      await client.subscribe("1", ["lost.>"]);
      await nats.fill("lost.x", 10);
      await numbersUntil(client, 9);
      await whileAway(async (publish) => {
        for (let n = 10; n < 20; n++) await publish("lost.x", n);
      });
      expect(await numbersUntil(client, 19)).toEqual(countTo(20));
      expect(client.notices("gap")).toEqual([]);
      expect(client.notices("upstream").map(({ state }) => state)).toEqual([
        "disconnected",
        "connected",
      ]);
      await untilReady(gateway());
    });

    test("its consumer is deleted: another one goes on behind the last message", async () => {
      const client = await subscribeV1(gateway());
      await client.subscribe("1", ["consumer.>"]);
      await nats.fill("consumer.x", 5);
      await numbersUntil(client, 4);
      const [consumer] = await nats.manager.consumers.list("CONSUMER").next();
      await nats.manager.consumers.delete("CONSUMER", consumer!.name);
      await nats.fill("consumer.x", 5, 5);
      expect(await numbersUntil(client, 9)).toEqual(countTo(10));
      expect(client.notices("gap")).toEqual([]);
    });

    test("a stream is purged: what comes then comes, and what nobody got is a gap", async () => {
      const client = await subscribeV1(gateway());
      await client.subscribe("1", ["purged.>"]);
      await nats.fill("purged.x", 5);
      await numbersUntil(client, 4);
      await nats.manager.streams.purge("PURGED");
      await nats.fill("purged.x", 1, 5);
      expect(await numbersUntil(client, 5)).toEqual(countTo(6));
      expect(client.notices("gap")).toEqual([]);
      await whileAway(async (publish, purge) => {
        for (let n = 6; n < 9; n++) await publish("purged.x", n);
        await purge("PURGED");
        await publish("purged.x", 9);
      });
      expect(await numbersUntil(client, 9)).toEqual([...countTo(6), 9]);
      const [gap, ...others] = client.notices("gap");
      expect(gap).toMatchObject({ reason: "expired", count: 3, exact: false });
      expect([gap?.from, gap?.to].map(sequenceOf)).toEqual([7, 9]);
      expect(others).toEqual([]);
    });

    test("a stream is deleted and made anew: all of it comes, behind a gap of unknown size", async () => {
      const client = await subscribeV1(gateway());
      await client.subscribe("1", ["gone.>"]);
      await nats.fill("gone.x", 3);
      await numbersUntil(client, 2);
      const cursor = String(client.messages[0]?.id);
      await nats.manager.streams.delete("GONE");
      await nats.create("GONE");
      await nats.fill("gone.x", 80, 3);
      expect(await numbersUntil(client, 82)).toEqual(countTo(83));
      expect(client.notices("gap")).toMatchObject([{ reason: "stream_reset", exact: false }]);
      const again = await subscribeV1(gateway());
      await again.subscribe("1", ["gone.>"], { from: { after: cursor } });
      await again.next("caught_up");
      expect(again.messages.map(numberOf)).toEqual(countTo(83).slice(3));
      expect(again.notices("gap")).toMatchObject([{ reason: "stream_reset", from: cursor }]);
    });

    test("a stream lets go of messages before they came: each is there, or in a gap in its place", async () => {
      const client = await subscribeV1(gateway());
      await client.subscribe("1", ["tight.>"]);
      const some = await subscribeV1(gateway());
      await some.subscribe("1", ["part.x"]);
      const count = 20_000;
      for (let n = 0; n < count; n++) {
        nats.connection.publish("tight.x", `{"n":${n}}`);
        nats.connection.publish("part.x", `{"n":${n}}`);
      }
      await numbersUntil(client, count - 1);
      await numbersUntil(some, count - 1);
      let reached = 0;
      for (const said of client.said.entries) {
        const isGap = said.type === "gap";
        if (!isGap && said.type !== "data") continue;
        expect(sequenceOf(isGap ? said.from : said.id)).toBe(reached + 1);
        reached = sequenceOf(isGap ? said.to : said.id);
        if (isGap) expect(said).toMatchObject({ reason: "expired", exact: false });
      }
      expect(reached).toBe(count);
      // How much of what is gone a part of the stream would have had, nobody knows.
      if (some.messages.length < count) {
        const isExpired = ({ type, reason }: Said) => type === "gap" && reason === "expired";
        await some.until(isExpired, "word of it");
      }
    });

    test("a cursor is older than what the stream keeps: a gap, and then all that is kept", async () => {
      const client = await subscribeV1(gateway());
      await client.subscribe("1", ["short.>"]);
      await nats.fill("short.x", 1);
      const { id } = await client.next("data");
      await nats.fill("short.x", 999, 1);
      await numbersUntil(client, 999);
      const again = await subscribeV1(gateway());
      await again.subscribe("1", ["short.>"], { from: { after: id } });
      await again.next("caught_up");
      expect(again.messages.map(numberOf)).toEqual(countTo(1000).slice(900));
      expect(again.notices("gap")).toMatchObject([{ reason: "expired", count: 899, exact: false }]);
    });

    test("a stream keeps one message of each subject: who comes back is told that some may be missing", async () => {
      const client = await subscribeV1(gateway());
      await client.subscribe("1", ["one.>"]);
      await nats.fill("one.first", 1);
      const { id } = await client.next("data");
      await nats.fill("one.x", 200, 1);
      // Each of a subject of its own, so that they stay, and the ring holds no others.
      for (let n = 201; n <= 300; n++) await nats.fill(`one.y.${n}`, 1, n);
      await numbersUntil(client, 300);
      expect(client.notices("gap")).toEqual([]);
      const again = await subscribeV1(gateway());
      await again.subscribe("1", ["one.>"], { from: { after: id } });
      await again.next("caught_up");
      expect(again.notices("gap")).toMatchObject([{ reason: "expired", count: 0, exact: false }]);
      expect(again.messages.map(numberOf).slice(0, 1)).toEqual([200]);
      expect(again.messages.map(numberOf).at(-1)).toBe(300);
    });

    test("a cursor beyond the end of a stream is no cursor", async () => {
      const client = await subscribeV1(gateway());
      await client.subscribe("1", ["age.>"]);
      await nats.fill("age.x", 1);
      const { id } = await client.next("data");
      const after = String(id).replace(/\d+$/, "1000");
      await client.subscribe("2", ["age.>"], { from: { after } });
      await client.next("caught_up");
      expect(client.notices("gap")).toMatchObject([{ reason: "stream_reset" }]);
    });
  });

  describe("Two gateways", () => {
    const nats = useStreams();
    const gateways: Gateway[] = [];
    beforeAll(async () => {
      await nats.create("PAIR");
      const config = { nats_url: nats.url, streams: ["PAIR"], ring_messages: 100 };
      for (let n = 0; n < 2; n++) gateways.push(await startGateway(target, { config }));
      for (const gateway of gateways) await untilReady(gateway);
    });
    afterAll(() => Promise.all(gateways.map((gateway) => gateway.stop())));

    test("a client whose gateway is killed goes on at the other one, and misses nothing", async () => {
      const [one, other] = gateways as [Gateway, Gateway];
      const client = await subscribeV1(one);
      await client.subscribe("1", ["pair.>"]);
      const published = nats.fill("pair.x", 5000);
      await client.until((said) => numberOf(said) >= 700, "some messages");
      one.signal("SIGKILL");
      await one.exited;
      await published;
      const before = client.messages;
      const again = await subscribeV1(other);
      await again.subscribe("1", ["pair.>"], { from: { after: before.at(-1)?.id } });
      await nats.fill("pair.x", 10, 5000);
      await numbersUntil(again, 5009);
      const all = [...before, ...again.messages].map(numberOf);
      expect(all).toEqual(countTo(5010));
      expect(again.notices("gap")).toEqual([]);
    });
  });
});
