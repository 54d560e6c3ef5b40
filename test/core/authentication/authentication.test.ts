import { describe, expect, test } from "bun:test";
import type { Grant } from "../../../src/core/access/grant.ts";
import type { TokenCheck } from "../../../src/core/access/token-check.ts";
import { AuthHarness, grantOf, settled, type WantedGrant } from "../support/auth-harness.ts";
import { FakeDurables } from "../support/fake-durables.ts";
import { FakeStream, ORIGIN } from "../support/fake-stream.ts";
import { cursorOf, Harness, lastOf, stateOf, typesOf } from "../support/harness.ts";

const error = (code: string, retryable = false) => ({
  code,
  message: expect.any(String),
  retryable,
});

describe("Client that connects without a token", () => {
  test("is welcomed without a session, and may do nothing but show one", () => {
    const gate = new AuthHarness();
    const peer = gate.join();
    expect(lastOf(peer)).toMatchObject({ type: "welcome", session: "" });
    peer.send({ type: "subscribe", id: "1", subjects: ["a"] });
    expect(lastOf(peer)).toEqual({ type: "error", id: "1", error: error("unauthenticated") });
    peer.send({ type: "unsubscribe", sub: "1" });
    expect(lastOf(peer)).toEqual({ type: "error", id: "1", error: error("unauthenticated") });
    expect(gate.harness.meter.refused.unauthenticated).toBe(2);
    peer.send({ type: "ping" });
    expect(lastOf(peer)).toEqual({ type: "pong" });
    gate.harness.publish(1, "a");
    gate.harness.clock.advance(10);
    expect(peer.socket.payloads).toEqual([]);
    expect([...gate.harness.source.patterns]).toEqual([]);
  });

  test("is served from when its token is accepted, and is welcomed with what it has then", async () => {
    const gate = new AuthHarness();
    const peer = gate.join();
    const grant = grantOf({ expiresMs: 60_000, maxSubscriptions: 3 });
    gate.harness.clock.advance(1000);
    await gate.auth(peer, grant, "x");
    const [, authenticated, welcome] = peer.socket.frames;
    expect(authenticated).toEqual({
      type: "authenticated",
      id: "x",
      sub: "ann",
      expires_in_ms: 59_000,
    });
    expect(welcome).toMatchObject({
      type: "welcome",
      session: expect.stringMatching(/^[0-9a-f-]{36}$/),
      limits: { max_subscriptions: 3 },
    });
    peer.send({ type: "subscribe", id: "1", subjects: ["a"] });
    gate.harness.publish(1, "a");
    gate.harness.clock.advance(10_000);
    expect(peer.socket.payloads).toEqual([1]);
    expect(peer.socket.closedWith).toBeUndefined();
    gate.harness.expectBalance();
  });

  test("is disconnected with 4401 when the time is up", () => {
    const gate = new AuthHarness({ authTimeoutMs: 2000 });
    const peer = gate.join();
    gate.harness.clock.advance(1990);
    expect(peer.socket.closedWith).toBeUndefined();
    gate.harness.clock.advance(10);
    expect(peer.socket.closedWith).toBe(4401);
    expect(lastOf(peer)).toMatchObject({ type: "disconnect", code: 4401, reconnect: false });
    expect(gate.harness.meter.disconnections.get("unauthenticated")).toBe(1);
  });

  test.each(["unauthenticated", "forbidden"] as const)(
    "is disconnected with 4401 when its token is %s",
    async (kind) => {
      const gate = new AuthHarness();
      const peer = gate.join();
      await gate.auth(peer, { kind, message: "no" }, "x");
      const [, answer] = peer.socket.frames;
      const told = { code: kind, message: "no", retryable: false };
      expect(answer).toEqual({ type: "error", id: "x", error: told });
      expect(peer.socket.closedWith).toBe(4401);
    },
  );

  test("may try again when its token can't be checked now, until the time is up", async () => {
    const gate = new AuthHarness();
    const peer = gate.join();
    await gate.auth(peer, { kind: "unavailable", message: "away" }, "x");
    const told = { code: "unavailable", message: "away", retryable: true };
    expect(lastOf(peer)).toEqual({ type: "error", id: "x", error: told });
    await gate.auth(peer, grantOf());
    expect(lastOf(peer)).toMatchObject({ type: "welcome" });
  });

  test("resumes its session, which nobody had while it had no token", async () => {
    const gate = new AuthHarness({ deliveryMode: "at-least-once" });
    const { harness } = gate;
    const first = gate.join(grantOf({ deliveryMode: "at-least-once" }));
    const name = String(first.socket.frames[0]?.session);
    first.send({ type: "subscribe", id: "1", subjects: ["a"] });
    harness.publish(1, "a");
    harness.clock.advance(10);
    first.connection.closed(1006);
    harness.publish(2, "a");
    const second = gate.join(undefined, name);
    harness.clock.advance(10);
    expect(typesOf(second)).toEqual(["welcome"]);
    expect(second.socket.frames[0]).toMatchObject({ session: "", delivery: { resumed: false } });
    await gate.auth(second, grantOf({ deliveryMode: "at-least-once" }));
    harness.clock.advance(10);
    expect(typesOf(second)).toEqual([
      "welcome",
      "authenticated",
      "welcome",
      "subscribed",
      "data",
      "data",
    ]);
    expect(second.socket.frames[2]).toMatchObject({ session: name, delivery: { resumed: true } });
    expect(second.socket.payloads).toEqual([1, 2]);
    harness.expectBalance();
  });

  test.each<[string, WantedGrant]>([
    ["another name", { sub: "bob" }],
    ["the same name of another issuer", { issuer: "j" }],
  ])("does not get the session of %s, and leaves it alone", async (_, other) => {
    const gate = new AuthHarness({ deliveryMode: "at-least-once" });
    const { harness } = gate;
    const first = gate.join(grantOf({ deliveryMode: "at-least-once" }));
    const name = String(first.socket.frames[0]?.session);
    first.send({ type: "subscribe", id: "1", subjects: ["a"] });
    const second = gate.join(undefined, name);
    await gate.auth(second, grantOf({ ...other, deliveryMode: "at-least-once" }));
    expect(typesOf(second)).toEqual(["welcome", "authenticated", "welcome", "gap"]);
    expect(first.socket.closedWith).toBeUndefined();
    harness.publish(1, "a");
    harness.clock.advance(10);
    expect(first.socket.payloads).toEqual([1]);
    expect(second.socket.payloads).toEqual([]);
  });
});

