import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { type Job, TurnShare, Turns } from "../../../src/core/timing/turn-share.ts";
import { Harness, lastOf, stateOf, type TestClient, typesOf } from "../support/harness.ts";
import { ManualClock } from "../support/manual-clock.ts";
import { turnsOf } from "../support/turns.ts";

const RING = {
  upstream: "eager",
  ringMessages: 20_000,
  ringBytes: 100_000_000,
  maxFrameBytes: 65_536,
  maxTotalQueueBytes: 1_000_000_000,
} as const;
/** More than a turn's share of messages, and far less than the ring holds. */
const SHARE = 5000;

/** A job of so many steps that writes down who did how many in which turn. */
function jobOf(name: string, steps: number, told: string[]): Job {
  let left = steps;
  return {
    work(most) {
      const done = Math.min(left, most);
      left -= done;
      told.push(`${name}:${done}`);
      return done;
    },
    get isDone() {
      return left === 0;
    },
  };
}

const BROKEN: Job = {
  isDone: false,
  work() {
    throw new Error("broken");
  },
};

/** A share of turns with the errors that its jobs have thrown. */
function shareThatFails(clock: ManualClock, stepsPerTurn: number) {
  const errors: string[] = [];
  const failed = (error: unknown): void => void errors.push((error as Error).message);
  return { share: new TurnShare(new Turns(clock, failed, stepsPerTurn)), errors };
}

describe("TurnShare", () => {
  test("ends what is short at once, and sets no timer for ever", () => {
    const clock = new ManualClock();
    const told: string[] = [];
    new TurnShare(turnsOf(clock, 100)).run({}, jobOf("a", 60, told));
    expect(told).toEqual(["a:60"]);
    clock.advance(0);
    expect(clock.timers).toBe(0);
  });

  test("drops a job that throws, and continues with the others in the same turn", () => {
    const clock = new ManualClock();
    const { share, errors } = shareThatFails(clock, 100);
    const told: string[] = [];
    const owner = {};
    share.run(owner, jobOf("a", 150, told));
    share.run(owner, BROKEN);
    share.run({}, jobOf("b", 30, told));
    clock.turn();
    expect([told, errors]).toEqual([["a:100", "a:50", "b:30"], ["broken"]]);
    share.run(owner, jobOf("c", 10, told));
    clock.advance(0);
    expect(told.at(-1)).toBe("c:10");
    expect(clock.timers).toBe(0);
  });

  test("keeps the error of a job from whoever begins another one, and from a stop", () => {
    const { share, errors } = shareThatFails(new ManualClock(), 2000);
    share.run({}, BROKEN);
    expect(errors).toEqual(["broken"]);
    share.run({}, jobOf("a", 2000, []));
    const told: string[] = [];
    const [fails, ends] = [{ ...BROKEN, mustEnd: true }, jobOf("b", 10, told)];
    share.run({}, fails);
    share.run({}, Object.defineProperty(ends, "mustEnd", { value: true }));
    share.stop();
    expect([errors, told]).toEqual([["broken", "broken"], ["b:10"]]);
  });

  test("counts and logs the error of a job", () => {
    const { clients, meter } = new Harness();
    expect(() => new TurnShare(clients.turns).run({}, BROKEN)).toThrow("broken");
    expect(meter.errors.get("source_fault")).toBe(1);
  });

  test("does no more of jobs that throw in a turn than of others", () => {
    const clock = new ManualClock();
    const { share, errors } = shareThatFails(clock, 4096);
    for (let n = 0; n < 10; n++) share.run({}, BROKEN);
    expect(errors.length).toBe(4);
    clock.turn();
    expect(errors.length).toBe(8);
    clock.advance(0);
    expect(errors.length).toBe(10);
  });

  test("does a share in each turn, whoever asks for how much", () => {
    const clock = new ManualClock();
    const share = new TurnShare(turnsOf(clock, 100));
    const told: string[] = [];
    const [greedy, modest] = [{}, {}];
    share.run(greedy, jobOf("a", 150, told));
    share.run(greedy, jobOf("b", 100, told));
    share.run(modest, jobOf("c", 30, told));
    expect(told.splice(0)).toEqual(["a:100"]);
    clock.advance(0);
    // The second one of the same owner waits for the first one, and for the other owner's.
    expect(told).toEqual(["a:50", "c:30", "b:20", "b:80"]);
  });

  test("lets go of everything when it is stopped", () => {
    const clock = new ManualClock();
    const share = new TurnShare(turnsOf(clock, 10));
    share.run({}, jobOf("a", 100, []));
    share.stop();
    expect(clock.timers).toBe(0);
  });

  test("gets its steps from the turns that it has in common with others", () => {
    const clock = new ManualClock();
    const turns = turnsOf(clock, 100);
    const told: string[] = [];
    new TurnShare(turns).run({}, jobOf("a", 80, told));
    new TurnShare(turns).run({}, jobOf("b", 50, told));
    expect(told).toEqual(["a:80", "b:20"]);
    clock.turn();
    expect(told).toEqual(["a:80", "b:20", "b:30"]);
  });

  test("ends its own jobs when it is stopped, and leaves those of others", () => {
    const clock = new ManualClock();
    const turns = turnsOf(clock, 10);
    const [one, other] = [new TurnShare(turns), new TurnShare(turns)];
    const told: string[] = [];
    const owner = {};
    one.run(owner, jobOf("a", 10, told));
    other.run(owner, jobOf("b", 20, told));
    one.run(owner, jobOf("c", 10, told));
    one.run({}, { ...jobOf("d", 10, told), isDone: false });
    const last = jobOf("e", 10, told);
    one.run(owner, {
      mustEnd: true,
      work: (steps) => last.work(Math.min(steps, 10)),
      get isDone() {
        return last.isDone;
      },
    });
    expect(told.splice(0)).toEqual(["a:10"]);
    one.stop();
    expect(told.splice(0)).toEqual(["e:10"]);
    clock.advance(0);
    expect([told, clock.timers]).toEqual([["b:10", "b:10"], 0]);
  });
});

