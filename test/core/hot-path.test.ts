import { describe, expect, spyOn, test } from "bun:test";
import { Audience } from "../../src/core/fanout/audience.ts";
import { AudienceRegistry } from "../../src/core/fanout/audience-registry.ts";
import { Ledger } from "../../src/core/metering/ledger.ts";
import { Flow } from "../../src/core/sessions/flow.ts";
import { Session } from "../../src/core/sessions/session.ts";
import { V1 } from "../../src/core/wire/dialect.ts";
import { FrameBuilder } from "../../src/runtime/frame.ts";
import { createNodeRuntime } from "../../src/runtime/node.ts";
import type { FakeSocket, ReceivedFrame } from "./support/fake-sockets.ts";
import { Harness, type TestClient } from "./support/harness.ts";
import { messageOf } from "./support/messages.ts";

const CLIENTS = 1000;

/** Counts the calls of a socket that the core makes; what the fanout does by itself is not among them. */
function countCalls(socket: FakeSocket): () => number {
  const methods = ["bufferedBytes", "join", "leave", "close", "terminate"] as const;
  const spies = methods.map((method) => spyOn(socket, method));
  const before = socket.writes;
  return () =>
    spies.reduce((sum, spy) => sum + spy.mock.calls.length, 0) + (socket.writes - before);
}

function crowd(harness: Harness): TestClient[] {
  return Array.from({ length: CLIENTS }, () => harness.join());
}

describe("A thousand clients of one audience", () => {
  test("cost one encoding per message, one write per flush, and nothing each", () => {
    const harness = new Harness({
      highWaterBytes: 1_000_000,
      ringMessages: 100,
      ringBytes: 100_000,
    });
    const clients = crowd(harness);
    harness.clock.advance(10);
    const encode = spyOn(harness.encoder, "encode");
    const perClient = [
      spyOn(Session.prototype, "enqueue"),
      spyOn(Session.prototype, "feed"),
      spyOn(Session.prototype, "checkLag"),
      spyOn(Session.prototype, "tell"),
    ];
    const pack = spyOn(clients[0]!.client.dialect, "pack");
    const calls = clients.map(({ socket }) => countCalls(socket));
    const writesBefore = harness.fanout.writes;
    for (let flush = 0; flush < 10; flush++) {
      for (let n = 0; n < 20; n++) harness.publish(n);
      harness.clock.advance(1);
    }
    expect(encode).toHaveBeenCalledTimes(200);
    expect(pack).toHaveBeenCalledTimes(10);
    expect(harness.fanout.writes - writesBefore).toBe(10);
    // The ten writes that each socket got are the fanout's own.
    expect(calls.reduce((sum, count) => sum + count(), 0)).toBe(10 * CLIENTS);
    for (const spy of perClient) expect(spy).not.toHaveBeenCalled();
    expect(harness.meter.ledger.sent).toBe(200 * CLIENTS);
    for (const spy of [...perClient, pack]) spy.mockRestore();
    harness.expectBalance();
  });

  test("who acknowledge cost one write each and one encoding and frame for all, per flush", () => {
    const harness = new Harness({
      highWaterBytes: 1_000_000,
      deliveryMode: "at-least-once",
      maxInflightMessages: 1000,
      maxInflightBytes: 1_000_000,
    });
    const clients = crowd(harness);
    harness.clock.advance(10);
    const encode = spyOn(harness.encoder, "encode");
    const pack = spyOn(clients[0]!.client.dialect, "pack");
    const lists = clients.map(({ socket }) => spyOn(socket, "write"));
    const timersBefore = harness.clock.timers;
    for (let flush = 0; flush < 10; flush++) {
      for (let n = 0; n < 20; n++) harness.publish(n);
      harness.clock.advance(1);
    }
    expect(encode).toHaveBeenCalledTimes(200);
    expect(pack).toHaveBeenCalledTimes(10);
    // All are given the same ten lists, of which a runtime makes its frames once.
    for (const list of lists) expect(list).toHaveBeenCalledTimes(10);
    expect(new Set(lists.flatMap(({ mock }) => mock.calls.map(([frames]) => frames))).size).toBe(
      10,
    );
    // One timer for all deadlines, where there was none.
    expect(harness.clock.timers).toBe(timersBefore + 1);
    expect(harness.meter.ledger).toMatchObject({ sent: 200 * CLIENTS, inFlight: 200 * CLIENTS });
    const { id } = clients[0]!.socket.envelopes.at(-1)!;
    const parse = spyOn(JSON, "parse");
    for (const { send } of clients) send(`{"type":"ack","id":"${id}"}`);
    expect(parse).not.toHaveBeenCalled();
    parse.mockRestore();
    expect(harness.meter.ledger.inFlight).toBe(199 * CLIENTS);
    pack.mockRestore();
    harness.expectBalance();
  });

  test("are looked at once for each high-water mark of bytes that was written, and on the clock", () => {
    const harness = new Harness({ highWaterBytes: 1_000_000 });
    const clients = crowd(harness);
    harness.clock.advance(1);
    const checkLag = spyOn(Session.prototype, "checkLag");
    const buffered = clients.map(({ socket }) => spyOn(socket, "bufferedBytes"));
    const looks = () => buffered.reduce((sum, spy) => sum + spy.mock.calls.length, 0);
    const length = 100_000 - messageOf(1, "a", 100_000).byteLength + 100_000;
    // In 25 flushes of 100 kB each, two marks are passed.
    for (let flush = 0; flush < 25; flush++) {
      harness.publish("x".repeat(length));
      harness.clock.advance(1);
    }
    expect(checkLag).toHaveBeenCalledTimes(2 * CLIENTS);
    // Each look reads what is buffered, and for how long it has not moved.
    expect(looks()).toBe(2 * 2 * CLIENTS);
    harness.clock.advance(1000);
    expect(checkLag).toHaveBeenCalledTimes((2 + 4) * CLIENTS);
    checkLag.mockRestore();
  });

  test("are not touched by one that lags", () => {
    const harness = new Harness({ maxClients: CLIENTS + 1 });
    const clients = crowd(harness);
    const laggard = harness.join();
    laggard.socket.reads = false;
    harness.publish("x".repeat(1100));
    harness.clock.advance(300);
    expect(laggard.client.state).toBe("queued");
    const enqueue = spyOn(Session.prototype, "enqueue");
    const calls = clients.map(({ socket }) => countCalls(socket));
    for (let n = 0; n < 5; n++) harness.publish(n);
    harness.broadcaster.flush();
    expect(enqueue).toHaveBeenCalledTimes(5);
    expect(calls.every((count) => count() === 1)).toBe(true);
    enqueue.mockRestore();
  });

  test("of the v1 dialect get a flush as one frame, which is made once", () => {
    const harness = new Harness({ highWaterBytes: 1_000_000 });
    const clients = Array.from({ length: CLIENTS }, () => {
      const peer = harness.joinV1();
      peer.send({ type: "subscribe", id: "1", subjects: ["a"] });
      return peer;
    });
    const pack = spyOn(V1, "pack");
    for (let n = 0; n < 20; n++) harness.publish(n);
    harness.broadcaster.flush();
    expect(pack).toHaveBeenCalledTimes(1);
    const frames = new Set(clients.map(({ socket }) => socket.textFrames.at(-1)));
    expect(frames.size).toBe(1);
    const texts = [...frames][0]!.text.split("\n");
    expect(texts.map((text) => (JSON.parse(text) as ReceivedFrame).payload)).toEqual(
      Array.from({ length: 20 }, (_, n) => n),
    );
    pack.mockRestore();
  });
});

