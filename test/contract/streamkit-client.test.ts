import { describe, expect, test } from "bun:test";
import { setInterval } from "node:timers/promises";
import type { Gateway } from "../support/gateway-process.ts";
import { StreamkitClient } from "../support/streamkit-client.ts";
import { contract, EVERY_SOCKET } from "./support/contract.ts";
import { subscribe, takenIn, useGateway } from "./support/gateway-fixture.ts";
import { metric, untilMetric } from "./support/metrics.ts";
import { countTo, type NatsFixture, useNats } from "./support/nats-fixture.ts";

/** Twice as much as the client can take. */
const PER_SECOND = 200;
const TOTAL = 400;
const CAPACITY = 40;

/** Publishes the numbers up to `TOTAL` at a steady rate. */
async function publishSteadily(nats: NatsFixture, subject: string): Promise<void> {
  const beganMs = performance.now();
  let n = 0;
  for await (const _ of setInterval(1000 / PER_SECOND)) {
    const due = Math.min(TOTAL, ((performance.now() - beganMs) * PER_SECOND) / 1000);
    while (n < due) nats.publish(subject, `${n++}`);
    if (n === TOTAL) break;
  }
  await nats.flush();
}

/** StreamKit's own WebSocket input, unchanged, as a client: what its source does, does here. */
contract(EVERY_SOCKET, (target) => {
  describe("StreamKit's own client", () => {
    const nats = useNats();

    async function dialed(gateway: Gateway, query: string): Promise<StreamkitClient> {
      const client = new StreamkitClient(gateway.wsUrl + query, CAPACITY);
      const dial = async () => [await client.dial()];
      await takenIn(gateway, dial, () => client.stop());
      return client;
    }

    describe("in at-most-once", () => {
      const gateway = useGateway(target, () => ({
        config: { nats_url: nats.url, subjects: ["kit.>"] },
      }));

      test("is sent what it can take when it says slow, and misses nothing", async () => {
        const client = await dialed(gateway(), "");
        const other = await subscribe(gateway());
        await publishSteadily(nats, "kit.x");
        expect((await other.take(TOTAL)).map(({ payload }) => payload)).toEqual(countTo(TOTAL));
        expect(await client.done.take(TOTAL)).toEqual(countTo(TOTAL));
        expect(client.complaints).toBeGreaterThan(0);
        // Without help its queue would have had to hold half of all.
        expect(client.deepest).toBeLessThan(2 * CAPACITY);
        // It acknowledges in this mode, too.
        const acks = 'type="ack"';
        await untilMetric(gateway(), "websocket_client_frames_total", (n) => n >= TOTAL, acks);
      });
    });

    describe("in at-least-once", () => {
      const gateway = useGateway(target, () => ({
        config: {
          nats_url: nats.url,
          subjects: ["kit.>"],
          delivery_mode: "at-least-once",
          session_ttl: "1s",
        },
      }));

      test("is done with every message, though it is slow, and loses its connection twice", async () => {
        const client = await dialed(gateway(), "?session=streamkit-input-0001");
        const publishing = publishSteadily(nats, "kit.x");
        for (const count of [50, 100]) {
          await client.done.find((n) => n === count, `${count}`);
          await client.redial();
        }
        await publishing;
        await client.done.find((n) => n === TOTAL - 1, "the last message");
        await untilMetric(gateway(), "websocket_messages_in_flight", (count) => count === 0);
        expect(new Set(client.done.entries)).toEqual(new Set(countTo(TOTAL)));
        expect(client.complaints).toBeGreaterThan(0);
        // What it had not acknowledged has come twice, each time that it came back.
        expect(client.deepest).toBeLessThan(4 * CAPACITY);
        expect(await metric(gateway(), "websocket_sessions_resumed_total")).toBe(2);
        expect(await metric(gateway(), "websocket_messages_redelivered_total")).toBeGreaterThan(0);
        expect(await metric(gateway(), "websocket_messages_lost_total")).toBe(0);
      });
    });
  });
});
