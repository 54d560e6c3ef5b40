import { describe, expect, test } from "bun:test";
import { PLAIN, V1 } from "../../../src/core/wire/dialect.ts";
import type { ReceivedFrame } from "../support/fake-sockets.ts";
import {
  Harness,
  type HarnessOptions,
  lastOf,
  stateOf,
  type TestClient,
  typesOf,
} from "../support/harness.ts";

const ANY = { id: "", subjects: "everything" } as const;

function staged(options: Partial<HarnessOptions> = {}): Harness {
  return new Harness({ deliveryMode: "at-least-once", ...options });
}

/** Publishes numbers and lets them go out. */
function send(harness: Harness, ...payloads: unknown[]): void {
  for (const payload of payloads) harness.publish(payload);
  harness.clock.advance(2);
}

function idOf(peer: TestClient, payload: unknown): string {
  return String(peer.socket.envelopes.find((said) => said.payload === payload)?.id);
}

function ack(peer: TestClient, ...payloads: unknown[]): void {
  for (const payload of payloads) peer.send({ type: "ack", id: idOf(peer, payload) });
}

function gone(peer: TestClient): void {
  peer.connection.closed(1006);
}

function subscribed(harness: Harness, session?: string): TestClient {
  const peer = harness.joinWith(undefined, V1, false, session);
  if (peer.socket.frames.every(({ type }) => type !== "subscribed")) {
    peer.send({ type: "subscribe", id: "1", subjects: [">"] });
  }
  return peer;
}

function redeliveries(peer: TestClient): unknown[] {
  return peer.socket.envelopes
    .filter(({ redelivery }) => redelivery !== undefined)
    .map(({ payload, redelivery }) => [payload, redelivery]);
}

