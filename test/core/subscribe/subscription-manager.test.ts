import { describe, expect, test } from "bun:test";
import { Grant } from "../../../src/core/access/grant.ts";
import { SSE, V1 } from "../../../src/core/wire/dialect.ts";
import { readEvents } from "../../support/event-parser.ts";
import { Harness, lastOf, OPTIONS, stateOf, typesOf } from "../support/harness.ts";

describe("Subscription", () => {
  test("begins when the source says that all of it arrives, and not before", () => {
    const harness = new Harness();
    harness.source.confirms = false;
    const peer = harness.joinV1();
    peer.send({ type: "subscribe", id: "1", subjects: ["a", "b"] });
    harness.source.confirm("b");
    harness.publish(1, "b");
    expect(typesOf(peer)).toEqual(["welcome"]);
    harness.source.confirm("a");
    expect(lastOf(peer)).toMatchObject({
      type: "subscribed",
      from: expect.stringMatching(/:1\.2$/),
    });
    harness.publish(2, "b");
    harness.clock.advance(10);
    expect(peer.socket.payloads).toEqual([2]);
  });

  test("that is ended before it began never begins, and its name is free", () => {
    const harness = new Harness();
    harness.source.confirms = false;
    const peer = harness.joinV1();
    peer.send({ type: "subscribe", id: "1", subjects: ["a"] });
    peer.send({ type: "unsubscribe", sub: "1" });
    peer.send({ type: "subscribe", id: "1", subjects: ["b"] });
    harness.source.confirmAll();
    expect(typesOf(peer)).toEqual(["welcome", "unsubscribed", "subscribed"]);
    harness.publish(1, "a");
    harness.clock.advance(10);
    expect(peer.socket.payloads).toEqual([]);
  });

  test("that waits for NATS while other subjects are exposed begins with these", () => {
    const subjects = ["a.>", "b.>"];
    const harness = new Harness({ subjects, demanded: subjects });
    harness.source.confirms = false;
    const peer = harness.joinV1();
    peer.send({ type: "subscribe", id: "1", subjects: [">"] });
    subjects.splice(0, 2, "b.>", "c.>");
    harness.broadcaster.sessions.regrant(peer.session, Grant.forEverybody(subjects, OPTIONS));
    expect(typesOf(peer)).toEqual(["welcome"]);
    expect([...harness.source.patterns].sort()).toEqual(["b.>", "c.>"]);
    harness.source.confirmAll();
    expect(typesOf(peer)).toEqual(["welcome", "subscribed"]);
    harness.publish(1, "c.x");
    harness.clock.advance(10);
    expect(peer.socket.payloads).toEqual([1]);
  });

  test("of a client that is gone never begins", () => {
    const harness = new Harness();
    harness.source.confirms = false;
    const peer = harness.joinV1();
    peer.send({ type: "subscribe", id: "1", subjects: ["a"] });
    peer.connection.closed(1000);
    expect([...harness.source.patterns]).toEqual([]);
    harness.broadcaster.arrives("a");
    expect(typesOf(peer)).toEqual(["welcome"]);
  });

  test("of a plain client that NATS refuses ends it with 4403, and it is counted", () => {
    const harness = new Harness({ subjects: ["a", "b"] });
    harness.source.confirms = false;
    const [named, all] = [harness.join(["a"]), harness.join()];
    harness.broadcaster.refused("a", "Permissions Violation");
    expect(named.socket.closedWith).toBe(4403);
    // Who names nothing gets what there is, as long as there is something.
    harness.source.confirm("b");
    harness.publish(1, "b");
    harness.clock.advance(10);
    expect(all.socket.payloads).toEqual([1]);
    expect(harness.join(["a", "b"]).socket.closedWith).toBe(4403);
    harness.broadcaster.refused("b", "Permissions Violation");
    expect(all.socket.closedWith).toBe(4403);
    expect(harness.meter.refused.forbidden).toBe(3);
    expect(harness.meter.disconnections.get("forbidden")).toBe(3);
    harness.expectBalance();
  });

  test("of an event stream counts under the code of the error that it was told", () => {
    const harness = new Harness({ subjects: ["a", "b"] });
    harness.source.confirms = false;
    harness.joinWith({ id: "", subjects: ["a"] }, SSE);
    harness.joinWith({ id: "", subjects: ["b"] }, SSE);
    harness.broadcaster.refused("a", "this NATS server takes no such subject", true);
    expect(harness.meter.refused).toMatchObject({ invalid_subject: 1, forbidden: 0 });
    harness.broadcaster.refused("b", "Permissions Violation");
    expect(harness.meter.refused).toMatchObject({ invalid_subject: 1, forbidden: 1 });
  });

  test.each([true, false])(
    "of an event stream that NATS refuses is answered, and ended with a way to come back (known before: %p)",
    (known) => {
      const harness = new Harness({ subjects: ["a", "b"], upstreamLingerMs: 1e6 });
      harness.source.confirms = false;
      if (known) harness.joinV1().send({ type: "subscribe", id: "1", subjects: ["a"] });
      if (known) harness.broadcaster.refused("a", "Permissions Violation");
      const reader = harness.joinWith({ id: "", subjects: ["a"] }, SSE);
      const all = harness.joinWith({ id: "", subjects: "everything" }, SSE);
      if (!known) harness.broadcaster.refused("a", "Permissions Violation");
      harness.source.confirm("b");
      const told = ({ socket }: typeof reader) =>
        readEvents(socket.textFrames.map(({ text }) => text).join("")).map(({ type, data }) => ({
          ...JSON.parse(data),
          type,
        }));
      const [, error, disconnect] = told(reader);
      expect(error).toMatchObject({ type: "error", id: "", error: { code: "forbidden" } });
      expect(disconnect).toMatchObject({ code: 4403, reconnect: true });
      expect(disconnect.retry_after_ms).toBeGreaterThan(30_000);
      expect(reader.socket.closedWith).toBe(4403);
      const types = told(all).map(({ type }) => type);
      expect(types).toContain("error");
      expect(types.filter((type) => type !== "error")).toEqual(["welcome", "subscribed"]);
      // What was refused comes once it is allowed, behind a gap.
      harness.source.confirm("a");
      harness.publish(1, "a");
      harness.clock.advance(10);
      expect(told(all).slice(types.length)).toMatchObject([
        { reason: "upstream" },
        { type: "message", payload: 1 },
      ]);
      harness.expectBalance();
    },
  );

  test("that NATS refuses is answered so, and may be asked for again", () => {
    const harness = new Harness();
    harness.source.confirms = false;
    const peer = harness.joinV1();
    peer.send({ type: "subscribe", id: "1", subjects: ["a"] });
    harness.broadcaster.refused("a", "Permissions Violation");
    expect(lastOf(peer)).toMatchObject({
      type: "error",
      id: "1",
      error: { code: "forbidden", retryable: true },
    });
    expect(harness.meter.refused.forbidden).toBe(1);
    harness.source.confirms = true;
    peer.send({ type: "subscribe", id: "1", subjects: ["a"] });
    expect(lastOf(peer)).toMatchObject({ type: "subscribed", id: "1" });
  });

  test.each(["v1", "plain"])(
    "of a client of %s that NATS has refused before takes nothing, however often it is asked for",
    (dialect) => {
      const harness = new Harness({ upstreamLingerMs: 1000 });
      harness.source.confirms = false;
      const peer = harness.joinV1();
      const ask = () => peer.send({ type: "subscribe", id: "1", subjects: ["a"] });
      ask();
      harness.source.refuse("a");
      if (dialect === "v1") ask();
      else expect(harness.join(["a"]).socket.closedWith).toBe(4403);
      harness.clock.advance(1000);
      expect([...harness.source.patterns]).toEqual([]);
      expect(harness.meter.refused.forbidden).toBe(2);
    },
  );

  test("of a plain client and without NATS begins at once", () => {
    const harness = new Harness();
    harness.source.confirms = false;
    const plain = harness.join(["a"]);
    harness.publish(1);
    harness.clock.advance(10);
    expect(plain.socket.payloads).toEqual([1]);
    harness.disconnect();
    const peer = harness.joinV1();
    peer.send({ type: "subscribe", id: "1", subjects: ["b"] });
    expect(lastOf(peer)).toMatchObject({ type: "subscribed" });
  });

  test("at a rate gets the first message at once and then the latest of each subject", () => {
    const harness = new Harness();
    const peer = harness.joinV1();
    peer.send({ type: "subscribe", id: "1", subjects: [">"], max_rate: 10 });
    for (let n = 1; n <= 25; n++) {
      harness.publish(n);
      harness.clock.advance(10);
    }
    harness.clock.advance(200);
    expect(peer.socket.envelopes.map(({ payload, superseded }) => [payload, superseded])).toEqual([
      [1, undefined],
      [10, 8],
      [20, 9],
      [25, 4],
    ]);
    harness.expectBalance();
  });

  test("at a rate costs no look at its socket between two windows", () => {
    const harness = new Harness();
    const peer = harness.joinV1();
    peer.send({ type: "subscribe", id: "1", subjects: ["a"], max_rate: 0.01 });
    harness.publish(1);
    harness.clock.advance(1000);
    const before = harness.clock.rung;
    harness.clock.advance(10_000);
    expect(harness.clock.rung - before).toBeLessThan(50);
  });

  test("that is ended hands what it holds back to another one that wants it", () => {
    const harness = new Harness();
    const peer = harness.joinV1();
    peer.send({ type: "subscribe", id: "slow", subjects: [">"], max_rate: 0.1 });
    peer.send({ type: "subscribe", id: "all", subjects: ["a"] });
    for (const n of [1, 2, 3]) {
      harness.publish(n, "a");
      harness.publish(-n, "b");
      harness.clock.advance(10);
    }
    peer.send({ type: "unsubscribe", sub: "slow" });
    harness.clock.advance(10);
    expect(peer.socket.payloads).toEqual([1, -1, 3]);
    expect(lastOf(peer)).toMatchObject({ payload: 3, superseded: 1 });
    expect(stateOf(peer.session)).toBe("live");
    expect(harness.meter.ledger.dropped.abandoned).toBe(1);
    harness.expectBalance();
  });
});

