import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { until } from "../support/event-log.ts";
import { type Gateway, startGateway } from "../support/gateway-process.ts";
import { type NatsCluster, startNatsCluster } from "../support/nats-cluster.ts";
import { TARGETS } from "../support/runtimes.ts";
import { startTcpProxy, type TcpProxy } from "../support/tcp-proxy.ts";
import type { V1Client } from "../support/v1-client.ts";
import { contract, EVERY_RUNTIME } from "./support/contract.ts";
import { subscribeV1, untilReady, useGateway } from "./support/gateway-fixture.ts";
import { countTo } from "./support/nats-fixture.ts";
import { numberOf, useStreams } from "./support/stream-fixture.ts";

const FAILOVER_MS = 45_000;
const CUT_MS = 5_000;
/** More than the kernel keeps for a connection, and NATS beside it. */
const FLOOD = { count: 4_000, bytes: 10_000 };
/** Each way takes some 7 s for one message, of which a gateway with a durable gets two. */
const SLOW = { bytes: 700_000, bytesPerSecond: 100_000, deadlineMs: 45_000 };
/** A durable's request is good for 30 s, and a pause may be short. */
const PAUSE_MS = 70_000;

/** What becomes of clients when NATS fails depends neither on their sockets nor on the age of Node. */
const NEWEST_RUNTIMES = EVERY_RUNTIME.filter((target) => target !== TARGETS.node22);