describe("Frame auth", () => {
  test("is told to try again if there is no room for its account", async () => {
    const gate = new AuthHarness();
    gate.harness.openFor = ({ terms }) =>
      terms.account === undefined ? gate.harness.broadcaster : undefined;
    const peer = gate.join();
    await gate.auth(peer, grantOf({ account: "acme" }), "x");
    expect(typesOf(peer)).toEqual(["welcome", "error", "disconnect"]);
    expect(peer.socket.frames[1]).toMatchObject({
      error: { code: "unavailable", retryable: true },
    });
    expect(lastOf(peer)).toMatchObject({ code: 4503, reconnect: true });
  });

  test("is unsupported where no token is needed", () => {
    const peer = new Harness().joinV1();
    peer.send({ type: "auth", id: "x", token: "s3cret" });
    expect(lastOf(peer)).toEqual({ type: "error", id: "x", error: error("unsupported") });
  });

  test("is checked one at a time", async () => {
    const gate = new AuthHarness();
    const peer = gate.join();
    gate.grants.set("a", grantOf());
    peer.send({ type: "auth", id: "1", token: "a" });
    peer.send({ type: "auth", id: "2", token: "a" });
    expect(lastOf(peer)).toEqual({ type: "error", id: "2", error: error("unavailable", true) });
    await settled();
    expect(gate.checks).toBe(1);
    expect(typesOf(peer)).toEqual(["welcome", "error", "authenticated", "welcome"]);
    peer.send({ type: "auth", id: "3", token: "a" });
    await settled();
    expect(lastOf(peer)).toMatchObject({ type: "authenticated", id: "3" });
  });

  test.each<[string, TokenCheck]>([
    ["rejects", () => Promise.reject(new Error("broken"))],
    [
      "throws",
      () => {
        throw new Error("broken");
      },
    ],
  ])("is answered with unavailable when the check %s", async (_, check) => {
    const gate = new AuthHarness();
    const peer = gate.join(grantOf());
    gate.check = check;
    await gate.auth(peer, grantOf(), "x");
    expect(lastOf(peer)).toEqual({ type: "error", id: "x", error: error("unavailable", true) });
  });

  test("is answered when the check takes too long, and what the check says later is ignored", async () => {
    const gate = new AuthHarness({ authTimeoutMs: 2000 });
    const { clock } = gate.harness;
    const peer = gate.join(grantOf({ allow: ["a"] }));
    const timers = clock.timers;
    let answer: (grant: Grant) => void = () => {};
    gate.check = () =>
      new Promise((resolve) => {
        answer = resolve;
      });
    await gate.auth(peer, grantOf(), "x");
    clock.advance(2000);
    expect(lastOf(peer)).toEqual({ type: "error", id: "x", error: error("unavailable", true) });
    answer(grantOf({ allow: ["b"] }));
    await settled();
    expect(lastOf(peer)).toMatchObject({ type: "error", id: "x" });
    expect(peer.connection.grant.mayReceive("b")).toBe(false);
    expect(clock.timers).toBe(timers);
  });

  test("is not answered with what the check of an earlier one says too late", async () => {
    const gate = new AuthHarness({ authTimeoutMs: 2000 });
    const peer = gate.join(grantOf());
    const answers: ((grant: Grant) => void)[] = [];
    gate.check = () => new Promise((resolve) => void answers.push(resolve));
    await gate.auth(peer, grantOf(), "x");
    gate.harness.clock.advance(2000);
    await gate.auth(peer, grantOf(), "y");
    const count = peer.socket.frames.length;
    answers[0]!(grantOf());
    await settled();
    expect(peer.socket.frames.length).toBe(count);
    answers[1]!(grantOf());
    await settled();
    expect(lastOf(peer)).toMatchObject({ type: "authenticated", id: "y" });
  });

  test("has no effect when its connection is over, and leaves no timer", async () => {
    const gate = new AuthHarness();
    const { clock, clients } = gate.harness;
    const peer = gate.join(grantOf());
    gate.grants.set("a", grantOf());
    peer.send({ type: "auth", token: "a" });
    peer.connection.closed(1006);
    await settled();
    expect(typesOf(peer)).toEqual(["welcome"]);
    await clients.drain(0);
    expect(clock.timers).toBe(0);
  });

  test("ends its connection with 1001 if the answer can't be written, so that the client reconnects", async () => {
    const gate = new AuthHarness();
    const peer = gate.join(grantOf());
    const { write } = peer.socket;
    peer.socket.write = () => {
      peer.socket.write = write;
      throw new Error("broken");
    };
    await gate.auth(peer, grantOf(), "x");
    expect(peer.socket.closedWith).toBe(1001);
  });

  test("costs more of the frames that a client may send than others", () => {
    const count = (frame: object): number => {
      const gate = new AuthHarness({ maxFramesPerSecond: 100 });
      gate.check = () => new Promise(() => {});
      const peer = gate.join(grantOf());
      let sent = 0;
      for (; peer.socket.closedWith === undefined; sent++) peer.send(frame);
      expect(peer.socket.closedWith).toBe(4429);
      return sent;
    };
    expect(count({ type: "auth", token: "a" })).toBeLessThan(count({ type: "ping" }) / 10);
  });

  test("of another client is forbidden, and changes nothing", async () => {
    const gate = new AuthHarness();
    const peer = gate.join(grantOf({ allow: ["a"] }));
    for (const other of [{ sub: "bob" }, { issuer: "j" }, { sub: "" }]) {
      await gate.auth(peer, grantOf(other), "x");
      expect(lastOf(peer)).toEqual({ type: "error", id: "x", error: error("forbidden") });
      expect(peer.connection.grant.mayReceive("b")).toBe(false);
    }
    expect(peer.socket.closedWith).toBeUndefined();
  });

  test("with a token that isn't valid leaves the old one in effect until that expires", async () => {
    const gate = new AuthHarness();
    const { harness } = gate;
    const peer = gate.join(grantOf({ expiresMs: 60_000 }));
    peer.send({ type: "subscribe", id: "1", subjects: ["a"] });
    await gate.auth(peer, { kind: "unauthenticated", message: "no" }, "x");
    expect(lastOf(peer)).toMatchObject({ type: "error", error: { code: "unauthenticated" } });
    harness.publish(1, "a");
    harness.clock.advance(59_990);
    expect(peer.socket.payloads).toEqual([1]);
    expect(peer.socket.closedWith).toBeUndefined();
    harness.clock.advance(10);
    expect(peer.socket.closedWith).toBe(4512);
  });

  test.each<[string, WantedGrant, WantedGrant]>([
    ["of another account", { account: "acme" }, { account: "globex" }],
    ["of an account, for a client of none", {}, { account: "acme" }],
    ["of no account, for a client of one", { account: "acme" }, {}],
    ["of an account, for an anonymous client", { issuer: "", sub: "" }, { account: "acme" }],
  ])("%s is forbidden, and changes nothing", async (_, before, after) => {
    const gate = new AuthHarness();
    const grant = grantOf(before);
    const peer = gate.join(grant);
    await gate.auth(peer, grantOf(after), "x");
    expect(lastOf(peer)).toMatchObject({ id: "x", error: { code: "forbidden" } });
    expect(peer.connection.grant).toBe(grant);
    expect(peer.socket.closedWith).toBeUndefined();
  });

  test("makes an anonymous client one with a name, whose session it keeps", async () => {
    const gate = new AuthHarness({ deliveryMode: "at-least-once" });
    const { harness } = gate;
    const deliveryMode = "at-least-once";
    const peer = gate.join(grantOf({ issuer: "", sub: "", deliveryMode }));
    const name = String(peer.socket.frames[0]?.session);
    peer.send({ type: "subscribe", id: "1", subjects: ["a"] });
    await gate.auth(peer, grantOf({ deliveryMode }));
    peer.connection.closed(1006);
    harness.publish(1, "a");
    const stranger = gate.join(grantOf({ issuer: "", sub: "", deliveryMode }), name);
    expect(stranger.socket.frames[0]).toMatchObject({ delivery: { resumed: false } });
    const own = gate.join(grantOf({ deliveryMode }), name);
    harness.clock.advance(10);
    expect(own.socket.frames[0]).toMatchObject({ delivery: { resumed: true } });
    expect(own.socket.payloads).toEqual([1]);
    harness.expectBalance();
  });
});

