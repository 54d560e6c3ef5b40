import { describe, expect, spyOn, test } from "bun:test";
import { Grant } from "../../src/core/access/grant.ts";
import { AudienceRegistry } from "../../src/core/fanout/audience-registry.ts";
import { Ledger } from "../../src/core/metering/ledger.ts";
import { DenyList } from "../../src/core/subject/deny-list.ts";
import { type Dialect, PLAIN, V1 } from "../../src/core/wire/dialect.ts";
import { createNodeRuntime } from "../../src/runtime/node.ts";
import { FrameBuilder } from "../../src/runtime/websocket-frame-bytes.ts";
import type { FakeSocket, ReceivedFrame } from "./support/fake-sockets.ts";
import { Harness, stateOf, type TestClient } from "./support/harness.ts";
import { messageOf } from "./support/messages.ts";

const CLIENTS = 1000;

/** Sums up what the sockets of some clients count from now on. */
function since(
  clients: readonly TestClient[],
  count: (socket: FakeSocket) => number,
): () => number {
  const sum = () => clients.reduce((total, { socket }) => total + count(socket), 0);
  const before = sum();
  return () => sum() - before;
}

/** How many different lists of frames some clients were given last, if each was given so many. */
function differentLists(clients: readonly TestClient[], each: number): number {
  return new Set(clients.flatMap(({ socket }) => socket.lists.slice(-each))).size;
}

function crowd(harness: Harness, dialect: Dialect = PLAIN): TestClient[] {
  const request = { id: "", subjects: "everything" } as const;
  return Array.from({ length: CLIENTS }, () => harness.joinWith(request, dialect));
}

/** The plain dialect, which counts how often messages are packed. */
function countingDialect(): Dialect & { packed: number } {
  return {
    ...PLAIN,
    packed: 0,
    pack(envelopes) {
      this.packed++;
      return PLAIN.pack(envelopes);
    },
  };
}

describe("A thousand clients of one audience", () => {
  test("cost one encoding per message, one write per flush, and nothing each", () => {
    const harness = new Harness({
      highWaterBytes: 1_000_000,
      ringMessages: 100,
      ringBytes: 100_000,
    });
    const dialect = countingDialect();
    const clients = crowd(harness, dialect);
    harness.clock.advance(10);
    const calls = since(clients, (socket) => socket.calls);
    const encodedBefore = harness.encoder.encoded;
    const looksBefore = harness.encoder.looks;
    const writesBefore = harness.fanout.writes;
    for (let flush = 0; flush < 10; flush++) {
      for (let n = 0; n < 20; n++) harness.publish(n);
      harness.clock.advance(1);
    }
    expect(harness.encoder.encoded - encodedBefore).toBe(200);
    expect(harness.encoder.looks).toBe(looksBefore);
    expect(dialect.packed).toBe(10);
    expect(harness.fanout.writes - writesBefore).toBe(10);
    // The ten writes that each socket got are the fanout's own, each of the same list of frames.
    expect(calls()).toBe(10 * CLIENTS);
    expect(differentLists(clients, 10)).toBe(10);
    expect(harness.meter.ledger.sent).toBe(200 * CLIENTS);
    harness.expectBalance();
  });

  test("who acknowledge cost one write each and one encoding and frame for all, per flush", () => {
    const harness = new Harness({
      highWaterBytes: 1_000_000,
      deliveryMode: "at-least-once",
      maxInflightMessages: 1000,
      maxInflightBytes: 1_000_000,
    });
    const dialect = countingDialect();
    const clients = crowd(harness, dialect);
    harness.clock.advance(10);
    const writes = since(clients, (socket) => socket.writes);
    const looksBefore = harness.encoder.looks;
    const encodedBefore = harness.encoder.encoded;
    const timersBefore = harness.clock.timers;
    for (let flush = 0; flush < 10; flush++) {
      for (let n = 0; n < 20; n++) harness.publish(n);
      harness.clock.advance(1);
    }
    expect(harness.encoder.encoded - encodedBefore).toBe(200);
    expect(harness.encoder.looks).toBe(looksBefore);
    expect(dialect.packed).toBe(10);
    // All are given the same ten lists, of which a runtime makes its frames once.
    expect(writes()).toBe(10 * CLIENTS);
    expect(differentLists(clients, 10)).toBe(10);
    // One timer for all deadlines, where there was none.
    expect(harness.clock.timers).toBe(timersBefore + 1);
    expect(harness.meter.ledger).toMatchObject({ sent: 200 * CLIENTS, inFlight: 200 * CLIENTS });
    const { id } = clients[0]!.socket.envelopes.at(-1)!;
    const parse = spyOn(JSON, "parse");
    for (const { send } of clients) send(`{"type":"ack","id":"${id}"}`);
    expect(parse).not.toHaveBeenCalled();
    parse.mockRestore();
    expect(harness.meter.ledger.inFlight).toBe(199 * CLIENTS);
    harness.expectBalance();
  });

  test("are looked at once for each high-water mark of bytes that was written, and on the clock", () => {
    const harness = new Harness({ highWaterBytes: 1_000_000 });
    const clients = crowd(harness);
    harness.clock.advance(1);
    const looks = since(clients, (socket) => socket.looks);
    const length = 100_000 - messageOf(1, "a", 100_000).byteLength + 100_000;
    // In 25 flushes of 100 kB each, two marks are passed.
    for (let flush = 0; flush < 25; flush++) {
      harness.publish("x".repeat(length));
      harness.clock.advance(1);
    }
    // Each look asks twice: how much is buffered, and for how long that has not moved.
    expect(looks()).toBe(2 * 2 * CLIENTS);
    harness.clock.advance(1000);
    expect(looks()).toBe(2 * (2 + 4) * CLIENTS);
  });

  test("are not touched by one that lags", () => {
    const harness = new Harness({ maxClients: CLIENTS + 1 });
    const clients = crowd(harness);
    const laggard = harness.join();
    laggard.socket.reads = false;
    harness.publish("x".repeat(1100));
    harness.clock.advance(300);
    expect(stateOf(laggard.session)).toBe("queued");
    const calls = since(clients, (socket) => socket.calls);
    const { queued } = harness.meter.ledger;
    for (let n = 0; n < 5; n++) harness.publish(n);
    harness.broadcaster.flush();
    expect(harness.meter.ledger.queued - queued).toBe(5);
    // The write of the flush.
    expect(calls()).toBe(CLIENTS);
  });

  test("of the v1 dialect get a flush as one frame, which is made once", () => {
    const harness = new Harness({ highWaterBytes: 1_000_000 });
    const clients = Array.from({ length: CLIENTS }, () => {
      const peer = harness.joinV1();
      peer.send({ type: "subscribe", id: "1", subjects: ["a"] });
      return peer;
    });
    for (let n = 0; n < 20; n++) harness.publish(n);
    harness.broadcaster.flush();
    expect(differentLists(clients, 1)).toBe(1);
    const frames = new Set(clients.map(({ socket }) => socket.textFrames.at(-1)));
    expect(frames.size).toBe(1);
    const texts = [...frames][0]!.text.split("\n");
    expect(texts.map((text) => (JSON.parse(text) as ReceivedFrame).payload)).toEqual(
      Array.from({ length: 20 }, (_, n) => n),
    );
  });
});

