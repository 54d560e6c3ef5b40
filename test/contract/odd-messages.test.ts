import { describe, expect, test } from "bun:test";
import { until } from "../support/event-log.ts";
import { publishWithHeaders, sendRaw } from "../support/raw-nats.ts";
import type { Said } from "../support/v1-client.ts";
import { contract, EVERY_EDGE, EVERY_RUNTIME } from "./support/contract.ts";
import { subscribe, subscribeV1, untilReady, useGateway } from "./support/gateway-fixture.ts";
import { metric, untilMetric } from "./support/metrics.ts";
import { numberOf, type StreamFixture, useStreams } from "./support/stream-fixture.ts";

/** Headers that break the rules, or say what only the server may say. Each comes with its name. */
const ODD: Readonly<Record<string, readonly (string | Uint8Array)[]>> = {
  "a space in a name": ["NATS/1.0", "Trace Id: 1"],
  "no name": ["NATS/1.0", ": 1"],
  "a name that is no ASCII": ["NATS/1.0", "Ä: 1"],
  "a line end in a value": ["NATS/1.0", "A: 1\n2"],
  "no UTF-8": ["NATS/1.0", Buffer.from([0x41, 0x3a, 0xff, 0xfe, 0x80])],
  "a status": ["NATS/1.0 404 No Messages"],
  "a status that ends an answer": [
    "NATS/1.0 204 EOB",
    "Nats-Num-Pending: 0",
    "Nats-UpTo-Sequence: 1",
  ],
  "a status of nobody there": ["NATS/1.0 503"],
  "a status that is no number": ["NATS/1.0 huh"],
  "another version": ["NATS/9.9 1", "A: 1"],
  "60 kB, as much as a stream takes": [
    "NATS/1.0",
    `A: ${"x".repeat(30_000)}`,
    `B: ${"y".repeat(30_000)}`,
  ],
  "5,000 names": ["NATS/1.0", ...Array.from({ length: 5_000 }, (_, n) => `H${n}: 1`)],
  "the server's own names": [
    "NATS/1.0",
    "Nats-Subject: odd.forged",
    "Nats-Sequence: nonsense",
    "Nats-Time-Stamp: never",
    "Nats-Stream: OTHER",
    "Nats-Num-Pending: 0",
    "Nats-UpTo-Sequence: 1",
    "Nats-Last-Consumer: 5",
    "Nats-Consumer-Stalled: a b",
  ],
};
/** What a subject may end with, as long as it is no blank and no line end. */
const ODD_TOKENS = ["\u00a0", "x\u00a0", "\u2028", "x\ufeff", "\v", "x\f", "\0", '"\\'];
const names = Object.keys(ODD);
const UNREADABLE = ["websocket_errors_total", 'error_type="unreadable_headers"'] as const;

