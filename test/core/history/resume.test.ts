import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { resumeAfter } from "../../../src/core/history/resume.ts";
import { Ring } from "../../../src/core/history/ring.ts";
import type { Arrival } from "../../../src/core/upstream/upstream-subscription.ts";
import type { Envelope } from "../../../src/core/wire/envelope.ts";
import { countKept, messageOf } from "../support/messages.ts";

/** A ring that so many messages have passed. */
function ringOf(passed: number, ringMessages: number, ringBytes = 1_000_000): Ring {
  const ring = new Ring({ ringMessages, ringBytes });
  for (let n = 1; n <= passed; n++) ring.push(messageOf(n));
  return ring;
}

/** What a ring has behind a serial. */
function behind(ring: Ring, serial: number): Envelope[] {
  const reader = ring.read(serial + 1);
  const first = reader.next + reader.lost;
  reader.close();
  return Array.from({ length: Math.max(0, ring.end - first) }, (_, n) => ring.at(first + n));
}

function numbers(envelopes: readonly { sequence: number }[]): number[] {
  return envelopes.map(({ sequence }) => sequence);
}

describe("Ring", () => {
  test("keeps the last messages", () => {
    const ring = ringOf(10, 4);
    expect([ring.messages, ring.oldest]).toEqual([4, 7]);
    expect(numbers(behind(ring, 0))).toEqual([7, 8, 9, 10]);
    expect(numbers(behind(ring, 8))).toEqual([9, 10]);
    expect(behind(ring, 10)).toEqual([]);
  });

  test("keeps no more bytes than allowed, and of a message that is longer nothing", () => {
    const size = messageOf(1).byteLength;
    const ring = ringOf(9, 100, size * 3);
    expect([ring.messages, ring.bytes, ring.oldest]).toEqual([3, size * 3, 7]);
    ring.push(messageOf(10, "a", size * 4));
    expect([ring.messages, ring.bytes, ring.oldest]).toEqual([0, 0, undefined]);
    expect(behind(ring, 5)).toEqual([]);
    ring.push(messageOf(11));
    expect(numbers(behind(ring, 5))).toEqual([11]);
  });

  test.each([
    [0, 100],
    [100, 0],
  ])("of %d messages and %d bytes keeps nothing", (ringMessages, ringBytes) => {
    expect(new Ring({ ringMessages, ringBytes }).keeps).toBe(false);
  });

  test("lets go of what it does not keep", async () => {
    const ring = new Ring({ ringMessages: 10, ringBytes: 1_000_000 });
    const keep = (message: Envelope) => ring.push(message);
    // A garbage collector that looks at the stack may take some bits there for what it looks for.
    expect(await countKept(1000, keep, ({ bytes }) => bytes.buffer)).toBeWithin(10, 30);
    expect(ring.messages).toBe(10);
  });

  test("keeps the bytes of messages, not the objects", async () => {
    const ring = new Ring({ ringMessages: 1000, ringBytes: 100_000_000 });
    expect(await countKept(1000, (message) => ring.push(message))).toBeLessThan(20);
    expect(ring.messages).toBe(1000);
  });

  test("gives the messages that it was given, and the same ones to all", () => {
    const ring = new Ring({ ringMessages: 300, ringBytes: 1_000_000 });
    const given = Array.from({ length: 400 }, (_, n) => messageOf(n + 1, `a."é".${n % 7}`));
    for (const message of given) ring.push(message);
    const kept = behind(ring, 0);
    const plain = ({ id, subject, text, payloadAt }: Envelope) => [id, subject, text, payloadAt];
    expect(kept.map(plain)).toEqual(given.slice(-300).map(plain));
    expect(behind(ring, 200)[0]).toBe(kept[100]!);
  });

  test("gives what is behind any number, after any number of messages", () => {
    fc.assert(
      fc.property(
        fc.nat(5000),
        fc.integer({ min: 1, max: 1500 }),
        fc.nat(5000),
        (passed, most, after) => {
          const kept = numbers(behind(ringOf(passed, most), after));
          const first = Math.max(1, passed - most + 1, after + 1);
          expect(kept).toEqual(
            Array.from({ length: Math.max(0, passed - first + 1) }, (_, index) => first + index),
          );
        },
      ),
      { numRuns: 20 },
    );
  });
});

