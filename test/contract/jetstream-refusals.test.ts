import { describe, expect, test } from "bun:test";
import { until } from "../support/event-log.ts";
import { type Gateway, startGateway } from "../support/gateway-process.ts";
import type { V1Client } from "../support/v1-client.ts";
import { contract, EVERY_EDGE, EVERY_RUNTIME } from "./support/contract.ts";
import { subscribeRaw, subscribeV1, untilReady, useGateway } from "./support/gateway-fixture.ts";
import { metric, untilMetric } from "./support/metrics.ts";
import { countTo, useNats } from "./support/nats-fixture.ts";
import { numberOf, type StreamFixture, useStreams } from "./support/stream-fixture.ts";

const AT_LEAST_ONCE = { delivery_mode: "at-least-once", session_ttl: "0s" };
const REFUSED = ["websocket_errors_total", 'error_type="stream_refused"'] as const;
const UNAVAILABLE = { code: "unavailable", retryable: true };

/** Users of whom the gateway's may not publish, or subscribe, to some of what docs/operations.md lists. */
function usersWithout(deny: { publish?: string[]; subscribe?: string[] }): string {
  const permissions = {
    publish: { allow: [">"], deny: deny.publish ?? [] },
    subscribe: { allow: [">"], deny: deny.subscribe ?? [] },
  };
  const users = [
    { user: "tests", password: "x" },
    { user: "gateway", password: "y", permissions },
  ];
  return `authorization { users: ${JSON.stringify(users)} }\nno_auth_user: tests`;
}

const asGateway = (nats: StreamFixture): string => nats.url.replace("//", "//gateway:y@");

/** Waits until `/readyz` refuses with these words. */
async function untilNotReady(gateway: Gateway, words: RegExp): Promise<void> {
  const ask = async () => {
    const response = await gateway.get("/readyz");
    return `${response.status} ${await response.text()}`;
  };
  await until(`503 with ${words}`, ask, (said) => said.startsWith("503") && words.test(said));
}

