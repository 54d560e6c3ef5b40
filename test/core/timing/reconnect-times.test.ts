import { describe, expect, test } from "bun:test";
import { ReturnTimes } from "../../../src/core/timing/reconnect-times.ts";
import { V1 } from "../../../src/core/wire/dialect.ts";
import { Harness } from "../support/harness.ts";
import { ManualClock } from "../support/manual-clock.ts";

describe("Clients that are sent away", () => {
  test("come back over the longer, the more they are", () => {
    const clock = new ManualClock();
    const times = new ReturnTimes(clock, () => 0.999);
    expect(times.afterMs("slow_consumer")).toBe(1000);
    expect(times.afterMs("slow_consumer")).toBe(2000);
    for (let n = 0; n < 8000; n++) times.afterMs("slow_consumer");
    expect(times.afterMs("slow_consumer")).toBeGreaterThan(8000);
    // Those of another cause, or of later, are others.
    expect(times.afterMs("overloaded")).toBe(1000);
    clock.advance(10_001);
    expect(times.afterMs("slow_consumer")).toBe(1000);
    expect(times.afterMs("going_away", 20_000)).toBeGreaterThan(20_000);
  });

  test("come back evenly, also the first of very many that are told before the others", () => {
    const times = new ReturnTimes(new ManualClock(), Math.random);
    const waits = Array.from({ length: 20_000 }, () => times.afterMs("overloaded"));
    for (let second = 0; second < 22; second++) {
      const back = waits.filter((ms) => Math.floor(ms / 1000) === second);
      expect(back.length).toBeLessThan(1200);
    }
  });

  test("are spread evenly when all of them must go", async () => {
    const harness = new Harness({ maxClients: 10_000 });
    let last = 0;
    // A sequence that fills the interval evenly, whatever its start.
    Object.defineProperty(harness, "random", { get: () => (last = (last + 0.618) % 1) });
    const peers = Array.from({ length: 3000 }, () => harness.joinWith(undefined, V1));
    const drained = harness.clients.drain(1000);
    harness.clock.advance(1000);
    await drained;
    const waits = peers.map(({ socket }) => Number(socket.notices.at(-1)?.retry_after_ms));
    const seconds = [1, 2, 3].map(
      (at) => waits.filter((ms) => Math.floor(ms / 1000) === at).length,
    );
    for (const count of seconds) expect(count).toBeWithin(900, 1100);
  });
});
