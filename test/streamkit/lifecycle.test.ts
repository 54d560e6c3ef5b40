import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { SpillwayError } from "../../src/core/ports/errors.ts";
import { Gate, rejection, turn } from "./fake-engine.ts";
import { OutputHarness } from "./output-harness.ts";

describe("Output that is started", () => {
  test("opens nothing before that", () => {
    const harness = new OutputHarness();
    harness.output.initialize();
    expect(harness.made).toBe(0);
    expect(harness.clock.timers).toBe(0);
  });

  test("starts its engine once, however often it is told to", async () => {
    const harness = new OutputHarness();
    await Promise.all([harness.output.start(), harness.output.start()]);
    await harness.output.start();
    expect(harness.engine.calls).toEqual(["start"]);
  });

  test("shares a failure with all who wait for the same start", async () => {
    const harness = new OutputHarness();
    harness.engine.takePort();
    const starts = [harness.output.start(), harness.output.start()];
    const codes = await Promise.all(starts.map(async (start) => (await rejection(start)).code));
    expect(codes).toEqual(["LISTEN_FAILED", "LISTEN_FAILED"]);
    expect(harness.engine.calls).toEqual(["start"]);
    expect(harness.output.health().error_count).toBe(1);
  });

  test("waits for a stop that is under way", async () => {
    const harness = new OutputHarness();
    await harness.output.start();
    const gate = new Gate();
    harness.engine.stopGate = gate;
    const stopped = harness.output.stop(1000);
    const started = harness.output.start();
    await turn();
    expect(harness.engine.calls).toEqual(["start", "stop 900"]);
    gate.open();
    await Promise.all([stopped, started]);
    expect(harness.engine.calls).toEqual(["start", "stop 900", "start"]);
    expect(harness.output.health().healthy).toBe(true);
  });

  test("starts again after a stop, with the same engine", async () => {
    const harness = new OutputHarness();
    for (let round = 0; round < 3; round++) {
      await harness.output.start();
      await harness.output.stop(1000);
    }
    expect(harness.made).toBe(1);
    expect(harness.engine.calls.filter((call) => call === "start")).toHaveLength(3);
    expect(harness.clock.timers).toBe(0);
  });

  test("asks for an engine again when there was none the first time", async () => {
    const harness = new OutputHarness();
    harness.makeFault = new SpillwayError("CONFIG_INVALID", "Cannot use /nkey");
    const error = await rejection(harness.output.start());
    expect(error.message).toBe("Output.start: set up failed: Cannot use /nkey");
    expect([error.class, error.code]).toEqual(["invalid", "CONFIG_INVALID"]);
    harness.makeFault = undefined;
    await harness.output.start();
    expect(harness.made).toBe(2);
  });

  test("ends an engine that breaks half-way, and calls that fatal", async () => {
    const harness = new OutputHarness();
    const gate = new Gate();
    harness.engine.startGate = gate;
    const started = rejection(harness.output.start());
    gate.fail(new TypeError("x is undefined"));
    const error = await started;
    expect([error.class, error.code]).toEqual(["fatal", "START_FAILED"]);
    expect(error.message).toBe("Output.start: run failed: x is undefined");
    expect(harness.engine.calls).toEqual(["start", "stop 0"]);
    expect(harness.clock.timers).toBe(0);
  });

  test("calls an engine that cannot even be made fatal", async () => {
    const harness = new OutputHarness();
    harness.makeFault = new TypeError("x is undefined");
    const error = await rejection(harness.output.start());
    expect([error.class, error.code]).toEqual(["fatal", "SETUP_FAILED"]);
    expect(error.cause).toBe(harness.makeFault);
  });
});

describe("Upstream defect 7, a port in use", () => {
  test("Start fails with a transient error that keeps its cause", async () => {
    const harness = new OutputHarness();
    const cause = harness.engine.takePort();
    const error = await rejection(harness.output.start());
    expect(error.message).toBe(
      "Output.start: listen failed: Cannot listen on 127.0.0.1:8080: the port is in use",
    );
    expect([error.class, error.code]).toEqual(["transient", "LISTEN_FAILED"]);
    expect(error.cause).toBe(cause);
  });

  test("Health says so, and nothing is left behind", async () => {
    const harness = new OutputHarness();
    harness.engine.takePort();
    const error = await rejection(harness.output.start());
    expect(harness.output.health()).toMatchObject({
      healthy: false,
      error_count: 1,
      last_error: error.message.replace("Output.start: listen failed: ", ""),
      uptime: 0,
    });
    expect(harness.clock.timers).toBe(0);
  });

  test("Start works as soon as the port is free, and health is well again", async () => {
    const harness = new OutputHarness();
    harness.engine.takePort();
    await rejection(harness.output.start());
    await harness.output.start();
    expect(harness.output.health().healthy).toBe(true);
    expect(harness.output.health()).not.toHaveProperty("last_error");
  });

  test("A stop after it does nothing", async () => {
    const harness = new OutputHarness();
    harness.engine.takePort();
    await rejection(harness.output.start());
    await harness.output.stop(1000);
    expect(harness.engine.calls).toEqual(["start"]);
  });
});

