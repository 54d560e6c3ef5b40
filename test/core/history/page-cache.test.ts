import { describe, expect, test } from "bun:test";
import { StreamPages } from "../../../src/core/history/stream-pages.ts";
import { Meter } from "../../../src/core/metering/meter.ts";
import { EnvelopeEncoder } from "../../../src/core/wire/envelope.ts";
import { FakeStream, ORIGIN } from "../support/fake-stream.ts";
import { ManualClock } from "../support/manual-clock.ts";

const QUERY = { origin: ORIGIN, subjects: ["s.a"] };
const MINUTE_MS = 60_000;

/** A stream whose pages are read as clients do that reconnect. */
function setUp({ messages, ofPage = 3 }: { messages: number; ofPage?: number }) {
  const clock = new ManualClock();
  const stream = new FakeStream(ofPage);
  for (let n = 0; n < messages; n++) stream.add("s.a");
  const encoder = new EnvelopeEncoder({ payloadFormat: "raw", headers: [] });
  const pages = new StreamPages(stream, encoder, clock, new Meter());
  const read = async (after: number) => {
    let isRead = false;
    void pages.read(QUERY, after, false, "user").then(() => {
      isRead = true;
    });
    while (!isRead) {
      clock.turn();
      await new Promise((resolve) => setImmediate(resolve));
    }
  };
  return { clock, stream, pages, read };
}

describe("A page of a stream", () => {
  test("is read once for clients that want it within half a minute of each other", async () => {
    const { clock, stream, read } = setUp({ messages: 10 });
    for (let n = 0; n < 10; n++) {
      await read(n % 3);
      clock.advance(MINUTE_MS / 2);
    }
    expect(stream.asked).toHaveLength(1);
  });

  test("isn't kept longer than a minute if nobody wants it, and leaves no timer", async () => {
    const { clock, stream, read } = setUp({ messages: 100 });
    for (let after = 0; after < 90; after += 3) await read(after);
    expect([stream.asked.length, clock.timers]).toEqual([30, 1]);
    clock.advance(MINUTE_MS);
    expect(clock.timers).toBe(0);
    for (let after = 0; after < 90; after += 3) await read(after);
    expect(stream.asked).toHaveLength(60);
  });

  test("counts with all of its memory, not the bytes of its messages alone", async () => {
    // Each message has about 100 bytes.
    const { stream, read } = setUp({ messages: 50_001, ofPage: 2000 });
    for (let after = 0; after < 50_000; after += 2000) await read(after);
    expect(stream.asked).toHaveLength(25);
    await read(48_000);
    expect(stream.asked).toHaveLength(25);
    await read(0);
    expect(stream.asked).toHaveLength(26);
  });

  test("isn't kept once all is stopped, even if it is being read", async () => {
    const { clock, stream, pages, read } = setUp({ messages: 10 });
    await read(0);
    const reading = read(3);
    pages.stop();
    await reading;
    expect(clock.timers).toBe(0);
    await read(0);
    expect(stream.asked).toHaveLength(3);
  });
});
