import { describe, expect, test } from "bun:test";
import type { Gateway } from "../support/gateway-process.ts";
import type { Said, V1Client } from "../support/v1-client.ts";
import { contract, EVERY_EDGE, EVERY_SOCKET } from "./support/contract.ts";
import { subscribe, subscribeMany, subscribeV1, useGateway } from "./support/gateway-fixture.ts";
import { expectBalancedLedger, metric, untilMetric } from "./support/metrics.ts";
import { countTo, type NatsFixture, numbersOf, useNats } from "./support/nats-fixture.ts";

/** More than the kernel's buffers of one connection take, and the queue on top of that. */
const FLOOD = { count: 3000, bytes: 10_000 };

/** What happens to a client that really does not read, as its policy says. */
contract([...EVERY_SOCKET, ...EVERY_EDGE], (target) => {
  describe("Policies for slow clients", () => {
    const nats = useNats();
    const gateway = useGateway(target, () => ({
      config: {
        nats_url: nats.url,
        subjects: ["slow.>"],
        max_queue_bytes: 1024 ** 2,
        allowed_policies: ["disconnect", "drop-oldest", "drop-newest", "conflate"],
        write_timeout: "1h",
        read_timeout: "24h",
        ping_interval: "1h",
      },
    }));

    for (const policy of ["drop-oldest", "drop-newest"] as const) {
      test(`${policy}: what is missing is declared exactly, in its place, and the rest comes in order`, async () => {
        const before = await counters(gateway());
        const client = await stalledClient(gateway(), ["slow.x"], { policy });
        const healthy = await subscribe(gateway(), "?subjects=slow.x");
        const got = await nats.floodInStep(healthy, "slow.x", FLOOD.count, FLOOD.bytes);
        expect(got).toEqual(countTo(FLOOD.count));
        await untilMetric(gateway(), "websocket_clients_lagging", (lagging) => lagging === 1);

        await catchUp(gateway(), nats, client);
        const { delivered, declared } = accountFor(client);
        expect(delivered.length).toBeLessThan(FLOOD.count);
        expect([...delivered, ...declared].sort((one, other) => one - other)).toEqual(
          countTo(FLOOD.count),
        );
        const gaps = client.notices("gap");
        expect(gaps.every(({ reason }) => reason === "slow")).toBe(true);
        expect(client.notices("slow")).toHaveLength(1);
        await client.until(({ type }) => type === "ok", '"ok"');

        const after = await counters(gateway());
        const reason = policy.replace("-", "_");
        expect(after[reason]! - before[reason]!).toBe(declared.length);
        expect(after.gaps! - before.gaps!).toBe(gaps.length);
        await expectBalancedLedger(gateway());
      });
    }

    test("conflate: of each subject the latest comes, and says how many it stands for", async () => {
      const before = await counters(gateway());
      const client = await stalledClient(gateway(), ["slow.*"], { policy: "conflate" });
      const healthy = await subscribe(gateway(), "?subjects=slow.*");
      const subjects = ["slow.a", "slow.b", "slow.c"];
      for (const subject of subjects) {
        await nats.floodInStep(healthy, subject, FLOOD.count / 3, FLOOD.bytes);
      }
      await untilMetric(gateway(), "websocket_clients_lagging", (lagging) => lagging === 1);

      await catchUp(gateway(), nats, client);
      const messages = client.messages.filter(({ subject }) => subject !== "slow.end");
      for (const subject of subjects) {
        const ofSubject = messages.filter((message) => message.subject === subject);
        const numbers = numbersOf(ofSubject as never);
        expect(numbers).toEqual(numbers.toSorted((one, other) => one - other));
        expect(numbers.at(-1)).toBe(FLOOD.count / 3 - 1);
        const superseded = ofSubject.reduce((sum, message) => sum + supersededBy(message), 0);
        expect(numbers.length + superseded).toBe(FLOOD.count / 3);
      }
      expect(client.notices("gap")).toEqual([]);
      const after = await counters(gateway());
      const superseded = messages.reduce((sum, message) => sum + supersededBy(message), 0);
      expect(superseded).toBeGreaterThan(0);
      expect(after.conflated! - before.conflated!).toBe(superseded);
      await expectBalancedLedger(gateway());
    });

    test("disconnect: the client is told where to continue, and closed with 4510", async () => {
      const client = await stalledClient(gateway(), ["slow.x"], { policy: "disconnect" });
      const healthy = await subscribe(gateway(), "?subjects=slow.x");
      const got = await nats.floodInStep(healthy, "slow.x", FLOOD.count, FLOOD.bytes);
      expect(got).toEqual(countTo(FLOOD.count));
      await untilMetric(gateway(), "websocket_clients_active", (active) => active === 1);
      client.raw.resume();
      if (target.name === "bun-native") {
        // Now and then Bun's own socket is dropped before its peer has read what lay before the close.
        expect([1006, 4510]).toContain((await client.closed()).code);
        return;
      }
      const bye = await client.next("disconnect");
      expect(bye).toMatchObject({ code: 4510, reason: "slow consumer", reconnect: true });
      expect((await client.closed()).code).toBe(4510);
      expect(bye.cursor).toBe(client.messages.at(-1)!.id as string);
      const numbers = numbersOf(client.messages as never);
      expect(numbers).toEqual(countTo(numbers.length));
    });

    test("max_rate: the latest of each subject, no more often, and the last one always", async () => {
      const client = await subscribeV1(gateway());
      await client.subscribe("1", ["slow.rate.*"], { max_rate: 5 });
      const [all] = await subscribeMany(gateway(), 1);
      for (const subject of ["slow.rate.a", "slow.rate.b"]) {
        await nats.floodInStep(all!, subject, 500, 100);
      }
      for (const subject of ["slow.rate.a", "slow.rate.b"]) {
        await client.until(
          (said) => said.subject === subject && numberOf(said) === 499,
          `last message of ${subject}`,
        );
        const ofSubject = client.messages.filter((message) => message.subject === subject);
        const superseded = ofSubject.reduce((sum, message) => sum + supersededBy(message), 0);
        expect(ofSubject.length + superseded).toBe(500);
        expect(superseded).toBeGreaterThan(0);
      }
      await expectBalancedLedger(gateway());
    });
  });

  describe("Policies that the operator bounds", () => {
    const nats = useNats();
    const gateway = useGateway(target, () => ({
      config: {
        nats_url: nats.url,
        subjects: ["slow.>"],
        policy: "drop-oldest",
        allowed_policies: ["drop-newest"],
        max_queue_bytes: 1024 ** 3,
        max_queue_messages: 1_000_000,
        max_queue_age: "200ms",
        write_timeout: "1h",
        read_timeout: "24h",
        ping_interval: "1h",
      },
    }));

    test("Client that asks for one that is not allowed has the gateway's own, and is told so", async () => {
      const client = await subscribeV1(gateway());
      const asked = await client.subscribe("1", ["slow.a"], { policy: "conflate" });
      expect(asked).toMatchObject({ policy: "drop-oldest" });
      const allowed = await client.subscribe("2", ["slow.b"], { policy: "drop-newest" });
      expect(allowed).toMatchObject({ policy: "drop-newest" });
    });

    test("What waits for longer than max_queue_age is left out and declared", async () => {
      const client = await stalledClient(gateway(), ["slow.x"]);
      const healthy = await subscribe(gateway(), "?subjects=slow.x");
      await nats.floodInStep(healthy, "slow.x", FLOOD.count, FLOOD.bytes);
      await untilMetric(
        gateway(),
        "websocket_messages_dropped_total",
        (dropped) => dropped > 0,
        'reason="expired"',
      );
      await catchUp(gateway(), nats, client);
      const { delivered, declared } = accountFor(client);
      expect([...delivered, ...declared].sort((one, other) => one - other)).toEqual(
        countTo(FLOOD.count),
      );
      await expectBalancedLedger(gateway());
    });
  });
});

