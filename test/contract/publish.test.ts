import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import type { Subscription } from "nats";
import { until } from "../support/event-log.ts";
import { type Gateway, startGateway } from "../support/gateway-process.ts";
import { openRaw } from "../support/raw-websocket.ts";
import { openV1, type Said, V1Client } from "../support/v1-client.ts";
import { contract, EVERY_RUNTIME } from "./support/contract.ts";
import { untilReady } from "./support/gateway-fixture.ts";
import { expectSettledLedger, metric } from "./support/metrics.ts";
import { useNatsServer } from "./support/nats-server-fixture.ts";

const AUTHORIZER = "_AUTH.publish";
const CLIENTS = 100;

/** Publishes, and returns the answer. */
async function publish(client: V1Client, id: string, subject: string, more: object = {}) {
  client.send({ type: "publish", id, subject, payload: { n: 1 }, ...more });
  return await answerTo(client, id);
}

async function ask(client: V1Client, id: string, subject: string, more: object = {}) {
  client.send({ type: "request", id, subject, payload: { n: 1 }, ...more });
  return await answerTo(client, id);
}

/** The next answer to a frame of this `id`. */
async function answerTo(client: V1Client, id: string): Promise<Said> {
  for (;;) {
    const said = await client.said.next(`an answer to ${id}`);
    if (["published", "response", "error"].includes(said.type) && said.id === id) return said;
  }
}