describe("A message in at-least-once", () => {
  test("is sent again after the acknowledgement did not come, with its id and how often it was sent", () => {
    const harness = staged();
    const peer = harness.join();
    send(harness, 1, 2);
    ack(peer, 1);
    harness.clock.advance(5000);
    expect(redeliveries(peer)).toEqual([]);
    harness.clock.advance(1010);
    expect(redeliveries(peer)).toEqual([[2, 1]]);
    const [, first, again] = peer.socket.envelopes;
    expect(again).toEqual({ ...first, redelivery: 1 } as unknown as ReceivedFrame);
    // Twice as long the next time.
    harness.clock.advance(5000 + 1970);
    expect(redeliveries(peer)).toEqual([[2, 1]]);
    harness.clock.advance(30);
    expect(redeliveries(peer)).toEqual([
      [2, 1],
      [2, 2],
    ]);
    ack(peer, 2);
    harness.clock.advance(60_000);
    expect(redeliveries(peer)).toHaveLength(2);
    expect(harness.meter.ledger).toMatchObject({ sent: 2, redelivered: 2, inFlight: 0 });
    expect(harness.meter.ledger.acks).toMatchObject({ acked: 2, timed_out: 2 });
    harness.expectBalance();
  });

  test("is sent again soon after it was refused, and in order when several were", () => {
    const harness = staged();
    const peer = harness.join();
    send(harness, 1, 2, 3);
    peer.send({ type: "nack", ids: [idOf(peer, 3), idOf(peer, 1)] });
    harness.clock.advance(990);
    expect(redeliveries(peer)).toEqual([]);
    harness.clock.advance(20);
    expect(redeliveries(peer)).toEqual([
      [1, 1],
      [3, 1],
    ]);
    expect(harness.meter.ledger.acks.nacked).toBe(2);
  });

  test("comes back between half of the back-off and all of it", () => {
    const harness = staged();
    const peer = harness.join();
    send(harness, 1);
    harness.random = 0.999;
    peer.send({ type: "nack", id: idOf(peer, 1) });
    harness.clock.advance(495);
    expect(redeliveries(peer)).toEqual([]);
    harness.clock.advance(15);
    expect(redeliveries(peer)).toEqual([[1, 1]]);
  });

  test.each([
    ["is declared in a gap", "v1"],
    ["is counted", "plain"],
  ] as const)("%s when it was sent often enough, in %s", (_, dialect) => {
    const harness = staged({ maxDeliver: 2, deadLetterSubject: "dead" });
    const peer = dialect === "v1" ? subscribed(harness) : harness.join();
    send(harness, { n: 1 });
    const id = String(peer.socket.envelopes[0]?.id);
    harness.clock.advance(20_000);
    expect(redeliveries(peer)).toEqual([[{ n: 1 }, 1]]);
    const gaps = peer.socket.notices.filter(({ type }) => type === "gap");
    const gap = { type: "gap", from: id, to: id, count: 1, reason: "max_deliver" } as const;
    expect(gaps).toEqual(dialect === "v1" ? [gap] : []);
    expect(harness.meter.ledger.lost.max_deliver).toBe(1);
    expect(harness.deadLetters).toHaveLength(1);
    const [letter] = harness.deadLetters;
    expect(new TextDecoder().decode(letter?.data)).toBe('{"n":1}');
    expect(Object.fromEntries(letter?.headers ?? [])).toEqual({
      "Spillway-Subject": ["a"],
      "Spillway-Id": [id],
      "Spillway-Reason": ["max_deliver"],
      "Spillway-Last-Failure": ["ack_timeout"],
      "Spillway-Deliveries": ["2"],
    });
    harness.expectBalance();
  });

  test("that was refused for the last time is given up at once", () => {
    const harness = staged({ maxDeliver: 1, deadLetterSubject: "dead" });
    const peer = subscribed(harness);
    send(harness, 1);
    peer.send({ type: "nack", id: idOf(peer, 1) });
    expect(lastOf(peer)).toMatchObject({ type: "gap", reason: "max_deliver" });
    expect(harness.deadLetters[0]?.headers?.get("Spillway-Last-Failure")).toEqual(["nack"]);
  });

  test("is not sent again while its client says in time that it works on it", () => {
    const harness = staged({ redeliveryBackoffMs: 0 });
    const peer = subscribed(harness);
    send(harness, 1);
    for (let n = 0; n < 3; n++) {
      harness.clock.advance(4000);
      peer.send({ type: "working", id: idOf(peer, 1) });
    }
    expect(peer.socket.payloads).toEqual([1]);
    peer.send({ type: "working", ids: ["nothing:1"] });
    expect(harness.meter.ledger.acks.unknown).toBe(1);
    harness.clock.advance(5010);
    expect(redeliveries(peer)).toEqual([[1, 1]]);
  });

  test("is not sent again into a socket that has no room", () => {
    const harness = staged();
    const peer = harness.join();
    peer.socket.reads = false;
    send(harness, "x".repeat(300));
    harness.clock.advance(4500);
    peer.socket.buffered = 201;
    harness.clock.advance(2500);
    expect(redeliveries(peer)).toHaveLength(0);
    peer.socket.buffered = 0;
    harness.clock.advance(110);
    expect(redeliveries(peer)).toHaveLength(1);
  });

  test("is sent again to a client that lagged and reads again, though others still wait for its acknowledgement", () => {
    const harness = staged({ maxInflightMessages: 1, ackTimeoutMs: 500, highWaterBytes: 1000 });
    const peer = subscribed(harness);
    harness.clock.advance(2);
    peer.socket.reads = false;
    peer.socket.buffered = 2000;
    harness.clock.advance(300);
    send(harness, 1, 2);
    peer.socket.reads = true;
    peer.socket.buffered = 0;
    harness.clock.advance(2000);
    expect(peer.socket.notices.map(({ type }) => type)).toContain("ok");
    expect(redeliveries(peer).slice(0, 1)).toEqual([[1, 1]]);
    expect(stateOf(peer.session)).toBe("queued");
    harness.expectBalance();
  });

  test("is not late because the whole process stood still", () => {
    const harness = staged();
    const peer = harness.join();
    send(harness, 1);
    harness.clock.pause(8000);
    harness.clock.advance(10);
    expect(harness.meter.ledger.acks.timed_out).toBe(0);
    ack(peer, 1);
    harness.clock.advance(30_000);
    expect(redeliveries(peer)).toEqual([]);
  });
});

