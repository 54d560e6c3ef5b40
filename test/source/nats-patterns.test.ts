/** What a NatsSource is subscribed to changes while it is at work. */
import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test";
import { type AddressInfo, createConnection, createServer, type Socket } from "node:net";
import { connect, type NatsConnection } from "nats";
import { NatsSource } from "../../src/source/nats.ts";
import { type NatsServer, startNatsServer } from "../support/nats-server.ts";
import { Recorder } from "./recorder.ts";

const decoder = new TextDecoder();

let server: NatsServer;
let publisher: NatsConnection;
const sources: NatsSource[] = [];

beforeAll(async () => {
  server = await startNatsServer();
  publisher = await connect({ servers: server.url });
});
afterEach(async () => {
  await Promise.all(sources.splice(0).map((source) => source.stop(5_000)));
});
afterAll(async () => {
  await publisher.close();
  await server.stop();
});

/** A connected source that is stopped after the test, with what it says. */
async function started(url = server.url): Promise<{ source: NatsSource; recorder: Recorder }> {
  const recorder = new Recorder();
  const source = new NatsSource({
    log: recorder.log,
    nats: { options: { servers: [url], name: "test" } },
  });
  sources.push(source);
  source.start(recorder);
  await recorder.until("connected");
  return { source, recorder };
}

describe("NatsSource", () => {
  test("is connected with nothing subscribed, and delivers nothing", async () => {
    const { source, recorder } = await started();
    publisher.publish("nobody.wants");
    await publisher.flush();
    source.subscribe("end");
    await recorder.arrivals.next();
    publisher.publish("end");
    await recorder.messages.next();
    expect(recorder.subjects).toEqual(["end"]);
    expect(recorder.states).toEqual(["connecting", "connected"]);
  });

  test("refuses a pattern that NATS would refuse", async () => {
    const { source } = await started();
    expect(() => source.subscribe("a.>.b")).toThrow(
      'Cannot subscribe to "a.>.b" as a subject may have ">" only as its last token',
    );
  });

  test("says that a pattern arrives from when on it does", async () => {
    const { source, recorder } = await started();
    for (let round = 0; round < 100; round++) {
      const pattern = round % 2 === 0 ? `soon.${round}` : `soon.${round}.*`;
      source.subscribe(pattern);
      source.subscribe(pattern);
      expect(await recorder.arrivals.next()).toBe(pattern);
      publisher.publish(pattern.replace("*", "x"));
      await recorder.messages.next();
    }
    expect(recorder.arrivals.entries.length).toBe(100);
  });

  test("says nothing of a pattern that is unsubscribed before NATS confirms it", async () => {
    const { source, recorder } = await started();
    source.subscribe("brief");
    source.subscribe("lasting");
    source.unsubscribe("brief");
    source.unsubscribe("never");
    expect(await recorder.arrivals.next()).toBe("lasting");
    publisher.publish("brief");
    publisher.publish("lasting");
    await recorder.messages.next();
    expect(recorder.subjects).toEqual(["lasting"]);
    expect(recorder.arrivals.entries).toEqual(["lasting"]);
  });

  test("delivers nothing more that only an unsubscribed pattern matches, not even what is under way", async () => {
    const { source, recorder } = await started();
    for (const pattern of ["gone.*", "gone", "*.kept"]) source.subscribe(pattern);
    await recorder.arrivals.take(3);
    for (const subject of ["gone", "gone.x", "gone.kept"]) publisher.publish(subject);
    await publisher.flush();
    const before = recorder.messages.entries.length;
    source.unsubscribe("gone.*");
    source.unsubscribe("gone");
    for (const subject of ["gone", "gone.x", "gone.kept"]) publisher.publish(subject);
    publisher.publish("end.kept");
    await recorder.messages.find(({ subject }) => subject === "end.kept");
    expect(recorder.subjects.slice(before).filter((subject) => !subject.endsWith(".kept"))).toEqual(
      [],
    );
    expect(recorder.subjects.filter((subject) => subject === "gone.kept").length).toBe(2);
  });

  test("subscribes again at once to what it has just unsubscribed from", async () => {
    const { source, recorder } = await started();
    source.subscribe("back.*");
    await recorder.arrivals.next();
    source.unsubscribe("back.*");
    source.subscribe("back.*");
    expect(await recorder.arrivals.next()).toBe("back.*");
    publisher.publish("back.again");
    expect((await recorder.messages.next()).subject).toBe("back.again");
  });

  test("carries NATS' own subjects only as long as a pattern that names them is there", async () => {
    const { source, recorder } = await started();
    source.subscribe(">");
    source.subscribe("$KV.*");
    await recorder.arrivals.take(2);
    for (let number = 0; number < 50; number++) publisher.publish("$KV.x");
    await recorder.messages.take(50);
    source.unsubscribe("$KV.*");
    publisher.publish("$KV.x");
    publisher.publish("end");
    expect((await recorder.messages.next()).subject).toBe("end");
  });

  test("carries 5,000 subjects and patterns that overlap with them, each message once", async () => {
    const { source, recorder } = await started();
    const subjects = Array.from({ length: 5_000 }, (_, index) => `many.${index}.end`);
    for (const subject of subjects) source.subscribe(subject);
    for (const pattern of ["many.>", "*.*.end", "many.7.*"]) source.subscribe(pattern);
    await recorder.arrivals.take(5_003);
    for (const subject of subjects) publisher.publish(subject);
    await recorder.messages.take(5_000);
    expect(recorder.subjects).toEqual(subjects);

    for (const pattern of ["many.>", "*.*.end"]) source.unsubscribe(pattern);
    for (const subject of subjects.slice(1)) source.unsubscribe(subject);
    for (const subject of subjects) publisher.publish(subject);
    source.subscribe("end");
    await recorder.arrivals.next();
    publisher.publish("end");
    await recorder.messages.find(({ subject }) => subject === "end");
    expect(recorder.subjects.slice(5_000).filter((subject) => subject.startsWith("many"))).toEqual([
      "many.0.end",
      "many.7.end",
    ]);
  });
});

