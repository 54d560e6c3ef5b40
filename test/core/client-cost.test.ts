import { describe, expect, spyOn, test } from "bun:test";
import { Alarms } from "../../src/core/alarms.ts";
import { V1 } from "../../src/core/dialect.ts";
import { Durable } from "../../src/core/durable.ts";
import { Envelope } from "../../src/core/envelope.ts";
import { PrivateQueue } from "../../src/core/queue.ts";
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

/** How many messages are handed on in one call: released by a rate, or put into a queue. */
function countHanded(stage: Stage, during: () => void): number {
  const { abandoned } = stage.meter.dropped;
  let handed = 0;
  const spies = [spyOn(PrivateQueue.prototype, "push"), spyOn(PrivateQueue.prototype, "replay")];
  during();
  for (const spy of spies) {
    handed += spy.mock.calls.length;
    spy.mockRestore();
  }
  return handed + stage.meter.dropped.abandoned - abandoned;
}

describe("A client whose rate holds back a message each of very many subjects", () => {
  const SUBJECTS = 20_000;
  const ROOM = {
    maxQueueMessages: 100_000,
    maxQueueBytes: 100_000_000,
    maxTotalQueueBytes: 1_000_000_000,
    maxSessionBytes: 1_000_000_000,
    highWaterBytes: 100_000_000,
    lowWaterBytes: 10_000_000,
    maxInflightMessages: 1_000_000,
    maxInflightBytes: 1_000_000_000,
    ackTimeoutMs: 1_000_000,
  };

  function fill(stage: Stage, actor: Actor): void {
    actor.says({ type: "subscribe", id: "slow", subjects: ["s.>"], max_rate: 0.001 });
    stage.publish("first", "s.first");
    stage.clock.advance(10);
    for (let n = 0; n < SUBJECTS; n++) stage.publish(n, `s.${n}`);
    expect(stage.meter.queued).toBe(SUBJECTS);
  }

  /** The most that is handed on in one of the turns until nothing waits. */
  function mostOfTurns(stage: Stage): number {
    let most = 0;
    for (let turn = 0; turn < 50; turn++) {
      most = Math.max(
        most,
        countHanded(stage, () => stage.clock.turn()),
      );
      stage.clock.pause(1);
      stage.expectBalance();
    }
    return most;
  }

  test.each(["s.>", "s.1.>"])(
    "hands them over in several turns when it ends (beside %s)",
    (other) => {
      const stage = new Stage(ROOM);
      const actor = stage.joinV1();
      fill(stage, actor);
      actor.says({ type: "subscribe", id: "other", subjects: [other] });
      const ended = countHanded(stage, () => actor.says({ type: "unsubscribe", sub: "slow" }));
      expect(ended).toBeLessThan(SHARE);
      // What comes meanwhile comes behind what is older of its subject.
      stage.publish("newer", `s.${SUBJECTS - 1}`);
      expect(mostOfTurns(stage)).toBeLessThan(SHARE);
      expect(stage.meter.queued).toBe(0);
      expect(actor.client.state).toBe("live");
      const { payloads } = actor.socket;
      if (other === "s.>") {
        expect(payloads).toHaveLength(SUBJECTS + 2);
        const [older, newer] = [payloads.indexOf(SUBJECTS - 1), payloads.indexOf("newer")];
        expect(older).toBeGreaterThan(0);
        expect(newer).toBeGreaterThan(older);
      } else expect(payloads).toEqual(["first"]);
      stage.expectBalance();
    },
  );

  test("is parked and comes back for nothing, and gets them at its rate", () => {
    const stage = new Stage({ ...AT_LEAST_ONCE, ...ROOM, policy: "drop-oldest" });
    const actor = stage.joinV1();
    fill(stage, actor);
    const session = String(actor.socket.said[0]?.session);
    expect(countHanded(stage, () => actor.client.closed(1006))).toBe(0);
    let again = actor;
    const back = () => {
      again = stage.joinWith(undefined, V1, false, session);
    };
    expect(countHanded(stage, back)).toBe(0);
    expect(stage.meter.queued).toBe(SUBJECTS);
    stage.clock.pause(1_000_000);
    expect(mostOfTurns(stage)).toBeLessThan(SHARE);
    expect(again.socket.payloads).toHaveLength(SUBJECTS + 1);
    stage.expectBalance();
  });

  test("goes on with handing over when it comes back meanwhile", () => {
    const stage = new Stage({ ...AT_LEAST_ONCE, ...ROOM, policy: "drop-oldest" });
    const actor = stage.joinV1();
    fill(stage, actor);
    const session = String(actor.socket.said[0]?.session);
    actor.says({ type: "subscribe", id: "other", subjects: ["s.>"] });
    actor.says({ type: "unsubscribe", sub: "slow" });
    stage.clock.turn();
    actor.client.closed(1006);
    stage.clock.turn();
    const again = stage.joinWith(undefined, V1, false, session);
    mostOfTurns(stage);
    expect(stage.meter.queued).toBe(0);
    const got = [...actor.socket.payloads, ...again.socket.payloads];
    expect(new Set(got).size).toBe(SUBJECTS + 1);
    stage.expectBalance();
  });

  test("ends for the price of one message", () => {
    const stage = new Stage(ROOM);
    const actor = stage.joinV1();
    fill(stage, actor);
    let looks = 0;
    const subject = Object.getOwnPropertyDescriptor(Envelope.prototype, "subject")!;
    const counted = function (this: Envelope): unknown {
      looks++;
      return subject.get!.call(this);
    };
    Object.defineProperty(Envelope.prototype, "subject", { ...subject, get: counted });
    actor.client.closed(1006);
    Object.defineProperty(Envelope.prototype, "subject", subject);
    expect(looks).toBeLessThan(100);
    expect(stage.meter).toMatchObject({ queued: 0, queuedBytes: 0 });
    expect(stage.meter.dropped.abandoned).toBe(SUBJECTS);
    stage.expectBalance();
  });

  test("that goes back into the ring gets the latest of each subject in several turns", () => {
    const stage = new Stage({
      ...ROOM,
      upstream: "eager",
      ringMessages: 50_000,
      ringBytes: 100_000_000,
    });
    const keeper = stage.join(["s.>"]);
    stage.publish(-1, "s.0");
    stage.clock.advance(10);
    const after = String(keeper.socket.envelopes[0]?.id);
    keeper.client.closed(1000);
    for (let n = 0; n < 2 * SUBJECTS; n++) stage.publish(n, `s.${n % SUBJECTS}`);
    const actor = stage.joinV1();
    const frame = { type: "subscribe", id: "1", subjects: ["s.>"], max_rate: 1, from: { after } };
    expect(countHanded(stage, () => actor.says(frame))).toBeLessThan(SHARE);
    expect(mostOfTurns(stage)).toBeLessThan(SHARE);
    expect(actor.socket.payloads).toEqual(Array.from({ length: SUBJECTS }, (_, n) => SUBJECTS + n));
    stage.expectBalance();
  });

  test("and for whom there is no more room has the window over in several turns", () => {
    const stage = new Stage({ ...ROOM, maxQueueMessages: SUBJECTS, policy: "drop-oldest" });
    const actor = stage.joinV1();
    fill(stage, actor);
    const one = countHanded(stage, () => stage.publish("more", "s.more"));
    expect(one).toBeLessThan(SHARE);
    expect(mostOfTurns(stage)).toBeLessThan(SHARE);
    expect(actor.socket.payloads.length).toBeGreaterThanOrEqual(SUBJECTS);
    stage.expectBalance();
  });
});