/** A client that has subscribed and reads nothing more. */
async function stalledClient(
  gateway: Gateway,
  subjects: readonly string[],
  more: object = {},
): Promise<V1Client> {
  const client = await subscribeV1(gateway);
  await client.subscribe("1", [...subjects, "slow.end"], more);
  client.raw.pause();
  return client;
}

/** Lets a client read again, until it has had all that came before. */
async function catchUp(gateway: Gateway, nats: NatsFixture, client: V1Client): Promise<void> {
  client.raw.resume();
  await untilMetric(gateway, "websocket_messages_queued", (queued) => queued === 0);
  nats.publish("slow.end", "{}");
  await client.until(({ subject }) => subject === "slow.end", "last message");
}

/** The numbers that a client got, and those that it was told it would not. */
function accountFor(client: V1Client): { delivered: number[]; declared: number[] } {
  const first = client.messages[0]!;
  // Of one publisher and one subject, numbers go with ids.
  const offset = sequenceOf(first.id) - numberOf(first);
  const declared = client.notices("gap").flatMap(({ from, to, count }) => {
    const start = sequenceOf(from) - offset;
    const end = sequenceOf(to) - offset;
    expect(end - start + 1).toBe(count as number);
    return Array.from({ length: count as number }, (_, n) => start + n);
  });
  const delivered = client.messages.filter(({ subject }) => subject !== "slow.end").map(numberOf);
  expect(delivered).toEqual(delivered.toSorted((one, other) => one - other));
  return { delivered, declared };
}

function sequenceOf(cursor: unknown): number {
  return Number.parseInt(String(cursor).split(":").at(-1)!, 10);
}

function numberOf({ payload }: Said): number {
  return (payload as { n: number } | undefined)?.n ?? -1;
}

function supersededBy({ superseded }: Said): number {
  return (superseded as number | undefined) ?? 0;
}

async function counters(gateway: Gateway): Promise<Record<string, number>> {
  const dropped = (reason: string) =>
    metric(gateway, "websocket_messages_dropped_total", `reason="${reason}"`);
  return {
    drop_oldest: await dropped("drop_oldest"),
    drop_newest: await dropped("drop_newest"),
    conflated: await metric(gateway, "websocket_messages_conflated_total"),
    gaps: await metric(gateway, "websocket_gaps_total"),
  };
}
