import { describe, expect, test } from "bun:test";
import { messageOf, messagesOf } from "../support/messages.ts";
import { QueueBench } from "./queue-harness.ts";

describe("Queue that is full", () => {
  test("with disconnect takes no more", () => {
    const bench = new QueueBench();
    expect(bench.pushAll(messagesOf(1, 4), "disconnect")).toEqual([true, true, true, false]);
    expect(bench.take()).toEqual([1, 2, 3]);
  });

  test("with drop-oldest has a gap where the oldest were", () => {
    const bench = new QueueBench();
    bench.pushAll(messagesOf(1, 7), "drop-oldest");
    expect(bench.take()).toEqual(["4 lost, o:1 to o:4", 5, 6, 7]);
    expect(bench.meter.dropped.drop_oldest).toBe(4);
  });

  test("with drop-newest has a gap where the newest were, and one for each time", () => {
    const bench = new QueueBench();
    bench.pushAll(messagesOf(1, 5), "drop-newest");
    expect(bench.take(1)).toEqual([1]);
    bench.pushAll(messagesOf(6, 8), "drop-newest");
    expect(bench.take()).toEqual([2, 3, "2 lost, o:4 to o:5", 6, "2 lost, o:7 to o:8"]);
    expect(bench.meter.dropped.drop_newest).toBe(4);
  });

  test("with conflate of many subjects leaves out the oldest, with what they superseded", () => {
    const bench = new QueueBench();
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
    const bench = new QueueBench({ maxQueueMessages: 100, maxQueueBytes: size * 4 });
    bench.pushAll(messagesOf(1, 4), "drop-oldest");
    bench.push(messageOf(5, "a", 2 * size), "drop-oldest");
    expect(bench.queue.bytes).toBeLessThanOrEqual(size * 4);
    expect(bench.take()).toEqual(["4 lost, o:1 to o:4", 5]);
  });

  test("leaves out nothing that is for the client to have, or to be cut", () => {
    const bench = new QueueBench();
    bench.push(messageOf(1), "disconnect");
    bench.pushAll(messagesOf(2, 3), "drop-oldest");
    expect(bench.push(messageOf(4), "drop-newest")).toBe(true);
    expect(bench.push(messageOf(5), "drop-oldest")).toBe(false);
    expect(bench.take()).toEqual([1, 2, 3, "1 lost, o:4 to o:4"]);
  });

  test("with several policies keeps the place of each gap", () => {
    const bench = new QueueBench();
    bench.pushAll(messagesOf(1, 3), "drop-oldest");
    bench.push(messageOf(4), "drop-newest");
    bench.pushAll(messagesOf(5, 6), "drop-oldest");
    expect(bench.take(1)).toEqual(["2 lost, o:1 to o:2", 3, "1 lost, o:4 to o:4"]);
    bench.push(messageOf(7), "drop-oldest");
    expect(bench.take()).toEqual([5, 6, 7]);
  });

  test("joins gaps that stand side by side", () => {
    const bench = new QueueBench();
    bench.pushAll(messagesOf(1, 3), "drop-oldest");
    bench.push(messageOf(4), "drop-newest");
    bench.pushAll(messagesOf(5, 8), "drop-oldest");
    expect(bench.take()).toEqual(["5 lost, o:1 to o:5", 6, 7, 8]);
  });

  test("does not grow by gaps that conflated values part", () => {
    const bench = new QueueBench({ maxQueueMessages: 1 });
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
    const bench = new QueueBench({ maxQueueMessages: 100 });
    for (const [n, subject] of ["a", "b", "a", "c", "a"].entries()) {
      bench.push(messageOf(n + 1, subject), "conflate");
    }
    expect(bench.take()).toEqual([2, 4, "5 for 2 more"]);
    expect(bench.meter.conflated).toBe(2);
  });

  test("supersedes nothing that was given out, and nothing of other policies", () => {
    const bench = new QueueBench({ maxQueueMessages: 100 });
    bench.push(messageOf(1), "conflate");
    expect(bench.take()).toEqual([1]);
    bench.push(messageOf(2), "drop-oldest");
    bench.push(messageOf(3), "conflate");
    bench.push(messageOf(4), "drop-oldest");
    bench.push(messageOf(5), "conflate");
    expect(bench.take()).toEqual([2, 4, "5 for 1 more"]);
  });

  test("gives a value its turn: what has waited for a second is superseded no more", () => {
    const bench = new QueueBench({ maxQueueMessages: 100 });
    for (let n = 1; n <= 22; n++) {
      bench.push(messageOf(n), "conflate");
      bench.nowMs += 100;
    }
    expect(bench.take()).toEqual(["10 for 9 more", "20 for 9 more", "22 for 1 more"]);
  });

  test("says how many a value stands for that was superseded before it came here", () => {
    const bench = new QueueBench({ maxQueueMessages: 100 });
    bench.push(messageOf(2).superseding(messageOf(1)), "conflate");
    bench.push(messageOf(4).superseding(messageOf(3)), "conflate");
    expect(bench.take()).toEqual(["4 for 3 more"]);
  });

  test("closes its holes: one subject that changes a million times takes the room of one", () => {
    const bench = new QueueBench();
    const changing = messageOf(1);
    for (let n = 0; n < 1_000_000; n++) bench.push(changing, "conflate");
    expect(bench.queue.messages).toBe(1);
    expect(bench.take()).toEqual(["1 for 999999 more"]);
  });
});

describe("Queue with a bound in age", () => {
  test("leaves out what has waited for longer, and says so in its place", () => {
    const bench = new QueueBench({ maxQueueAgeMs: 1000 });
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
    const bench = new QueueBench({ maxQueueAgeMs: 1000 });
    bench.push(messageOf(1), "disconnect");
    expect(bench.queue.expire(1001)).toBe(false);
  });

  test("takes a conflated value for as old as it is, not as its first", () => {
    const bench = new QueueBench({ maxQueueAgeMs: 500 });
    for (let n = 1; n <= 8; n++) {
      bench.push(messageOf(n), "conflate");
      bench.nowMs += 100;
    }
    expect(bench.queue.expire(bench.nowMs)).toBe(true);
    expect(bench.take()).toEqual(["8 for 7 more"]);
  });
});
