import { describe, expect, test } from "bun:test";
import type { AccessRefusal, Identity } from "../../src/access/authenticator.ts";
import { PASSWORDS_ISSUER, Passwords } from "../../src/access/passwords.ts";
import { systemClock } from "../../src/runtime/clock.ts";
import { ManualClock } from "../core/support/manual-clock.ts";
import { until } from "../support/event-log.ts";
import { keptLog } from "./support/kept-log.ts";
import { MemoryFile } from "./support/memory-file.ts";
import { passwordHashText } from "./support/password-hash-text.ts";
import { WITH_NOTHING, withPassword, withToken } from "./support/requests.ts";

const DETAILS = [{ type: "spillway", subjects: { allow: ["orders.{sub}.>"] } }];
const WRONG: AccessRefusal = {
  kind: "unauthenticated",
  message: "The user or the password is wrong",
};
const PASSWORD = "corréct horse";

const HASH = passwordHashText(PASSWORD);

function entryOf(more: Record<string, unknown> = {}): Record<string, unknown> {
  return { user: "ann", password_hash: HASH, authorization_details: DETAILS, ...more };
}

async function opened(...entries: unknown[]) {
  const file = new MemoryFile(JSON.stringify(entries));
  const { log, lines } = keptLog();
  const passwords = await Passwords.open({ file, clock: systemClock, log });
  passwords.start();
  const ask = (user: string, password: string) =>
    passwords.authenticate(withPassword(user, password));
  return { file, lines, passwords, ask };
}

describe("A password", () => {
  test("proves who its client is", async () => {
    const { ask } = await opened(entryOf(), entryOf({ user: "bob", sub: "u_7" }));
    expect(await ask("ann", PASSWORD)).toMatchObject({
      principal: { issuer: PASSWORDS_ISSUER, sub: "ann" },
      permissions: expect.objectContaining({ receives: { allow: ["orders.ann.>"], deny: [] } }),
    } as never);
    expect(await ask("bob", PASSWORD.normalize("NFD"))).toMatchObject({
      principal: { sub: "u_7" },
    });
  });

  test("that is wrong is refused with the same words as an unknown user", async () => {
    const { ask } = await opened(entryOf());
    for (const [user, password] of [
      ["ann", "wrong"],
      ["ann", ""],
      ["Ann", PASSWORD],
      ["nobody", PASSWORD],
      ["", PASSWORD],
      ["__proto__", PASSWORD],
      ["ann", "x".repeat(1025)],
      ["x".repeat(257), PASSWORD],
    ] as const) {
      expect(await ask(user, password)).toEqual(WRONG);
    }
  });

  test("isn't asked of clients that show something else", async () => {
    const { passwords } = await opened(entryOf());
    expect(await passwords.authenticate(withToken(PASSWORD))).toBeUndefined();
    expect(await passwords.authenticate(WITH_NOTHING)).toBeUndefined();
  });

  test("lets nobody in if the file is empty", async () => {
    const { ask } = await opened();
    expect(await ask("ann", PASSWORD)).toEqual(WRONG);
  });

  test("counts or not as the file says now, also if it was remembered", async () => {
    const { ask, file, lines } = await opened(entryOf());
    expect(await ask("ann", PASSWORD)).toMatchObject({ principal: { sub: "ann" } });
    file.write(JSON.stringify([entryOf({ password_hash: passwordHashText("another") })]));
    await until(
      "reload",
      async () => lines.length,
      (count) => count > 0,
    );
    expect(await ask("ann", PASSWORD)).toEqual(WRONG);
    expect(await ask("ann", "another")).toMatchObject({ principal: { sub: "ann" } });
  });
});

/** Nothing is hashed unless the clock moves: logins need their turn. */
async function stopped() {
  const file = new MemoryFile(JSON.stringify([entryOf()]));
  const clock = new ManualClock();
  const { log, lines } = keptLog();
  const passwords = await Passwords.open({ file, clock, log });
  passwords.start();
  const ask = (
    user: string,
    password: string,
    address = "192.0.2.1",
    left?: AbortSignal,
  ): Promise<Identity | AccessRefusal | undefined> =>
    passwords.authenticate({ ...withPassword(user, password), address, left });
  /** Changes the file, and resolves when it is read. */
  const write = async (...entries: unknown[]): Promise<void> => {
    const before = lines.length;
    file.write(JSON.stringify(entries));
    await until(
      "reload",
      async () => lines.length,
      (count) => count > before,
    );
  };
  return { clock, ask, write };
}

describe("A login while the file changes", () => {
  test("is refused if its user is gone, or has another password now", async () => {
    const { clock, ask, write } = await stopped();
    const removed = ask("ann", PASSWORD);
    await write();
    clock.turn();
    // It is checked once more, as that of an unknown user.
    await until(
      "another check",
      async () => clock.timers,
      (timers) => timers > 0,
    );
    clock.turn();
    expect(await removed).toEqual(WRONG);
  });

  test("has what the file allows now", async () => {
    const { clock, ask, write } = await stopped();
    const login = ask("ann", PASSWORD);
    await write(entryOf({ sub: "u_8" }));
    clock.turn();
    expect(await login).toMatchObject({ principal: { sub: "u_8" } });
  });
});

