import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { type DropReason, Ledger, type LossReason } from "../../../src/core/metering/ledger.ts";

/** The states of deliveries, as the model counts them. */
interface Model {
  inHand: number;
  sent: number;
  queued: number;
  conflated: number;
  dropped: Partial<Record<DropReason, number>>;
  inFlight: number;
  acked: number;
  returned: number;
  lost: Partial<Record<LossReason, number>>;
}

type Step = (ledger: Ledger, model: Model, count: number) => void;

/** Every message of the model has this length. */
const BYTES = 10;

const moves: Record<string, Step> = {
  offer(ledger, model, count) {
    ledger.offer(count);
    model.inHand += count;
  },
  send(ledger, model, most) {
    const count = Math.min(most, model.inHand);
    ledger.send(count, count * BYTES);
    model.inHand -= count;
    model.sent += count;
  },
  queue(ledger, model) {
    if (model.inHand === 0) return;
    ledger.queue(BYTES);
    model.inHand--;
    model.queued++;
  },
  unqueue(ledger, model, most) {
    const count = Math.min(most, model.queued);
    ledger.unqueue(count, count * BYTES);
    model.queued -= count;
    model.inHand += count;
  },
  conflate(ledger, model) {
    if (model.inHand === 0) return;
    ledger.conflate();
    model.inHand--;
    model.conflated++;
  },
  track(ledger, model, count) {
    ledger.track(count);
    model.inFlight += count;
  },
  acknowledge(ledger, model, most) {
    const count = Math.min(most, model.inFlight);
    ledger.acknowledge(count, 5);
    model.inFlight -= count;
    model.acked += count;
  },
  giveBack(ledger, model, most) {
    const count = Math.min(most, model.inFlight);
    ledger.giveBack(count);
    model.inFlight -= count;
    model.returned += count;
  },
};

function dropFor(reason: DropReason): Step {
  return (ledger, model, most) => {
    const count = Math.min(most, model.inHand);
    ledger.drop(reason, count);
    model.inHand -= count;
    model.dropped[reason] = (model.dropped[reason] ?? 0) + count;
  };
}

function loseFor(reason: LossReason): Step {
  return (ledger, model, most) => {
    const count = Math.min(most, model.inFlight);
    ledger.lose(reason, count);
    model.inFlight -= count;
    model.lost[reason] = (model.lost[reason] ?? 0) + count;
  };
}

const dropReason = fc.constantFrom<DropReason[]>("slow_consumer", "drop_oldest", "abandoned");
const lossReason = fc.constantFrom<LossReason[]>("max_deliver", "disconnected", "stopped");
const step = fc.oneof(
  fc.constantFrom(...Object.values(moves)),
  dropReason.map(dropFor),
  lossReason.map(loseFor),
);

describe("Ledger", () => {
  test("balances after any sequence of transitions, and has each delivery in one state", () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(step, fc.nat(50))), (steps) => {
        const ledger = new Ledger();
        const model: Model = {
          ...{ inHand: 0, sent: 0, queued: 0, conflated: 0, dropped: {} },
          ...{ inFlight: 0, acked: 0, returned: 0, lost: {} },
        };
        for (const [move, count] of steps) {
          move(ledger, model, count);
          const { inHand, inFlight, returned, tracked, lostTotal, acks } = ledger;
          const { offered, sent, queued, conflated, dropped } = ledger.balance();
          expect(offered).toBe(inHand + sent + queued + conflated + dropped);
          expect(tracked).toBe(acks.acked + inFlight + returned + lostTotal);
          const { acked, ...counted } = model;
          expect(ledger).toMatchObject(counted);
          expect(acks.acked).toBe(acked);
          expect([ledger.queuedBytes, ledger.bytesSent]).toEqual([queued * BYTES, sent * BYTES]);
        }
      }),
      { numRuns: 300 },
    );
  });

  test("counts negative acknowledgements, redeliveries and dead letters without moving a message", () => {
    const ledger = new Ledger();
    ledger.track(3);
    ledger.countAck("nacked");
    ledger.countAck("repeated");
    ledger.redeliver(2);
    ledger.countDeadLetter();
    expect(ledger).toMatchObject({
      ...{ tracked: 3, inFlight: 3, redelivered: 2, deadLetters: 1 },
      acks: { acked: 0, nacked: 1, repeated: 1, unknown: 0, timed_out: 0 },
    });
  });

  test("measures the latency of acknowledgements where it is known", () => {
    const ledger = new Ledger();
    ledger.track(4);
    ledger.acknowledge(2, 30);
    ledger.acknowledge(1, -1);
    ledger.acknowledge(1);
    expect(ledger.ackSeconds.sum).toBeCloseTo(0.06);
    expect(ledger.ackSeconds.counts.reduce((sum, count) => sum + count)).toBe(3);
  });
});
