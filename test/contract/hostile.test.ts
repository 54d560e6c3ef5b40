import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { openEvents } from "../support/event-source.ts";
import { type Gateway, startGateway } from "../support/gateway-process.ts";
import { type HandshakeOptions, requestUpgrade } from "../support/raw-handshake.ts";
import { RawHttp } from "../support/raw-http.ts";
import { openRaw, RawWebSocket } from "../support/raw-websocket.ts";
import { V1Client } from "../support/v1-client.ts";
import { contract, EVERY_RUNTIME } from "./support/contract.ts";
import { asOperator, expectNothingLeft, untilReady } from "./support/gateway-fixture.ts";
import {
  APP,
  BEFORE_TOKEN,
  bearer,
  DENY,
  details,
  FRAMES,
  type Given,
  KEPT,
  KEPT_ALLOWED,
  LIVE,
  LIVE_ALLOWED,
  MORE_TEMPLATES,
  ORIGINS,
  offers,
  PATHS,
  PLACES,
  POSTS,
  QUERIES,
  type RequestRow,
  SITES,
  TEMPLATES,
  TOKENS,
  type TokenRow,
  V1_OFFER,
  WILDCARDS,
} from "./support/hostile-rows.ts";
import { base64url, STATIC_TOKEN, TokenMaker } from "./support/hostile-tokens.ts";
import { expectProblem, expectRefusal } from "./support/refusal.ts";
import { useStreams } from "./support/stream-fixture.ts";

/** A plain request, with no more headers than a test says. */
const PLAIN = {
  Upgrade: undefined,
  Connection: "close",
  "Sec-WebSocket-Key": undefined,
  "Sec-WebSocket-Version": undefined,
};

