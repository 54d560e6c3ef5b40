import { describe, expect, test } from "bun:test";
import { connect as connectNats } from "nats";
import { startGateway } from "../support/gateway-process.ts";
import { contract, EVERY_EDGE, EVERY_SOCKET } from "./support/contract.ts";
import { subscribe, subscribeV1, useGateway } from "./support/gateway-fixture.ts";
import { metric, untilMetric } from "./support/metrics.ts";
import { countTo, useNats } from "./support/nats-fixture.ts";

/** The dialect in which clients subscribe, and are told things. */
contract([...EVERY_SOCKET, ...EVERY_EDGE], (target) => {
  describe("The dialect spillway.v1.json", () => {
    const nats = useNats();
    const gateway = useGateway(target, () => ({
      config: {
        nats_url: nats.url,
        subjects: ["v1.>", "other"],
        max_subscriptions: 3,
        max_malformed_frames: 5,
        upstream_linger: "0s",
      },
    }));

    test("begins with a welcome, and says nothing else before the client subscribes", async () => {
      const client = await subscribeV1(gateway());
      nats.publish("v1.a", "1");
      await nats.flush();
      client.send({ type: "ping", id: "p" });
      expect(await client.next("pong")).toEqual({ type: "pong", id: "p" });
      const [welcome, ...others] = client.said.entries;
      expect(welcome).toMatchObject({
        type: "welcome",
        upstream: "connected",
        ping_interval_ms: 30_000,
        limits: { max_frame_bytes: 65_536, max_subscriptions: 3 },
      });
      expect(others.map(({ type }) => type)).toEqual(["pong"]);
    });

    test("answers a subscription once NATS has it: what is published then comes, each time", async () => {
      const client = await subscribeV1(gateway());
      for (let round = 0; round < 10; round++) {
        const subscribed = await client.subscribe(`s${round}`, [`v1.round${round}`]);
        expect(subscribed).toMatchObject({ sub: `s${round}`, policy: "disconnect" });
        nats.publish(`v1.round${round}`, String(round));
        expect(await client.next("data")).toMatchObject({ payload: round });
        client.send({ type: "unsubscribe", sub: `s${round}` });
        expect(await client.next("unsubscribed")).toEqual({
          type: "unsubscribed",
          sub: `s${round}`,
        });
      }
    });

    test("delivers a message once, however many of the client's subscriptions it matches", async () => {
      const client = await subscribeV1(gateway());
      await client.subscribe("1", ["v1.>"]);
      await client.subscribe("2", ["v1.eu.*", "v1.*.x"]);
      for (const subject of ["v1.eu.x", "v1.us.y", "v1.end"]) nats.publish(subject, "0");
      await client.until(({ subject }) => subject === "v1.end", "last message");
      expect(client.messages.map(({ subject }) => subject)).toEqual([
        "v1.eu.x",
        "v1.us.y",
        "v1.end",
      ]);
    });

    test("delivers nothing of a subscription that was ended, and all of the others", async () => {
      const client = await subscribeV1(gateway());
      await client.subscribe("1", ["v1.a"]);
      await client.subscribe("2", ["v1.b"]);
      client.send({ type: "unsubscribe", sub: "1" });
      await client.next("unsubscribed");
      for (const subject of ["v1.a", "v1.b"]) nats.publish(subject, "0");
      await client.next("data");
      expect(client.messages.map(({ subject }) => subject)).toEqual(["v1.b"]);
    });

    test("puts what leaves together into one frame, in order", async () => {
      const client = await subscribeV1(gateway());
      await client.subscribe("1", ["v1.flood"]);
      const framesBefore = client.frames;
      await nats.flood("v1.flood", 2000, 30);
      await client.until(
        ({ payload }) => (payload as { n?: number } | undefined)?.n === 1999,
        "last message",
      );
      expect(client.messages.map(({ payload }) => (payload as { n: number }).n)).toEqual(
        countTo(2000),
      );
      expect(client.frames - framesBefore).toBeLessThan(1000);
    });

    test.each<[Readonly<Record<string, unknown>>, string]>([
      [{ type: "subscribe", id: "e", subjects: ["v1..x"] }, "invalid_subject"],
      [{ type: "subscribe", id: "e", subjects: ["secret"] }, "forbidden"],
      [{ type: "subscribe", id: "e", subjects: [] }, "malformed"],
      [{ type: "subscribe", id: "e", subjects: ["v1.a"], from: "all" }, "unsupported"],
      [{ type: "auth", id: "e", token: "s3cret" }, "unsupported"],
      [{ type: "subscribe", id: "taken", subjects: ["v1.a"] }, "duplicate_subscription"],
      [{ type: "unsubscribe", sub: "e" }, "unknown_subscription"],
    ])("answers %j with %s, counts it, and goes on", async (frame, code) => {
      const client = await subscribeV1(gateway());
      const [name, label] =
        code === "malformed"
          ? ["errors_total", 'error_type="malformed_frame"']
          : ["requests_refused_total", `code="${code}"`];
      const before = await metric(gateway(), `websocket_${name}`, label);
      await client.subscribe("taken", ["v1.b"]);
      client.send(frame);
      const error = await client.next("error");
      expect(error.id).toBe(frame.id ?? frame.sub);
      expect(error.error).toMatchObject({ code });
      expect(await metric(gateway(), `websocket_${name}`, label)).toBe(before + 1);
      nats.publish("v1.b", "1");
      expect(await client.next("data")).toMatchObject({ payload: 1 });
    });

    test("answers one subscription too many with too_many_subscriptions", async () => {
      const client = await subscribeV1(gateway());
      for (const id of ["1", "2", "3"]) await client.subscribe(id, ["v1.a"]);
      client.send({ type: "subscribe", id: "4", subjects: ["v1.a"] });
      const { error } = await client.next("error");
      expect(error).toMatchObject({ code: "too_many_subscriptions", retryable: false });
    });

    test("answers what it can't read with malformed, and past the budget closes with 4400", async () => {
      const client = await subscribeV1(gateway());
      for (let n = 0; n < 5; n++) {
        client.raw.send(n % 2 === 0 ? "{" : new Uint8Array([0xff]));
        expect((await client.next("error")).error).toMatchObject({ code: "malformed" });
      }
      client.raw.send("{");
      const bye = { type: "disconnect", code: 4400, reconnect: false };
      expect(await client.next("disconnect")).toMatchObject(bye);
      expect((await client.closed()).code).toBe(4400);
    });

    test("reads binary frames like text", async () => {
      const client = await subscribeV1(gateway());
      client.raw.send(new TextEncoder().encode('{"type":"ping","id":"binary"}'));
      expect(await client.next("pong")).toMatchObject({ id: "binary" });
    });

    test("leaves plain clients as they are", async () => {
      const plain = await subscribe(gateway(), "?subjects=v1.plain");
      const client = await subscribeV1(gateway());
      await client.subscribe("1", ["v1.plain"]);
      await nats.flood("v1.plain", 100, 30);
      const envelopes = await plain.take(100);
      expect(envelopes.every(({ type }) => type === "data")).toBe(true);
      expect(plain.texts.some((text) => text.includes("\n"))).toBe(false);
      await client.until(
        ({ payload }) => (payload as { n?: number } | undefined)?.n === 99,
        "last message",
      );
      // The same messages have the same ids for everybody.
      expect(client.messages.map(({ id }) => id)).toEqual(envelopes.map(({ id }) => id));
    });
  });

  describe("The dialect spillway.v1.json, when NATS goes away", () => {
    const nats = useNats();
    const gateway = useGateway(target, () => ({
      config: { nats_url: nats.url, subjects: ["v1.>"] },
    }));

    test("says so, keeps the client, and declares what nobody can know", async () => {
      const client = await subscribeV1(gateway());
      await client.subscribe("1", ["v1.x"]);
      nats.publish("v1.x", "1");
      const { id } = await client.next("data");
      await nats.server.stop();
      expect(await client.next("upstream")).toEqual({ type: "upstream", state: "disconnected" });
      await nats.server.restart();
      expect(await client.next("upstream")).toEqual({ type: "upstream", state: "connected" });
      expect(await client.next("gap")).toEqual({
        type: "gap",
        from: id,
        to: id,
        count: 0,
        reason: "upstream",
        exact: false,
      });
      await untilMetric(gateway(), "websocket_upstream_pending", (pending) => pending === 0);
      // The publisher of before may still be waiting to reconnect.
      const publisher = await connectNats({ servers: nats.url });
      publisher.publish("v1.x", "2");
      await publisher.drain();
      expect(await client.next("data")).toMatchObject({ payload: 2 });
      expect(await metric(gateway(), "websocket_gaps_total")).toBe(1);
    });
  });

  describe("The dialect spillway.v1.json, when the gateway stops", () => {
    test("tells where to continue before the connection is closed with 1001", async () => {
      const gateway = await startGateway(target);
      const client = await subscribeV1(gateway);
      await client.subscribe("1", [">"]);
      await fetch(`${gateway.url}/publish/v1.x`, { method: "POST", body: "1" });
      const { id } = await client.next("data");
      gateway.signal("SIGTERM");
      if (target.gaps.farewell !== undefined) {
        expect([1001, 1006]).toContain((await client.closed()).code);
        expect(client.notices("disconnect")).toEqual([]);
        return;
      }
      expect(await client.next("disconnect")).toEqual({
        type: "disconnect",
        code: 1001,
        reason: "going away",
        reconnect: true,
        retry_after_ms: expect.any(Number),
        cursor: id,
      });
      expect((await client.closed()).code).toBe(1001);
      expect(await gateway.exited).toEqual({ code: 0, signal: null });
    });
  });
});
