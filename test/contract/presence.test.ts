import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "bun:test";
import { createHash } from "node:crypto";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { until } from "../support/event-log.ts";
import { openEvents } from "../support/event-source.ts";
import { type Gateway, startGateway } from "../support/gateway-process.ts";
import { openRaw } from "../support/raw-websocket.ts";
import { type Said, V1Client } from "../support/v1-client.ts";
import { contract, EVERY_RUNTIME } from "./support/contract.ts";
import { asOperator, untilReady } from "./support/gateway-fixture.ts";
import { metric } from "./support/metrics.ts";
import { useNatsServer } from "./support/nats-server-fixture.ts";

const PEOPLE = ["ann", "bob", "eve", "fay"];
const SUBSCRIBE = { type: "spillway", subjects: { allow: ["room.>", "hall.>"] } };
const SEE = (allow: string[], deny: string[] = []) => ({
  type: "spillway",
  actions: ["presence"],
  subjects: { allow, deny },
});

/** The tokens, whose names are the tokens themselves. */
const TOKENS = Object.entries({
  ...Object.fromEntries(PEOPLE.map((name) => [name, [name, [SUBSCRIBE]]])),
  viewer: ["vic", [SUBSCRIBE, SEE(["room.>", "hall.>"], ["room.secret"])]],
  narrower: ["vic", [SUBSCRIBE, SEE(["hall.>"])]],
} as Record<string, [sub: string, details: object[]]>).map(([token, [sub, details]]) => ({
  sha256: createHash("sha256").update(long(token)).digest("hex"),
  sub,
  authorization_details: details,
}));

function long(token: string): string {
  return `${token}-6b1f5d0c9e8a47b2a1c3d4e5f60718`;
}

