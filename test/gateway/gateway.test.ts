import { describe, expect, test } from "bun:test";
import type { Log } from "../../src/core/ports/log.ts";
import { createGateway } from "../../src/gateway/gateway.ts";
import type { CreateRuntime, RuntimeOptions } from "../../src/runtime/runtime.ts";
import { MemorySource } from "../../src/source/memory.ts";
import { ManualClock } from "../core/support/manual-clock.ts";

const SILENT: Log = { debug() {}, info() {}, warn() {}, error() {} };

/** A runtime that serves nothing, and the options that it was created with. */
function fakeRuntime() {
  const created: RuntimeOptions[] = [];
  const runtime: CreateRuntime<"the option"> = (options) => {
    created.push(options);
    const never = (): never => {
      throw new Error("It was asked to serve");
    };
    return {
      name: "fake",
      websocket: "the option",
      sockets: {
        upgrade: never,
        addressOf: () => "unknown",
        write: () => ({ grownBytes: 0, refused: 0 }),
      },
      listen: never,
      dialWebSocket: never,
    };
  };
  return { created, runtime };
}

/** What a promise or a call fails with. */
async function failure(call: () => unknown): Promise<unknown> {
  try {
    return await call();
  } catch (error) {
    return error;
  }
}

describe("createGateway", () => {
  test("uses the runtime, the source and the clock that it is given", async () => {
    const { created, runtime } = fakeRuntime();
    const clock = new ManualClock();
    const source = new MemorySource();
    const gateway = await createGateway(
      { max_frame_bytes: 2048 },
      { runtime, source, clock, log: SILENT },
    );
    expect(gateway.websocket).toBe("the option");
    expect(created.map(({ maxFrameBytes }) => maxFrameBytes)).toEqual([2048]);
    await gateway.start();
    source.publish({ subject: "a", data: new Uint8Array(3) });
    const { messages, source: shown } = gateway.stats();
    expect(messages).toMatchObject({ received: 0, replayed: 0 });
    expect(shown).toMatchObject({ name: "the embedded source", status: { state: "connected" } });
    expect((await gateway.app.request("/publish/a", { method: "POST" })).status).toBe(404);
    await gateway.stop(0);
    expect(clock.timers).toBe(0);
  });

  test("opens nothing before its start, and can be started again after its stop", async () => {
    const clock = new ManualClock();
    const gateway = await createGateway({}, { ...fakeRuntime(), clock, log: SILENT });
    expect(clock.timers).toBe(0);
    expect(gateway.stats().readiness.ready).toBe(false);
    for (let round = 0; round < 2; round++) {
      await gateway.start();
      expect(gateway.stats().readiness).toEqual({ ready: true, reasons: [] });
      await gateway.stop(0);
    }
    expect(clock.timers).toBe(0);
  });

  test("names key, value and rule of each problem", async () => {
    const wrong = { port: 70_000, policy: "drop" } as never;
    expect(await failure(() => createGateway(wrong))).toMatchObject({
      code: "CONFIG_INVALID",
      class: "invalid",
      message: expect.stringMatching(
        /"port" is 70000 but must be .*\n.*"policy" is "drop" but must be/s,
      ),
    });
  });

  test.each([2, "auto"] as const)("refuses %p workers: it starts no processes", async (workers) => {
    const message = `Cannot use configuration: "workers" is ${JSON.stringify(workers)} but must be 1 in a library, which starts no processes: only the command spillway does`;
    expect(await failure(() => createGateway({ workers }))).toMatchObject({
      code: "CONFIG_INVALID",
      message,
    });
    expect(await failure(() => createGateway({ workers: 1 }))).toHaveProperty("app");
  });
});

describe("Gateway.publish", () => {
  test("refuses what is no subject, and says why nothing can be published", async () => {
    const { runtime } = fakeRuntime();
    const gateway = await createGateway({}, { runtime, log: SILENT });
    const publish = (subject: string) => failure(() => gateway.publish(subject, "x"));
    expect(await publish("a")).toMatchObject({ code: "PUBLISH_FAILED", class: "transient" });
    await gateway.start();
    for (const subject of ["", "a..b", "a.*", "a b"]) {
      expect(await publish(subject)).toMatchObject({ code: "SUBJECT_INVALID", class: "invalid" });
    }
    expect(await publish("a")).toBeUndefined();
    await gateway.stop(0);
  });

  test("says that a source that was handed in takes no messages", async () => {
    const { runtime } = fakeRuntime();
    const memory = new MemorySource();
    const source = {
      name: "the archive",
      get status() {
        return memory.status;
      },
      start: memory.start.bind(memory),
      subscribe: memory.subscribe.bind(memory),
      unsubscribe: memory.unsubscribe.bind(memory),
      drain: memory.drain.bind(memory),
      stop: memory.stop.bind(memory),
    };
    const gateway = await createGateway({}, { runtime, source, log: SILENT });
    await gateway.start();
    expect(await failure(() => gateway.publish("a", "x"))).toMatchObject({
      code: "PUBLISH_UNSUPPORTED",
      message: 'Cannot publish to "a" as the archive takes no messages',
    });
    await gateway.stop(0);
  });
});