describe("New token", () => {
  test("ends what it doesn't allow, narrows what it allows in part, and leaves the rest as it is", async () => {
    const gate = new AuthHarness();
    const { harness } = gate;
    const peer = gate.join(grantOf());
    for (const [id, subject] of [
      ["1", "a.>"],
      ["2", "b"],
      ["3", "c.>"],
      ["4", "c.d"],
    ]) {
      peer.send({ type: "subscribe", id, subjects: [subject] });
    }
    const before = peer.socket.frames.length;
    await gate.auth(peer, grantOf({ allow: ["a.>", "c.*.x", "c.d"] }), "x");
    const subscribed = { type: "subscribed", from: expect.any(String), policy: "disconnect" };
    expect(peer.socket.frames.slice(before)).toEqual([
      { type: "authenticated", id: "x", sub: "ann" },
      { type: "unsubscribed", sub: "2", reason: "forbidden" },
      { ...subscribed, id: "3", sub: "3", subjects: ["c.*.x", "c.d"] },
    ]);
    for (const subject of ["a.b", "b", "c.d", "c.d.x", "c.d.y"]) harness.publish(subject, subject);
    harness.clock.advance(10);
    expect(peer.socket.payloads).toEqual(["a.b", "c.d", "c.d.x"]);
    expect([...harness.source.patterns].sort()).toEqual(["a.>", "c.*.x", "c.d"]);
    peer.send({ type: "subscribe", id: "2", subjects: ["b"] });
    expect(lastOf(peer)).toMatchObject({ type: "error", id: "2", error: { code: "forbidden" } });
    harness.expectBalance();
  });

  test("that allows more makes that possible, and changes no subscription", async () => {
    const gate = new AuthHarness();
    const { harness } = gate;
    const peer = gate.join(grantOf({ allow: ["a.b"] }));
    peer.send({ type: "subscribe", id: "1", subjects: ["a.>"] });
    await gate.auth(peer, grantOf());
    expect(lastOf(peer)).toMatchObject({ type: "authenticated" });
    peer.send({ type: "subscribe", id: "2", subjects: ["b"] });
    for (const subject of ["a.b", "a.c", "b"]) harness.publish(subject, subject);
    harness.clock.advance(10);
    expect(peer.socket.payloads).toEqual(["a.b", "b"]);
  });

  test("is in effect behind what was published before, and the answer lies between", async () => {
    const gate = new AuthHarness({ flushIntervalMs: 1000 });
    const { harness } = gate;
    const peer = gate.join(grantOf());
    peer.send({ type: "subscribe", id: "1", subjects: [">"] });
    harness.publish(1, "a");
    await gate.auth(peer, grantOf({ allow: ["b"] }));
    harness.publish(2, "a");
    harness.publish(3, "b");
    harness.clock.advance(2000);
    expect(typesOf(peer).slice(2)).toEqual(["data", "authenticated", "subscribed", "data"]);
    expect(peer.socket.payloads).toEqual([1, 3]);
  });

  test("drops what is queued and not allowed any more, and counts that", async () => {
    const gate = new AuthHarness();
    const { harness } = gate;
    const peer = gate.join(grantOf());
    peer.send({ type: "subscribe", id: "1", subjects: [">"], policy: "conflate" });
    peer.socket.reads = false;
    harness.publish("x".repeat(2000), "a");
    harness.clock.advance(300);
    for (let n = 0; n < 3; n++) for (const subject of ["a", "b"]) harness.publish(n, subject);
    harness.clock.advance(300);
    await gate.auth(peer, grantOf({ allow: ["b"] }));
    expect(harness.meter.ledger.dropped.forbidden).toBe(1);
    peer.socket.reads = true;
    peer.socket.buffered = 0;
    harness.clock.advance(300);
    expect(peer.socket.envelopes.slice(1)).toMatchObject([
      { subject: "b", payload: 2, superseded: 2 },
    ]);
    expect(stateOf(peer.session)).toBe("live");
    expect(harness.meter.gaps).toBe(0);
    harness.expectBalance();
  });

  test("leaves no more room in the queue than there was", async () => {
    const gate = new AuthHarness({ ringMessages: 100, ringBytes: 100_000, maxQueueMessages: 10 });
    const { harness } = gate;
    const from = { after: cursorOf(harness) };
    for (let n = 0; n < 50; n++) harness.publish(n, "a");
    const peer = gate.join(grantOf());
    peer.socket.reads = false;
    peer.socket.buffered = 10_000;
    const policy = "drop-oldest";
    peer.send({ type: "subscribe", id: "1", subjects: ["a", "b"], policy, from });
    harness.clock.advance(20);
    await gate.auth(peer, grantOf({ allow: ["b"] }));
    for (let n = 0; n < 50; n++) harness.publish(n, "b");
    harness.clock.advance(20);
    expect(peer.session.queuedBytes).toBeLessThan(2000);
    expect(harness.meter.ledger.dropped.drop_oldest).toBe(40);
    harness.expectBalance();
  });

  test("drops what a rate holds back and isn't allowed any more, and keeps the rest at its rate", async () => {
    const gate = new AuthHarness();
    const { harness } = gate;
    const peer = gate.join(grantOf());
    peer.send({ type: "subscribe", id: "1", subjects: [">"], max_rate: 1 });
    for (const subject of ["a", "b"]) harness.publish(0, subject);
    harness.clock.advance(100);
    for (const subject of ["a", "b"]) harness.publish(1, subject);
    harness.clock.advance(100);
    await gate.auth(peer, grantOf({ allow: ["b"] }));
    expect(harness.meter.ledger.dropped.forbidden).toBe(1);
    harness.clock.advance(700);
    expect(peer.socket.payloads).toEqual([0, 0]);
    harness.clock.advance(300);
    expect(peer.socket.envelopes.slice(2)).toMatchObject([{ subject: "b", payload: 1 }]);
    harness.expectBalance();
  });

  test("forgets what was not acknowledged and isn't allowed any more: it isn't sent again", async () => {
    const deliveryMode = "at-least-once";
    const gate = new AuthHarness({ deliveryMode, ackTimeoutMs: 1000, maxInflightMessages: 2 });
    const { harness } = gate;
    const peer = gate.join(grantOf({ deliveryMode }));
    peer.send({ type: "subscribe", id: "1", subjects: [">"], policy: "drop-oldest" });
    for (const subject of ["a", "b", "a", "b"]) harness.publish(1, subject);
    harness.clock.advance(10);
    expect(peer.socket.envelopes).toHaveLength(2);
    await gate.auth(peer, grantOf({ deliveryMode, allow: ["b"] }));
    expect(harness.meter.ledger.lost.forbidden).toBe(1);
    expect(harness.meter.ledger.dropped.forbidden).toBe(1);
    harness.clock.advance(4000);
    const late = peer.socket.envelopes.slice(2);
    expect(new Set(late.map(({ subject }) => subject))).toEqual(new Set(["b"]));
    expect(late.length).toBeGreaterThan(2);
    harness.expectBalance();
  });

  test.each([1, 5000])(
    "narrows a subscription that reads a stream, which goes on where it is (%d steps per turn)",
    async (stepsPerTurn) => {
      const kept = new FakeStream();
      for (let n = 0; n < 30; n++) kept.add(`s.${n % 3}`);
      const gate = new AuthHarness(
        {
          subjects: ["s.>"],
          demanded: [],
          streams: [{ name: "S", subjects: ["s.>"] }],
          ...{ ringMessages: 5, ringBytes: 100_000, maxQueueMessages: 1000, stepsPerTurn },
        },
        kept,
      );
      const { harness } = gate;
      harness.broadcaster.stream({ name: "S", origin: ORIGIN, sequence: 30, lost: false });
      const peer = gate.join(grantOf());
      peer.send({ type: "subscribe", id: "1", subjects: ["s.>"], from: "all" });
      while (peer.socket.envelopes.length < 5) await pass(harness);
      expect(peer.socket.envelopes.length).toBeLessThan(30);
      const before = peer.socket.envelopes.length;
      await gate.auth(peer, grantOf({ allow: ["s.1"] }));
      expect(lastOf(peer)).toMatchObject({ type: "subscribed", subjects: ["s.1"] });
      for (let turn = 0; turn < 40; turn++) await pass(harness);
      harness.broadcaster.message(kept.add("s.1"));
      harness.broadcaster.message(kept.add("s.2"));
      await pass(harness);
      const sequences = peer.socket.envelopes.map(({ id }) => Number(String(id).split(":").at(-1)));
      const rest = Array.from({ length: 31 }, (_, n) => n + 1).filter(
        (sequence) => sequence > before && sequence % 3 === 2,
      );
      expect(sequences.slice(before)).toEqual([...rest.filter((n) => n <= 30), 31]);
      expect(typesOf(peer).filter((type) => type === "caught_up")).toHaveLength(1);
      harness.expectBalance();
    },
  );

  test.each(["new", "all"] as const)(
    "lets a request that NATS has not confirmed begin with what is left, or refuses it (from %s by default)",
    async (startFrom) => {
      const gate = new AuthHarness();
      const { harness } = gate;
      harness.source.confirms = false;
      const peer = gate.join(grantOf({ startFrom }));
      peer.send({ type: "subscribe", id: "1", subjects: [">"] });
      peer.send({ type: "subscribe", id: "2", subjects: ["c"] });
      await gate.auth(peer, grantOf({ allow: ["b"], startFrom }));
      expect(typesOf(peer)).toEqual(["welcome", "authenticated", "error"]);
      expect(lastOf(peer)).toEqual({ type: "error", id: "2", error: error("forbidden") });
      harness.source.confirmAll();
      expect(lastOf(peer)).toMatchObject({ type: "subscribed", id: "1", subjects: ["b"] });
      harness.publish(1, "b");
      harness.publish(2, "c");
      harness.clock.advance(10);
      expect(peer.socket.payloads).toEqual([1]);
      expect([...harness.source.patterns]).toEqual(["b"]);
    },
  );

  test("narrows a subscription of many patterns, among many", async () => {
    const gate = new AuthHarness();
    const { harness } = gate;
    const peer = gate.join(grantOf());
    const names = ["p", "q", "r", "s", "t", "u", "v"];
    peer.send({ type: "subscribe", id: "1", subjects: names, max_rate: 1000 });
    peer.send({ type: "subscribe", id: "2", subjects: names.map((name) => `${name}.>`) });
    for (const name of names) harness.publish(name, name);
    harness.clock.advance(100);
    await gate.auth(peer, grantOf({ allow: ["p", "q", "r", "s", "t", "u.>"] }));
    for (const name of names) {
      harness.publish(name, name);
      harness.publish(name, `${name}.x`);
    }
    harness.clock.advance(100);
    const subjects = peer.socket.envelopes.slice(names.length).map(({ subject }) => subject);
    expect(subjects.toSorted()).toEqual(["p", "q", "r", "s", "t", "u.x"]);
    harness.expectBalance();
  });
});

