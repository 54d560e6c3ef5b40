import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { createHash } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { runs } from "../support/child-process.ts";
import { until, within } from "../support/event-log.ts";
import { type Gateway, type LogLine, runToExit, startGateway } from "../support/gateway-process.ts";
import { requestUpgrade } from "../support/raw-handshake.ts";
import { openRaw } from "../support/raw-websocket.ts";
import { allowing, TARGETS } from "../support/runtimes.ts";
import { connect, type Subscriber } from "../support/subscriber.ts";
import { openV1, type V1Client } from "../support/v1-client.ts";
import { contract } from "./support/contract.ts";
import {
  asOperator,
  subscribeMany,
  subscribeManyV1,
  untilReady,
} from "./support/gateway-fixture.ts";
import { metric, metricsOf, untilMetric } from "./support/metrics.ts";
import { useNats } from "./support/nats-fixture.ts";

/** Enough that one process doesn't get all of them: that happens once in 8 million runs. */
const CLIENTS = 24;
/** Posts of 40 kB. */
const POSTS = 60;
const CLEAN = { code: 0, signal: null };
const TOKEN = "alice-0123456789abcdef0123456789abcdef";

interface Healthz {
  readonly workers: readonly { worker: number; pid: number; state: string }[];
}

/** The targets whose processes can share a port, with all that is needed for it. */
const WITH_WORKERS = [
  TARGETS.bun,
  TARGETS["bun-native"],
  allowing(TARGETS.deno, "--allow-run"),
  allowing(TARGETS["deno-native"], "--allow-run", "--unstable-net"),
  TARGETS.node22,
  TARGETS.node,
  TARGETS["node-dist"],
];

async function workersOf(gateway: Gateway): Promise<Healthz["workers"]> {
  return ((await (await gateway.get("/healthz")).json()) as Healthz).workers;
}

/** The processes that another one has started and that run. */
function childrenOf(pid: number): number[] {
  try {
    const text = readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8");
    return text.split(" ").filter(Boolean).map(Number);
  } catch {
    return [];
  }
}

function kill(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch {
    // It has ended already.
  }
}

const linux = process.platform === "linux";

/** The setting of the kernel, since 5.14, that hands connections which a closed socket had not accepted to the other sockets at the port. */
const HANDS_OVER = "/proc/sys/net/ipv4/tcp_migrate_req";

/** Whether it does. It resets them by default. */
function kernelHandsOver(): boolean {
  return existsSync(HANDS_OVER) && readFileSync(HANDS_OVER, "utf8").trim() === "1";
}

