/** What streams cost when there are many clients: no consumer each, and no reading for each anew. */
import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { subscribeV1, useGateway } from "../contract/support/gateway-fixture.ts";
import { countTo } from "../contract/support/nats-fixture.ts";
import { numberOf, useStreams } from "../contract/support/stream-fixture.ts";
import { TARGETS } from "../support/runtimes.ts";
import { openV1, type V1Client } from "../support/v1-client.ts";

setDefaultTimeout(120_000);

const CLIENTS = 2_000;
const RETURNING = 1_000;
const MISSED = 1_000;

describe("A stream with many clients", () => {
  const nats = useStreams();
  const gateway = useGateway(TARGETS.bun, async () => {
    await nats.create("MANY");
    await nats.create("OTHER");
    return {
      config: { nats_url: nats.url, streams: ["MANY:many.>", "OTHER:other.>"], ring_messages: 100 },
    };
  });

  /** A hundred at a time: more at once may be more than wait for a listener. */
  const open = async (count: number): Promise<V1Client[]> => {
    const clients: V1Client[] = [];
    while (clients.length < count) {
      clients.push(
        ...(await Promise.all(Array.from({ length: 100 }, () => openV1(gateway().wsUrl)))),
      );
    }
    return clients;
  };

  test(`of which there are ${CLIENTS} has one consumer, and so has each other stream`, async () => {
    const clients = await open(CLIENTS);
    await Promise.all(
      clients.map((client, index) => client.subscribe("1", [`many.${index % 7}`, "other.>"])),
    );
    await nats.fill("other.x", 1);
    await Promise.all(clients.map((client) => client.next("data")));
    for (const stream of ["MANY", "OTHER"]) {
      expect(await nats.manager.consumers.list(stream).next()).toHaveLength(1);
    }
    for (const client of clients) client.raw.destroy();
  });

  test(`of which ${RETURNING} come back at once: each misses nothing, live ones go on, and readers are few`, async () => {
    const live = await subscribeV1(gateway());
    await live.subscribe("1", ["many.>"]);
    await nats.fill("many.back", MISSED);
    const { id } = await live.next("data");
    let most = 0;
    let counting = true;
    const counted = (async () => {
      while (counting) most = Math.max(most, await nats.consumers("MANY"));
    })();
    const back = await open(RETURNING);
    await Promise.all(
      back.map((client) => client.subscribe("1", ["many.back"], { from: { after: id } })),
    );
    await nats.fill("many.live", 50);
    await live.until(
      ({ subject, payload }) => subject === "many.live" && numberOf({ payload }) === 49,
      "live message",
    );
    await Promise.all(back.map((client) => client.next("caught_up")));
    counting = false;
    await counted;
    for (const client of back) {
      expect(client.messages.map(numberOf)).toEqual(countTo(MISSED).slice(1));
      expect(client.notices("gap")).toEqual([]);
      client.raw.destroy();
    }
    // Pages are read once for all who are at the same place.
    expect(most).toBeLessThan(10);
  });
});
