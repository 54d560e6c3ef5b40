/** A grant's `max_rate` caps what each subscription asks for. */
import { describe, expect, test } from "bun:test";
import { PLAIN } from "../../../src/core/wire/dialect.ts";
import { AuthHarness, grantOf } from "../support/auth-harness.ts";
import { Harness, lastOf, stateOf, type TestClient } from "../support/harness.ts";

/** Publishes a number every 10 ms for so long. */
function publishFor(harness: Harness, ms: number): void {
  for (let at = 0; at < ms; at += 10) {
    harness.publish(at, "a");
    harness.clock.advance(10);
  }
}

function subscribedOf({ socket }: TestClient) {
  return socket.notices.findLast(({ type }) => type === "subscribed");
}

describe("The rate of a grant", () => {
  test("is that of a subscription that asks for none, or for more, and is told", () => {
    const gate = new AuthHarness();
    for (const [asked, rate, messages] of [
      [undefined, 5, 5],
      [50, 5, 5],
      [2, 2, 2],
    ] as const) {
      const peer = gate.join(grantOf({ maxRate: 5 }));
      const wish = asked === undefined ? {} : { max_rate: asked };
      peer.send({ type: "subscribe", id: "1", subjects: ["a"], ...wish });
      expect(subscribedOf(peer)).toMatchObject({ max_rate: rate });
      publishFor(gate.harness, 990);
      expect(peer.socket.payloads).toHaveLength(messages);
      peer.connection.closed(1000);
    }
    gate.harness.expectBalance();
  });

  test("is not told of where there is none", () => {
    const gate = new AuthHarness();
    const peer = gate.join(grantOf());
    peer.send({ type: "subscribe", id: "1", subjects: ["a"] });
    expect(subscribedOf(peer)).not.toHaveProperty("max_rate");
    publishFor(gate.harness, 100);
    expect(peer.socket.payloads).toHaveLength(10);
  });

  test("counts for a plain client, too", () => {
    const harness = new Harness();
    const grant = grantOf({ maxRate: 5 });
    const client = harness.joinWith({ id: "", subjects: ["a"] }, PLAIN, false, undefined, grant);
    publishFor(harness, 990);
    expect(client.socket.payloads).toHaveLength(5);
    harness.expectBalance();
  });

  test("changes with the grant, and the client is told", async () => {
    const gate = new AuthHarness();
    const { harness } = gate;
    const peer = gate.join(grantOf());
    peer.send({ type: "subscribe", id: "1", subjects: ["a"] });
    publishFor(harness, 100);
    expect(peer.socket.payloads).toHaveLength(10);
    await gate.auth(peer, grantOf({ maxRate: 5 }));
    expect(lastOf(peer)).toMatchObject({ type: "subscribed", id: "1", max_rate: 5 });
    publishFor(harness, 990);
    expect(peer.socket.payloads).toHaveLength(15);
    await gate.auth(peer, grantOf({ maxRate: 10 }));
    publishFor(harness, 990);
    expect(peer.socket.payloads.length).toBeWithin(24, 28);
    const before = peer.socket.payloads.length;
    await gate.auth(peer, grantOf());
    expect(subscribedOf(peer)).not.toHaveProperty("max_rate");
    publishFor(harness, 100);
    // What was held back is one message, the latest.
    expect(peer.socket.payloads.length - before).toBeWithin(10, 12);
    expect(harness.meter.ledger.queued).toBe(0);
    expect(stateOf(peer.session)).toBe("live");
    harness.expectBalance();
  });
});
