import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { until } from "../support/event-log.ts";
import { type Gateway, startGateway } from "../support/gateway-process.ts";
import { contract, EVERY_EDGE, EVERY_RUNTIME } from "./support/contract.ts";
import {
  subscribe,
  subscribeEvents,
  subscribeV1,
  untilReady,
  useGateway,
} from "./support/gateway-fixture.ts";
import { metric, metricsOf } from "./support/metrics.ts";
import { countTo } from "./support/nats-fixture.ts";
import { numberOf, sequenceOf, useStreams } from "./support/stream-fixture.ts";

/** A name of as many characters as NATS takes. */
const LONGEST = `LONG${"x".repeat(251)}`;

/** What JetStream keeps, and how clients get it. */
contract([...EVERY_RUNTIME, ...EVERY_EDGE], (target) => {
  describe("Streams", () => {
    const nats = useStreams();
    const gateway = useGateway(target, async () => {
      await nats.create("ORDERS");
      await nats.create("STOCK");
      await nats.create(LONGEST);
      return {
        config: {
          nats_url: nats.url,
          ring_messages: 200,
          ports: {
            inputs: [
              { name: "o", type: "jetstream", stream_name: "ORDERS", subject: "orders.>" },
              { config: { kind: "jetstream", stream_name: "STOCK", subjects: ["stock.*"] } },
              { type: "jetstream", stream_name: LONGEST, subject: `${LONGEST.toLowerCase()}.>` },
              { name: "c", type: "nats", subject: "core.>" },
            ],
          },
        },
      };
    });

    test("come with JetStream's sequence and time, beside plain NATS", async () => {
      const client = await subscribeV1(gateway());
      await client.subscribe("1", ["orders.>", "stock.>", "core.>"]);
      await nats.fill("orders.a", 1);
      await client.next("data");
      await nats.fill("stock.b", 1);
      await client.next("data");
      nats.connection.publish("core.c", '{"n":0}');
      await client.next("data");
      const [order, stock, core] = client.messages;
      const info = await nats.manager.streams.info("ORDERS");
      const message = await nats.manager.streams.getMessage("ORDERS", { seq: info.state.last_seq });
      expect(order).toMatchObject({ subject: "orders.a", timestamp: message.time.getTime() });
      expect(order?.id).toMatch(new RegExp(`^ORDERS:[0-9a-z]+:${info.state.last_seq}$`));
      expect(stock?.id).toMatch(/^STOCK:[0-9a-z]+:1$/);
      expect(core?.id).toMatch(/^[0-9a-f]{12}:\d+$/);
    });

    test("have their place and what is behind it in /metrics", async () => {
      await nats.fill("orders.place", 3);
      const { state } = await nats.manager.streams.info("ORDERS");
      const of = (name: string, stream: string) =>
        `${name}{component="websocket-output",stream="${stream}"}`;
      const series = await until(
        "the last message's place",
        () => metricsOf(gateway()),
        (now) => now.get(of("websocket_stream_sequence", "ORDERS")) === state.last_seq,
      );
      expect(series.get(of("websocket_stream_lag_messages", "ORDERS"))).toBe(0);
      for (const stream of ["ORDERS", "STOCK"]) {
        expect(series.get(of("websocket_stream_followed", stream))).toBe(1);
      }
      const named = [...series.keys()].filter((name) => name.startsWith("websocket_stream_"));
      // Three figures of each of the three streams.
      expect(named).toHaveLength(9);
    });

    test("that are replayed are activity, as /healthz says, and counted", async () => {
      await nats.fill("orders.again", 500);
      await until(
        "all of them",
        () => metric(gateway(), "websocket_messages_received_total"),
        (count) => count >= 500,
      );
      const flow = async () => {
        const health = await (await gateway().get("/healthz")).json();
        return (health as { data_flow: { last_activity: string } }).data_flow;
      };
      const before = await flow();
      const client = await subscribeV1(gateway());
      await client.subscribe("1", ["orders.again"], { from: "all" });
      await client.next("caught_up");
      expect(client.messages).toHaveLength(500);
      const after = await until(
        "activity",
        flow,
        (now) => now.last_activity > before.last_activity,
      );
      expect(Date.parse(after.last_activity)).toBeGreaterThan(Date.parse(before.last_activity));
      expect(await metric(gateway(), "websocket_messages_replayed_total")).toBeGreaterThan(0);
    });

    test("go on from the ring behind a cursor", async () => {
      const client = await subscribeV1(gateway());
      await client.subscribe("1", ["orders.ring"]);
      await nats.fill("orders.ring", 20);
      const { id } = await client.next("data");
      const again = await subscribeV1(gateway());
      const { from } = await again.subscribe("1", ["orders.ring"], { from: { after: id } });
      expect(from).toBe(id as string);
      await again.next("caught_up");
      expect(again.messages.map(numberOf)).toEqual(countTo(20).slice(1));
      expect(again.notices("gap")).toEqual([]);
    });

    test("go on from the stream where the ring does not reach, without a hole or a duplicate", async () => {
      const first = await subscribeV1(gateway());
      await first.subscribe("1", ["orders.back"]);
      await nats.fill("orders.back", 1);
      const { id } = await first.next("data");
      const published = nats.fill("orders.back", 5000, 1);
      const again = await subscribeV1(gateway());
      await again.subscribe("1", ["orders.back"], { from: { after: id } });
      await published;
      await again.next("caught_up");
      await nats.fill("orders.back", 10, 5001);
      await again.until((said) => numberOf(said) === 5010, "last message");
      expect(again.messages.map(numberOf)).toEqual(countTo(5011).slice(1));
      expect(again.notices("gap")).toEqual([]);
      expect(again.notices("caught_up")).toHaveLength(1);
    });

    test("are resumed by server-sent events and plain clients", async () => {
      const first = await subscribeV1(gateway());
      await first.subscribe("1", ["orders.sse"]);
      await nats.fill("orders.sse", 1000);
      const { id } = await first.next("data");
      const headers = { "Last-Event-ID": String(id) };
      const events = await subscribeEvents(gateway(), "?subjects=orders.sse", headers);
      const plain = await subscribe(gateway(), `?subjects=orders.sse&after=${id}`);
      const got = await plain.take(999);
      expect(got.map(numberOf)).toEqual(countTo(1000).slice(1));
      const read = await events.take(999);
      expect(read.map(({ data }) => numberOf(JSON.parse(data)))).toEqual(countTo(1000).slice(1));
    });

    test("are resumed by every client also if their name is as long as NATS allows", async () => {
      const subject = `${LONGEST.toLowerCase()}.a`;
      await nats.fill(subject, 2);
      const first = await subscribeV1(gateway());
      await first.subscribe("1", [subject], { from: "last_per_subject" });
      const { id } = await first.next("data");
      expect(id).toStartWith(`${LONGEST}:`);
      await nats.fill(subject, 1, 2);
      const headers = { "Last-Event-ID": String(id) };
      const events = await subscribeEvents(gateway(), `?subjects=${subject}`, headers);
      const plain = await subscribe(gateway(), `?subjects=${subject}&after=${id}`);
      const again = await subscribeV1(gateway());
      await again.subscribe("1", [subject], { from: { after: id } });
      const [event] = await events.take(1);
      expect(numberOf(JSON.parse(event!.data))).toBe(2);
      expect(numberOf(await plain.next())).toBe(2);
      expect(numberOf(await again.next("data"))).toBe(2);
    });

    test("events begin anew where they are cut before their first message, unless they began with what comes", async () => {
      await nats.fill("orders.anew", 3);
      for (const from of ["all", "last", "last_per_subject", "seq:1"]) {
        const events = await subscribeEvents(gateway(), `?subjects=orders.anew&from=${from}`);
        // Behind "from" there is no snapshot, and no gap of what was gone before it was asked for.
        expect([from, (await events.next("subscribed")).id]).toEqual([from, ""]);
        const [first] = await events.take(1);
        expect(numberOf(JSON.parse(first!.data))).toBe(from.startsWith("last") ? 2 : 0);
      }
      const events = await subscribeEvents(gateway(), "?subjects=orders.anew");
      const { id } = await events.next("subscribed");
      expect(id).toStartWith("ORDERS:");
      events.destroy();
      await nats.fill("orders.anew", 2, 3);
      const again = await subscribeEvents(gateway(), "?subjects=orders.anew", {
        "Last-Event-ID": id,
      });
      expect((await again.take(2)).map(({ data }) => numberOf(JSON.parse(data)))).toEqual([3, 4]);
    });

    test("a cursor of one stream says nothing of what else is wanted, which is told", async () => {
      const first = await subscribeV1(gateway());
      await first.subscribe("1", ["orders.mix"]);
      await nats.fill("orders.mix", 2);
      const { id } = await first.next("data");
      const again = await subscribeV1(gateway());
      await again.subscribe("1", ["orders.mix", "core.x"], { from: { after: id } });
      await again.next("caught_up");
      expect(again.messages.map(numberOf)).toEqual([1]);
      expect(again.notices("gap")).toMatchObject([{ reason: "upstream", exact: false }]);
    });

    test("one message that two subscriptions want comes once, however they begin", async () => {
      const client = await subscribeV1(gateway());
      await client.subscribe("live", ["orders.two"]);
      await nats.fill("orders.two", 600);
      await client.until((said) => numberOf(said) === 599, "last message");
      const { id } = client.messages[0]!;
      await client.subscribe("back", ["orders.>"], { from: { after: id } });
      await client.next("caught_up");
      await nats.fill("orders.two", 1, 600);
      await client.until((said) => numberOf(said) === 600, "new message");
      expect(client.messages.map(numberOf)).toEqual(countTo(601));
    });

    for (const [name, from, numbers] of [
      ["all", "all", [0, 1, 2, 3]],
      ["last", "last", [3]],
      ["last_per_subject", "last_per_subject", [2, 3]],
    ] as const) {
      test(`begin with ${name} where a client asks for it`, async () => {
        const root = `orders.${name}`;
        await nats.fill(`${root}.a`, 1);
        await nats.fill(`${root}.b`, 1, 1);
        await nats.fill(`${root}.a`, 1, 2);
        await nats.fill(`${root}.b`, 1, 3);
        const client = await subscribeV1(gateway());
        await client.subscribe("1", [`${root}.>`], { from });
        await client.next("caught_up");
        await nats.fill(`${root}.a`, 1, 4);
        await client.until((said) => numberOf(said) === 4, "new message");
        expect(client.messages.map(numberOf)).toEqual([...numbers, 4]);
        const plain = await subscribe(gateway(), `?subjects=${root}.>&from=${from}`);
        const [first] = await plain.take(1);
        expect(numberOf(first!)).toBe(name === "all" ? 0 : name === "last" ? 4 : 3);
        expect(client.notices("gap")).toEqual([]);
      });
    }

    test("begin with a sequence or a time", async () => {
      await nats.fill("orders.seq", 3);
      const { state } = await nats.manager.streams.info("ORDERS");
      const second = await nats.manager.streams.getMessage("ORDERS", { seq: state.last_seq - 1 });
      const bySequence = await subscribeV1(gateway());
      await bySequence.subscribe("1", ["orders.seq"], { from: { seq: state.last_seq - 1 } });
      await bySequence.next("caught_up");
      expect(bySequence.messages.map(numberOf)).toEqual([1, 2]);
      const byTime = await subscribeV1(gateway());
      // Messages may be of the same millisecond.
      const time = new Date(second.time.getTime() - 60_000).toISOString();
      await byTime.subscribe("1", ["orders.seq"], { from: { time } });
      await byTime.next("caught_up");
      expect(byTime.messages.map(numberOf)).toEqual([0, 1, 2]);
      const plain = await subscribe(gateway(), `?subjects=orders.seq&from=seq:${state.last_seq}`);
      expect((await plain.take(1)).map(numberOf)).toEqual([2]);
    });

    test("where none keeps a subject, and where several do, some beginnings are refused", async () => {
      const client = await subscribeV1(gateway());
      client.send({ type: "subscribe", id: "1", subjects: ["core.x"], from: "all" });
      expect(await client.next("error")).toMatchObject({ id: "1", error: { code: "unsupported" } });
      client.send({ type: "subscribe", id: "2", subjects: [">"], from: { seq: 1 } });
      expect(await client.next("error")).toMatchObject({ id: "2", error: { code: "unsupported" } });
      const refused = await gateway().get(`${gateway().path}/sse?subjects=core.x&from=all`);
      expect(refused.status).toBe(400);
    });

    test("have one consumer each, however many clients there are", async () => {
      const client = await subscribeV1(gateway());
      await client.subscribe("1", ["orders.>"]);
      const count = await until(
        "one consumer",
        () => nats.consumers("ORDERS"),
        (consumers) => consumers === 1,
      );
      expect(count).toBe(1);
    });
  });

  describe("A key-value bucket", () => {
    const nats = useStreams();
    const gateway = useGateway(target, async () => {
      await nats.connection.jetstream().views.kv("settings", { history: 5 });
      const inputs = [{ name: "s", type: "kv", bucket: "settings" }];
      return { config: { nats_url: nats.url, ports: { inputs } } };
    });

    test("is its present values, then every change, with what is deleted marked", async () => {
      const bucket = await nats.connection.jetstream().views.kv("settings");
      await bucket.put("color", '"red"');
      await bucket.put("size", "1");
      await bucket.put("color", '"blue"');
      await bucket.delete("size");
      const client = await subscribeV1(gateway());
      await client.subscribe("1", ["$KV.settings.>"], { from: "last_per_subject" });
      await client.next("caught_up");
      await bucket.put("size", "2");
      await bucket.purge("color");
      await client.until((said) => said.operation === "purge", "purge");
      const told = client.messages.map(({ subject, payload, operation }) => [
        String(subject).split(".").at(-1),
        payload,
        operation,
      ]);
      expect(told).toEqual([
        ["color", "blue", undefined],
        ["size", null, "delete"],
        ["size", 2, undefined],
        ["color", null, "purge"],
      ]);
    });
  });

  describe("The latest of each subject, then every change", () => {
    const nats = useStreams();
    const gateway = useGateway(target, async () => {
      await nats.create("STATE", { max_msgs_per_subject: 1 });
      await nats.create("DIRECT", { allow_direct: true });
      const streams = ["STATE", "DIRECT"];
      return { config: { nats_url: nats.url, streams, ring_messages: 100 } };
    });

    for (const [name, how] of [
      ["STATE", "by a consumer"],
      ["DIRECT", "in one answer where the server has batched direct gets (2.11)"],
    ] as const)
      test(`while they change all the time, ${how}: no hole, no duplicate, nothing older`, async () => {
        const root = name.toLowerCase();
        const subjects = Array.from({ length: 700 }, (_, n) => `${root}.${n}`);
        await Promise.all(subjects.map((subject) => nats.fill(subject, 1)));
        let changing = true;
        const published = (async () => {
          for (let n = 1; changing; n++) {
            for (let from = 0; from < subjects.length; from += 50) {
              await Promise.all(
                subjects.slice(from, from + 50).map((subject) => nats.fill(subject, 1, n)),
              );
            }
          }
        })();
        const client = await subscribeV1(gateway());
        await client.subscribe("1", [`${root}.>`], { from: "last_per_subject" });
        await client.next("caught_up");
        await client.until((said) => numberOf(said) >= 3, "changes");
        changing = false;
        await published;
        const last = await nats.manager.streams.info(name);
        await client.until(({ id }) => sequenceOf(id) === last.state.last_seq, "last change");
        const sequences = client.messages.map(({ id }) => sequenceOf(id));
        expect(sequences).toEqual([...new Set(sequences)].sort((one, other) => one - other));
        for (const subject of subjects) {
          const numbers = client.messages
            .filter((message) => message.subject === subject)
            .map(numberOf);
          expect(numbers.at(-1)).toBeGreaterThanOrEqual(1);
          for (const [index, n] of numbers.entries()) {
            // A stream that keeps one of each may have lost some before we came to them.
            if (index > 0 && name === "DIRECT") expect(n).toBe(numbers[index - 1]! + 1);
            if (index > 0) expect(n).toBeGreaterThan(numbers[index - 1]!);
          }
        }
        // What a stream that keeps one of each has lost before we came to it is told.
        if (name === "DIRECT") expect(client.notices("gap")).toEqual([]);
      });

    test("is asked for once where the server has batched direct gets (2.11), and read by a consumer elsewhere", async () => {
      for (const name of ["one", "two", "three"]) await nats.fill(`direct.few.${name}`, 2);
      const asked: unknown[] = [];
      for (const subject of ["$JS.API.DIRECT.GET.DIRECT", "$JS.API.CONSUMER.CREATE.DIRECT"]) {
        nats.connection.subscribe(subject, {
          callback: (_, message) => {
            const request = message.json<{
              multi_last?: unknown;
              config?: { deliver_policy: string };
            }>();
            if (request.multi_last !== undefined) asked.push("direct");
            if (request.config?.deliver_policy === "last_per_subject") asked.push("consumer");
          },
        });
      }
      await nats.connection.flush();
      const client = await subscribeV1(gateway());
      await client.subscribe("1", ["direct.few.>"], { from: "last_per_subject" });
      await client.next("caught_up");
      await nats.connection.flush();
      expect(client.messages.map(numberOf)).toEqual([1, 1, 1]);
      const [major = 0, minor = 0] = nats.server.version.split(".").map(Number);
      const hasBatches = major > 2 || (major === 2 && minor >= 11);
      expect(asked).toEqual([hasBatches ? "direct" : "consumer"]);
    });
  });

  describe("What a stream no longer keeps", () => {
    const nats = useStreams();
    const gateway = useGateway(target, async () => {
      await nats.create("KEEP");
      await nats.create("NEWEST", { max_msgs_per_subject: 1 });
      await nats.create("AGED", { max_age: 2_000_000_000 });
      return {
        config: {
          nats_url: nats.url,
          streams: ["KEEP", "NEWEST", "AGED"],
          ring_messages: 1000,
        },
      };
    });

    /** A client that has had all of it, so that the ring has it too. */
    const watch = async (subject: string) => {
      const client = await subscribeV1(gateway());
      await client.subscribe("live", [subject]);
      return client;
    };

    /** What NATS' own client gets that begins with the first message. */
    const readByNats = async (stream: string): Promise<number[]> => {
      const { state } = await nats.manager.streams.info(stream);
      const consumer = await nats.connection.jetstream().consumers.get(stream);
      const sequences: number[] = [];
      const messages =
        state.messages === 0 ? [] : await consumer.fetch({ max_messages: state.messages });
      for await (const { seq } of messages) sequences.push(seq);
      return sequences;
    };

    const readFrom = async (subject: string, from: unknown): Promise<number[]> => {
      const client = await subscribeV1(gateway());
      await client.subscribe("1", [subject], { from });
      await client.next("caught_up");
      return client.messages.map(({ id }) => sequenceOf(id));
    };

    test("is not sent to who begins in it: deleted and purged messages", async () => {
      const live = await watch("keep.>");
      for (const subject of ["a", "b", "c", "d"]) await nats.fill(`keep.${subject}`, 10);
      await live.until(({ id }) => sequenceOf(id) === 40, "last message");
      const { id } = live.messages[0]!;
      for (const sequence of [3, 17, 18, 39]) {
        await nats.manager.streams.deleteMessage("KEEP", sequence);
      }
      await nats.manager.streams.purge("KEEP", { filter: "keep.c" });
      const expected = await readByNats("KEEP");
      expect(expected).toHaveLength(26);
      expect(await readFrom("keep.>", "all")).toEqual(expected);
      const behind = expected.filter((sequence) => sequence >= 5);
      expect(await readFrom("keep.>", { seq: 5 })).toEqual(behind);
      const time = "2020-01-01T00:00:00Z";
      expect(await readFrom("keep.>", { time })).toEqual(expected);
      // Once more, from pages that were read before.
      await nats.manager.streams.deleteMessage("KEEP", 11);
      const fewer = expected.filter((sequence) => sequence !== 11);
      expect(await readFrom("keep.>", "all")).toEqual(fewer);
      // Who resumes was there, and may be served from the ring.
      expect((await readFrom("keep.>", { after: id })).length).toBeGreaterThanOrEqual(
        fewer.length - 1,
      );
    });

    test("is not sent to who begins in it: what newer messages of their subjects replaced", async () => {
      const live = await watch("newest.>");
      for (let n = 0; n < 5; n++) {
        for (const subject of ["a", "b"]) await nats.fill(`newest.${subject}`, 1, n);
      }
      await live.until(({ id }) => sequenceOf(id) === 10, "last message");
      expect(await readByNats("NEWEST")).toEqual([9, 10]);
      expect(await readFrom("newest.>", "all")).toEqual([9, 10]);
    });

    test("is not sent to who begins in it: what is older than max_age", async () => {
      const live = await watch("aged.>");
      await nats.fill("aged.a", 10);
      await live.until(({ id }) => sequenceOf(id) === 10, "last message");
      await until(
        "stream without messages",
        async () => (await nats.manager.streams.info("AGED")).state.messages,
        (messages) => messages === 0,
      );
      await nats.fill("aged.a", 1, 10);
      await live.until(({ id }) => sequenceOf(id) === 11, "new message");
      expect(await readFrom("aged.>", "all")).toEqual([11]);
    });
  });

  describe("Catch-ups with patterns that overlap", () => {
    const nats = useStreams();
    const gateway = useGateway(target, async () => {
      await nats.create("WIDE");
      for (let n = 0; n < 10; n++) await nats.fill(`wide.${n}.x`, 500, 500 * n);
      return { config: { nats_url: nats.url, streams: ["WIDE"], ring_messages: 10 } };
    });

    test("read the stream together, each for what it wants", async () => {
      let consumers = 0;
      nats.connection.subscribe("$JS.API.CONSUMER.CREATE.WIDE", {
        callback: () => void consumers++,
      });
      await nats.connection.flush();
      const read = async (n: number) => {
        const client = await subscribeV1(gateway());
        await client.subscribe("1", [`wide.${n}.*`, `wide.*.y${n}`], { from: "all" });
        await client.next("caught_up");
        return client.messages.map(numberOf);
      };
      const got = await Promise.all(Array.from({ length: 10 }, (_, n) => read(n)));
      for (const [n, numbers] of got.entries()) {
        expect(numbers).toEqual(countTo(500).map((one) => one + 500 * n));
      }
      await nats.connection.flush();
      // Ten pages; each for itself would be a hundred.
      expect(consumers).toBeLessThan(50);
    });

    test("that begin with the latest of each subject read it together, each for what it wants", async () => {
      let consumers = 0;
      nats.connection.subscribe("$JS.API.CONSUMER.CREATE.WIDE", {
        callback: (_, message) => {
          const { config } = message.json<{ config: { deliver_policy: string } }>();
          if (config.deliver_policy === "last_per_subject") consumers++;
        },
      });
      await nats.connection.flush();
      const clients = await Promise.all(
        Array.from({ length: 30 }, async () => await subscribeV1(gateway())),
      );
      const read = async (client: (typeof clients)[number], n: number) => {
        const subjects = [`wide.${n % 10}.*`, `wide.*.y${n}`];
        await client.subscribe("1", subjects, { from: "last_per_subject" });
        await client.next("caught_up");
        return client.messages.map(numberOf);
      };
      const got = await Promise.all(clients.map(read));
      expect(got).toEqual(clients.map((_, n) => [500 * (n % 10) + 499]));
      await nats.connection.flush();
      // Each for itself would be thirty.
      expect(consumers).toBeLessThan(15);
    });
  });

  describe("What a client may go back to", () => {
    const nats = useStreams();
    const gateway = useGateway(target, async () => {
      await nats.create("BOUND");
      await nats.fill("bound.x", 1000);
      return {
        config: {
          nats_url: nats.url,
          streams: ["BOUND"],
          start_from: "all",
          max_replay_messages: 300,
          ring_messages: 50,
        },
      };
    });

    test("is max_replay_messages, and what is further back is a gap", async () => {
      const client = await subscribeV1(gateway());
      expect((await client.subscribe("1", ["bound.>"])).start_from).toBe("all");
      await client.next("caught_up");
      expect(client.messages.map(numberOf)).toEqual(countTo(1000).slice(700));
      expect(client.notices("gap")).toMatchObject([
        { reason: "expired", count: 700, exact: false },
      ]);
    });

    test("start_from counts for plain clients that say nothing", async () => {
      const plain = await subscribe(gateway());
      expect((await plain.take(300)).map(numberOf)).toEqual(countTo(1000).slice(700));
      const fresh = await subscribe(gateway(), "?from=new");
      await nats.fill("bound.y", 1);
      expect((await fresh.take(1)).map(({ subject }) => subject)).toEqual(["bound.y"]);
      const client = await subscribeV1(gateway());
      expect(
        (await client.subscribe("1", ["bound.y"], { from: "all" })).start_from,
      ).toBeUndefined();
    });
  });

  describe("How many bytes a client may be sent of what is kept", () => {
    const nats = useStreams();
    const gateway = useGateway(target, async () => {
      await nats.create("BYTES");
      await nats.fill("bytes.x", 4000);
      return {
        config: {
          nats_url: nats.url,
          streams: ["BYTES"],
          max_replay_bytes: 1000,
          ring_messages: 50,
        },
      };
    });

    test("ends with the page that passes max_replay_bytes, and what lies between that and the ring is a gap", async () => {
      const client = await subscribeV1(gateway());
      // So that the ring has something to go on with.
      await client.subscribe("live", ["bytes.>"]);
      await nats.fill("bytes.x", 50, 4000);
      await client.until((said) => numberOf(said) === 4049, "message 4049");
      const again = await subscribeV1(gateway());
      await again.subscribe("1", ["bytes.>"], { from: "all" });
      await again.next("caught_up");
      const [gap, ...others] = again.notices("gap");
      expect(gap).toMatchObject({ reason: "expired", exact: false });
      expect(others).toEqual([]);
      const count = Number(gap?.count);
      const read = again.messages.length - 50;
      expect(read + count).toBe(4000);
      expect(read).toBeLessThan(2000);
      expect(again.messages.map(numberOf)).toEqual([
        ...countTo(read),
        ...countTo(4050).slice(4000),
      ]);
    });
  });

  describe("How old what a client goes back to may be", () => {
    const nats = useStreams();
    const gateway = useGateway(target, async () => {
      await nats.create("OLD");
      return { config: { nats_url: nats.url, streams: ["OLD"], max_replay_age: "3s" } };
    });

    test("is max_replay_age, and what is older is a gap", async () => {
      await nats.fill("old.x", 10);
      const { time } = await nats.manager.streams.getMessage("OLD", { seq: 10 });
      await until(
        "message that is older than 3 s",
        async () => {
          await nats.connection.flush();
          return Date.now() - time.getTime();
        },
        (ageMs) => ageMs > 3000,
      );
      await nats.fill("old.x", 5, 10);
      const client = await subscribeV1(gateway());
      await client.subscribe("1", ["old.>"], { from: "all" });
      await client.next("caught_up");
      expect(client.messages.map(numberOf)).toEqual([10, 11, 12, 13, 14]);
      expect(client.notices("gap")).toMatchObject([{ reason: "expired", count: 10, exact: false }]);
    });
  });

  describe("A stream that is not there yet", () => {
    const nats = useStreams();
    let gateway: Gateway;
    beforeAll(async () => {
      gateway = await startGateway(target, {
        config: { nats_url: nats.url, streams: ["LATE"] },
      });
    });
    afterAll(() => gateway?.stop());

    test("is waited for and told of by /readyz, and followed from its first message on", async () => {
      const ready = async () => {
        const response = await gateway.get("/readyz");
        return { status: response.status, body: await response.text() };
      };
      const { body } = await until("a reason", ready, ({ body }) => body.includes("LATE"));
      expect(body).toContain("it does not exist yet");
      expect(await metric(gateway, "websocket_stream_followed", 'stream="LATE"')).toBe(0);
      const client = await subscribeV1(gateway);
      await client.subscribe("1", ["late.>"], { from: "all" });
      await nats.create("LATE");
      await nats.fill("late.x", 3);
      await client.until((said) => numberOf(said) === 2, "last message");
      expect(client.messages.map(numberOf)).toEqual([0, 1, 2]);
      expect(client.messages.map(({ id }) => sequenceOf(id))).toEqual([1, 2, 3]);
      await untilReady(gateway);
      expect(await metric(gateway, "websocket_stream_followed", 'stream="LATE"')).toBe(1);
    });
  });
});
