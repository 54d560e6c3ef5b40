import { describe, expect, test } from "bun:test";
import type { Grant } from "../../src/core/access/grant.ts";
import { PLAIN, V1 } from "../../src/core/wire/dialect.ts";
import { grantOf } from "./support/auth-harness.ts";
import { Harness, type TestClient } from "./support/harness.ts";

const BOUND = 10_000;

function stageOf(maxTotalQueueBytes = BOUND): Harness {
  return new Harness({
    maxTotalQueueBytes,
    maxQueueBytes: 100_000,
    maxQueueMessages: 1000,
    policy: "drop-oldest",
  });
}

/** A client of a user that reads nothing any more and has a queue of so many messages of a kilobyte. */
function stalled(
  harness: Harness,
  subject: string,
  queued: number,
  { grant, address }: { grant?: Grant; address?: string } = { address: subject },
): TestClient {
  const request = { id: "", subjects: [subject] };
  const peer = harness.joinWith(request, PLAIN, false, undefined, grant, undefined, address);
  peer.socket.reads = false;
  for (let n = 0; n < 2; n++) {
    harness.publish("x".repeat(1000), subject);
    harness.clock.advance(20);
  }
  expect(peer.session.queuedBytes).toBeGreaterThan(0);
  for (let n = 1; n < queued; n++) harness.publish("x".repeat(1000), subject);
  return peer;
}

describe("TotalQueueBound", () => {
  test("sheds those with the longest queues first, and no more than must go", () => {
    const harness = stageOf();
    const healthy = harness.join();
    const [two, five] = [stalled(harness, "two", 2), stalled(harness, "five", 5)];
    const three = stalled(harness, "three", 3);
    expect([two, five, three].map(({ socket }) => socket.closedWith)).toEqual([
      undefined,
      4503,
      undefined,
    ]);
    expect(healthy.socket.closedWith).toBeUndefined();
    expect(harness.meter.ledger.queuedBytes).toBeLessThanOrEqual(0.9 * BOUND);
    expect(harness.meter.ledger.dropped.overloaded).toBe(5);
    expect(harness.meter.disconnections.get("overloaded")).toBe(1);
    expect(harness.warnings).toMatchObject([{ code: 4503 }]);
    harness.expectBalance();
  });

  test("sheds the user that has the most in all of its queues, the longest one of them first", () => {
    const harness = stageOf();
    const hog = { grant: grantOf({ sub: "hog" }) };
    const [three, two] = [stalled(harness, "three", 3, hog), stalled(harness, "two", 2, hog)];
    const one = stalled(harness, "one", 1, hog);
    const ann = stalled(harness, "ann", 4, { grant: grantOf({ sub: "ann" }) });
    expect([three, two, one, ann].map(({ socket }) => socket.closedWith)).toEqual([
      ...[4503, undefined, undefined, undefined],
    ]);
    for (let n = 0; n < 3; n++) harness.publish("x".repeat(1000), "ann");
    expect([two, one, ann].map(({ socket }) => socket.closedWith)).toEqual([
      ...[undefined, undefined, 4503],
    ]);
    harness.expectBalance();
  });

  test("sheds those that have the most by then, if several must go", () => {
    const harness = stageOf(3 * BOUND);
    const crowd = (sub: string, count: number): TestClient[] =>
      Array.from({ length: count }, (_, n) =>
        stalled(harness, `${sub}.${n}`, 1, { grant: grantOf({ sub }) }),
      );
    const [most, many] = [crowd("most", 14), crowd("many", 12)];
    stalled(harness, "last", 1);
    harness.publish("x".repeat(2000), "last");
    const shed = (peers: TestClient[]): number =>
      peers.filter(({ socket }) => socket.closedWith === 4503).length;
    expect([shed(most), shed(many)]).toEqual([3, 2]);
    harness.expectBalance();
  });

  test("sheds the anonymous clients of one address as one user", () => {
    const harness = stageOf();
    const many = [1, 2, 3].map((n) => stalled(harness, `s${n}`, 2, { address: "10.0.0.1" }));
    const other = stalled(harness, "other", 4, { address: "10.0.0.2" });
    expect(other.socket.closedWith).toBeUndefined();
    expect(many.filter(({ socket }) => socket.closedWith === 4503).length).toBe(1);
    harness.expectBalance();
  });

  test("keeps what waits under its bound, however many stall", () => {
    const harness = stageOf();
    for (let n = 0; n < 20; n++) {
      const { socket } = harness.join();
      socket.reads = false;
    }
    for (let n = 0; n < 100; n++) {
      harness.publish("x".repeat(1000));
      harness.clock.advance(1);
      expect(harness.meter.ledger.queuedBytes).toBeLessThanOrEqual(BOUND);
    }
    harness.expectBalance();
  });

  test("counts what a slowed-down client holds back against that client", () => {
    const harness = stageOf();
    const hoarder = harness.joinWith({ id: "", subjects: ["many.>"], maxRate: 0.001 }, V1);
    harness.publish(0, "many.0");
    harness.clock.advance(10);
    const lagging = stalled(harness, "two", 2);
    for (let n = 0; n < 8; n++) harness.publish("x".repeat(1000), `many.${n}`);
    expect(hoarder.socket.closedWith).toBe(4503);
    expect(lagging.socket.closedWith).toBeUndefined();
    harness.expectBalance();
  });

  test("sheds also when queues grow by what clients have missed", () => {
    const harness = new Harness({
      maxTotalQueueBytes: BOUND,
      ringMessages: 100,
      ringBytes: 100_000,
      maxQueueBytes: 100_000,
      maxQueueMessages: 1000,
    });
    const keeper = harness.join();
    for (let n = 0; n < 5; n++) harness.publish("x".repeat(1000));
    harness.clock.advance(10);
    const after = String(keeper.socket.envelopes[0]?.id);
    const returned = Array.from({ length: 5 }, () => {
      const peer = harness.joinV1();
      peer.socket.buffered = 1000;
      peer.send({ type: "subscribe", id: "1", subjects: ["a"], from: { after } });
      return peer;
    });
    harness.clock.advance(1);
    expect(harness.meter.ledger.queuedBytes).toBeLessThanOrEqual(BOUND);
    expect(returned.filter(({ connection }) => connection.isOver).length).toBeWithin(1, 5);
    harness.expectBalance();
  });

  test("refuses newcomers while it is pressed, and says why", () => {
    const harness = stageOf();
    const all = Array.from({ length: 9 }, (_, n) => stalled(harness, `s${n}`, 1));
    for (const { connection } of all) expect(connection.isOver).toBe(false);
    harness.publish("x".repeat(1000), "s0");
    expect(all.filter(({ connection }) => connection.isOver)).toHaveLength(1);
    expect(harness.clients.refusal).toBe("overloaded");
    const late = harness.joinV1();
    expect(late.socket.closedWith).toBe(4503);
    expect(late.socket.frames).toEqual([
      {
        type: "disconnect",
        code: 4503,
        reason: "overloaded",
        reconnect: true,
        retry_after_ms: 1000,
      },
    ]);
    for (const { connection, socket } of all.slice(1, 4)) {
      if (!connection.isOver) {
        socket.buffered = 0;
        socket.reads = true;
      }
    }
    harness.clock.advance(20);
    expect(harness.clients.refusal).toBeUndefined();
    expect(harness.joinV1().socket.closedWith).toBeUndefined();
    harness.expectBalance();
  });
});
