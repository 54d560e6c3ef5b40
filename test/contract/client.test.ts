import { describe, expect, test } from "bun:test";
import type { Item, Subscription } from "spillway/client";
import { until } from "../support/event-log.ts";
import { startTcpProxy } from "../support/tcp-proxy.ts";
import { type Numbered, numbers, useClients } from "./support/client-fixture.ts";
import { contract, EVERY_RUNTIME } from "./support/contract.ts";

const AUTHORIZER = "_AUTH.client";

function textOf(item: Item<Numbered>): string {
  if (item.type === "data") return `${item.payload.n}`;
  return item.type === "gap" ? `gap ${item.reason}` : item.type;
}

/** The items of a loop until it has so many messages. */
async function read(subscription: Subscription<Numbered>, count: number): Promise<string[]> {
  const loop = subscription[Symbol.asyncIterator]();
  const seen: string[] = [];
  for (let messages = 0; messages < count; ) {
    const { value: item, done } = await loop.next();
    if (done) break;
    seen.push(textOf(item));
    if (item.type === "data") messages++;
  }
  return seen;
}

contract(EVERY_RUNTIME, (target) => {
  describe("The client", () => {
    const { nats, open, start, stream, publish } = useClients(target);

    test("A stream is read from its first message, and goes on after the gateway was killed", async () => {
      const subject = await stream("KILLED");
      await publish(`${subject}.x`, 1, 3);
      const config = { streams: ["KILLED"] };
      const gateway = await start(config);
      const connection = open(gateway.wsUrl);
      const one = connection.subscribe<Numbered>("killed.>", { from: "all" });
      const other = connection.subscribe<Numbered>("killed.x", { from: "all" });
      for (const each of [one, other]) expect(await read(each, 3)).toEqual(numbers(1, 3));
      gateway.signal("SIGKILL");
      await gateway.exited;
      await publish(`${subject}.x`, 4, 50);
      await start(config, ["--port", String(gateway.port)]);
      await publish(`${subject}.x`, 51, 53);
      for (const each of [one, other]) {
        const seen = await read(each, 50);
        expect(seen.filter((text) => text !== "caught_up")).toEqual(numbers(4, 53));
      }
    });

    test("Subscriptions that overlap get each what they asked for, over one connection", async () => {
      const subject = await stream("OVERLAP");
      await publish(`${subject}.a`, 1, 20);
      await publish(`${subject}.b`, 21, 40);
      const gateway = await start({ streams: ["OVERLAP"] });
      const connection = open(gateway.wsUrl);
      const live = connection.subscribe<Numbered>("overlap.>", { from: "new" });
      await live.ready;
      await publish(`${subject}.a`, 41, 50);
      expect(await read(live, 10)).toEqual(numbers(41, 50));
      const all = connection.subscribe<Numbered>("overlap.>", { from: "all" });
      const latest = connection.subscribe<Numbered>("overlap.*", { from: "last_per_subject" });
      expect(await read(all, 50)).toEqual(numbers(1, 50));
      expect(await read(latest, 2)).toEqual(["40", "50"]);
      await publish(`${subject}.b`, 51, 55);
      for (const each of [live, all, latest]) {
        const seen = await read(each, 5);
        expect(seen.filter((text) => text !== "caught_up")).toEqual(numbers(51, 55));
      }
    });

    test("Without `from`, a subscription begins as the gateway is configured, also beside another one", async () => {
      const subject = await stream("DEFAULT");
      await publish(`${subject}.a`, 1, 3);
      await publish(`${subject}.b`, 4, 6);
      const gateway = await start({ streams: ["DEFAULT"], start_from: "last_per_subject" });
      const connection = open(gateway.wsUrl);
      const live = connection.subscribe<Numbered>("default.>", { from: "new" });
      await live.ready;
      await publish(`${subject}.c`, 7, 7);
      const latest = connection.subscribe<Numbered>("default.*");
      // It overtakes the older ones on its way to the other subscription.
      await Promise.all([latest.ready, publish(`${subject}.a`, 8, 9)]);
      const isMessage = (text: string): boolean => text !== "caught_up";
      expect((await read(live, 3)).filter(isMessage)).toEqual(numbers(7, 9));
      const seen: string[] = [];
      for await (const item of latest) if (seen.push(textOf(item)) && seen.at(-1) === "9") break;
      const values = seen.filter(isMessage);
      expect(values).toEqual(values.toSorted());
      expect(values).toEqual(expect.arrayContaining(["6", "7", "9"]));
    });

    test("A message is published to its stream once, and a service answers a request", async () => {
      await stream("PUB");
      const service = nats.connection.subscribe("svc.twice", {
        callback: (_, msg) => msg.respond(JSON.stringify(msg.json<number>() * 2)),
      });
      const gateway = await start({
        ...{ streams: ["PUB"], publish_subjects: ["pub.>"], request_subjects: ["svc.>"] },
      });
      const connection = open(gateway.wsUrl);
      const subscription = connection.subscribe<Numbered>("pub.x", { from: "new" });
      await subscription.ready;
      const first = await connection.publish("pub.x", { n: 1 }, { id: "one" });
      expect(first).toMatchObject({ id: "one", stream: "PUB", seq: 1, duplicate: false });
      const again = await connection.publish("pub.x", { n: 1 }, { id: "one" });
      expect(again).toMatchObject({ seq: 1, duplicate: true });
      expect(await read(subscription, 1)).toEqual(["1"]);
      expect(await connection.request<number>("svc.twice", 21)).toMatchObject({ payload: 42 });
      const nobody = connection.request("svc.nobody", 1);
      await expect(nobody).rejects.toMatchObject({ code: "no_responders" });
      const forbidden = connection.publish("secret", 1);
      await expect(forbidden).rejects.toMatchObject({ code: "forbidden", retryable: false });
      service.unsubscribe();
    });

    test("The loop ends when its subject has ended", async () => {
      await stream("RUNS");
      const gateway = await start({ streams: ["RUNS"], publish_subjects: ["runs.>"] });
      const connection = open(gateway.wsUrl);
      for (const n of [1, 2]) await connection.publish("runs.7", { n }, { end: n === 2 });
      const seen: string[] = [];
      for await (const item of connection.subscribe<Numbered>("runs.7", { from: "all" })) {
        seen.push(textOf(item));
      }
      expect(seen).toEqual(["1", "2", "end"]);
    });

    test("In at-least-once, the loop acknowledges, what it refuses comes again, and a session is resumed", async () => {
      const subject = await stream("ACKED");
      const gateway = await start({
        ...{ streams: ["ACKED"], delivery_mode: "at-least-once", redelivery_backoff: "50ms" },
      });
      const proxy = await startTcpProxy(gateway.port);
      const connection = open(`ws://127.0.0.1:${proxy.port}${gateway.path}`);
      const subscription = connection.subscribe<Numbered>("acked.>", { from: "new" });
      await subscription.ready;
      await publish(`${subject}.x`, 1, 3);
      const seen: string[] = [];
      for await (const item of subscription) {
        if (item.type !== "data") continue;
        seen.push(`${item.payload.n}${item.redelivery > 0 ? " again" : ""}`);
        if (item.payload.n === 2 && item.redelivery === 0) item.nack();
        if (seen.length === 4) {
          const { session } = connection;
          proxy.cut();
          await publish(`${subject}.x`, 4, 6);
          proxy.mend();
          await until(
            "open",
            async () => connection.state.type,
            (type) => type === "open",
          );
          expect(connection.session).toBe(session);
        }
        if (item.payload.n === 6) break;
      }
      expect(seen.slice(0, 4)).toEqual(["1", "2", "3", "2 again"]);
      expect(seen.slice(4).map((text) => text.split(" ")[0])).toEqual(numbers(4, 6));
      await connection.close();
      await proxy.close();
    });

    test("Messages that a loop over a durable was left with come to the next loop", async () => {
      const subject = await stream("LEFT");
      await publish(`${subject}.x`, 1, 6);
      const gateway = await start({ streams: ["LEFT"], delivery_mode: "at-least-once" });
      const options = { durable: "left", from: "all" } as const;
      const first = open(gateway.wsUrl);
      const left: string[] = [];
      for await (const item of first.subscribe<Numbered>("left.>", options)) {
        if (item.type === "data") left.push(textOf(item));
        if (left.length === 3) break;
      }
      await first.close();
      const next = open(gateway.wsUrl).subscribe<Numbered>("left.>", options);
      const seen = (await read(next, 4)).filter((text) => text !== "caught_up");
      expect(left).toEqual(numbers(1, 3));
      // Whether the body is done with the message that it left at is unknown: it comes again.
      expect(seen.toSorted()).toEqual(numbers(3, 6));
    });

    test("A token is refreshed in time, and the stream goes on", async () => {
      let count = 0;
      const issued = new Map<string, number>();
      const service = nats.connection.subscribe(AUTHORIZER, {
        callback: (_, msg) => {
          const { credentials } = msg.json<{ credentials: { token?: string } }>();
          const exp = issued.get(credentials.token ?? "");
          const details = { type: "spillway", subjects: { allow: [">"], deny: [] } };
          const now = Date.now() / 1000;
          const claims = { sub: "ann", iat: now - 10, exp, authorization_details: [details] };
          msg.respond(JSON.stringify(exp === undefined ? { refused: "unknown" } : claims));
        },
      });
      const gateway = await start({ subjects: ["token.>"], authorizer_subject: AUTHORIZER });
      const reasons: string[] = [];
      const connection = open(gateway.wsUrl, {
        token: (why) => {
          reasons.push(why);
          const token = `token-${++count}`;
          issued.set(token, Date.now() / 1000 + 4 + 100 * (count - 1));
          return token;
        },
      });
      const errors: string[] = [];
      connection.on("error", ({ message }) => errors.push(message));
      const subscription = connection.subscribe<Numbered>("token.x", { from: "new" });
      await subscription.ready;
      await until(
        "second token",
        async () => reasons.length,
        (length) => length === 2,
      );
      expect(reasons).toEqual(["connect", "expiring"]);
      // The first one has expired by now.
      await until(
        "expiry",
        async () => Date.now() / 1000,
        (now) => now > issued.get("token-1")! + 0.5,
      );
      nats.connection.publish("token.x", JSON.stringify({ n: 1 }));
      expect(await read(subscription, 1)).toEqual(["1"]);
      expect([errors, connection.state.type]).toEqual([[], "open"]);
      service.unsubscribe();
    });

    test("Nothing is lost or repeated through a proxy that cuts, stalls and slows connections down", async () => {
      const subject = await stream("CHAOS");
      const gateway = await start({ streams: ["CHAOS"], ping_interval: "1s" });
      const proxy = await startTcpProxy(gateway.port);
      const connection = open(`ws://127.0.0.1:${proxy.port}${gateway.path}`);
      const subscription = connection.subscribe<Numbered>("chaos.>", { from: "all" });
      await subscription.ready;
      const reading = read(subscription, 400);
      for (let round = 0; round < 8; round++) {
        await publish(`${subject}.x`, 50 * round + 1, 50 * round + 50);
        const opened = new Promise<void>((resolve) => {
          const off = connection.on("state", ({ type }) => {
            if (type !== "open") return;
            off();
            resolve();
          });
        });
        if (round % 4 === 0) proxy.cut();
        if (round % 4 === 1) proxy.hold();
        if (round % 4 === 2) proxy.slow(20_000);
        if (round % 4 === 3) continue;
        // A connection that is held is found dead by an unanswered ping.
        if (round % 4 === 1)
          await until(
            "loss",
            async () => connection.state.type,
            (type) => type !== "open",
          );
        proxy.mend();
        if (round % 4 !== 2) await opened;
      }
      const seen = (await reading).filter((text) => text !== "caught_up");
      expect(seen).toEqual(numbers(1, 400));
      await connection.close();
      await proxy.close();
    });
  });
});
