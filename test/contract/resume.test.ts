import { describe, expect, test } from "bun:test";
import type { Said } from "../support/v1-client.ts";
import { contract, EVERY_EDGE, EVERY_SOCKET } from "./support/contract.ts";
import { subscribe, subscribeV1, useGateway } from "./support/gateway-fixture.ts";
import { metric } from "./support/metrics.ts";
import { countTo, numbersOf, useNats } from "./support/nats-fixture.ts";

/** Clients that come back with the id of the last message that they have. */
contract([...EVERY_SOCKET, ...EVERY_EDGE], (target) => {
  describe("Coming back while messages flow", () => {
    const nats = useNats();
    // All that is published is kept: how long the way back takes is the machine's matter.
    const gateway = useGateway(target, () => ({
      config: { nats_url: nats.url, subjects: ["back.>"] },
    }));

    test("again and again misses nothing, and gets nothing twice", async () => {
      const total = 2000;
      // Who keeps up bounds how far ahead the publisher is.
      const pace = await subscribe(gateway(), "?subjects=back.x");
      const numbers: number[] = [];
      let after: string | undefined;
      const published = nats.floodInStep(pace, "back.x", total, 100);
      while ((numbers.at(-1) ?? -1) < total - 1) {
        const client = await subscribeV1(gateway());
        const from = after === undefined ? {} : { from: { after } };
        await client.subscribe("1", ["back.x"], from);
        const enough = (numbers.at(-1) ?? -1) + 150;
        const isEnough = (said: Said): boolean => numberOf(said) >= Math.min(enough, total - 1);
        await client.until(isEnough, "next messages");
        const { messages } = client;
        client.raw.destroy();
        if (after === undefined) numbers.push(...countTo(numberOf(messages[0]!)));
        numbers.push(...messages.map(numberOf));
        after = String(messages.at(-1)!.id);
        expect(client.notices("gap")).toEqual([]);
      }
      expect(numbers).toEqual(countTo(total));
      await published;
      expect(await metric(gateway(), "websocket_clients_resumed_total")).toBeGreaterThan(0);
    });
  });

  describe("Coming back", () => {
    const nats = useNats();
    const gateway = useGateway(target, () => ({
      config: { nats_url: nats.url, subjects: ["back.>"], ring_messages: 500 },
    }));

    test("a plain client says it in the query", async () => {
      const first = await subscribe(gateway(), "?subjects=back.y");
      await nats.flood("back.y", 10, 100);
      const { id } = (await first.take(5)).at(-1)!;
      await first.take(5);
      const again = await subscribe(gateway(), `?subjects=back.y&after=${id}`);
      await nats.flood("back.y", 1, 100);
      expect(numbersOf(await again.take(6))).toEqual([5, 6, 7, 8, 9, 0]);
    });

    test("is told when it has caught up, before what comes then", async () => {
      const client = await subscribeV1(gateway());
      await client.subscribe("1", ["back.z"]);
      await nats.flood("back.z", 20, 100);
      const { id } = await client.next("data");
      const again = await subscribeV1(gateway());
      const subscribed = await again.subscribe("1", ["back.z"], { from: { after: id } });
      expect(subscribed.from).toBe(id as string);
      await again.next("caught_up");
      await nats.flood("back.z", 1, 100);
      await again.next("data");
      const told = again.said.entries.filter(({ type }) => ["data", "caught_up"].includes(type));
      expect(
        told.map(({ type, payload }) => (type === "data" ? numberOf({ type, payload }) : type)),
      ).toEqual([...countTo(20).slice(1), "caught_up", 0]);
    });

    test("behind what is kept is a gap that counts what is gone, and then all that is kept", async () => {
      const first = await subscribe(gateway());
      await nats.flood("back.old", 1, 100);
      const { id } = await first.next();
      await nats.floodInStep(first, "back.new", 800, 100);
      const client = await subscribeV1(gateway());
      const asked = await client.subscribe("1", ["back.>"], { from: { after: id } });
      await client.next("caught_up");
      const [gap] = client.notices("gap");
      expect(gap).toMatchObject({ reason: "expired", count: 300, to: asked.from as string });
      expect(client.messages.map(numberOf)).toEqual(countTo(800).slice(300));
    });

    test("with a cursor of another gateway is a gap of unknown size, and then what comes", async () => {
      const client = await subscribeV1(gateway());
      const from = { after: "0123456789ab:7" };
      await client.subscribe("1", ["back.w"], { from });
      const gap = { reason: "stream_reset", from: from.after, count: 0, exact: false };
      expect(await client.next("gap")).toMatchObject(gap);
      await nats.flood("back.w", 1, 100);
      expect(numberOf(await client.next("data"))).toBe(0);
    });
  });

  describe("Coming back too late for upstream_linger", () => {
    const nats = useNats();
    const gateway = useGateway(target, () => ({
      config: { nats_url: nats.url, subjects: ["back.>"], upstream_linger: "0s" },
    }));

    test("is a gap, as nobody was subscribed meanwhile", async () => {
      const first = await subscribeV1(gateway());
      await first.subscribe("1", ["back.x"]);
      await nats.flood("back.x", 1, 100);
      const { id } = await first.next("data");
      first.send({ type: "unsubscribe", sub: "1" });
      await first.next("unsubscribed");
      await nats.flood("back.x", 5, 100);
      await first.subscribe("2", ["back.x"], { from: { after: id } });
      expect(await first.next("gap")).toMatchObject({ reason: "upstream", exact: false });
    });
  });
});

function numberOf({ payload }: Said): number {
  return (payload as { n: number } | undefined)?.n ?? -1;
}