contract(WITH_WORKERS, (target) => {
  describe.skipIf(!linux)("Workers", () => {
    const nats = useNats();
    let directory: string;
    beforeAll(async () => {
      directory = await mkdtemp(join(tmpdir(), "spillway-workers-"));
    });
    afterAll(() => rm(directory, { recursive: true }));

    test("Two processes serve one port; one that is killed is replaced, and clients of the other don't notice", async () => {
      const config = { nats_url: nats.url, workers: 2 };
      const gateway = await startGateway(target, { config });
      await untilReady(gateway);
      const clients = await subscribeMany(gateway, CLIENTS);
      const before = await workersOf(gateway);
      expect(before.map(({ worker, state }) => [worker, state])).toEqual([
        [1, "serving"],
        [2, "serving"],
      ]);
      const pids = [gateway.pid, ...before.map(({ pid }) => pid)];
      expect(new Set(pids).size).toBe(3);
      nats.publish("any.thing", '{"n":1}');
      for (const client of clients) expect((await client.next()).payload).toEqual({ n: 1 });
      // Each process has a subscription at NATS.
      await untilMetric(gateway, "websocket_messages_sent_total", (sent) => sent === CLIENTS);
      expect(await metric(gateway, "websocket_messages_received_total")).toBe(2);
      expect(await metric(gateway, "websocket_clients_active")).toBe(CLIENTS);
      expect(await metric(gateway, "websocket_workers")).toBe(2);
      expect(await metric(gateway, "websocket_source_connected")).toBe(1);
      expect(await metric(gateway, "websocket_message_size_bytes_count")).toBe(2);
      const counters = [...(await metricsOf(gateway))].filter(([name]) => /_total\{/.test(name));

      kill(before[1]!.pid);
      const ends = await Promise.all(
        clients.map(async (client) => ({
          client,
          wasLost: await Promise.race([
            client.closed().then(() => true),
            gateway
              .waitForLog(({ properties }) => properties.event === "worker_replaced")
              .then(() => false),
          ]),
        })),
      );
      const [lost, kept] = [true, false].map((wasLost) =>
        ends.filter((end) => end.wasLost === wasLost).map(({ client }) => client),
      ) as [Subscriber[], Subscriber[]];
      expect(lost.length).toBeGreaterThan(0);
      expect(kept.length).toBeGreaterThan(0);
      const replaced = await workersOf(gateway);
      expect(replaced[0]).toEqual(before[0]!);
      expect(pids).not.toContain(replaced[1]!.pid);

      // The killed one's counts are still there.
      const after = await metricsOf(gateway);
      const lower = counters.filter(([name, value]) => (after.get(name) ?? 0) < value);
      expect(lower).toEqual([]);
      // Nobody has closed a connection but the process that was killed.
      const ended = [...after].filter(([name]) => name.includes("client_disconnections_total{"));
      expect(ended.reduce((sum, [, count]) => sum + count, 0)).toBe(lost.length);
      expect(await metric(gateway, "websocket_worker_restarts_total")).toBe(1);
      await untilReady(gateway);
      const again = await subscribeMany(gateway, lost.length);
      nats.publish("any.thing", '{"n":2}');
      for (const client of [...kept, ...again])
        expect((await client.next()).payload).toEqual({ n: 2 });
      const expected = CLIENTS * 2;
      await untilMetric(gateway, "websocket_messages_sent_total", (sent) => sent === expected);

      gateway.signal("SIGTERM");
      for (const client of kept) expect((await client.closed()).code).toBe(1001);
      expect(await within(gateway.exited, "end after SIGTERM")).toEqual(CLEAN);
      expect(replaced.filter(({ pid }) => runs(pid))).toEqual([]);
    });

    test("A process that gets SIGTERM serves until it is replaced, and then drains; nobody is refused meanwhile", async () => {
      const config = { workers: 2, drain_delay: "1s" };
      const gateway = await startGateway(target, { config });
      await untilReady(gateway);
      const clients = await subscribeManyV1(gateway, CLIENTS);
      const [, second] = await workersOf(gateway);
      // Deno's own sockets can't stop listening while their clients stay.
      const canCut = !kernelHandsOver() || target.name === "deno-native";
      let isOver = false;
      const refusals: number[] = [];
      let cut = 0;
      const knock = async (): Promise<void> => {
        while (!isOver) {
          const headers = { Connection: "close" };
          const asked = await fetch(`${gateway.url}/readyz`, { headers }).catch(() => undefined);
          const opened = await requestUpgrade(gateway.wsUrl).catch(() => undefined);
          opened?.socket.destroy();
          for (const answer of [asked, opened]) {
            if (answer === undefined) cut++;
            else if (answer.status !== 200 && answer.status !== 101) refusals.push(answer.status);
          }
        }
      };
      const knocking = knock();
      process.kill(second!.pid, "SIGTERM");
      const hasEnded = ({ properties }: LogLine) => properties.event === "worker_ended";
      const { level, properties } = await gateway.waitForLog(hasEnded);
      expect([level, properties.reason]).toEqual(["INFO", "exit code 0"]);
      isOver = true;
      await knocking;
      expect(refusals).toEqual([]);
      // At most one connection at a time was not accepted yet.
      expect(cut).toBeLessThanOrEqual(canCut ? 1 : 0);
      const events = gateway.logs.map(({ properties }) => String(properties.event));
      const ofWorkers = events.filter((event) => /^worker_(?:leaving|replaced|ended)$/.test(event));
      expect(ofWorkers).toEqual(["worker_leaving", "worker_replaced", "worker_ended"]);
      const gone = clients.filter((client) => client.notices("disconnect").length > 0);
      expect(gone.length).toBeGreaterThan(0);
      for (const client of gone) {
        expect((await client.closed()).code).toBe(1001);
        const [farewell] = client.notices("disconnect");
        expect(farewell).toMatchObject({ reconnect: true, retry_after_ms: expect.any(Number) });
      }
      const states = (await workersOf(gateway)).map(({ worker, state }) => [worker, state]);
      expect(states).toEqual([
        [1, "serving"],
        [2, "serving"],
      ]);
      gateway.signal("SIGTERM");
      for (const client of clients) expect((await client.closed()).code).toBe(1001);
      expect(await within(gateway.exited, "end after SIGTERM")).toEqual(CLEAN);
    });

    test("A process without clients that gets SIGTERM ends well, too", async () => {
      const gateway = await startGateway(target, { config: { workers: 2 } });
      await untilReady(gateway);
      const [first] = await workersOf(gateway);
      process.kill(first!.pid, "SIGTERM");
      const hasEnded = ({ properties }: LogLine) => properties.event === "worker_ended";
      const { properties } = await gateway.waitForLog(hasEnded);
      expect(properties.reason).toBe("exit code 0");
      expect(await gateway.stop()).toEqual(CLEAN);
    });

    test("What a process has counted when it ends is counted once, and nothing of it is missing", async () => {
      const gateway = await startGateway(target, { config: { workers: 2 } });
      await untilReady(gateway);
      const clients = await subscribeMany(gateway, CLIENTS);
      const before = await workersOf(gateway);
      const messages = 50;
      for (let n = 0; n < messages; n++) {
        const post = { method: "POST", body: `${n}` };
        expect((await fetch(`${gateway.url}/publish/any.thing`, post)).status).toBe(202);
      }
      for (const client of clients) {
        for (let n = 0; n < messages; n++) expect((await client.next()).payload).toBeNumber();
      }
      // Nobody asks for the metrics before they have ended.
      for (const { pid } of before) process.kill(pid, "SIGTERM");
      for (const client of clients) expect((await client.closed()).code).toBe(1001);
      const ends = () =>
        gateway.logs.filter(({ properties }) => properties.event === "worker_ended");
      await until(
        "end of both",
        async () => ends(),
        ({ length }) => length === 2,
      );
      expect(ends().map(({ properties }) => properties.reason)).toEqual([
        "exit code 0",
        "exit code 0",
      ]);
      const series = [...(await metricsOf(gateway))];
      const sum = (name: string, label = ""): number =>
        series
          .filter(([key]) => key.startsWith(`websocket_${name}{`) && key.includes(label))
          .reduce((total, [, value]) => total + value, 0);
      expect({
        published: sum("client_messages_published_total") + sum("messages_published_total"),
        received: sum("messages_received_total"),
        offered: sum("messages_offered_total"),
        sent: sum("messages_sent_total"),
        dropped: sum("messages_dropped_total"),
        connected: sum("clients_total"),
        closed: sum("client_disconnections_total"),
        goneAway: sum("client_disconnections_total", '"going_away"'),
        active: sum("clients_active"),
      }).toEqual({
        published: messages,
        received: 2 * messages,
        offered: messages * CLIENTS,
        sent: messages * CLIENTS,
        dropped: 0,
        connected: CLIENTS,
        closed: CLIENTS,
        goneAway: CLIENTS,
        active: 0,
      });
      expect(await gateway.stop()).toEqual(CLEAN);
    });

    test("A message that is posted to one process reaches the clients of both", async () => {
      const gateway = await startGateway(target, { config: { workers: 2 } });
      await untilReady(gateway);
      const clients = await subscribeMany(gateway, CLIENTS);
      const url = `${gateway.url}/publish/any.thing`;
      const headers = { "Content-Type": "application/json" };
      expect((await fetch(url, { method: "POST", body: '{"n":"ä"}', headers })).status).toBe(202);
      for (const client of clients) expect((await client.next()).payload).toEqual({ n: "ä" });
      expect(await gateway.stop()).toEqual(CLEAN);
    });

    test("What is posted faster than another process takes it has to wait, and what it misses is a gap", async () => {
      const config = {
        ...{ workers: 2, max_publishes_per_second: 1_000_000, max_frames_per_second: 10_000 },
        max_queue_bytes: "64MiB",
      };
      const gateway = await startGateway(target, { config });
      await untilReady(gateway);
      const open = () => openV1(gateway.wsUrl);
      const publishers = await Promise.all(Array.from({ length: CLIENTS }, open));
      const subscribers = await Promise.all(Array.from({ length: CLIENTS / 2 }, open));
      for (const client of subscribers) await client.subscribe("1", ["posts.>"]);
      const answersOf = (client: V1Client) => [
        ...client.notices("published"),
        ...client.notices("error"),
      ];
      const [, stopped] = await workersOf(gateway);
      process.kill(stopped!.pid, "SIGSTOP");
      try {
        for (const client of publishers) {
          client.send({ type: "publish", id: "first", subject: "posts.x", payload: 0 });
        }
        // It is one of the other process.
        const client = await Promise.race(
          publishers.map(async (one) => {
            await one.until(({ type }) => type === "published", "the first answer");
            return one;
          }),
        );
        const payload = "x".repeat(40_000);
        for (let n = 0; n < POSTS; n++) {
          client.send({ type: "publish", id: `${n}`, subject: "posts.x", payload });
        }
        await client.subscribe("after", ["others.>"]);
        // 1 MiB of the posts is under way, and one more may have been let in.
        expect(answersOf(client).length).toBeLessThan(POSTS / 2);
      } finally {
        process.kill(stopped!.pid, "SIGCONT");
      }
      const all = CLIENTS + POSTS;
      const answers = await until(
        "answers to all posts",
        async () => publishers.flatMap(answersOf),
        ({ length }) => length === all,
      );
      const published = answers.filter(({ type }) => type === "published").length;
      for (const { error } of answers)
        if (error !== undefined) expect(error).toMatchObject({ code: "timeout" });
      const missedSome = (client: V1Client): boolean => client.notices("gap").length > 0;
      for (const client of subscribers) {
        await until(
          "all posts, or a gap",
          async () => client.messages.length >= published || missedSome(client),
          Boolean,
        );
      }
      // On a busy machine, the other process may have stood still for too long. The publisher's own never misses any.
      const complete = subscribers.filter((one) => !missedSome(one));
      expect(complete.length).toBeGreaterThan(0);
      for (const client of complete) expect(client.messages).toHaveLength(published);
      expect(await metric(gateway, "websocket_client_messages_published_total")).toBe(published);
      const received = await metric(gateway, "websocket_messages_received_total");
      if (complete.length === subscribers.length) expect(received).toBe(2 * published);
      else expect(received).toBeWithin(published, 2 * published);
      expect(await gateway.stop()).toEqual(CLEAN);
    });

    test("While a process stands still, the others answer and publish, say what is missing, and its clients are told", async () => {
      const config = {
        ...{ workers: 2, max_publishes_per_second: 1_000_000, max_frames_per_second: 10_000 },
        ...{ max_queue_bytes: "64MiB", admin_port: 0 },
      };
      const gateway = await startGateway(target, { config });
      const operator = await asOperator(gateway);
      await untilReady(operator);
      const open = () => openV1(gateway.wsUrl);
      const clients = await Promise.all(Array.from({ length: CLIENTS }, open));
      for (const client of clients) await client.subscribe("1", ["posts.>"]);
      // Some of the connections are the other process', and hardly ever all.
      const anyAnswer = (path: string) =>
        Promise.any(Array.from({ length: 24 }, () => operator.get(path)));
      const [, still] = await workersOf(operator);
      process.kill(still!.pid, "SIGSTOP");
      try {
        const readiness = await anyAnswer("/readyz");
        expect(readiness.status).toBe(200);
        expect(await readiness.json()).toEqual({
          ready: true,
          reasons: ["worker 2: it doesn't answer"],
        });
        const { workers } = (await (await anyAnswer("/healthz")).json()) as Healthz;
        expect(workers.map(({ state }) => state)).toEqual(["serving", "silent"]);
        const metrics = await (await anyAnswer("/metrics")).text();
        expect(metrics).toMatch(/^websocket_workers_silent\{.*\} 1$/m);
        for (const client of clients) {
          client.send({ type: "publish", id: "first", subject: "posts.x", payload: 0 });
        }
        const publisher = await Promise.race(
          clients.map(async (client) => {
            await client.until(({ type }) => type === "published", "the first answer");
            return client;
          }),
        );
        // More than is kept for a process that is behind.
        const payload = "x".repeat(40_000);
        for (let n = 0; n < POSTS; n++) {
          publisher.send({ type: "publish", id: `${n}`, subject: "posts.x", payload });
          await publisher.until(({ id }) => id === `${n}`, "an answer");
        }
        expect(publisher.notices("error")).toEqual([]);
      } finally {
        process.kill(still!.pid, "SIGCONT");
      }
      const isTold = (client: V1Client): boolean => client.notices("gap").length > 0;
      await until(
        "a gap, or all messages, at each client",
        async () => {
          const post = { method: "POST", body: '"after"', headers: { Connection: "close" } };
          await fetch(`${gateway.url}/publish/posts.x`, post);
          return clients.filter((client) => !isTold(client) && client.messages.length <= POSTS);
        },
        (left) => left.length === 0,
      );
      const told = clients.filter(isTold);
      expect(told.length).toBeGreaterThan(0);
      for (const client of told) {
        expect(client.notices("gap")[0]).toMatchObject({ reason: "upstream" });
      }
      expect(await gateway.stop()).toEqual(CLEAN);
    });

    test("A cursor of another process leads to a gap that is declared, and to live messages", async () => {
      const gateway = await startGateway(target, { config: { nats_url: nats.url, workers: 2 } });
      await untilReady(gateway);
      const first = await openV1(gateway.wsUrl);
      await first.subscribe("1", ["cursor.>"]);
      nats.publish("cursor.x", '{"n":1}');
      const { id } = await first.next("data");
      first.raw.destroy();
      const outcomes = new Set<string>();
      for (let n = 0; n < CLIENTS && outcomes.size < 2; n++) {
        const client = await openV1(gateway.wsUrl);
        await client.subscribe("1", ["cursor.>"], { from: { after: id } });
        nats.publish("cursor.x", `{"n":"live ${n}"}`);
        await client.until(
          ({ payload }) => JSON.stringify(payload) === `{"n":"live ${n}"}`,
          "live",
        );
        const [gap] = client.notices("gap");
        outcomes.add(gap === undefined ? "resumed" : String(gap.reason));
        client.raw.destroy();
      }
      expect(outcomes).toEqual(new Set(["resumed", "stream_reset"]));
      expect(await gateway.stop()).toEqual(CLEAN);
    });

    test("max_clients is the sum of what all processes let in", async () => {
      const config = { workers: 2, max_clients: 4, admin_port: 0 };
      const gateway = await startGateway(target, { config });
      const operator = await asOperator(gateway);
      await untilReady(operator);
      let refused = 0;
      for (let n = 0; n < CLIENTS; n++) {
        await connect(gateway.wsUrl).catch(() => refused++);
      }
      expect(refused).toBe(CLIENTS - 4);
      await untilMetric(operator, "websocket_clients_active", (active) => active === 4);
      const readiness = await operator.get("/readyz");
      expect(readiness.status).toBe(503);
      expect(await readiness.json()).toEqual({
        ready: false,
        reasons: ["the maximum number of clients (max_clients) is connected"],
      });
      expect(await gateway.stop()).toEqual(CLEAN);
    });

    test("A revocation and a drain reach all processes, and a later one knows what was revoked", async () => {
      const tokens = join(directory, "tokens.json");
      const sha256 = createHash("sha256").update(TOKEN).digest("hex");
      const details = [{ type: "spillway", subjects: { allow: [">"] } }];
      await writeFile(
        tokens,
        JSON.stringify([{ sha256, sub: "alice", authorization_details: details }]),
      );
      const config = { workers: 2, admin_port: 0, tokens_file: tokens };
      const gateway = await startGateway(target, { config });
      const operator = await asOperator(gateway);
      await untilReady(operator);
      const open = () => openRaw(gateway.wsUrl, { headers: { Authorization: `Bearer ${TOKEN}` } });
      const clients = await Promise.all(Array.from({ length: CLIENTS }, open));
      await untilMetric(operator, "websocket_clients_active", (active) => active === CLIENTS);
      const { port } = (
        await gateway.waitForLog(({ properties }) => properties.event === "admin_listening")
      ).properties;
      const post = (path: string, body?: object) =>
        fetch(`http://127.0.0.1:${port}/admin/${path}`, {
          method: "POST",
          ...(body !== undefined && { body: JSON.stringify(body) }),
        });
      expect((await post("revoke", { sub: "alice" })).status).toBe(204);
      for (const client of clients) expect((await client.nextClose()).code).toBe(4401);
      const [, second] = await workersOf(operator);
      kill(second!.pid);
      await gateway.waitForLog(({ properties }) => properties.event === "worker_replaced");
      await untilReady(operator);
      for (let n = 0; n < CLIENTS; n++) await expect(open()).rejects.toThrow("401");
      expect((await post("drain")).status).toBe(202);
      expect(await within(gateway.exited, "end after the drain")).toEqual(CLEAN);
    });

    test("A process that ends at each start is tried again, and the others serve; if all end so, it says why", async () => {
      const gateway = await startGateway(target, { config: { workers: 2 } });
      await untilReady(gateway);
      const [survivor] = (await workersOf(gateway)).map(({ pid }) => pid);
      let spared = survivor;
      let exit: Awaited<Gateway["exited"]> | undefined;
      void gateway.exited.then((ended) => {
        exit = ended;
      });
      const killOthers = (): void =>
        childrenOf(gateway.pid)
          .filter((pid) => pid !== spared)
          .forEach(kill);
      const isFailing = (): boolean =>
        gateway.logs.some(({ properties }) => properties.worker === 2 && properties.failures === 6);
      while (!isFailing()) {
        killOthers();
        await Bun.sleep(20);
      }
      expect((await workersOf(gateway)).map(({ state }) => state)).toEqual(["serving", "failing"]);
      await untilReady(gateway);
      expect(await metric(gateway, "websocket_workers")).toBe(1);
      expect(await metric(gateway, "websocket_worker_restarts_total")).toBe(6);
      const clients = await subscribeMany(gateway, 2);
      expect((await fetch(`${gateway.url}/publish/a`, { method: "POST", body: "1" })).status).toBe(
        202,
      );
      for (const client of clients) expect((await client.next()).payload).toBe(1);

      spared = undefined;
      while (exit === undefined) {
        killOthers();
        await Bun.sleep(20);
      }
      expect(exit).toEqual({ code: 1, signal: null });
      expect(gateway.output).toContain(
        "Cannot keep any worker running: worker 1 ended 6 times soon after its start, with signal SIGKILL",
      );
    });

    test("If the supervisor is killed, the processes drain and end", async () => {
      const gateway = await startGateway(target, { config: { workers: 2 } });
      await untilReady(gateway);
      const clients = await subscribeMany(gateway, CLIENTS);
      const workers = await workersOf(gateway);
      gateway.signal("SIGKILL");
      for (const client of clients) expect((await client.closed()).code).toBe(1001);
      await until(
        "end of all",
        async () => workers.filter(({ pid }) => runs(pid)),
        (left) => left.length === 0,
      );
      await gateway.exited;
    });

    test("If the supervisor is killed while a process starts, it ends as well", async () => {
      const gateway = await startGateway(target, { config: { workers: 2 } });
      await untilReady(gateway);
      const first = childrenOf(gateway.pid);
      kill(first[1]!);
      const all = await until(
        "another process",
        async () => childrenOf(gateway.pid),
        (pids) => pids.some((pid) => !first.includes(pid)),
      );
      gateway.signal("SIGKILL");
      await until(
        "end of all",
        async () => all.filter(runs),
        (left) => left.length === 0,
      );
      await gateway.exited;
    });

    test("If the supervisor is killed before it has read what it was told, the processes end", async () => {
      const gateway = await startGateway(target, { config: { workers: 2 } });
      await untilReady(gateway);
      const workers = childrenOf(gateway.pid);
      gateway.signal("SIGSTOP");
      const body = "a message";
      await Promise.all(
        Array.from({ length: 8 }, () =>
          fetch(`${gateway.url}/publish/a`, { method: "POST", body }),
        ),
      );
      gateway.signal("SIGKILL");
      await until(
        "end of all",
        async () => workers.filter(runs),
        (left) => left.length === 0,
      );
      await gateway.exited;
    });

    test("A wrong configuration is said once, before a process is started", async () => {
      const args = ["--workers", "2", "--max-clients", "0"];
      const { code, stdout, stderr } = await runToExit(target, { args });
      expect(code).toBe(1);
      expect(stderr.match(/"max_clients" is 0/g)).toHaveLength(1);
      expect(stdout).toBe("");
      const wrong = await runToExit(target, { args: ["--workers", "many"] });
      expect(wrong.stderr).toContain(
        '"workers" is "many" but must be "auto" or an integer from 1 to 256',
      );
    });

    test("A port in use is said once, whether others or another gateway with workers have it", async () => {
      const taken = createServer().listen(0, "127.0.0.1");
      await new Promise((resolve) => taken.once("listening", resolve));
      const gateway = await startGateway(target, { config: { workers: 2 } });
      for (const port of [(taken.address() as { port: number }).port, gateway.port]) {
        const args = ["--workers", "2", "--port", `${port}`];
        const { code, stderr } = await runToExit(target, { args });
        expect(code).toBe(1);
        expect(stderr.match(/Cannot listen on 127\.0\.0\.1:\d+: the port is in use/g)).toHaveLength(
          1,
        );
      }
      taken.close();
      expect(await gateway.stop()).toEqual(CLEAN);
    });

    if (target.runtime === "deno") {
      test("Without --allow-run, it says that Deno needs it", async () => {
        const plain = target.name === "deno" ? TARGETS.deno : TARGETS["deno-native"];
        const { code, stderr } = await runToExit(plain, { args: ["--workers", "2"] });
        expect(code).toBe(1);
        expect(stderr).toContain(
          '"workers" is 2 but must be 1 as Deno may not start programs: run it with --allow-run; an executable by Deno can\'t',
        );
      });
    }
  });
});