describe("Output that is stopped", () => {
  test("stops its engine once, however often it is told to", async () => {
    const harness = new OutputHarness();
    await harness.output.start();
    await Promise.all([harness.output.stop(1000), harness.output.stop(1000)]);
    await harness.output.stop(1000);
    expect(harness.engine.calls).toEqual(["start", "stop 900"]);
  });

  test("does nothing when it was never started", async () => {
    const harness = new OutputHarness();
    await harness.output.stop(1000);
    expect(harness.made).toBe(0);
  });

  test("waits for a start that is under way", async () => {
    const harness = new OutputHarness();
    const gate = new Gate();
    harness.engine.startGate = gate;
    const started = harness.output.start();
    const stopped = harness.output.stop(1000);
    await turn();
    harness.clock.advance(400);
    gate.open();
    await Promise.all([started, stopped]);
    expect(harness.engine.calls).toEqual(["start", "stop 500"]);
    expect(harness.output.health().healthy).toBe(false);
  });

  test("is stopped in the end when it is started and stopped while it starts", async () => {
    const harness = new OutputHarness();
    harness.engine.startGate = new Gate();
    const gate = harness.engine.startGate;
    const calls = [
      harness.output.start(),
      harness.output.stop(1000),
      harness.output.start(),
      harness.output.stop(1000),
    ];
    gate.open();
    await Promise.all(calls);
    expect(harness.engine.calls).toEqual(["start", "stop 900", "start", "stop 900"]);
    expect(harness.clock.timers).toBe(0);
  });

  test("does nothing when the start that it waited for fails", async () => {
    const harness = new OutputHarness();
    harness.engine.takePort();
    const started = rejection(harness.output.start());
    await harness.output.stop(1000);
    expect((await started).code).toBe("LISTEN_FAILED");
    expect(harness.engine.calls).toEqual(["start"]);
  });

  test("refuses a timeout that is none, and goes on running", async () => {
    const harness = new OutputHarness();
    await harness.output.start();
    for (const timeoutMs of [-1, Number.NaN, Number.POSITIVE_INFINITY, 86_400_001]) {
      const error = await rejection(harness.output.stop(timeoutMs));
      expect([error.class, error.code]).toEqual(["invalid", "TIMEOUT_INVALID"]);
      expect(error.message).toBe(
        `Output.stop: check timeout failed: Cannot stop with this timeout: it is ${timeoutMs} but must be 0 to 86400000 milliseconds`,
      );
    }
    expect(harness.engine.calls).toEqual(["start"]);
    expect(harness.output.health().healthy).toBe(true);
  });

  test("calls an engine that cannot stop fatal", async () => {
    const harness = new OutputHarness();
    await harness.output.start();
    const gate = new Gate();
    harness.engine.stopGate = gate;
    const stopped = rejection(harness.output.stop(1000));
    gate.fail(new Error("the port is stuck"));
    const error = await stopped;
    expect([error.class, error.code]).toEqual(["fatal", "STOP_FAILED"]);
    expect(error.message).toBe("Output.stop: close failed: the port is stuck");
    expect(harness.output.health()).toMatchObject({
      healthy: false,
      last_error: "Cannot stop: the port is stuck",
    });
    await harness.output.stop(1000);
    expect(harness.clock.timers).toBe(0);
  });
});