const SINCE_EVER: Arrival = { sequence: 0, number: 1 };

function resume(
  after: string,
  options: { passed?: number; ring?: number; since?: Arrival | undefined; wantsAll?: boolean } = {},
) {
  const { passed = 10, ring = 5, wantsAll = true } = options;
  const kept = ringOf(passed, ring);
  const { from, gaps } = resumeAfter(after, {
    last: { origin: "o", sequence: passed },
    ring: kept,
    completeSince: "since" in options ? options.since : SINCE_EVER,
    wantsAll,
  });
  return { from: from.sequence, gaps, kept: numbers(behind(kept, from.sequence)) };
}

describe("Whoever comes back", () => {
  test("within the ring has a gap of nothing", () => {
    expect(resume("o:7")).toEqual({ from: 7, gaps: [], kept: [8, 9, 10] });
    expect(resume("o:5")).toEqual({ from: 5, gaps: [], kept: [6, 7, 8, 9, 10] });
    expect(resume("o:10")).toEqual({ from: 10, gaps: [], kept: [] });
  });

  test("from before the ring is told exactly what is gone", () => {
    expect(resume("o:2")).toEqual({
      from: 5,
      gaps: [{ type: "gap", from: "o:3", to: "o:5", count: 3, reason: "expired" }],
      kept: [6, 7, 8, 9, 10],
    });
  });

  test("from before the ring with a filter is told that the number is not exact", () => {
    expect(resume("o:4", { wantsAll: false }).gaps).toEqual([
      { type: "gap", from: "o:5", to: "o:5", count: 1, reason: "expired", exact: false },
    ]);
  });

  test("where nothing is kept is told that all is gone", () => {
    expect(resume("o:4", { ring: 0 })).toMatchObject({
      from: 10,
      gaps: [{ from: "o:5", to: "o:10", count: 6, reason: "expired" }],
      kept: [],
    });
  });

  test.each([
    "p:7",
    "o:11",
    "o",
    "o:",
    ":7",
    "7",
    "",
    "o:7x",
    "o:-1",
    "o:1e0",
    "o:9999999999999999",
    "o:7:7",
    "o:7.",
    "o:.1",
    "O:7",
    "__proto__:7",
  ])("with the cursor %j begins anew, and is told so", (cursor) => {
    expect(resume(cursor)).toEqual({
      from: 10,
      gaps: [
        { type: "gap", from: cursor, to: "o:10", count: 0, reason: "stream_reset", exact: false },
      ],
      kept: [],
    });
  });

  test("from before all of its messages arrived is told that some may be missing", () => {
    const gap = { type: "gap", from: "o:7", count: 0, reason: "upstream", exact: false } as const;
    expect(resume("o:7", { since: { sequence: 8, number: 3 } }).gaps).toEqual([
      { ...gap, to: "o:8" },
    ]);
    expect(resume("o:7", { since: undefined }).gaps).toEqual([{ ...gap, to: "o:10" }]);
    expect(resume("o:7", { since: { sequence: 6, number: 3 } }).gaps).toEqual([]);
  });

  test("from behind the message at which they began to arrive is told so, unless its cursor is of after that", () => {
    const since = { sequence: 7, number: 3 };
    const reasons = (cursor: string) => resume(cursor, { since }).gaps.map(({ reason }) => reason);
    expect(reasons("o:7")).toEqual(["upstream"]);
    expect(reasons("o:7.2")).toEqual(["upstream"]);
    expect(reasons("o:7.3")).toEqual([]);
    expect(reasons("o:7.4")).toEqual([]);
    expect(reasons("o:6.9")).toEqual(["upstream"]);
    expect(reasons("o:8.0")).toEqual([]);
  });

  test("may be told both", () => {
    const { gaps } = resume("o:2", { since: { sequence: 8, number: 3 } });
    expect(gaps.map(({ reason }) => reason)).toEqual(["expired", "upstream"]);
  });
});
