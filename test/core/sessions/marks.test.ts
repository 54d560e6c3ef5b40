import { describe, expect, test } from "bun:test";
import { PingFrame } from "../../../src/core/ports/ping-frame.ts";
import type { FakeSocket } from "../support/fake-sockets.ts";
import {
  Harness,
  type HarnessOptions,
  lastOf,
  stateOf,
  type TestClient,
} from "../support/harness.ts";

const OPTIONS = {
  markBytes: 10_000,
  markIntervalMs: 1000,
  maxLagMs: 2000,
  targetLagMs: 250,
  highWaterBytes: 100_000,
  lowWaterBytes: 20_000,
  maxQueueBytes: 1_000_000,
  maxQueueMessages: 10_000,
} as const satisfies Partial<HarnessOptions>;

const KILOBYTE = "x".repeat(1000);

/** The marks that were written to a socket, in order. */
function marksOf({ lists }: FakeSocket): string[] {
  return lists.flat().flatMap((frame) => (frame instanceof PingFrame ? frame.text : []));
}

function pong({ connection }: TestClient, content: string): void {
  connection.pong(new TextEncoder().encode(content));
}

describe("A mark", () => {
  test("is the same for all members of an audience, and stands in the list that all of them get", () => {
    const harness = new Harness(OPTIONS);
    const clients = Array.from({ length: 10 }, () => harness.join());
    harness.publish(1);
    harness.clock.advance(1);
    const lists = new Set(clients.map(({ socket }) => socket.lists.at(-1)));
    expect(lists.size).toBe(1);
    expect([...lists][0]!.at(-1)).toBeInstanceOf(PingFrame);
  });

  test("follows after mark_bytes, but not within 200 ms, and after mark_interval; only behind messages", () => {
    const harness = new Harness(OPTIONS);
    const { socket } = harness.join();
    const publish = (count: number): void => {
      for (let n = 0; n < count; n++) harness.publish(KILOBYTE);
      harness.clock.advance(1);
    };
    publish(1);
    expect(marksOf(socket)).toHaveLength(1);
    publish(5);
    expect(marksOf(socket)).toHaveLength(1);
    publish(5);
    expect(marksOf(socket)).toHaveLength(1);
    harness.clock.advance(200);
    publish(1);
    expect(marksOf(socket)).toHaveLength(2);
    harness.clock.advance(5000);
    expect(marksOf(socket)).toHaveLength(2);
    publish(1);
    expect(marksOf(socket)).toHaveLength(3);
  });

  test("confirms all that was written before it", () => {
    const harness = new Harness(OPTIONS);
    const client = harness.join();
    client.socket.readsOnDemand();
    const { writer } = client.connection;
    for (let n = 0; n < 30; n++) {
      harness.publish(KILOBYTE);
      harness.clock.advance(20);
    }
    const sent = client.socket.unreadBytes;
    expect(writer.unconfirmedBytes).toBeWithin(30_000, sent + 1);
    expect(writer.unconfirmedMs(harness.clock.nowMs())).toBeGreaterThan(500);
    client.socket.read();
    harness.clock.advance(1);
    expect(writer.unconfirmedBytes).toBeLessThan(OPTIONS.markBytes);
    expect(writer.unconfirmedMs(harness.clock.nowMs())).toBe(0);
    const { counts, sum } = harness.meter.deliverySeconds;
    expect(counts.reduce((total, count) => total + count)).toBe(3);
    expect(sum).toBeGreaterThan(0.1);
  });

  test("is the keepalive ping of clients that are sent messages", () => {
    const harness = new Harness({ ...OPTIONS, pingIntervalMs: 2000, readTimeoutMs: 10_000 });
    const client = harness.join();
    for (let second = 0; second < 20; second++) {
      harness.publish(second);
      harness.clock.advance(1000);
    }
    expect(client.socket.pings).toBe(0);
    harness.clock.advance(5000);
    expect(client.socket.pings).toBeGreaterThan(0);
    expect(client.socket.closedWith).toBeUndefined();
  });

  test("is not sent to sockets that can't be pinged, nor if mark_interval is 0s", () => {
    const harness = new Harness({ ...OPTIONS, markIntervalMs: 0 });
    const { socket, connection } = harness.join();
    for (let n = 0; n < 30; n++) harness.publish(KILOBYTE);
    harness.clock.advance(3000);
    expect(marksOf(socket)).toEqual([]);
    expect(connection.writer.confirms).toBe(false);
  });
});

