import { describe, expect, test } from "bun:test";
import type { Envelope } from "../../../src/core/wire/envelope.ts";
import { countKept, messageOf, messagesOf } from "../support/messages.ts";
import { EVERYTHING, QueueHarness } from "./queue-harness.ts";

describe("Queue", () => {
  test("gives out what it took in, in order, and counts it meanwhile", () => {
    const { queue, ledger, ...harness } = new QueueHarness();
    const both = messagesOf(1, 2);
    for (const message of both) queue.push(message, "disconnect", harness.nowMs);
    const bytes = both[0]!.byteLength + both[1]!.byteLength;
    expect([queue.messages, queue.bytes, queue.isEmpty]).toEqual([2, bytes, false]);
    expect([ledger.queued, ledger.queuedBytes]).toEqual([2, bytes]);
    expect(queue.take(EVERYTHING)).toEqual(both);
    expect([queue.messages, queue.bytes, queue.isEmpty]).toEqual([0, 0, true]);
    expect([ledger.queued, ledger.queuedBytes]).toEqual([0, 0]);
  });

  test("gives out as much as fits, and one message at least", () => {
    const harness = new QueueHarness();
    const [first, second] = messagesOf(1, 2);
    harness.pushAll([first!, second!, messageOf(3)], "disconnect");
    expect(harness.take(1)).toEqual([1]);
    expect(harness.take(second!.byteLength * 2)).toEqual([2, 3]);
    expect(harness.take()).toEqual([]);
  });

  test("takes in one message that is larger than its bound, alone", () => {
    const harness = new QueueHarness({ maxQueueBytes: 50 });
    expect(harness.push(messageOf(1, "a", 500), "disconnect")).toBe(true);
    expect(harness.push(messageOf(2), "disconnect")).toBe(false);
    expect(harness.take()).toEqual([1]);
  });

  test("counts all as dropped, once, when it is given up", () => {
    const harness = new QueueHarness();
    harness.pushAll(messagesOf(1, 3), "drop-oldest");
    harness.queue.note({ type: "ok" });
    harness.queue.clear("abandoned");
    harness.queue.clear("abandoned");
    expect(harness.queue.isEmpty).toBe(true);
    expect(harness.ledger.balance()).toMatchObject({ queued: 0, dropped: 3 });
    expect(harness.ledger.queuedBytes).toBe(0);
  });

  test("lets go of what it gave out: so many messages pass through it without growing", () => {
    const harness = new QueueHarness();
    harness.push(messageOf(0), "disconnect");
    for (let n = 1; n <= 10_000; n++) {
      harness.push(messageOf(n), "disconnect");
      expect(harness.take(1)).toEqual([n - 1]);
    }
    expect(harness.queue.messages).toBe(1);
  });
});

describe("Queue lets go", () => {
  test("of what it gave out, though most is still there", async () => {
    const harness = new QueueHarness({ maxQueueMessages: 1000, maxQueueBytes: 100_000_000 });
    let given = 0;
    const kept = await countKept(1000, (message) => {
      harness.push(message, "disconnect");
      if (message.sequence === 1000) while (given < 400) given += harness.take(1).length;
    });
    expect(harness.queue.messages).toBe(600);
    expect(kept).toBeWithin(600, 620);
  });

  test("of what it left out and of what was superseded", async () => {
    const harness = new QueueHarness();
    const left = (message: Envelope) => void harness.push(message, "drop-oldest");
    expect(await countKept(500, left)).toBeWithin(3, 20);
    const superseded = (message: Envelope) => void harness.push(message, "conflate");
    expect(await countKept(500, superseded)).toBeWithin(0, 20);
  });
});

describe("Notice in a queue", () => {
  test("keeps its place among messages and gaps", () => {
    const harness = new QueueHarness({ maxQueueMessages: 2 });
    harness.push(messageOf(1), "drop-oldest");
    harness.queue.note({ type: "upstream", state: "disconnected" });
    harness.push(messageOf(2), "drop-oldest");
    harness.queue.note({ type: "ok" });
    harness.pushAll(messagesOf(3, 4), "drop-oldest");
    expect(harness.take()).toEqual([
      "1 lost, o:1 to o:1",
      "upstream",
      "1 lost, o:2 to o:2",
      "ok",
      3,
      4,
    ]);
  });

  test("alone is something to give out", () => {
    const harness = new QueueHarness();
    harness.queue.note({ type: "ok" });
    expect(harness.queue.isEmpty).toBe(false);
    expect(harness.take()).toEqual(["ok"]);
  });

  test("and gap come out with the first message, though nothing fits", () => {
    const harness = new QueueHarness({ maxQueueMessages: 1 });
    harness.pushAll(messagesOf(1, 2), "drop-oldest");
    harness.queue.note({ type: "ok" });
    expect(harness.take(0)).toEqual(["1 lost, o:1 to o:1", 2, "ok"]);
  });
});

describe("Queue of a client that came back", () => {
  test("takes in what it has missed, and beside that as much as its bounds allow", () => {
    const harness = new QueueHarness();
    for (const one of messagesOf(1, 10)) harness.queue.replay(one, "disconnect", 0);
    expect(harness.pushAll(messagesOf(11, 14), "disconnect")).toEqual([true, true, true, false]);
    expect(harness.ledger.queued).toBe(13);
    expect(harness.take()).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13]);
  });

  test("is back within its bounds when that is given out", () => {
    const harness = new QueueHarness();
    for (const one of messagesOf(1, 10)) harness.queue.replay(one, "disconnect", 0);
    for (let n = 1; n <= 9; n++) expect(harness.take(1)).toEqual([n]);
    expect(harness.pushAll(messagesOf(11, 14), "disconnect")).toEqual([true, true, true, false]);
    harness.take();
    expect(harness.pushAll(messagesOf(15, 18), "disconnect")).toEqual([true, true, true, false]);
  });

  test("leaves out no more than must go", () => {
    const harness = new QueueHarness();
    for (const one of messagesOf(1, 5)) harness.queue.replay(one, "drop-oldest", 0);
    harness.pushAll(messagesOf(6, 9), "drop-oldest");
    expect(harness.take()).toEqual(["1 lost, o:1 to o:1", 2, 3, 4, 5, 6, 7, 8, 9]);
  });
});
