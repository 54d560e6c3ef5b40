import { describe, expect, test } from "bun:test";
import type { AckRecipient } from "../../../src/core/acks/ack-tracker.ts";
import { RedeliveryPolicy } from "../../../src/core/acks/redelivery-policy.ts";
import { SessionAcks } from "../../../src/core/acks/session-acks.ts";
import { Meter } from "../../../src/core/metering/meter.ts";
import { TimerQueue } from "../../../src/core/timing/timer-queue.ts";
import { TurnShare } from "../../../src/core/timing/turn-share.ts";
import { EnvelopeEncoder } from "../../../src/core/wire/envelope.ts";
import { ManualClock } from "../support/manual-clock.ts";
import { turnsOf } from "../support/turns.ts";

const OPTIONS = {
  ackTimeoutMs: 1000,
  maxDeliver: 3,
  redeliveryBackoffMs: 100,
  maxInflightMessages: 100,
  maxInflightBytes: 100_000,
};
const data = new TextEncoder().encode("1");

/** The acknowledgements of one client, without its connection. */
function setUp() {
  const clock = new ManualClock();
  const meter = new Meter();
  const { ledger } = meter;
  const encoder = new EnvelopeEncoder({ payloadFormat: "raw", headers: [] });
  const parts = {
    ...{ clock, meter, encoder, options: OPTIONS },
    timers: new TimerQueue(clock),
    turnShare: new TurnShare(turnsOf(clock)),
    redelivery: new RedeliveryPolicy(OPTIONS, {
      ...{ ledger, deadLetters: undefined, deadLetterSubject: undefined },
      random: () => 0,
    }),
  };
  const sent: string[] = [];
  const recipient: AckRecipient = {
    dialect: { sendsNotices: true },
    takes: true,
    denies: () => false,
    resend: (envelopes) => void sent.push(...envelopes.map(({ id }) => id)),
    tell: () => {},
    heardSince: () => true,
    hasRoom: () => {},
    end: () => {},
  };
  const acks = new SessionAcks(parts, recipient);
  const settled: string[] = [];
  let released = 0;
  return {
    ...{ acks, recipient, ledger, clock, sent, settled },
    released: () => released,
    /** Sends messages of a subscription. */
    send(origin: string, ...sequences: number[]): void {
      const message = { subject: "a", data };
      acks.memory.sent(
        sequences.map((sequence) => encoder.encode(message, { origin, sequence }, 0)),
      );
    },
    /** Uses a durable that has sent messages. */
    use(id: string, origin: string, sequences: readonly number[], deliveries = 1): void {
      const title = { id, name: id, subjects: ["a"], policy: "disconnect" } as const;
      const durable = acks.addDurable(title, recipient, parts);
      durable.begin({
        settle: (receipt, as) => void settled.push(`${id} ${receipt} ${as}`),
        resume: () => {},
        release: () => void released++,
      });
      durable.begins({ origin, sequence: 0, first: 1, isNew: true });
      for (const sequence of sequences) {
        const about = { timestampMs: 0, deliveries, receipt: `#${sequence}` };
        durable.message({ subject: "a", data, position: { origin, sequence }, ...about });
      }
    },
  };
}

describe("SessionAcks", () => {
  test("finds the tracker that each acknowledgement is for", () => {
    const { acks, ledger, settled, ...session } = setUp();
    session.send("run", 1, 2, 3);
    session.use("d1", "S1", [1, 2]);
    session.use("d2", "S2", [1]);
    acks.accept({ type: "ack", ids: ["run:1", "S2:1", "S1:2"] }, 0);
    acks.accept({ type: "nack", ids: ["S1:1"] }, 0);
    acks.accept({ type: "working", id: "run:2" }, 0);
    expect(settled).toEqual(["d2 #1 ack", "d1 #2 ack", "d1 #1 nack"]);
    expect(ledger).toMatchObject({ inFlight: 3, acks: { acked: 3, nacked: 1, unknown: 0 } });
    // Of a durable's settled message; of a message that it has not sent yet; of an unknown origin.
    acks.accept({ type: "ack", ids: ["S2:1", "S2:2", "other:1"] }, 0);
    expect(ledger.acks).toMatchObject({ acked: 3, repeated: 1, unknown: 2 });
    expect(acks.messages).toBe(3);
  });

  test("acknowledges all messages of an origin up to one, of durables and of subscriptions", () => {
    const { acks, ledger, settled, ...session } = setUp();
    session.send("S1", 1, 2, 5);
    session.use("d1", "S1", [1, 3, 4]);
    session.use("d2", "S2", [1]);
    acks.accept({ type: "ack", upto: "S1:3" }, 0);
    expect(settled).toEqual(["d1 #1 ack", "d1 #3 ack"]);
    expect(ledger).toMatchObject({ inFlight: 3, acks: { acked: 4, unknown: 0 } });
  });

  test("reads an acknowledgement without JSON if no durable may have the same id", () => {
    const { acks, ledger, settled, ...session } = setUp();
    const plain = (id: string): string => `{"type":"ack","id":"${id}"}`;
    session.send("S1", 1, 2);
    expect(acks.acceptPlainAck(plain("S1:1"), 0)).toBe(true);
    expect(ledger.acks.acked).toBe(1);
    expect(acks.acceptPlainAck(plain("S2:1"), 0)).toBe(false);
    session.use("d1", "S1", [2]);
    expect(acks.acceptPlainAck(plain("S1:2"), 0)).toBe(false);
    acks.removeDurable("d1");
    expect(acks.acceptPlainAck(plain("S1:2"), 0)).toBe(true);
    expect(settled).toEqual(["d1 #2 nack"]);
  });

  test("keeps what is in memory and releases the durables when the client disconnects", () => {
    const { acks, ledger, sent, settled, recipient, released, ...session } = setUp();
    session.send("run", 1, 2);
    session.use("d1", "S1", [1]);
    acks.detach();
    expect([released(), acks.durables, settled]).toEqual([1, [], ["d1 #1 nack"]]);
    expect([acks.messages, acks.memory.roomMessages]).toEqual([2, 0]);
    expect(ledger).toMatchObject({ inFlight: 2, returned: 1, lostTotal: 0 });
    acks.attach(recipient);
    expect(sent).toEqual(["run:1", "run:2"]);
    acks.forget("session_expired");
    expect(ledger).toMatchObject({ inFlight: 0, returned: 1, lost: { session_expired: 2 } });
  });

  test("gives up a message of either tracker by the same rule", () => {
    const { acks, ledger, settled, ...session } = setUp();
    session.send("run", 1);
    session.use("d1", "S1", [1], OPTIONS.maxDeliver);
    for (let delivery = 1; delivery <= OPTIONS.maxDeliver; delivery++) {
      acks.accept({ type: "nack", id: "run:1" }, session.clock.nowMs());
      session.clock.advance(500);
    }
    expect(ledger).toMatchObject({ lost: { max_deliver: 1 }, acks: { nacked: 3 } });
    acks.accept({ type: "nack", id: "S1:1" }, session.clock.nowMs());
    expect(settled).toEqual(["d1 #1 term"]);
    expect(ledger).toMatchObject({ inFlight: 0, lost: { max_deliver: 2 }, acks: { nacked: 4 } });
  });
});
