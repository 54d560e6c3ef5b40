import { describe, expect, test } from "bun:test";
import { AuthHarness, grantOf } from "../support/auth-harness.ts";
import { lastOf, typesOf } from "../support/harness.ts";

describe("Token that is revoked", () => {
  test("ends its connection with 4401, and no other one", () => {
    const gate = new AuthHarness();
    const grant = grantOf();
    const peer = gate.join(grant);
    const other = gate.join(grantOf());
    gate.revoke(grant);
    gate.harness.clock.advance(10);
    expect(peer.socket.closedWith).toBe(4401);
    expect(lastOf(peer)).toMatchObject({ type: "disconnect", code: 4401, reconnect: false });
    expect(other.socket.closedWith).toBeUndefined();
  });

  test("ends a connection that was let in before and begins after", () => {
    const gate = new AuthHarness();
    const grant = grantOf();
    gate.revoke(grant);
    const peer = gate.join(grant);
    expect(peer.socket.closedWith).toBe(4401);
    expect(typesOf(peer)).toEqual(["disconnect"]);
  });

  test("doesn't end a connection that has a new one", async () => {
    const gate = new AuthHarness();
    const grant = grantOf();
    const peer = gate.join(grant);
    await gate.auth(peer, grantOf());
    gate.revoke(grant);
    gate.harness.clock.advance(10);
    expect(peer.socket.closedWith).toBeUndefined();
  });

  test("is not accepted in auth", async () => {
    const gate = new AuthHarness();
    const peer = gate.join(grantOf());
    const grant = grantOf();
    gate.revoke(grant);
    await gate.auth(peer, grant, "x");
    expect(lastOf(peer)).toMatchObject({ id: "x", error: { code: "unauthenticated" } });
    expect(peer.socket.closedWith).toBeUndefined();
  });

  test.each(["waits for its client", "is about to be resumed"])(
    "ends a session that %s",
    (state) => {
      const deliveryMode = "at-least-once";
      const gate = new AuthHarness({ deliveryMode });
      const { harness } = gate;
      const grant = grantOf({ deliveryMode });
      const peer = gate.join(grant);
      const session = String(peer.socket.frames[0]?.session);
      peer.send({ type: "subscribe", id: "1", subjects: ["a"] });
      harness.publish(1, "a");
      harness.clock.advance(10);
      peer.connection.closed(1006);
      if (state === "waits for its client") {
        gate.revoke(grant);
        harness.clock.advance(10);
        expect(harness.broadcaster.sessions.detached).toBe(0);
      } else gate.revoked.add(grant);
      const next = gate.join(grantOf({ deliveryMode }), session);
      expect(typesOf(next)).toEqual(["welcome", "gap"]);
      expect(harness.meter.ledger.lost.revoked).toBe(1);
      harness.expectBalance();
    },
  );

  test("of very many clients ends them in shares of the turns", () => {
    const gate = new AuthHarness({ maxClients: 20_000 });
    const { clock, meter } = gate.harness;
    const grant = grantOf();
    for (let n = 0; n < 5000; n++) gate.join(grant);
    gate.revoke(grant);
    expect(meter.disconnections.get("revoked")).toBeLessThan(1000);
    clock.advance(1000);
    expect(meter.disconnections.get("revoked")).toBe(5000);
  });

  test("ends its connections also if the end of one throws, and so does the next one", () => {
    const gate = new AuthHarness();
    const { clock } = gate.harness;
    const grants = [grantOf(), grantOf()] as const;
    const peers = [grants[0], grants[0], grants[1]].map((grant) => gate.join(grant));
    peers[0]!.socket.onClose = () => {
      throw new Error("broken");
    };
    expect(() => {
      gate.revoke(grants[0]);
      clock.advance(1);
    }).toThrow("broken");
    clock.advance(1);
    expect(peers.map(({ socket }) => socket.closedWith)).toEqual([4401, 4401, undefined]);
    gate.revoke(grants[1]);
    clock.advance(1);
    expect(peers[2]!.socket.closedWith).toBe(4401);
  });

  test("is looked for again if it is revoked while others are looked for", () => {
    const gate = new AuthHarness({ stepsPerTurn: 1 });
    const { clock } = gate.harness;
    const [early, late] = [grantOf(), grantOf()];
    const peers = [late, early, grantOf()].map((grant) => gate.join(grant));
    gate.revoke(early);
    clock.turn();
    gate.revoke(late);
    clock.advance(100);
    expect(peers.map(({ socket }) => socket.closedWith)).toEqual([4401, 4401, undefined]);
  });

  test.each([1, 2])(
    "doesn't end a connection that has a new one before it is its turn (after %d turns)",
    async (turns) => {
      const gate = new AuthHarness({ stepsPerTurn: 1 });
      const { clock } = gate.harness;
      const grant = grantOf();
      const peers = Array.from({ length: 3 }, () => gate.join(grant));
      clock.advance(10);
      gate.revoke(grant);
      for (let turn = 0; turn < turns; turn++) clock.turn();
      expect(peers[1]!.socket.closedWith).toBeUndefined();
      await gate.auth(peers[1]!, grantOf());
      clock.advance(1000);
      expect(peers.map(({ socket }) => socket.closedWith)).toEqual([4401, undefined, 4401]);
    },
  );

  test("ends its connection also after the gateway was stopped while others were ended", async () => {
    const gate = new AuthHarness({ stepsPerTurn: 1 });
    const { clock, clients } = gate.harness;
    const grants = [grantOf(), grantOf()] as const;
    for (let n = 0; n < 3; n++) gate.join(grants[0]);
    gate.revoke(grants[0]);
    clock.turn();
    await clients.drain(0);
    clients.open();
    const peer = gate.join(grants[1]);
    gate.revoke(grants[1]);
    clock.advance(100);
    expect(peer.socket.closedWith).toBe(4401);
  });
});
