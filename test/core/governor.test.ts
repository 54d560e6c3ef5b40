import { describe, expect, test } from "bun:test";
import { V1 } from "../../src/core/wire/dialect.ts";
import { type Actor, Stage } from "./support/harness.ts";

const BOUND = 10_000;

function stageOf(): Stage {
  return new Stage({
    maxTotalQueueBytes: BOUND,
    maxQueueBytes: 100_000,
    maxQueueMessages: 1000,
    policy: "drop-oldest",
  });
}

/** A client that reads nothing any more and has a queue of so many messages of a kilobyte. */
function stalled(stage: Stage, subject: string, queued: number): Actor {
  const actor = stage.join([subject]);
  actor.socket.reads = false;
  for (let n = 0; n < 2; n++) {
    stage.publish("x".repeat(1000), subject);
    stage.clock.advance(20);
  }
  expect(actor.client.queuedBytes).toBeGreaterThan(0);
  for (let n = 1; n < queued; n++) stage.publish("x".repeat(1000), subject);
  return actor;
}

describe("Governor", () => {
  test("sheds those with the longest queues first, and no more than must go", () => {
    const stage = stageOf();
    const healthy = stage.join();
    const [two, five] = [stalled(stage, "two", 2), stalled(stage, "five", 5)];
    const three = stalled(stage, "three", 3);
    expect([two, five, three].map(({ socket }) => socket.closedWith)).toEqual([
      undefined,
      4503,
      undefined,
    ]);
    expect(healthy.socket.closedWith).toBeUndefined();
    expect(stage.meter.queuedBytes).toBeLessThanOrEqual(0.9 * BOUND);
    expect(stage.meter.dropped.overloaded).toBe(5);
    expect(stage.meter.disconnections.get("overloaded")).toBe(1);
    expect(stage.warnings).toMatchObject([{ code: 4503 }]);
    stage.expectBalance();
  });

  test("keeps what waits under its bound, however many stall", () => {
    const stage = stageOf();
    for (let n = 0; n < 20; n++) {
      const { socket } = stage.join();
      socket.reads = false;
    }
    for (let n = 0; n < 100; n++) {
      stage.publish("x".repeat(1000));
      stage.clock.advance(1);
      expect(stage.meter.queuedBytes).toBeLessThanOrEqual(BOUND);
    }
    stage.expectBalance();
  });

  test("counts what a slowed-down client holds back against that client", () => {
    const stage = stageOf();
    const hoarder = stage.joinWith({ id: "", subjects: ["many.>"], maxRate: 0.001 }, V1);
    stage.publish(0, "many.0");
    stage.clock.advance(10);
    const lagging = stalled(stage, "two", 2);
    for (let n = 0; n < 8; n++) stage.publish("x".repeat(1000), `many.${n}`);
    expect(hoarder.socket.closedWith).toBe(4503);
    expect(lagging.socket.closedWith).toBeUndefined();
    stage.expectBalance();
  });

  test("sheds also when queues grow by what clients have missed", () => {
    const stage = new Stage({
      maxTotalQueueBytes: BOUND,
      ringMessages: 100,
      ringBytes: 100_000,
      maxQueueBytes: 100_000,
      maxQueueMessages: 1000,
    });
    const keeper = stage.join();
    for (let n = 0; n < 5; n++) stage.publish("x".repeat(1000));
    stage.clock.advance(10);
    const after = String(keeper.socket.envelopes[0]?.id);
    const returned = Array.from({ length: 5 }, () => {
      const actor = stage.joinV1();
      actor.socket.buffered = 1000;
      actor.says({ type: "subscribe", id: "1", subjects: ["a"], from: { after } });
      return actor;
    });
    stage.clock.advance(1);
    expect(stage.meter.queuedBytes).toBeLessThanOrEqual(BOUND);
    expect(returned.filter(({ client }) => client.isOver).length).toBeWithin(1, 5);
    stage.expectBalance();
  });

  test("refuses newcomers while it is pressed, and says why", () => {
    const stage = stageOf();
    const all = Array.from({ length: 9 }, (_, n) => stalled(stage, `s${n}`, 1));
    for (const { client } of all) expect(client.isOver).toBe(false);
    stage.publish("x".repeat(1000), "s0");
    expect(all.filter(({ client }) => client.isOver)).toHaveLength(1);
    expect(stage.broadcaster.refusal).toBe("overloaded");
    const late = stage.joinV1();
    expect(late.socket.closedWith).toBe(4503);
    expect(late.socket.said).toEqual([
      {
        type: "disconnect",
        code: 4503,
        reason: "overloaded",
        reconnect: true,
        retry_after_ms: 1000,
      },
    ]);
    for (const { client, socket } of all.slice(1, 4)) {
      if (!client.isOver) {
        socket.buffered = 0;
        socket.reads = true;
      }
    }
    stage.clock.advance(20);
    expect(stage.broadcaster.refusal).toBeUndefined();
    expect(stage.joinV1().socket.closedWith).toBeUndefined();
    stage.expectBalance();
  });
});