describe("A connection that is dead, and not known to be", () => {
  test("loses nothing: what may never have reached its client is not given up", () => {
    const harness = staged({ maxDeliver: 2 });
    const before = subscribed(harness);
    harness.clock.advance(100);
    before.socket.onPing = undefined;
    send(harness, 1);
    harness.clock.advance(45_000);
    expect(before.connection.isOver).toBe(false);
    expect(harness.meter.ledger.lost.max_deliver).toBe(0);
    harness.clock.advance(20_000);
    expect(before.socket.closedWith).toBe(4513);
    const after = subscribed(harness, String(before.socket.frames[0]?.session));
    expect(after.socket.payloads).toEqual([1]);
    harness.expectBalance();
  });

  test("is asked for a sign of life before a message is given up", () => {
    const harness = staged({ maxDeliver: 1, redeliveryBackoffMs: 0 });
    const peer = subscribed(harness);
    harness.clock.advance(100);
    peer.socket.onPing = undefined;
    send(harness, 1);
    const { pings } = peer.socket;
    harness.clock.advance(6000);
    expect([peer.socket.pings - pings, harness.meter.ledger.lost.max_deliver]).toEqual([1, 0]);
    peer.connection.heard();
    harness.clock.advance(200);
    expect(harness.meter.ledger.lost.max_deliver).toBe(1);
    expect(lastOf(peer)).toMatchObject({ type: "gap", reason: "max_deliver" });
  });

  test("may have lost a gap, which is told again until something behind it is acknowledged", () => {
    const harness = staged({ maxInflightMessages: 1, maxQueueMessages: 2, policy: "drop-oldest" });
    const first = subscribed(harness);
    const session = String(first.socket.frames[0]?.session);
    send(harness, 1, 2, 3, 4, 5);
    first.socket.peerCloses = true;
    ack(first, 1);
    harness.clock.advance(5);
    const second = subscribed(harness, session);
    harness.clock.advance(5);
    gone(second);
    const third = subscribed(harness, session);
    harness.clock.advance(5);
    ack(third, 4);
    harness.clock.advance(5);
    gone(third);
    const fourth = subscribed(harness, session);
    const gap = { type: "gap", reason: "slow", count: 2 };
    for (const peer of [second, third]) {
      const told = peer.socket.notices.filter(({ type }) => type === "gap");
      expect(told).toMatchObject([gap]);
      expect(peer.socket.payloads[0]).toBe(4);
    }
    expect(fourth.socket.notices.filter(({ type }) => type === "gap")).toEqual([]);
    harness.expectBalance();
  });
});

