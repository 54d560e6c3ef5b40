/** The client over server-sent events, against real gateways. */
import { describe, expect, test } from "bun:test";
import { type Subscription, serverSentEvents, webSocketOrEvents } from "spillway/client";
import { type Numbered, numbers, useClients } from "./support/client-fixture.ts";
import { contract, EVERY_RUNTIME } from "./support/contract.ts";

/** The messages of a loop until there are so many, or it ends. */
async function read(subscription: Subscription<Numbered>, count: number): Promise<string[]> {
  const loop = subscription[Symbol.asyncIterator]();
  const seen: string[] = [];
  while (seen.length < count) {
    const { value: item, done } = await loop.next();
    if (done) break;
    if (item.type === "data") seen.push(`${item.payload.n}`);
    else if (item.type !== "caught_up") seen.push(item.type);
  }
  return seen;
}

contract(EVERY_RUNTIME, (target) => {
  describe("The client over server-sent events", () => {
    const transport = serverSentEvents();
    const { open, start, stream, publish } = useClients(target, { transport });

    test("Overlapping streams are read from their first message, and go on after the gateway was killed", async () => {
      await publish(`${await stream("EVENTS")}.x`, 1, 20);
      const config = { streams: ["EVENTS"] };
      const gateway = await start(config);
      const connection = open(gateway.wsUrl);
      const one = connection.subscribe<Numbered>("events.>", { from: "all" });
      const other = connection.subscribe<Numbered>("events.x", { from: { seq: 11 } });
      expect(await read(one, 20)).toEqual(numbers(1, 20));
      expect(await read(other, 10)).toEqual(numbers(11, 20));
      await publish("events.x", 21, 23);
      for (const each of [one, other]) expect(await read(each, 3)).toEqual(numbers(21, 23));
      gateway.signal("SIGKILL");
      await gateway.exited;
      await publish("events.x", 24, 50);
      await start(config, ["--port", String(gateway.port)]);
      await publish("events.x", 51, 53);
      for (const each of [one, other]) expect(await read(each, 30)).toEqual(numbers(24, 53));
    });

    test("A subject with a comma is one subject", async () => {
      const at = await stream("COMMAS");
      await publish(`${at}.x,y`, 1, 3);
      await publish(`${at}.y`, 4, 4);
      const gateway = await start({ streams: ["COMMAS"] });
      const connection = open(gateway.wsUrl);
      const one = connection.subscribe<Numbered>(`${at}.x,y`, { from: "all" });
      expect(await read(one, 3)).toEqual(numbers(1, 3));
      await publish(`${at}.y`, 5, 5);
      await publish(`${at}.x,y`, 6, 6);
      expect(await read(one, 1)).toEqual(["6"]);
    });

    test("Messages are posted to their stream, and the end of a subject ends its loop", async () => {
      await publish(`${await stream("POSTED")}.x`, 1, 1);
      const gateway = await start({ streams: ["POSTED"], publish_subjects: ["posted.>"] });
      const connection = open(gateway.wsUrl);
      const first = await connection.publish("posted.y", { n: 1 });
      expect(first).toMatchObject({ stream: "POSTED", seq: 2 });
      await connection.publish("posted.y", { n: 2 }, { end: true });
      const run = connection.subscribe<Numbered>("posted.y", { from: "all" });
      expect(await read(run, 9)).toEqual(["1", "2", "end"]);
      const forbidden = connection.publish("secret", 1);
      await expect(forbidden).rejects.toMatchObject({ retryable: false });
      const refused = connection.subscribe("a..b");
      await expect(refused.ready).rejects.toMatchObject({ code: "invalid_subject" });
      expect(connection.state.type).toBe("open");
    });

    test("Where WebSockets are blocked, events are used instead", async () => {
      await publish(`${await stream("BLOCKED")}.x`, 1, 3);
      const gateway = await start({ streams: ["BLOCKED"] });
      class Blocked extends WebSocket {
        constructor(url: string, protocols: string[]) {
          super(url.replace("/ws", "/nothing-here"), protocols);
        }
      }
      const connection = open(gateway.wsUrl, {
        transport: webSocketOrEvents(),
        platform: { WebSocket: Blocked as never },
      });
      const subscription = connection.subscribe<Numbered>("blocked.>", { from: "all" });
      expect(await read(subscription, 3)).toEqual(numbers(1, 3));
    });
  });
});
