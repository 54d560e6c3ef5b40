import { describe, expect, test } from "bun:test";
import { PLAIN, SSE } from "../../../src/core/wire/dialect.ts";
import { AuthHarness, grantOf } from "../support/auth-harness.ts";
import { cursorOf, lastOf, stateOf, type TestClient, typesOf } from "../support/harness.ts";

describe("Token that expires", () => {
  test("is told at a random moment between a fifth and a tenth of its life before", () => {
    const moments = [0, 0.5, 1].map((random) => {
      const gate = new AuthHarness();
      const { harness } = gate;
      harness.random = random;
      const peer = gate.join(grantOf({ expiresMs: 100_000 }));
      for (let ms = 0; ms < 100_000 && lastOf(peer)?.type !== "token_expiring"; ms += 100) {
        harness.clock.advance(100);
      }
      const { expires_in_ms: left } = lastOf(peer) as unknown as { expires_in_ms: number };
      expect(harness.clock.nowMs()).toBe(100_000 - left);
      harness.clock.advance(left - 10);
      expect(peer.socket.closedWith).toBeUndefined();
      harness.clock.advance(10);
      expect(peer.socket.closedWith).toBe(4512);
      expect(lastOf(peer)).toMatchObject({ type: "disconnect", reconnect: true });
      return left;
    });
    expect(moments).toEqual([10_000, 15_000, 20_000]);
  });

  test("is told again for the next token, and no more of the one before", async () => {
    const gate = new AuthHarness();
    const { harness } = gate;
    const peer = gate.join(grantOf({ expiresMs: 100_000 }));
    harness.clock.advance(95_000);
    await gate.auth(peer, grantOf({ expiresMs: 200_000 }));
    harness.clock.advance(104_000);
    const told = typesOf(peer).filter((type) => type === "token_expiring");
    expect(told).toHaveLength(2);
    expect(peer.socket.closedWith).toBeUndefined();
    await gate.auth(peer, grantOf());
    harness.clock.pause(1_000_000_000);
    harness.clock.advance(1000);
    expect(peer.socket.closedWith).toBeUndefined();
    peer.connection.closed(1006);
  });

  test.each([
    ["plain", PLAIN],
    ["sse", SSE],
  ] as const)("ends clients of %s too, which are not told before", (_, dialect) => {
    const gate = new AuthHarness();
    const { harness } = gate;
    const request = { id: "", subjects: "everything" } as const;
    const grant = grantOf({ expiresMs: 100_000 });
    const peer = harness.joinWith(request, dialect, false, undefined, grant);
    peer.socket.onPing = () => peer.connection.heard();
    harness.clock.advance(99_990);
    expect(peer.socket.closedWith).toBeUndefined();
    const frames = peer.socket.textFrames.length;
    harness.clock.advance(10);
    expect(peer.socket.closedWith).toBe(4512);
    const last = peer.socket.textFrames.slice(frames).map(({ text }) => text);
    expect(last).toHaveLength(dialect === SSE ? 1 : 0);
    if (dialect === SSE) expect(last[0]).toContain("event: disconnect");
  });

  test("in many years is no reason to end, and one that has expired ends at once", () => {
    const gate = new AuthHarness();
    const { clock } = gate.harness;
    const late = gate.join(grantOf({ expiresMs: 2 ** 33 }));
    clock.pause(2 ** 31);
    clock.advance(100);
    expect(late.socket.closedWith).toBeUndefined();
    clock.pause(2 ** 33 - 2 ** 31);
    clock.advance(100);
    expect(late.socket.closedWith).toBe(4512);
    const gone = gate.join(grantOf({ expiresMs: 0 }));
    clock.advance(5);
    expect(gone.socket.closedWith).toBe(4512);
  });

  test("ends by the wall clock, when that is set", () => {
    const gate = new AuthHarness();
    const { clock } = gate.harness;
    const peer = gate.join(grantOf({ expiresMs: 3_600_000 }));
    clock.setWall(3_600_000);
    clock.advance(60_000);
    expect(peer.socket.closedWith).toBe(4512);
  });

  test("during a replay ends that too, and the session continues with the next token", async () => {
    const deliveryMode = "at-least-once";
    const bounds = { ringMessages: 1000, ringBytes: 100_000, stepsPerTurn: 1 };
    const gate = new AuthHarness({ ...bounds, deliveryMode, maxInflightMessages: 1000 });
    const { harness } = gate;
    const from = { after: cursorOf(harness) };
    for (let n = 0; n < 50; n++) harness.publish(n, "a");
    const peer = gate.join(grantOf({ deliveryMode, expiresMs: 30 }));
    const session = String(peer.socket.frames[0]?.session);
    peer.send({ type: "subscribe", id: "1", subjects: ["a"], from });
    harness.clock.advance(20);
    expect(peer.socket.closedWith).toBe(4512);
    harness.clock.advance(1000);
    const next = gate.join(grantOf({ deliveryMode }), session);
    expect(next.socket.frames[0]).toMatchObject({ delivery: { resumed: true } });
    harness.expectBalance();
  });

  test("shares one timer with ten thousand others, which leave nothing", async () => {
    const gate = new AuthHarness({ maxClients: 20_000 });
    const { harness } = gate;
    const { clock, clients, meter } = harness;
    const timers = clock.timers;
    const peers = Array.from({ length: 10_000 }, (_, n) =>
      gate.join(grantOf({ sub: `u${n}`, expiresMs: 100_000 })),
    );
    expect(clock.timers - timers).toBeLessThan(4);
    clock.pause(100_000);
    clock.turn();
    // Not all of them in one turn.
    expect(meter.disconnections.get("token_expired")).toBeLessThan(1000);
    expect(meter.disconnections.get("token_expired")).toBeGreaterThan(0);
    clock.advance(1000);
    expect(meter.disconnections.get("token_expired")).toBe(10_000);
    expect(peers.every(({ socket }) => socket.closedWith === 4512)).toBe(true);
    await clients.drain(0);
    expect(clock.timers).toBe(0);
  });

  test("ends its connection also if the end of another one throws, at that time and later", () => {
    const gate = new AuthHarness();
    const { clock } = gate.harness;
    const peers = [10, 10, 10, 20].map((seconds) =>
      gate.join(grantOf({ expiresMs: seconds * 1000 })),
    );
    peers[0]!.socket.onClose = () => {
      throw new Error("broken");
    };
    expect(() => clock.advance(10_000)).toThrow("broken");
    clock.advance(1000);
    expect(peers.map(({ socket }) => socket.closedWith)).toEqual([4512, 4512, 4512, undefined]);
    clock.advance(10_000);
    expect(peers[3]!.socket.closedWith).toBe(4512);
  });

  test("doesn't end a connection that has a new one by the time it is its turn", async () => {
    const gate = new AuthHarness({ stepsPerTurn: 1 });
    const { clock } = gate.harness;
    const [first, second] = [0, 1].map(() => gate.join(grantOf({ expiresMs: 1000 }))) as [
      TestClient,
      TestClient,
    ];
    clock.pause(1000);
    clock.turn();
    expect(first.socket.closedWith).toBe(4512);
    await gate.auth(second, grantOf());
    clock.advance(1000);
    expect(second.socket.closedWith).toBeUndefined();
  });

  test("ends its connection also after the gateway was stopped while others expired", async () => {
    const gate = new AuthHarness({ stepsPerTurn: 1 });
    const { clock, clients } = gate.harness;
    for (let n = 0; n < 3; n++) gate.join(grantOf({ expiresMs: 1000 }));
    clock.pause(1000);
    clock.turn();
    await clients.drain(0);
    clients.open();
    const peer = gate.join(grantOf({ expiresMs: 2000 }));
    clock.advance(2000);
    expect(peer.socket.closedWith).toBe(4512);
  });

  test("is told by the time since the connection began, if it was issued later by another clock", () => {
    const gate = new AuthHarness();
    const peer = gate.join(grantOf({ issuedMs: 50_000, expiresMs: 100_000 }));
    gate.harness.clock.advance(90_000);
    expect(lastOf(peer)).toEqual({ type: "token_expiring", expires_in_ms: 10_000 });
  });

  describe("of a client that lags and reads nothing", () => {
    /** Connects a client to which nothing more can be told. */
    function joinOverfull(gate: AuthHarness, expiresMs: number): TestClient {
      const { harness } = gate;
      const peer = gate.join(grantOf({ expiresMs }));
      peer.send({ type: "subscribe", id: "1", subjects: ["a"] });
      peer.socket.reads = false;
      harness.publish("x".repeat(2000), "a");
      harness.clock.advance(300);
      expect(stateOf(peer.session)).toBe("queued");
      peer.socket.buffered = 1_000_000;
      return peer;
    }

    test("ends its connection when it can't be told, and leaves no timer", () => {
      const gate = new AuthHarness({ writeTimeoutMs: 3_600_000 });
      const { clock } = gate.harness;
      const before = clock.timers;
      const peer = joinOverfull(gate, 700_000);
      clock.advance(630_000);
      expect(peer.socket.closedWith).toBe(4510);
      clock.advance(61_000);
      expect(clock.timers).toBe(before);
    });

    test("and that is told of a new one leaves no timer", async () => {
      const gate = new AuthHarness({ writeTimeoutMs: 3_600_000 });
      const { clock } = gate.harness;
      const before = clock.timers;
      const peer = joinOverfull(gate, 3_600_000);
      await gate.auth(peer, grantOf({ expiresMs: 3_600_000 }));
      expect(peer.socket.closedWith).toBe(4510);
      clock.advance(61_000);
      expect(clock.timers).toBe(before);
    });
  });

  test("leaves no timer when its connection ends before", () => {
    const gate = new AuthHarness();
    const { clock } = gate.harness;
    const before = clock.timers;
    gate.join(grantOf({ expiresMs: 3_600_000 })).connection.closed(1006);
    clock.advance(61_000);
    expect(clock.timers).toBe(before);
  });
});
