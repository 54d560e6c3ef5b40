import { describe, expect, test } from "bun:test";
import type { BroadcasterOptions } from "../../../src/core/broadcaster-parts.ts";
import { PLAIN, V1 } from "../../../src/core/wire/dialect.ts";
import type { Said } from "../support/fake-sockets.ts";
import { type Actor, lastOf, Stage, typesOf } from "../support/harness.ts";

const ANY = { id: "", subjects: undefined };

function staged(options: Partial<BroadcasterOptions> = {}): Stage {
  return new Stage({ deliveryMode: "at-least-once", ...options });
}

/** Publishes numbers and lets them go out. */
function send(stage: Stage, ...payloads: unknown[]): void {
  for (const payload of payloads) stage.publish(payload);
  stage.clock.advance(2);
}

function idOf(actor: Actor, payload: unknown): string {
  return String(actor.socket.envelopes.find((said) => said.payload === payload)?.id);
}

function ack(actor: Actor, ...payloads: unknown[]): void {
  for (const payload of payloads) actor.says({ type: "ack", id: idOf(actor, payload) });
}

function gone(actor: Actor): void {
  actor.client.closed(1006);
}

function subscribed(stage: Stage, session?: string): Actor {
  const actor = stage.joinWith(undefined, V1, false, session);
  if (actor.socket.said.every(({ type }) => type !== "subscribed")) {
    actor.says({ type: "subscribe", id: "1", subjects: [">"] });
  }
  return actor;
}

function redeliveries(actor: Actor): unknown[] {
  return actor.socket.envelopes
    .filter(({ redelivery }) => redelivery !== undefined)
    .map(({ payload, redelivery }) => [payload, redelivery]);
}

