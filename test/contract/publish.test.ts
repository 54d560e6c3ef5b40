import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { connect, type Msg, type Subscription } from "nats";
import { until } from "../support/event-log.ts";
import { type Gateway, startGateway } from "../support/gateway-process.ts";
import { connectionsOf, startNatsServer } from "../support/nats-server.ts";
import { RawHttp } from "../support/raw-http.ts";
import { openRaw } from "../support/raw-websocket.ts";
import { openV1, type Said, V1Client } from "../support/v1-client.ts";
import { contract, EVERY_EDGE, EVERY_RUNTIME } from "./support/contract.ts";
import { untilReady } from "./support/gateway-fixture.ts";
import { hostileMessages } from "./support/hostile-messages.ts";
import { expectSettledLedger, metric } from "./support/metrics.ts";
import { useNatsServer } from "./support/nats-server-fixture.ts";

const AUTHORIZER = "_AUTH.publish";
const CLIENTS = 100;
/** Messages of each client that are published at a time: NATS confirms each within a few seconds, on a busy machine too. */
const AT_ONCE = 5;

/** Publishes, and returns the answer. */
async function publish(client: V1Client, id: string, subject: string, more: object = {}) {
  client.send({ type: "publish", id, subject, payload: { n: 1 }, ...more });
  return await answerTo(client, id);
}

async function ask(client: V1Client, id: string, subject: string, more: object = {}) {
  client.send({ type: "request", id, subject, payload: { n: 1 }, ...more });
  return await answerTo(client, id);
}

/** The next answer to a frame of this `id`; those to others are left out. */
async function answerTo(client: V1Client, id: string): Promise<Said> {
  for (;;) {
    const said = await nextAnswer(client, id);
    if (said.id === id) return said;
  }
}

async function nextAnswer(client: V1Client, id: string): Promise<Said> {
  for (;;) {
    const said = await client.said.next(`an answer to ${id}`);
    if (["published", "response", "error"].includes(said.type)) return said;
  }
}