for (const transport of ["nats", "ws"] as const) {
  describe(`NatsSource over ${transport}://`, () => {
    test("delivers each message once for a pattern that stays, in order, while others come and go", async () => {
      const { source, recorder } = await started(transport === "nats" ? server.url : server.wsUrl);
      await churn(source, recorder, [publisher]);
    });

    test("subscribes and unsubscribes while it is cut off, and says again what arrives", async () => {
      const own = await startNatsServer();
      const { source, recorder } = await started(transport === "nats" ? own.url : own.wsUrl);
      for (const pattern of ["stays", "goes", "over.*"]) source.subscribe(pattern);
      expect(await recorder.arrivals.take(3)).toEqual(["stays", "goes", "over.*"]);
      await own.stop();
      await recorder.until("connecting");
      source.unsubscribe("goes");
      source.subscribe("comes");
      source.subscribe("brief");
      source.unsubscribe("brief");
      await own.restart();
      expect(await recorder.arrivals.take(3)).toEqual(["stays", "over.*", "comes"]);
      await recorder.until("connected");
      const other = await connect({ servers: own.url });
      for (const subject of ["goes", "brief", "stays", "over.x", "comes"]) other.publish(subject);
      await recorder.messages.take(3);
      expect(recorder.subjects).toEqual(["stays", "over.x", "comes"]);
      expect(recorder.arrivals.entries.length).toBe(6);
      await other.close();
      await own.stop();
    });
  });
}

test("NatsSource delivers each message once through a cluster, whatever comes and goes", async () => {
  const port = await freePort();
  const cluster = (port: number, routes: string) => ({
    config: `cluster { name: test, host: "127.0.0.1", port: ${port}, routes: [${routes}] }`,
  });
  const one = await startNatsServer(cluster(port, ""));
  const other = await startNatsServer(cluster(-1, `"nats://127.0.0.1:${port}"`));
  const publishers = await Promise.all(
    [one, other].map((server) => connect({ servers: server.url, ignoreClusterUpdates: true })),
  );
  const { source, recorder } = await started(one.url);
  await churn(source, recorder, publishers);
  await Promise.all(publishers.map((publisher) => publisher.close()));
  await Promise.all([one.stop(), other.stop()]);
});

