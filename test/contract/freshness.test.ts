import { describe, expect, test } from "bun:test";
import { OPCODE, type RawWebSocket } from "../support/raw-websocket.ts";
import { contract, EVERY_SOCKET } from "./support/contract.ts";
import { subscribeRaw, useGateway } from "./support/gateway-fixture.ts";
import { metric, untilMetric, untilMetrics } from "./support/metrics.ts";
import { type NatsFixture, useNats } from "./support/nats-fixture.ts";

const SUBJECTS = 20;
const PUBLISH_MS = 20;
const KILOBYTE = "x".repeat(1000);
/** A tenth of what is published. */
const SLOW_BYTES_PER_SECOND = 100_000;
/** Far less than a client that isn't slowed down is behind after the load. */
const FRESH_MS = 3000;

/** A value of a subject that changes. */
interface Value {
  /** The time at which it was published. */
  readonly at: number;
}

/** Publishes a megabyte per second, in 20 subjects, as `{"at":…}` with the wall clock. @returns the number of messages. */
async function publishChanges(nats: NatsFixture, ms: number): Promise<number> {
  const { promise, resolve } = Promise.withResolvers<number>();
  const startMs = performance.now();
  let rounds = 0;
  const timer = setInterval(() => {
    const passedMs = performance.now() - startMs;
    for (; rounds * PUBLISH_MS < Math.min(passedMs, ms); rounds++) {
      for (let n = 0; n < SUBJECTS; n++) {
        nats.publish(`v.${n}`, JSON.stringify({ at: Date.now(), x: KILOBYTE }));
      }
    }
    if (passedMs < ms) return;
    clearInterval(timer);
    resolve(rounds * SUBJECTS);
  }, PUBLISH_MS / 2);
  return await promise;
}

/** Follows how old the values are that a client sees. */
function watchAges(client: RawWebSocket): { readonly ages: readonly number[] } {
  const ages: number[] = [];
  void (async () => {
    for (;;) {
      const text = await client.nextText(60_000);
      const { payload } = JSON.parse(text) as { payload: Value };
      ages.push(Date.now() - payload.at);
    }
  })().catch(() => {});
  return { ages };
}

/** The gateway knows what a client has taken, so that one that reads slowly sees values that are new. */
contract(EVERY_SOCKET, (target) => {
  /** Small bounds, so that little is in flight when the client is found to lag. */
  const BOUNDS = {
    subjects: ["v.>"],
    ring_messages: 0,
    max_lag: "400ms",
    target_lag: "200ms",
    low_water_bytes: "16kB",
    max_queue_bytes: "200kB",
    write_timeout: "2s",
    allowed_policies: ["conflate", "drop-oldest"],
  };
  const isMarked = target.gaps.marks === undefined;

  describe("Freshness", () => {
    const nats = useNats();
    const gateway = useGateway(target, () => ({ config: { nats_url: nats.url, ...BOUNDS } }));
    const unmarked = useGateway(target, () => ({
      config: { nats_url: nats.url, ...BOUNDS, mark_interval: "0s" },
    }));

    test("Client that reads slowly sees recent values with conflate; without marks, they grow old", async () => {
      const [client, control] = [
        await subscribeRaw(gateway(), {}, "?policy=conflate"),
        await subscribeRaw(unmarked(), {}, "?policy=conflate"),
      ];
      for (const one of [client, control]) one.readAt(SLOW_BYTES_PER_SECOND);
      const [seen, seenByControl] = [watchAges(client), watchAges(control)];
      await publishChanges(nats, 10_000);
      const count = 100;
      const worst = Math.max(...seen.ages.slice(-count));
      const best = Math.min(...seenByControl.ages.slice(-count));
      expect(seen.ages.length).toBeGreaterThan(2 * count);
      expect(best).toBeGreaterThan(FRESH_MS);
      if (isMarked) expect(worst).toBeLessThan(FRESH_MS);
      else expect(worst).toBeGreaterThan(FRESH_MS);
    });

    test("Client that reads slowly is not cut, and with drop-oldest every message comes or is declared", async () => {
      const client = await subscribeRaw(gateway(), {
        headers: { "Sec-WebSocket-Protocol": "spillway.v1.json" },
      });
      client.send(
        JSON.stringify({ type: "subscribe", id: "1", subjects: ["v.>"], policy: "drop-oldest" }),
      );
      await client.frames.find(
        ({ payload }) => payload.includes('"subscribed"'),
        "the answer to subscribe",
      );
      client.readAt(SLOW_BYTES_PER_SECOND);
      const published = await publishChanges(nats, isMarked ? 8000 : 1000);
      expect(client.count(OPCODE.close)).toBe(0);
      client.readAt(100 * SLOW_BYTES_PER_SECOND);
      let accounted = 0;
      let gaps = 0;
      while (accounted < published) {
        for (const line of (await client.nextText()).split("\n")) {
          const frame = JSON.parse(line) as { type: string; count: number };
          if (frame.type === "data") accounted++;
          if (frame.type !== "gap") continue;
          gaps++;
          accounted += frame.count;
        }
      }
      expect(accounted).toBe(published);
      if (isMarked) expect(gaps).toBeGreaterThan(0);
    });

    test("Client that stops reading is known to lag, though the kernel takes all; without marks, it is not", async () => {
      const [client, control] = [await subscribeRaw(gateway()), await subscribeRaw(unmarked())];
      for (const one of [client, control]) one.pause();
      nats.publish("v.first", "1");
      if (isMarked) {
        await untilMetric(gateway(), "websocket_clients_lagging", (lagging) => lagging === 1);
        const isBehind = (seconds: number): boolean => seconds >= 0.4;
        await untilMetric(gateway(), "websocket_client_lag_seconds", isBehind, 'quantile="1"');
        expect(
          await metric(gateway(), "websocket_client_lag_bytes", 'quantile="1"'),
        ).toBeGreaterThan(0);
      } else {
        await untilMetric(gateway(), "websocket_messages_sent_total", (sent) => sent > 0);
      }
      expect(await metric(unmarked(), "websocket_clients_lagging")).toBe(0);
      client.resume();
      await untilMetrics(gateway(), ["websocket_clients_lagging"], (lagging) => lagging === 0);
      const confirmed = await metric(gateway(), "websocket_delivery_seconds_count");
      if (isMarked) expect(confirmed).toBeGreaterThan(0);
      else expect(confirmed).toBe(0);
    });
  });
});
