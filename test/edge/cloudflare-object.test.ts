import { afterAll, beforeAll, beforeEach, describe, expect, test } from "bun:test";
import { reset } from "@logtape/logtape";
import { SpillwayObject } from "../../src/edge/cloudflare.ts";
import { until } from "../support/event-log.ts";
import { connectionsOf, type NatsServer, startNatsServer } from "../support/nats-server.ts";

/** Cloudflare's limit of 70 s without an event is longer than the time between two alarms. */
const LONGEST_MS = 70_000;

/** A Durable Object whose alarms the test fires. */
class TestObject {
  readonly #object: SpillwayObject;
  #alarmAtMs: number | undefined;

  constructor(env: Record<string, unknown>) {
    const setAlarm = async (atMs: number): Promise<void> => {
      expect(atMs - Date.now()).toBeLessThan(LONGEST_MS);
      this.#alarmAtMs = atMs;
    };
    this.#object = new SpillwayObject({ storage: { setAlarm } }, env);
  }

  get hasAlarm(): boolean {
    return this.#alarmAtMs !== undefined;
  }

  async get(path: string, headers: Record<string, string> = {}): Promise<Response> {
    return await this.#object.fetch(new Request(`https://live.example.com${path}`, { headers }));
  }

  async fireAlarm(): Promise<void> {
    expect(this.hasAlarm).toBe(true);
    this.#alarmAtMs = undefined;
    await this.#object.alarm();
  }
}

describe("A Durable Object", () => {
  let nats: NatsServer;
  let object: TestObject;
  beforeAll(async () => {
    nats = await startNatsServer({ monitoring: true });
  });
  afterAll(() => nats.stop());
  beforeEach(async () => {
    // Each gateway has a log of its own here.
    await reset();
    object = new TestObject({ NATS_URL: nats.wsUrl, SPILLWAY_SUBJECTS: ["orders.>"] });
  });
  const untilReady = () =>
    until("200 from /readyz", async () => (await object.get("/readyz")).status, is(200));
  const untilConnections = (count: number) =>
    until("connections to NATS", async () => (await connectionsOf(nats)).length, is(count));
  const fireTwoAlarms = async (): Promise<void> => {
    await object.fireAlarm();
    await object.fireAlarm();
  };

  test("stops if nobody asks it for anything: nothing keeps it in memory", async () => {
    await untilReady();
    await untilConnections(1);
    await fireTwoAlarms();
    expect(object.hasAlarm).toBe(false);
    await untilConnections(0);
  });

  test("starts again with the next request", async () => {
    await untilReady();
    await fireTwoAlarms();
    await untilReady();
    await untilConnections(1);
    await fireTwoAlarms();
    await untilConnections(0);
  });

  test("runs while it is asked", async () => {
    await untilReady();
    await object.fireAlarm();
    await object.get("/livez");
    await object.fireAlarm();
    expect(object.hasAlarm).toBe(true);
    expect(await connectionsOf(nats)).toHaveLength(1);
    await object.fireAlarm();
    await untilConnections(0);
  });

  test("runs while a client is connected", async () => {
    await untilReady();
    const { body } = await object.get("/ws/sse", { Accept: "text/event-stream" });
    const reader = body!.getReader();
    await reader.read();
    await fireTwoAlarms();
    expect(object.hasAlarm).toBe(true);
    expect(await connectionsOf(nats)).toHaveLength(1);
    await reader.cancel();
    await fireTwoAlarms();
    expect(object.hasAlarm).toBe(false);
    await untilConnections(0);
  });
});

function is<T>(wanted: T): (value: T) => boolean {
  return (value) => value === wanted;
}
