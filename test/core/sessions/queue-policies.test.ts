import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import type { QueueItem } from "../../../src/core/sessions/queue.ts";
import { Envelope } from "../../../src/core/wire/envelope.ts";
import { endOf, messageOf, messagesOf } from "../support/messages.ts";
import { EVERYTHING, QueueHarness } from "./queue-harness.ts";

describe("Queue that is full", () => {
  test("with disconnect takes no more", () => {
    const harness = new QueueHarness();
    expect(harness.pushAll(messagesOf(1, 4), "disconnect")).toEqual([true, true, true, false]);
    expect(harness.take()).toEqual([1, 2, 3]);
  });

  test("with drop-oldest has a gap where the oldest were", () => {
    const harness = new QueueHarness();
    harness.pushAll(messagesOf(1, 7), "drop-oldest");
    expect(harness.take()).toEqual(["4 lost, o:1 to o:4", 5, 6, 7]);
    expect(harness.ledger.dropped.drop_oldest).toBe(4);
  });

  test("with drop-newest has a gap where the newest were, and one for each time", () => {
    const harness = new QueueHarness();
    harness.pushAll(messagesOf(1, 5), "drop-newest");
    expect(harness.take(1)).toEqual([1]);
    harness.pushAll(messagesOf(6, 8), "drop-newest");
    expect(harness.take()).toEqual([2, 3, "2 lost, o:4 to o:5", 6, "2 lost, o:7 to o:8"]);
    expect(harness.ledger.dropped.drop_newest).toBe(4);
  });

  test("with conflate of many subjects leaves out the oldest, with what they superseded", () => {
    const harness = new QueueHarness();
    for (const [n, subject] of ["a", "a", "b", "a", "c", "d"].entries()) {
      harness.push(messageOf(n + 1, subject), "conflate");
    }
    expect(harness.take()).toEqual(["1 lost, o:3 to o:3", "4 for 2 more", 5, 6]);
    harness.pushAll([messageOf(7, "a"), messageOf(8, "a")], "conflate");
    for (const [n, subject] of ["b", "c", "d"].entries()) {
      harness.push(messageOf(9 + n, subject), "conflate");
    }
    expect(harness.take()).toEqual(["2 lost, o:7 to o:8", 9, 10, 11]);
    expect(harness.ledger).toMatchObject({ conflated: 3, queued: 0, queuedBytes: 0 });
    expect(harness.ledger.dropped.drop_oldest).toBe(2);
  });

  test("in bytes leaves out as many as must go", () => {
    const size = messageOf(1).byteLength;
    const harness = new QueueHarness({ maxQueueMessages: 100, maxQueueBytes: size * 4 });
    harness.pushAll(messagesOf(1, 4), "drop-oldest");
    harness.push(messageOf(5, "a", 2 * size), "drop-oldest");
    expect(harness.queue.bytes).toBeLessThanOrEqual(size * 4);
    expect(harness.take()).toEqual(["4 lost, o:1 to o:4", 5]);
  });

  test("leaves out nothing that is for the client to have, or to be cut", () => {
    const harness = new QueueHarness();
    harness.push(messageOf(1), "disconnect");
    harness.pushAll(messagesOf(2, 3), "drop-oldest");
    expect(harness.push(messageOf(4), "drop-newest")).toBe(true);
    expect(harness.push(messageOf(5), "drop-oldest")).toBe(false);
    expect(harness.take()).toEqual([1, 2, 3, "1 lost, o:4 to o:4"]);
  });

  test("with several policies keeps the place of each gap", () => {
    const harness = new QueueHarness();
    harness.pushAll(messagesOf(1, 3), "drop-oldest");
    harness.push(messageOf(4), "drop-newest");
    harness.pushAll(messagesOf(5, 6), "drop-oldest");
    expect(harness.take(1)).toEqual(["2 lost, o:1 to o:2", 3, "1 lost, o:4 to o:4"]);
    harness.push(messageOf(7), "drop-oldest");
    expect(harness.take()).toEqual([5, 6, 7]);
  });

  test("joins gaps that stand side by side", () => {
    const harness = new QueueHarness();
    harness.pushAll(messagesOf(1, 3), "drop-oldest");
    harness.push(messageOf(4), "drop-newest");
    harness.pushAll(messagesOf(5, 8), "drop-oldest");
    expect(harness.take()).toEqual(["5 lost, o:1 to o:5", 6, 7, 8]);
  });

  test("does not grow by gaps that conflated values part", () => {
    const harness = new QueueHarness({ maxQueueMessages: 1 });
    for (let n = 1; n <= 10_000; n += 2) {
      harness.push(messageOf(n, "a"), "conflate");
      harness.push(messageOf(n + 1, "b"), "drop-newest");
    }
    const items = harness.take();
    expect(items.length).toBeLessThan(100);
    expect(items).toContain("9999 for 4999 more");
  });
});

