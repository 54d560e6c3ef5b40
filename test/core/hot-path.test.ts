import { describe, expect, spyOn, test } from "bun:test";
import { Audience } from "../../src/core/fanout/audience.ts";
import { AudienceBook } from "../../src/core/fanout/audience-book.ts";
import { Meter } from "../../src/core/metering/meter.ts";
import { Client } from "../../src/core/sessions/client.ts";
import { Flow } from "../../src/core/sessions/flow.ts";
import { V1 } from "../../src/core/wire/dialect.ts";
import { FrameBuilder } from "../../src/runtime/frame.ts";
import { createNodeRuntime } from "../../src/runtime/node.ts";
import type { FakeSocket, Said } from "./support/fake-sockets.ts";
import { type Actor, Stage } from "./support/harness.ts";
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

function crowd(stage: Stage): Actor[] {
  return Array.from({ length: CLIENTS }, () => stage.join());
}

describe("A thousand clients of one audience", () => {
  test("cost one encoding per message, one write per flush, and nothing each", () => {
    const stage = new Stage({ highWaterBytes: 1_000_000, ringMessages: 100, ringBytes: 100_000 });
    const clients = crowd(stage);
    stage.clock.advance(10);
    const encode = spyOn(stage.encoder, "encode");
    const perClient = [
      spyOn(Client.prototype, "enqueue"),
      spyOn(Client.prototype, "feed"),
      spyOn(Client.prototype, "checkLag"),
      spyOn(Client.prototype, "tell"),
    ];
    const pack = spyOn(clients[0]!.client.dialect, "pack");
    const calls = clients.map(({ socket }) => countCalls(socket));
    const writesBefore = stage.fanout.writes;
    for (let flush = 0; flush < 10; flush++) {
      for (let n = 0; n < 20; n++) stage.publish(n);
      stage.clock.advance(1);
    }
    expect(encode).toHaveBeenCalledTimes(200);
    expect(pack).toHaveBeenCalledTimes(10);
    expect(stage.fanout.writes - writesBefore).toBe(10);
    // The ten writes that each socket got are the fanout's own.
    expect(calls.reduce((sum, count) => sum + count(), 0)).toBe(10 * CLIENTS);
    for (const spy of perClient) expect(spy).not.toHaveBeenCalled();
    expect(stage.meter.sent).toBe(200 * CLIENTS);
    for (const spy of [...perClient, pack]) spy.mockRestore();
    stage.expectBalance();
  });

  test("who acknowledge cost one write each and one encoding and frame for all, per flush", () => {
    const stage = new Stage({
      highWaterBytes: 1_000_000,
      deliveryMode: "at-least-once",
      maxInflightMessages: 1000,
      maxInflightBytes: 1_000_000,
    });
    const clients = crowd(stage);
    stage.clock.advance(10);
    const encode = spyOn(stage.encoder, "encode");
    const pack = spyOn(clients[0]!.client.dialect, "pack");
    const lists = clients.map(({ socket }) => spyOn(socket, "write"));
    const timersBefore = stage.clock.timers;
    for (let flush = 0; flush < 10; flush++) {
      for (let n = 0; n < 20; n++) stage.publish(n);
      stage.clock.advance(1);
    }
    expect(encode).toHaveBeenCalledTimes(200);
    expect(pack).toHaveBeenCalledTimes(10);
    // All are given the same ten lists, of which a runtime makes its frames once.
    for (const list of lists) expect(list).toHaveBeenCalledTimes(10);
    expect(new Set(lists.flatMap(({ mock }) => mock.calls.map(([frames]) => frames))).size).toBe(
      10,
    );
    // One timer for all deadlines, where there was none.
    expect(stage.clock.timers).toBe(timersBefore + 1);
    expect(stage.meter).toMatchObject({ sent: 200 * CLIENTS, inFlight: 200 * CLIENTS });
    const { id } = clients[0]!.socket.envelopes.at(-1)!;
    const parse = spyOn(JSON, "parse");
    for (const { says } of clients) says(`{"type":"ack","id":"${id}"}`);
    expect(parse).not.toHaveBeenCalled();
    parse.mockRestore();
    expect(stage.meter.inFlight).toBe(199 * CLIENTS);
    pack.mockRestore();
    stage.expectBalance();
  });

  test("are looked at once for each high-water mark of bytes that was written, and on the clock", () => {
    const stage = new Stage({ highWaterBytes: 1_000_000 });
    const clients = crowd(stage);
    stage.clock.advance(1);
    const checkLag = spyOn(Client.prototype, "checkLag");
    const buffered = clients.map(({ socket }) => spyOn(socket, "bufferedBytes"));
    const looks = () => buffered.reduce((sum, spy) => sum + spy.mock.calls.length, 0);
    const length = 100_000 - messageOf(1, "a", 100_000).byteLength + 100_000;
    // In 25 flushes of 100 kB each, two marks are passed.
    for (let flush = 0; flush < 25; flush++) {
      stage.publish("x".repeat(length));
      stage.clock.advance(1);
    }
    expect(checkLag).toHaveBeenCalledTimes(2 * CLIENTS);
    // Each look reads what is buffered, and for how long it has not moved.
    expect(looks()).toBe(2 * 2 * CLIENTS);
    stage.clock.advance(1000);
    expect(checkLag).toHaveBeenCalledTimes((2 + 4) * CLIENTS);
    checkLag.mockRestore();
  });

  test("are not touched by one that lags", () => {
    const stage = new Stage({ maxClients: CLIENTS + 1 });
    const clients = crowd(stage);
    const laggard = stage.join();
    laggard.socket.reads = false;
    stage.publish("x".repeat(1100));
    stage.clock.advance(300);
    expect(laggard.client.state).toBe("queued");
    const enqueue = spyOn(Client.prototype, "enqueue");
    const calls = clients.map(({ socket }) => countCalls(socket));
    for (let n = 0; n < 5; n++) stage.publish(n);
    stage.broadcaster.flush();
    expect(enqueue).toHaveBeenCalledTimes(5);
    expect(calls.every((count) => count() === 1)).toBe(true);
    enqueue.mockRestore();
  });

  test("of the v1 dialect get a flush as one frame, which is made once", () => {
    const stage = new Stage({ highWaterBytes: 1_000_000 });
    const clients = Array.from({ length: CLIENTS }, () => {
      const actor = stage.joinV1();
      actor.says({ type: "subscribe", id: "1", subjects: ["a"] });
      return actor;
    });
    const pack = spyOn(V1, "pack");
    for (let n = 0; n < 20; n++) stage.publish(n);
    stage.broadcaster.flush();
    expect(pack).toHaveBeenCalledTimes(1);
    const frames = new Set(clients.map(({ socket }) => socket.received.at(-1)));
    expect(frames.size).toBe(1);
    const texts = [...frames][0]!.text.split("\n");
    expect(texts.map((text) => (JSON.parse(text) as Said).payload)).toEqual(
      Array.from({ length: 20 }, (_, n) => n),
    );
    pack.mockRestore();
  });
});