contract(EVERY_RUNTIME, (target) => {
  describe("Presence", () => {
    let directory: string;
    let config: Readonly<Record<string, unknown>>;
    const nats = useNatsServer({ jetstream: true }, async (connection) => {
      const jetstream = connection.jetstream();
      await jetstream.views.kv("presence", { history: 1, ttl: 60_000 });
      await jetstream.views.kv("revoked", { history: 1 });
    });
    const gateways: Gateway[] = [];
    /** The subject of the test that runs. */
    let room = "";
    let rooms = 0;
    const leaves: (() => unknown)[] = [];

    async function start(more: object = {}): Promise<Gateway> {
      const gateway = await startGateway(target, { config: { ...config, ...more } });
      await untilFresh(gateway);
      gateways.push(gateway);
      return gateway;
    }

    async function presenceIn(gateway: Gateway): Promise<{ stale: boolean; connections: number }> {
      const operator = config.admin_port === undefined ? gateway : await asOperator(gateway);
      return (await (await operator.get("/healthz")).json()).presence;
    }

    async function untilFresh(gateway: Gateway): Promise<void> {
      await until(
        "presence",
        () => presenceIn(gateway),
        ({ stale }) => !stale,
      );
    }

    const headersOf = (token: string) => ({ Authorization: `Bearer ${long(token)}` });

    async function connect(gateway: Gateway, token: string, ...subjects: string[]) {
      const headers = { "Sec-WebSocket-Protocol": "spillway.v1.json", ...headersOf(token) };
      const client = new V1Client(await openRaw(gateway.wsUrl, { headers }));
      leaves.push(() => client.raw.destroy());
      if (subjects.length > 0) await client.subscribe("s", subjects);
      return client;
    }

    /** Watches a subject, and returns the first answer. */
    async function watch(client: V1Client, subject = room, want = "list"): Promise<Said> {
      client.send({ type: "presence", id: "w", subject, want });
      return await client.next("presence");
    }

    async function untilLeft(client: V1Client, sub: string): Promise<Said> {
      return await client.until(
        ({ left }) =>
          (left as { sub: string }[] | undefined)?.some((one) => one.sub === sub) === true,
        `${sub} leaves`,
      );
    }

    beforeAll(async () => {
      directory = await mkdtemp(join(tmpdir(), "spillway-presence-"));
      const tokens_file = join(directory, "tokens.json");
      await writeFile(tokens_file, JSON.stringify(TOKENS));
      config = {
        nats_url: nats.server.url,
        subjects: ["room.>", "hall.>"],
        tokens_file,
        revocation_bucket: "revoked",
        presence_bucket: "presence",
        presence_ttl: "6s",
        presence_grace: "3s",
        presence_interval: "50ms",
        admin_port: 0,
      };
      await start();
      await start();
    });
    afterAll(async () => {
      for (const gateway of gateways) {
        expect(await gateway.stop()).toEqual({ code: 0, signal: null });
      }
      await rm(directory, { recursive: true });
    });

    beforeEach(() => {
      room = `room.${++rooms}`;
    });
    afterEach(() => {
      for (const leave of leaves.splice(0)) leave();
    });

    const head = () => ({ type: "presence", id: "w", subject: room });
    const [one, two] = [() => gateways[0]!, () => gateways[1]!];

    test("A client sees who is on a subject on all gateways, who joins and who leaves", async () => {
      const viewer = await connect(one(), "viewer");
      expect(await watch(viewer)).toEqual({ ...head(), count: 0, members: [] });
      const ann = await connect(two(), "ann", room, "hall.a");
      expect(await viewer.next("presence")).toEqual({
        ...head(),
        count: 1,
        joined: [{ sub: "ann" }],
      });
      const plain = await openRaw(`${two().wsUrl}?subjects=room.*`, { headers: headersOf("bob") });
      expect(await viewer.next("presence")).toMatchObject({ count: 2, joined: [{ sub: "bob" }] });
      const events = await openEvents(
        `${one().url}${one().path}/sse?subjects=${room}`,
        headersOf("eve"),
      );
      expect(await viewer.next("presence")).toMatchObject({ count: 3, joined: [{ sub: "eve" }] });
      const late = await connect(two(), "viewer");
      expect(await watch(late)).toMatchObject({
        count: 3,
        members: [{ sub: "ann" }, { sub: "bob" }, { sub: "eve" }],
      });
      expect(await watch(late, "hall.*", "count")).toEqual({
        ...head(),
        subject: "hall.*",
        count: 1,
      });
      ann.raw.destroy();
      plain.destroy();
      events.destroy();
      for (const name of ["ann", "bob", "eve"]) await untilLeft(viewer, name);
      viewer.send({ type: "presence", id: "w", stop: true });
      expect(await viewer.next("presence_ended")).toEqual({ type: "presence_ended", id: "w" });
    });

    test("A client that reconnects in its time of grace never leaves", async () => {
      const viewer = await connect(one(), "viewer");
      let ann = await connect(two(), "ann", room);
      await until(
        "ann",
        () => watch(viewer),
        ({ count }) => count === 1,
      );
      for (const gateway of [one(), two()]) {
        ann.raw.destroy();
        ann = await connect(gateway, "ann", room);
      }
      // Bob leaves after the connections that Ann had before, so by then she would have left, too.
      const bob = await connect(one(), "bob", room);
      await viewer.until(({ joined }) => JSON.stringify(joined)?.includes("bob"), "bob joins");
      bob.raw.destroy();
      await untilLeft(viewer, "bob");
      expect(JSON.stringify(viewer.notices("presence").map(({ left }) => left))).not.toContain(
        "ann",
      );
      ann.raw.destroy();
      await untilLeft(viewer, "ann");
    });

    test("A client sees nobody on subjects that its grant doesn't allow", async () => {
      const viewer = await connect(one(), "viewer");
      const ann = await connect(one(), "ann");
      for (const [client, subject] of [
        [viewer, "room.secret"],
        [viewer, "room.*"],
        [viewer, "street.1"],
        [ann, room],
      ] as const) {
        client.send({ type: "presence", id: "x", subject });
        const { id, error } = await client.next("error");
        expect([subject, id, error]).toMatchObject([subject, "x", { code: "forbidden" }]);
      }
    });

    test("A new token ends what it doesn't allow, and a revoked one takes its client away", async () => {
      const viewer = await connect(one(), "viewer");
      const fay = await connect(two(), "fay", room);
      await until(
        "fay",
        () => watch(viewer),
        ({ count }) => count === 1,
      );
      const kv = await nats.connection.jetstream().views.kv("revoked");
      const key = `sub.${Buffer.from("fay").toString("base64url")}`;
      await kv.put(key, JSON.stringify({ issued_before: Math.ceil(Date.now() / 1000) + 60 }));
      expect((await fay.closed()).code).toBe(4401);
      expect(await untilLeft(viewer, "fay")).toMatchObject({ count: 0 });
      viewer.send({ type: "auth", id: "a", token: long("narrower") });
      expect(await viewer.next("presence_ended")).toEqual({
        type: "presence_ended",
        id: "w",
        reason: "forbidden",
      });
    });

    test("The clients of a gateway that is killed leave", async () => {
      const viewer = await connect(one(), "viewer");
      const third = await start();
      await connect(third, "ann", room);
      await until(
        "ann",
        () => watch(viewer),
        ({ count }) => count === 1,
      );
      third.signal("SIGKILL");
      await third.exited;
      gateways.splice(gateways.indexOf(third), 1);
      expect(await untilLeft(viewer, "ann")).toMatchObject({ count: 0 });
    });

    test("While NATS is away clients are told that the count is stale, and the truth afterwards", async () => {
      const viewer = await connect(one(), "viewer");
      await connect(two(), "ann", room);
      const bob = await connect(two(), "bob", room);
      await until(
        "both",
        () => watch(viewer),
        ({ count }) => count === 2,
      );
      await nats.server.stop();
      const isStale = ({ type, stale }: Said): boolean => type === "presence" && stale === true;
      expect(await viewer.until(isStale, "a stale count")).toMatchObject({ ...head(), count: 2 });
      bob.raw.destroy();
      await nats.server.restart();
      expect(await untilLeft(viewer, "bob")).toMatchObject({ count: 1 });
      const last = viewer.notices("presence").at(-1)!;
      expect(last.stale).toBeUndefined();
      await connect(two(), "eve", room);
      await viewer.until(({ joined }) => JSON.stringify(joined)?.includes("eve"), "eve joins");
    });

    test("Metrics and health say how it is", async () => {
      const viewer = await connect(one(), "viewer", room);
      await watch(viewer);
      await viewer.until(({ count }) => count === 1, "the viewer itself");
      const operator = await asOperator(one());
      expect(await metric(operator, "websocket_presence_connections")).toBeGreaterThan(0);
      expect(await metric(operator, "websocket_presence_watches")).toBe(1);
      expect(await metric(operator, "websocket_presence_stale")).toBe(0);
      expect(await metric(operator, "websocket_presence_writes_total")).toBeGreaterThan(0);
      expect(await presenceIn(one())).toMatchObject({ watches: 1, stale: false });
    });

    test("A gateway that stops deletes what it wrote, and says that a missing bucket is missing", async () => {
      const kv = await nats.connection.jetstream().views.kv("other", { history: 1 });
      const gateway = await startGateway(target, {
        config: { ...config, presence_bucket: "none", admin_port: 0 },
      });
      await until(
        "a problem",
        async () => JSON.stringify(await presenceIn(gateway)),
        (text) => text.includes("does not exist"),
      );
      expect(await presenceIn(gateway)).toMatchObject({
        stale: true,
        problem: expect.stringMatching(
          /presence_bucket.*nats kv add none --history 1 --ttl 1m --storage memory/,
        ),
      });
      const operator = await asOperator(gateway);
      await until(
        "readiness in spite of that",
        async () => (await operator.get("/readyz")).status,
        (status) => status === 200,
      );
      expect(await gateway.stop()).toEqual({ code: 0, signal: null });
      const alone = await startGateway(target, { config: { ...config, presence_bucket: "other" } });
      await untilFresh(alone);
      await connect(alone, "ann", room);
      const keys = async () => {
        const names: string[] = [];
        for await (const name of await kv.keys()) names.push(name);
        return names;
      };
      await until("an entry", keys, (names) => names.length === 2);
      expect(await alone.stop()).toEqual({ code: 0, signal: null });
      expect(await keys()).toEqual([]);
    });

    test("A bucket that loses entries too soon is warned of, and viewers are told that counts may be wrong", async () => {
      await nats.connection.jetstream().views.kv("brief", { history: 1, ttl: 59_000 });
      const gateway = await startGateway(target, {
        config: { ...config, presence_bucket: "brief", presence_ttl: "6s" },
      });
      const line = await gateway.waitForLog(
        ({ properties }) => properties.event === "bucket_ttl_short",
      );
      const facts = { bucket: "brief", key: "presence_bucket", ttl: "59 s", needed: "60 s" };
      expect(line.properties).toMatchObject(facts);
      await untilReady(gateway);
      const ann = await connect(gateway, "ann", room);
      const viewer = await connect(gateway, "viewer");
      const seen = await until(
        "ann",
        () => watch(viewer),
        ({ count }) => count === 1,
      );
      expect(seen).toMatchObject({ stale: true });
      expect(await presenceIn(gateway)).toMatchObject({
        stale: true,
        problem: expect.stringContaining("presence_bucket"),
      });
      for (const client of [ann, viewer]) client.raw.destroy();
      expect(await gateway.stop()).toEqual({ code: 0, signal: null });
    });

    test("Without authentication everybody may count, and nobody has a name", async () => {
      const { tokens_file: _, revocation_bucket: __, ...open } = config;
      const gateway = await startGateway(target, { config: open });
      await untilFresh(gateway);
      const client = await connect(gateway, "ann", room);
      await watch(client);
      const seen = await client.until(({ count }) => count === 1, "the client itself");
      expect(JSON.stringify(seen)).not.toContain('"sub":');
      client.raw.destroy();
      expect(await gateway.stop()).toEqual({ code: 0, signal: null });
    });

    test("Where it is off, a client is told so", async () => {
      const gateway = await startGateway(target, { config: { nats_url: nats.server.url } });
      const client = await connect(gateway, "ann");
      client.send({ type: "presence", id: "w", subject: room });
      expect(await client.next("error")).toMatchObject({
        id: "w",
        error: { code: "unsupported", message: expect.stringContaining("presence_bucket") },
      });
      client.raw.destroy();
      expect(await gateway.stop()).toEqual({ code: 0, signal: null });
    });
  });
});