/** NATS itself in trouble: a cluster that loses its leaders, a connection that breaks, a gateway that does not read. */
contract(NEWEST_RUNTIMES, (target) => {
  describe("A stream of three nodes", () => {
    let cluster: NatsCluster;
    beforeAll(async () => {
      cluster = await startNatsCluster();
      await cluster.create("TRIO");
    });
    afterAll(() => cluster?.stop());
    const gateway = useGateway(target, () => ({
      config: { nats_url: cluster.urls, streams: ["TRIO"] },
    }));
    /** One after the other, each until the stream has it, so that it is there once and in order. */
    const publish = async (subject: string, count: number): Promise<void> => {
      const stream = cluster.connection.jetstream();
      for (let n = 0; n < count; n++) {
        const msgID = `${subject} ${n}`;
        await until(
          `place in the stream for ${msgID}`,
          () =>
            stream.publish(subject, `{"n":${n}}`, { msgID, timeout: 1000 }).catch(() => undefined),
          (ack) => ack !== undefined,
          FAILOVER_MS,
        );
      }
    };
    /** Breaks something when the client has a third, and looks at all that it gets. */
    const through = async (subject: string, trouble: () => Promise<void>): Promise<V1Client> => {
      const count = 600;
      const client = await subscribeV1(gateway());
      await client.subscribe("1", [subject]);
      const published = publish(subject, count);
      await client.until((said) => numberOf(said) >= count / 3, "a third");
      await trouble();
      await published;
      await client.until((said) => numberOf(said) === count - 1, "the last one", FAILOVER_MS);
      expect(client.messages.map(numberOf)).toEqual(countTo(count));
      expect(client.notices("gap")).toEqual([]);
      await untilReady(gateway());
      return client;
    };
    const back = async (name: string): Promise<void> => {
      await cluster.nodes.get(name)!.restart();
      await cluster.whole("TRIO");
    };

    test("its leader steps down: clients get every message once and in order", async () => {
      await through("trio.down", async () => {
        const { connection } = cluster;
        await connection.request("$JS.API.STREAM.LEADER.STEPDOWN.TRIO", "", { timeout: 5000 });
      });
    }, 120_000);

    test("its leader is killed: clients get every message once and in order", async () => {
      const leader = await cluster.leaderOf("TRIO");
      await through("trio.leader", () => cluster.kill(leader));
      await back(leader);
    }, 120_000);

    test("the gateway's node is killed: clients stay, are told, and miss nothing", async () => {
      const url = gateway().logs.findLast(
        ({ properties }) => properties.event === "source_connected",
      )!.properties.server;
      const [name] = [...cluster.nodes].find(([, { port }]) => String(url).endsWith(`:${port}`))!;
      const client = await through("trio.node", () => cluster.kill(name));
      expect(client.notices("upstream").map(({ state }) => state)).toEqual([
        "disconnected",
        "connected",
      ]);
      await back(name);
    }, 120_000);
  });

  describe("The connection to NATS", () => {
    const nats = useStreams();
    let proxy: TcpProxy;
    let gateway: Gateway;
    beforeAll(async () => {
      await nats.create("PROXY");
      proxy = await startTcpProxy(nats.server.port);
      const nats_url = `nats://127.0.0.1:${proxy.port}`;
      gateway = await startGateway(target, { config: { nats_url, streams: ["PROXY"] } });
      await untilReady(gateway);
    });
    afterAll(async () => {
      await gateway?.stop();
      await proxy?.close();
    });

    test("is cut for 5 s: /readyz says so, clients stay, and nothing is missing", async () => {
      const client = await subscribeV1(gateway);
      await client.subscribe("1", ["proxy.>"]);
      await nats.fill("proxy.x", 10);
      await client.until((said) => numberOf(said) === 9, "message 9");
      proxy.cut();
      await client.until(
        ({ type, state }) => type === "upstream" && state === "disconnected",
        "word of it",
      );
      await nats.fill("proxy.x", 1000, 10);
      const cutMs = performance.now();
      const readiness = async () => (await gateway.get("/readyz")).status;
      // Not at once: mostly it is back soon.
      const status = await until(
        "end of the cut",
        readiness,
        () => performance.now() - cutMs > CUT_MS,
      );
      expect(status).toBe(503);
      expect(client.messages).toHaveLength(10);
      proxy.mend();
      await client.until((said) => numberOf(said) === 1009, "message 1009");
      await untilReady(gateway);
      expect(client.messages.map(numberOf)).toEqual(countTo(1010));
      expect(client.notices("gap")).toEqual([]);
      expect(client.notices("upstream").map(({ state }) => state)).toEqual([
        "disconnected",
        "connected",
      ]);
      client.raw.destroy();
    });

    test("falls silent without an end: the stream goes on when it speaks again", async () => {
      const client = await subscribeV1(gateway);
      await client.subscribe("1", ["proxy.>"]);
      await nats.fill("proxy.y", 10);
      await client.until((said) => numberOf(said) === 9, "message 9");
      const before = gateway.logs.length;
      proxy.hold();
      await nats.fill("proxy.y", 100, 10);
      await until(
        "word of the silence",
        async () => {
          await gateway.get("/livez");
          return gateway.logs.slice(before).map(({ message }) => message);
        },
        (messages) => messages.some((message) => /follow.*there is no answer/.test(message)),
      );
      proxy.mend();
      await client.until((said) => numberOf(said) === 109, "message 109");
      expect(client.messages.map(numberOf)).toEqual(countTo(110));
      expect(client.notices("gap")).toEqual([]);
      await untilReady(gateway);
      client.raw.destroy();
    });

    test("is slow, and a message takes longer than a consumer may be silent: it comes, and what is behind it", async () => {
      const worker = await startGateway(target, {
        config: {
          nats_url: `nats://127.0.0.1:${proxy.port}`,
          streams: ["PROXY"],
          delivery_mode: "at-least-once",
          ack_timeout: "1m",
        },
      });
      await untilReady(worker);
      const client = await subscribeV1(gateway);
      await client.subscribe("1", ["proxy.z"]);
      const durable = await subscribeV1(worker);
      await durable.subscribe("1", ["proxy.z"], { durable: "slow" });
      const before = gateway.logs.length;
      proxy.slow(SLOW.bytesPerSecond);
      nats.connection.publish("proxy.z", `{"n":0,"x":"${"x".repeat(SLOW.bytes)}"}`);
      await nats.fill("proxy.z", 2, 1);
      for (const one of [client, durable]) {
        await one.until((said) => numberOf(said) === 2, "what is behind it", SLOW.deadlineMs);
        expect(one.messages.map(numberOf)).toEqual(countTo(3));
        expect(one.notices("gap")).toEqual([]);
        expect(one.notices("error")).toEqual([]);
      }
      durable.send({ type: "ack", upto: durable.messages.at(-1)?.id });
      proxy.mend();
      await untilReady(gateway);
      const lines = [...gateway.logs.slice(before), ...worker.logs].map(({ message }) => message);
      expect(lines.filter((line) => /anew/.test(line))).toEqual([]);
      for (const { raw } of [client, durable]) raw.destroy();
      await worker.stop();
    });
  });

  describe("Consumers that somebody pauses", () => {
    const nats = useStreams();
    const gateway = useGateway(target, async () => {
      await nats.create("PAUSED");
      const config = { nats_url: nats.url, streams: ["PAUSED"], delivery_mode: "at-least-once" };
      return { config: { ...config, session_ttl: "0s" } };
    });

    const canPause = () => {
      const [major = 0, minor = 0] = nats.server.version.split(".").map(Number);
      return major > 2 || (major === 2 && minor >= 11);
    };
    const pauseAll = async () => {
      const end = new Date(Date.now() + 3_600_000);
      for await (const { name } of nats.manager.consumers.list("PAUSED")) {
        await nats.manager.consumers.pause("PAUSED", name, end);
      }
    };

    test("are made anew where they are the gateway's own", async () => {
      if (!canPause()) return;
      const client = await subscribeV1(gateway());
      await client.subscribe("1", ["paused.>"]);
      await pauseAll();
      await nats.fill("paused.x", 5);
      await client.until((said) => numberOf(said) === 4, "what came meanwhile", PAUSE_MS);
      const first = client.messages.filter(({ redelivery }) => redelivery === undefined);
      expect(first.map(numberOf)).toEqual(countTo(5));
      expect(client.notices("gap")).toEqual([]);
      client.raw.destroy();
    }, 90_000);

    test("are named to who uses a durable, or asks for it", async () => {
      if (!canPause()) return;
      const user = await subscribeV1(gateway());
      await user.subscribe("1", ["paused.>"], { durable: "used" });
      const asker = await subscribeV1(gateway());
      await asker.subscribe("1", ["paused.>"], { durable: "wanted" });
      asker.raw.destroy();
      await pauseAll();
      const later = await subscribeV1(gateway());
      later.send({ type: "subscribe", id: "1", subjects: ["paused.>"], durable: "wanted" });
      for (const one of [later, user]) {
        const { error } = await one.until(({ type }) => type === "error", "word of it", PAUSE_MS);
        expect(error).toMatchObject({ code: "unavailable", retryable: true });
        expect(String((error as { message: unknown }).message)).toContain("paused until");
        one.raw.destroy();
      }
    }, 90_000);
  });

  describe("A gateway that does not read", () => {
    const nats = useStreams({ monitoring: true, config: "max_pending: 2MB" });
    const gateway = useGateway(target, async () => {
      await nats.create("KEPT");
      return { config: { nats_url: nats.url, streams: ["KEPT:kept.>"], subjects: ["core.>"] } };
    });

    test("is cut off as a slow consumer: a stream misses nothing, and plain NATS is a gap", async () => {
      const kept = await subscribeV1(gateway());
      await kept.subscribe("1", ["kept.>"]);
      const core = await subscribeV1(gateway());
      await core.subscribe("1", ["core.x"], { policy: "drop-oldest" });
      await nats.fill("kept.x", 10);
      await kept.until((said) => numberOf(said) === 9, "message 9");
      gateway().signal("SIGSTOP");
      try {
        const data = new Uint8Array(FLOOD.bytes).fill(48);
        for (let n = 0; n < FLOOD.count; n++) nats.connection.publish("core.x", data);
        await nats.fill("kept.x", 10, 10);
        await until(
          "slow consumer",
          async () =>
            (await (await fetch(`${nats.server.monitoringUrl}/varz`)).json()) as {
              slow_consumers: number;
            },
          ({ slow_consumers }) => slow_consumers > 0,
        );
      } finally {
        gateway().signal("SIGCONT");
      }
      await kept.until((said) => numberOf(said) === 19, "message 19");
      expect(kept.messages.map(numberOf)).toEqual(countTo(20));
      expect(kept.notices("gap")).toEqual([]);
      await core.until(({ type, reason }) => type === "gap" && reason === "upstream", "gap");
      await untilReady(gateway());
    });
  });
});
