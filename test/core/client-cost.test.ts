import { describe, expect, test } from "bun:test";
import { Alarms } from "../../src/core/alarms.ts";
import { Durable } from "../../src/core/durable.ts";
import type { Settlement } from "../../src/core/source.ts";
import { TurnShare } from "../../src/core/turn-share.ts";
import { type Actor, Stage } from "./stage.ts";

/** More steps than one turn of the event loop may take for long work, by far. */
const SHARE = 5000;
const MANY = 64;

const AT_LEAST_ONCE = {
  deliveryMode: "at-least-once",
  maxFrameBytes: 1_000_000,
  maxFramesPerSecond: 1_000_000,
} as const;

describe("A client of 64 durables", () => {
  const ORIGIN = "ORDERS:epoch";
  const id = (sequence: number): string => `${ORIGIN}:${sequence}`;

  /** Of one stream, each with so many messages that the client has not settled. */
  async function withDurables(stage: Stage, messages: number) {
    const actor: Actor = stage.joinV1();
    const { clock, meter, encoder } = stage;
    const settled: [durable: number, receipt: string, as: Settlement][] = [];
    const turnShare = new TurnShare(clock);
    const durables = Array.from({ length: MANY }, (_, n) => {
      const title = { id: `${n}`, name: `d${n}`, subjects: [`s.${n}`], policy: "disconnect" };
      const durable = new Durable(title as Durable["title"], actor.client, {
        ...{ clock, meter, encoder, turnShare, alarms: new Alarms(clock) },
        options: {
          ackTimeoutMs: 1000,
          maxDeliver: 3,
          redeliveryBackoffMs: 100,
          maxInflightMessages: 10_000,
          maxInflightBytes: 10_000_000,
        },
        deadLetters: undefined,
        deadLetterSubject: undefined,
        random: () => 0,
      });
      durable.begin({
        settle: (receipt, as) => void settled.push([n, receipt, as]),
        resume: () => {},
        release: () => {},
      });
      durable.begins({ origin: ORIGIN, sequence: 0, first: 1, isNew: true });
      return durable;
    });
    actor.client.durables = durables;
    const data = new TextEncoder().encode("1");
    for (let k = 0; k < messages; k++) {
      for (const [n, durable] of durables.entries()) {
        const sequence = 1 + k * MANY + n;
        const position = { origin: ORIGIN, sequence };
        const about = { timestampMs: 0, deliveries: 1, receipt: `${sequence}` };
        durable.message({ subject: `s.${n}`, data, position, ...about });
      }
    }
    await Promise.resolve();
    return { actor, durables, settled };
  }

  test.each(["ack", "nack", "working"] as const)(
    "says `%s` of many messages for the price of these, not of these for each durable",
    async (type) => {
      const stage = new Stage(AT_LEAST_ONCE);
      const { actor, durables, settled } = await withDurables(stage, 20);
      let asked = 0;
      for (const durable of durables) {
        const { settle } = durable;
        durable.settle = (...what) => {
          asked++;
          return settle.apply(durable, what);
        };
      }
      const unknown = Array.from({ length: 500 }, (_, n) => id(100_000 + n));
      const known = Array.from({ length: 20 * MANY }, (_, n) => id(n + 1));
      actor.says({ type, ids: [...unknown, ...known] });
      expect(settled).toHaveLength(20 * MANY);
      expect(asked).toBeLessThanOrEqual(unknown.length + known.length);
      expect(stage.meter.acks.unknown).toBe(500);
      if (type === "ack") actor.says({ type, ids: known });
      expect(stage.meter.acks.repeated).toBe(type === "ack" ? known.length : 0);
      stage.expectBalance();
    },
  );

  test("settles all up to a message in shares of several turns", async () => {
    const stage = new Stage(AT_LEAST_ONCE);
    const { actor, settled } = await withDurables(stage, 256);
    actor.says({ type: "ack", upto: id(MANY * 256) });
    expect(settled.length).toBeLessThan(SHARE);
    for (let turn = 0; turn < 8; turn++) {
      const before = settled.length;
      stage.clock.turn();
      expect(settled.length - before).toBeLessThan(SHARE);
      stage.expectBalance();
    }
    expect(settled).toHaveLength(MANY * 256);
    expect(settled.every(([, , as]) => as === "ack")).toBe(true);
    expect(stage.meter.inFlight).toBe(0);
  });

  test("gives back what it has not settled in shares of several turns, in order", async () => {
    const stage = new Stage(AT_LEAST_ONCE);
    const { actor, settled } = await withDurables(stage, 256);
    actor.client.closed(1006);
    expect(settled.length).toBeLessThan(SHARE);
    expect(stage.meter).toMatchObject({ inFlight: 0, returned: MANY * 256 });
    for (let turn = 0; turn < 8; turn++) stage.clock.turn();
    expect(settled).toHaveLength(MANY * 256);
    const last = settled.filter(([n]) => n === MANY - 1).map(([, receipt]) => Number(receipt));
    expect(last).toEqual([...last].sort((one, other) => one - other));
    stage.expectBalance();
  });

  test("acknowledges a message that two of them have sent for one after the other", async () => {
    const stage = new Stage(AT_LEAST_ONCE);
    const { actor, durables, settled } = await withDurables(stage, 1);
    const position = { origin: ORIGIN, sequence: 1000 };
    for (const n of [7, 3]) {
      const data = new TextEncoder().encode("1");
      const about = { timestampMs: 0, deliveries: 1, receipt: `r${n}` };
      durables[n]?.message({ subject: "s.x", data, position, ...about });
    }
    for (let n = 0; n < 3; n++) actor.says({ type: "ack", id: id(1000) });
    expect(settled).toEqual([
      [7, "r7", "ack"],
      [3, "r3", "ack"],
    ]);
    expect(stage.meter.acks).toMatchObject({ acked: 2, repeated: 1, unknown: 0 });
    stage.expectBalance();
  });
});