describe("Queue with conflate", () => {
  test("has the latest of each subject, in the order of the messages", () => {
    const harness = new QueueHarness({ maxQueueMessages: 100 });
    for (const [n, subject] of ["a", "b", "a", "c", "a"].entries()) {
      harness.push(messageOf(n + 1, subject), "conflate");
    }
    expect(harness.take()).toEqual([2, 4, "5 for 2 more"]);
    expect(harness.ledger.conflated).toBe(2);
  });

  test("supersedes nothing that was given out, and nothing of other policies", () => {
    const harness = new QueueHarness({ maxQueueMessages: 100 });
    harness.push(messageOf(1), "conflate");
    expect(harness.take()).toEqual([1]);
    harness.push(messageOf(2), "drop-oldest");
    harness.push(messageOf(3), "conflate");
    harness.push(messageOf(4), "drop-oldest");
    harness.push(messageOf(5), "conflate");
    expect(harness.take()).toEqual([2, 4, "5 for 1 more"]);
  });

  test("has only the latest of each subject, however long nothing is taken", () => {
    const harness = new QueueHarness({ maxQueueMessages: 100 });
    for (let n = 1; n <= 22; n++) {
      harness.push(messageOf(n), "conflate");
      harness.nowMs += 1000;
    }
    expect(harness.take()).toEqual(["22 for 21 more"]);
  });

  test("gives a value its turn, however often its subject changes", () => {
    const harness = new QueueHarness({ maxQueueMessages: 100 });
    for (const [n, subject] of ["a", "b", "c", "a"].entries()) {
      harness.push(messageOf(n + 1, subject), "conflate");
    }
    expect(harness.take(1)).toEqual([2]);
    // As many messages have left as were before the first value of "a".
    harness.push(messageOf(5, "a"), "conflate");
    harness.push(messageOf(6, "a"), "conflate");
    expect(harness.take()).toEqual([3, "4 for 1 more", "6 for 1 more"]);
  });

  test("gives a value its turn when the messages before it were left out", () => {
    const harness = new QueueHarness({ maxQueueMessages: 3 });
    for (const [n, subject] of ["b", "a", "b", "b", "a", "b", "a"].entries()) {
      harness.push(messageOf(n + 1, subject), subject === "a" ? "conflate" : "drop-oldest");
    }
    // The last value of "a" supersedes none: as many messages were left out as were before the first one.
    expect(harness.take()).toEqual(["3 lost, o:1 to o:4", "5 for 1 more", 6, 7]);
  });

  test("brings each of many subjects that change all the time, twice the length of the queue later at most", () => {
    const harness = new QueueHarness({ maxQueueMessages: 1000 });
    const lastSeen = new Map<string, number>();
    let n = 0;
    for (let round = 0; round < 2000; round++) {
      // The first subjects change between any two messages that leave, the last ones seldom.
      for (let subject = 0; subject < 20; subject++) {
        if (round % (subject + 1) === 0) harness.push(messageOf(++n, `s${subject}`), "conflate");
      }
      const [item] = harness.queue.take(1);
      const { subject } = item as Envelope;
      const before = lastSeen.get(subject);
      if (before !== undefined && round > 50) expect(round - before).toBeLessThan(60);
      lastSeen.set(subject, round);
    }
    expect(lastSeen.size).toBe(20);
  });

  test("says how many a value stands for that was superseded before it came here", () => {
    const harness = new QueueHarness({ maxQueueMessages: 100 });
    harness.push(messageOf(2).superseding(messageOf(1)), "conflate");
    harness.push(messageOf(4).superseding(messageOf(3)), "conflate");
    expect(harness.take()).toEqual(["4 for 3 more"]);
  });

  test("closes its holes: one subject that changes a million times takes the room of one", () => {
    const harness = new QueueHarness();
    const changing = messageOf(1);
    for (let n = 0; n < 1_000_000; n++) harness.push(changing, "conflate");
    expect(harness.queue.messages).toBe(1);
    expect(harness.take()).toEqual(["1 for 999999 more"]);
  });
});