test("NatsSource loses nothing to its old connection that NATS still believes in", async () => {
  const way = await startWay(server.port);
  const { source, recorder } = await started(way.url);
  source.subscribe("half.*");
  source.subscribe("*.open");
  await recorder.arrivals.take(2);
  way.cut();
  await recorder.until("connecting");
  await recorder.until("connected");
  await recorder.arrivals.take(2);
  for (let number = 0; number < 100; number++) publisher.publish("half.open", `${number}`);
  const received = await recorder.messages.take(100);
  expect(received.map(({ data }) => decoder.decode(data))).toEqual(
    Array.from({ length: 100 }, (_, number) => `${number}`),
  );
  await source.stop(1_000);
  way.close();
});

/**
 * Publishes numbered messages while patterns that match them, too, come and go beside one that
 * stays, and expects each of them once, and each publisher's in order.
 */
async function churn(
  source: NatsSource,
  recorder: Recorder,
  publishers: readonly NatsConnection[],
): Promise<void> {
  const rounds = 400;
  const perRound = 50;
  const others = ["churn.>", "churn.*.x", "*.1.*", "churn.1.x", "churn.2.x", ">"];
  source.subscribe("*.*.x");
  expect(await recorder.arrivals.next()).toBe("*.*.x");
  for (const [index, publisher] of publishers.entries()) {
    // A server of a cluster learns a moment later what is subscribed to at another one.
    const knocking = setInterval(() => publisher.publish(`known.${index}.x`), 10);
    await recorder.messages.find(({ subject }) => subject === `known.${index}.x`);
    clearInterval(knocking);
  }
  const there = new Set<string>();
  let number = 0;
  for (let round = 0; round < rounds; round++) {
    for (let step = 0; step < perRound; step++, number++) {
      for (const [index, publisher] of publishers.entries()) {
        publisher.publish(`churn.${number % 3}.x`, `${index} ${number}`);
      }
    }
    const pattern = others[(round * 7) % others.length]!;
    if (there.delete(pattern)) {
      source.unsubscribe(pattern);
    } else {
      there.add(pattern);
      source.subscribe(pattern);
    }
    // Some changes come alone, some in the middle of what is under way.
    if (round % 3 !== 0) await publishers[round % publishers.length]!.flush();
  }
  for (const [index, publisher] of publishers.entries()) publisher.publish(`end.${index}.x`);
  for (const index of publishers.keys()) {
    await recorder.messages.find(({ subject }) => subject === `end.${index}.x`);
  }
  const expected = Array.from({ length: number }, (_, number) => number);
  for (const index of publishers.keys()) {
    const numbers = recorder.messages.entries
      .filter(({ subject }) => subject.startsWith("churn."))
      .map(({ data }) => decoder.decode(data).split(" ").map(Number))
      .filter(([from]) => from === index)
      .map(([, number]) => number);
    expect(numbers).toEqual(expected);
  }
}

async function freePort(): Promise<number> {
  const { promise, resolve } = Promise.withResolvers<number>();
  const server = createServer().listen(0, "127.0.0.1", () => {
    const { port } = server.address() as AddressInfo;
    server.close(() => resolve(port));
  });
  return await promise;
}

/** A way to a server whose near end can be cut while the server believes that we are still there. */
async function startWay(port: number): Promise<{ url: string; cut(): void; close(): void }> {
  const near = new Set<Socket>();
  const far = new Set<Socket>();
  const way = createServer((client) => {
    const through = createConnection(port, "127.0.0.1");
    near.add(client);
    far.add(through);
    client.on("data", (data) => through.write(data));
    through.on("data", (data) => {
      if (!client.destroyed) client.write(data);
    });
    client.on("error", () => {});
  });
  const listening = Promise.withResolvers<void>();
  way.listen(0, "127.0.0.1", listening.resolve);
  await listening.promise;
  return {
    url: `nats://127.0.0.1:${(way.address() as AddressInfo).port}`,
    cut() {
      for (const socket of near) socket.destroy();
      near.clear();
    },
    close() {
      way.close();
      for (const socket of [...near, ...far]) socket.destroy();
    },
  };
}