describe("Upstream defect 8, a stop that takes its own time", () => {
  test("Stop gives the engine less than its timeout", async () => {
    for (const [timeoutMs, given] of [
      [10_000, 9750],
      [2500, 2250],
      [500, 450],
      [0, 0],
    ] as const) {
      const harness = new OutputHarness();
      await harness.output.start();
      await harness.output.stop(timeoutMs);
      expect(harness.engine.calls).toEqual(["start", `stop ${given}`]);
    }
  });

  test("Stop ends within its timeout when the engine hangs", async () => {
    const harness = new OutputHarness();
    await harness.output.start();
    harness.engine.stopGate = new Gate();
    const stopped = rejection(harness.output.stop(500));
    await turn();
    harness.clock.advance(500);
    const error = await stopped;
    expect([error.class, error.code]).toEqual(["transient", "STOP_TIMEOUT"]);
    expect(error.message).toBe(
      "Output.stop: close failed: Cannot stop in 500 milliseconds; the stop continues",
    );
    expect(harness.output.health().last_error).toBe(
      "Cannot stop in 500 milliseconds; the stop continues",
    );
    expect(harness.clock.timers).toBe(0);
  });

  test("Stop ends within its timeout when the start before it hangs", async () => {
    const harness = new OutputHarness();
    const gate = new Gate();
    harness.engine.startGate = gate;
    const started = harness.output.start();
    const stopped = rejection(harness.output.stop(500));
    await turn();
    harness.clock.advance(500);
    expect((await stopped).code).toBe("STOP_TIMEOUT");
    // What was asked for is done all the same.
    gate.open();
    await started;
    await harness.output.stop(500);
    expect(harness.engine.calls).toEqual(["start", "stop 0"]);
    expect(harness.clock.timers).toBe(0);
  });

  test("A second stop waits for the first with a timeout of its own", async () => {
    const harness = new OutputHarness();
    await harness.output.start();
    const gate = new Gate();
    harness.engine.stopGate = gate;
    const patient = harness.output.stop(60_000);
    const hasty = rejection(harness.output.stop(200));
    await turn();
    harness.clock.advance(200);
    expect((await hasty).code).toBe("STOP_TIMEOUT");
    gate.open();
    await patient;
    expect(harness.engine.calls).toEqual(["start", "stop 59750"]);
  });
});

describe("Signal of a start", () => {
  test("stops the output with stop_timeout when it is aborted", async () => {
    const harness = new OutputHarness({ stopTimeoutMs: 3000 });
    const controller = new AbortController();
    await harness.output.start(controller.signal);
    controller.abort();
    await turn();
    expect(harness.engine.calls).toEqual(["start", "stop 2750"]);
    expect(harness.clock.timers).toBe(0);
  });

  test("stops the output when it is aborted during the start", async () => {
    const harness = new OutputHarness();
    const gate = new Gate();
    harness.engine.startGate = gate;
    const controller = new AbortController();
    const started = harness.output.start(controller.signal);
    await turn();
    controller.abort();
    gate.open();
    await started;
    await turn();
    expect(harness.engine.calls).toEqual(["start", "stop 9750"]);
  });

  test("keeps the output from starting when it is aborted before", async () => {
    const harness = new OutputHarness();
    const error = await rejection(harness.output.start(AbortSignal.abort()));
    expect([error.class, error.code]).toEqual(["invalid", "ABORTED"]);
    expect(harness.made).toBe(0);
    await harness.output.start();
    expect(harness.output.health().healthy).toBe(true);
  });

  test("is forgotten when the output stops", async () => {
    const harness = new OutputHarness();
    const controller = new AbortController();
    await harness.output.start(controller.signal);
    await harness.output.stop(1000);
    await harness.output.start();
    controller.abort();
    await turn();
    expect(harness.output.health().healthy).toBe(true);
  });

  test("has a stop that fails logged, as nobody waits for it", async () => {
    const harness = new OutputHarness();
    const controller = new AbortController();
    await harness.output.start(controller.signal);
    const gate = new Gate();
    harness.engine.stopGate = gate;
    controller.abort();
    gate.fail(new Error("the port is stuck"));
    await turn();
    expect(harness.log.errors).toEqual([
      { event: "stop_failed", cause: "an abort signal", reason: "Cannot stop: the port is stuck" },
    ]);
  });
});

describe("Any starts and stops in any order", () => {
  const calls = fc.array(
    fc.record({
      call: fc.constantFrom("start", "stop"),
      // Whether the next call comes before anything of this one has happened.
      atOnce: fc.boolean(),
      portTaken: fc.boolean(),
    }),
    { maxLength: 12 },
  );

  test("leave the output as the last one wants it, with its engine started and stopped in turns", async () => {
    await fc.assert(
      fc.asyncProperty(calls, async (steps) => {
        const harness = new OutputHarness();
        const ends: Promise<unknown>[] = [];
        for (const { call, atOnce, portTaken } of steps) {
          if (call === "stop") ends.push(harness.output.stop(1000));
          else {
            if (portTaken && !harness.output.health().healthy) harness.engine.takePort();
            ends.push(harness.output.start().catch(rejectedByPort));
          }
          if (!atOnce) await turn();
        }
        await Promise.all(ends);
        const running = harness.output.health().healthy;
        if (steps.at(-1)?.call !== "start") expect(running).toBe(false);
        else if (!steps.some(({ portTaken }) => portTaken)) expect(running).toBe(true);
        if (running) await harness.output.stop(1000);
        expect(harness.clock.timers).toBe(0);
        expect(harness.engine.opened).toBe(harness.engine.closed);
        expect(harness.engine.mostOpen).toBeLessThanOrEqual(1);
      }),
    );
  });
});

function rejectedByPort(error: unknown): void {
  expect(error).toMatchObject({ code: "LISTEN_FAILED" });
}
