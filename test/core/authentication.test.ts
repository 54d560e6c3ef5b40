import { describe, expect, test } from "bun:test";
import type { Grant } from "../../src/core/access/grant.ts";
import type { TokenCheck } from "../../src/core/access/token-check.ts";
import { AuthHarness, grantOf, settled } from "./support/auth-harness.ts";
import { Harness, lastOf, typesOf } from "./support/harness.ts";

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

  test("does not get the session of another client", async () => {
    const gate = new AuthHarness({ deliveryMode: "at-least-once" });
    const { harness } = gate;
    const first = gate.join(grantOf({ deliveryMode: "at-least-once" }));
    const name = String(first.socket.frames[0]?.session);
    first.send({ type: "subscribe", id: "1", subjects: ["a"] });
    const second = gate.join(undefined, name);
    await gate.auth(second, grantOf({ sub: "bob", deliveryMode: "at-least-once" }));
    expect(typesOf(second)).toEqual(["welcome", "authenticated", "welcome", "gap"]);
    expect(first.socket.closedWith).toBeUndefined();
    harness.publish(1, "a");
    harness.clock.advance(10);
    expect(first.socket.payloads).toEqual([1]);
    expect(second.socket.payloads).toEqual([]);
  });
});

describe("Frame auth", () => {
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

  test("has no effect when its connection is over, and leaves no timer", async () => {
    const gate = new AuthHarness();
    const { clock, broadcaster } = gate.harness;
    const peer = gate.join(grantOf());
    gate.grants.set("a", grantOf());
    peer.send({ type: "auth", token: "a" });
    peer.connection.closed(1006);
    await settled();
    expect(typesOf(peer)).toEqual(["welcome"]);
    await broadcaster.drain(0);
    expect(clock.timers).toBe(0);
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
