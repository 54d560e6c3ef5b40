import { describe, expect, test } from "bun:test";
import type { RawWebSocket } from "../support/raw-websocket.ts";
import { contract, EVERY_EDGE, EVERY_TARGET } from "./support/contract.ts";
import { subscribe, subscribeMany, subscribeRaw, useGateway } from "./support/gateway-fixture.ts";
import { untilMetric } from "./support/metrics.ts";
import { countTo, numbersOf, useNats } from "./support/nats-fixture.ts";

const MANY = 10_000;

/** What NATS carries reaches every client completely and in order. */
contract([...EVERY_TARGET, ...EVERY_EDGE], (target) => {
  // 0s sends with every turn of the event loop, the longest gathers the most in one write.
  for (const flush_interval of ["0s", "1ms", "50ms"]) {
    describe(`Streaming with flush_interval ${flush_interval}`, () => {
      const nats = useNats();
      const gateway = useGateway(target, () => ({
        config: {
          nats_url: nats.url,
          subjects: ["a.>"],
          flush_interval,
          // A burst is to arrive whole, however far behind the machine lets a client fall.
          max_queue_bytes: 1024 ** 3,
          max_queue_messages: 1_000_000,
        },
      }));

      test(`${MANY} messages reach four clients completely and in order`, async () => {
        const clients = await subscribeMany(gateway(), 4);
        await nats.flood("a.many", MANY, 40);
        for (const client of clients) {
          expect(numbersOf(await client.take(MANY))).toEqual(countTo(MANY));
        }
      });

      test("A hundred clients at once each get every message in order", async () => {
        const clients = await subscribeMany(gateway(), 100);
        await nats.flood("a.crowd", 200, 40);
        for (const client of clients) {
          expect(numbersOf(await client.take(200))).toEqual(countTo(200));
        }
      });

      test("A client is taken in while messages flow, and misses none from its first one on", async () => {
        const early = await subscribe(gateway());
        let published = 0;
        const publish = async (): Promise<void> => {
          for (let n = 0; n < 100; n++) nats.publish("a.flow", `${published++}`);
          await nats.flush();
        };
        await publish();
        const joining = subscribe(gateway());
        for (let round = 0; round < 20; round++) await publish();
        const late = await joining;
        await publish();
        await early.take(published);
        const first = (await late.next()).payload as number;
        const rest = await late.take(published - first - 1);
        expect(rest.map(({ payload }) => payload)).toEqual(
          rest.map((_, index) => first + 1 + index),
        );
      });

      test("One message alone does not wait for another", async () => {
        const client = await subscribe(gateway());
        for (let n = 0; n < 20; n++) {
          nats.publish("a.alone", `${n}`);
          expect((await client.next()).payload).toBe(n);
        }
      });

      test("Clients that come and go all the time disturb nobody", async () => {
        const steady = await subscribe(gateway());
        const leave = [
          (raw: RawWebSocket) => raw.destroy(),
          (raw: RawWebSocket) => raw.close(),
          (raw: RawWebSocket) => raw.nextText().then(() => raw.close(1001)),
        ];
        for (let n = 0; n < 12; n++) {
          const raw = await subscribeRaw(gateway());
          const got = nats.floodInStep(steady, "a.churn", 100, 200);
          await leave[n % leave.length]!(raw);
          expect(await got).toEqual(countTo(100));
        }
        await untilMetric(gateway(), "websocket_clients_active", (active) => active === 1);
      });
    });
  }

  describe("Closing", () => {
    const gateway = useGateway(target, () => ({}));

    for (const code of [1000, 1001, 3000, 4999]) {
      test(`A client's close with ${code} is answered with its own code`, async () => {
        const raw = await subscribeRaw(gateway());
        raw.close(code, "bye");
        expect((await raw.nextClose()).code).toBe(code);
      });
    }

    test("A client's close without a code is answered", async () => {
      const raw = await subscribeRaw(gateway());
      raw.sendFrame({ opcode: 8 });
      expect([1000, 1005]).toContain((await raw.nextClose()).code);
    });
  });
});
