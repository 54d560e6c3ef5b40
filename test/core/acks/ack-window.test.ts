import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { AckState } from "../../../src/core/acks/ack-state.ts";
import { AckWindow } from "../../../src/core/acks/ack-window.ts";
import { messageOf } from "../support/messages.ts";

/** What is in a window, in order, found by looking at every place. */
function contentOf(window: AckWindow): [sequence: number, dueMs: number, deliveries: number][] {
  const content: [number, number, number][] = [];
  for (let at = window.head; at < window.end; at++) {
    if (window.stateAt(at) === AckState.gone) continue;
    content.push([window.envelopeAt(at).sequence, window.dueAt(at), window.deliveriesAt(at)]);
  }
  return content;
}

describe("The window of what is not acknowledged", () => {
  test("is a map from sequences, in their order, whatever is added and removed in which order", () => {
    const messages = Array.from({ length: 60 }, (_, index) => messageOf(index + 1));
    const step = fc.record({
      does: fc.constantFrom("add", "add next", "add some", "remove", "remove up to", "shrink"),
      which: fc.nat(messages.length - 1),
    });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 200, size: "max" }), (steps) => {
        const window = new AckWindow("o");
        const model = new Map<number, [dueMs: number, deliveries: number]>();
        let next = 0;
        for (const [time, { does, which }] of steps.entries()) {
          const envelope = messages[does === "add next" ? next++ % messages.length : which]!;
          const { sequence } = envelope;
          if (does === "add some") {
            // In any order, as what waited may be sent.
            const some = [envelope, messages[next++ % messages.length]!, messages.at(-1)!];
            const absent = new Set(
              some.map((one) => one.sequence).filter((one) => !model.has(one)),
            );
            expect(window.addAll(some, 0, some.length, time)).toBe(absent.size);
            for (const one of some) {
              model.set(one.sequence, [time, (model.get(one.sequence)?.[1] ?? 0) + 1]);
            }
          } else if (does === "remove up to") {
            let removed = 0;
            window.removeUpTo(sequence, (count, _, dueMs) => {
              removed += count;
              expect([...model.values()].some(([due]) => due === dueMs)).toBe(true);
            });
            for (const one of [...model.keys()]) {
              if (one > sequence) continue;
              model.delete(one);
              removed--;
            }
            expect(removed).toBe(0);
          } else if (does.startsWith("add")) {
            const before = model.get(sequence);
            expect(window.add(envelope, time)).toBe(before === undefined);
            model.set(sequence, [time, (before?.[1] ?? 0) + 1]);
          } else if (does === "remove") {
            const at = window.find(sequence);
            expect(at >= 0).toBe(model.delete(sequence));
            if (at >= 0) window.remove(at);
          } else {
            window.shrink();
          }
          for (const one of [sequence, sequence + 1]) {
            const at = window.find(one);
            expect(at < 0 ? undefined : window.envelopeAt(at).sequence).toBe(
              model.has(one) ? one : undefined,
            );
          }
        }
        const expected = [...model]
          .map(([sequence, [dueMs, deliveries]]) => [sequence, dueMs, deliveries])
          .sort(([one = 0], [other = 0]) => one - other);
        expect(contentOf(window) as unknown[]).toEqual(expected);
        const dues = expected.map(([, dueMs = 0]) => dueMs);
        expect(window.nextDueMs()).toBe(Math.min(Number.POSITIVE_INFINITY, ...dues));
        expect(window.messages).toBe(model.size);
        const bytes = [...model.keys()].map((sequence) => messages[sequence - 1]!.byteLength);
        expect(window.bytes).toBe(bytes.reduce((sum, length) => sum + length, 0));
      }),
      { numRuns: 3000 },
    );
  });

  test("does not grow with what was acknowledged behind a message that is not", () => {
    const window = new AckWindow("o");
    window.add(messageOf(1), 0);
    for (let sequence = 2; sequence < 10_000; sequence++) {
      window.add(messageOf(sequence), 0);
      window.remove(window.find(sequence));
    }
    expect(window.end - window.head).toBeLessThan(64);
    expect(window.find(1)).toBe(window.head);
  });
});