describe("An acknowledgement", () => {
  test("may be of one message, of several, or of all up to one", () => {
    const harness = staged();
    const peer = harness.join();
    send(harness, 1, 2, 3, 4, 5, 6);
    ack(peer, 2);
    peer.send({ type: "ack", ids: [idOf(peer, 1), idOf(peer, 6)] });
    peer.send({ type: "ack", upto: idOf(peer, 4) });
    expect(harness.meter.ledger).toMatchObject({ inFlight: 1, acks: { acked: 5 } });
    harness.clock.advance(7000);
    expect(redeliveries(peer)).toEqual([[5, 1]]);
  });

  test("that comes twice, of what was never sent, or of another run, is counted and harmless", () => {
    const harness = staged();
    const peer = harness.join();
    send(harness, 1);
    ack(peer, 1, 1);
    const [origin] = idOf(peer, 1).split(":");
    for (const id of [`${origin}:99`, "elsewhere:1", "", `${origin}:01`, `${origin}:x`, origin]) {
      peer.send({ type: "ack", id });
      peer.send({ type: "ack", upto: id });
      peer.send({ type: "nack", id });
    }
    expect(harness.meter.ledger.acks).toMatchObject({
      acked: 1,
      repeated: 1,
      unknown: 18,
      nacked: 0,
    });
    expect(peer.connection.isOver).toBe(false);
    harness.expectBalance();
  });

  test("of a message that waits to be sent again takes it out", () => {
    const harness = staged();
    const peer = harness.join();
    send(harness, 1);
    peer.send({ type: "nack", id: idOf(peer, 1) });
    ack(peer, 1);
    harness.clock.advance(10_000);
    expect(redeliveries(peer)).toEqual([]);
  });

  test("of what was late already is not timed", () => {
    const harness = staged({ redeliveryBackoffMs: 60_000 });
    const peer = subscribed(harness);
    send(harness, 1);
    harness.clock.advance(5010);
    ack(peer, 1);
    expect(harness.meter.ledger.acks).toMatchObject({ acked: 1, timed_out: 1 });
    expect(harness.meter.ledger.ackSeconds.counts.every((count) => count === 0)).toBe(true);
  });

  test("is timed from when the message was last sent", () => {
    const harness = staged();
    const peer = harness.join();
    send(harness, 1, 2);
    ack(peer, 1);
    harness.clock.advance(6010);
    harness.clock.advance(40);
    ack(peer, 2);
    expect(harness.meter.ledger.ackSeconds.sum).toBeCloseTo(0.002 + 0.05, 1);
  });
});

describe("Messages of several origins", () => {
  const ofStream = (harness: Harness, sequence: number, epoch = "S:1"): void => {
    const data = new TextEncoder().encode(JSON.stringify(`s${sequence}`));
    harness.broadcaster.message({ subject: "s", data, position: { origin: epoch, sequence } });
  };

  test("have sequences that say nothing to each other, and come again each as it came", () => {
    const harness = staged();
    const peer = subscribed(harness);
    ofStream(harness, 500);
    harness.publish("g1");
    ofStream(harness, 501);
    ofStream(harness, 1, "S:12");
    harness.clock.advance(2);
    expect(peer.socket.payloads).toEqual(["s500", "g1", "s501", "s1"]);
    const ids = peer.socket.envelopes.map(({ id }) => String(id));
    expect([ids[0], ids[3]]).toEqual(["S:1:500", "S:12:1"]);
    peer.send({ type: "ack", upto: "S:1:500" });
    expect(harness.meter.ledger.inFlight).toBe(3);
    peer.send(`{"type":"ack","id":"S:12:1","timestamp":1}`);
    peer.send({ type: "ack", id: "S:3:501" });
    expect(harness.meter.ledger).toMatchObject({ inFlight: 2, acks: { acked: 2, unknown: 1 } });
    harness.clock.advance(6100);
    expect(new Set(redeliveries(peer).map((one) => (one as unknown[])[0]))).toEqual(
      new Set(["g1", "s501"]),
    );
    harness.clock.advance(30_000);
    const gaps = peer.socket.notices.filter(({ reason }) => reason === "max_deliver");
    expect(gaps.map(({ from, count }) => [from, count])).toEqual([
      ["S:1:501", 1],
      [ids[1], 1],
    ]);
    harness.expectBalance();
  });
});

