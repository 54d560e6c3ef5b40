import { describe, expect, test } from "bun:test";
import { Meter } from "../../src/core/metering/meter.ts";
import { ENDED_AS } from "../../src/core/sessions/close-cause.ts";
import { FlowMeter } from "../../src/gateway/flow-meter.ts";
import { ManualClock } from "../core/support/manual-clock.ts";

function running() {
  const clock = new ManualClock();
  const meter = new Meter();
  const flow = new FlowMeter(clock);
  flow.start(meter);
  return { clock, meter, flow };
}

/** Lets seconds pass, in each of which the same is counted. */
function pass(
  { clock, meter }: { clock: ManualClock; meter: Meter },
  seconds: number,
  each: (meter: Meter) => void,
): void {
  for (let second = 0; second < seconds; second++) {
    each(meter);
    clock.advance(1000);
  }
}

describe("FlowMeter", () => {
  test("is all zero when nothing was counted", () => {
    const { flow, clock } = running();
    const idle = {
      messages_per_second: 0,
      bytes_per_second: 0,
      error_rate: 0,
      last_activity: "0001-01-01T00:00:00Z",
    };
    expect(flow.metrics()).toEqual(idle);
    clock.advance(60_000);
    expect(flow.metrics()).toEqual(idle);
  });

  test("divides by the time since the start before the first full window", () => {
    const harness = running();
    pass(harness, 3, (meter) => {
      meter.messagesReceived += 10;
      meter.ledger.send(0, 500);
    });
    expect(harness.flow.metrics()).toMatchObject({
      messages_per_second: 10,
      bytes_per_second: 500,
    });
    harness.clock.advance(500);
    expect(harness.flow.metrics().messages_per_second).toBeCloseTo(30 / 3.5);
  });

  test("takes the first second as a whole one", () => {
    const { flow, meter, clock } = running();
    meter.messagesReceived = 5;
    expect(flow.metrics().messages_per_second).toBe(5);
    clock.advance(1);
    expect(flow.metrics().messages_per_second).toBe(5);
  });

  test("forgets what is older than the window", () => {
    const harness = running();
    pass(harness, 20, (meter) => {
      meter.messagesReceived += 1000;
    });
    pass(harness, 10, (meter) => {
      meter.messagesReceived += 2;
    });
    expect(harness.flow.metrics().messages_per_second).toBe(2);
  });

  test("falls to zero when nothing comes any more", () => {
    const harness = running();
    pass(harness, 30, (meter) => {
      meter.messagesReceived += 100;
      meter.ledger.send(0, 100);
      meter.countError("write_timeout", "nothing taken");
    });
    harness.clock.advance(11_000);
    expect(harness.flow.metrics()).toMatchObject({
      messages_per_second: 0,
      bytes_per_second: 0,
      error_rate: 0,
    });
  });

  test("counts a message once, however many clients get it", () => {
    const harness = running();
    pass(harness, 10, (meter) => {
      meter.messagesReceived += 1;
      meter.ledger.send(500, 0);
    });
    expect(harness.flow.metrics().messages_per_second).toBe(1);
  });

  test("gives errors as a percentage of deliveries and errors", () => {
    const harness = running();
    pass(harness, 10, (meter) => {
      meter.ledger.send(3, 0);
      meter.countError("slow_consumer", "one lags");
    });
    expect(harness.flow.metrics().error_rate).toBe(25);
  });

  test.each(Object.values(ENDED_AS).map(({ error }) => error))(
    "counts %p, for which a client is disconnected",
    (kind) => {
      const harness = running();
      pass(harness, 5, (meter) => meter.countError(kind, "one is disconnected"));
      expect(harness.flow.metrics().error_rate).toBe(100);
    },
  );

  test("has errors alone as 100 percent", () => {
    const harness = running();
    pass(harness, 5, (meter) => meter.countError("no_pong", "silent"));
    expect(harness.flow.metrics().error_rate).toBe(100);
  });

  test("leaves out handshakes that were refused: whoever asked is no client", () => {
    const harness = running();
    pass(harness, 5, (meter) => meter.countRefusedHandshake());
    expect(harness.flow.metrics().error_rate).toBe(0);
    expect(harness.meter).toMatchObject({ errorsTotal: 0, lastError: undefined });
    expect(harness.meter.errors.get("handshake")).toBe(5);
  });

  test("has what is read from streams in its rates, and replays as activity", () => {
    const harness = running();
    pass(harness, 10, (meter) => {
      meter.messagesReplayed += 100;
      meter.ledger.send(300, 0);
      meter.ledger.send(0, 30_000);
    });
    expect(harness.flow.metrics()).toEqual({
      messages_per_second: 100,
      bytes_per_second: 30_000,
      error_rate: 0,
      last_activity: "2026-01-01T00:00:10.000Z",
    });
    harness.clock.advance(5000);
    expect(harness.flow.metrics().last_activity).toBe("2026-01-01T00:00:10.000Z");
  });

  test("has the moment at which a message came, also when it is asked later", () => {
    const { flow, meter, clock } = running();
    clock.advance(2500);
    meter.countReceived(1, clock.wallMs());
    meter.ledger.send(1, 0);
    clock.advance(5000);
    expect(flow.metrics().last_activity).toBe("2026-01-01T00:00:02.500Z");
  });

  test("leaves the source's errors out of what clients err", () => {
    const harness = running();
    pass(harness, 5, (meter) => {
      meter.countError("source", "NATS is away");
      meter.countError("source", "lost again");
    });
    expect(harness.flow.metrics().error_rate).toBe(0);
  });

  test("gives the last message's time in RFC 3339, also when stopped", () => {
    const { flow, meter, clock } = running();
    meter.lastMessageMs = clock.wallMs() + 1;
    expect(flow.metrics().last_activity).toBe("2026-01-01T00:00:00.001Z");
    flow.stop();
    expect(flow.metrics().last_activity).toBe("2026-01-01T00:00:00.001Z");
  });

  test("leaves no timer when it is stopped, and is zero", () => {
    const harness = running();
    pass(harness, 5, (meter) => {
      meter.messagesReceived += 10;
    });
    expect(harness.clock.timers).toBe(1);
    harness.flow.stop();
    harness.flow.stop();
    expect(harness.clock.timers).toBe(0);
    expect(harness.flow.metrics().messages_per_second).toBe(0);
  });

  test("begins anew at a restart, though the meter's counts go on", () => {
    const harness = running();
    pass(harness, 5, (meter) => {
      meter.messagesReceived += 1000;
    });
    harness.flow.stop();
    harness.flow.start(harness.meter);
    pass(harness, 2, (meter) => {
      meter.messagesReceived += 3;
    });
    expect(harness.flow.metrics().messages_per_second).toBe(3);
    expect(harness.clock.timers).toBe(1);
  });

  test("is right about a window whose samples came late", () => {
    const clock = new LateClock();
    const meter = new Meter();
    const flow = new FlowMeter(clock);
    flow.start(meter);
    for (let round = 0; round < 8; round++) {
      meter.messagesReceived += 50;
      clock.skip(5000);
    }
    expect(flow.metrics().messages_per_second).toBe(10);
  });
});

/** A clock whose timers ring only when a busy event loop is done. */
class LateClock extends ManualClock {
  #lateMs = 0;

  override nowMs(): number {
    return super.nowMs() + this.#lateMs;
  }

  /** So long nothing rings; then one timer does. */
  skip(ms: number): void {
    this.#lateMs += ms - 1000;
    this.advance(1000);
  }
}
