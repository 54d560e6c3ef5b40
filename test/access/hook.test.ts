import { describe, expect, test } from "bun:test";
import type { AccessRefusal, AccessRequest } from "../../src/access/authenticator.ts";
import { type AuthorizeHook, HookAuthenticator } from "../../src/access/hook.ts";
import { DEFAULT_LIMITS } from "../../src/access/permissions.ts";
import { NOTHING_ALLOWED } from "../../src/core/access/grant.ts";
import type { Log } from "../../src/core/ports/log.ts";
import { ManualClock } from "../core/support/manual-clock.ts";

const request: AccessRequest = {
  credentials: { kind: "token", token: "hunter2", place: "authorization" },
  address: "192.0.2.1",
  headers: new Headers({ Origin: "https://app.example" }),
};

function asking(hook: AuthorizeHook) {
  const clock = new ManualClock();
  const said: Record<string, unknown>[] = [];
  const say = (message: string, properties = {}) => void said.push({ message, ...properties });
  const log: Log = { debug: say, info: say, warn: say, error: say };
  const authenticator = new HookAuthenticator(hook, {
    timeoutMs: 2000,
    readClaims: ({ sub }) =>
      typeof sub === "string"
        ? {
            principal: { issuer: "host", sub },
            permissions: {
              ...DEFAULT_LIMITS,
              account: undefined,
              receives: NOTHING_ALLOWED,
              publishes: NOTHING_ALLOWED,
              requests: NOTHING_ALLOWED,
              presence: NOTHING_ALLOWED,
            },
          }
        : { kind: "unauthenticated", message: "The token is bad", detail: '"sub" is missing' },
    clock,
    log,
  });
  return { result: authenticator.authenticate(request), said, clock };
}

describe("The hook authorize", () => {
  test("gets the request, and its claims are those of the client", async () => {
    const asked: AccessRequest[] = [];
    const hook: AuthorizeHook = async (given) => {
      asked.push(given);
      return { sub: "ann" };
    };
    expect(await asking(hook).result).toMatchObject({ principal: { issuer: "host", sub: "ann" } });
    expect(asked).toEqual([request]);
  });

  test("leaves a client to others with undefined, and refuses it with null", async () => {
    expect(await asking(() => undefined).result).toBeUndefined();
    expect(await asking(async () => undefined).result).toBeUndefined();
    expect(await asking(() => null).result).toMatchObject({ kind: "unauthenticated" });
  });

  test.each<[string, AuthorizeHook]>([
    [
      "throws",
      () => {
        throw new Error("no database");
      },
    ],
    ["rejects", () => Promise.reject(new Error("no database"))],
  ])("that %s lets nobody in, and its error is logged", async (_, hook) => {
    const { result, said } = asking(hook);
    expect(await result).toMatchObject({ kind: "unavailable" });
    expect(said).toMatchObject([
      { event: "hook_failed", hook: "authorize", reason: "no database" },
    ]);
  });

  test("that never answers lets nobody in", async () => {
    const { result, said, clock } = asking(() => new Promise(() => {}));
    clock.advance(2000);
    expect(await result).toMatchObject({ kind: "unavailable" });
    expect(said).toMatchObject([{ reason: "there is no answer after 2000 ms" }]);
  });

  test.each([{}, { sub: 5 }, [], "ann", 5, true])(
    "whose answer is %j lets nobody in",
    async (answer) => {
      const { result, said } = asking(() => answer as never);
      expect(["unavailable", "unauthenticated"]).toContain(((await result) as AccessRefusal).kind);
      expect(said).toMatchObject([{ event: "hook_failed" }]);
      expect(JSON.stringify(said)).not.toContain("hunter2");
    },
  );
});
