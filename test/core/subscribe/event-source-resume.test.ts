import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { SSE } from "../../../src/core/wire/dialect.ts";
import type { Policy } from "../../../src/protocol/fields.ts";
import { readEvents, type ServerEvent } from "../../support/event-parser.ts";
import { Harness, type TestClient } from "../support/harness.ts";

interface Told {
  readonly type: string;
  readonly id?: string;
  readonly from?: string;
  readonly to?: string;
  readonly superseded?: number;
}

/** An `EventSource`: what it is cut from, it asks for behind the last id that it has read. */
class Source {
  lastEventId = "";
  readonly numbers = new Set<number>();
  /** Whether it has heard of a gap of unknown size. */
  unsure = false;
  /** Behind which message it began. */
  since: number | undefined;
  peer: TestClient;
  readonly #harness: Harness;
  readonly #policy: Policy;
  readonly #maxRate: number | undefined;

  constructor(harness: Harness, policy: Policy, maxRate: number | undefined) {
    this.#harness = harness;
    this.#policy = policy;
    this.#maxRate = maxRate;
    this.peer = this.connect();
  }

  connect(): TestClient {
    const after = this.lastEventId || undefined;
    const request = {
      id: "",
      subjects: ["a"],
      policy: this.#policy,
      maxRate: this.#maxRate,
      after,
    };
    this.peer = this.#harness.joinWith(request, SSE);
    return this.peer;
  }

  /** The connection ends when so much of what was written has come. */
  cut(share: number): void {
    const text = this.peer.socket.textFrames.map((frame) => frame.text).join("");
    this.read(text.slice(0, Math.floor(text.length * share)));
    this.peer.connection.closed(1006);
  }

  read(text: string): void {
    for (const event of readEvents(text)) this.#hear(event);
  }

  #hear({ data, id }: ServerEvent): void {
    this.lastEventId = id || this.lastEventId;
    const told = JSON.parse(data) as Told;
    if (told.type === "subscribed") this.since ??= numberOf(told.from);
    if (told.type === "data") {
      const last = numberOf(told.id);
      for (let n = last - (told.superseded ?? 0); n <= last; n++) this.numbers.add(n);
    }
    if (told.type !== "gap") return;
    this.unsure ||= told.from === told.to;
    for (let n = numberOf(told.from); n <= numberOf(told.to); n++) this.numbers.add(n);
  }
}

function numberOf(cursor = ""): number {
  return Math.floor(Number(cursor.split(":").at(-1)));
}

describe("An EventSource", () => {
  test("that is cut anywhere, and comes back, has all since it was subscribed, or was told", () => {
    fc.assert(
      fc.property(
        fc.constantFrom<Policy>("drop-oldest", "drop-newest", "disconnect", "conflate"),
        fc.constantFrom(undefined, undefined, 5),
        fc.constantFrom(3, 1000),
        fc.array(
          fc.oneof(
            fc.record({
              does: fc.constant("publish" as const),
              times: fc.integer({ min: 1, max: 9 }),
            }),
            fc.record({ does: fc.constant("pass" as const), ms: fc.constantFrom(1, 20, 300) }),
            fc.record({
              does: fc.constant("cut" as const),
              share: fc.double({ min: 0, max: 1, noNaN: true }),
            }),
            fc.record({
              does: fc.constantFrom("stop reading" as const, "read" as const, "lose" as const),
            }),
          ),
          { minLength: 2, maxLength: 20 },
        ),
        (policy, maxRate, ringMessages, steps) => {
          const options = { ringMessages, ringBytes: 1_000_000, maxQueueMessages: 4 };
          const harness = new Harness({ ...options, highWaterBytes: 300, upstreamLingerMs: 1e9 });
          // It keeps the subject subscribed to, so that nothing but what the test does is missed.
          harness.join(["a"]);
          const source = new Source(harness, policy, maxRate);
          for (const step of steps) {
            if (step.does === "publish")
              for (let n = 0; n < step.times; n++) harness.publish("x".repeat(80));
            if (step.does === "pass") harness.clock.advance(step.ms);
            if (step.does === "stop reading") source.peer.socket.reads = false;
            if (step.does === "read") {
              source.peer.socket.reads = true;
              source.peer.socket.buffered = 0;
            }
            if (step.does === "lose") {
              harness.disconnect();
              harness.connect();
            }
            if (step.does !== "cut" && !source.peer.connection.isOver) continue;
            source.cut("share" in step ? step.share : 1);
            source.connect();
          }
          // In the end it reads everything, and comes back as often as it is sent away.
          for (let n = 0; n < 40; n++) {
            source.peer.socket.reads = true;
            source.peer.socket.buffered = 0;
            harness.clock.advance(300);
            source.cut(1);
            source.connect();
          }
          if (source.unsure || source.since === undefined) return;
          const published = harness.meter.messagesReceived;
          const missing: number[] = [];
          for (let n = source.since + 1; n <= published; n++) {
            if (!source.numbers.has(n)) missing.push(n);
          }
          expect(missing).toEqual([]);
        },
      ),
      { numRuns: 600 },
    );
  });
});

describe("The id of a gap", () => {
  const gap = { type: "gap", from: "o:1", to: "o:5", count: 0 } as const;
  const idOf = (frame: Parameters<typeof SSE.notice>[0]) =>
    /^id: (.*)$/m.exec(SSE.notice(frame).text)?.[1];

  test.each([
    [{ ...gap, reason: "slow", count: 5 }, "o:5"],
    [{ ...gap, reason: "expired", count: 5, exact: false }, "o:5"],
    [{ ...gap, reason: "stream_reset", exact: false }, "o:5"],
    // Their ends may lie before messages that come.
    [{ ...gap, reason: "expired", exact: false }, undefined],
    [{ ...gap, reason: "upstream", exact: false }, undefined],
    [{ ...gap, reason: "upstream", count: 5 }, undefined],
  ] as const)("is its end, if a client can resume there: %p", (frame, id) => {
    expect(idOf(frame)).toBe(id);
  });
});