describe("A client that leaves", () => {
  test("gives its place back to others before its password was hashed", async () => {
    const { clock, ask } = await stopped();
    const leaving = new AbortController();
    const flood = Array.from({ length: 32 }, (_, index) =>
      ask("ann", `wrong ${index}`, `192.0.2.${index}`, leaving.signal),
    );
    const other = () => ask("ann", PASSWORD, "198.51.100.1");
    expect(await other()).toMatchObject({ kind: "unavailable" });
    leaving.abort();
    for (const answer of await Promise.all(flood)) {
      expect(answer).toMatchObject({ kind: "unauthenticated", message: "The client is gone" });
    }
    const answer = other();
    clock.turn();
    expect(await answer).toMatchObject({ principal: { sub: "ann" } });
    expect(clock.timers).toBe(0);
  });

  test("doesn't end the check of another one that shows the same", async () => {
    const { clock, ask } = await stopped();
    const leaving = new AbortController();
    const first = ask("ann", PASSWORD, "192.0.2.1", leaving.signal);
    const second = ask("ann", PASSWORD, "192.0.2.2");
    leaving.abort();
    expect(await first).toMatchObject({ kind: "unauthenticated" });
    clock.turn();
    expect(await second).toMatchObject({ principal: { sub: "ann" } });
    const gone = ask("ann", "wrong", "192.0.2.1", AbortSignal.abort());
    expect(await gone).toMatchObject({ kind: "unauthenticated" });
    expect(clock.timers).toBe(1);
  });
});

describe("Many logins", () => {
  test("of one client with the right password cost one hash, and none for five minutes", async () => {
    const { clock, ask } = await stopped();
    const all = Array.from({ length: 1000 }, () => ask("ann", PASSWORD));
    expect(clock.timers).toBe(1);
    clock.turn();
    for (const answer of await Promise.all(all)) {
      expect(answer).toMatchObject({ principal: { sub: "ann" } });
    }
    clock.advance(299_999);
    expect(await ask("ann", PASSWORD)).toMatchObject({ principal: { sub: "ann" } });
    clock.advance(1);
    const again = ask("ann", PASSWORD);
    expect(clock.timers).toBe(1);
    clock.turn();
    expect(await again).toMatchObject({ principal: { sub: "ann" } });
  });

  test("with different passwords wait, 32 at a time; one more is told to come later", async () => {
    const { ask } = await stopped();
    const waiting = Array.from({ length: 32 }, (_, index) =>
      ask("ann", `wrong ${index}`, `192.0.2.${index}`),
    );
    expect(await ask("ann", "one more")).toMatchObject({ kind: "unavailable" });
    // An unknown user is told the same.
    expect(await ask("nobody", "one more")).toMatchObject({ kind: "unavailable" });
    const first = await Promise.race([...waiting, Promise.resolve("still waiting")]);
    expect(first).toBe("still waiting");
  });

  test("of one address leave places to those of others", async () => {
    const { clock, ask } = await stopped();
    const flood = Array.from({ length: 1000 }, (_, index) => ask("ann", `wrong ${index}`));
    const other = ask("ann", PASSWORD, "192.0.2.2");
    const answers = Promise.all(flood);
    await until(
      "all hashes",
      async () => {
        clock.turn();
        return await Promise.race([answers, Promise.resolve()]);
      },
      (all) => all !== undefined,
    );
    const isHashed = (answer: unknown) => (answer as AccessRefusal).kind === "unauthenticated";
    expect((await answers).filter(isHashed)).toHaveLength(7);
    expect(await other).toMatchObject({ principal: { sub: "ann" } });
    // The hashes have ended.
    const again = ask("ann", "wrong again");
    clock.turn();
    expect(await again).toEqual(WRONG);
  });
});

describe("A file of passwords", () => {
  test.each<[string, (entry: Record<string, unknown>) => unknown[], string]>([
    ["no user", (entry) => [{ ...entry, user: undefined }], "[0].user"],
    ["a user with a colon", (entry) => [{ ...entry, user: "a:b" }], "[0].user"],
    ["a user twice", (entry) => [entry, entry], "twice"],
    ["no hash", (entry) => [{ ...entry, password_hash: undefined }], "[0].password_hash"],
    ["a password", (entry) => [{ ...entry, password_hash: "hunter2" }], "[0].password_hash"],
    ["an unknown field", (entry) => [{ ...entry, password: "hunter2" }], '"password"'],
    ["no permissions", (entry) => [{ ...entry, authorization_details: [] }], "have no entry"],
  ])("can't have %s", async (_, entries, reason) => {
    const { name, message } = await opened(...entries(entryOf())).then(
      () => new Error("it was accepted"),
      (thrown: Error) => thrown,
    );
    expect(name).toBe("FileFault");
    expect(message).toContain(reason);
    expect(message).not.toContain("hunter2");
  });
});
