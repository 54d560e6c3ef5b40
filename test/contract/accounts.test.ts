import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { createHash } from "node:crypto";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { headers, type NatsConnection } from "nats";
import { until } from "../support/event-log.ts";
import { EventReader } from "../support/event-source.ts";
import type { Gateway } from "../support/gateway-process.ts";
import { startGateway } from "../support/gateway-process.ts";
import { connectLasting, flushed } from "../support/nats-connection.ts";
import { type NatsServer, startNatsServer } from "../support/nats-server.ts";
import { requestUpgrade } from "../support/raw-handshake.ts";
import { openRaw } from "../support/raw-websocket.ts";
import { connect } from "../support/subscriber.ts";
import { openV1, V1Client } from "../support/v1-client.ts";
import { contract, EVERY_SOCKET } from "./support/contract.ts";
import { asOperator, untilReady } from "./support/gateway-fixture.ts";

/** The accounts of the tests; `main` is the default one. */
const NAMES = ["main", "acme", "globex"] as const;
type Name = (typeof NAMES)[number];

/** `main` and `acme` are accounts of one server, `globex` has a server of its own. */
const SHARED_SERVER = `
accounts {
  MAIN: { jetstream: enabled, users: [{ user: main, password: secret }] }
  ACME: { jetstream: enabled, users: [{ user: acme, password: secret }] }
}
no_auth_user: main
`;

/** Tokens of these names, each of its account; `ann` is one user in all accounts. */
const TOKENS: Readonly<Record<string, { sub: string; account?: string }>> = {
  main: { sub: "ann" },
  acme: { sub: "ann", account: "acme" },
  globex: { sub: "ann", account: "globex" },
  stranger: { sub: "ann", account: "initech" },
};

const tokenOf = (name: string): string => `${name}-`.padEnd(40, "x");
const bearer = (name: string) => ({ Authorization: `Bearer ${tokenOf(name)}` });
const SESSION = "session-of-ann-1";
const SUBPROTOCOL = { "Sec-WebSocket-Protocol": "spillway.v1.json" };