describe("A thousand clients with the same denied subjects", () => {
  const denied = ["a.internal.>", "*.secret"];
  const options = { subjects: [">"], highWaterBytes: 1_000_000, maxClients: 3 * CLIENTS };

  /** Each client has a grant of its own, as if each had a token of its own. */
  function join(harness: Harness, deny: readonly string[], subjects?: string[]): TestClient {
    const { terms } = harness.grant;
    const grant = new Grant(options.subjects, {
      ...terms,
      receives: { allow: "everything", deny },
    });
    const request = { id: "", subjects: subjects ?? ("everything" as const) };
    return harness.joinWith(request, PLAIN, false, undefined, grant);
  }

  test("are one audience, whose messages cost no more, and a denied one costs nothing", () => {
    const harness = new Harness(options);
    const clients = Array.from({ length: CLIENTS }, (_, n) =>
      join(harness, n % 2 === 0 ? denied : denied.toReversed()),
    );
    harness.clock.advance(10);
    expect(new Set(clients.map(({ session }) => session.audience)).size).toBe(1);
    const calls = since(clients, (socket) => socket.calls);
    const writesBefore = harness.fanout.writes;
    for (let flush = 0; flush < 10; flush++) {
      for (let n = 0; n < 10; n++) {
        harness.publish(n, "a.public");
        harness.publish("no", n % 2 === 0 ? `a.internal.${n}` : "b.secret");
      }
      harness.clock.advance(1);
    }
    expect(harness.encoder.encoded).toBe(100);
    expect(harness.fanout.writes - writesBefore).toBe(10);
    expect(calls()).toBe(10 * CLIENTS);
    expect(differentLists(clients, 10)).toBe(10);
    expect(harness.meter.ledger.offered).toBe(100 * CLIENTS);
    expect(clients[0]!.socket.payloads).not.toContain("no");
    harness.broadcaster.flush();
    for (let n = 0; n < 10; n++) harness.publish("no", "x.secret");
    harness.clock.advance(10);
    expect(harness.encoder.encoded).toBe(100);
    expect(harness.fanout.writes - writesBefore).toBe(10);
    harness.expectBalance();
  });

  test("share their list with other audiences, so that a message is looked up once for all", () => {
    const harness = new Harness(options);
    const audiences = Array.from(
      { length: 10 },
      (_, n) => join(harness, denied, [`a.${n}`, ">"]).session.audience,
    );
    expect(new Set(audiences).size).toBe(10);
    expect(new Set(audiences.map(({ key }) => key.denied)).size).toBe(1);
    const other = join(harness, ["b.secret"]).session.audience;
    expect(audiences[0]!.key.denied).not.toBe(other.key.denied);
  });
});

