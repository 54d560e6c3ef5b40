import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { SendWindow } from "../../../src/core/sessions/send-window.ts";
import { V1 } from "../../../src/core/wire/dialect.ts";
import { Harness, stateOf, type TestClient } from "../support/harness.ts";

const OPTIONS = {
  markBytes: 64_000,
  markIntervalMs: 1000,
  maxLagMs: 2000,
  targetLagMs: 250,
  highWaterBytes: 1_000_000,
  lowWaterBytes: 250_000,
  maxQueueBytes: 300_000,
  maxQueueMessages: 10_000,
  maxTotalQueueBytes: 10_000_000,
  policy: "conflate",
} as const;

const SUBJECTS = 20;
const TICK_MS = 20;
const KILOBYTE = "x".repeat(1000);

/** Publishes 50 KB/s, and lets a client read so many bytes per second, for so long. */
function run(harness: Harness, client: TestClient, bytesPerSecond: number, ms: number): number {
  let budget = 0;
  let most = 0;
  for (let at = 0; at < ms; at += TICK_MS) {
    for (let subject = 0; subject < SUBJECTS; subject++) {
      harness.publish({ at: harness.clock.nowMs(), KILOBYTE }, `s.${subject}`);
    }
    harness.clock.advance(TICK_MS);
    budget += (bytesPerSecond * TICK_MS) / 1000;
    budget -= client.socket.read(budget);
    most = Math.max(most, client.socket.unreadBytes);
  }
  return most;
}

function joinSlow(options: Partial<typeof OPTIONS> = {}): { harness: Harness; client: TestClient } {
  const harness = new Harness({ ...OPTIONS, ...options, subjects: ["s.>"] });
  const client = harness.joinWith({ id: "", subjects: ["s.>"] }, V1);
  client.socket.readsOnDemand();
  return { harness, client };
}

/** The age of the last value that a client has read. */
function ageMs(harness: Harness, { socket }: TestClient): number {
  const { at } = socket.payloads.at(-1) as { at: number };
  return harness.clock.nowMs() - at;
}

describe("A window", () => {
  const MESSAGE = 1000;

  /** A window of a client that takes a kilobyte in a millisecond. */
  function measured() {
    const window = new SendWindow(OPTIONS, 0, 10, 0);
    let bytes = 100_000;
    window.confirmed(bytes, 0, window.begin(bytes, true, false, 0), 100);
    const send = (nowMs: number, isIdle: boolean, isLast: boolean): void => {
      bytes += MESSAGE;
      const flight = window.begin(bytes, isIdle, isLast, nowMs);
      window.confirmed(bytes, nowMs, flight, nowMs + 10);
    };
    return { window, send };
  }

  test("stays as large if there is little to send", () => {
    const { window, send } = measured();
    const before = window.bytes(100);
    expect(before).toBe(1000 * (250 + 10));
    for (let nowMs = 1000; nowMs < 9000; nowMs += 100) send(nowMs, true, true);
    expect(window.bytes(9000)).toBe(before);
  });

  test("is small until the round trip was measured again, as the network may have changed", () => {
    const { window, send } = measured();
    const before = window.bytes(10_000);
    expect(window.bytes(10_001)).toBe(16_000);
    send(10_001, true, true);
    expect(window.bytes(10_011)).toBe(before);
  });

  test("is not measured over the time in which nothing was in flight", () => {
    const { window, send } = measured();
    send(5000, true, false);
    // A kilobyte in ten milliseconds counts by a quarter, and not a kilobyte in five seconds.
    expect(window.bytes(5010)).toBe(775 * (250 + 10));
  });

  test("shrinks if a client takes less than there is", () => {
    const { window, send } = measured();
    for (let nowMs = 1000; nowMs < 3000; nowMs += 100) send(nowMs, false, false);
    expect(window.bytes(3000)).toBe(16_000);
  });
});