describe("A pong", () => {
  const budget = { maxFramesPerSecond: 1, maxSubscriptions: 1 };

  test("that confirms a mark costs the client nothing", () => {
    const harness = new Harness({ ...OPTIONS, ...budget, markBytes: 100 });
    const client = harness.join();
    for (let n = 0; n < 500; n++) {
      harness.publish(KILOBYTE);
      harness.clock.advance(200);
    }
    expect(marksOf(client.socket)).toHaveLength(500);
    expect(client.socket.closedWith).toBeUndefined();
  });

  test.each([
    ["of a mark that was not sent", (mark: string) => `${Number(mark) + 1}`],
    ["of a mark that is confirmed", (mark: string) => mark],
    ["of a mark before the client came", (mark: string) => `${Number(mark) - 1}`],
    ["with anything else", () => "1e3"],
    ["with nothing", () => ""],
    ["that is too long", () => "9".repeat(125)],
  ])("%s confirms nothing, and counts as a frame", (_, contentOf) => {
    const harness = new Harness({ ...OPTIONS, ...budget });
    harness.join();
    harness.publish(0);
    harness.clock.advance(1000);
    const client = harness.join();
    client.socket.readsOnDemand();
    harness.publish(1);
    harness.clock.advance(1);
    const [mark] = marksOf(client.socket);
    if (contentOf(mark!) === mark) pong(client, mark);
    const { unconfirmedBytes } = client.connection.writer;
    for (let n = 0; n < 30; n++) pong(client, contentOf(mark!));
    expect(client.connection.writer.unconfirmedBytes).toBe(unconfirmedBytes);
    expect(client.socket.closedWith).toBe(4429);
  });
});

describe("A client that reads nothing, though the kernel takes all", () => {
  test("lags after max_lag, and is told so", () => {
    const harness = new Harness(OPTIONS);
    const client = harness.joinV1();
    client.send({ type: "subscribe", id: "1", subjects: ["a"] });
    const healthy = harness.join();
    client.socket.readsOnDemand();
    const publish = (ms: number): void => {
      for (let at = 0; at < ms; at += 100) {
        harness.publish(at);
        harness.clock.advance(100);
      }
    };
    publish(1900);
    expect(stateOf(client.session)).toBe("live");
    publish(500);
    expect(stateOf(client.session)).toBe("queued");
    expect(stateOf(healthy.session)).toBe("live");
    const { lags } = harness.clients;
    expect(lags.seconds.max).toBeWithin(2, 2.5);
    expect(lags.seconds.p50).toBe(0);
    expect(lags.furthest.map(({ id }) => id)).toEqual([client.connection.number]);
    client.socket.read();
    harness.clock.advance(20);
    client.socket.read();
    harness.clock.advance(20);
    expect(stateOf(client.session)).toBe("live");
    client.socket.read();
    expect(client.socket.notices.map(({ type }) => type)).toContain("slow");
    expect(lastOf(client)).toEqual({ type: "ok" });
    expect(harness.clients.lags.seconds.max).toBe(0);
    harness.expectBalance();
  });

  test("is measured less often the more clients there are, however often it is asked for", () => {
    const harness = new Harness(OPTIONS);
    for (let n = 0; n < 500; n++) harness.join();
    const { lags } = harness.clients;
    harness.clock.advance(49);
    expect(harness.clients.lags).toBe(lags);
    harness.clock.advance(1);
    expect(harness.clients.lags).not.toBe(lags);
  });

  test("lags after an eighth of max_lag with more than low_water_bytes in flight", () => {
    const harness = new Harness(OPTIONS);
    const client = harness.join();
    client.socket.readsOnDemand();
    const publish = (ms: number): void => {
      for (let at = 0; at < ms; at += 5) {
        harness.publish(KILOBYTE);
        harness.clock.advance(5);
      }
    };
    publish(240);
    expect(client.connection.writer.unconfirmedBytes).toBeGreaterThan(OPTIONS.lowWaterBytes);
    expect(stateOf(client.session)).toBe("live");
    publish(60);
    expect(stateOf(client.session)).toBe("queued");
  });

  test("lags a round trip later if it is far away", () => {
    const harness = new Harness(OPTIONS);
    const client = harness.join();
    client.socket.readsOnDemand();
    harness.publish(1);
    harness.clock.advance(400);
    client.socket.read();
    let atMs = 0;
    for (; stateOf(client.session) === "live" && atMs < 2000; atMs += 5) {
      harness.publish(KILOBYTE);
      harness.clock.advance(5);
    }
    expect(atMs).toBeWithin(650, 800);
  });

  test("lags so early only if it is behind others: not when half of all members are late", () => {
    const harness = new Harness(OPTIONS);
    const clients = Array.from({ length: 5 }, () => harness.join());
    for (const { socket } of clients) socket.readsOnDemand();
    const publish = (readers: number, ms: number): string[] => {
      for (let at = 0; at < ms; at += 5) {
        harness.publish(KILOBYTE);
        harness.clock.advance(5);
        for (const { socket } of clients.slice(0, readers)) socket.read();
      }
      return clients.map(({ session }) => stateOf(session));
    };
    publish(5, 1000);
    expect(new Set(publish(1, 1500))).toEqual(new Set(["live"]));
    publish(5, 1000);
    expect(publish(4, 900)).toEqual(["live", "live", "live", "live", "queued"]);
    publish(5, 3000);
    expect(publish(0, 2500)).toEqual(clients.map(() => "queued"));
  });

  test("is not blamed for a standstill of the whole process", () => {
    const harness = new Harness(OPTIONS);
    const client = harness.join();
    client.socket.readsOnDemand();
    harness.publish(1);
    harness.clock.advance(100);
    harness.clock.pause(100_000);
    harness.clock.advance(0);
    expect(stateOf(client.session)).toBe("live");
    harness.clock.advance(900);
    expect(stateOf(client.session)).toBe("live");
    harness.clock.advance(600);
    expect(stateOf(client.session)).toBe("queued");
  });

  test("is known to lag for its whole time, and is queued, though the gateway is late itself again and again", () => {
    const harness = new Harness(OPTIONS);
    const client = harness.join();
    client.socket.readsOnDemand();
    harness.publish(1);
    for (let at = 0; at < 3000; at += 500) {
      harness.clock.advance(350);
      harness.clock.pause(150);
      harness.clock.advance(0);
    }
    expect(harness.clients.lags.seconds.max).toBeWithin(2.9, 3.1);
    harness.clock.advance(250);
    expect(stateOf(client.session)).toBe("queued");
  });

  test("is not blamed for a standstill if another client asks for a check before the late tick", () => {
    const harness = new Harness({ ...OPTIONS, readTimeoutMs: 60_000 });
    const bystander = harness.join();
    harness.clock.advance(10);
    harness.clock.pause(100_000);
    const pressing = { isPressing: true, checkLag() {} };
    harness.clients.sweeper.watch(pressing as never);
    harness.clock.advance(300);
    expect(bystander.connection.isOver).toBe(false);
  });

  test("is not blamed for a short one either, though much was sent before it, if the pong is read after it", () => {
    const harness = new Harness(OPTIONS);
    const client = harness.join();
    client.socket.readsOnDemand();
    for (let n = 0; n < 30; n++) harness.publish(KILOBYTE);
    harness.clock.advance(10);
    expect(client.connection.writer.unconfirmedBytes).toBeGreaterThan(OPTIONS.lowWaterBytes);
    harness.clock.pause(900);
    // Timers come before what has arrived.
    harness.clock.advance(0);
    expect(stateOf(client.session)).toBe("live");
    pong(client, marksOf(client.socket).at(-1) ?? "");
    expect(client.connection.writer.unconfirmedBytes).toBeLessThan(OPTIONS.lowWaterBytes);
    harness.clock.advance(600);
    expect(stateOf(client.session)).toBe("live");
  });
});