test("A thousand slowed-down clients are not looked at each time that one that lags is", () => {
  const harness = new Harness({ policy: "drop-oldest", maxClients: 2 * CLIENTS });
  for (let n = 0; n < CLIENTS; n++) {
    harness.joinWith({ id: "", subjects: [`s.${n}`], maxRate: 1 });
  }
  const lagging = harness.join(["a"]);
  lagging.socket.reads = false;
  harness.publish("x".repeat(2000));
  harness.clock.advance(300);
  harness.publish("waits");
  expect(lagging.client.state).toBe("queued");
  const looks = spyOn(lagging.client, "checkLag");
  const pressing = Object.getOwnPropertyDescriptor(Flow.prototype, "isPressing")!;
  let asked = 0;
  const counted = function (this: Session): unknown {
    asked++;
    return pressing.get!.call(this);
  };
  Object.defineProperty(Flow.prototype, "isPressing", { ...pressing, get: counted });
  harness.clock.advance(1000);
  Object.defineProperty(Flow.prototype, "isPressing", pressing);
  expect(looks.mock.calls.length).toBeGreaterThan(80);
  // All are looked at four times a second.
  expect(asked).toBeLessThan(10 * CLIENTS);
});

describe("Ten thousand audiences of one subject each", () => {
  const AUDIENCES = 10_000;

  test("are left alone by a message for one of them, and by its flush", () => {
    const harness = new Harness({ maxClients: AUDIENCES, highWaterBytes: 1_000_000 });
    const clients = Array.from({ length: AUDIENCES }, (_, n) => harness.join([`s.${n}`]));
    const add = spyOn(Audience.prototype, "add");
    const flush = spyOn(Audience.prototype, "flush");
    const writesBefore = harness.fanout.writes;
    for (const n of [7, 9, 7]) harness.publish(n, `s.${n}`);
    harness.publish("nobody", "s");
    expect(add).toHaveBeenCalledTimes(3);
    harness.broadcaster.flush();
    expect(flush).toHaveBeenCalledTimes(2);
    expect(harness.fanout.writes - writesBefore).toBe(2);
    expect(clients[7]!.socket.payloads).toEqual([7, 7]);
    expect(clients[9]!.socket.payloads).toEqual([9]);
    expect(harness.meter.ledger.sent).toBe(3);
    harness.broadcaster.flush();
    expect(flush).toHaveBeenCalledTimes(2);
    for (const spy of [add, flush]) spy.mockRestore();
  });

  test("are found by their subject among those with wildcards, each once", () => {
    const harness = new Harness();
    const book = new AudienceRegistry(
      { websocket: harness.fanout, events: harness.fanout },
      new Ledger(),
    );
    const of = (...subjects: string[]) =>
      book.of({ dialect: V1, compresses: false, acked: false, lists: [subjects] });
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

  test("get the frames of a flush in one buffer, which is built once for them all", () => {
    const build = spyOn(FrameBuilder.prototype, "build");
    const { sockets } = createNodeRuntime(limits);
    const frames = [messageOf(1), messageOf(2)];
    const { grownBytes } = sockets.write("nobody's topic", frames, false);
    expect(build).toHaveBeenCalledTimes(1);
    expect(grownBytes).toBe(frames[0]!.byteLength + frames[1]!.byteLength + 4);
    build.mockRestore();
  });
});
