import { describe, expect, test } from "bun:test";
import type { DurableTracker } from "../../../src/core/acks/durable-tracker.ts";
import { RedeliveryPolicy } from "../../../src/core/acks/redelivery-policy.ts";
import type { SessionAcks } from "../../../src/core/acks/session-acks.ts";
import type { DurableUse, Settlement, SourceMessage } from "../../../src/core/ports/source.ts";
import { NOT_QUEUED, TimerQueue } from "../../../src/core/timing/timer-queue.ts";
import { TurnShare } from "../../../src/core/timing/turn-share.ts";
import { EnvelopeEncoder } from "../../../src/core/wire/envelope.ts";
import { Harness, type TestClient } from "../support/harness.ts";
import { turnsOf } from "../support/turns.ts";

const TERMS = {
  deliveryMode: "at-least-once",
  ackTimeoutMs: 1000,
  maxDeliver: 3,
  redeliveryBackoffMs: 100,
  maxInflightMessages: 100,
  maxInflightBytes: 400,
} as const;
const ORIGIN = "ORDERS:epoch";

/** A durable that a client of `spillway.v1.json` uses, and what became of its messages. */
class Bench {
  readonly harness = new Harness(TERMS);
  readonly peer: TestClient = this.harness.joinV1();
  readonly settled: (readonly [receipt: string, as: Settlement, delayMs?: number | undefined])[] =
    [];
  readonly letters: SourceMessage[] = [];
  resumed = 0;
  released = 0;
  readonly durable: DurableTracker;

  constructor() {
    const { clock, meter } = this.harness;
    const title = {
      id: "1",
      name: "worker",
      subjects: ["orders.>"],
      policy: "disconnect",
    } as const;
    const acks = this.peer.session.acks as SessionAcks;
    this.durable = acks.addDurable(title, this.peer.session, {
      options: TERMS,
      clock,
      meter,
      timers: new TimerQueue(clock),
      turnShare: new TurnShare(turnsOf(clock)),
      encoder: new EnvelopeEncoder({ payloadFormat: "raw", headers: [] }),
      redelivery: new RedeliveryPolicy(TERMS, {
        ledger: meter.ledger,
        deadLetters: { publish: (message) => void this.letters.push(message) },
        deadLetterSubject: "dead",
        random: () => 0,
      }),
    });
    const use: DurableUse = {
      settle: (...settlement) => void this.settled.push(settlement),
      resume: () => void this.resumed++,
      release: () => void this.released++,
    };
    this.durable.begin(use);
    this.begins();
  }

  begins(tip: Partial<Parameters<DurableTracker["begins"]>[0]> = {}): void {
    this.durable.begins({ origin: ORIGIN, sequence: 0, first: 1, isNew: true, ...tip });
  }

  /** Delivers a message, and lets the turn end. */
  async delivers(sequence: number, deliveries = 1): Promise<void> {
    this.durable.message({
      subject: "orders.x",
      data: new TextEncoder().encode(`${sequence}`),
      position: { origin: ORIGIN, sequence },
      timestampMs: 0,
      deliveries,
      receipt: `${sequence}#${deliveries}`,
    });
    await Promise.resolve();
  }

  send(type: string, field: object): void {
    this.peer.send({ type, ...field });
    this.harness.expectBalance();
  }
}

const id = (sequence: number): string => `${ORIGIN}:${sequence}`;