describe("A full window", () => {
  test("stops that client's flow, and nobody else's", () => {
    const harness = staged({ maxInflightMessages: 2 });
    const mute = harness.join();
    const quick = harness.join();
    for (let n = 1; n <= 6; n++) {
      send(harness, n);
      ack(quick, n);
      harness.clock.advance(2);
    }
    expect(mute.socket.payloads).toEqual([1, 2]);
    expect(quick.socket.payloads).toEqual([1, 2, 3, 4, 5, 6]);
    expect(stateOf(quick.session)).toBe("live");
    ack(mute, 1);
    harness.clock.advance(2);
    expect(mute.socket.payloads).toEqual([1, 2, 3]);
    ack(mute, 2, 3);
    harness.clock.advance(2);
    ack(mute, 4, 5);
    harness.clock.advance(2);
    expect(mute.socket.payloads).toEqual([1, 2, 3, 4, 5, 6]);
    expect(stateOf(mute.session)).toBe("live");
    harness.expectBalance();
  });

  test.each<[string, (id: string) => object]>([
    ["an ack", (id) => ({ type: "ack", id })],
    ["an ack of several", (id) => ({ type: "ack", ids: [id] })],
    ["an ack of all up to one", (id) => ({ type: "ack", upto: id })],
    ["a nack that is the last one", (id) => ({ type: "nack", id })],
  ])("has room for another message with the flush after %s", (_, frameOf) => {
    const harness = staged({ maxInflightMessages: 1, maxDeliver: 1 });
    const peer = subscribed(harness);
    send(harness, 1, 2);
    expect(peer.socket.payloads).toEqual([1]);
    peer.send(frameOf(idOf(peer, 1)));
    harness.clock.advance(2);
    expect(peer.socket.payloads).toEqual([1, 2]);
  });

  test("is one of bytes as well, and one message may be larger than it", () => {
    const harness = staged({ maxInflightBytes: 500 });
    const peer = harness.join();
    send(harness, "x".repeat(600), 2);
    expect(peer.socket.payloads).toHaveLength(1);
    ack(peer, "x".repeat(600));
    harness.clock.advance(2);
    expect(peer.socket.payloads.at(-1)).toBe(2);
  });

  test("is behind a queue whose policy applies", () => {
    const harness = staged({ maxInflightMessages: 1, maxQueueMessages: 2, policy: "drop-oldest" });
    const peer = subscribed(harness);
    send(harness, 1, 2, 3, 4, 5);
    expect(peer.socket.payloads).toEqual([1]);
    ack(peer, 1);
    harness.clock.advance(2);
    ack(peer, 4);
    harness.clock.advance(2);
    expect(peer.socket.payloads).toEqual([1, 4, 5]);
    expect(peer.socket.notices).toContainEqual({
      type: "gap",
      from: idOf(peer, 4).replace(/4$/, "2"),
      to: idOf(peer, 4).replace(/4$/, "3"),
      count: 2,
      reason: "slow",
    });
    harness.expectBalance();
  });

  test("gets a client disconnected whose queue is full, where that is its policy", () => {
    const harness = staged({ maxInflightMessages: 1, maxQueueMessages: 2 });
    const peer = subscribed(harness);
    send(harness, 1, 2, 3, 4);
    expect(peer.socket.closedWith).toBe(4510);
    expect(harness.meter.ledger.lost.slow_consumer).toBe(1);
    harness.expectBalance();
  });
});

