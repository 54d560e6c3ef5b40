import { describe, expect, test } from "bun:test";
import { until } from "../support/event-log.ts";
import type { NatsServer } from "../support/nats-server.ts";
import { TARGETS } from "../support/runtimes.ts";
import { contract, EVERY_RUNTIME } from "./support/contract.ts";
import { subscribe, subscribeEvents, subscribeV1, useGateway } from "./support/gateway-fixture.ts";
import { metric } from "./support/metrics.ts";
import { useNats } from "./support/nats-fixture.ts";

/**
 * The gateway asks NATS for what its clients ask it for, and no more. Not on workerd: without clients, a subscription at
 * NATS is seen to end with the object's next alarm, up to 30 s later; the cause isn't known.
 */
contract([...EVERY_RUNTIME, TARGETS["deno-serve"]], (target) => {
  describe("Demand upstream", () => {
    const nats = useNats({ monitoring: true });
    const gateway = useGateway(target, () => ({
      config: {
        nats_url: nats.url,
        subjects: ["a.>", "b.*"],
        // Long enough to come back in, short enough to wait for.
        upstream_linger: "500ms",
      },
    }));

    test("Nothing is subscribed before a client asks for something", async () => {
      expect(await subscribedAt(nats.server)).toEqual([]);
    });

    test("Only what clients ask for is subscribed, once for all of them", async () => {
      await subscribe(gateway(), "?subjects=a.x,b.y");
      await subscribe(gateway(), "?subjects=a.x");
      await subscribeEvents(gateway(), "?subjects=b.y");
      expect(await subscribedAt(nats.server)).toEqual(["a.x", "b.y"]);
      expect(await metric(gateway(), "websocket_upstream_subscriptions")).toBe(2);
    });

    test("What a wider pattern covers is not subscribed beside it, and comes once", async () => {
      const narrow = await subscribe(gateway(), "?subjects=a.x.y");
      await subscribe(gateway(), "?subjects=a.x.*");
      await subscribe(gateway(), "?subjects=a.x.z");
      await untilSubscribed(nats.server, ["a.x.*"]);
      nats.publish("a.x.y", "1");
      nats.publish("a.x.y", "2");
      expect((await narrow.take(2)).map(({ payload }) => payload)).toEqual([1, 2]);
    });

    test("What a pattern covered is subscribed by itself when that goes, and misses nothing", async () => {
      const wide = await subscribe(gateway(), "?subjects=a.>");
      const narrow = await subscribe(gateway(), "?subjects=a.n");
      await untilSubscribed(nats.server, ["a.>"]);
      await wide.close();
      let published = 0;
      const done = untilSubscribed(nats.server, ["a.n"]).then(() => true);
      for (let isDone = false; !isDone; ) {
        nats.publish("a.n", String(published++));
        await nats.flush();
        isDone = await Promise.race([done, Promise.resolve(false)]);
      }
      const got = (await narrow.take(published)).map(({ payload }) => payload);
      expect(got).toEqual(got.map((_, index) => index));
    });

    test("A client's subscription is subscribed when it is confirmed, and gone after upstream_linger", async () => {
      const client = await subscribeV1(gateway());
      await client.subscribe("1", ["a.one", "a.two"]);
      await client.subscribe("2", ["a.two", "b.three"]);
      await untilSubscribed(nats.server, ["a.one", "a.two", "b.three"]);
      client.send({ type: "unsubscribe", sub: "2" });
      await client.next("unsubscribed");
      await untilSubscribed(nats.server, ["a.one", "a.two"]);
      client.raw.destroy();
      await untilSubscribed(nats.server, []);
    });

    test("A client that comes back within upstream_linger misses nothing", async () => {
      const first = await subscribe(gateway(), "?subjects=a.back");
      nats.publish("a.back", "1");
      const { id } = await first.next();
      await first.close();
      nats.publish("a.back", "2");
      const again = await subscribeV1(gateway());
      await again.subscribe("1", ["a.back"], { from: { after: id } });
      expect((await again.next("data")).payload).toBe(2);
      expect(again.notices("gap")).toEqual([]);
    });

    test("A pattern wider than the endpoint is subscribed as far as that is exposed", async () => {
      await subscribe(gateway(), "?subjects=>");
      await untilSubscribed(nats.server, ["a.>", "b.*"]);
    });

    test("A pattern outside of subjects is never subscribed", async () => {
      const client = await subscribeV1(gateway());
      client.send({ type: "subscribe", id: "1", subjects: ["secret.>"] });
      client.send({ type: "subscribe", id: "2", subjects: ["a.seen", "secret.x"] });
      for (const id of ["1", "2"]) {
        expect(await client.next("error")).toMatchObject({ id, error: { code: "forbidden" } });
      }
      expect((await gateway().get("/ws/sse?subjects=secret.x")).status).toBe(403);
      await client.subscribe("3", ["*.seen"]);
      await untilSubscribed(nats.server, ["a.seen", "b.seen"]);
    });
  });

  describe("Demand upstream that is eager", () => {
    const nats = useNats({ monitoring: true });
    const gateway = useGateway(target, () => ({
      config: {
        nats_url: nats.url,
        subjects: ["a.>", "b.*", "a.x"],
        upstream: "eager",
        upstream_linger: "0s",
      },
    }));

    test("All of subjects is subscribed at once, and stays so whatever clients do", async () => {
      await untilSubscribed(nats.server, ["a.>", "b.*"]);
      const client = await subscribe(gateway(), "?subjects=a.x,b.y");
      await client.close();
      const again = await subscribe(gateway(), "?subjects=a.x");
      nats.publish("a.x", "1");
      expect((await again.next()).payload).toBe(1);
      expect(await subscribedAt(nats.server)).toEqual(["a.>", "b.*"]);
    });
  });
});

/** What a NATS server is asked for on all of its connections together, sorted. */
async function subscribedAt({ monitoringUrl }: NatsServer): Promise<string[]> {
  const response = await fetch(`${monitoringUrl}/connz?subs=1`);
  const { connections } = (await response.json()) as {
    connections: { subscriptions_list?: string[] }[];
  };
  return connections.flatMap((connection) => connection.subscriptions_list ?? []).sort();
}

async function untilSubscribed(server: NatsServer, patterns: readonly string[]): Promise<void> {
  const wanted = JSON.stringify(patterns);
  await until(
    `subscriptions to ${wanted} at NATS`,
    () => subscribedAt(server),
    (subscribed) => JSON.stringify(subscribed) === wanted,
  );
}