test("A client that confirms marks is not dead, however slowly the kernel takes its bytes", () => {
  const timeouts = { writeTimeoutMs: 1000, maxQueueAgeMs: 1_000_000, policy: "conflate" } as const;
  const harness = new Harness({ ...OPTIONS, ...timeouts });
  const [slow, dead] = [harness.join(), harness.join()];
  for (const { socket } of [slow, dead]) {
    socket.readsOnDemand();
    // The kernel has no more room for a long time.
    socket.buffered = 50_000;
  }
  for (let n = 0; n < 50; n++) {
    harness.publish(KILOBYTE);
    harness.clock.advance(100);
    slow.socket.read(2000);
  }
  expect(slow.socket.closedWith).toBeUndefined();
  expect(dead.socket.closedWith).toBe(4511);
});

test("Marks of an earlier audience, and of the backlog, count after a client has moved", () => {
  const harness = new Harness(OPTIONS);
  const client = harness.joinV1();
  client.socket.readsOnDemand();
  client.send({ type: "subscribe", id: "1", subjects: ["a"] });
  harness.publish(1, "a");
  harness.clock.advance(500);
  client.send({ type: "subscribe", id: "2", subjects: ["b"] });
  const { writer } = client.connection;
  expect(writer.unconfirmedMs(harness.clock.nowMs())).toBeWithin(490, 510);
  harness.publish(2, "b");
  harness.clock.advance(10);
  client.socket.read();
  harness.clock.advance(1);
  expect(writer.unconfirmedMs(harness.clock.nowMs())).toBe(0);
  expect(stateOf(client.session)).toBe("live");
});