test("A thousand slowed-down clients are not looked at each time that one that lags is", () => {
  const harness = new Harness({ policy: "drop-oldest", maxClients: 2 * CLIENTS });
  const slowedDown = Array.from({ length: CLIENTS }, (_, n) =>
    harness.joinWith({ id: "", subjects: [`s.${n}`], maxRate: 1 }),
  );
  const lagging = harness.join(["a"]);
  lagging.socket.reads = false;
  harness.publish("x".repeat(2000));
  harness.clock.advance(300);
  harness.publish("waits");
  expect(stateOf(lagging.session)).toBe("queued");
  const looks = since([lagging], (socket) => socket.looks);
  const others = since(slowedDown, (socket) => socket.looks);
  harness.clock.advance(1000);
  expect(looks()).toBeGreaterThan(80);
  // All are looked at four times a second.
  expect(others()).toBeLessThan(10 * CLIENTS);
});

describe("Ten thousand audiences of one subject each", () => {
  const AUDIENCES = 10_000;

  test("are left alone by a message for one of them, and by its flush", () => {
    const harness = new Harness({ maxClients: AUDIENCES, highWaterBytes: 1_000_000 });
    const clients = Array.from({ length: AUDIENCES }, (_, n) => harness.join([`s.${n}`]));
    const calls = since(clients, (socket) => socket.calls);
    const writesBefore = harness.fanout.writes;
    for (const n of [7, 9, 7]) harness.publish(n, `s.${n}`);
    harness.publish("nobody", "s");
    harness.broadcaster.flush();
    expect(harness.encoder.encoded).toBe(3);
    expect(harness.fanout.writes - writesBefore).toBe(2);
    expect(calls()).toBe(2);
    expect(clients[7]!.socket.payloads).toEqual([7, 7]);
    expect(clients[9]!.socket.payloads).toEqual([9]);
    expect(harness.meter.ledger.sent).toBe(3);
    harness.broadcaster.flush();
    expect(harness.fanout.writes - writesBefore).toBe(2);
    expect(calls()).toBe(2);
  });

  test("are found by their subject among those with wildcards, each once", () => {
    const harness = new Harness();
    const book = new AudienceRegistry(
      { websocket: harness.fanout, events: harness.fanout },
      {
        options: { markBytes: 1000, markIntervalMs: 1000, maxLagMs: 2000 },
        clock: harness.clock,
        ledger: new Ledger(),
      },
    );
    const of = (...subjects: string[]) =>
      book.of({
        ...{ dialect: V1, compresses: false, acked: false, lists: [subjects] },
        denied: DenyList.NOTHING,
      });
    for (let n = 0; n < AUDIENCES; n++) of(`s.${n}.x`);
    for (let n = 0; n < 1000; n++) of(`w.${n}.>`, `w.*.${n}`);
    const visited: string[] = [];
    book.match("s.77.x", ({ topic }) => void visited.push(topic));
    expect(visited).toEqual(["v1 s.77.x"]);
    visited.length = 0;
    book.match("w.5.6", ({ topic }) => void visited.push(topic));
    expect(new Set(visited)).toEqual(new Set(["v1 w.*.5 w.5.>", "v1 w.*.6 w.6.>"]));
    expect(visited).toHaveLength(2);
  });
});

describe("Node's sockets", () => {
  const limits = {
    maxConnections: 1000,
    requestTimeoutMs: 1000,
    maxFrameBytes: 1024,
    maxBodyBytes: 1024,
    readTimeoutMs: 1000,
    compression: false,
    compressionThresholdBytes: 0,
  };

  test("are given one buffer for the same list of frames, however many they are", () => {
    const builder = new FrameBuilder(0);
    const frames = [messageOf(1), messageOf(2)];
    const built = builder.build(frames, false);
    expect(builder.build(frames, false)).toBe(built);
    expect(builder.build([...frames], false)).not.toBe(built);
    expect(builder.build(frames, true)).not.toEqual(built);
  });

  test("grow by the frames of a flush and their heads, also when nobody listens", () => {
    const { sockets } = createNodeRuntime(limits);
    const frames = [messageOf(1), messageOf(2)];
    const { grownBytes } = sockets.write("nobody's topic", frames, false);
    expect(grownBytes).toBe(frames[0]!.byteLength + frames[1]!.byteLength + 4);
  });
});
