import { describe, expect, test } from "bun:test";
import { Durable } from "../../../src/core/acks/durable.ts";
import type { DurableUse, Settlement, SourceMessage } from "../../../src/core/ports/source.ts";
import { TimerQueue } from "../../../src/core/timing/timer-queue.ts";
import { TurnShare } from "../../../src/core/timing/turn-share.ts";
import { EnvelopeEncoder } from "../../../src/core/wire/envelope.ts";
import { type Actor, Stage } from "../support/harness.ts";

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
  readonly stage = new Stage(TERMS);
  readonly actor: Actor = this.stage.joinV1();
  readonly settled: (readonly [receipt: string, as: Settlement, delayMs?: number | undefined])[] =
    [];
  readonly letters: SourceMessage[] = [];
  resumed = 0;
  released = 0;
  readonly durable: Durable;

  constructor() {
    const { clock, meter } = this.stage;
    const title = {
      id: "1",
      name: "worker",
      subjects: ["orders.>"],
      policy: "disconnect",
    } as const;
    this.durable = new Durable(title, this.actor.client, {
      options: TERMS,
      clock,
      meter,
      timers: new TimerQueue(clock),
      turnShare: new TurnShare(clock),
      encoder: new EnvelopeEncoder({ payloadFormat: "raw", headers: [] }),
      deadLetters: { publish: (message) => void this.letters.push(message) },
      deadLetterSubject: "dead",
      random: () => 0,
    });
    const use: DurableUse = {
      settle: (...settlement) => void this.settled.push(settlement),
      resume: () => void this.resumed++,
      release: () => void this.released++,
    };
    this.durable.begin(use);
    this.actor.client.durables = [this.durable];
    this.begins();
  }

  begins(tip: Partial<Parameters<Durable["begins"]>[0]> = {}): void {
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

  says(type: string, field: object): void {
    this.actor.says({ type, ...field });
    this.stage.expectBalance();
  }
}

const id = (sequence: number): string => `${ORIGIN}:${sequence}`;

