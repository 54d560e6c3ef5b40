import { describe, expect, test } from "bun:test";
import { Envelope } from "../../src/core/envelope.ts";
import { Meter } from "../../src/core/meter.ts";
import type { Policy, QueueBounds } from "../../src/core/policy.ts";
import { PrivateQueue } from "../../src/core/queue.ts";
import { countKept, messageOf, messagesOf } from "./messages.ts";

const EVERYTHING = Number.POSITIVE_INFINITY;

class Bench {
  readonly meter = new Meter();
  readonly queue: PrivateQueue;
  nowMs = 0;

  constructor(bounds: Partial<QueueBounds> = {}) {
    this.queue = new PrivateQueue(
      { maxQueueBytes: 100_000, maxQueueMessages: 3, maxQueueAgeMs: 60_000, ...bounds },
      this.meter,
    );
  }

  push(envelope: Envelope, policy: Policy): boolean {
    return this.queue.push(envelope, policy, this.nowMs);
  }

  pushAll(envelopes: readonly Envelope[], policy: Policy): boolean[] {
    return envelopes.map((envelope) => this.push(envelope, policy));
  }

  /** What comes out: the numbers of messages with what they superseded, and what else is said. */
  take(maxBytes = EVERYTHING): unknown[] {
    return this.queue.take(maxBytes).map((item) => {
      if (item instanceof Envelope) {
        const { superseded } = JSON.parse(item.text);
        return superseded === undefined ? item.sequence : `${item.sequence} for ${superseded} more`;
      }
      if (item.type !== "gap") return item.type;
      expect(item.reason).toBe("slow");
      return `${item.count} lost, ${item.from} to ${item.to}`;
    });
  }
}

describe("Queue", () => {
  test("gives out what it took in, in order, and counts it meanwhile", () => {
    const { queue, meter, ...bench } = new Bench();
    const both = messagesOf(1, 2);
    for (const message of both) queue.push(message, "disconnect", bench.nowMs);
    const bytes = both[0]!.byteLength + both[1]!.byteLength;
    expect([queue.messages, queue.bytes, queue.isEmpty]).toEqual([2, bytes, false]);
    expect([meter.queued, meter.queuedBytes]).toEqual([2, bytes]);
    expect(queue.take(EVERYTHING)).toEqual(both);
    expect([queue.messages, queue.bytes, queue.isEmpty]).toEqual([0, 0, true]);
    expect([meter.queued, meter.queuedBytes]).toEqual([0, 0]);
  });

  test("gives out as much as fits, and one message at least", () => {
    const bench = new Bench();
    const [first, second] = messagesOf(1, 2);
    bench.pushAll([first!, second!, messageOf(3)], "disconnect");
    expect(bench.take(1)).toEqual([1]);
    expect(bench.take(second!.byteLength * 2)).toEqual([2, 3]);
    expect(bench.take()).toEqual([]);
  });

  test("takes in one message that is larger than its bound, alone", () => {
    const bench = new Bench({ maxQueueBytes: 50 });
    expect(bench.push(messageOf(1, "a", 500), "disconnect")).toBe(true);
    expect(bench.push(messageOf(2), "disconnect")).toBe(false);
    expect(bench.take()).toEqual([1]);
  });

  test("counts all as dropped, once, when it is given up", () => {
    const bench = new Bench();
    bench.pushAll(messagesOf(1, 3), "drop-oldest");
    bench.queue.note({ type: "ok" });
    bench.queue.clear("abandoned");
    bench.queue.clear("abandoned");
    expect(bench.queue.isEmpty).toBe(true);
    expect(bench.meter.ledger()).toMatchObject({ queued: 0, dropped: 3 });
    expect(bench.meter.queuedBytes).toBe(0);
  });

  test("lets go of what it gave out: so many messages pass through it without growing", () => {
    const bench = new Bench();
    bench.push(messageOf(0), "disconnect");
    for (let n = 1; n <= 10_000; n++) {
      bench.push(messageOf(n), "disconnect");
      expect(bench.take(1)).toEqual([n - 1]);
    }
    expect(bench.queue.messages).toBe(1);
  });
});

describe("Queue lets go", () => {
  test("of what it gave out, though most is still there", async () => {
    const bench = new Bench({ maxQueueMessages: 1000, maxQueueBytes: 1_000_000 });
    let given = 0;
    const kept = await countKept(1000, (message) => {
      bench.push(message, "disconnect");
      if (message.sequence === 1000) while (given < 400) given += bench.take(1).length;
    });
    expect(bench.queue.messages).toBe(600);
    expect(kept).toBeWithin(600, 620);
  });

  test("of what it left out and of what was superseded", async () => {
    const bench = new Bench();
    const left = (message: Envelope) => void bench.push(message, "drop-oldest");
    expect(await countKept(500, left)).toBeWithin(3, 20);
    const superseded = (message: Envelope) => void bench.push(message, "conflate");
    expect(await countKept(500, superseded)).toBeWithin(0, 20);
  });
});