describe("A session", () => {
  const SESSION = "my-own-session-0001";
  const plain = (harness: Harness, session = SESSION) =>
    harness.joinWith(ANY, PLAIN, false, session);

  test("gives a plain client that comes back what it has not acknowledged, in order, and then the rest", () => {
    const harness = staged();
    const before = plain(harness);
    send(harness, 1, 2, 3);
    ack(before, 2);
    gone(before);
    send(harness, 4, 5);
    const after = plain(harness);
    send(harness, 6);
    expect(after.socket.payloads).toEqual([1, 3, 4, 5, 6]);
    expect(redeliveries(after)).toEqual([
      [1, 1],
      [3, 1],
    ]);
    ack(after, 1, 3, 4, 5, 6);
    expect(harness.meter).toMatchObject({
      sessionsDetached: 0,
      sessionsResumed: 1,
      ledger: { inFlight: 0 },
    });
    expect(stateOf(after.session)).toBe("live");
    harness.expectBalance();
  });

  test("is named by the gateway in welcome, and keeps its subscriptions", () => {
    const harness = staged();
    const before = subscribed(harness);
    const [welcome] = before.socket.frames;
    expect(welcome).toMatchObject({
      type: "welcome",
      delivery_mode: "at-least-once",
      delivery: { ack_timeout_ms: 5000, session_ttl_ms: 60_000, resumed: false },
    });
    send(harness, 1);
    gone(before);
    send(harness, 2);
    const after = subscribed(harness, String(welcome?.session));
    harness.clock.advance(2);
    expect(typesOf(after)).toEqual(["welcome", "subscribed", "data", "data"]);
    expect(after.socket.frames[0]).toMatchObject({
      session: welcome?.session,
      delivery: { resumed: true },
    });
    expect(after.socket.payloads).toEqual([1, 2]);
  });

  test("that is no more is said to be lost", () => {
    const harness = staged();
    const before = subscribed(harness);
    const session = String(before.socket.frames[0]?.session);
    send(harness, 1);
    gone(before);
    send(harness, 2);
    harness.clock.advance(60_010);
    expect(harness.meter).toMatchObject({
      sessionsDetached: 0,
      ledger: { queued: 0, inFlight: 0 },
    });
    expect(harness.meter.ledger.lost.session_expired).toBe(1);
    expect(harness.meter.ledger.dropped.session_lost).toBe(1);
    const after = subscribed(harness, session);
    expect(after.socket.frames[0]).toMatchObject({ session, delivery: { resumed: false } });
    expect(after.socket.frames[1]).toMatchObject({
      type: "gap",
      reason: "session_expired",
      exact: false,
    });
    harness.expectBalance();
  });

  test("goes over to a second connection, and the first is closed with 4409", () => {
    const harness = staged();
    const first = subscribed(harness);
    send(harness, 1);
    const second = subscribed(harness, String(first.socket.frames[0]?.session));
    expect(first.socket.closedWith).toBe(4409);
    expect(lastOf(first)).toMatchObject({ type: "disconnect", code: 4409, reconnect: false });
    send(harness, 2);
    expect(first.socket.payloads).toEqual([1]);
    expect(second.socket.payloads).toEqual([1, 2]);
    ack(first, 1);
    expect(harness.meter.ledger.inFlight).toBe(2);
    ack(second, 1, 2);
    expect(harness.meter.ledger.inFlight).toBe(0);
    harness.expectBalance();
  });

  test("is not kept for a plain client that names none", () => {
    const harness = staged();
    const peer = harness.join();
    send(harness, 1);
    gone(peer);
    expect(harness.meter.ledger.lost.disconnected).toBe(1);
    expect(harness.meter.sessionsDetached).toBe(0);
    harness.expectBalance();
  });

  test("keeps messages while nobody at all is connected, within the bounds of a queue", () => {
    const harness = staged({ maxQueueMessages: 2, policy: "drop-oldest" });
    const before = subscribed(harness);
    const session = String(before.socket.frames[0]?.session);
    gone(before);
    send(harness, 1, 2, 3);
    const after = subscribed(harness, session);
    harness.clock.advance(2);
    expect(typesOf(after)).toEqual(["welcome", "subscribed", "gap", "data", "data"]);
    expect(after.socket.payloads).toEqual([2, 3]);
    harness.expectBalance();
  });

  test("does not lose a message by coming back too often", () => {
    const harness = staged({ maxDeliver: 2 });
    let peer = plain(harness);
    send(harness, 1);
    for (let n = 1; n <= 5; n++) {
      gone(peer);
      peer = plain(harness);
      expect(redeliveries(peer)).toEqual([[1, n]]);
    }
    harness.clock.advance(6000);
    expect(harness.meter.ledger.lost.max_deliver).toBe(1);
    harness.expectBalance();
  });

  test("ends when its client says that it is done", () => {
    const harness = staged();
    const peer = subscribed(harness);
    send(harness, 1);
    peer.connection.closed(1000);
    expect(harness.meter.sessionsDetached).toBe(0);
    expect(harness.meter.ledger.lost.disconnected).toBe(1);
    harness.expectBalance();
  });

  test("is ended when too much waits for all clients together", () => {
    const harness = staged({ maxTotalQueueBytes: 3000, policy: "drop-oldest" });
    gone(plain(harness));
    send(harness, ..."abcd".split("").map((letter) => letter.repeat(900)));
    expect(harness.meter.sessionsDetached).toBe(0);
    expect(harness.meter.ledger.dropped.overloaded).toBe(4);
    expect(harness.meter.ledger.queuedBytes).toBe(0);
    harness.expectBalance();
  });

  test("is as slow as its client said, when that comes back", () => {
    const harness = staged({
      maxQueueMessages: 1000,
      maxQueueBytes: 1_000_000,
      highWaterBytes: 100_000,
    });
    const before = plain(harness);
    for (let n = 0; n < 100; n++) {
      harness.publish(n);
      harness.clock.advance(10);
      ack(before, n);
    }
    before.send({ type: "slow" });
    for (let n = 100; n < 150; n++) {
      harness.publish(n);
      harness.clock.advance(10);
    }
    gone(before);
    const after = plain(harness);
    const { length } = after.socket.payloads;
    for (let n = 150; n < 250; n++) {
      harness.publish(n);
      harness.clock.advance(10);
    }
    // Half of a hundred in a second, and what was saved of the rate.
    expect(after.socket.payloads.length - length).toBeLessThan(70);
    expect(after.socket.payloads.length - length).toBeGreaterThan(30);
  });

  test("has no time running against what was sent while nobody is connected", () => {
    const harness = staged({ maxDeliver: 2 });
    const before = plain(harness);
    send(harness, 1);
    gone(before);
    harness.clock.advance(50_000);
    expect(harness.meter.ledger.redelivered).toBe(0);
    expect(harness.meter.ledger.acks.timed_out).toBe(0);
    const after = plain(harness);
    expect(redeliveries(after)).toEqual([[1, 1]]);
    harness.expectBalance();
  });

  test("ends when its queue is full, where that is its policy", () => {
    const harness = staged({ maxQueueMessages: 2 });
    const before = plain(harness);
    send(harness, 0);
    gone(before);
    send(harness, 1, 2, 3);
    expect(harness.meter).toMatchObject({
      sessionsDetached: 0,
      ledger: { inFlight: 0, queued: 0 },
    });
    const after = plain(harness);
    send(harness, 4);
    expect(after.socket.payloads).toEqual([4]);
    harness.expectBalance();
  });

  test("is given up for another one when there are too many, or too much is kept", () => {
    const many = staged({ maxSessions: 1 });
    for (const n of [1, 2]) {
      const peer = plain(many, `${SESSION}${n}`);
      send(many, n);
      ack(peer, n);
      gone(peer);
    }
    expect(many.meter.sessionsDetached).toBe(1);
    expect(many.meter.ledger.dropped.session_lost).toBe(1);
    many.expectBalance();

    const much = staged({ maxSessionBytes: 2200 });
    for (const n of [1, 2, 3]) gone(plain(much, `${SESSION}${n}`));
    send(much, "x".repeat(400));
    expect(much.meter.sessionsDetached).toBe(3);
    send(much, "x".repeat(400));
    expect(much.meter.sessionsDetached).toBe(2);
    expect(much.broadcaster.sessions.detachedBytes).toBeLessThanOrEqual(2000);
    much.expectBalance();
  });

  test("keeps what waits for it from growing too old while nobody is there", () => {
    const harness = staged({ maxQueueAgeMs: 1000 });
    gone(plain(harness));
    send(harness, 1);
    harness.clock.advance(30_000);
    const after = plain(harness);
    after.socket.reads = false;
    after.socket.buffered = 500;
    harness.clock.advance(600);
    expect(after.connection.isOver).toBe(false);
    after.socket.buffered = 0;
    harness.clock.advance(300);
    expect(after.socket.payloads).toEqual([1]);
  });

  test("that is resumed with other subjects has those from then on", () => {
    const harness = staged();
    const before = harness.joinWith({ id: "", subjects: ["a"] }, PLAIN, false, SESSION);
    send(harness, 1);
    gone(before);
    send(harness, 2);
    const after = harness.joinWith({ id: "", subjects: ["b"] }, PLAIN, false, SESSION);
    harness.publish(3, "a");
    harness.publish(4, "b");
    harness.clock.advance(2);
    expect(after.socket.payloads).toEqual([1, 2, 4]);
    expect([...harness.source.patterns]).toEqual(["b"]);
  });

  test("keeps what a slowed-down subscription holds back, and its rate", () => {
    const harness = staged();
    const paced = { id: "", subjects: "everything", maxRate: 1 } as const;
    const before = harness.joinWith(paced, PLAIN, false, SESSION);
    send(harness, 1);
    ack(before, 1);
    send(harness, 2);
    expect(before.socket.payloads).toEqual([1]);
    gone(before);
    const after = harness.joinWith(paced, PLAIN, false, SESSION);
    harness.clock.advance(900);
    expect(after.socket.payloads).toEqual([]);
    harness.clock.advance(100);
    expect(after.socket.payloads).toEqual([2]);
    harness.expectBalance();
  });

  test("survives a connection that took nothing any more", () => {
    const harness = staged();
    const before = plain(harness);
    before.socket.peerCloses = true;
    send(harness, 1);
    gone(before);
    const after = plain(harness);
    expect(after.socket.payloads).toEqual([1]);
    harness.expectBalance();
  });

  test("leaves nothing behind when it is over", async () => {
    const harness = staged({ upstreamLingerMs: 0 });
    gone(plain(harness));
    harness.clock.advance(61_000);
    expect([...harness.source.patterns]).toEqual([]);
    gone(plain(harness));
    const live = plain(harness, `${SESSION}2`);
    send(harness, 1);
    const drained = harness.clients.drain(5000);
    harness.clock.advance(300);
    expect(live.connection.isOver).toBe(false);
    ack(live, 1);
    harness.clock.advance(300);
    await drained;
    expect(live.socket.closedWith).toBe(1001);
    expect(harness.clock.timers).toBe(0);
    expect(harness.meter).toMatchObject({
      sessionsDetached: 0,
      ledger: { queued: 0, inFlight: 0 },
    });
    harness.expectBalance();
  });
});

describe("A stop", () => {
  test("waits for acknowledgements as long as it may, and counts what is missing as lost", async () => {
    const harness = staged();
    const peer = subscribed(harness);
    send(harness, 1, 2);
    ack(peer, 1);
    const drained = harness.clients.drain(3000);
    harness.clock.advance(2900);
    expect(peer.connection.isOver).toBe(false);
    harness.clock.advance(200);
    await drained;
    expect(harness.meter.ledger.lost.stopped).toBe(1);
    expect(harness.clock.timers).toBe(0);
    harness.expectBalance();
  });
});

describe("Server-sent events of a gateway in at-least-once", () => {
  test("are at-most-once, as nothing can be acknowledged", async () => {
    const { SSE } = await import("../../../src/core/wire/dialect.ts");
    const harness = staged();
    const peer = harness.joinWith(ANY, SSE);
    send(harness, 1);
    harness.clock.advance(60_000);
    expect(peer.socket.textFrames.filter(({ text }) => text.includes('"payload":1'))).toHaveLength(
      1,
    );
    expect(harness.meter.ledger.tracked).toBe(0);
  });
});
