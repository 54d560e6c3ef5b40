import { expect, test } from "bun:test";
import { StreamPages } from "../../../src/core/history/stream-pages.ts";
import { Meter } from "../../../src/core/metering/meter.ts";
import { EnvelopeEncoder } from "../../../src/core/wire/envelope.ts";
import { FakeStream, ORIGIN } from "../support/fake-stream.ts";
import { ManualClock } from "../support/manual-clock.ts";

/** A stream that finds no place by time, however long somebody waits. */
class StuckStream extends FakeStream {
  override before(): Promise<number> {
    return new Promise(() => {});
  }
}

test("Requests of one user that are not answered keep no other user waiting", async () => {
  const clock = new ManualClock();
  const stream = new StuckStream();
  stream.add("s.a");
  const encoder = new EnvelopeEncoder({ payloadFormat: "raw", headers: [] });
  const pages = new StreamPages(stream, encoder, clock, new Meter());
  for (let n = 0; n < 40; n++) void pages.before(ORIGIN, n, "many");
  let sequences: number[] | undefined;
  const query = { origin: ORIGIN, subjects: ["s.a"] };
  void pages.read(query, 0, false, "other").then((page) => {
    sequences = page?.envelopes.map(({ sequence }) => sequence);
  });
  for (let n = 0; n < 40; n++) {
    clock.turn();
    await new Promise((resolve) => setImmediate(resolve));
  }
  expect(sequences).toEqual([1]);
});