/** What JetStream refuses, and goes on refusing: whoever asked has an answer, and what can come comes. */
contract([...EVERY_RUNTIME, ...EVERY_EDGE], (target) => {
  /** Who asks for what was kept is told of a gap, and gets what comes. */
  async function expectGapThenLive(gateway: Gateway, nats: StreamFixture, root: string) {
    for (const from of [
      "all",
      "last",
      "last_per_subject",
      { seq: 1 },
      { time: "2020-01-01T00:00:00Z" },
    ]) {
      const client = await subscribeV1(gateway);
      // More than the ring holds.
      await nats.fill(`${root}.kept`, 5, 1);
      await client.subscribe("1", [`${root}.>`], { from });
      await client.next("caught_up");
      expect(client.notices("gap")).toMatchObject([{ reason: "upstream", exact: false }]);
      await nats.fill(`${root}.live`, 2, 100);
      await client.until((said) => numberOf(said) === 101, "what comes");
      expect(client.messages.map(numberOf)).toEqual([100, 101]);
      client.send({ type: "ack", upto: client.messages.at(-1)?.id });
    }
  }

  /** Who asks for a durable is told that there is none. */
  async function expectNoDurable(gateway: Gateway, root: string, words: RegExp): Promise<void> {
    const client = await subscribeV1(gateway);
    client.send({ type: "subscribe", id: "d", subjects: [`${root}.>`], durable: "mine" });
    const error = await client.next("error");
    expect(error).toMatchObject({ id: "d", error: UNAVAILABLE });
    expect((error.error as { message: string }).message).toMatch(words);
    // The same name may be asked for again.
    client.send({ type: "subscribe", id: "d", subjects: [`${root}.>`], durable: "mine" });
    await client.next("error");
    const plain = await subscribeRaw(gateway, {}, `?subjects=${root}.>&durable=mine`);
    expect((await plain.nextClose()).code).toBe(4503);
  }

  describe("A stream that has no more consumers to give", () => {
    const nats = useStreams();
    const gateway = useGateway(target, async () => {
      await nats.create("FULL", { max_consumers: 1 });
      const streams = ["FULL"];
      return { config: { nats_url: nats.url, streams, ring_messages: 1, ...AT_LEAST_ONCE } };
    });

    test("is a gap for who comes back, who is live then, and an error for a durable", async () => {
      const before = await metric(gateway(), ...REFUSED);
      await expectGapThenLive(gateway(), nats, "full");
      await expectNoDurable(gateway(), "full", /maximum consumers limit reached/);
      expect(await metric(gateway(), ...REFUSED)).toBeGreaterThan(before + 4);
      const said = gateway().logs.filter(({ message }) => /maximum consumers/.test(message));
      expect(said.length).toBeGreaterThan(0);
      expect(said.length).toBeLessThan(10);
      await untilReady(gateway());
    });

    test("is a gap for a client that resumes, too", async () => {
      const first = await subscribeV1(gateway());
      await first.subscribe("1", ["full.>"]);
      await nats.fill("full.x", 20, 1);
      const { id } = await first.next("data");
      await first.until((said) => numberOf(said) === 20, "all of them");
      first.send({ type: "ack", upto: first.messages.at(-1)?.id });
      const again = await subscribeV1(gateway());
      await again.subscribe("1", ["full.>"], { from: { after: id } });
      await again.next("caught_up");
      expect(again.notices("gap")).toMatchObject([{ reason: "upstream", from: id }]);
      await nats.fill("full.x", 1, 21);
      await again.until((said) => numberOf(said) === 21, "what comes");
      again.send({ type: "ack", upto: again.messages.at(-1)?.id });
      first.send({ type: "ack", upto: first.messages.at(-1)?.id });
    });
  });

  describe("A gateway that may not ask consumers for messages", () => {
    const config = usersWithout({
      publish: ["$JS.API.CONSUMER.MSG.NEXT.>", "$JS.API.DIRECT.GET.>"],
    });
    const nats = useStreams({ config });
    const gateway = useGateway(target, async () => {
      await nats.create("NEXT", { allow_direct: true });
      const streams = ["NEXT"];
      return { config: { nats_url: asGateway(nats), streams, ring_messages: 1, ...AT_LEAST_ONCE } };
    });

    test("says so to who wants what was kept, and is live", async () => {
      await expectGapThenLive(gateway(), nats, "next");
      await expectNoDurable(gateway(), "next", /does not let the gateway publish to .*MSG\.NEXT/);
    });
  });

  describe("A gateway that may not acknowledge", () => {
    const nats = useStreams({ config: usersWithout({ publish: ["$JS.ACK.>"] }) });
    const gateway = useGateway(target, async () => {
      await nats.create("ACK");
      return { config: { nats_url: asGateway(nats), streams: ["ACK"], ...AT_LEAST_ONCE } };
    });

    test("says so to who uses a durable, once there is something to acknowledge", async () => {
      const client = await subscribeV1(gateway());
      await client.subscribe("d", ["ack.>"], { durable: "mine" });
      await nats.fill("ack.x", 1);
      const { id } = await client.next("data");
      client.send({ type: "ack", id });
      expect(await client.next("error")).toMatchObject({ id: "d", error: UNAVAILABLE });
      expect(await metric(gateway(), "websocket_durables")).toBe(0);
    });
  });

  for (const [what, deny, words] of [
    [
      "look at streams",
      { publish: ["$JS.API.STREAM.INFO.>"] },
      /publish to \$JS\.API\.STREAM\.INFO/,
    ],
    [
      "make consumers",
      { publish: ["$JS.API.CONSUMER.CREATE.>"] },
      /publish to \$JS\.API\.CONSUMER/,
    ],
    ["hear answers", { subscribe: ["_INBOX.>"] }, /subscribe to _INBOX/],
  ] as const) {
    describe(`A gateway that may not ${what}`, () => {
      const nats = useStreams({ config: usersWithout(deny as never) });

      test("is not ready, refuses the stream, and serves the rest", async () => {
        await nats.create("SHUT");
        const streams = ["SHUT:shut.>"];
        const more = { subjects: ["core.>"], log_level: "info" };
        const gateway = await startGateway(target, {
          config: { nats_url: asGateway(nats), streams, ...more },
        });
        await untilNotReady(gateway, words);
        const client = await subscribeV1(gateway);
        for (const from of ["new", "all"]) {
          client.send({ type: "subscribe", id: from, subjects: ["shut.>"], from });
          expect(await client.next("error")).toMatchObject({ id: from, error: UNAVAILABLE });
        }
        client.send({ type: "subscribe", id: "both", subjects: ["shut.>", "core.>"] });
        expect(await client.next("error")).toMatchObject({ id: "both", error: UNAVAILABLE });
        await client.next("subscribed");
        nats.connection.publish("core.x", '{"n":7}');
        await client.until((said) => numberOf(said) === 7, "plain NATS");
        expect(await metric(gateway, ...REFUSED)).toBeGreaterThan(0);
        const said = gateway.logs.filter(({ message }) => /Cannot follow/.test(message));
        expect(said).toHaveLength(1);
        client.raw.destroy();
        expect(await gateway.stop()).toEqual({ code: 0, signal: null });
      });
    });
  }

  describe("A gateway whose permission to make consumers comes and goes", () => {
    const nats = useStreams();

    test("tells its clients, and goes on where it was", async () => {
      // A consumer too many is as good as a permission, and needs no other configuration.
      await nats.create("COMES", { max_consumers: 1 });
      const block = await nats.manager.consumers.add("COMES", { inactive_threshold: 60e9 });
      const gateway = await startGateway(target, {
        config: { nats_url: nats.url, streams: ["COMES"] },
      });
      await untilNotReady(gateway, /maximum consumers limit reached/);
      const early = await subscribeRaw(gateway, {}, "?subjects=comes.>");
      expect((await early.nextClose()).code).toBe(4403);
      const client = await subscribeV1(gateway);
      client.send({ type: "subscribe", id: "1", subjects: ["comes.>"] });
      expect(await client.next("error")).toMatchObject({ id: "1", error: UNAVAILABLE });
      await nats.manager.consumers.delete("COMES", block.name);
      await untilReady(gateway);
      await client.subscribe("1", ["comes.>"]);
      const plain = await subscribeRaw(gateway, {}, "?subjects=comes.>");
      await nats.fill("comes.x", 3);
      await client.until((said) => numberOf(said) === 2, "the last one");
      expect(client.messages.map(numberOf)).toEqual(countTo(3));
      const texts = await plain.takeTexts(3);
      expect(texts.map((text) => numberOf(JSON.parse(text)))).toEqual(countTo(3));
      // It is taken away while clients are live.
      const [own] = await nats.manager.consumers.list("COMES").next();
      await nats.manager.consumers.delete("COMES", own!.name);
      const other = await untilTaken(nats, "COMES");
      await toldOf(client);
      expect((await plain.nextClose()).code).toBe(4403);
      await nats.fill("comes.x", 3, 3);
      await nats.manager.consumers.delete("COMES", other);
      await client.until((said) => numberOf(said) === 5, "what came meanwhile");
      expect(client.messages.map(numberOf)).toEqual(countTo(6));
      expect(client.notices("gap")).toEqual([]);
      client.raw.destroy();
      expect(await gateway.stop()).toEqual({ code: 0, signal: null });
    });
  });

  describe("A gateway that may not answer flow control", () => {
    const nats = useStreams({ config: usersWithout({ publish: ["$JS.FC.>"] }) });
    const gateway = useGateway(target, async () => {
      await nats.create("FLOW");
      return { config: { nats_url: asGateway(nats), streams: ["FLOW"] } };
    });

    test("goes on without, and says so", async () => {
      const client = await subscribeV1(gateway());
      await client.subscribe("1", ["flow.>"]);
      await nats.fill("flow.x", 20_000);
      await client.until((said) => numberOf(said) === 19_999, "the last one");
      expect(client.messages.map(numberOf)).toEqual(countTo(20_000));
      await untilMetric(
        gateway(),
        "websocket_errors_total",
        (count) => count > 0,
        'error_type="publish_refused"',
      );
    });
  });

  describe("A NATS server without JetStream", () => {
    const nats = useNats();

    test("is named by /readyz, and clients of its streams have an answer", async () => {
      const config = { nats_url: nats.url, streams: ["NONE:none.>"], subjects: ["core.>"] };
      const gateway = await startGateway(target, { config: { ...config, ...AT_LEAST_ONCE } });
      await untilNotReady(gateway, /stream NONE is not followed: nobody answers: JetStream/);
      const client = await subscribeV1(gateway);
      client.send({ type: "subscribe", id: "1", subjects: ["none.>"], from: "all" });
      client.send({ type: "subscribe", id: "d", subjects: ["none.>"], durable: "mine" });
      for (const id of ["1", "d"]) {
        const answer = await client.until((said) => said.id === id, `an answer to ${id}`);
        expect(answer).toMatchObject({ type: "error", error: UNAVAILABLE });
      }
      await client.subscribe("core", ["core.>"]);
      nats.publish("core.x", '{"n":1}');
      expect(numberOf(await client.next("data"))).toBe(1);
      client.raw.destroy();
      expect(await gateway.stop()).toEqual({ code: 0, signal: null });
    });
  });

  describe("A work queue, of which only its workers may have consumers", () => {
    const nats = useStreams();

    test("is refused, and /readyz says why", async () => {
      await nats.create("WORK", { retention: "workqueue" as never });
      const gateway = await startGateway(target, {
        config: { nats_url: nats.url, streams: ["WORK"] },
      });
      await untilNotReady(gateway, /workqueue/);
      const client = await subscribeV1(gateway);
      client.send({ type: "subscribe", id: "1", subjects: ["work.>"] });
      expect(await client.next("error")).toMatchObject({ id: "1", error: UNAVAILABLE });
      client.raw.destroy();
      expect(await gateway.stop()).toEqual({ code: 0, signal: null });
    });
  });

  describe("A dead letter that the gateway may not publish", () => {
    const nats = useStreams({ config: usersWithout({ publish: ["dead.letters"] }) });
    const gateway = useGateway(target, () => ({
      config: {
        ...AT_LEAST_ONCE,
        nats_url: asGateway(nats),
        subjects: ["core.>"],
        max_deliver: 1,
        dead_letter_subject: "dead.letters",
      },
    }));

    test("is counted and said", async () => {
      const client = await subscribeV1(gateway());
      await client.subscribe("1", ["core.>"]);
      nats.connection.publish("core.x", "1");
      const { id } = await client.next("data");
      client.send({ type: "nack", id });
      await client.next("gap");
      await untilMetric(
        gateway(),
        "websocket_errors_total",
        (count) => count === 1,
        'error_type="publish_refused"',
      );
      await gateway().waitForLog(({ message }) => /dead\.letters/.test(message), "word of it");
    });
  });
});

/** Takes the one consumer that a stream may have, as soon as that is free. */
async function untilTaken(nats: StreamFixture, stream: string): Promise<string> {
  const take = async (): Promise<string | undefined> => {
    try {
      return (await nats.manager.consumers.add(stream, { inactive_threshold: 60e9 })).name;
    } catch {
      return undefined;
    }
  };
  return (await until("a consumer of our own", take, (name) => name !== undefined)) as string;
}

async function toldOf(client: V1Client): Promise<void> {
  await client.until(
    (said) => said.type === "error" && said.id === undefined,
    "word that the stream is not followed",
  );
}
