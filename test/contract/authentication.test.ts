import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import type { Subscription } from "nats";
import { until } from "../support/event-log.ts";
import { openEvents } from "../support/event-source.ts";
import { type Gateway, startGateway } from "../support/gateway-process.ts";
import { requestUpgrade } from "../support/raw-handshake.ts";
import { openRaw } from "../support/raw-websocket.ts";
import { openV1, type Said, V1Client } from "../support/v1-client.ts";
import { contract, EVERY_EDGE, EVERY_RUNTIME } from "./support/contract.ts";
import { asOperator, untilReady } from "./support/gateway-fixture.ts";
import { metric, untilMetric } from "./support/metrics.ts";
import { useNatsServer } from "./support/nats-server-fixture.ts";

type Settings = Readonly<Record<string, unknown>>;

const AUTHORIZER = "_AUTH.contract";
const SUBPROTOCOL = { "Sec-WebSocket-Protocol": "spillway.v1.json" };

/** What a token says; times are in seconds from now. */
interface Wanted {
  readonly sub?: string;
  readonly jti?: string;
  readonly allow?: readonly string[];
  readonly deny?: readonly string[];
  readonly durables?: readonly string[];
  readonly issuedIn?: number;
  readonly expiresIn?: number;
}

contract([...EVERY_RUNTIME, ...EVERY_EDGE], (target) => {
  describe("Authentication", () => {
    const nats = useNatsServer({ jetstream: true });
    const claims = new Map<string, object>();
    let service: Subscription;
    let count = 0;

    /** Makes a token that the service behind NATS knows. */
    function tokenOf(wanted: Wanted = {}): string {
      const {
        sub = "ann",
        jti,
        allow = [">"],
        deny = [],
        durables,
        issuedIn = -10,
        expiresIn,
      } = wanted;
      const now = Date.now() / 1000;
      const token = `token-${++count}`;
      const details = { type: "spillway", subjects: { allow, deny }, durables };
      claims.set(token, {
        ...{ sub, jti, iat: now + issuedIn },
        ...(expiresIn !== undefined && { exp: now + expiresIn }),
        authorization_details: [details],
      });
      return token;
    }

    beforeAll(() => {
      service = nats.connection.subscribe(AUTHORIZER, {
        callback: (_, msg) => {
          const { credentials } = msg.json<{ credentials: { token?: string } }>();
          const known = claims.get(credentials.token ?? "");
          msg.respond(JSON.stringify(known ?? { refused: "unknown" }));
        },
      });
    });
    afterAll(() => service.unsubscribe());

    async function start(more: Settings = {}): Promise<Gateway> {
      const config = {
        nats_url: nats.server.url,
        subjects: ["auth.>"],
        authorizer_subject: AUTHORIZER,
        ...more,
      };
      return await startGateway(target, { config });
    }

    /** Starts a gateway that is ready, for the time of a test. */
    async function withGateway(
      more: Settings,
      use: (gateway: Gateway) => Promise<void>,
    ): Promise<void> {
      const gateway = await start(more);
      await untilReady(gateway);
      await use(gateway);
      expect(await gateway.stop()).toEqual({ code: 0, signal: null });
    }

    const bearer = (token: string) => ({ Authorization: `Bearer ${token}` });

    async function v1(gateway: Gateway, token: string, query = ""): Promise<V1Client> {
      const headers = { ...SUBPROTOCOL, ...bearer(token) };
      return new V1Client(await openRaw(gateway.wsUrl + query, { headers }));
    }

    async function authenticate(client: V1Client, token: string): Promise<void> {
      client.send({ type: "auth", id: token, token });
      await client.until(
        ({ type, id }) => type === "authenticated" && id === token,
        "authenticated",
      );
    }

    async function statusOf(gateway: Gateway, token: string): Promise<number> {
      const headers = { ...SUBPROTOCOL, ...bearer(token) };
      const { status, socket } = await requestUpgrade(gateway.wsUrl, { headers });
      socket.destroy();
      return status;
    }

    describe("of a connection", () => {
      let gateway: Gateway;
      beforeAll(async () => {
        gateway = await start({ auth_timeout: "2s" });
        await untilReady(gateway);
      });
      afterAll(async () => {
        expect(await gateway.stop()).toEqual({ code: 0, signal: null });
      });

      test("A client of v1 shows its token in auth, and may do nothing before", async () => {
        const client = await openV1(gateway.wsUrl);
        expect(await client.next("welcome")).toMatchObject({ session: "" });
        client.send({ type: "subscribe", id: "1", subjects: ["auth.a"] });
        const { error } = await client.next("error");
        expect(error).toMatchObject({ code: "unauthenticated" });
        await authenticate(client, tokenOf({ expiresIn: 600 }));
        expect((await client.next("welcome")).session).not.toBe("");
        await client.subscribe("1", ["auth.a"]);
        nats.connection.publish("auth.a", "1");
        expect(await client.next("data")).toMatchObject({ payload: 1 });
        client.raw.destroy();
      });

      test("A client of v1 that shows no token in time, or a wrong one, is disconnected with 4401", async () => {
        const silent = await openV1(gateway.wsUrl);
        const wrong = await openV1(gateway.wsUrl);
        wrong.send({ type: "auth", id: "x", token: "wrong" });
        expect(await wrong.next("error")).toMatchObject({ error: { code: "unauthenticated" } });
        for (const client of [wrong, silent]) {
          expect(await client.next("disconnect")).toMatchObject({ code: 4401, reconnect: false });
          expect(await client.closed()).toMatchObject({ code: 4401 });
        }
      });

      test("Plain clients and server-sent events need their token in the handshake", async () => {
        const { status, socket } = await requestUpgrade(gateway.wsUrl);
        socket.destroy();
        expect(status).toBe(401);
        const events = await gateway.get(`${gateway.path}/sse`);
        expect(events.status).toBe(401);
        await events.body?.cancel();
      });

      test("A new token takes effect in band: what stays has no gap, what goes ends", async () => {
        const client = await v1(gateway, tokenOf());
        await client.subscribe("1", ["auth.stays.>"]);
        await client.subscribe("2", ["auth.goes"]);
        await client.subscribe("3", ["auth.part.>"]);
        const publish = (n: number): void => {
          for (const subject of ["stays.x", "goes", "part.a", "part.b"]) {
            nats.connection.publish(`auth.${subject}`, `${n}`);
          }
        };
        const token = tokenOf({ allow: ["auth.stays.>", "auth.part.a"] });
        for (let n = 0; n < 200; n++) {
          publish(n);
          if (n === 100) client.send({ type: "auth", token });
          if (n % 20 === 0) await nats.connection.flush();
        }
        const authenticated = await client.until(
          ({ type }) => type === "authenticated",
          "authenticated",
        );
        await nats.connection.flush();
        publish(200);
        await client.until(
          ({ subject, payload }) => subject === "auth.part.a" && payload === 200,
          "last message",
        );
        const payloadsOf = (subject: string) =>
          client.messages.flatMap((said) => (said.subject === subject ? [said.payload] : []));
        const all = Array.from({ length: 201 }, (_, n) => n);
        expect(payloadsOf("auth.stays.x")).toEqual(all);
        expect(payloadsOf("auth.part.a")).toEqual(all);
        const after = client.said.entries.slice(client.said.entries.indexOf(authenticated));
        const late = new Set(after.map(({ subject }) => subject).filter((one) => one));
        expect(late).toEqual(new Set(["auth.stays.x", "auth.part.a"]));
        expect(client.notices("unsubscribed")).toEqual([
          { type: "unsubscribed", sub: "2", reason: "forbidden" },
        ]);
        const [narrowed] = client.notices("subscribed").slice(3);
        expect(narrowed).toMatchObject({ sub: "3", subjects: ["auth.part.a"] });
        expect(client.notices("gap")).toEqual([]);
        client.raw.destroy();
      });

      test("The token of another client is refused, and the old one stays", async () => {
        const client = await v1(gateway, tokenOf());
        await client.subscribe("1", ["auth.same"]);
        client.send({ type: "auth", id: "x", token: tokenOf({ sub: "bob" }) });
        const { error } = await client.next("error");
        expect(error).toMatchObject({ code: "forbidden" });
        nats.connection.publish("auth.same", "1");
        expect(await client.next("data")).toMatchObject({ payload: 1 });
        client.raw.destroy();
      });

      test("A token that expires ends the connection with 4512, unless there is a new one", async () => {
        const token = tokenOf({ issuedIn: 0, expiresIn: 2 });
        const stays = await v1(gateway, token);
        const goes = await v1(gateway, token);
        const events = await openEvents(`${gateway.url}${gateway.path}/sse`, bearer(token));
        const plain = await openRaw(gateway.wsUrl, { headers: bearer(token) });
        expect(await stays.next("token_expiring")).toMatchObject({
          expires_in_ms: expect.any(Number),
        });
        await authenticate(stays, tokenOf());
        expect(await goes.next("disconnect")).toMatchObject({ code: 4512, reconnect: true });
        expect(await goes.closed()).toMatchObject({ code: 4512 });
        expect(await plain.nextClose()).toMatchObject({ code: 4512 });
        expect((await events.next("disconnect")).data).toContain('"code":4512');
        await stays.subscribe("1", ["auth.still"]);
        nats.connection.publish("auth.still", "1");
        expect(await stays.next("data")).toMatchObject({ payload: 1 });
        stays.raw.destroy();
      });
    });

    test("A session is resumed by the token in auth, and by nobody else's", async () => {
      await withGateway({ delivery_mode: "at-least-once" }, async (gateway) => {
        const first = await v1(gateway, tokenOf());
        const { session } = await first.next("welcome");
        await first.subscribe("1", ["auth.mine"]);
        first.raw.destroy();
        nats.connection.publish("auth.mine", "1");
        const stranger = await openV1(`${gateway.wsUrl}?session=${session}`);
        await authenticate(stranger, tokenOf({ sub: "bob" }));
        const [, other] = stranger.notices("welcome");
        expect(other ?? (await stranger.next("welcome"))).toMatchObject({ type: "welcome" });
        const second = await openV1(`${gateway.wsUrl}?session=${session}`);
        await authenticate(second, tokenOf());
        const message = await second.next("data");
        expect(message).toMatchObject({ subject: "auth.mine", payload: 1 });
        expect(second.notices("welcome")[1]).toMatchObject({ session });
        second.send({ type: "ack", id: message.id });
        expect(stranger.messages).toEqual([]);
        stranger.raw.destroy();
        second.raw.destroy();
      });
    });

    test.skipIf(target.gaps.adminPort !== undefined)(
      "A session isn't lost because of the sessions of another user, however many or large they are",
      async () => {
        const settings = {
          delivery_mode: "at-least-once",
          max_sessions: 3,
          max_session_bytes: "8KiB",
          admin_port: 0,
        };
        await withGateway(settings, async (gateway) => {
          const operator = await asOperator(gateway);
          /** Subscribes, loses the connection, and waits until the gateway knows. */
          const leave = async (client: V1Client, subject: string): Promise<unknown> => {
            const { session } = await client.next("welcome");
            await client.subscribe("1", [subject]);
            client.raw.destroy();
            await untilMetric(operator, "websocket_clients_active", (count) => count === 0);
            return session;
          };
          const session = await leave(await v1(gateway, tokenOf()), "auth.ann");
          const bob = tokenOf({ sub: "bob" });
          for (let n = 0; n < 4; n++) await leave(await v1(gateway, bob), "auth.bob");
          expect(await metric(operator, "websocket_sessions_parked")).toBe(3);
          // The second message is too much for each of the other user's sessions.
          for (let n = 0; n < 2; n++) nats.connection.publish("auth.bob", `"${"x".repeat(4096)}"`);
          await untilMetric(operator, "websocket_sessions_parked", (count) => count === 1);
          nats.connection.publish("auth.ann", "1");
          const again = await v1(gateway, tokenOf(), `?session=${session}`);
          expect(await again.next("welcome")).toMatchObject({
            session,
            delivery: { resumed: true },
          });
          expect(await again.next("data")).toMatchObject({ subject: "auth.ann", payload: 1 });
          again.raw.destroy();
        });
      },
    );

    test("A user has no more durables of a stream than one may, and leaves the others theirs", async () => {
      const manager = await nats.connection.jetstreamManager();
      const subject = `shared-${target.name.replace(/\W/g, "_")}`;
      const stream = subject.toUpperCase();
      await manager.streams.add({ name: stream, subjects: [`${subject}.>`] });
      const settings = {
        ...{ delivery_mode: "at-least-once", streams: [`${stream}:${subject}.>`] },
        ...{ max_durables: 4, max_durables_per_sub: 2 },
      };
      await withGateway(settings, async (gateway) => {
        const durables = ["*"];
        const ann = await v1(gateway, tokenOf({ durables }));
        const use = async (client: V1Client, name: string): Promise<unknown> => {
          const request = {
            type: "subscribe",
            id: name,
            subjects: [`${subject}.>`],
            durable: name,
          };
          client.send(request);
          const fits = ({ type, id }: Said) =>
            id === name && (type === "subscribed" || type === "error");
          const { type, error } = await client.until(fits, `answer for ${name}`);
          return error ?? type;
        };
        for (const name of ["one", "two"]) {
          expect(await use(ann, name)).toBe("subscribed");
          ann.send({ type: "unsubscribe", sub: name });
        }
        const refused = { code: "too_many_durables", message: expect.stringContaining("a client") };
        expect(await use(ann, "three")).toMatchObject(refused);
        const bob = await v1(gateway, tokenOf({ sub: "bob", durables }));
        for (const name of ["one", "two"]) expect(await use(bob, name)).toBe("subscribed");
        const eve = await v1(gateway, tokenOf({ sub: "eve", durables }));
        const full = { code: "too_many_durables", message: expect.stringContaining("a stream") };
        expect(await use(eve, "one")).toMatchObject(full);
        for (const client of [ann, bob, eve]) client.raw.destroy();
      });
    });

    test("A durable is its owner's: of the same name, another client has its own, and is sent nothing that is denied", async () => {
      const manager = await nats.connection.jetstreamManager();
      const subject = `owned-${target.name.replace(/\W/g, "_")}`;
      const stream = subject.toUpperCase();
      await manager.streams.add({ name: stream, subjects: [`${subject}.>`] });
      const settings = {
        ...{
          delivery_mode: "at-least-once",
          subjects: ["core.>"],
          streams: [`${stream}:${subject}.>`],
        },
        anonymous: [{ subjects: { allow: [">"] }, durables: ["*"] }],
      };
      await withGateway(settings, async (gateway) => {
        const durables = ["*"];
        const own = { durable: "worker", from: "all" };
        const open = async (client: V1Client): Promise<V1Client> => {
          await client.subscribe("1", [`${subject}.>`], own);
          return client;
        };
        const ann = await open(await v1(gateway, tokenOf({ durables })));
        const deny = [`${subject}.internal.>`];
        const bob = await open(await v1(gateway, tokenOf({ sub: "bob", durables, deny })));
        const nobody = await open(await openV1(gateway.wsUrl));
        const consumers = async () => {
          const infos = await manager.consumers.list(stream).next();
          return infos.filter(({ name }) => name.startsWith("spillway_"));
        };
        const names = (await consumers()).map(({ name }) => name).toSorted();
        const named = expect.stringMatching(/^spillway_worker@[0-9a-f]{32}$/);
        expect(names).toEqual(["spillway_worker", named, named]);

        const js = nats.connection.jetstream();
        for (const rest of ["1", "internal.1", "2"]) await js.publish(`${subject}.${rest}`, "1");
        const [first] = await subjectsOf(ann, 3);
        expect(await subjectsOf(nobody, 3)).toContain(`${subject}.internal.1`);
        expect(await subjectsOf(bob, 2)).toEqual([`${subject}.1`, `${subject}.2`]);
        expect(first).toBe(`${subject}.1`);
        // All three have the same ids: each acknowledges its own deliveries with them.
        bob.send({ type: "ack", ids: ann.messages.map(({ id }) => id) });
        const pendingOf = async () =>
          (await consumers()).map(({ num_ack_pending }) => num_ack_pending).toSorted();
        await until("nothing pending for bob", pendingOf, (all) => all.join() === "0,3,3");
        const second = await open(await v1(gateway, tokenOf({ sub: "bob", durables, deny })));
        expect(await bob.closed()).toMatchObject({ code: 4409 });
        ann.send({ type: "ack", upto: ann.messages.at(-1)?.id });
        await until("nothing pending for ann", pendingOf, (all) => all.join() === "0,0,3");
        await js.publish(`${subject}.3`, "1");
        expect(await subjectsOf(second, 1)).toEqual([`${subject}.3`]);
        expect(await subjectsOf(ann, 4)).toContain(`${subject}.3`);
        for (const client of [ann, second, nobody]) client.raw.destroy();
      });
    });

    test("Denied messages of a stream are sent from no place on, and the latest is the latest allowed one", async () => {
      const manager = await nats.connection.jetstreamManager();
      const subject = `denied-${target.name.replace(/\W/g, "_")}`;
      const stream = subject.toUpperCase();
      await manager.streams.add({ name: stream, subjects: [`${subject}.>`] });
      const js = nats.connection.jetstream();
      for (const rest of ["internal.1", "a", "b", "a", "internal.2", "c.secret"]) {
        await js.publish(`${subject}.${rest}`, "1");
      }
      const settings = { subjects: ["core.>"], streams: [`${stream}:${subject}.>`] };
      await withGateway(settings, async (gateway) => {
        const token = tokenOf({ deny: [`${subject}.internal.>`, "*.*.secret"] });
        const [a, b] = [`${subject}.a`, `${subject}.b`];
        for (const [from, wanted] of [
          ["all", [a, b, a]],
          [{ seq: 3 }, [b, a]],
          ["last_per_subject", [b, a]],
          ["last", [a]],
        ] as const) {
          const client = await v1(gateway, token);
          await client.subscribe("1", [`${subject}.>`], { from });
          await client.next("caught_up");
          expect(await subjectsOf(client, 0)).toEqual([...wanted]);
          expect(client.notices("gap")).toEqual([]);
          client.raw.destroy();
        }
        const url = `${gateway.url}${gateway.path}/sse?from=all`;
        const events = await openEvents(url, bearer(token));
        expect(JSON.parse((await events.next("message")).data)).toMatchObject({ subject: a });
        const { id, data } = await events.next("message");
        expect(JSON.parse(data)).toMatchObject({ subject: b });
        const resumed = { ...bearer(token), "Last-Event-ID": String(id) };
        const again = await openEvents(`${gateway.url}${gateway.path}/sse`, resumed);
        expect(JSON.parse((await again.next("message")).data)).toMatchObject({ subject: a });
        await js.publish(`${subject}.internal.3`, "1");
        await js.publish(`${subject}.d`, "1");
        const next = JSON.parse((await again.next("message")).data);
        expect(next).toMatchObject({ subject: `${subject}.d` });
        for (const reader of [events, again]) reader.destroy();
      });
    });

    describe("that is revoked", () => {
      test("in a bucket ends on every gateway, and stays so", async () => {
        const bucket = `revoked-${target.name.replace(/\W/g, "_")}`;
        const kv = await nats.connection.jetstream().views.kv(bucket, { history: 1 });
        const settings = { revocation_bucket: bucket };
        const gateways = [await start(settings), await start(settings)];
        for (const gateway of gateways) await untilReady(gateway);
        const revoked = tokenOf({ jti: "j/1" });
        const others = [tokenOf({ jti: "j/2" }), tokenOf({ sub: "bob" })];
        const clients = await Promise.all(gateways.map((gateway) => v1(gateway, revoked)));
        const stays = await Promise.all(others.map((token) => v1(gateways[0]!, token)));
        await kv.put("jti.ai8x", "");
        for (const client of clients) {
          expect(await client.next("disconnect")).toMatchObject({ code: 4401, reconnect: false });
          expect(await client.closed()).toMatchObject({ code: 4401 });
        }
        // A gateway that starts later knows it, too.
        gateways.push(await start(settings));
        await untilReady(gateways[2]!);
        for (const gateway of gateways) {
          expect(await statusOf(gateway, revoked)).toBe(401);
          expect(await statusOf(gateway, others[0]!)).toBe(101);
        }
        // All tokens of a name that were issued until now.
        const issued_before = Date.now() / 1000;
        await kv.put("sub.YW5u", JSON.stringify({ issued_before }));
        expect(await stays[0]!.next("disconnect")).toMatchObject({ code: 4401 });
        expect(await statusOf(gateways[1]!, others[1]!)).toBe(101);
        expect(await statusOf(gateways[1]!, tokenOf({ issuedIn: 5 }))).toBe(101);
        const [bob] = stays.slice(1);
        await bob!.subscribe("1", ["auth.bob"]);
        nats.connection.publish("auth.bob", "1");
        expect(await bob!.next("data")).toMatchObject({ payload: 1 });
        for (const client of stays) client.raw.destroy();
        for (const gateway of gateways) {
          expect(await gateway.stop()).toEqual({ code: 0, signal: null });
        }
      });

      test.skipIf(target.gaps.adminPort !== undefined)(
        "in a bucket with a TTL that tokens may outlive is warned of, and the gateway is ready",
        async () => {
          const bucket = `brief-${target.name.replace(/\W/g, "_")}`;
          await nats.connection.jetstream().views.kv(bucket, { history: 1, ttl: 8000 });
          await withGateway({ revocation_bucket: bucket, admin_port: 0 }, async (gateway) => {
            const line = await gateway.waitForLog(
              ({ properties }) => properties.event === "bucket_ttl_short",
            );
            expect(line.level).toBe("WARN");
            const facts = { bucket, key: "revocation_bucket", ttl: "8 s", needed: "for ever" };
            expect(line.properties).toMatchObject(facts);
            const health = await (await (await asOperator(gateway)).get("/healthz")).json();
            expect(health.health.healthy).toBe(true);
            expect(health.revocation.problem).toContain(bucket);
          });
        },
      );

      test("by a message on a subject ends on every gateway", async () => {
        const settings = { revocation_subject: "_REVOKED" };
        const gateways = [await start(settings), await start(settings)];
        for (const gateway of gateways) await untilReady(gateway);
        const token = tokenOf();
        const clients = await Promise.all(gateways.map((gateway) => v1(gateway, token)));
        const message = { key: "sub.YW5u", issued_before: Date.now() / 1000 };
        nats.connection.publish("_REVOKED", "no revocation");
        nats.connection.publish("_REVOKED", JSON.stringify(message));
        for (const [at, client] of clients.entries()) {
          expect(await client.next("disconnect")).toMatchObject({ code: 4401 });
          expect(await statusOf(gateways[at]!, token)).toBe(401);
        }
        for (const gateway of gateways) {
          expect(await gateway.stop()).toEqual({ code: 0, signal: null });
        }
      });

      test("can't be checked before the bucket was read: nobody is let in, and /readyz says why", async () => {
        const bucket = `late-${target.name.replace(/\W/g, "_")}`;
        const gateway = await start({ revocation_bucket: bucket });
        const token = tokenOf();
        const reasons = async () => (await gateway.get("/readyz")).text();
        const all = await until("reason", reasons, (text) =>
          text.includes(`KV_${bucket} is not followed`),
        );
        expect(all).toContain("revocation_bucket");
        expect(all).toContain(`nats kv add ${bucket} --history 1 --storage file`);
        expect(await statusOf(gateway, token)).toBe(503);
        await nats.connection.jetstream().views.kv(bucket);
        await untilReady(gateway);
        await until(
          "status 101",
          () => statusOf(gateway, token),
          (status) => status === 101,
        );
        expect(await gateway.stop()).toEqual({ code: 0, signal: null });
      });
    });
  });
});

/** The subjects of so many messages of a client. */
async function subjectsOf(client: V1Client, count: number): Promise<unknown[]> {
  await client.until(() => client.messages.length >= count, `${count} messages`);
  return client.messages.map(({ subject }) => subject);
}
