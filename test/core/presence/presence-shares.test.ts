import { expect, test } from "bun:test";
import { PresenceShares, type Watcher } from "../../../src/core/presence/presence-shares.ts";
import type { SessionConnection } from "../../../src/core/sessions/session.ts";
import { until } from "../../support/event-log.ts";
import { grantOf } from "../support/auth-harness.ts";

const MANY = 100;

test("A user who watches nothing any more is forgotten, and so is an account without such users", async () => {
  const shares = new PresenceShares(1000);
  const enter = (sub: string, account = "acme"): Watcher => {
    const grant = grantOf({ sub, account });
    return shares.enter({ grant, addressGroup: "10.0.0.1" } as SessionConnection);
  };
  const kept = ((): readonly WeakRef<object>[] => {
    const watchers = Array.from({ length: MANY }, (_, n) => `account-${n}`).flatMap((account) =>
      ["ann", "ann", "bob"].map((sub) => enter(sub, account)),
    );
    const made = [...new Set(watchers.flatMap((watcher) => [watcher, watcher.account]))];
    expect(made.length).toBe(3 * MANY);
    for (const watcher of watchers) shares.leave(watcher);
    return made.map((object) => new WeakRef(object));
  })();
  // The target of a new WeakRef is kept until the present turn is over, and perhaps longer.
  const left = () => kept.filter((reference) => reference.deref() !== undefined).length;
  // A value on the stack may be taken for a reference.
  await until(
    "collection",
    async () => {
      Bun.gc(true);
      return left();
    },
    (count) => count < MANY / 2,
  );
  expect(enter("ann").views).toBe(0);
});
