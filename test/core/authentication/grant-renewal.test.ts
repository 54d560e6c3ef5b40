import { expect, test } from "bun:test";
import { Grant } from "../../../src/core/access/grant.ts";
import { V1 } from "../../../src/core/wire/dialect.ts";
import { Harness } from "../support/harness.ts";

const CLIENTS = 20;
const ROOMS = 100;
const ALLOW = Array.from({ length: ROOMS }, (_, n) => `rooms.${n}`);

/** A gateway without turns to spare, whose clients have many subjects each, and get new grants of the same subjects. */
function crowd() {
  let maxRate = Number.POSITIVE_INFINITY;
  const options = { deliveryMode: "at-least-once", stepsPerTurn: 1000 } as const;
  const harness = new Harness(options, undefined, undefined, undefined, (grant) =>
    grant.terms.maxRate === maxRate ? grant : new Grant([">"], { ...grant.terms, maxRate }),
  );
  const { terms } = harness.grant;
  const receives = { allow: ALLOW, deny: [] };
  const grant = new Grant([">"], { ...terms, basis: "claims", receives });
  const peers = Array.from({ length: CLIENTS }, () => {
    const peer = harness.joinWith(undefined, V1, false, undefined, grant);
    peer.send({ type: "subscribe", id: "1", subjects: [">"] });
    return peer;
  });
  harness.clock.advance(100);
  const renew = (to = 5): void => {
    maxRate = to;
    harness.clients.renewGrants();
  };
  const renewed = (): number => peers.filter(({ session }) => session.grant !== grant).length;
  return { harness, peers, renew, renewed };
}

test("Clients with many subjects get their new grants in several turns", () => {
  const { harness, renew, renewed } = crowd();
  renew();
  expect(renewed()).toBeGreaterThan(0);
  expect(renewed()).toBeLessThan(CLIENTS / 2);
  harness.clock.advance(100);
  expect(renewed()).toBe(CLIENTS);
});

test("Sessions without a connection, too", () => {
  const { harness, peers, renew, renewed } = crowd();
  for (const { connection } of peers) connection.closed(1006);
  expect(harness.broadcaster.sessions.detached).toBe(CLIENTS);
  renew();
  expect(renewed()).toBeGreaterThan(0);
  expect(renewed()).toBeLessThan(CLIENTS / 2);
  harness.clock.advance(100);
  expect(renewed()).toBe(CLIENTS);
});

test("Permissions that change again before all clients have their new grants reach all of them", () => {
  const { harness, peers, renew, renewed } = crowd();
  renew(5);
  expect(renewed()).toBeGreaterThan(0);
  renew(6);
  harness.clock.advance(100);
  expect(peers.map(({ session }) => session.grant.terms.maxRate)).toEqual(peers.map(() => 6));
});
