import { describe, expect, test } from "bun:test";
import { until } from "../support/event-log.ts";
import { type Gateway, startGateway } from "../support/gateway-process.ts";
import { contract, EVERY_EDGE, EVERY_RUNTIME } from "./support/contract.ts";
import { subscribe, subscribeV1, untilReady, useGateway } from "./support/gateway-fixture.ts";
import { countTo } from "./support/nats-fixture.ts";
import { numberOf, type StreamFixture, sequenceOf, useStreams } from "./support/stream-fixture.ts";

/** Whether the server is of this version or newer. */
function isAtLeast(nats: StreamFixture, major: number, minor: number): boolean {
  const [its = 0, itsMinor = 0] = nats.server.version.split(".").map(Number);
  return its > major || (its === major && itsMinor >= minor);
}

async function readyz(gateway: Gateway): Promise<string> {
  const response = await gateway.get("/readyz");
  return `${response.status} ${await response.text()}`;
}

/** All numbers that a client gets which begins with all that is kept, and how far that goes. */
async function allOf(
  gateway: Gateway,
  subjects: readonly string[],
  more: object = { from: "all" },
) {
  const client = await subscribeV1(gateway);
  const { from } = await client.subscribe("1", subjects, more);
  await client.next("caught_up");
  return { client, from, numbers: client.messages.map(numberOf), gaps: client.notices("gap") };
}

