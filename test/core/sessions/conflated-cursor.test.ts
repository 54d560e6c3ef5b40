import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { sequenceOf } from "../../../src/core/acks/ack-id.ts";
import { Ledger } from "../../../src/core/metering/ledger.ts";
import { PrivateQueue } from "../../../src/core/sessions/queue.ts";
import { Envelope } from "../../../src/core/wire/envelope.ts";
import { Harness } from "../support/harness.ts";
import { messageOf } from "../support/messages.ts";

const BOUNDS = { maxQueueMessages: 1000, maxQueueBytes: 1_000_000, maxQueueAgeMs: 60_000 };

/** A message as a client reads it. */
interface Read {
  readonly id: string;
  readonly superseded?: number;
}

function takeFrom(queue: PrivateQueue, messages: number): Read[] {
  return queue.take(1_000_000, messages).flatMap((item) => {
    if (!(item instanceof Envelope)) return [];
    const read = JSON.parse(item.text) as Read;
    expect(read.id).toBe(item.id);
    return read;
  });
}

/** Behind which sequence whoever resumes with an id goes on. */
function resumesBehind({ id }: Read): number {
  const [, sequence, back = 0] = /:(\d+)(?:-(\d+))?$/.exec(id)!;
  return Number(sequence) - Number(back);
}

describe("The id of a message that overtook a superseded one", () => {
  test("lies before that, until the one that stands for it is sent", () => {
    const queue = new PrivateQueue(BOUNDS, new Ledger());
    for (const [n, subject] of ["a", "b", "a", "c"].entries()) {
      queue.push(messageOf(n + 1, subject), "conflate", 0);
    }
    const [b] = takeFrom(queue, 1);
    expect(b?.id).toMatch(/:2-2$/);
    expect(resumesBehind(b!)).toBe(0);
    const [a, c] = takeFrom(queue, 2);
    expect(a).toMatchObject({ superseded: 1, id: expect.stringMatching(/:3$/) });
    expect(c?.id).toMatch(/:4$/);
  });

  test("is acknowledged like any other", () => {
    const origin = messageOf(1).origin;
    expect(sequenceOf(`${origin}:42-7`, origin)).toBe(42);
    for (const id of ["42-", "42-x", "-7", "42-7-1"]) {
      expect(sequenceOf(`${origin}:${id}`, origin)).toBe(-1);
    }
  });

  test("leaves nothing unsaid for whoever is cut off behind it", () => {
    fc.assert(
      fc.property(
        fc.array(
          fc.oneof(
            fc.constantFrom("a", "b", "c", "d"),
            fc.integer({ min: 1, max: 3 }),
            fc.constantFrom(-100, -600),
          ),
          { maxLength: 60 },
        ),
        fc.constantFrom(3, 1000),
        (steps, maxQueueMessages) => {
          const ledger = new Ledger();
          const queue = new PrivateQueue({ ...BOUNDS, maxQueueMessages }, ledger);
          let last = 0;
          let nowMs = 0;
          let counted = 0;
          const read: Read[] = [];
          for (const step of steps) {
            if (typeof step === "string") {
              queue.push(messageOf(++last, step), "conflate", nowMs);
            } else if (step < 0) {
              nowMs -= step;
            } else {
              for (const item of queue.take(1_000_000, step)) {
                if (item instanceof Envelope) {
                  const said = JSON.parse(item.text) as Read;
                  read.push(said);
                  counted += 1 + (said.superseded ?? 0);
                  // Whatever lies before its cursor was sent, stood for, or told of in a gap.
                  expect(counted).toBeGreaterThanOrEqual(resumesBehind(said));
                } else if (item.type === "gap") counted += item.count;
              }
            }
          }
        },
      ),
      { numRuns: 2000 },
    );
  });
});

describe("A client that conflates, lags and is cut off", () => {
  test("gets what was superseded meanwhile when it resumes with the last id that it has", () => {
    const harness = new Harness({
      ...{ policy: "conflate", ringMessages: 100, ringBytes: 100_000 },
      ...{ highWaterBytes: 1000, lowWaterBytes: 100 },
    });
    const first = harness.join(["*"]);
    first.socket.reads = false;
    harness.publish("x".repeat(1100), "z");
    harness.clock.advance(300);
    harness.publish(1, "a");
    harness.publish("y".repeat(900), "b");
    harness.publish(3, "a");
    harness.publish(4, "a");
    // There is room for one message, and then the connection is gone.
    first.socket.buffered = 0;
    harness.clock.advance(1);
    harness.clock.advance(10);
    const { id, subject } = first.socket.envelopes[1]!;
    expect(subject).toBe("b");
    first.connection.closed(1006);
    const again = harness.joinWith({ id: "", subjects: ["*"], after: String(id) });
    harness.clock.advance(10);
    expect(again.socket.payloads).toEqual([1, "y".repeat(900), 3, 4]);
    harness.expectBalance();
  });
});