contract(EVERY_RUNTIME, (target) => {
  describe("Publish and request", () => {
    const nats = useNatsServer({ jetstream: true, config: "max_payload: 32768" });
    let gateway: Gateway;
    const services: Subscription[] = [];

    beforeAll(async () => {
      const { connection } = nats;
      const manager = await connection.jetstreamManager();
      await manager.streams.add({ name: "ORDERS", subjects: ["orders.>"] });
      await manager.streams.add({
        ...{ name: "FULL", subjects: ["full"], max_msgs: 1 },
        discard: "new" as never,
      });
      services.push(
        connection.subscribe("svc.add", { callback: (_, msg) => msg.respond(msg.data) }),
        connection.subscribe("svc.mute", { callback: () => {} }),
        connection.subscribe(AUTHORIZER, {
          callback: (_, msg) => {
            const { credentials } = msg.json<{ credentials: { token?: string } }>();
            const sub = credentials.token ?? "";
            const details = {
              type: "spillway",
              actions: ["subscribe", "publish", "request"],
              subjects: { allow: ["orders.>", "live.>", "svc.>"], deny: ["orders.secret"] },
            };
            msg.respond(JSON.stringify({ sub, authorization_details: [details] }));
          },
        }),
      );
      await connection.flush();
      gateway = await start({
        publish_subjects: ["orders.>", "live.>", "full"],
        request_subjects: ["svc.>"],
      });
    });
    afterAll(async () => {
      for (const service of services) service.unsubscribe();
      expect(await gateway.stop()).toEqual({ code: 0, signal: null });
    });

    async function start(more: object): Promise<Gateway> {
      const config = {
        nats_url: nats.server.url,
        subjects: ["live.>", "svc.>", "orders.>"],
        max_publishes_per_second: 1000,
        ...more,
      };
      const started = await startGateway(target, { config });
      await untilReady(started);
      return started;
    }

    async function withClient(use: (client: V1Client) => Promise<void>, of = gateway) {
      const client = await openV1(of.wsUrl);
      await client.next("welcome");
      await use(client);
      client.raw.destroy();
    }

    test("A message that a stream takes has its sequence; the same id again is a duplicate", async () => {
      await withClient(async (client) => {
        const first = await publish(client, "1", "orders.a");
        expect(first).toEqual({ type: "published", id: "1", stream: "ORDERS", seq: first.seq });
        expect(await publish(client, "1", "orders.a")).toEqual({ ...first, duplicate: true });
        expect(await publish(client, "2", "orders.a")).toMatchObject({
          seq: (first.seq as number) + 1,
        });
        await withClient(async (other) => {
          expect(await publish(other, "1", "orders.a")).not.toHaveProperty("duplicate");
        });
      });
    });

    test("A message that no stream takes is published, byte for byte, and reaches others", async () => {
      await withClient(async (client) => {
        await withClient(async (other) => {
          await other.subscribe("s", ["live.>"]);
          client.raw.send(
            '{"type":"publish","id":"1","subject":"live.a","payload":{"n": 9007199254740993},"headers":{"A":["1"]}}',
          );
          expect(await answerTo(client, "1")).toEqual({ type: "published", id: "1" });
          expect(await other.next("data")).toMatchObject({ subject: "live.a" });
          expect(await publish(client, "2", "live.b", { encoding: "text", payload: "ü" })).toEqual({
            type: "published",
            id: "2",
          });
          expect(await other.next("data")).toMatchObject({ encoding: "text", payload: "ü" });
        });
      });
    });

    test("What the client may not publish, or the stream doesn't take, is refused with its reason", async () => {
      await withClient(async (client) => {
        const codeOf = async (subject: string, more: object = {}) =>
          ((await publish(client, "1", subject, more)).error as Said | undefined)?.code;
        expect(await codeOf("other")).toBe("forbidden");
        expect(await codeOf("$JS.API.STREAM.DELETE.ORDERS")).toBe("forbidden");
        expect(await codeOf("live.*")).toBe("invalid_subject");
        expect(await codeOf("live.a\r\nPUB evil 0\r\n")).toBe("invalid_subject");
        expect(await codeOf("live.a", { headers: { "Nats-Msg-Id": ["1"] } })).toBe("forbidden");
        expect(await codeOf("live.a", { headers: { A: ["1\r\nB: 2"] } })).toBe("malformed");
        expect(await codeOf("live.a", { payload: "x".repeat(40_000) })).toBe("too_large");
        await publish(client, "first", "full");
        expect(await publish(client, "2", "full")).toMatchObject({
          error: { code: "unavailable", retryable: true },
        });
        expect(await publish(client, "3", "live.a")).toMatchObject({ type: "published" });
      });
      expect(await metric(gateway, "websocket_client_publishes_refused_total")).toBe(5);
    });

    test("A request has the first answer, or the reason why there is none", async () => {
      await withClient(async (client) => {
        expect(await ask(client, "1", "svc.add")).toEqual({
          type: "response",
          id: "1",
          payload: { n: 1 },
        });
        expect(await ask(client, "2", "svc.nobody")).toMatchObject({
          error: { code: "no_responders" },
        });
        expect(await ask(client, "3", "svc.mute", { timeout_ms: 50 })).toMatchObject({
          error: { code: "timeout", retryable: true },
        });
        expect(await ask(client, "4", "orders.a")).toMatchObject({ error: { code: "forbidden" } });
      });
    });

    test("A client that leaves ends its requests", async () => {
      await withClient(async (client) => {
        client.send({
          type: "request",
          id: "1",
          subject: "svc.mute",
          payload: 1,
          timeout_ms: 9000,
        });
        const inFlight = () => metric(gateway, "websocket_client_publishes_in_flight");
        await until("a request in flight", inFlight, (count) => count === 1);
        client.raw.destroy();
        await until("none in flight", inFlight, (count) => count === 0);
      });
    });

    test(`${CLIENTS} clients publish while others receive: each message has one answer and arrives`, async () => {
      const open = async () => {
        const client = await openV1(gateway.wsUrl);
        await client.next("welcome");
        return client;
      };
      const receivers = [await open(), await open()];
      for (const receiver of receivers) await receiver.subscribe("all", ["live.many.>"]);
      const clients = await Promise.all(Array.from({ length: CLIENTS }, open));
      const ids = Array.from({ length: 20 }, (_, n) => String(n));
      for (const id of ids) {
        for (const [index, client] of clients.entries()) {
          client.send({ type: "publish", id, subject: `live.many.${index}`, payload: id });
        }
      }
      for (const client of clients) {
        for (const id of ids) {
          expect(await answerTo(client, id)).toEqual({ type: "published", id });
        }
        client.raw.destroy();
      }
      for (const receiver of receivers) {
        const count = async () => receiver.messages.length;
        await until("all messages", count, (received) => received === CLIENTS * ids.length);
        const of7 = receiver.messages.filter(({ subject }) => subject === "live.many.7");
        expect(of7.map(({ payload }) => payload)).toEqual(ids);
        receiver.raw.destroy();
      }
      await expectSettledLedger(gateway);
    });

    test("With tokens, the grant decides, also of POST; ids belong to the user, and messages say who it is", async () => {
      const guarded = await start({ authorizer_subject: AUTHORIZER, publisher_header: true });
      const bearer = (token: string) => ({ Authorization: `Bearer ${token}` });
      const v1 = async (token: string) => {
        const headers = { "Sec-WebSocket-Protocol": "spillway.v1.json", ...bearer(token) };
        const client = new V1Client(await openRaw(guarded.wsUrl, { headers }));
        await client.next("welcome");
        return client;
      };
      const post = (subject: string, token: string) =>
        fetch(`${guarded.url}/publish/${subject}`, {
          method: "POST",
          body: "1",
          headers: bearer(token),
        });
      const seen: (string | undefined)[] = [];
      const tap = nats.connection.subscribe("orders.b", {
        callback: (_, msg) => void seen.push(msg.headers?.get("Spillway-Sub")),
      });
      await nats.connection.flush();

      const ann = await v1("ann");
      const stored = await publish(ann, "x", "orders.b");
      expect(stored).toMatchObject({ stream: "ORDERS" });
      const [annAgain, bob] = [await v1("ann"), await v1("bob")];
      expect(await publish(annAgain, "x", "orders.b")).toEqual({ ...stored, duplicate: true });
      expect(await publish(bob, "x", "orders.b")).not.toHaveProperty("duplicate");
      expect(await publish(bob, "y", "orders.secret")).toMatchObject({
        error: { code: "forbidden" },
      });
      const answer = await post("orders.b", "bob");
      expect([answer.status, await answer.json()]).toEqual([
        202,
        { subject: "orders.b", bytes: 1, stream: "ORDERS", seq: expect.any(Number) },
      ]);
      expect((await post("orders.secret", "bob")).status).toBe(403);
      await until(
        "all messages",
        async () => seen.length,
        (count) => count === 4,
      );
      expect(seen).toEqual(["ann", "ann", "bob", "bob"]);
      tap.unsubscribe();
      for (const client of [ann, annAgain, bob]) client.raw.destroy();
      expect(await guarded.stop()).toEqual({ code: 0, signal: null });
    });

    test("A resumed session knows its ids", async () => {
      const resuming = await start({
        publish_subjects: ["orders.>"],
        delivery_mode: "at-least-once",
      });
      const client = await openV1(resuming.wsUrl);
      const { session } = await client.next("welcome");
      const stored = await publish(client, "x", "orders.c");
      client.raw.destroy();
      const again = await openV1(`${resuming.wsUrl}?session=${String(session)}`);
      expect(await again.next("welcome")).toMatchObject({ delivery: { resumed: true } });
      expect(await publish(again, "x", "orders.c")).toEqual({ ...stored, duplicate: true });
      again.raw.destroy();
      expect(await resuming.stop()).toEqual({ code: 0, signal: null });
    });

    test("While NATS is away, each message is answered at once, and publishing works again after it", async () => {
      await withClient(async (client) => {
        expect(await publish(client, "1", "orders.d")).toHaveProperty("seq");
        await nats.server.stop();
        await client.until(
          ({ type, state }) => type === "upstream" && state === "disconnected",
          "that NATS is away",
        );
        expect(await publish(client, "2", "orders.d")).toMatchObject({
          error: { code: "unavailable", retryable: true },
        });
        expect(await ask(client, "3", "svc.add")).toMatchObject({ error: { code: "unavailable" } });
        await nats.server.restart();
        const again = () => publish(client, "2", "orders.d");
        await until("that it is stored", again, ({ type }) => type === "published");
      });
    });
  });

  describe("Publish without NATS", () => {
    test("feeds the embedded source as POST does, and publish: false turns both off", async () => {
      for (const isOn of [true, false]) {
        const memory = await startGateway(target, {
          config: { subjects: ["m.>"], ...(!isOn && { publish: false }) },
        });
        await untilReady(memory);
        const client = await openV1(memory.wsUrl);
        await client.next("welcome");
        await client.subscribe("1", ["m.a"]);
        const said = await publish(client, "p", "m.a");
        const { status } = await fetch(`${memory.url}/publish/m.a`, { method: "POST", body: "2" });
        if (isOn) {
          expect([said, status]).toEqual([{ type: "published", id: "p" }, 202]);
          await until(
            "both messages",
            async () => client.messages.length,
            (count) => count === 2,
          );
          expect(await publish(client, "p", "other")).toMatchObject({
            error: { code: "forbidden" },
          });
        } else {
          expect(said).toMatchObject({ error: { code: "unsupported" } });
          expect(status).toBe(404);
        }
        expect(await ask(client, "r", "m.a")).toMatchObject({
          error: { code: isOn ? "forbidden" : "unsupported" },
        });
        client.raw.destroy();
        expect(await memory.stop()).toEqual({ code: 0, signal: null });
      }
    });
  });
});