contract([...EVERY_RUNTIME, ...EVERY_EDGE], (target) => {
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
        connection.subscribe("hostile.svc", { callback: (_, msg) => msg.respond("1") }),
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
        publish_subjects: ["orders.>", "live.>", "full", "hostile.>"],
        request_subjects: ["svc.>", "hostile.>"],
        max_request_timeout: "10m",
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
        max_publishes_per_second: 10_000,
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
          // It doesn't end by itself while this test waits.
          timeout_ms: 600_000,
        });
        const inFlight = () => metric(gateway, "websocket_client_publishes_in_flight");
        await until("a request in flight", inFlight, (count) => count === 1);
        client.raw.destroy();
        await until("none in flight", inFlight, (count) => count === 0);
      });
    });

    for (const type of ["publish", "request"] as const) {
      for (const { name, fields, code, message } of hostileMessages(type)) {
        test(`A hostile ${type} with ${name} ${code === undefined ? "does no more than others" : `is refused: ${code}`}`, async () => {
          const seen: Msg[] = [];
          const tap = nats.connection.subscribe(">", {
            callback: (_, msg) => {
              if (!/^(?:_INBOX|\$JS|\$SYS)\./.test(msg.subject)) seen.push(msg);
            },
          });
          await nats.connection.flush();
          await withClient(async (client) => {
            // Everything that the gateway sent to NATS before comes ahead of this.
            await publish(client, "start", "hostile.start");
            await until(
              "the start",
              async () => seen.at(-1)?.subject,
              (last) => last === "hostile.start",
            );
            seen.length = 0;
            const subject = "hostile.svc";
            const frame = { type, id: "h", subject, payload: 1, ...fields };
            client.send(frame);
            const answer = await client.until(
              (said) =>
                ["published", "response", "error"].includes(said.type) && said.id !== "start",
              "an answer",
            );
            if (code === undefined) {
              const kind = type === "publish" ? "published" : "response";
              expect(answer).toMatchObject({ type: kind, id: frame.id as string });
            } else expect(answer.error).toEqual({ code, message, retryable: false });
            expect(await publish(client, "end", "hostile.end")).toMatchObject({
              type: "published",
            });
            await until(
              "the end",
              async () => seen.at(-1)?.subject,
              (last) => last === "hostile.end",
            );
            const good = code === undefined ? [subject] : [];
            expect(seen.map((msg) => msg.subject)).toEqual([...good, "hostile.end"]);
            expect(seen[0]!.reply ?? "").not.toContain("evil");
            if (code === undefined) {
              const headers = (fields.headers ?? {}) as Record<string, string[]>;
              for (const [header, values] of Object.entries(headers)) {
                expect(seen[0]!.headers?.values(header)).toEqual(values);
              }
              expect([...seen[0]!.data]).toEqual([0x31]);
            }
          });
          tap.unsubscribe();
        });
      }
    }

    test("128 requests with answers of 1 MB: some are refused, and the gateway stays connected", async () => {
      const own = await startNatsServer({ monitoring: true });
      const service = await connect({ servers: own.url });
      const large = new Uint8Array(1_000_000).fill(0x78);
      service.subscribe("svc.large", { callback: (_, msg) => msg.respond(large) });
      await service.flush();
      const config = { nats_url: own.url, subjects: ["svc.>"], request_subjects: ["svc.>"] };
      const other = await startGateway(target, { config });
      await untilReady(other);
      const before = await connectionsOf(own);
      await withClient(async (client) => {
        const ids = Array.from({ length: 128 }, (_, n) => String(n));
        for (const id of ids)
          client.send({ type: "request", id, subject: "svc.large", payload: 1 });
        const answers: Said[] = [];
        while (answers.length < ids.length) {
          const said = await client.said.next("an answer");
          if (["response", "error"].includes(said.type)) answers.push(said);
        }
        const kinds = answers.map(({ type, error }) => (error as Said | undefined)?.code ?? type);
        expect(new Set(kinds)).toEqual(new Set(["response", "too_many_requests"]));
        expect(kinds.filter((kind) => kind === "response").length).toBeLessThanOrEqual(32);
        // There is room again for the next one.
        expect(await ask(client, "last", "svc.large")).toMatchObject({ type: "response" });
      }, other);
      expect(await connectionsOf(own)).toEqual(before);
      expect(await other.stop()).toEqual({ code: 0, signal: null });
      await service.close();
      await own.stop();
    });

    test("Bodies that are read at the same time are bounded, and give their places back", async () => {
      const head = "Host: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n1\r\n";
      const posts: RawHttp[] = [];
      const post = async (end = "") => {
        const socket = await RawHttp.open(gateway.port);
        posts.push(socket);
        socket.write(`POST /publish/live.body HTTP/1.1\r\n${head}${end}`);
        return socket;
      };
      const before = await metric(gateway, "websocket_client_publishes_in_flight");
      const inFlight = async () =>
        (await metric(gateway, "websocket_client_publishes_in_flight")) - before;
      // A body in chunks counts as much as the largest message: 1 MiB, of a quarter of what is left of 64.
      for (let n = 1; n <= 13; n++) {
        await post();
        await until("a body that is read", inFlight, (count) => count === n);
      }
      const refused = await post();
      expect(await refused.status()).toBe(429);
      posts[0]!.write("0\r\n\r\n");
      expect(await posts[0]!.status()).toBe(202);
      expect(await (await post("0\r\n\r\n")).status()).toBe(202);
      for (const socket of posts) socket.destroy();
      await until("no body", inFlight, (count) => count === 0);
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
      const answers = new Map(clients.map((client) => [client, [] as Said[]]));
      for (let from = 0; from < ids.length; from += AT_ONCE) {
        const wave = ids.slice(from, from + AT_ONCE);
        for (const id of wave) {
          for (const [index, client] of clients.entries()) {
            client.send({ type: "publish", id, subject: `live.many.${index}`, payload: id });
          }
        }
        for (const [client, got] of answers) {
          for (const id of wave) got.push(await nextAnswer(client, id));
        }
      }
      for (const [client, got] of answers) {
        // They may come in another order than the frames.
        const sorted = got.toSorted((one, other) => Number(one.id) - Number(other.id));
        expect(sorted).toEqual(ids.map((id) => ({ type: "published", id })));
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