/** A client that has the first of so many messages of subject `a`. */
function filled(harness: Harness, messages: number): string {
  const keeper = harness.join(["a"]);
  harness.publish(0);
  harness.clock.advance(10);
  const cursor = String(keeper.socket.envelopes[0]?.id);
  keeper.connection.closed(1000);
  // The share of the turn in which the client left is not of the next one.
  harness.clock.turn();
  for (let n = 1; n < messages; n++) harness.publish(n);
  return cursor;
}

/** Turns until a client is told that it has caught up. */
function turnsUntilCaughtUp(harness: Harness, peer: TestClient): number {
  for (let turns = 1; turns < 1000; turns++) {
    harness.clock.turn();
    harness.clock.pause(1);
    if (lastOf(peer)?.type === "caught_up") return turns;
  }
  throw new Error("it never catches up");
}

describe("A client that goes back into a full ring", () => {
  test("takes a share of each turn, and gets everything in order with what comes meanwhile", () => {
    const harness = new Harness(RING);
    const cursor = filled(harness, 20_000);
    const peer = harness.joinV1();
    const { ledger } = harness.meter;
    peer.send({ type: "subscribe", id: "1", subjects: ["a"], from: { after: cursor } });
    expect(ledger.offered).toBeLessThan(SHARE + 2);
    for (let n = 20_000; n < 20_100; n++) {
      harness.publish(n);
      const { offered } = ledger;
      if (n % 10 === 0) harness.clock.turn();
      expect(ledger.offered - offered).toBeLessThan(SHARE);
    }
    for (let turn = 0; turn < 20; turn++) harness.clock.advance(1);
    expect(peer.socket.payloads).toEqual(Array.from({ length: 20_099 }, (_, n) => n + 1));
    expect(typesOf(peer).filter((type) => type !== "data")).toEqual([
      ...["welcome", "subscribed", "caught_up"],
    ]);
    expect(stateOf(peer.session)).toBe("live");
    expect(harness.meter.resumed).toBe(1);
    harness.expectBalance();
  });

  test("beside 63 subscriptions of 64 patterns that match nothing costs as much as without them", () => {
    const turnsWith = (others: number) => {
      const harness = new Harness({ ...RING, maxSubscriptions: 64, maxQueueMessages: 100_000 });
      const after = filled(harness, 20_000);
      const peer = harness.joinV1();
      for (let id = 0; id < others; id++) {
        const subjects = Array.from({ length: 64 }, (_, n) => `no.${id}.${n}.*`);
        peer.send({ type: "subscribe", id: `${id}`, subjects });
      }
      peer.send({ type: "subscribe", id: "back", subjects: ["b"], from: { after } });
      return turnsUntilCaughtUp(harness, peer);
    };
    const alone = turnsWith(0);
    // The rest of the ring after the share of the turn in which it subscribes.
    expect(alone).toBeGreaterThanOrEqual(20_000 / SHARE - 1);
    expect(turnsWith(63)).toBeLessThan(2 * alone + 2);
  });

  test("with patterns that are dear to compare does less of them in each turn", () => {
    const harness = new Harness({ ...RING, maxSubscriptions: 64 });
    const keeper = harness.join(["x.x.x.x.x.x.x.x"]);
    harness.publish(0, "x.x.x.x.x.x.x.x");
    harness.clock.advance(10);
    const after = String(keeper.socket.envelopes[0]?.id);
    for (let n = 1; n < 1000; n++) harness.publish(n, "x.x.x.x.x.x.x.x");
    const peer = harness.joinV1();
    // Each of them is followed to its last token, where it does not match.
    const subjects = Array.from(
      { length: 64 },
      (_, n) => `${n.toString(2).padStart(7, "0").replaceAll("1", "x.").replaceAll("0", "*.")}no`,
    );
    peer.send({ type: "subscribe", id: "1", subjects, from: { after } });
    // Of the thousand messages, less than a hundred in each.
    expect(turnsUntilCaughtUp(harness, peer)).toBeGreaterThanOrEqual(1000 / 100 - 1);
  });

  test("with many others at once takes no more of each turn than one", () => {
    const harness = new Harness(RING);
    const after = filled(harness, 20_000);
    const peers = Array.from({ length: 50 }, () => {
      const peer = harness.joinV1();
      peer.send({ type: "subscribe", id: "1", subjects: ["b"], from: { after } });
      return peer;
    });
    const TURNS = 10;
    for (let turn = 0; turn < TURNS; turn++) {
      harness.clock.turn();
      harness.clock.pause(1);
    }
    const caughtUp = peers.filter((peer) => typesOf(peer).includes("caught_up"));
    expect(caughtUp.length).toBeLessThanOrEqual(((TURNS + 1) * SHARE) / 20_000);
  });

  test("and says no more is forgotten, and lets go of what it had not read", () => {
    const harness = new Harness(RING);
    const after = filled(harness, 20_000);
    const peer = harness.joinV1();
    peer.send({ type: "subscribe", id: "1", subjects: ["a"], max_rate: 1, from: { after } });
    peer.send({ type: "unsubscribe", sub: "1" });
    for (let n = 0; n < 100; n++) harness.publish("more");
    harness.clock.advance(100);
    expect(harness.broadcaster.kept.messages).toBe(20_000);
    expect(typesOf(peer)).toEqual(["welcome", "subscribed", "unsubscribed"]);
    harness.expectBalance();
    expect(harness.meter.ledger.queued).toBe(0);
  });

  test("keeps what it has not read from being forgotten, for as many messages as the ring has", () => {
    const harness = new Harness({ ...RING, ringMessages: 6000, stepsPerTurn: 1000 });
    const cursor = filled(harness, 6001);
    const peer = harness.joinV1();
    peer.send({ type: "subscribe", id: "1", subjects: ["a"], from: { after: cursor } });
    for (let n = 0; n < 5000; n++) harness.publish("live");
    for (let turn = 0; turn < 50; turn++) harness.clock.advance(1);
    expect(peer.socket.payloads).toHaveLength(11_000);
    expect(typesOf(peer)).not.toContain("gap");
    expect(harness.broadcaster.kept.messages).toBe(6000);
  });

  test("is told what was forgotten before it was read", () => {
    const harness = new Harness({ ...RING, ringMessages: 6000, stepsPerTurn: 1000 });
    const cursor = filled(harness, 6001);
    const peer = harness.joinV1();
    peer.send({ type: "subscribe", id: "1", subjects: ["a"], from: { after: cursor } });
    for (let n = 0; n < 9000; n++) harness.publish("live");
    for (let turn = 0; turn < 50; turn++) harness.clock.advance(1);
    const gaps = peer.socket.notices.filter(({ type }) => type === "gap");
    expect(gaps).toMatchObject([{ reason: "expired", exact: false }]);
    expect(peer.socket.payloads.length + Number(gaps[0]?.count)).toBe(15_000);
  });

  test("gets each message once and in order, whatever a turn's share is and whatever comes meanwhile", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 40 }),
        fc.array(fc.nat(6), { maxLength: 30 }),
        fc.constantFrom(["a"], ["a", "b"], ["a", "c", "d", "e", "f", ">"]),
        fc.boolean(),
        (stepsPerTurn, arrivals, subjects, parks) => {
          const harness = new Harness({ ...RING, stepsPerTurn, maxQueueMessages: 10_000 });
          const cursor = filled(harness, 100);
          const peer = harness.joinV1();
          const other = { type: "subscribe", id: "o", subjects: ["b"], max_rate: 1000 };
          if (parks) peer.send(other);
          peer.send({ type: "subscribe", id: "1", subjects, from: { after: cursor } });
          let n = 100;
          for (const count of arrivals) {
            for (let k = 0; k < count; k++) harness.publish(n++);
            harness.clock.turn();
            harness.clock.pause(1);
            harness.expectBalance();
          }
          harness.clock.advance(1000);
          expect(peer.socket.payloads).toEqual(Array.from({ length: n - 1 }, (_, k) => k + 1));
          expect(peer.session.subscriptions.catchingUp).toBe(0);
          harness.expectBalance();
        },
      ),
      { numRuns: 200 },
    );
  });
});