describe("A message in at-least-once", () => {
  test("is sent again after the acknowledgement did not come, with its id and how often it was sent", () => {
    const stage = staged();
    const actor = stage.join();
    send(stage, 1, 2);
    ack(actor, 1);
    stage.clock.advance(5000);
    expect(redeliveries(actor)).toEqual([]);
    stage.clock.advance(1010);
    expect(redeliveries(actor)).toEqual([[2, 1]]);
    const [, first, again] = actor.socket.envelopes;
    expect(again).toEqual({ ...first, redelivery: 1 } as unknown as Said);
    // Twice as long the next time.
    stage.clock.advance(5000 + 1970);
    expect(redeliveries(actor)).toEqual([[2, 1]]);
    stage.clock.advance(30);
    expect(redeliveries(actor)).toEqual([
      [2, 1],
      [2, 2],
    ]);
    ack(actor, 2);
    stage.clock.advance(60_000);
    expect(redeliveries(actor)).toHaveLength(2);
    expect(stage.meter).toMatchObject({ sent: 2, redelivered: 2, inFlight: 0 });
    expect(stage.meter.acks).toMatchObject({ acked: 2, timed_out: 2 });
    stage.expectBalance();
  });

  test("is sent again soon after it was refused, and in order when several were", () => {
    const stage = staged();
    const actor = stage.join();
    send(stage, 1, 2, 3);
    actor.says({ type: "nack", ids: [idOf(actor, 3), idOf(actor, 1)] });
    stage.clock.advance(990);
    expect(redeliveries(actor)).toEqual([]);
    stage.clock.advance(20);
    expect(redeliveries(actor)).toEqual([
      [1, 1],
      [3, 1],
    ]);
    expect(stage.meter.acks.nacked).toBe(2);
  });

  test("comes back between half of the back-off and all of it", () => {
    const stage = staged();
    const actor = stage.join();
    send(stage, 1);
    stage.random = 0.999;
    actor.says({ type: "nack", id: idOf(actor, 1) });
    stage.clock.advance(495);
    expect(redeliveries(actor)).toEqual([]);
    stage.clock.advance(15);
    expect(redeliveries(actor)).toEqual([[1, 1]]);
  });

  test.each([
    ["is declared in a gap", "v1"],
    ["is counted", "plain"],
  ] as const)("%s when it was sent often enough, in %s", (_, dialect) => {
    const stage = staged({ maxDeliver: 2, deadLetterSubject: "dead" });
    const actor = dialect === "v1" ? subscribed(stage) : stage.join();
    send(stage, { n: 1 });
    const id = String(actor.socket.envelopes[0]?.id);
    stage.clock.advance(20_000);
    expect(redeliveries(actor)).toEqual([[{ n: 1 }, 1]]);
    const gaps = actor.socket.notices.filter(({ type }) => type === "gap");
    const gap = { type: "gap", from: id, to: id, count: 1, reason: "max_deliver" } as const;
    expect(gaps).toEqual(dialect === "v1" ? [gap] : []);
    expect(stage.meter.lost.max_deliver).toBe(1);
    expect(stage.deadLetters).toHaveLength(1);
    const [letter] = stage.deadLetters;
    expect(new TextDecoder().decode(letter?.data)).toBe('{"n":1}');
    expect(Object.fromEntries(letter?.headers ?? [])).toEqual({
      "Spillway-Subject": ["a"],
      "Spillway-Id": [id],
      "Spillway-Reason": ["max_deliver"],
      "Spillway-Last-Failure": ["ack_timeout"],
      "Spillway-Deliveries": ["2"],
    });
    stage.expectBalance();
  });

  test("that was refused for the last time is given up at once", () => {
    const stage = staged({ maxDeliver: 1, deadLetterSubject: "dead" });
    const actor = subscribed(stage);
    send(stage, 1);
    actor.says({ type: "nack", id: idOf(actor, 1) });
    expect(lastOf(actor)).toMatchObject({ type: "gap", reason: "max_deliver" });
    expect(stage.deadLetters[0]?.headers?.get("Spillway-Last-Failure")).toEqual(["nack"]);
  });

  test("is not sent again while its client says in time that it works on it", () => {
    const stage = staged({ redeliveryBackoffMs: 0 });
    const actor = subscribed(stage);
    send(stage, 1);
    for (let n = 0; n < 3; n++) {
      stage.clock.advance(4000);
      actor.says({ type: "working", id: idOf(actor, 1) });
    }
    expect(actor.socket.payloads).toEqual([1]);
    actor.says({ type: "working", ids: ["nothing:1"] });
    expect(stage.meter.acks.unknown).toBe(1);
    stage.clock.advance(5010);
    expect(redeliveries(actor)).toEqual([[1, 1]]);
  });

  test("is not sent again into a socket that has no room", () => {
    const stage = staged();
    const actor = stage.join();
    actor.socket.reads = false;
    send(stage, "x".repeat(300));
    stage.clock.advance(4500);
    actor.socket.buffered = 201;
    stage.clock.advance(2500);
    expect(redeliveries(actor)).toHaveLength(0);
    actor.socket.buffered = 0;
    stage.clock.advance(110);
    expect(redeliveries(actor)).toHaveLength(1);
  });

  test("is not late because the whole process stood still", () => {
    const stage = staged();
    const actor = stage.join();
    send(stage, 1);
    stage.clock.pause(8000);
    stage.clock.advance(10);
    expect(stage.meter.acks.timed_out).toBe(0);
    ack(actor, 1);
    stage.clock.advance(30_000);
    expect(redeliveries(actor)).toEqual([]);
  });
});