describe("Audiences are told apart", () => {
  test.each([
    [["*"], undefined, "a.b"],
    [["a,b"], ["a", "b"], "a"],
    [["a"], ["a", "a"], "b"],
  ])("%p and %p", (one, other, subject) => {
    const harness = new Harness();
    const peers = [harness.join(one), harness.join(other)];
    harness.publish(1, subject);
    harness.clock.advance(10);
    const expected = [one, other].map((subjects) => {
      const harness = new Harness();
      const { socket } = harness.join(subjects);
      harness.publish(1, subject);
      harness.clock.advance(10);
      return socket.payloads;
    });
    expect(peers.map(({ socket }) => socket.payloads)).toEqual(expected);
  });
});

describe("Drain of a slowed-down client", () => {
  test("sends what is held back, and does not wait for its time", async () => {
    const harness = new Harness();
    const peer = harness.joinWith({ id: "", subjects: ["a"], maxRate: 0.01 }, V1);
    harness.publish(1);
    harness.clock.advance(10);
    harness.publish(2);
    harness.publish(3);
    const drained = harness.clients.drain(60_000);
    harness.clock.advance(50);
    await drained;
    expect(peer.socket.payloads).toEqual([1, 3]);
    expect(harness.meter.ledger.dropped.abandoned).toBe(0);
    expect(harness.clock.timers).toBe(0);
    harness.expectBalance();
  });
});
