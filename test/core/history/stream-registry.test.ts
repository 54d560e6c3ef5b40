import { describe, expect, test } from "bun:test";
import { Ring } from "../../../src/core/history/ring.ts";
import { StreamRegistry } from "../../../src/core/history/stream-registry.ts";
import { DenyList } from "../../../src/core/subject/deny-list.ts";
import { Cancellation } from "../../../src/core/timing/cancellation.ts";
import { ManualClock } from "../support/manual-clock.ts";

const FOLLOWED = { name: "S", origin: "S:1", sequence: 5, lost: false };

function registryOf(...names: string[]) {
  const clock = new ManualClock();
  const ring = new Ring({ ringMessages: 0, ringBytes: 0 });
  const inputs = names.map((name) => ({ name, subjects: [`${name}.>`] }));
  const registry = new StreamRegistry(inputs, ring, clock, () => ({ sequence: 0, number: 0 }));
  const [stream] = registry.carrying("everything", DenyList.NOTHING);
  return { clock, ring, registry, stream: stream! };
}

/** Whether a promise is settled after what was promised until now. */
async function isSettled(promise: Promise<unknown>): Promise<boolean> {
  const pending = new Promise((resolve) => setImmediate(resolve, "pending"));
  return (await Promise.race([promise, pending])) !== "pending";
}

function message(sequence: number) {
  return { subject: "S.a", data: new Uint8Array(), position: { origin: "S:1", sequence } };
}

describe("StreamRegistry", () => {
  test("calls back when the state of all asked streams is known, at once if it is", () => {
    const { registry } = registryOf("S", "T");
    const called: string[] = [];
    const caller = new Cancellation();
    registry.whenKnown(registry.carrying(["S.>"], DenyList.NOTHING), caller, () =>
      called.push("S"),
    );
    registry.whenKnown(registry.carrying("everything", DenyList.NOTHING), caller, () =>
      called.push("both"),
    );
    registry.follow({ ...FOLLOWED, isFollowed: false });
    expect(called).toEqual([]);
    registry.follow(FOLLOWED);
    expect(called).toEqual(["S"]);
    registry.refuse("T", "no permission");
    expect(called).toEqual(["S", "both"]);
    registry.whenKnown(registry.carrying("everything", DenyList.NOTHING), caller, () =>
      called.push("again"),
    );
    expect(called).toEqual(["S", "both", "again"]);
    expect(registry.waiting).toBe(0);
  });

  test("never calls back who was cancelled, also by a call before it, and keeps nothing of it", () => {
    const { registry } = registryOf("S");
    const [first, second, third] = [new Cancellation(), new Cancellation(), new Cancellation()];
    const called: string[] = [];
    const streams = registry.carrying("everything", DenyList.NOTHING);
    registry.whenKnown(streams, first, () => {
      called.push("first");
      second.cancel();
    });
    registry.whenKnown(streams, second, () => called.push("second"));
    registry.whenKnown(streams, third, () => called.push("third"));
    third.cancel();
    expect(registry.waiting).toBe(2);
    registry.follow(FOLLOWED);
    expect(called).toEqual(["first"]);
    expect(registry.waiting).toBe(0);
  });

  test("wakes who waits for a sequence when that message comes, and nobody else", async () => {
    const { clock, registry, stream } = registryOf("S");
    registry.follow(FOLLOWED);
    const limits = { timeoutMs: 1000, signal: new AbortController().signal };
    const seven = registry.reached(stream, 7, stream.changes, limits);
    const nine = registry.reached(stream, 9, stream.changes, limits);
    registry.place(message(6), 1);
    expect(await isSettled(seven)).toBe(false);
    registry.place(message(8), 2);
    expect(await isSettled(seven)).toBe(true);
    expect(await isSettled(nine)).toBe(false);
    expect(await isSettled(registry.reached(stream, 8, stream.changes, limits))).toBe(true);
    registry.place(message(9), 3);
    expect(await isSettled(nine)).toBe(true);
    expect(clock.timers).toBe(0);
  });

  test.each([
    ["is made anew", { ...FOLLOWED, origin: "S:2" }],
    ["is deleted", { ...FOLLOWED, origin: undefined }],
    ["is followed again", { ...FOLLOWED, isFollowed: false }],
  ])("wakes who waits for a change when the stream %s", async (_, state) => {
    const { clock, registry, stream } = registryOf("S");
    registry.follow(FOLLOWED);
    const { changes } = stream;
    const limits = { timeoutMs: 1000, signal: new AbortController().signal };
    const waits = registry.changed(stream, changes, limits);
    expect(await isSettled(waits)).toBe(false);
    registry.follow(state);
    expect(await isSettled(waits)).toBe(true);
    // A change that came before the wait began is not missed.
    expect(await isSettled(registry.changed(stream, changes, limits))).toBe(true);
    expect({ timers: clock.timers, waiting: registry.waiting }).toEqual({ timers: 0, waiting: 0 });
  });

  test("ends a wait after its timeout, or when it is cancelled, and keeps nothing of it", async () => {
    const { clock, registry, stream } = registryOf("S");
    registry.follow(FOLLOWED);
    const controller = new AbortController();
    const { signal } = controller;
    const late = registry.changed(stream, stream.changes, { timeoutMs: 100, signal });
    const cancelled = registry.changed(stream, stream.changes, { timeoutMs: 1000, signal });
    clock.advance(100);
    expect(await isSettled(late)).toBe(true);
    expect(await isSettled(cancelled)).toBe(false);
    controller.abort();
    expect(await isSettled(cancelled)).toBe(true);
    await registry.changed(stream, stream.changes, { timeoutMs: 1000, signal });
    expect({ timers: clock.timers, waiting: registry.waiting }).toEqual({ timers: 0, waiting: 0 });
  });
});