describe("Queue that is full", () => {
  test("with disconnect takes no more", () => {
    const bench = new Bench();
    expect(bench.pushAll(messagesOf(1, 4), "disconnect")).toEqual([true, true, true, false]);
    expect(bench.take()).toEqual([1, 2, 3]);
  });

  test("with drop-oldest has a gap where the oldest were", () => {
    const bench = new Bench();
    bench.pushAll(messagesOf(1, 7), "drop-oldest");
    expect(bench.take()).toEqual(["4 lost, o:1 to o:4", 5, 6, 7]);
    expect(bench.meter.dropped.drop_oldest).toBe(4);
  });

  test("with drop-newest has a gap where the newest were, and one for each time", () => {
    const bench = new Bench();
    bench.pushAll(messagesOf(1, 5), "drop-newest");
    expect(bench.take(1)).toEqual([1]);
    bench.pushAll(messagesOf(6, 8), "drop-newest");
    expect(bench.take()).toEqual([2, 3, "2 lost, o:4 to o:5", 6, "2 lost, o:7 to o:8"]);
    expect(bench.meter.dropped.drop_newest).toBe(4);
  });

  test("with conflate of many subjects leaves out the oldest, with what they superseded", () => {
    const bench = new Bench();
    for (const [n, subject] of ["a", "a", "b", "a", "c", "d"].entries()) {
      bench.push(messageOf(n + 1, subject), "conflate");
    }
    expect(bench.take()).toEqual(["1 lost, o:3 to o:3", "4 for 2 more", 5, 6]);
    bench.pushAll([messageOf(7, "a"), messageOf(8, "a")], "conflate");
    for (const [n, subject] of ["b", "c", "d"].entries()) {
      bench.push(messageOf(9 + n, subject), "conflate");
    }
    expect(bench.take()).toEqual(["2 lost, o:7 to o:8", 9, 10, 11]);
    expect(bench.meter).toMatchObject({ conflated: 3, queued: 0, queuedBytes: 0 });
    expect(bench.meter.dropped.drop_oldest).toBe(2);
  });

  test("in bytes leaves out as many as must go", () => {
    const size = messageOf(1).byteLength;
    const bench = new Bench({ maxQueueMessages: 100, maxQueueBytes: size * 4 });
    bench.pushAll(messagesOf(1, 4), "drop-oldest");
    bench.push(messageOf(5, "a", 2 * size), "drop-oldest");
    expect(bench.queue.bytes).toBeLessThanOrEqual(size * 4);
    expect(bench.take()).toEqual(["4 lost, o:1 to o:4", 5]);
  });

  test("leaves out nothing that is for the client to have, or to be cut", () => {
    const bench = new Bench();
    bench.push(messageOf(1), "disconnect");
    bench.pushAll(messagesOf(2, 3), "drop-oldest");
    expect(bench.push(messageOf(4), "drop-newest")).toBe(true);
    expect(bench.push(messageOf(5), "drop-oldest")).toBe(false);
    expect(bench.take()).toEqual([1, 2, 3, "1 lost, o:4 to o:4"]);
  });

  test("with several policies keeps the place of each gap", () => {
    const bench = new Bench();
    bench.pushAll(messagesOf(1, 3), "drop-oldest");
    bench.push(messageOf(4), "drop-newest");
    bench.pushAll(messagesOf(5, 6), "drop-oldest");
    expect(bench.take(1)).toEqual(["2 lost, o:1 to o:2", 3, "1 lost, o:4 to o:4"]);
    bench.push(messageOf(7), "drop-oldest");
    expect(bench.take()).toEqual([5, 6, 7]);
  });

  test("joins gaps that stand side by side", () => {
    const bench = new Bench();
    bench.pushAll(messagesOf(1, 3), "drop-oldest");
    bench.push(messageOf(4), "drop-newest");
    bench.pushAll(messagesOf(5, 8), "drop-oldest");
    expect(bench.take()).toEqual(["5 lost, o:1 to o:5", 6, 7, 8]);
  });

  test("does not grow by gaps that conflated values part", () => {
    const bench = new Bench({ maxQueueMessages: 1 });
    for (let n = 1; n <= 10_000; n += 2) {
      bench.push(messageOf(n, "a"), "conflate");
      bench.push(messageOf(n + 1, "b"), "drop-newest");
    }
    const items = bench.take();
    expect(items.length).toBeLessThan(100);
    expect(items).toContain("9999 for 4999 more");
  });
});

