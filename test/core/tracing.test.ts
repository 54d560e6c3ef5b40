import { describe, expect, test } from "bun:test";
import type { Tracer } from "../../src/core/ports/tracer.ts";
import { Harness, stateOf } from "./support/harness.ts";

/** Writes down what happens to traces; messages of other subjects than `traced.…` have none. */
function recorder() {
  const events: string[] = [];
  const tracer: Tracer = {
    arrived({ subject }) {
      if (!subject.startsWith("traced.")) return undefined;
      events.push(`${subject} arrived`);
      return {
        wanted: (live, queued) => void events.push(`${subject} wanted by ${live} and ${queued}`),
        end: () => void events.push(`${subject} ended`),
      };
    },
    sending: () => ({ headers: new Map(), end() {} }),
  };
  return { events, tracer };
}

describe("The trace of a message", () => {
  test("ends with the flush that sends it, not before", () => {
    const { events, tracer } = recorder();
    const harness = new Harness({ tracer, flushIntervalMs: 5 });
    const { socket } = harness.join();
    harness.join(["traced.*"]);
    harness.publish(0);
    harness.clock.advance(0);
    harness.publish(1, "traced.a");
    harness.publish(2, "untraced");
    expect(events).toEqual([
      "traced.a arrived",
      "traced.a wanted by 1 and 0",
      "traced.a wanted by 1 and 0",
    ]);
    expect(socket.payloads).toEqual([0]);
    harness.clock.advance(5);
    expect(socket.payloads).toEqual([0, 1, 2]);
    expect(events.slice(3)).toEqual(["traced.a ended"]);
  });

  test("ends at once if nobody wants it, and if it waits for all who do", () => {
    const { events, tracer } = recorder();
    const harness = new Harness({ tracer });
    harness.publish(1, "traced.unheard");
    const { socket, session } = harness.join();
    socket.reads = false;
    harness.publish("x".repeat(1200));
    harness.clock.advance(300);
    expect(stateOf(session)).toBe("queued");
    harness.publish(2, "traced.waits");
    expect(events).toEqual([
      "traced.unheard arrived",
      "traced.unheard ended",
      "traced.waits arrived",
      "traced.waits wanted by 0 and 1",
      "traced.waits ended",
    ]);
  });

  test("ends when the gateway stops before the flush", () => {
    const { events, tracer } = recorder();
    const harness = new Harness({ tracer, flushIntervalMs: 1000 });
    harness.join();
    harness.publish(0);
    harness.clock.advance(0);
    harness.publish(1, "traced.last");
    harness.broadcaster.stop();
    expect(events.at(-1)).toBe("traced.last ended");
  });
});