describe("A durable", () => {
  test("says where it begins, and hands messages on with how often they came before", async () => {
    const bench = new Bench();
    await bench.delivers(7);
    await bench.delivers(5, 2);
    const [, subscribed, ...messages] = bench.actor.socket.said;
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
    bench.stage.expectBalance();
  });

  test("messages of one turn are one write", async () => {
    const bench = new Bench();
    const { writes } = bench.actor.socket;
    void bench.delivers(1);
    await bench.delivers(2);
    expect(bench.actor.socket.payloads).toEqual([1, 2]);
    expect(bench.actor.socket.writes).toBe(writes + 1);
  });

  test("acknowledgements go to where each message came from, once", async () => {
    const bench = new Bench();
    for (const sequence of [1, 2, 3, 4]) await bench.delivers(sequence);
    bench.says("ack", { id: id(2) });
    bench.says("ack", { id: id(2) });
    bench.says("ack", { id: "OTHER:epoch:3" });
    bench.says("ack", { upto: id(3) });
    bench.says("ack", { ids: [id(4)] });
    const receipts = bench.settled.map(([receipt, as]) => [receipt, as]);
    expect(receipts).toEqual(["2#1", "1#1", "3#1", "4#1"].map((receipt) => [receipt, "ack"]));
    const { acks, inFlight } = bench.stage.meter;
    expect({ ...acks, inFlight }).toMatchObject({ acked: 4, inFlight: 0 });
  });

  test("a message that is refused waits for its back-off, the last time it is given up", async () => {
    const bench = new Bench();
    await bench.delivers(1);
    bench.says("nack", { id: id(1) });
    await bench.delivers(1, 2);
    bench.says("nack", { id: id(1) });
    await bench.delivers(1, 3);
    bench.says("nack", { id: id(1) });
    expect(bench.settled).toEqual([
      ["1#1", "nack", 100],
      ["1#2", "nack", 200],
      ["1#3", "term"],
    ]);
    expect(bench.actor.socket.said.at(-1)).toMatchObject({
      type: "gap",
      reason: "max_deliver",
      from: id(1),
      count: 1,
    });
    expect(bench.letters.map(({ headers }) => headers?.get("Spillway-Last-Failure"))).toEqual([
      ["nack"],
    ]);
    const { lost, redelivered } = bench.stage.meter;
    expect([lost.max_deliver, redelivered]).toEqual([1, 2]);
  });

  test("one that is refused twice, or too late, is refused once", async () => {
    const bench = new Bench();
    await bench.delivers(1);
    await bench.delivers(2);
    bench.says("nack", { ids: [id(1), id(1)] });
    bench.stage.clock.advance(1010);
    bench.says("nack", { id: id(2) });
    expect(bench.settled).toEqual([["1#1", "nack", 100]]);
    expect(bench.stage.meter.acks).toMatchObject({ nacked: 1, repeated: 2, timed_out: 1 });
    expect(bench.durable.roomBytes).toBe(400);
  });

  test("one that came as often as it may, to whomever, is handed to who comes next once more", async () => {
    const bench = new Bench();
    await bench.delivers(1, 4);
    expect(bench.actor.socket.payloads).toEqual([1]);
    bench.stage.clock.advance(1000);
    await bench.delivers(1, 5);
    expect(bench.settled).toEqual([["1#5", "term"]]);
    expect(bench.actor.socket.payloads).toEqual([1]);
    expect(bench.actor.socket.said.at(-1)).toMatchObject({ type: "gap", reason: "max_deliver" });
    expect(bench.letters[0]?.headers?.get("Spillway-Deliveries")).toEqual(["3"]);
    bench.stage.expectBalance();
  });

  test("one that may never have reached its client is not given up", async () => {
    const bench = new Bench();
    bench.actor.socket.onPing = undefined;
    await bench.delivers(1, 3);
    bench.stage.clock.advance(1000);
    await bench.delivers(1, 4);
    await bench.delivers(1, 5);
    expect(bench.settled).toEqual([
      ["1#4", "nack", 100],
      ["1#5", "nack", 100],
    ]);
    expect(bench.actor.socket.payloads).toEqual([1]);
    bench.says("ping", {});
    await bench.delivers(1, 6);
    expect(bench.settled.at(-1)).toEqual(["1#6", "term"]);
  });

  test("what is late takes no room, and counts as not acknowledged until it comes again", async () => {
    const bench = new Bench();
    for (let sequence = 1; bench.durable.roomBytes > 0; sequence++) await bench.delivers(sequence);
    const { resumed } = bench;
    bench.stage.clock.advance(999);
    expect([bench.resumed, bench.durable.roomBytes > 0]).toEqual([resumed, false]);
    bench.stage.clock.advance(10);
    expect([bench.resumed, bench.durable.roomBytes]).toEqual([resumed + 1, 400]);
    expect(bench.stage.meter.acks.timed_out).toBe(bench.stage.meter.inFlight);
    expect(bench.durable.settledUpTo).toBe(0);
    await bench.delivers(1, 2);
    expect(bench.durable.roomBytes).toBeLessThan(400);
    bench.says("ack", { upto: id(100) });
    expect(bench.durable.roomBytes).toBe(400);
    expect(bench.stage.meter.inFlight).toBe(0);
  });

  test("what is being worked on is late only after its whole time", async () => {
    const bench = new Bench();
    await bench.delivers(1);
    bench.stage.clock.advance(900);
    bench.says("working", { id: id(1) });
    expect(bench.settled).toEqual([["1#1", "working"]]);
    bench.stage.clock.advance(900);
    expect(bench.stage.meter.acks.timed_out).toBe(0);
    bench.stage.clock.advance(200);
    expect(bench.stage.meter.acks.timed_out).toBe(1);
  });

  test("nothing more is asked for while its client takes nothing, and it is asked again", async () => {
    const bench = new Bench();
    bench.actor.socket.reads = false;
    for (let sequence = 1; sequence <= 3; sequence++) await bench.delivers(sequence);
    expect(bench.durable.roomBytes).toBe(0);
    const { resumed } = bench;
    bench.stage.clock.advance(110);
    expect(bench.resumed).toBeGreaterThan(resumed);
    bench.actor.socket.reads = true;
    bench.actor.socket.buffered = 0;
    bench.stage.clock.advance(110);
    expect(bench.durable.roomBytes).toBeGreaterThan(0);
  });

  test("is asked again by itself when its client takes nothing at the time, whatever is settled", async () => {
    const bench = new Bench();
    bench.says("slow", {});
    expect(bench.durable.roomBytes).toBe(0);
    const { resumed } = bench;
    bench.stage.clock.advance(400);
    expect(bench.resumed).toBeGreaterThan(resumed);
    expect(bench.durable.roomBytes).toBe(400);
  });

  test("what is being worked on anew takes room until it is late again", async () => {
    const bench = new Bench();
    await bench.delivers(1);
    bench.stage.clock.advance(1010);
    bench.says("working", { id: id(1) });
    expect(bench.durable.roomBytes).toBeLessThan(400);
    const { resumed } = bench;
    bench.stage.clock.advance(1010);
    expect(bench.durable.roomBytes).toBe(400);
    expect(bench.resumed).toBe(resumed + 1);
  });

  test("gives back what is not settled, in order, when its client is gone", async () => {
    const bench = new Bench();
    for (const sequence of [3, 1, 2]) await bench.delivers(sequence);
    bench.says("ack", { id: id(2) });
    bench.actor.client.closed(1006);
    expect(bench.settled.slice(1)).toEqual([
      ["1#1", "nack"],
      ["3#1", "nack"],
    ]);
    expect(bench.released).toBe(1);
    expect(bench.stage.meter.returned).toBe(2);
    bench.stage.expectBalance();
  });

  test("its client is closed with 4409 when somebody else takes it", () => {
    const bench = new Bench();
    bench.durable.taken();
    expect(bench.actor.socket.closedWith).toBe(4409);
    expect(bench.released).toBe(1);
  });

  test("a stream that was made anew, or whose messages are gone, is a gap of unknown size", async () => {
    const bench = new Bench();
    await bench.delivers(4);
    bench.begins({ sequence: 3, first: 9, isNew: false });
    const gap = { type: "gap", exact: false, count: 0 };
    expect(bench.actor.socket.said.at(-1)).toMatchObject({
      ...gap,
      reason: "expired",
      from: id(4),
      to: id(8),
    });
    bench.begins({ origin: "ORDERS:later" });
    expect(bench.actor.socket.said.at(-1)).toMatchObject({ ...gap, reason: "stream_reset" });
    expect(bench.settled).toEqual([["4#1", "nack"]]);
    expect(bench.durable.settledUpTo).toBeUndefined();
    bench.stage.expectBalance();
  });

  test("what its stream let go of is a gap behind what came before, and before what comes then", async () => {
    const bench = new Bench();
    const before = bench.delivers(4);
    bench.durable.missed(5, 8);
    await before;
    await bench.delivers(9);
    const said = bench.actor.socket.said.slice(-3);
    expect(said).toMatchObject([
      { id: id(4) },
      { type: "gap", from: id(5), to: id(8), count: 4, reason: "expired", exact: false },
      { id: id(9) },
    ]);
    bench.stage.expectBalance();
  });
});
