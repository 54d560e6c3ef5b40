/** Sessions without a connection make room for others, those of the user with the most first. */
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import type { Grant } from "../../../src/core/access/grant.ts";
import type { Session } from "../../../src/core/sessions/session.ts";
import { PLAIN } from "../../../src/core/wire/dialect.ts";
import { grantOf } from "../support/auth-harness.ts";
import { Harness, type HarnessOptions, type TestClient } from "../support/harness.ts";

/** The part of the bound that sessions take after some had to expire. */
const EVICTED_TO = 0.9;
/** More than the envelope of a message takes beside its payload. */
const MOST_OVERHEAD = 250;

class User {
  readonly name: string;
  readonly #harness: Harness;
  readonly #grant: Grant;
  readonly #address: string;
  readonly sessions = new Map<string, Session>();
  #begun = 0;

  /** @param sub `undefined`: it is anonymous, and known by its address. */
  constructor(harness: Harness, name: string, sub: string | undefined, address: string) {
    this.name = name;
    this.#harness = harness;
    this.#grant = sub === undefined ? harness.grant : grantOf({ sub, ...AT_LEAST_ONCE });
    this.#address = address;
  }

  connect(session: string, maxRate?: number): TestClient {
    const request = { id: "", subjects: [this.name, "all"], maxRate };
    const { joinWith } = this.#harness;
    const args = [request, PLAIN, false, session, this.#grant, undefined, this.#address] as const;
    const client = joinWith.call(this.#harness, ...args);
    this.sessions.set(session, client.session);
    return client;
  }

  /** Begins another session, and loses its connection. */
  leave(maxRate?: number): void {
    this.connect(`${this.name}-session-${++this.#begun}`, maxRate).connection.closed(1006);
  }

  /** Resumes a session, gets what waits for it, and loses the connection again. */
  comeBack(which: number): void {
    const names = [...this.sessions.keys()];
    const name = names[which % names.length];
    if (name === undefined) return;
    const { connection } = this.connect(name);
    this.#harness.clock.advance(10);
    connection.closed(1006);
  }

  /** The sessions that are over, which it forgets. */
  takeLost(): number {
    const lost = [...this.sessions].filter(([, { isOver }]) => isOver);
    for (const [name] of lost) this.sessions.delete(name);
    return lost.length;
  }
}

const AT_LEAST_ONCE = { deliveryMode: "at-least-once", policy: "drop-oldest" } as const;

function harnessOf(options: Partial<HarnessOptions>): Harness {
  return new Harness({ ...AT_LEAST_ONCE, maxTotalQueueBytes: 10_000_000, ...options });
}

/** The bytes that a session's patterns take, which are the same for all users: their names are equally long. */
function patternBytes(): number {
  const harness = harnessOf({});
  new User(harness, "u0", "u0", "1.1.1.1").leave();
  return harness.broadcaster.sessions.detachedBytes;
}

describe("A user within its share of the sessions", () => {
  const USERS = 4;
  const PATTERN_BYTES = patternBytes();

  const step = fc.record({
    does: fc.constantFrom("leave", "leave", "publish", "publish", "publishToAll", "back", "pass"),
    // One of them does more than the others.
    user: fc.constantFrom(0, 1, 2, 3, 3, 3, 3, 3),
    number: fc.nat(1000),
  });

  function bytesOf({ sessions }: User): number {
    let bytes = 0;
    for (const session of sessions.values()) {
      bytes += session.queuedBytes + (session.acks?.memory.bytes ?? 0) + PATTERN_BYTES;
    }
    return bytes;
  }

  test("never loses one because of another user", () => {
    const seen = { lost: 0, spared: 0 };
    const bounds = fc.record({
      maxSessions: fc.constantFrom(4, 9, 100),
      maxSessionBytes: fc.constantFrom(4000, 10_000, 100_000),
    });
    fc.assert(
      fc.property(bounds, fc.array(step, { minLength: 30, maxLength: 80 }), (options, steps) => {
        const harness = harnessOf(options);
        const users = [
          new User(harness, "u0", "u0", "1.1.1.1"),
          new User(harness, "u1", undefined, "1.1.1.1"),
          new User(harness, "u2", undefined, "2.2.2.2"),
          new User(harness, "u3", "u3", "1.1.1.1"),
        ] as const;
        for (const { does, user: index, number } of steps) {
          const user = users[index] as User;
          const isPublished = does === "publish" || does === "publishToAll";
          // Each user has no more than this before any session has to go.
          const most = users.map((one) => {
            const grows = isPublished && (does === "publishToAll" || one === user);
            const grown = grows ? one.sessions.size * (number + MOST_OVERHEAD) : 0;
            const isNew = does === "leave" && one === user ? 1 : 0;
            return {
              bytes: bytesOf(one) + grown + isNew * PATTERN_BYTES,
              sessions: one.sessions.size + isNew,
            };
          });
          if (does === "leave") user.leave(number % 3 === 0 ? 2 : undefined);
          else if (does === "back") user.comeBack(number);
          else if (does === "pass") harness.clock.advance(number / 2);
          else harness.publish("x".repeat(number), does === "publish" ? user.name : "all");
          const lost = users.map((one) => one.takeLost());
          for (const [at, { bytes, sessions }] of most.entries()) {
            const isWithin =
              bytes <= (EVICTED_TO * options.maxSessionBytes) / USERS &&
              sessions <= options.maxSessions / USERS;
            if (isWithin) expect(lost[at]).toBe(0);
            seen.lost += lost[at] as number;
            if (isWithin && sessions > 0 && lost.some((count) => count > 0)) seen.spared++;
          }
          const total = users.reduce((sum, one) => sum + bytesOf(one), 0);
          const { detached, detachedBytes } = harness.broadcaster.sessions;
          expect(detachedBytes).toBe(total);
          expect(detachedBytes).toBeLessThanOrEqual(options.maxSessionBytes);
          expect(detached).toBeLessThanOrEqual(options.maxSessions);
        }
        harness.expectBalance();
      }),
      { numRuns: 300 },
    );
    // Both happen often, or nothing would be said.
    for (const count of Object.values(seen)) expect(count).toBeGreaterThan(1000);
  });
});

describe("A user with more sessions than it may have connections", () => {
  function lostOf(options: Partial<HarnessOptions>, sub: string | undefined): boolean[] {
    const harness = harnessOf(options);
    const user = new User(harness, "u0", sub, "1.1.1.1");
    const other = new User(harness, "u1", sub && "u1", "2.2.2.2");
    other.leave();
    for (let n = 0; n < 4; n++) user.leave();
    expect(other.takeLost()).toBe(0);
    return [...user.sessions.values()].map(({ isOver }) => isOver);
  }

  test("loses its oldest ones", () => {
    const evicted = [true, true, false, false];
    expect(lostOf({ maxClientsPerSub: 2 }, "u0")).toEqual(evicted);
    expect(lostOf({ maxClientsPerAddress: 2 }, undefined)).toEqual(evicted);
    const kept = [false, false, false, false];
    expect(lostOf({ maxClientsPerAddress: 20, maxClientsPerSub: 2 }, undefined)).toEqual(kept);
    expect(lostOf({}, "u0")).toEqual(kept);
  });
});