describe("New token of a client that uses a durable", () => {
  const deliveryMode = "at-least-once";

  /** Connects a client that uses the durable `mine` of `s.a` and `s.b.>`, and has the first message of it. */
  async function start() {
    const durables = new FakeDurables();
    const gate = new AuthHarness(
      {
        subjects: ["s.>"],
        demanded: [],
        streams: [{ name: "S", subjects: ["s.>"] }],
        deliveryMode,
      },
      new FakeStream(),
      durables,
    );
    const { harness } = gate;
    harness.broadcaster.stream({ name: "S", origin: ORIGIN, sequence: 0, lost: false });
    const peer = gate.join(grantOf({ deliveryMode }));
    const subscribe = { type: "subscribe", id: "1", subjects: ["s.a", "s.b.>"] };
    peer.send({ ...subscribe, durable: "mine" });
    durables.begin();
    durables.deliver(1, "s.a");
    await settled();
    expect(peer.socket.envelopes).toHaveLength(1);
    return { gate, harness, durables, peer };
  }

  test.each<[string, WantedGrant]>([
    ["allows the same", {}],
    ["allows no more than the durable has", { allow: ["s.a", "s.b.>"], durables: ["mi*"] }],
    ["denies something else", { deny: ["s.c"] }],
  ])("lets it go on when it %s", async (_, wanted) => {
    const { gate, harness, durables, peer } = await start();
    await gate.auth(peer, grantOf({ deliveryMode, ...wanted }));
    durables.deliver(2, "s.b.c");
    await settled();
    expect(typesOf(peer).slice(-2)).toEqual(["authenticated", "data"]);
    peer.send({ type: "ack", id: peer.socket.envelopes[0]?.id });
    expect(durables.settled).toEqual([["r1", "ack"]]);
    expect(durables.released).toEqual([]);
    harness.expectBalance();
  });

  test.each<[string, WantedGrant]>([
    ["doesn't allow its name", { durables: ["yours"] }],
    ["allows only a part of its subjects", { allow: ["s.a", "s.b.c"] }],
    ["denies something of its subjects", { deny: ["s.b.secret"] }],
  ])("ends its use when it %s: others get what isn't acknowledged", async (_, wanted) => {
    const { gate, harness, durables, peer } = await start();
    await gate.auth(peer, grantOf({ deliveryMode, ...wanted }));
    expect(lastOf(peer)).toEqual({ type: "unsubscribed", sub: "1", reason: "forbidden" });
    expect(durables.released).toEqual(["mine"]);
    harness.clock.advance(5);
    expect(durables.settled).toEqual([["r1", "nack"]]);
    durables.deliver(2, "s.a");
    await settled();
    expect(peer.socket.envelopes).toHaveLength(1);
    expect(peer.socket.closedWith).toBeUndefined();
    harness.expectBalance();
  });
});

/** Time passes, between which what was promised is done. */
async function pass({ clock }: Harness): Promise<void> {
  clock.advance(5);
  await new Promise((resolve) => setImmediate(resolve));
}