describe("A durable", () => {
  test("says where it begins, and hands messages on with how often they came before", async () => {
    const harness = new Bench();
    await harness.delivers(7);
    await harness.delivers(5, 2);
    const [, subscribed, ...messages] = harness.peer.socket.frames;
    expect(subscribed).toMatchObject({
      type: "subscribed",
      sub: "1",
      durable: "worker",
      from: id(0),
    });
    expect(messages).toMatchObject([
      { id: id(7), payload: 7 },
      { id: id(5), redelivery: 1 },
    ]);
    expect(messages[0]).not.toHaveProperty("redelivery");
    harness.harness.expectBalance();
  });

  test("messages of one turn are one write", async () => {
    const harness = new Bench();
    const { writes } = harness.peer.socket;
    void harness.delivers(1);
    await harness.delivers(2);
    expect(harness.peer.socket.payloads).toEqual([1, 2]);
    expect(harness.peer.socket.writes).toBe(writes + 1);
  });

  test.each([
    ["released", ({ durable }: Bench) => durable.release()],
    ["refused", ({ durable }: Bench) => durable.refused("unavailable", "gone")],
  ])("that is %s sets no timer, though a message came in the same turn", async (_, end) => {
    const bench = new Bench();
    const delivered = bench.delivers(1);
    end(bench);
    bench.peer.connection.closed(1000);
    await delivered;
    expect(bench.durable.queueIndex).toBe(NOT_QUEUED);
    expect(bench.harness.meter.ledger).toMatchObject({ inFlight: 0, returned: 1 });
    bench.harness.expectBalance();
  });

  test("acknowledgements go to where each message came from, once", async () => {
    const harness = new Bench();
    for (const sequence of [1, 2, 3, 4]) await harness.delivers(sequence);
    harness.send("ack", { id: id(2) });
    harness.send("ack", { id: id(2) });
    harness.send("ack", { id: "OTHER:epoch:3" });
    harness.send("ack", { upto: id(3) });
    harness.send("ack", { ids: [id(4)] });
    const receipts = harness.settled.map(([receipt, as]) => [receipt, as]);
    expect(receipts).toEqual(["2#1", "1#1", "3#1", "4#1"].map((receipt) => [receipt, "ack"]));
    const { acks, inFlight } = harness.harness.meter.ledger;
    expect({ ...acks, inFlight }).toMatchObject({ acked: 4, inFlight: 0 });
  });

  test("a message that is refused waits for its back-off, the last time it is given up", async () => {
    const harness = new Bench();
    await harness.delivers(1);
    harness.send("nack", { id: id(1) });
    await harness.delivers(1, 2);
    harness.send("nack", { id: id(1) });
    await harness.delivers(1, 3);
    harness.send("nack", { id: id(1) });
    expect(harness.settled).toEqual([
      ["1#1", "nack", 100],
      ["1#2", "nack", 200],
      ["1#3", "term"],
    ]);
    expect(harness.peer.socket.frames.at(-1)).toMatchObject({
      type: "gap",
      reason: "max_deliver",
      from: id(1),
      count: 1,
    });
    expect(harness.letters.map(({ headers }) => headers?.get("Spillway-Last-Failure"))).toEqual([
      ["nack"],
    ]);
    const { lost, redelivered } = harness.harness.meter.ledger;
    expect([lost.max_deliver, redelivered]).toEqual([1, 2]);
  });

  test("one that is refused twice, or too late, is refused once", async () => {
    const harness = new Bench();
    await harness.delivers(1);
    await harness.delivers(2);
    harness.send("nack", { ids: [id(1), id(1)] });
    harness.harness.clock.advance(1010);
    harness.send("nack", { id: id(2) });
    expect(harness.settled).toEqual([["1#1", "nack", 100]]);
    expect(harness.harness.meter.ledger.acks).toMatchObject({
      nacked: 1,
      repeated: 2,
      timed_out: 1,
    });
    expect(harness.durable.roomBytes).toBe(400);
  });

  test("one that came as often as it may, to whomever, is handed to who comes next once more", async () => {
    const harness = new Bench();
    await harness.delivers(1, 4);
    expect(harness.peer.socket.payloads).toEqual([1]);
    harness.harness.clock.advance(1000);
    await harness.delivers(1, 5);
    expect(harness.settled).toEqual([["1#5", "term"]]);
    expect(harness.peer.socket.payloads).toEqual([1]);
    expect(harness.peer.socket.frames.at(-1)).toMatchObject({
      ...{ type: "gap", reason: "max_deliver", sub: "1" },
    });
    expect(harness.letters[0]?.headers?.get("Spillway-Deliveries")).toEqual(["3"]);
    harness.harness.expectBalance();
  });

  test("one that may never have reached its client is not given up", async () => {
    const harness = new Bench();
    harness.peer.socket.onPing = undefined;
    await harness.delivers(1, 3);
    harness.harness.clock.advance(1000);
    await harness.delivers(1, 4);
    await harness.delivers(1, 5);
    expect(harness.settled).toEqual([
      ["1#4", "nack", 100],
      ["1#5", "nack", 100],
    ]);
    expect(harness.peer.socket.payloads).toEqual([1]);
    harness.send("ping", {});
    await harness.delivers(1, 6);
    expect(harness.settled.at(-1)).toEqual(["1#6", "term"]);
  });

  test("what is late takes no room, and counts as not acknowledged until it comes again", async () => {
    const harness = new Bench();
    for (let sequence = 1; harness.durable.roomBytes > 0; sequence++)
      await harness.delivers(sequence);
    const { resumed } = harness;
    harness.harness.clock.advance(999);
    expect([harness.resumed, harness.durable.roomBytes > 0]).toEqual([resumed, false]);
    harness.harness.clock.advance(10);
    expect([harness.resumed, harness.durable.roomBytes]).toEqual([resumed + 1, 400]);
    expect(harness.harness.meter.ledger.acks.timed_out).toBe(harness.harness.meter.ledger.inFlight);
    expect(harness.durable.settledUpTo).toBe(0);
    await harness.delivers(1, 2);
    expect(harness.durable.roomBytes).toBeLessThan(400);
    harness.send("ack", { upto: id(100) });
    expect(harness.durable.roomBytes).toBe(400);
    expect(harness.harness.meter.ledger.inFlight).toBe(0);
  });

  test("what is being worked on is late only after its whole time", async () => {
    const harness = new Bench();
    await harness.delivers(1);
    harness.harness.clock.advance(900);
    harness.send("working", { id: id(1) });
    expect(harness.settled).toEqual([["1#1", "working"]]);
    harness.harness.clock.advance(900);
    expect(harness.harness.meter.ledger.acks.timed_out).toBe(0);
    harness.harness.clock.advance(200);
    expect(harness.harness.meter.ledger.acks.timed_out).toBe(1);
  });

  test("NATS is told once of a message that one frame names many times", async () => {
    const harness = new Bench();
    await harness.delivers(1);
    await harness.delivers(2);
    harness.send("working", { ids: [id(1), id(1), id(2), id(1)] });
    expect(harness.settled).toEqual([
      ["1#1", "working"],
      ["2#1", "working"],
    ]);
    harness.harness.clock.advance(1);
    harness.send("working", { id: id(1) });
    expect(harness.settled).toHaveLength(3);
  });

  test("nothing more is asked for while its client takes nothing, and it is asked again", async () => {
    const harness = new Bench();
    harness.peer.socket.reads = false;
    for (let sequence = 1; sequence <= 3; sequence++) await harness.delivers(sequence);
    expect(harness.durable.roomBytes).toBe(0);
    const { resumed } = harness;
    harness.harness.clock.advance(110);
    expect(harness.resumed).toBeGreaterThan(resumed);
    harness.peer.socket.reads = true;
    harness.peer.socket.buffered = 0;
    harness.harness.clock.advance(110);
    expect(harness.durable.roomBytes).toBeGreaterThan(0);
  });

  test("is asked again by itself when its client takes nothing at the time, whatever is settled", async () => {
    const harness = new Bench();
    harness.send("slow", {});
    expect(harness.durable.roomBytes).toBe(0);
    const { resumed } = harness;
    harness.harness.clock.advance(400);
    expect(harness.resumed).toBeGreaterThan(resumed);
    expect(harness.durable.roomBytes).toBe(400);
  });

  test("what is being worked on anew takes room until it is late again", async () => {
    const harness = new Bench();
    await harness.delivers(1);
    harness.harness.clock.advance(1010);
    harness.send("working", { id: id(1) });
    expect(harness.durable.roomBytes).toBeLessThan(400);
    const { resumed } = harness;
    harness.harness.clock.advance(1010);
    expect(harness.durable.roomBytes).toBe(400);
    expect(harness.resumed).toBe(resumed + 1);
  });

  test("gives back what is not settled, in order, when its client is gone", async () => {
    const harness = new Bench();
    for (const sequence of [3, 1, 2]) await harness.delivers(sequence);
    harness.send("ack", { id: id(2) });
    harness.peer.connection.closed(1006);
    expect(harness.settled.slice(1)).toEqual([
      ["1#1", "nack"],
      ["3#1", "nack"],
    ]);
    expect(harness.released).toBe(1);
    expect(harness.harness.meter.ledger.returned).toBe(2);
    harness.harness.expectBalance();
  });

  test("its client is closed with 4409 when somebody else takes it", () => {
    const harness = new Bench();
    harness.durable.taken();
    expect(harness.peer.socket.closedWith).toBe(4409);
    expect(harness.released).toBe(1);
  });

  test("a stream that was made anew, or whose messages are gone, is a gap of unknown size", async () => {
    const harness = new Bench();
    await harness.delivers(4);
    harness.begins({ sequence: 3, first: 9, isNew: false });
    const gap = { type: "gap", exact: false, count: 0, sub: "1" };
    expect(harness.peer.socket.frames.at(-1)).toMatchObject({
      ...gap,
      reason: "expired",
      from: id(4),
      to: id(8),
    });
    harness.begins({ origin: "ORDERS:later" });
    expect(harness.peer.socket.frames.at(-1)).toMatchObject({ ...gap, reason: "stream_reset" });
    expect(harness.settled).toEqual([["4#1", "nack"]]);
    expect(harness.durable.settledUpTo).toBeUndefined();
    harness.harness.expectBalance();
  });

  test("what its stream let go of is a gap behind what came before, and before what comes then", async () => {
    const harness = new Bench();
    const before = harness.delivers(4);
    harness.durable.missed(5, 8);
    await before;
    await harness.delivers(9);
    const said = harness.peer.socket.frames.slice(-3);
    expect(said).toMatchObject([
      { id: id(4) },
      { type: "gap", from: id(5), to: id(8), count: 4, reason: "expired", exact: false, sub: "1" },
      { id: id(9) },
    ]);
    harness.harness.expectBalance();
  });
});
