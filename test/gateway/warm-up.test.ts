import { describe, expect, test } from "bun:test";
import { parseConfig } from "../../src/config/parse.ts";
import { Rehearsal, warmUp } from "../../src/gateway/warm-up.ts";
import { ManualClock } from "../core/support/manual-clock.ts";

const MODES = ["at-most-once", "at-least-once"] as const;
const STEPS = 1000;

/** A clock that moves on by a millisecond whenever it is read. */
class HastyClock extends ManualClock {
  override nowMs(): number {
    this.pause(1);
    return super.nowMs();
  }

  override soon(call: () => void): () => void {
    call();
    return () => {};
  }
}

describe("A rehearsal", () => {
  test.each(MODES)("of %s sends each message to each of its clients", (delivery_mode) => {
    const rehearsal = new Rehearsal(parseConfig({ delivery_mode }));
    for (let step = 0; step < STEPS; step++) rehearsal.step();
    const { clientsActive, ledger } = rehearsal.meter;
    expect(clientsActive).toBe(6);
    expect(ledger.balance()).toMatchObject({ offered: 6 * STEPS, sent: 6 * STEPS, queued: 0 });
  });

  test("of at-least-once gets an acknowledgement of each message, in the next step", () => {
    const rehearsal = new Rehearsal(parseConfig({ delivery_mode: "at-least-once" }));
    for (let step = 0; step <= STEPS; step++) rehearsal.step();
    expect(rehearsal.meter.ledger.acks).toMatchObject({ acked: 6 * STEPS, repeated: 0 });
  });

  test("subscribes anew now and then, and none of its frames is refused", () => {
    const rehearsal = new Rehearsal(parseConfig({}));
    for (let step = 0; step < STEPS; step++) rehearsal.step();
    const { clientFrames, errors, refused } = rehearsal.meter;
    expect(clientFrames).toMatchObject({ unsubscribe: 2 * 10, subscribe: 2 * 11 });
    expect(errors.get("malformed_frame")).toBe(0);
    expect(Object.values(refused).every((count) => count === 0)).toBe(true);
  });

  test("answers the pings among the messages", () => {
    const rehearsal = new Rehearsal(parseConfig({ mark_interval: "100ms" }));
    for (let step = 0; step < STEPS; step++) rehearsal.step();
    const { counts } = rehearsal.meter.deliverySeconds;
    expect(counts.reduce((sum, count) => sum + count)).toBeGreaterThanOrEqual(6 * 9);
  });
});

describe("A warm-up", () => {
  test("ends in time on a machine that is slow", async () => {
    const clock = new HastyClock();
    await warmUp(parseConfig({}), clock);
    const tookMs = clock.nowMs();
    // It notices the end after the step that is under way.
    expect(tookMs).toBeGreaterThanOrEqual(100);
    expect(tookMs).toBeLessThan(120);
  });
});