describe("Queue with a bound in age", () => {
  test("leaves out what has waited for longer, and says so in its place", () => {
    const harness = new QueueHarness({ maxQueueAgeMs: 1000 });
    harness.push(messageOf(1), "drop-oldest");
    harness.nowMs = 500;
    harness.push(messageOf(2), "drop-newest");
    harness.nowMs = 1000;
    expect(harness.queue.expire(harness.nowMs)).toBe(true);
    harness.nowMs = 1001;
    expect(harness.queue.expire(harness.nowMs)).toBe(true);
    expect(harness.take()).toEqual(["1 lost, o:1 to o:1", 2]);
    expect(harness.ledger.dropped.expired).toBe(1);
  });

  test("with disconnect cuts the client", () => {
    const harness = new QueueHarness({ maxQueueAgeMs: 1000 });
    harness.push(messageOf(1), "disconnect");
    expect(harness.queue.expire(1001)).toBe(false);
  });

  test("takes a conflated value for as old as it is, not as its first", () => {
    const harness = new QueueHarness({ maxQueueAgeMs: 500 });
    for (let n = 1; n <= 8; n++) {
      harness.push(messageOf(n), "conflate");
      harness.nowMs += 100;
    }
    expect(harness.queue.expire(harness.nowMs)).toBe(true);
    expect(harness.take()).toEqual(["8 for 7 more"]);
  });
});

describe("Queue with the end of a subject", () => {
  test("conflates what was before the end and what comes after it, and not the end", () => {
    const harness = new QueueHarness({ maxQueueMessages: 10 });
    harness.pushAll([messageOf(1), messageOf(2), endOf(3)], "conflate");
    harness.pushAll([messageOf(4), messageOf(5), endOf(6), endOf(7)], "conflate");
    expect(harness.take()).toEqual(["3 for 2 more", "6 for 2 more", 7]);
    expect(harness.ledger).toMatchObject({ conflated: 4, queued: 0, queuedBytes: 0 });
  });

  test.each(["conflate", "drop-oldest", "drop-newest"] as const)(
    "with %s has every end, or a gap in its place",
    (policy) => {
      const step = fc.record({
        subject: fc.constantFrom("a", "b"),
        ends: fc.boolean(),
        takes: fc.boolean(),
      });
      fc.assert(
        fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
          const harness = new QueueHarness({ maxQueueMessages: 4 });
          const ends = new Set<number>();
          for (const [n, { subject, ends: isEnd, takes }] of steps.entries()) {
            if (isEnd) ends.add(n);
            harness.push(isEnd ? endOf(n, subject) : messageOf(n, subject), policy);
            if (takes) for (const item of harness.queue.take(150)) settle(item, ends);
          }
          for (const item of harness.queue.take(EVERYTHING)) settle(item, ends);
          expect([...ends]).toEqual([]);
        }),
        { numRuns: 500 },
      );
    },
  );
});

/** Takes the ends out that a client is told of. */
function settle(item: QueueItem, ends: Set<number>): void {
  if (item instanceof Envelope) {
    if (item.ends) ends.delete(item.sequence);
  } else if (item.type === "gap") {
    const [from, to] = [item.from, item.to].map((cursor) => Number(cursor.split(":").at(-1)));
    for (const end of ends) if (end >= from! && end <= to!) ends.delete(end);
  }
}