describe("A connection that is dead, and not known to be", () => {
  test("loses nothing: what may never have reached its client is not given up", () => {
    const stage = staged({ maxDeliver: 2 });
    const before = subscribed(stage);
    stage.clock.advance(100);
    before.socket.onPing = undefined;
    send(stage, 1);
    stage.clock.advance(45_000);
    expect(before.client.isOver).toBe(false);
    expect(stage.meter.lost.max_deliver).toBe(0);
    stage.clock.advance(20_000);
    expect(before.socket.closedWith).toBe(4513);
    const after = subscribed(stage, String(before.socket.said[0]?.session));
    expect(after.socket.payloads).toEqual([1]);
    stage.expectBalance();
  });

  test("is asked for a sign of life before a message is given up", () => {
    const stage = staged({ maxDeliver: 1, redeliveryBackoffMs: 0 });
    const actor = subscribed(stage);
    stage.clock.advance(100);
    actor.socket.onPing = undefined;
    send(stage, 1);
    const { pings } = actor.socket;
    stage.clock.advance(6000);
    expect([actor.socket.pings - pings, stage.meter.lost.max_deliver]).toEqual([1, 0]);
    actor.client.heard();
    stage.clock.advance(200);
    expect(stage.meter.lost.max_deliver).toBe(1);
    expect(lastOf(actor)).toMatchObject({ type: "gap", reason: "max_deliver" });
  });

  test("may have lost a gap, which is told again until something behind it is acknowledged", () => {
    const stage = staged({ maxInflightMessages: 1, maxQueueMessages: 2, policy: "drop-oldest" });
    const first = subscribed(stage);
    const session = String(first.socket.said[0]?.session);
    send(stage, 1, 2, 3, 4, 5);
    first.socket.peerCloses = true;
    ack(first, 1);
    stage.clock.advance(5);
    const second = subscribed(stage, session);
    stage.clock.advance(5);
    gone(second);
    const third = subscribed(stage, session);
    stage.clock.advance(5);
    ack(third, 4);
    stage.clock.advance(5);
    gone(third);
    const fourth = subscribed(stage, session);
    const gap = { type: "gap", reason: "slow", count: 2 };
    for (const actor of [second, third]) {
      const told = actor.socket.notices.filter(({ type }) => type === "gap");
      expect(told).toMatchObject([gap]);
      expect(actor.socket.payloads[0]).toBe(4);
    }
    expect(fourth.socket.notices.filter(({ type }) => type === "gap")).toEqual([]);
    stage.expectBalance();
  });
});

describe("An acknowledgement", () => {
  test("may be of one message, of several, or of all up to one", () => {
    const stage = staged();
    const actor = stage.join();
    send(stage, 1, 2, 3, 4, 5, 6);
    ack(actor, 2);
    actor.says({ type: "ack", ids: [idOf(actor, 1), idOf(actor, 6)] });
    actor.says({ type: "ack", upto: idOf(actor, 4) });
    expect(stage.meter).toMatchObject({ inFlight: 1, acks: { acked: 5 } });
    stage.clock.advance(7000);
    expect(redeliveries(actor)).toEqual([[5, 1]]);
  });

  test("that comes twice, of what was never sent, or of another run, is counted and harmless", () => {
    const stage = staged();
    const actor = stage.join();
    send(stage, 1);
    ack(actor, 1, 1);
    const [origin] = idOf(actor, 1).split(":");
    for (const id of [`${origin}:99`, "elsewhere:1", "", `${origin}:01`, `${origin}:x`, origin]) {
      actor.says({ type: "ack", id });
      actor.says({ type: "ack", upto: id });
      actor.says({ type: "nack", id });
    }
    expect(stage.meter.acks).toMatchObject({ acked: 1, repeated: 1, unknown: 18, nacked: 0 });
    expect(actor.client.isOver).toBe(false);
    stage.expectBalance();
  });

  test("of a message that waits to be sent again takes it out", () => {
    const stage = staged();
    const actor = stage.join();
    send(stage, 1);
    actor.says({ type: "nack", id: idOf(actor, 1) });
    ack(actor, 1);
    stage.clock.advance(10_000);
    expect(redeliveries(actor)).toEqual([]);
  });

  test("of what was late already is not timed", () => {
    const stage = staged({ redeliveryBackoffMs: 60_000 });
    const actor = subscribed(stage);
    send(stage, 1);
    stage.clock.advance(5010);
    ack(actor, 1);
    expect(stage.meter.acks).toMatchObject({ acked: 1, timed_out: 1 });
    expect(stage.meter.ackSeconds.counts.every((count) => count === 0)).toBe(true);
  });

  test("is timed from when the message was last sent", () => {
    const stage = staged();
    const actor = stage.join();
    send(stage, 1, 2);
    ack(actor, 1);
    stage.clock.advance(6010);
    stage.clock.advance(40);
    ack(actor, 2);
    expect(stage.meter.ackSeconds.sum).toBeCloseTo(0.002 + 0.05, 1);
  });
});