/** Messages that no client library would send: NATS passes on whatever it gets. */
contract([...EVERY_RUNTIME, ...EVERY_EDGE], (target) => {
  describe("Messages with odd headers", () => {
    const nats = useStreams();
    const gateway = useGateway(target, async () => {
      await nats.create("ODD", { allow_direct: true });
      await nats.create("PLAIN");
      await nats.connection.jetstream().views.kv("odd", { history: 64 });
      const streams = ["ODD:odd.>", "PLAIN:plain.>", "KV_odd"];
      const config = {
        nats_url: nats.url,
        streams,
        subjects: ["core.>"],
        headers: ["A", "B"],
      };
      return {
        config: { ...config, delivery_mode: "at-least-once", session_ttl: "0s", ring_messages: 5 },
      };
    });
    /** Publishes all of them to subjects of their own, the last one with a value of its own behind it. */
    const publishAll = async (root: string): Promise<void> => {
      for (const [n, name] of names.entries()) {
        await publishWithHeaders(nats.server.port, `${root}.${n}`, ODD[name]!);
      }
      for (const [n, name] of names.entries()) {
        await publishWithHeaders(nats.server.port, `${root}.${n}`, ODD[name]!, `{"n":${n}}`);
      }
      nats.connection.publish(`${root}.end`, '{"n":-1}');
      await nats.connection.flush();
    };
    const isEnd = ({ subject }: Said) => String(subject).endsWith(".end");
    const subjectsOf = (said: readonly Said[]) => said.map(({ subject }) => subject);
    const all = (root: string) => [...names, ...names].map((_, n) => `${root}.${n % names.length}`);

    test("come live from NATS and from a stream, and are counted", async () => {
      const before = await metric(gateway(), ...UNREADABLE);
      const client = await subscribeV1(gateway());
      await client.subscribe("1", ["odd.live.>", "core.>", "$KV.odd.live.>"]);
      const other = await subscribe(gateway(), "?subjects=core.calm");
      for (const root of ["core", "odd.live", "$KV.odd.live"]) {
        await publishAll(root);
        await client.until(({ subject }) => subject === `${root}.end`, `the end of ${root}`);
        const mine = client.messages.filter(({ subject }) =>
          String(subject).startsWith(`${root}.`),
        );
        expect(subjectsOf(mine)).toEqual([...all(root), `${root}.end`]);
        client.send({ type: "ack", upto: client.messages.at(-1)?.id });
      }
      nats.connection.publish("core.calm", '{"n":1}');
      expect((await other.take(1)).map(numberOf)).toEqual([1]);
      expect(client.notices("gap")).toEqual([]);
      expect(client.notices("upstream")).toEqual([]);
      await untilMetric(
        gateway(),
        "websocket_errors_total",
        (count) => count > before,
        UNREADABLE[1],
      );
      await untilReady(gateway());
    });

    for (const [root, what] of [
      ["odd", "a stream with allow_direct"],
      ["plain", "a stream"],
      ["$KV.odd", "a bucket"],
    ] as const) {
      test(`of ${what} are all there for who comes later`, async () => {
        await publishAll(`${root}.kept`);
        const client = await subscribeV1(gateway());
        await client.subscribe("1", [`${root}.kept.>`], { from: "all" });
        await client.until(isEnd, "the end");
        expect(subjectsOf(client.messages)).toEqual([...all(`${root}.kept`), `${root}.kept.end`]);
        expect(client.notices("gap")).toEqual([]);
        const latest = await subscribeV1(gateway());
        await latest.subscribe("1", [`${root}.kept.>`], { from: "last_per_subject" });
        await latest.next("caught_up");
        expect(latest.messages.map(numberOf)).toEqual([...names.keys(), -1]);
        expect(latest.notices("gap")).toEqual([]);
      });

      test(`of ${what} come to a durable`, async () => {
        await publishAll(`${root}.worked`);
        const client = await subscribeV1(gateway());
        const durable = `odd-${root.replace(/\W/g, "")}`;
        await client.subscribe("1", [`${root}.worked.>`], { durable, from: "all" });
        await client.until(isEnd, "the end");
        expect(subjectsOf(client.messages)).toEqual([
          ...all(`${root}.worked`),
          `${root}.worked.end`,
        ]);
        client.send({ type: "ack", upto: client.messages.at(-1)?.id });
        await untilMetric(gateway(), "websocket_messages_in_flight", (count) => count === 0);
      });
    }

    test("whoever writes to the gateway's own inboxes changes nothing", async () => {
      const client = await subscribeV1(gateway());
      await client.subscribe("1", ["plain.inbox.>"]);
      const inboxes = await inboxesOf(nats, "PLAIN");
      expect(inboxes).toHaveLength(1);
      for (const inbox of inboxes) {
        for (const name of names) await publishWithHeaders(nats.server.port, inbox, ODD[name]!);
        for (const reply of ["$JS.ACK.PLAIN.c.x.y.z.1.0", "$JS.ACK.PLAIN.c.1.0.1.1.0", "odd"]) {
          nats.connection.publish(inbox, "forged", { reply });
        }
      }
      await nats.connection.flush();
      await nats.fill("plain.inbox.x", 3);
      await client.until((said) => numberOf(said) === 2, "the last message");
      expect(client.messages.map(numberOf)).toEqual([0, 1, 2]);
      expect(client.notices("upstream")).toEqual([]);
      client.send({ type: "ack", upto: client.messages.at(-1)?.id });
    });

    test("are answers to a gateway that asks who uses a durable", async () => {
      const subject = "_SPILLWAY.durable.PLAIN.odd-answers";
      const others = nats.connection.subscribe(subject, {
        callback: (_, { reply }) => {
          if (reply) void publishWithHeaders(nats.server.port, reply, ODD["a space in a name"]!);
        },
      });
      await nats.connection.flush();
      const client = await subscribeV1(gateway());
      await client.subscribe("1", ["plain.answers"], { durable: "odd-answers" });
      await nats.fill("plain.answers", 1);
      const { id } = await client.next("data");
      client.send({ type: "ack", id });
      await untilMetric(gateway(), "websocket_messages_in_flight", (count) => count === 0);
      others.unsubscribe();
    });
  });

  describe("Messages with odd subjects", () => {
    const nats = useStreams();
    const gateway = useGateway(target, async () => {
      await nats.create("DIRECT", { allow_direct: true });
      await nats.create("PLAIN");
      const streams = ["DIRECT:direct.>", "PLAIN:plain.>"];
      const config = { nats_url: nats.url, streams, subjects: ["core.>"], ring_messages: 5 };
      return { config };
    });

    test("come as they are, live and later, by whatever way they are read", async () => {
      const live = await subscribeV1(gateway());
      await live.subscribe("1", ["core.>", "direct.>", "plain.>"]);
      const subjectsOf = (root: string) => ODD_TOKENS.map((token) => `${root}.${token}`);
      for (const root of ["core", "direct", "plain"]) {
        for (const subject of subjectsOf(root)) {
          await sendRaw(nats.server.port, Buffer.from(`PUB ${subject} 1\r\n1\r\n`));
        }
        nats.connection.publish(`${root}.end`, "1");
        await live.until(({ subject }) => subject === `${root}.end`, `the end of ${root}`);
        const mine = live.messages.filter(({ subject }) => String(subject).startsWith(`${root}.`));
        const all = [...subjectsOf(root), `${root}.end`];
        expect(mine.map(({ subject }) => subject)).toEqual(all);
        if (root === "core") continue;
        for (const from of ["all", "last_per_subject"]) {
          const later = await subscribeV1(gateway());
          await later.subscribe("1", [`${root}.>`], { from });
          await later.next("caught_up");
          expect(later.messages.map(({ subject }) => subject)).toEqual(all);
        }
      }
    });
  });

  describe("A stream of messages that were republished", () => {
    const nats = useStreams();
    const gateway = useGateway(target, async () => {
      await nats.create("FROM", { republish: { src: "from.>", dest: "again.>" } });
      await nats.create("AGAIN", { allow_direct: true });
      return { config: { nats_url: nats.url, streams: ["AGAIN"], ring_messages: 5 } };
    });

    test("is read as it is, not as the first one was", async () => {
      // So that the sequences of the two streams differ.
      await nats.fill("again.before", 5);
      await nats.fill("from.x", 2);
      await nats.fill("from.y", 1, 2);
      // NATS republishes a message after it has acknowledged it.
      const lastOf = async () => (await nats.manager.streams.info("AGAIN")).state.last_seq;
      await until("republished messages", lastOf, (last) => last === 8);
      const client = await subscribeV1(gateway());
      await client.subscribe("1", ["again.>"], { from: "last_per_subject" });
      await client.next("caught_up");
      expect(
        client.messages.map(({ subject, id }) => [subject, String(id).split(":").at(-1)]),
      ).toEqual([
        ["again.before", "5"],
        ["again.x", "7"],
        ["again.y", "8"],
      ]);
      expect(client.notices("gap")).toEqual([]);
    });
  });
});

/** Where a stream's consumers send. */
async function inboxesOf(nats: StreamFixture, stream: string): Promise<string[]> {
  const consumers = await nats.manager.consumers.list(stream).next();
  return consumers.flatMap(({ config }) => config.deliver_subject ?? []);
}