describe("Queue with conflate", () => {
  test("has the latest of each subject, in the order of the messages", () => {
    const bench = new Bench({ maxQueueMessages: 100 });
    for (const [n, subject] of ["a", "b", "a", "c", "a"].entries()) {
      bench.push(messageOf(n + 1, subject), "conflate");
    }
    expect(bench.take()).toEqual([2, 4, "5 for 2 more"]);
    expect(bench.meter.conflated).toBe(2);
  });

  test("supersedes nothing that was given out, and nothing of other policies", () => {
    const bench = new Bench({ maxQueueMessages: 100 });
    bench.push(messageOf(1), "conflate");
    expect(bench.take()).toEqual([1]);
    bench.push(messageOf(2), "drop-oldest");
    bench.push(messageOf(3), "conflate");
    bench.push(messageOf(4), "drop-oldest");
    bench.push(messageOf(5), "conflate");
    expect(bench.take()).toEqual([2, 4, "5 for 1 more"]);
  });

  test("gives a value its turn: what has waited for a second is superseded no more", () => {
    const bench = new Bench({ maxQueueMessages: 100 });
    for (let n = 1; n <= 22; n++) {
      bench.push(messageOf(n), "conflate");
      bench.nowMs += 100;
    }
    expect(bench.take()).toEqual(["10 for 9 more", "20 for 9 more", "22 for 1 more"]);
  });

  test("says how many a value stands for that was superseded before it came here", () => {
    const bench = new Bench({ maxQueueMessages: 100 });
    bench.push(messageOf(2).superseding(messageOf(1)), "conflate");
    bench.push(messageOf(4).superseding(messageOf(3)), "conflate");
    expect(bench.take()).toEqual(["4 for 3 more"]);
  });

  test("closes its holes: one subject that changes a million times takes the room of one", () => {
    const bench = new Bench();
    const changing = messageOf(1);
    for (let n = 0; n < 1_000_000; n++) bench.push(changing, "conflate");
    expect(bench.queue.messages).toBe(1);
    expect(bench.take()).toEqual(["1 for 999999 more"]);
  });
});

describe("Queue with a bound in age", () => {
  test("leaves out what has waited for longer, and says so in its place", () => {
    const bench = new Bench({ maxQueueAgeMs: 1000 });
    bench.push(messageOf(1), "drop-oldest");
    bench.nowMs = 500;
    bench.push(messageOf(2), "drop-newest");
    bench.nowMs = 1000;
    expect(bench.queue.expire(bench.nowMs)).toBe(true);
    bench.nowMs = 1001;
    expect(bench.queue.expire(bench.nowMs)).toBe(true);
    expect(bench.take()).toEqual(["1 lost, o:1 to o:1", 2]);
    expect(bench.meter.dropped.expired).toBe(1);
  });

  test("with disconnect cuts the client", () => {
    const bench = new Bench({ maxQueueAgeMs: 1000 });
    bench.push(messageOf(1), "disconnect");
    expect(bench.queue.expire(1001)).toBe(false);
  });

  test("takes a conflated value for as old as it is, not as its first", () => {
    const bench = new Bench({ maxQueueAgeMs: 500 });
    for (let n = 1; n <= 8; n++) {
      bench.push(messageOf(n), "conflate");
      bench.nowMs += 100;
    }
    expect(bench.queue.expire(bench.nowMs)).toBe(true);
    expect(bench.take()).toEqual(["8 for 7 more"]);
  });
});

describe("Notice in a queue", () => {
  test("keeps its place among messages and gaps", () => {
    const bench = new Bench({ maxQueueMessages: 2 });
    bench.push(messageOf(1), "drop-oldest");
    bench.queue.note({ type: "upstream", state: "disconnected" });
    bench.push(messageOf(2), "drop-oldest");
    bench.queue.note({ type: "ok" });
    bench.pushAll(messagesOf(3, 4), "drop-oldest");
    expect(bench.take()).toEqual([
      "1 lost, o:1 to o:1",
      "upstream",
      "1 lost, o:2 to o:2",
      "ok",
      3,
      4,
    ]);
  });

  test("alone is something to give out", () => {
    const bench = new Bench();
    bench.queue.note({ type: "ok" });
    expect(bench.queue.isEmpty).toBe(false);
    expect(bench.take()).toEqual(["ok"]);
  });

  test("and gap come out with the first message, though nothing fits", () => {
    const bench = new Bench({ maxQueueMessages: 1 });
    bench.pushAll(messagesOf(1, 2), "drop-oldest");
    bench.queue.note({ type: "ok" });
    expect(bench.take(0)).toEqual(["1 lost, o:1 to o:1", 2, "ok"]);
  });
});

describe("Queue of a client that came back", () => {
  test("takes in what it has missed, and beside that as much as its bounds allow", () => {
    const bench = new Bench();
    bench.queue.replay(messagesOf(1, 10), "disconnect", 0);
    expect(bench.pushAll(messagesOf(11, 14), "disconnect")).toEqual([true, true, true, false]);
    expect(bench.meter.queued).toBe(13);
    expect(bench.take()).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13]);
  });

  test("is back within its bounds when that is given out", () => {
    const bench = new Bench();
    bench.queue.replay(messagesOf(1, 10), "disconnect", 0);
    for (let n = 1; n <= 9; n++) expect(bench.take(1)).toEqual([n]);
    expect(bench.pushAll(messagesOf(11, 14), "disconnect")).toEqual([true, true, true, false]);
    bench.take();
    expect(bench.pushAll(messagesOf(15, 18), "disconnect")).toEqual([true, true, true, false]);
  });

  test("leaves out no more than must go", () => {
    const bench = new Bench();
    bench.queue.replay(messagesOf(1, 5), "drop-oldest", 0);
    bench.pushAll(messagesOf(6, 9), "drop-oldest");
    expect(bench.take()).toEqual(["1 lost, o:1 to o:1", 2, 3, 4, 5, 6, 7, 8, 9]);
  });
});
