import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { Grant } from "../../../src/core/access/grant.ts";
import { costOf, FrameBudget, subscriptionCost } from "../../../src/core/sessions/frame-budget.ts";
import { PLAIN, V1 } from "../../../src/core/wire/dialect.ts";
import { FakeSocket } from "../support/fake-sockets.ts";
import { Harness, type TestClient } from "../support/harness.ts";

const LIMITS = { maxFramesPerSecond: 10, maxSubscriptions: 1 };
/** Five seconds' worth, and what it costs to subscribe and unsubscribe at once. */
const BURST = 50 + 20;

describe("Frame budget", () => {
  test("allows a burst, then the rate, and saves no more than a burst", () => {
    const budget = new FrameBudget(LIMITS, 0);
    for (let n = 0; n < BURST; n++) expect(budget.spend(1, 0)).toBe(true);
    expect(budget.spend(1, 0)).toBe(false);
    expect(budget.spend(1, 200)).toBe(true);
    expect(budget.spend(BURST, 1_000_000)).toBe(true);
    expect(budget.spend(1, 1_000_000)).toBe(false);
  });

  test("counts a long frame for several, and a subscription for more than a ping", () => {
    expect(costOf("x")).toBe(1);
    expect(costOf("x".repeat(64 * 1024))).toBe(129);
    expect(subscriptionCost(64)).toBeGreaterThan(subscriptionCost());
    expect(subscriptionCost()).toBeGreaterThan(1);
    expect(subscriptionCost(1, true)).toBeGreaterThan(subscriptionCost(1));
  });

  test("takes nothing for the acknowledgement of each message that was sent, however fast they are", () => {
    fc.assert(
      fc.property(fc.array(fc.nat(1000), { maxLength: 50 }), (batches) => {
        const budget = new FrameBudget({ maxFramesPerSecond: 1, maxSubscriptions: 1 }, 0);
        let sent = 0;
        for (const batch of batches) {
          sent += batch;
          for (let n = 0; n < batch; n++) {
            expect(budget.answer(1, sent, 0) && budget.answer(1, sent, 0)).toBe(true);
          }
        }
        expect(budget.spend(5, 0)).toBe(true);
      }),
    );
  });

  test("takes acknowledgements of what was never sent for frames like others", () => {
    const budget = new FrameBudget(LIMITS, 0);
    for (let n = 0; n < BURST; n++) expect(budget.answer(1, 0, 0)).toBe(true);
    expect(budget.answer(1, 0, 0)).toBe(false);
    expect(budget.answer(2, 1, 0)).toBe(true);
    expect(budget.answer(1, 1, 0)).toBe(false);
  });
});

describe("How many messages a client was sent", () => {
  const subscribe = (id: string, subject: string) => ({
    type: "subscribe",
    id,
    subjects: [subject],
  });

  test("counts those of each audience that it was in", () => {
    const harness = new Harness();
    const peer = harness.joinV1();
    for (const subject of ["a", "b", "c"]) {
      peer.send(subscribe(subject, subject));
      harness.publish(1, subject);
      harness.clock.advance(10);
    }
    expect(peer.socket.envelopes).toHaveLength(3);
    expect(peer.session.sentMessages).toBe(3);
    // A client that comes later was sent nothing of these.
    const late = harness.joinV1();
    late.send(subscribe("1", "a"));
    expect(late.session.sentMessages).toBe(0);
  });

  test("counts those that waited in its queue", () => {
    const harness = new Harness({ highWaterBytes: 300, lowWaterBytes: 100 });
    const { session, socket } = harness.join(["a"]);
    socket.reads = false;
    for (let n = 0; n < 20; n++) {
      harness.publish(n);
      harness.clock.advance(10);
    }
    socket.reads = true;
    for (let n = 0; n < 20; n++) {
      socket.buffered = 0;
      harness.clock.advance(100);
    }
    expect(socket.payloads).toHaveLength(20);
    expect(session.sentMessages).toBe(20);
  });

  test("counts a message each time that it is sent", () => {
    const harness = new Harness({
      deliveryMode: "at-least-once",
      ackTimeoutMs: 1000,
      maxDeliver: 3,
    });
    const peer = harness.joinV1();
    peer.send(subscribe("1", "a"));
    harness.publish(1);
    harness.clock.advance(2500);
    expect(peer.socket.envelopes.length).toBe(2);
    expect(peer.session.sentMessages).toBe(2);
  });
});

describe("A client whose token lists very many subjects", () => {
  const ROOMS = 80;
  const limits = { maxFramesPerSecond: 10, maxSubscriptions: 1 };

  function join(): { harness: Harness; peer: TestClient } {
    const harness = new Harness(limits);
    const allow = Array.from({ length: ROOMS }, (_, n) => `rooms.${n}`);
    const { terms } = harness.grant;
    const grant = new Grant([">"], { ...terms, basis: "claims", receives: { allow, deny: [] } });
    return { harness, peer: harness.joinWith(undefined, V1, false, undefined, grant) };
  }

  test("pays for those that a wildcard brings it", () => {
    const { peer } = join();
    for (let n = 0; n < 2; n++) {
      peer.send({ type: "subscribe", id: "1", subjects: [">"] });
      expect(peer.socket.closedWith).toBeUndefined();
      peer.send({ type: "unsubscribe", sub: "1" });
    }
    peer.send({ type: "subscribe", id: "1", subjects: [">"] });
    expect(peer.socket.closedWith).toBe(4429);
  });

  test("pays for no more than it asks for, if it asks for one of them", () => {
    const { peer } = join();
    for (let n = 0; n < 3; n++) {
      peer.send({ type: "subscribe", id: "1", subjects: ["rooms.1"] });
      peer.send({ type: "unsubscribe", sub: "1" });
    }
    expect(peer.socket.closedWith).toBeUndefined();
  });
});

describe("A flood", () => {
  test("of pings below the frames ends the connection, and nothing more is read", () => {
    const harness = new Harness({ maxFramesPerSecond: 10, maxSubscriptions: 1 });
    const socket = new FakeSocket(harness.fanout);
    let ignored = 0;
    const deaf = Object.assign(socket, { ignore: () => ignored++ });
    const connection = harness.clients.accept(deaf, { grant: harness.grant, dialect: PLAIN });
    for (let n = 0; n < BURST; n++) connection.alive();
    expect(socket.closedWith).toBeUndefined();
    connection.alive();
    expect(socket.closedWith).toBe(4429);
    expect(ignored).toBe(1);
  });
});