describe("Messages of several origins", () => {
  const ofStream = (stage: Stage, sequence: number, epoch = "S:1"): void => {
    const data = new TextEncoder().encode(JSON.stringify(`s${sequence}`));
    stage.broadcaster.message({ subject: "s", data, position: { origin: epoch, sequence } });
  };

  test("have sequences that say nothing to each other, and come again each as it came", () => {
    const stage = staged();
    const actor = subscribed(stage);
    ofStream(stage, 500);
    stage.publish("g1");
    ofStream(stage, 501);
    ofStream(stage, 1, "S:12");
    stage.clock.advance(2);
    expect(actor.socket.payloads).toEqual(["s500", "g1", "s501", "s1"]);
    const ids = actor.socket.envelopes.map(({ id }) => String(id));
    expect([ids[0], ids[3]]).toEqual(["S:1:500", "S:12:1"]);
    actor.says({ type: "ack", upto: "S:1:500" });
    expect(stage.meter.inFlight).toBe(3);
    actor.says(`{"type":"ack","id":"S:12:1","timestamp":1}`);
    actor.says({ type: "ack", id: "S:3:501" });
    expect(stage.meter).toMatchObject({ inFlight: 2, acks: { acked: 2, unknown: 1 } });
    stage.clock.advance(6100);
    expect(new Set(redeliveries(actor).map((one) => (one as unknown[])[0]))).toEqual(
      new Set(["g1", "s501"]),
    );
    stage.clock.advance(30_000);
    const gaps = actor.socket.notices.filter(({ reason }) => reason === "max_deliver");
    expect(gaps.map(({ from, count }) => [from, count])).toEqual([
      ["S:1:501", 1],
      [ids[1], 1],
    ]);
    stage.expectBalance();
  });
});

describe("A full window", () => {
  test("stops that client's flow, and nobody else's", () => {
    const stage = staged({ maxInflightMessages: 2 });
    const mute = stage.join();
    const quick = stage.join();
    for (let n = 1; n <= 6; n++) {
      send(stage, n);
      ack(quick, n);
      stage.clock.advance(2);
    }
    expect(mute.socket.payloads).toEqual([1, 2]);
    expect(quick.socket.payloads).toEqual([1, 2, 3, 4, 5, 6]);
    expect(quick.client.state).toBe("live");
    ack(mute, 1);
    stage.clock.advance(2);
    expect(mute.socket.payloads).toEqual([1, 2, 3]);
    ack(mute, 2, 3);
    stage.clock.advance(2);
    ack(mute, 4, 5);
    stage.clock.advance(2);
    expect(mute.socket.payloads).toEqual([1, 2, 3, 4, 5, 6]);
    expect(mute.client.state).toBe("live");
    stage.expectBalance();
  });

  test("is one of bytes as well, and one message may be larger than it", () => {
    const stage = staged({ maxInflightBytes: 500 });
    const actor = stage.join();
    send(stage, "x".repeat(600), 2);
    expect(actor.socket.payloads).toHaveLength(1);
    ack(actor, "x".repeat(600));
    stage.clock.advance(2);
    expect(actor.socket.payloads.at(-1)).toBe(2);
  });

  test("is behind a queue whose policy applies", () => {
    const stage = staged({ maxInflightMessages: 1, maxQueueMessages: 2, policy: "drop-oldest" });
    const actor = subscribed(stage);
    send(stage, 1, 2, 3, 4, 5);
    expect(actor.socket.payloads).toEqual([1]);
    ack(actor, 1);
    stage.clock.advance(2);
    ack(actor, 4);
    stage.clock.advance(2);
    expect(actor.socket.payloads).toEqual([1, 4, 5]);
    expect(actor.socket.notices).toContainEqual({
      type: "gap",
      from: idOf(actor, 4).replace(/4$/, "2"),
      to: idOf(actor, 4).replace(/4$/, "3"),
      count: 2,
      reason: "slow",
    });
    stage.expectBalance();
  });

  test("gets a client disconnected whose queue is full, where that is its policy", () => {
    const stage = staged({ maxInflightMessages: 1, maxQueueMessages: 2 });
    const actor = subscribed(stage);
    send(stage, 1, 2, 3, 4);
    expect(actor.socket.closedWith).toBe(4510);
    expect(stage.meter.lost.slow_consumer).toBe(1);
    stage.expectBalance();
  });
});