describe("A client that reads slowly, with conflate", () => {
  test("sees values of about a second, once it has read what was in flight", () => {
    const { harness, client } = joinSlow();
    run(harness, client, 50_000, 25_000);
    for (let n = 0; n < 10; n++) {
      const most = run(harness, client, 50_000, 1000);
      expect(most).toBeLessThan(50_000);
      expect(ageMs(harness, client)).toBeLessThan(1500);
    }
    harness.expectBalance();
  });

  test("has more in flight when it reads faster, and gets all that it can read", () => {
    const { harness, client } = joinSlow();
    run(harness, client, 50_000, 25_000);
    const before = client.socket.textFrames.length;
    run(harness, client, 400_000, 10_000);
    const read = client.socket.textFrames
      .slice(before)
      .reduce((sum, { byteLength }) => sum + byteLength, 0);
    expect(read).toBeGreaterThan(0.8 * 4_000_000);
  });

  test("reads frames that are no larger than the window", () => {
    const { harness, client } = joinSlow();
    run(harness, client, 50_000, 25_000);
    const before = client.socket.textFrames.length;
    run(harness, client, 50_000, 5000);
    const sizes = client.socket.textFrames.slice(before).map(({ byteLength }) => byteLength);
    expect(sizes.length).toBeGreaterThan(50);
    expect(Math.max(...sizes)).toBeLessThan(16_000);
  });

  test("gets everything again in its audience, when it reads fast enough", () => {
    const { harness, client } = joinSlow();
    run(harness, client, 50_000, 5000);
    expect(stateOf(client.session)).toBe("queued");
    run(harness, client, 50_000_000, 1500);
    expect(stateOf(client.session)).toBe("live");
    expect(ageMs(harness, client)).toBeLessThanOrEqual(2 * TICK_MS);
  });

  test("stays out of its audience while it reads less than comes, though nothing waits for it now and then", () => {
    const { harness, client } = joinSlow();
    // As much as its queue holds is in its window.
    run(harness, client, 150_000, 10_000);
    for (let n = 0; n < 10; n++) {
      run(harness, client, 150_000, 500);
      expect(stateOf(client.session)).toBe("queued");
      expect(ageMs(harness, client)).toBeLessThan(1000);
    }
  });

  test("sends it nothing more while it reads nothing, and the newest when it reads again", () => {
    const { harness, client } = joinSlow();
    run(harness, client, 50_000, 25_000);
    const stalled = run(harness, client, 0, 30_000);
    expect(stalled).toBeLessThan(50_000);
    run(harness, client, 50_000_000, 500);
    expect(ageMs(harness, client)).toBeLessThanOrEqual(2 * TICK_MS);
  });
});

test("Whatever a client reads and whenever, it gets the latest of each subject, and in flight is never more than high_water_bytes beside what it lagged with", () => {
  const phase = fc.record({
    bytesPerSecond: fc.constantFrom(0, 5000, 50_000, 300_000, 5_000_000),
    ms: fc.integer({ min: 100, max: 4000 }),
  });
  fc.assert(
    fc.property(fc.array(phase, { minLength: 1, maxLength: 8 }), (phases) => {
      const { harness, client } = joinSlow();
      for (const { bytesPerSecond, ms } of phases) {
        const most = run(harness, client, bytesPerSecond, ms);
        expect(most).toBeLessThan(2 * OPTIONS.highWaterBytes);
        // Nothing counts as taken that was not, but for the line breaks between messages and the marks.
        const { unreadBytes } = client.socket;
        expect(client.connection.writer.unconfirmedBytes).toBeGreaterThan(0.98 * unreadBytes - 20);
      }
      // It reads all, and nothing more comes.
      for (let n = 0; n < 100; n++) {
        client.socket.read();
        harness.clock.advance(20);
      }
      const last = new Map(
        client.socket.envelopes.map(({ subject, payload }) => [subject, payload]),
      );
      const times = [...last.values()].map((payload) => (payload as { at: number }).at);
      expect(new Set(times).size).toBe(1);
      expect(last.size).toBe(SUBJECTS);
      expect(stateOf(client.session)).toBe("live");
      harness.expectBalance();
    }),
    { numRuns: 30 },
  );
}, 60_000);