test("A thousand slowed-down clients are not looked at each time that one that lags is", () => {
  const stage = new Stage({ policy: "drop-oldest", maxClients: 2 * CLIENTS });
  for (let n = 0; n < CLIENTS; n++) {
    stage.joinWith({ id: "", subjects: [`s.${n}`], maxRate: 1 });
  }
  const lagging = stage.join(["a"]);
  lagging.socket.reads = false;
  stage.publish("x".repeat(2000));
  stage.clock.advance(300);
  stage.publish("waits");
  expect(lagging.client.state).toBe("queued");
  const looks = spyOn(lagging.client, "checkLag");
  const pressing = Object.getOwnPropertyDescriptor(Flow.prototype, "isPressing")!;
  let asked = 0;
  const counted = function (this: Client): unknown {
    asked++;
    return pressing.get!.call(this);
  };
  Object.defineProperty(Flow.prototype, "isPressing", { ...pressing, get: counted });
  stage.clock.advance(1000);
  Object.defineProperty(Flow.prototype, "isPressing", pressing);
  expect(looks.mock.calls.length).toBeGreaterThan(80);
  // All are looked at four times a second.
  expect(asked).toBeLessThan(10 * CLIENTS);
});

describe("Ten thousand audiences of one subject each", () => {
  const AUDIENCES = 10_000;

  test("are left alone by a message for one of them, and by its flush", () => {
    const stage = new Stage({ maxClients: AUDIENCES, highWaterBytes: 1_000_000 });
    const clients = Array.from({ length: AUDIENCES }, (_, n) => stage.join([`s.${n}`]));
    const add = spyOn(Audience.prototype, "add");
    const flush = spyOn(Audience.prototype, "flush");
    const writesBefore = stage.fanout.writes;
    for (const n of [7, 9, 7]) stage.publish(n, `s.${n}`);
    stage.publish("nobody", "s");
    expect(add).toHaveBeenCalledTimes(3);
    stage.broadcaster.flush();
    expect(flush).toHaveBeenCalledTimes(2);
    expect(stage.fanout.writes - writesBefore).toBe(2);
    expect(clients[7]!.socket.payloads).toEqual([7, 7]);
    expect(clients[9]!.socket.payloads).toEqual([9]);
    expect(stage.meter.sent).toBe(3);
    stage.broadcaster.flush();
    expect(flush).toHaveBeenCalledTimes(2);
    for (const spy of [add, flush]) spy.mockRestore();
  });

  test("are found by their subject among those with wildcards, each once", () => {
    const stage = new Stage();
    const book = new AudienceBook({ websocket: stage.fanout, events: stage.fanout }, new Meter());
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