contract(EVERY_RUNTIME, (target) => {
  describe("Hostile clients", () => {
    let maker: TokenMaker;
    let given: Given;
    const nats = useStreams();
    let started: Gateway;
    const gateway = () => started;
    beforeAll(async () => {
      maker = await TokenMaker.open();
      await nats.create("KEPT");
      for (const subject of KEPT) await nats.fill(subject, 1);
      started = await startGateway(target, {
        config: {
          ...maker.settings,
          nats_url: nats.url,
          subjects: ["host.>"],
          streams: ["KEPT:kept.>"],
          delivery_mode: "at-least-once",
          ack_timeout: "5m",
          session_ttl: "2s",
          token_cookie: "token",
          allowed_origins: [APP],
          revocation_subject: "_REVOKED",
          admin_port: 0,
        },
      });
      await untilReady(started);
      const tokens = ["ann", "bob"].map((sub) => maker.token({ claims: restricted(sub) }));
      const [ann = "", bob = ""] = await Promise.all(tokens);
      given = { maker, ann, bob, writer: "", port: started.port };
    });
    const restricted = (sub: string) => ({
      sub,
      ...details({ subjects: { allow: [">"], deny: DENY }, durables: ["u_{sub}_*"] }),
    });
    afterAll(async () => {
      await expectNothingLeft(await asOperator(started));
      expect(await started.stop()).toEqual({ code: 0, signal: null });
      await maker.close();
    });

    const ask = (path: string, { headers = {}, ...options }: HandshakeOptions = {}) =>
      requestUpgrade(gateway().url + path, { ...options, headers: { ...PLAIN, ...headers } });

    const v1 = async (token: string, query = ""): Promise<V1Client> =>
      new V1Client(
        await openRaw(gateway().wsUrl + query, {
          headers: { ...offers(V1_OFFER), ...bearer(token) },
        }),
      );

    /** Sends a request of a row as server-sent events and as a handshake. */
    async function expectRow({ query = "", headers = () => ({}), status, detail }: RequestRow) {
      const asked = query === "" ? "" : `?${query}`;
      const sent = headers(given);
      const url = `${gateway().wsUrl}${asked}`;
      if (status === 200) {
        const events = await openEvents(
          `${gateway().url}/ws/sse${asked}`,
          sent as Record<string, string>,
        );
        await events.next("subscribed");
        events.destroy();
        (await openRaw(url, { headers: sent })).destroy();
        return;
      }
      const response = await ask(`/ws/sse${asked}`, { headers: sent });
      const problem = expectProblem(
        response.status,
        response.headers.get("content-type"),
        response.body,
      );
      expect(problem).toMatchObject({ status, detail: detail! });
      expect(response.headers.has("x-evil")).toBe(false);
      expect(response.headers.has("www-authenticate")).toBe(status === 401);
      // A browser's script could take a client of v1 for one that shows its token later.
      expectRefusal(target, await requestUpgrade(url, { headers: sent }), status);
    }

    /** Shows a token in a request for events, in a handshake, and in a frame. */
    async function expectRefused({ token, status, detail }: TokenRow): Promise<void> {
      const text = await token(maker);
      const shown = Buffer.from(text).toString("latin1");
      await expectRow({ name: "", headers: () => bearer(shown), status, detail });
      const client = new V1Client(await openRaw(gateway().wsUrl, { headers: offers(V1_OFFER) }));
      client.send({ type: "auth", id: "x", token: text });
      const code = status === 403 ? "forbidden" : "unauthenticated";
      expect(await client.next("error")).toEqual({
        type: "error",
        id: "x",
        error: { code, message: detail, retryable: false },
      });
      expect(await client.closed()).toEqual({ code: 4401, reason: "no valid token" });
      expect(client.messages).toEqual([]);
    }

    for (const row of [...TOKENS, ...TEMPLATES, ...MORE_TEMPLATES]) {
      test(`A token ${row.name} is refused in a header and in a frame`, () => expectRefused(row));
    }

    for (const row of [...PLACES, ...ORIGINS, ...SITES, ...QUERIES]) {
      test(`A client that shows ${row.name}: ${row.status}`, () => expectRow(row));
    }

    for (const row of WILDCARDS) {
      test(`A subscription to ${row.name} brings nothing that is denied`, async () => {
        const client = await v1(given.ann);
        const { name: _, subjects, options, brings } = row;
        await client.subscribe("1", subjects, options);
        for (const subject of LIVE) nats.connection.publish(subject, "1");
        await nats.connection.flush();
        const last = brings.at(-1);
        await client.until(({ subject }) => subject === last, `message of ${last}`);
        const got = client.messages
          .map(({ subject }) => String(subject))
          .filter((subject) => subject.startsWith(last!.slice(0, 4)));
        expect(got.toSorted()).toEqual(brings.toSorted());
        client.send({ type: "ack", ids: client.messages.map(({ id }) => id) });
        client.raw.destroy();
      });
    }

    test("A client without restrictions gets what others are denied", async () => {
      const client = await v1(STATIC_TOKEN);
      await client.subscribe("1", [">"], { from: "all" });
      for (const subject of LIVE) nats.connection.publish(subject, "1");
      await client.until(({ subject }) => subject === LIVE.at(-1), "last message");
      const got = client.messages.map(({ subject }) => subject);
      expect(new Set(got)).toEqual(new Set([...KEPT, ...LIVE]));
      client.raw.destroy();
    });

    for (const { name, frame, code, message } of FRAMES) {
      test(`A frame: ${name}: ${code}, and all stays as it was`, async () => {
        const client = await v1(given.bob);
        await client.subscribe("1", ["host.>"]);
        client.send(await frame(maker));
        expect((await client.next("error")).error).toEqual({ code, message, retryable: false });
        for (const subject of LIVE) nats.connection.publish(subject, "1");
        await client.until(({ subject }) => subject === LIVE.at(-1), "last message");
        expect(client.messages.map(({ subject }) => String(subject))).toEqual(LIVE_ALLOWED);
        client.raw.destroy();
      });
    }

    test("A client without a token is told so, whatever it sends, and gets nothing", async () => {
      const client = new V1Client(await openRaw(gateway().wsUrl, { headers: offers(V1_OFFER) }));
      for (const frame of BEFORE_TOKEN) {
        client.send(frame);
        expect((await client.next("error")).error).toMatchObject({ code: "unauthenticated" });
      }
      nats.connection.publish("host.a", "1");
      client.send({ type: "auth", id: "x", token: given.ann });
      await client.next("authenticated");
      await client.subscribe("1", ["host.end"]);
      nats.connection.publish("host.end", "1");
      expect(await client.next("data")).toMatchObject({ subject: "host.end" });
      expect(client.messages).toHaveLength(1);
      client.raw.destroy();
    });

    for (const [method, path, status, detail] of PATHS) {
      test(`${method} ${path} with a valid token: ${status}`, async () => {
        const response = await ask(path, { method, headers: bearer(given.ann) });
        const type = response.headers.get("content-type");
        expect(expectProblem(status, type, response.body).detail).toBe(detail);
      });
    }

    test("The name of another client's session gets nothing of it, and takes nothing from it", async () => {
      const url = `${gateway().wsUrl}?session=a-secret-session-of-ann&subjects=host.mine`;
      const first = await openRaw(url, { headers: bearer(given.ann) });
      nats.connection.publish("host.mine", "1");
      const { id } = JSON.parse(await first.nextText());
      first.destroy();
      const thief = await openRaw(url, { headers: bearer(given.bob) });
      thief.send(JSON.stringify({ type: "ack", id }));
      thief.send(JSON.stringify({ type: "nack", id }));
      nats.connection.publish("host.mine", "2");
      const stolen = JSON.parse(await thief.nextText());
      expect(stolen.payload).toBe(2);
      thief.send(JSON.stringify({ type: "ack", upto: stolen.id }));
      const again = await openRaw(url, { headers: bearer(given.ann) });
      const payloads = (await again.takeTexts(2)).map((text) => JSON.parse(text).payload);
      expect(payloads).toEqual([1, 2]);
      for (const socket of [thief, again]) socket.destroy();
    });

    test("The cursor of another client, even of a denied message, brings nothing that is denied", async () => {
      const robot = await v1(STATIC_TOKEN);
      await robot.subscribe("1", ["host.>"]);
      await robot.subscribe("2", ["kept.>"], { from: "all" });
      for (const subject of LIVE) nats.connection.publish(subject, "1");
      await robot.until(() => robot.messages.length === LIVE.length + KEPT.length, "all messages");
      const idOf = (subject: string) =>
        String(robot.messages.find((message) => message.subject === subject)?.id);
      robot.raw.destroy();
      for (const [from, pattern, rest] of [
        ["host.a", "host.>", LIVE_ALLOWED.slice(1)],
        ["host.internal.a", "host.>", LIVE_ALLOWED.slice(1)],
        ["kept.a", "kept.>", KEPT_ALLOWED.slice(1)],
        ["kept.secret", "kept.>", KEPT_ALLOWED.slice(1)],
      ] as const) {
        const after = idOf(from);
        const query = `?subjects=${pattern}`;
        const client = await v1(given.bob);
        await client.subscribe("1", [pattern], { from: { after } });
        await client.until(() => client.messages.length >= rest.length, "what is allowed");
        expect(client.messages.map(({ subject }) => String(subject))).toEqual(rest);
        const headers = bearer(given.bob) as Record<string, string>;
        const plain = await openRaw(`${gateway().wsUrl}${query}&after=${after}`, { headers });
        const texts = await plain.takeTexts(rest.length);
        expect(texts.map((text) => JSON.parse(text).subject)).toEqual(rest);
        const events = await openEvents(`${gateway().url}/ws/sse${query}`, {
          ...headers,
          "Last-Event-ID": after,
        });
        const messages = await events.take(rest.length);
        expect(messages.map(({ data }) => JSON.parse(data).subject)).toEqual(rest);
        client.raw.destroy();
        plain.destroy();
        events.destroy();
      }
    });

    describe("whose token is revoked", () => {
      let names = 0;
      const revocable = async () => {
        const jti = `r${++names}`;
        const token = await maker.token({ claims: { ...restricted("carl"), jti } });
        const key = `jti.${base64url(jti)}`;
        const revoke = () => nats.connection.publish("_REVOKED", JSON.stringify({ key }));
        return { token, revoke };
      };

      test("while they are connected, are disconnected, and don't come back", async () => {
        const { token, revoke } = await revocable();
        const client = await v1(token);
        await client.subscribe("1", ["host.>"]);
        const { session } = await client.next("welcome");
        const plain = await openRaw(gateway().wsUrl, { headers: bearer(token) });
        const headers = bearer(token) as Record<string, string>;
        const events = await openEvents(`${gateway().url}/ws/sse`, headers);
        revoke();
        const close = { code: 4401, reason: "token revoked" };
        expect(await client.closed()).toEqual(close);
        expect(await plain.nextClose()).toEqual(close);
        expect(JSON.parse((await events.next("disconnect")).data)).toMatchObject({ code: 4401 });
        expect(await events.ended()).toBe("whole");
        const detail = "The token is revoked";
        const query = `session=${session}`;
        await expectRow({ name: "", headers: () => bearer(token), status: 401, detail });
        const response = await requestUpgrade(`${gateway().wsUrl}?${query}`, {
          headers: { ...offers(V1_OFFER), ...bearer(token) },
        });
        expectRefusal(target, response, 401);
      });

      test("while they are away, have lost their session, also with another token", async () => {
        const { token, revoke } = await revocable();
        const client = await v1(token);
        const { session } = await client.next("welcome");
        await client.subscribe("1", ["host.mine"]);
        // A client that stays tells when the revocation has arrived.
        const witness = await v1(token);
        client.raw.destroy();
        revoke();
        expect(await witness.closed()).toMatchObject({ code: 4401 });
        const other = await revocable();
        const again = await v1(other.token, `?session=${session}`);
        const { delivery } = await again.next("welcome");
        expect(delivery).toMatchObject({ resumed: false });
        again.raw.destroy();
      });

      test("while they connect, are not served, whichever comes first", async () => {
        const { token, revoke } = await revocable();
        const headers = { ...offers(V1_OFFER), ...bearer(token) };
        const before = await v1(token);
        const { session } = await before.next("welcome");
        before.raw.destroy();
        const url = `${gateway().wsUrl}?session=${session}`;
        const tries = Array.from({ length: 20 }, async (_, index) => {
          if (index === 10) revoke();
          const response = await requestUpgrade(url, { headers });
          if (response.status !== 101) return response.status;
          return (await new RawWebSocket(response, true).nextClose()).code;
        });
        // Of those that were let in, each takes the session from the one before.
        const ends = new Set(await Promise.all(tries));
        for (const end of ends) expect([401, 4401, 4409]).toContain(end);
        expectRefusal(target, await requestUpgrade(url, { headers }), 401);
      });
    });

    test("A token of 100 kB is refused in a header by the HTTP server, and in a frame with 1009", async () => {
      const huge = "x".repeat(100_000);
      // The server doesn't read the rest of the request, so that its answer may be lost.
      const answers = [
        ask("/ws/sse", { headers: bearer(huge) }),
        ask("/ws/sse", { headers: { Cookie: `token=${huge}` } }),
        ask("/ws/sse", { headers: offers(`spillway-token.${huge}`) }),
        ask(`/ws/sse?access_token=${huge}`),
      ].map((asked) =>
        asked.then(
          ({ status }) => status,
          () => "cut",
        ),
      );
      for (const answer of await Promise.all(answers)) {
        expect([400, 414, 431, "cut"]).toContain(answer);
      }
      const client = new V1Client(await openRaw(gateway().wsUrl, { headers: offers(V1_OFFER) }));
      client.send({ type: "auth", token: huge });
      expect(await client.closed()).toMatchObject({ code: 1009 });
    });
  });

  describe("Hostile publishers", () => {
    let maker: TokenMaker;
    let given: Given;
    let gateway: Gateway;
    let listener: V1Client;
    beforeAll(async () => {
      maker = await TokenMaker.open();
      gateway = await startGateway(target, {
        config: { ...maker.settings, subjects: ["host.>"], token_cookie: "token", admin_port: 0 },
      });
      const subjects = { allow: ["host.in.>"], deny: ["host.in.internal.>"] };
      const writes = details({ actions: ["publish"], subjects });
      const [ann = "", writer = ""] = await Promise.all([
        maker.token(),
        maker.token({ claims: { sub: "writer", ...writes } }),
      ]);
      given = { maker, ann, bob: ann, writer, port: gateway.port };
      const headers = { ...offers(V1_OFFER), ...bearer(ann) };
      listener = new V1Client(await openRaw(gateway.wsUrl, { headers }));
      await listener.subscribe("1", ["host.>"]);
    });
    afterAll(async () => {
      listener.raw.destroy();
      await expectNothingLeft(await asOperator(gateway));
      expect(await gateway.stop()).toEqual({ code: 0, signal: null });
      await maker.close();
    });

    for (const [name, headers, status] of [
      ["without a token", () => ({}), 401],
      ["with a token for reading", () => bearer(given.ann), 403],
      ["with a token that may publish", () => bearer(given.writer), 202],
    ] as const) {
      test(`A body that comes slowly, ${name}: ${status}${status === 202 ? "" : " before it is there"}`, async () => {
        const socket = await RawHttp.open(gateway.port);
        const lines = { Host: "127.0.0.1", "Transfer-Encoding": "chunked", ...headers() };
        const head = Object.entries(lines).map(([header, value]) => `${header}: ${value}\r\n`);
        socket.write(`POST /publish/host.in.slow HTTP/1.1\r\n${head.join("")}\r\n1\r\n1\r\n`);
        if (status === 202) socket.write("0\r\n\r\n");
        expect(await socket.status()).toBe(status);
        socket.destroy();
        if (status !== 202) return;
        await listener.until(({ subject }) => subject === "host.in.slow", "message");
      });
    }

    for (const row of POSTS) {
      test(`A message for ${row.name}: ${row.status}`, async () => {
        const { subject, status, detail, headers = ({ writer }) => bearer(writer) } = row;
        const url = `${gateway.url}/publish/${subject}`;
        const sent = { ...headers(given), Upgrade: undefined, Connection: "close" };
        const before = listener.messages.length;
        const response = await requestUpgrade(url, { method: "POST", headers: sent });
        if (detail === undefined) expect(response.status).toBe(status);
        else {
          const type = response.headers.get("content-type");
          expect(expectProblem(status, type, response.body).detail).toBe(detail);
        }
        const last = { method: "POST", headers: { Authorization: `Bearer ${given.writer}` } };
        await fetch(`${gateway.url}/publish/host.in.end`, last);
        const arrived = detail === undefined ? [subject, "host.in.end"] : ["host.in.end"];
        await listener.until(() => listener.messages.length >= before + arrived.length, "messages");
        const got = listener.messages.slice(before).map((message) => String(message.subject));
        expect(got).toEqual(arrived);
      });
    }
  });
});
