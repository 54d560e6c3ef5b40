import { describe, expect, test } from "bun:test";
import type { Envelope } from "../../../src/core/wire/envelope.ts";
import { countKept, messageOf, messagesOf } from "../support/messages.ts";
import { EVERYTHING, QueueBench } from "./queue-harness.ts";

describe("Queue", () => {
  test("gives out what it took in, in order, and counts it meanwhile", () => {
    const { queue, meter, ...bench } = new QueueBench();
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
    const bench = new QueueBench();
    const [first, second] = messagesOf(1, 2);
    bench.pushAll([first!, second!, messageOf(3)], "disconnect");
    expect(bench.take(1)).toEqual([1]);
    expect(bench.take(second!.byteLength * 2)).toEqual([2, 3]);
    expect(bench.take()).toEqual([]);
  });

  test("takes in one message that is larger than its bound, alone", () => {
    const bench = new QueueBench({ maxQueueBytes: 50 });
    expect(bench.push(messageOf(1, "a", 500), "disconnect")).toBe(true);
    expect(bench.push(messageOf(2), "disconnect")).toBe(false);
    expect(bench.take()).toEqual([1]);
  });

  test("counts all as dropped, once, when it is given up", () => {
    const bench = new QueueBench();
    bench.pushAll(messagesOf(1, 3), "drop-oldest");
    bench.queue.note({ type: "ok" });
    bench.queue.clear("abandoned");
    bench.queue.clear("abandoned");
    expect(bench.queue.isEmpty).toBe(true);
    expect(bench.meter.ledger()).toMatchObject({ queued: 0, dropped: 3 });
    expect(bench.meter.queuedBytes).toBe(0);
  });

  test("lets go of what it gave out: so many messages pass through it without growing", () => {
    const bench = new QueueBench();
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
    const bench = new QueueBench({ maxQueueMessages: 1000, maxQueueBytes: 100_000_000 });
    let given = 0;
    const kept = await countKept(1000, (message) => {
      bench.push(message, "disconnect");
      if (message.sequence === 1000) while (given < 400) given += bench.take(1).length;
    });
    expect(bench.queue.messages).toBe(600);
    expect(kept).toBeWithin(600, 620);
  });

  test("of what it left out and of what was superseded", async () => {
    const bench = new QueueBench();
    const left = (message: Envelope) => void bench.push(message, "drop-oldest");
    expect(await countKept(500, left)).toBeWithin(3, 20);
    const superseded = (message: Envelope) => void bench.push(message, "conflate");
    expect(await countKept(500, superseded)).toBeWithin(0, 20);
  });
});

describe("Notice in a queue", () => {
  test("keeps its place among messages and gaps", () => {
    const bench = new QueueBench({ maxQueueMessages: 2 });
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
    const bench = new QueueBench();
    bench.queue.note({ type: "ok" });
    expect(bench.queue.isEmpty).toBe(false);
    expect(bench.take()).toEqual(["ok"]);
  });

  test("and gap come out with the first message, though nothing fits", () => {
    const bench = new QueueBench({ maxQueueMessages: 1 });
    bench.pushAll(messagesOf(1, 2), "drop-oldest");
    bench.queue.note({ type: "ok" });
    expect(bench.take(0)).toEqual(["1 lost, o:1 to o:1", 2, "ok"]);
  });
});

describe("Queue of a client that came back", () => {
  test("takes in what it has missed, and beside that as much as its bounds allow", () => {
    const bench = new QueueBench();
    for (const one of messagesOf(1, 10)) bench.queue.replay(one, "disconnect", 0);
    expect(bench.pushAll(messagesOf(11, 14), "disconnect")).toEqual([true, true, true, false]);
    expect(bench.meter.queued).toBe(13);
    expect(bench.take()).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13]);
  });

  test("is back within its bounds when that is given out", () => {
    const bench = new QueueBench();
    for (const one of messagesOf(1, 10)) bench.queue.replay(one, "disconnect", 0);
    for (let n = 1; n <= 9; n++) expect(bench.take(1)).toEqual([n]);
    expect(bench.pushAll(messagesOf(11, 14), "disconnect")).toEqual([true, true, true, false]);
    bench.take();
    expect(bench.pushAll(messagesOf(15, 18), "disconnect")).toEqual([true, true, true, false]);
  });

  test("leaves out no more than must go", () => {
    const bench = new QueueBench();
    for (const one of messagesOf(1, 5)) bench.queue.replay(one, "drop-oldest", 0);
    bench.pushAll(messagesOf(6, 9), "drop-oldest");
    expect(bench.take()).toEqual(["1 lost, o:1 to o:1", 2, 3, 4, 5, 6, 7, 8, 9]);
  });
});