contract(EVERY_SOCKET, (target) => {
  describe("Accounts", () => {
    const servers = new Map<Name, NatsServer>();
    const connections = new Map<Name, NatsConnection>();
    let directory: string;
    let accounts: readonly object[];

    beforeAll(async () => {
      directory = await mkdtemp(join(tmpdir(), "spillway-accounts-"));
      const shared = await startNatsServer({
        config: SHARED_SERVER,
        jetstream: true,
        monitoring: true,
      });
      const own = await startNatsServer({ jetstream: true });
      servers.set("main", shared).set("acme", shared).set("globex", own);
      for (const name of NAMES) {
        const login = name === "globex" ? {} : { user: name, pass: "secret" };
        const connection = await connectLasting(servers.get(name)!.url, login);
        connections.set(name, connection);
        const manager = await connection.jetstreamManager();
        await manager.streams.add({ name: "ORDERS", subjects: ["orders.>"] });
        for (let n = 0; n < 3; n++) {
          await connection.jetstream().publish(`orders.${n % 2}`, message(name, n));
        }
      }
      const tokens = Object.entries(TOKENS).map(([name, { sub, account }]) => ({
        sha256: createHash("sha256").update(tokenOf(name)).digest("hex"),
        sub,
        authorization_details: [
          {
            type: "spillway",
            account,
            actions: ["subscribe", "publish", "request"],
            subjects: { allow: [">"] },
            durables: ["d"],
          },
        ],
      }));
      await writeFile(join(directory, "tokens.json"), JSON.stringify(tokens));
      await writeFile(join(directory, "password"), "secret\n");
      accounts = [
        { name: "acme", nats_user: "acme", nats_password_file: join(directory, "password") },
        { name: "globex", nats_url: own.url },
      ];
    });
    afterAll(async () => {
      for (const connection of connections.values()) await connection.close();
      for (const server of new Set(servers.values())) await server.stop();
      await rm(directory, { recursive: true });
    });

    const message = (name: string, n: number): string => JSON.stringify({ of: name, n });

    /** Publishes a message with the account's own name, in each account. */
    async function publishEverywhere(subject: string, n: number): Promise<void> {
      for (const [name, connection] of connections) connection.publish(subject, message(name, n));
      for (const connection of connections.values()) await flushed(connection);
    }

    async function start(more: Readonly<Record<string, unknown>> = {}): Promise<Gateway> {
      const config = {
        nats_url: servers.get("main")!.url,
        subjects: ["shared.>"],
        tokens_file: join(directory, "tokens.json"),
        admin_port: 0,
        accounts,
        ...more,
      };
      const gateway = await startGateway(target, { config });
      await untilReady(gateway);
      return gateway;
    }

    async function v1(gateway: Gateway, name: string, query = ""): Promise<V1Client> {
      const headers = { ...SUBPROTOCOL, ...bearer(name) };
      return new V1Client(await openRaw(gateway.wsUrl + query, { headers }));
    }

    const events = (gateway: Gateway, name: string, query = "") =>
      new EventReader(`${gateway.url}${gateway.path}/sse${query}`, bearer(name));

    const statusOf = async (gateway: Gateway, name: string) => {
      const headers = { ...SUBPROTOCOL, ...bearer(name) };
      const {
        status,
        headers: answered,
        socket,
      } = await requestUpgrade(gateway.wsUrl, { headers });
      socket.destroy();
      return { status, retryAfter: Number(answered.get("retry-after") ?? Number.NaN) };
    };

    /** Waits until a gateway's subscriptions at NATS are confirmed. */
    async function settled(operator: Gateway): Promise<void> {
      const pending = async () => (await operator.get("/metrics")).text();
      await until("no pending subscription", pending, (text) =>
        /^websocket_upstream_pending\{[^}]*\} 0$/m.test(text),
      );
    }

    const openAccounts = async (operator: Gateway): Promise<Record<string, unknown>> =>
      ((await (await operator.get("/healthz")).json()) as { accounts: Record<string, unknown> })
        .accounts;

    describe("at most once", () => {
      let gateway: Gateway;
      let operator: Gateway;
      beforeAll(async () => {
        gateway = await start();
        operator = await asOperator(gateway);
      });
      afterAll(async () => {
        expect(await gateway.stop()).toEqual({ code: 0, signal: null });
      });

      test("Clients of each account, in each dialect, get the messages of theirs and of no other", async () => {
        const clients = await Promise.all(
          NAMES.map(async (name) => {
            const one = await v1(gateway, name);
            await one.subscribe("1", ["shared.>"]);
            const plain = await connect(`${gateway.wsUrl}?subjects=shared.a`, {
              headers: bearer(name),
            });
            const sse = events(gateway, name, "?subjects=shared.a");
            await sse.answered();
            return { name, one, plain, sse };
          }),
        );
        await settled(operator);
        for (const n of [1, 2]) await publishEverywhere("shared.a", n);
        for (const { name, one, plain, sse } of clients) {
          for (const n of [1, 2]) {
            const payload = { of: name, n };
            expect(await one.next("data")).toMatchObject({ payload });
            expect(await plain.next()).toMatchObject({ payload });
            const data = await nextData(sse);
            expect(data).toMatchObject({ payload });
          }
          one.raw.destroy();
          await plain.close();
          sse.destroy();
        }
      });

      test("A subject ends in its own account only, and stays ended for who resumes there", async () => {
        const ending = headers();
        ending.set("Spillway-End", "");
        const clients = await Promise.all(
          NAMES.map(async (name) => {
            const client = await v1(gateway, name);
            await client.subscribe("1", ["shared.run"]);
            return { name, client };
          }),
        );
        const sse = events(gateway, "acme", "?subjects=shared.run");
        await sse.answered();
        await settled(operator);
        for (const [name, connection] of connections) {
          const more = name === "acme" ? { headers: ending } : {};
          connection.publish("shared.run", message(name, 1), more);
          connection.publish("shared.run", message(name, 2));
        }
        for (const { name, client } of clients) {
          await client.until(({ payload }) => (payload as { n?: number })?.n === 2, "last message");
          const told = client.said.entries.filter(({ type }) => type === "data" || type === "end");
          const of = (n: number) => ({ type: "data", payload: { of: name, n } });
          const end = name === "acme" ? [{ type: "end", subject: "shared.run" }] : [];
          expect(told).toMatchObject([of(1), ...end, of(2)]);
          client.raw.destroy();
        }
        const { id } = await sse.next("end");
        sse.destroy();
        const resumed = { headers: { ...bearer("acme"), "Last-Event-ID": id } };
        const url = `${gateway.url}${gateway.path}/sse?subjects=shared.run`;
        expect((await fetch(url, resumed)).status).toBe(204);
      });

      test("A message or a request that a client sends, and a post, go to its own account", async () => {
        const subscriptions = NAMES.map((name) => {
          const got: string[] = [];
          const connection = connections.get(name)!;
          const subscription = connection.subscribe("shared.p.*", {
            callback: (_, { subject }) => got.push(subject),
          });
          const service = connection.subscribe("shared.who", {
            callback: (_, request) => request.respond(JSON.stringify(name)),
          });
          return { got, subscription, service };
        });
        for (const connection of connections.values()) await flushed(connection);
        for (const name of NAMES) {
          const client = await v1(gateway, name);
          client.send({ type: "publish", id: "p", subject: `shared.p.${name}`, payload: 1 });
          expect(await client.next("published")).toMatchObject({ id: "p" });
          client.send({ type: "request", id: "r", subject: "shared.who", payload: 1 });
          expect(await client.next("response")).toMatchObject({ id: "r", payload: name });
          client.raw.destroy();
          const posted = await fetch(`${gateway.url}/publish/shared.p.${name}-post`, {
            method: "POST",
            headers: bearer(name),
            body: "1",
          });
          expect(posted.status).toBe(202);
        }
        for (const connection of connections.values()) await flushed(connection);
        for (const [index, { got, subscription, service }] of subscriptions.entries()) {
          const name = NAMES[index];
          expect(got).toEqual([`shared.p.${name}`, `shared.p.${name}-post`]);
          subscription.unsubscribe();
          service.unsubscribe();
        }
      });

      test("A client is served by the account of its first auth frame, and can't change it", async () => {
        const client = await openV1(gateway.wsUrl);
        await client.next("welcome");
        client.send({ type: "auth", id: "1", token: tokenOf("acme") });
        await client.next("authenticated");
        await client.next("welcome");
        await client.subscribe("1", ["shared.>"]);
        client.send({ type: "auth", id: "2", token: tokenOf("globex") });
        expect(await client.next("error")).toMatchObject({ id: "2", error: { code: "forbidden" } });
        client.send({ type: "auth", id: "3", token: tokenOf("main") });
        expect(await client.next("error")).toMatchObject({ id: "3", error: { code: "forbidden" } });
        client.send({ type: "auth", id: "4", token: tokenOf("acme") });
        expect(await client.next("authenticated")).toMatchObject({ id: "4" });
        await publishEverywhere("shared.f", 1);
        await publishEverywhere("shared.f", 2);
        expect(await client.next("data")).toMatchObject({ payload: { of: "acme", n: 1 } });
        expect(await client.next("data")).toMatchObject({ payload: { of: "acme", n: 2 } });
        client.raw.destroy();
      });

      test("A client of an account that isn't configured is refused with 403, and the log names the account", async () => {
        expect(await statusOf(gateway, "stranger")).toMatchObject({ status: 403 });
        const sse = events(gateway, "stranger");
        await sse.answered();
        expect(sse.status).toBe(403);
        sse.destroy();
        const posted = await fetch(`${gateway.url}/publish/shared.x`, {
          method: "POST",
          headers: bearer("stranger"),
          body: "1",
        });
        expect(posted.status).toBe(403);
        await gateway.waitForLog(
          ({ properties, message }) =>
            properties.event === "access_refused" && message.includes('"initech"'),
        );
        const client = await openV1(gateway.wsUrl);
        client.send({ type: "auth", id: "1", token: tokenOf("stranger") });
        expect(await client.next("error")).toMatchObject({ error: { code: "forbidden" } });
        expect(await client.closed()).toMatchObject({ code: 4401 });
      });

      test("A cursor of one account is not valid in another", async () => {
        const acme = await v1(gateway, "acme");
        await acme.subscribe("1", ["shared.c"]);
        const globex = await v1(gateway, "globex");
        await globex.subscribe("1", ["shared.c"]);
        await publishEverywhere("shared.c", 1);
        const { id } = await acme.next("data");
        await globex.next("data");
        await publishEverywhere("shared.c", 2);
        await acme.next("data");
        await globex.next("data");
        const resumed = await v1(gateway, "acme");
        await resumed.subscribe("1", ["shared.c"], { from: { after: id } });
        expect(await resumed.next("data")).toMatchObject({ payload: { of: "acme", n: 2 } });
        const other = await v1(gateway, "globex");
        await other.subscribe("1", ["shared.c"], { from: { after: id } });
        await publishEverywhere("shared.c", 3);
        expect(await other.next("data")).toMatchObject({ payload: { of: "globex", n: 3 } });
        expect(other.notices("gap")).toHaveLength(1);
        for (const client of [acme, globex, resumed, other]) client.raw.destroy();
      });

      test("While one account's NATS is away, its clients are told, and others miss nothing", async () => {
        const acme = await v1(gateway, "acme");
        await acme.subscribe("1", ["shared.>"]);
        const globex = await v1(gateway, "globex");
        await globex.subscribe("1", ["shared.>"]);
        await servers.get("globex")!.stop();
        expect(await globex.next("upstream")).toMatchObject({ state: "disconnected" });
        expect((await gateway.get("/readyz")).status).toBe(200);
        expect(await openAccounts(operator)).toMatchObject({
          acme: { status: { state: "connected" } },
          globex: { status: { state: "connecting" } },
        });
        connections.get("acme")!.publish("shared.away", "1");
        expect(await acme.next("data")).toMatchObject({ payload: 1 });
        await servers.get("globex")!.restart();
        expect(await globex.next("upstream")).toMatchObject({ state: "connected" });
        expect(await globex.next("gap")).toMatchObject({ reason: "upstream" });
        await settled(operator);
        await flushed(connections.get("globex")!);
        await publishEverywhere("shared.back", 1);
        expect(await globex.next("data")).toMatchObject({ payload: { of: "globex" } });
        expect(await acme.next("data")).toMatchObject({ payload: { of: "acme" } });
        expect(acme.notices("gap")).toEqual([]);
        expect(acme.notices("upstream")).toEqual([]);
        acme.raw.destroy();
        globex.raw.destroy();
      });
    });

    test("Streams, snapshots, durables and sessions are those of the client's account", async () => {
      const gateway = await start({ streams: ["ORDERS:orders.>"], delivery_mode: "at-least-once" });
      for (const name of NAMES) {
        const all = await v1(gateway, name);
        await all.subscribe("1", ["orders.>"], { from: "all" });
        for (const n of [0, 1, 2]) {
          expect(await all.next("data")).toMatchObject({ payload: { of: name, n } });
        }
        all.raw.destroy();
        const last = await v1(gateway, name);
        await last.subscribe("1", ["orders.>"], { from: "last_per_subject" });
        const lasts = [await last.next("data"), await last.next("data")];
        expect(lasts.map(({ payload }) => payload)).toEqual(
          expect.arrayContaining([
            { of: name, n: 1 },
            { of: name, n: 2 },
          ]),
        );
        last.raw.destroy();
        const durable = await v1(gateway, name);
        await durable.subscribe("1", ["orders.>"], { durable: "d", from: "all" });
        expect(await durable.next("data")).toMatchObject({ payload: { of: name, n: 0 } });
        durable.raw.destroy();
      }
      const acme = await v1(gateway, "acme", `?session=${SESSION}`);
      expect(await acme.next("welcome")).toMatchObject({ session: SESSION });
      await acme.subscribe("1", ["shared.s"]);
      const globex = await v1(gateway, "globex", `?session=${SESSION}`);
      expect(await globex.next("welcome")).toMatchObject({ delivery: { resumed: false } });
      acme.raw.destroy();
      const again = await v1(gateway, "acme", `?session=${SESSION}`);
      expect(await again.next("welcome")).toMatchObject({ delivery: { resumed: true } });
      globex.send({ type: "ping", id: "p" });
      expect(await globex.next("pong")).toMatchObject({ id: "p" });
      for (const client of [globex, again]) client.raw.destroy();
      expect(await gateway.stop()).toEqual({ code: 0, signal: null });
    });

    test("Clients of an account whose NATS is away from the start are let in, told so, and served once it is back", async () => {
      await servers.get("globex")!.stop();
      const gateway = await start();
      const operator = await asOperator(gateway);
      const globex = await v1(gateway, "globex");
      expect(await globex.next("welcome")).toMatchObject({ upstream: "disconnected" });
      const sse = events(gateway, "globex", "?subjects=shared.a");
      await sse.answered();
      const posted = await fetch(`${gateway.url}/publish/shared.x`, {
        method: "POST",
        headers: bearer("globex"),
        body: "1",
      });
      expect([posted.status, posted.headers.has("retry-after")]).toEqual([503, true]);
      const acme = await v1(gateway, "acme");
      expect(await acme.next("welcome")).toMatchObject({ upstream: "connected" });
      globex.send({ type: "subscribe", id: "1", subjects: ["shared.a"] });
      await servers.get("globex")!.restart();
      await globex.next("subscribed");
      await settled(operator);
      await flushed(connections.get("globex")!);
      await publishEverywhere("shared.a", 1);
      expect(await globex.next("data")).toMatchObject({ payload: { of: "globex" } });
      expect(await nextData(sse)).toMatchObject({ payload: { of: "globex" } });
      for (const client of [globex, acme]) client.raw.destroy();
      sse.destroy();
      expect(await gateway.stop()).toEqual({ code: 0, signal: null });
    });

    test("With max_open_accounts in use, clients of another account are told to try again, until one is free", async () => {
      const gateway = await start({ max_open_accounts: 1 });
      const operator = await asOperator(gateway);
      const acme = await v1(gateway, "acme");
      await acme.next("welcome");
      const { status, retryAfter } = await statusOf(gateway, "globex");
      expect(status).toBe(503);
      expect(retryAfter).toBeGreaterThan(0);
      const sse = events(gateway, "globex");
      await sse.answered();
      expect(sse.status).toBe(503);
      sse.destroy();
      const posted = await fetch(`${gateway.url}/publish/shared.x`, {
        method: "POST",
        headers: bearer("globex"),
        body: "1",
      });
      expect(posted.status).toBe(503);
      const late = await openV1(gateway.wsUrl);
      late.send({ type: "auth", id: "1", token: tokenOf("globex") });
      expect(await late.next("error")).toMatchObject({
        error: { code: "unavailable", retryable: true },
      });
      expect(await late.next("disconnect")).toMatchObject({ code: 4503, reconnect: true });
      const main = await v1(gateway, "main");
      await main.next("welcome");
      main.raw.destroy();
      acme.raw.destroy();
      const sessions = async () => await openAccounts(operator);
      await until(
        "acme without clients",
        sessions,
        ({ acme: state }) => (state as { sessions: number }).sessions === 0,
      );
      const globex = await v1(gateway, "globex");
      await globex.next("welcome");
      expect(Object.keys(await openAccounts(operator))).toEqual(["globex"]);
      globex.raw.destroy();
      expect(await gateway.stop()).toEqual({ code: 0, signal: null });
    });

    test("An account has a connection to NATS from its first client until account_linger after the last", async () => {
      const gateway = await start({ name: "lingering", account_linger: "1s" });
      const connected = async (): Promise<number> => {
        const url = `${servers.get("acme")!.monitoringUrl}/connz?acc=ACME`;
        const { connections: all } = (await (await fetch(url)).json()) as {
          connections: { name?: string }[];
        };
        return all.filter(({ name }) => name === "lingering").length;
      };
      expect(await connected()).toBe(0);
      const one = await v1(gateway, "acme");
      await one.next("welcome");
      const two = events(gateway, "acme");
      await two.answered();
      expect(await connected()).toBe(1);
      one.raw.destroy();
      two.destroy();
      await until("no connection of the account", connected, (count) => count === 0);
      const again = await v1(gateway, "acme");
      expect(await again.next("welcome")).toMatchObject({ upstream: "connected" });
      expect(await connected()).toBe(1);
      const closed = again.closed();
      const stopped = gateway.stop();
      expect(await closed).toMatchObject({ code: 1001 });
      expect(await stopped).toEqual({ code: 0, signal: null });
    });
  });
});

/** Returns the next message of a reader of events. */
async function nextData(reader: EventReader): Promise<unknown> {
  for (;;) {
    const { type, data } = await reader.events.next("event");
    if (type === "message") return JSON.parse(data);
  }
}