/** What a stream captures is not what it holds. */
contract([...EVERY_RUNTIME, ...EVERY_EDGE], (target) => {
  describe("A stream that transforms its subjects", () => {
    const nats = useStreams();
    const gateway = useGateway(target, async () => {
      const subject_transform = { src: "in.>", dest: "out.>" };
      await nats.create("IN", isAtLeast(nats, 2, 10) ? { subject_transform } : {});
      const tokens = { src: "orders.*.*", dest: "by.{{wildcard(2)}}.{{wildcard(1)}}" };
      await nats.create("ORDERS", isAtLeast(nats, 2, 10) ? { subject_transform: tokens } : {});
      return { config: { nats_url: nats.url, streams: ["IN", "ORDERS"], ring_messages: 2 } };
    });

    test("is read, resumed and live by what they become", async () => {
      if (!isAtLeast(nats, 2, 10)) return;
      await nats.fill("in.a", 20);
      await nats.fill("orders.eu.7", 20, 100);
      const out = await allOf(gateway(), ["out.>"]);
      expect([out.numbers, out.gaps]).toEqual([countTo(20), []]);
      const by = await allOf(gateway(), ["by.7.*"]);
      expect([by.numbers.length, by.gaps]).toEqual([20, []]);
      // Each is of one stream, and a sequence may be asked for.
      const seq = await allOf(gateway(), ["out.>"], { from: { seq: 19 } });
      expect(seq.numbers).toEqual([18, 19]);
      const after = out.client.messages[4]?.id;
      const again = await allOf(gateway(), ["out.>"], { from: { after } });
      expect([again.numbers, again.gaps]).toEqual([countTo(20).slice(5), []]);
      const plain = await subscribe(gateway(), "?subjects=out.>&from=all");
      expect((await plain.take(20)).map(numberOf)).toEqual(countTo(20));
      await nats.fill("in.a", 1, 20);
      await again.client.until((said) => numberOf(said) === 20, "what comes");
    });
  });

  describe("A stream whose subjects were edited", () => {
    const nats = useStreams();
    const gateway = useGateway(target, async () => {
      await nats.create("ORDERS", { subjects: ["orders.>"] });
      await nats.create("STOCK", { subjects: ["stock.>"] });
      await nats.fill("orders.x", 20);
      await nats.manager.streams.update("ORDERS", { subjects: ["payments.>"] });
      await nats.fill("payments.x", 20, 20);
      return { config: { nats_url: nats.url, streams: ["ORDERS", "STOCK"], ring_messages: 2 } };
    });

    test("is read by its old subjects and its new ones, and a cursor says of which stream it is", async () => {
      for (const [subjects, numbers] of [
        [["orders.>"], countTo(20)],
        [["payments.>"], countTo(40).slice(20)],
        [["orders.>", "payments.>"], countTo(40)],
      ] as const) {
        const all = await allOf(gateway(), subjects);
        expect([all.numbers, all.gaps]).toEqual([[...numbers], []]);
        const after = all.client.messages[2]?.id;
        const again = await allOf(gateway(), subjects, { from: { after } });
        expect(again.numbers).toEqual([...numbers].slice(3));
        expect(again.gaps.filter(({ reason }) => reason === "stream_reset")).toEqual([]);
      }
      const latest = await allOf(gateway(), ["orders.>"], { from: "last_per_subject" });
      expect(latest.numbers).toEqual([19]);
    });

    test("gives them to whoever gets its old ones, and is told apart from the one that has them now", async () => {
      await nats.manager.streams.update("STOCK", { subjects: ["stock.>", "orders.>"] });
      await nats.fill("orders.x", 5, 100);
      const all = await allOf(gateway(), ["orders.>"]);
      expect(all.numbers.toSorted((a, b) => a - b)).toEqual([
        ...countTo(20),
        ...countTo(105).slice(100),
      ]);
      expect(all.gaps).toEqual([]);
    });

    test("while it is followed: what comes then comes, and can be asked for at once", async () => {
      const client = await subscribeV1(gateway());
      await client.subscribe("1", ["payments.>", "later.>"]);
      await nats.manager.streams.update("ORDERS", { subjects: ["payments.>", "later.>"] });
      await nats.fill("later.x", 10, 200);
      await client.until((said) => numberOf(said) === 209, "what comes under the new subject");
      const all = await allOf(gateway(), ["later.>"]);
      expect([all.numbers, all.gaps]).toEqual([countTo(210).slice(200), []]);
      const again = await allOf(gateway(), ["later.>"], {
        from: { after: all.client.messages[0]?.id },
      });
      expect(again.numbers).toEqual(countTo(210).slice(201));
    });
  });

  describe("A stream that is configured with subjects of which it has nothing", () => {
    const nats = useStreams();

    test("is named in the log and by /readyz at once, and not once it has", async () => {
      await nats.create("ORDERS", { subjects: ["orders.>"] });
      await nats.fill("orders.x", 3);
      const gateway = await startGateway(target, {
        config: { nats_url: nats.url, streams: ["ORDERS:payments.>", "ORDERS:orders.x"] },
      });
      const words = /stream ORDERS doesn't store payments\.>: none of its subjects matches/;
      await until(
        "word of it",
        () => readyz(gateway),
        (said) => said.startsWith("503") && words.test(said),
      );
      const lines = gateway.logs.filter(({ message }) => /doesn't store/.test(message));
      expect(lines).toHaveLength(1);
      const client = await subscribeV1(gateway);
      await client.subscribe("1", ["orders.x", "payments.>"], { from: "all" });
      await client.next("caught_up");
      expect(client.messages.map(numberOf)).toEqual(countTo(3));
      await nats.manager.streams.update("ORDERS", { subjects: ["orders.>", "payments.>"] });
      await nats.fill("payments.x", 2, 3);
      await client.until((said) => numberOf(said) === 4, "what it has now");
      await untilReady(gateway);
      client.raw.destroy();
      expect(await gateway.stop()).toEqual({ code: 0, signal: null });
    });
  });

  describe("A mirror beside another stream", () => {
    const nats = useStreams();
    const gateway = useGateway(target, async () => {
      await nats.create("ORDERS", { subjects: ["orders.>"] });
      await nats.create("STOCK", { subjects: ["stock.>"] });
      await nats.manager.streams.add({ name: "COPY", mirror: { name: "ORDERS" } });
      await nats.fill("orders.x", 20);
      await nats.fill("stock.x", 20, 100);
      const count = async () => (await nats.manager.streams.info("COPY")).state.messages;
      await until("20 messages in the mirror", count, (messages) => messages === 20);
      return { config: { nats_url: nats.url, streams: ["COPY", "STOCK"], ring_messages: 2 } };
    });

    test("and the other are read by what each holds", async () => {
      const stock = await allOf(gateway(), ["stock.>"]);
      expect([stock.numbers, stock.gaps]).toEqual([countTo(120).slice(100), []]);
      const orders = await allOf(gateway(), ["orders.>"]);
      expect([orders.numbers, orders.gaps]).toEqual([countTo(20), []]);
      expect(orders.client.messages.map(({ id }) => sequenceOf(id))).toEqual(countTo(21).slice(1));
      const latest = await allOf(gateway(), ["stock.x", "orders.x"], { from: "last_per_subject" });
      expect(latest.numbers.toSorted((a, b) => a - b)).toEqual([19, 119]);
      await nats.fill("orders.x", 1, 20);
      await orders.client.until((said) => numberOf(said) === 20, "what comes");
    });
  });
});