describe("A session", () => {
  const SESSION = "my-own-session-0001";
  const plain = (stage: Stage, session = SESSION) => stage.joinWith(ANY, PLAIN, false, session);

  test("gives a plain client that comes back what it has not acknowledged, in order, and then the rest", () => {
    const stage = staged();
    const before = plain(stage);
    send(stage, 1, 2, 3);
    ack(before, 2);
    gone(before);
    send(stage, 4, 5);
    const after = plain(stage);
    send(stage, 6);
    expect(after.socket.payloads).toEqual([1, 3, 4, 5, 6]);
    expect(redeliveries(after)).toEqual([
      [1, 1],
      [3, 1],
    ]);
    ack(after, 1, 3, 4, 5, 6);
    expect(stage.meter).toMatchObject({ inFlight: 0, sessionsParked: 0, sessionsResumed: 1 });
    expect(after.client.state).toBe("live");
    stage.expectBalance();
  });

  test("is named by the gateway in welcome, and keeps its subscriptions", () => {
    const stage = staged();
    const before = subscribed(stage);
    const [welcome] = before.socket.said;
    expect(welcome).toMatchObject({
      type: "welcome",
      delivery_mode: "at-least-once",
      delivery: { ack_timeout_ms: 5000, session_ttl_ms: 60_000, resumed: false },
    });
    send(stage, 1);
    gone(before);
    send(stage, 2);
    const after = subscribed(stage, String(welcome?.session));
    stage.clock.advance(2);
    expect(typesOf(after)).toEqual(["welcome", "subscribed", "data", "data"]);
    expect(after.socket.said[0]).toMatchObject({
      session: welcome?.session,
      delivery: { resumed: true },
    });
    expect(after.socket.payloads).toEqual([1, 2]);
  });

  test("that is no more is said to be lost", () => {
    const stage = staged();
    const before = subscribed(stage);
    const session = String(before.socket.said[0]?.session);
    send(stage, 1);
    gone(before);
    send(stage, 2);
    stage.clock.advance(60_010);
    expect(stage.meter).toMatchObject({ sessionsParked: 0, queued: 0, inFlight: 0 });
    expect(stage.meter.lost.session_expired).toBe(1);
    expect(stage.meter.dropped.session_lost).toBe(1);
    const after = subscribed(stage, session);
    expect(after.socket.said[0]).toMatchObject({ session, delivery: { resumed: false } });
    expect(after.socket.said[1]).toMatchObject({
      type: "gap",
      reason: "session_expired",
      exact: false,
    });
    stage.expectBalance();
  });

  test("goes over to a second connection, and the first is closed with 4409", () => {
    const stage = staged();
    const first = subscribed(stage);
    send(stage, 1);
    const second = subscribed(stage, String(first.socket.said[0]?.session));
    expect(first.socket.closedWith).toBe(4409);
    expect(lastOf(first)).toMatchObject({ type: "disconnect", code: 4409, reconnect: false });
    send(stage, 2);
    expect(first.socket.payloads).toEqual([1]);
    expect(second.socket.payloads).toEqual([1, 2]);
    ack(first, 1);
    expect(stage.meter.inFlight).toBe(2);
    ack(second, 1, 2);
    expect(stage.meter.inFlight).toBe(0);
    stage.expectBalance();
  });

  test("is not kept for a plain client that names none", () => {
    const stage = staged();
    const actor = stage.join();
    send(stage, 1);
    gone(actor);
    expect(stage.meter.lost.disconnected).toBe(1);
    expect(stage.meter.sessionsParked).toBe(0);
    stage.expectBalance();
  });

  test("keeps messages while nobody at all is connected, within the bounds of a queue", () => {
    const stage = staged({ maxQueueMessages: 2, policy: "drop-oldest" });
    const before = subscribed(stage);
    const session = String(before.socket.said[0]?.session);
    gone(before);
    send(stage, 1, 2, 3);
    const after = subscribed(stage, session);
    stage.clock.advance(2);
    expect(typesOf(after)).toEqual(["welcome", "subscribed", "gap", "data", "data"]);
    expect(after.socket.payloads).toEqual([2, 3]);
    stage.expectBalance();
  });

  test("does not lose a message by coming back too often", () => {
    const stage = staged({ maxDeliver: 2 });
    let actor = plain(stage);
    send(stage, 1);
    for (let n = 1; n <= 5; n++) {
      gone(actor);
      actor = plain(stage);
      expect(redeliveries(actor)).toEqual([[1, n]]);
    }
    stage.clock.advance(6000);
    expect(stage.meter.lost.max_deliver).toBe(1);
    stage.expectBalance();
  });

  test("ends when its client says that it is done", () => {
    const stage = staged();
    const actor = subscribed(stage);
    send(stage, 1);
    actor.client.closed(1000);
    expect(stage.meter.sessionsParked).toBe(0);
    expect(stage.meter.lost.disconnected).toBe(1);
    stage.expectBalance();
  });

  test("is ended when too much waits for all clients together", () => {
    const stage = staged({ maxTotalQueueBytes: 3000, policy: "drop-oldest" });
    gone(plain(stage));
    send(stage, ..."abcd".split("").map((letter) => letter.repeat(900)));
    expect(stage.meter.sessionsParked).toBe(0);
    expect(stage.meter.dropped.overloaded).toBe(4);
    expect(stage.meter.queuedBytes).toBe(0);
    stage.expectBalance();
  });

  test("is as slow as its client said, when that comes back", () => {
    const stage = staged({
      maxQueueMessages: 1000,
      maxQueueBytes: 1_000_000,
      highWaterBytes: 100_000,
    });
    const before = plain(stage);
    for (let n = 0; n < 100; n++) {
      stage.publish(n);
      stage.clock.advance(10);
      ack(before, n);
    }
    before.says({ type: "slow" });
    for (let n = 100; n < 150; n++) {
      stage.publish(n);
      stage.clock.advance(10);
    }
    gone(before);
    const after = plain(stage);
    const { length } = after.socket.payloads;
    for (let n = 150; n < 250; n++) {
      stage.publish(n);
      stage.clock.advance(10);
    }
    // Half of a hundred in a second, and what was saved of the rate.
    expect(after.socket.payloads.length - length).toBeLessThan(70);
    expect(after.socket.payloads.length - length).toBeGreaterThan(30);
  });

  test("has no time running against what was sent while nobody is connected", () => {
    const stage = staged({ maxDeliver: 2 });
    const before = plain(stage);
    send(stage, 1);
    gone(before);
    stage.clock.advance(50_000);
    expect(stage.meter.redelivered).toBe(0);
    expect(stage.meter.acks.timed_out).toBe(0);
    const after = plain(stage);
    expect(redeliveries(after)).toEqual([[1, 1]]);
    stage.expectBalance();
  });

  test("ends when its queue is full, where that is its policy", () => {
    const stage = staged({ maxQueueMessages: 2 });
    const before = plain(stage);
    send(stage, 0);
    gone(before);
    send(stage, 1, 2, 3);
    expect(stage.meter).toMatchObject({ sessionsParked: 0, inFlight: 0, queued: 0 });
    const after = plain(stage);
    send(stage, 4);
    expect(after.socket.payloads).toEqual([4]);
    stage.expectBalance();
  });

  test("is given up for another one when there are too many, or too much is kept", () => {
    const many = staged({ maxSessions: 1 });
    for (const n of [1, 2]) {
      const actor = plain(many, `${SESSION}${n}`);
      send(many, n);
      ack(actor, n);
      gone(actor);
    }
    expect(many.meter.sessionsParked).toBe(1);
    expect(many.meter.dropped.session_lost).toBe(1);
    many.expectBalance();

    const much = staged({ maxSessionBytes: 2200 });
    for (const n of [1, 2, 3]) gone(plain(much, `${SESSION}${n}`));
    send(much, "x".repeat(400));
    expect(much.meter.sessionsParked).toBe(3);
    send(much, "x".repeat(400));
    expect(much.meter.sessionsParked).toBe(2);
    expect(much.broadcaster.reception.sessions?.bytes).toBeLessThanOrEqual(2000);
    much.expectBalance();
  });

  test("keeps what waits for it from growing too old while nobody is there", () => {
    const stage = staged({ maxQueueAgeMs: 1000 });
    gone(plain(stage));
    send(stage, 1);
    stage.clock.advance(30_000);
    const after = plain(stage);
    after.socket.reads = false;
    after.socket.buffered = 500;
    stage.clock.advance(600);
    expect(after.client.isOver).toBe(false);
    after.socket.buffered = 0;
    stage.clock.advance(300);
    expect(after.socket.payloads).toEqual([1]);
  });

  test("that is resumed with other subjects has those from then on", () => {
    const stage = staged();
    const before = stage.joinWith({ id: "", subjects: ["a"] }, PLAIN, false, SESSION);
    send(stage, 1);
    gone(before);
    send(stage, 2);
    const after = stage.joinWith({ id: "", subjects: ["b"] }, PLAIN, false, SESSION);
    stage.publish(3, "a");
    stage.publish(4, "b");
    stage.clock.advance(2);
    expect(after.socket.payloads).toEqual([1, 2, 4]);
    expect([...stage.source.patterns]).toEqual(["b"]);
  });

  test("keeps what a slowed-down subscription holds back, and its rate", () => {
    const stage = staged();
    const paced = { id: "", subjects: undefined, maxRate: 1 };
    const before = stage.joinWith(paced, PLAIN, false, SESSION);
    send(stage, 1);
    ack(before, 1);
    send(stage, 2);
    expect(before.socket.payloads).toEqual([1]);
    gone(before);
    const after = stage.joinWith(paced, PLAIN, false, SESSION);
    stage.clock.advance(900);
    expect(after.socket.payloads).toEqual([]);
    stage.clock.advance(100);
    expect(after.socket.payloads).toEqual([2]);
    stage.expectBalance();
  });

  test("survives a connection that took nothing any more", () => {
    const stage = staged();
    const before = plain(stage);
    before.socket.peerCloses = true;
    send(stage, 1);
    gone(before);
    const after = plain(stage);
    expect(after.socket.payloads).toEqual([1]);
    stage.expectBalance();
  });

  test("leaves nothing behind when it is over", async () => {
    const stage = staged({ upstreamLingerMs: 0 });
    gone(plain(stage));
    stage.clock.advance(61_000);
    expect([...stage.source.patterns]).toEqual([]);
    gone(plain(stage));
    const live = plain(stage, `${SESSION}2`);
    send(stage, 1);
    const drained = stage.broadcaster.drain(5000);
    stage.clock.advance(300);
    expect(live.client.isOver).toBe(false);
    ack(live, 1);
    stage.clock.advance(300);
    await drained;
    expect(live.socket.closedWith).toBe(1001);
    expect(stage.clock.timers).toBe(0);
    expect(stage.meter).toMatchObject({ sessionsParked: 0, queued: 0, inFlight: 0 });
    stage.expectBalance();
  });
});

describe("A stop", () => {
  test("waits for acknowledgements as long as it may, and counts what is missing as lost", async () => {
    const stage = staged();
    const actor = subscribed(stage);
    send(stage, 1, 2);
    ack(actor, 1);
    const drained = stage.broadcaster.drain(3000);
    stage.clock.advance(2900);
    expect(actor.client.isOver).toBe(false);
    stage.clock.advance(200);
    await drained;
    expect(stage.meter.lost.stopped).toBe(1);
    expect(stage.clock.timers).toBe(0);
    stage.expectBalance();
  });
});

describe("Server-sent events of a gateway in at-least-once", () => {
  test("are at-most-once, as nothing can be acknowledged", async () => {
    const { SSE } = await import("../../../src/core/wire/dialect.ts");
    const stage = staged();
    const actor = stage.joinWith(ANY, SSE);
    send(stage, 1);
    stage.clock.advance(60_000);
    expect(actor.socket.received.filter(({ text }) => text.includes('"payload":1'))).toHaveLength(
      1,
    );
    expect(stage.meter.tracked).toBe(0);
  });
});
