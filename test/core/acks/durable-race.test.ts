import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import type { DurableTracker } from "../../../src/core/acks/durable-tracker.ts";
import { RedeliveryPolicy } from "../../../src/core/acks/redelivery-policy.ts";
import type { SessionAcks } from "../../../src/core/acks/session-acks.ts";
import type { Settlement } from "../../../src/core/ports/source.ts";
import { TimerQueue } from "../../../src/core/timing/timer-queue.ts";
import { TurnShare } from "../../../src/core/timing/turn-share.ts";
import { EnvelopeEncoder } from "../../../src/core/wire/envelope.ts";
import { Harness } from "../support/harness.ts";
import { turnsOf } from "../support/turns.ts";

const ACK_TIMEOUT_MS = 1000;
const TERMS = {
  deliveryMode: "at-least-once",
  ackTimeoutMs: ACK_TIMEOUT_MS,
  maxDeliver: 1_000_000,
  redeliveryBackoffMs: 0,
  maxInflightMessages: 1_000,
  maxInflightBytes: 1_000_000,
} as const;
const ORIGIN = "ORDERS:epoch";

/** What may happen next: to the stream, on the way in both directions, and at the client. */
type Step =
  | { readonly do: "publish" | "deliver" | "settle" | "lose" }
  | { readonly do: "expire" | "ack" | "nack" | "working"; readonly of: number }
  | { readonly do: "wait"; readonly ms: number };

/**
 * A model of JetStream's side: messages that are pending expire and are sent again; what is sent, and what is
 * settled, is on its way for a while, and a settlement may be lost.
 */
class Consumer {
  readonly harness = new Harness(TERMS);
  readonly peer = this.harness.joinV1();
  readonly durable: DurableTracker;
  /** How often each was sent that is not settled. */
  readonly pending = new Map<number, number>();
  readonly underWay: { sequence: number; deliveries: number }[] = [];
  readonly settlements: { sequence: number; as: Settlement }[] = [];
  /** What the client has acknowledged, and how often it had each by then. */
  readonly acked = new Map<number, number>();
  published = 0;

  constructor() {
    const { clock, meter } = this.harness;
    const title = { id: "1", name: "w", subjects: ["x"], policy: "disconnect" } as const;
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
        deadLetters: undefined,
        deadLetterSubject: undefined,
        random: () => 0,
      }),
    });
    this.durable.begin({
      settle: (receipt, as) =>
        void this.settlements.push({ sequence: Number(receipt.split("#")[0]), as }),
      resume: () => {},
      release: () => {},
    });
    this.durable.begins({ origin: ORIGIN, sequence: 0, first: 1, isNew: true });
  }

  /** How often the client got each message. */
  get got(): Map<number, number> {
    const got = new Map<number, number>();
    for (const said of this.peer.socket.frames) {
      if (said.type !== "data") continue;
      const sequence = Number(String(said.id).split(":").at(-1));
      got.set(sequence, (got.get(sequence) ?? 0) + 1);
    }
    return got;
  }

  send(sequence: number): void {
    const deliveries = (this.pending.get(sequence) ?? 0) + 1;
    this.pending.set(sequence, deliveries);
    this.underWay.push({ sequence, deliveries });
  }

  async take(step: Step): Promise<void> {
    const pick = (all: Iterable<number>, of: number): number | undefined => {
      const list = [...all];
      return list[of % list.length];
    };
    switch (step.do) {
      case "publish":
        this.send(++this.published);
        break;
      case "expire": {
        const sequence = pick(this.pending.keys(), step.of);
        if (sequence !== undefined) this.send(sequence);
        break;
      }
      case "deliver": {
        const message = this.underWay.shift();
        if (message === undefined) break;
        const { sequence, deliveries } = message;
        this.durable.message({
          subject: "x",
          data: new Uint8Array(),
          position: { origin: ORIGIN, sequence },
          timestampMs: 0,
          deliveries,
          receipt: `${sequence}#${deliveries}`,
        });
        await Promise.resolve();
        break;
      }
      case "settle":
      case "lose": {
        const settlement = this.settlements.shift();
        if (settlement === undefined || step.do === "lose") break;
        const { sequence, as } = settlement;
        if (as === "ack" || as === "term") this.pending.delete(sequence);
        else if (as === "nack" && this.pending.has(sequence)) this.send(sequence);
        break;
      }
      case "wait":
        this.harness.clock.advance(step.ms);
        break;
      default: {
        const { got } = this;
        const sequence = pick(got.keys(), step.of);
        if (sequence === undefined) break;
        this.peer.send({ type: step.do, id: `${ORIGIN}:${sequence}` });
        if (step.do === "ack" && !this.acked.has(sequence)) {
          this.acked.set(sequence, got.get(sequence)!);
        }
      }
    }
    this.harness.expectBalance();
  }
}

const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 3, arbitrary: fc.constantFrom({ do: "publish" } as const) },
  { weight: 6, arbitrary: fc.constantFrom({ do: "deliver" } as const) },
  { weight: 4, arbitrary: fc.constantFrom({ do: "settle" } as const) },
  { weight: 1, arbitrary: fc.constantFrom({ do: "lose" } as const) },
  {
    weight: 6,
    arbitrary: fc.record({
      do: fc.constantFrom(
        "expire" as const,
        "ack" as const,
        "ack" as const,
        "nack" as const,
        "working" as const,
      ),
      of: fc.nat(20),
    }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("wait" as const), ms: fc.nat(600) }) },
);

describe("A durable whose messages come again while they are acknowledged", () => {
  test("sends none that the client has acknowledged, and loses none that it has not", async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 80 }), async (steps) => {
        const consumer = new Consumer();
        for (const one of steps) await consumer.take(one);
        // The end: all that is pending comes once more, all that is on its way arrives, and all is acknowledged.
        for (let round = 0; round < 3; round++) {
          for (const sequence of [...consumer.pending.keys()]) consumer.send(sequence);
          while (consumer.underWay.length > 0) await consumer.take({ do: "deliver" });
          for (let of = 0; of < consumer.published; of++) await consumer.take({ do: "ack", of });
          while (consumer.settlements.length > 0) await consumer.take({ do: "settle" });
        }
        const { got } = consumer;
        for (const [sequence, times] of consumer.acked) expect(got.get(sequence)).toBe(times);
        expect(got.size).toBe(consumer.published);
        expect([...consumer.pending.keys()]).toEqual([]);
        expect(consumer.harness.meter.ledger.inFlight).toBe(0);
      }),
      { numRuns: 500 },
    );
  });

  test("remembers of very many no more than it must, and for no longer", async () => {
    const consumer = new Consumer();
    const acknowledge = async (count: number): Promise<void> => {
      for (let n = 0; n < count; n++) {
        await consumer.take({ do: "publish" });
        await consumer.take({ do: "deliver" });
        consumer.peer.send({ type: "ack", id: `${ORIGIN}:${consumer.published}` });
        await consumer.take({ do: "settle" });
      }
    };
    await acknowledge(20);
    consumer.harness.clock.advance(61_000);
    await acknowledge(20);
    const before = consumer.peer.socket.frames.length;
    // What is as old as that may come again; what is newer may not.
    consumer.pending.set(40, 1);
    consumer.send(40);
    consumer.send(1);
    while (consumer.underWay.length > 0) await consumer.take({ do: "deliver" });
    expect(consumer.peer.socket.frames.slice(before)).toMatchObject([{ id: `${ORIGIN}:1` }]);
  });
});
