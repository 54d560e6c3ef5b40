import { describe, expect, test } from "bun:test";
import { until } from "../support/event-log.ts";
import { connectionsOf } from "../support/nats-server.ts";
import { requestUpgrade } from "../support/raw-handshake.ts";
import type { V1Client } from "../support/v1-client.ts";
import { contract, EVERY_EDGE, EVERY_RUNTIME } from "./support/contract.ts";
import { subscribe, subscribeV1, useGateway } from "./support/gateway-fixture.ts";
import { metric } from "./support/metrics.ts";
import { useNats } from "./support/nats-fixture.ts";

/** What NATS does not take from the gateway: whoever asks for it is told, and nobody else hears of it. */
contract([...EVERY_RUNTIME, ...EVERY_EDGE], (target) => {
  describe("A subject that is too long for NATS", () => {
    const nats = useNats({ monitoring: true });
    const gateway = useGateway(target, () => ({ config: { nats_url: nats.url } }));

    test("is refused by its bytes, and the connection to NATS stays", async () => {
      const other = await subscribe(gateway(), "?subjects=o.x");
      const before = await connectionsOf(nats.server);
      const client = await subscribeV1(gateway());
      // "😀" is two units of UTF-16 and four bytes of UTF-8.
      const subjects = ["x".repeat(4_050), "€".repeat(1_025), "😀".repeat(769), "x".repeat(60_000)];
      for (const [index, subject] of subjects.entries()) {
        client.send({ type: "subscribe", id: `${index}`, subjects: ["fine", subject] });
        const { error } = await client.next("error");
        expect(error).toMatchObject({ code: "invalid_subject", retryable: false });
        expect((error as { message: string }).message).toContain("3072 bytes");
      }
      const query = `?subjects=${encodeURIComponent("€".repeat(1_025))}`;
      const response = await gateway().get(`/ws/sse${query}`);
      expect(response.status).toBe(400);
      expect(await response.text()).toContain("3072 bytes");
      expect((await requestUpgrade(gateway().wsUrl + query)).status).toBe(400);
      // The longest that there may be comes.
      const longest = "€".repeat(1_024);
      await client.subscribe("longest", [longest]);
      nats.publish(longest, "1");
      expect(await client.next("data")).toMatchObject({ subject: longest });
      nats.publish("o.x", "1");
      await other.next();
      expect(await connectionsOf(nats.server)).toEqual(before);
    });

    test("is refused by its tokens", async () => {
      const client = await subscribeV1(gateway());
      client.send({ type: "subscribe", id: "1", subjects: [Array(65).fill("a").join(".")] });
      const { error } = await client.next("error");
      expect(error).toMatchObject({ code: "invalid_subject" });
      expect((error as { message: string }).message).toContain("64 tokens");
      await client.subscribe("2", [Array(64).fill("a").join(".")]);
    });
  });

  describe("Patterns of clients have a bound", () => {
    const nats = useNats({ monitoring: true });
    const gateway = useGateway(target, () => ({
      config: { nats_url: nats.url, max_patterns: 20, max_upstream_patterns: 40 },
    }));
    const numbered = (count: number, prefix: string): string[] =>
      Array.from({ length: count }, (_, n) => `${prefix}.${n}`);

    test("of one client: v1 is told so, and plain and SSE clients get 400", async () => {
      const client = await subscribeV1(gateway());
      client.send({ type: "subscribe", id: "1", subjects: numbered(21, "a") });
      expect(await client.next("error")).toMatchObject({
        error: { code: "too_many_subscriptions", retryable: false },
      });
      await client.subscribe("2", ["a.fine"]);
      const query = `?subjects=${numbered(21, "a").join(",")}`;
      expect((await gateway().get(`/ws/sse${query}`)).status).toBe(400);
      expect((await requestUpgrade(gateway().wsUrl + query)).status).toBe(400);
    });

    test("of all together: v1 may ask again, plain and SSE clients get 503, and what is there is had", async () => {
      const clients = [];
      for (let n = 0; n < 6; n++) {
        const client = await subscribeV1(gateway());
        client.send({ type: "subscribe", id: "1", subjects: numbered(8, `c${n}`) });
        clients.push(client);
      }
      const { error } = await clients.at(-1)!.next("error");
      expect(error).toMatchObject({ code: "too_many_subscriptions", retryable: true });
      const query = `?subjects=${numbered(8, "late").join(",")}`;
      expect((await gateway().get(`/ws/sse${query}`)).status).toBe(503);
      expect((await requestUpgrade(gateway().wsUrl + query)).status).toBe(503);
      const there = await subscribe(gateway(), "?subjects=c0.0");
      nats.publish("c0.0", "1");
      expect((await there.next()).payload).toBe(1);
    });
  });

  for (const transport of ["nats", "ws"] as const) {
    describe(`A NATS server that takes only short lines, over ${transport}://`, () => {
      const nats = useNats({ monitoring: true, config: "max_control_line: 512" });
      const gateway = useGateway(target, () => ({
        config: {
          nats_url: transport === "ws" ? nats.server.wsUrl : nats.url,
          publish_subjects: [">"],
          request_subjects: [">"],
        },
      }));

      test("ends the connection once: the client is told, and the subject never sent again", async () => {
        const other = await subscribeV1(gateway());
        await other.subscribe("1", ["o.x"]);
        const plain = await subscribe(gateway(), "?subjects=o.y");
        const client = await subscribeV1(gateway());
        client.send({ type: "subscribe", id: "1", subjects: ["a.short", "x".repeat(1_000)] });
        const { error } = await client.next("error");
        expect(error).toMatchObject({ code: "invalid_subject", retryable: false });
        expect((error as { message: string }).message).toMatch(/no subject longer than \d+ bytes/);
        await other.until(({ type, reason }) => type === "gap" && reason === "upstream", "gap");
        const after = await connectionsOf(nats.server);
        for (const id of ["2", "3"]) {
          client.send({ type: "subscribe", id, subjects: ["x".repeat(1_000)] });
          expect(await client.next("error")).toMatchObject({ id });
        }
        nats.publish("o.x", "1");
        nats.publish("o.y", "2");
        expect(await other.next("data")).toMatchObject({ subject: "o.x" });
        expect(await plain.next()).toMatchObject({ subject: "o.y" });
        expect(await connectionsOf(nats.server)).toEqual(after);

        // Messages follow the same rule.
        const long = "x".repeat(1_000);
        for (const type of ["publish", "request"]) {
          client.send({ type, id: type, subject: long, payload: 1 });
          const { id, error } = await client.next("error");
          expect([id, error]).toMatchObject([type, { code: "invalid_subject", retryable: false }]);
        }
        const post = { method: "POST", body: "1" };
        expect((await fetch(`${gateway().url}/publish/${long}`, post)).status).toBe(400);
        expect(await connectionsOf(nats.server)).toEqual(after);
      });
    });
  }

  describe("A NATS server that takes no more subscriptions", () => {
    const MOST = 20;
    const nats = useNats({ monitoring: true, config: `max_subscriptions: ${MOST}` });
    const gateway = useGateway(target, () => ({
      config: { nats_url: nats.url, upstream_linger: "0s" },
    }));
    const asked = async (client: V1Client, from: number, count: number) => {
      for (let n = from; n < from + count; n++) {
        client.send({ type: "subscribe", id: `${n}`, subjects: [`s.${n}`] });
      }
      await client.until(
        () => client.notices("subscribed").length + client.notices("error").length === from + count,
        `${from + count} answers`,
      );
    };

    test("client is told subscribed only of what NATS has taken, and error of the rest", async () => {
      const client = await subscribeV1(gateway());
      await asked(client, 0, MOST - 5);
      await asked(client, MOST - 5, 20);
      const taken = client.notices("subscribed").map(({ id }) => Number(id));
      expect(taken).toHaveLength(MOST);
      for (const { error } of client.notices("error")) {
        expect(error).toMatchObject({ code: "forbidden", retryable: true });
        expect((error as { message: string }).message).toContain("maximum subscriptions exceeded");
      }
      for (let n = 0; n < MOST + 15; n++) nats.publish(`s.${n}`, `${n}`);
      for (const n of taken) await client.until(({ payload }) => payload === n, `message ${n}`);
      expect(client.messages).toHaveLength(MOST);

      // As soon as there is room again, it may be asked for again.
      client.send({ type: "unsubscribe", sub: `${taken[0]}` });
      await client.next("unsubscribed");
      await until(
        "room at NATS",
        async () => metric(gateway(), "websocket_upstream_subscriptions"),
        (subscriptions) => subscriptions < MOST,
      );
      await client.subscribe("again", ["s.again"]);
    });
  });
});
