import { describe, expect, test } from "bun:test";
import type { AccessRequest, Credentials, Identity } from "../../src/access/authenticator.ts";
import type { Claims, ClaimsRefusal } from "../../src/access/claims.ts";
import { NatsServiceAuthenticator } from "../../src/access/nats-service.ts";
import { DEFAULT_LIMITS } from "../../src/access/permissions.ts";
import { NOTHING_ALLOWED } from "../../src/core/access/grant.ts";
import type { Log } from "../../src/core/ports/log.ts";
import { ManualClock } from "../core/support/manual-clock.ts";

const SECRET = "hunter2";
const NOW_SECONDS = ManualClock.WALL_START_MS / 1000;
const UNAVAILABLE = { kind: "unavailable", message: expect.any(String) } as never;

/** An identity that has only a name and an end. */
function readClaims(claims: Claims): Identity | ClaimsRefusal {
  const { sub, exp, iat } = claims;
  if (typeof sub !== "string") {
    return { kind: "unauthenticated", message: "The token is bad", detail: '"sub" is missing' };
  }
  return {
    principal: { issuer: "service", sub },
    permissions: {
      ...DEFAULT_LIMITS,
      account: undefined,
      receives: NOTHING_ALLOWED,
      publishes: NOTHING_ALLOWED,
      requests: NOTHING_ALLOWED,
      presence: NOTHING_ALLOWED,
    },
    issuedAtMs: typeof iat === "number" ? iat * 1000 : undefined,
    expiresAtMs: typeof exp === "number" ? exp * 1000 : undefined,
  };
}

function request(credentials: Credentials, headers: Record<string, string> = {}): AccessRequest {
  return { credentials, address: "192.0.2.1", headers: new Headers(headers) };
}

const token = (text = SECRET): AccessRequest =>
  request({ kind: "token", token: text, place: "authorization" });

/** An authenticator, and the service that it asks: its requests wait until they are answered. */
class Service {
  readonly clock = new ManualClock();
  readonly said: Record<string, unknown>[] = [];
  readonly requests: { subject: string; asked: unknown; timeoutMs: number }[] = [];
  readonly #waiting: ReturnType<typeof Promise.withResolvers<Uint8Array>>[] = [];
  #arrived = Promise.withResolvers<void>();
  readonly authenticator: NatsServiceAuthenticator;

  constructor() {
    const say = (message: string, properties = {}) =>
      void this.said.push({ message, ...properties });
    const log: Log = { debug: say, info: say, warn: say, error: say };
    this.authenticator = new NatsServiceAuthenticator({
      subject: "_AUTH",
      timeoutMs: 2000,
      requests: {
        request: (subject, data, timeoutMs) => {
          this.requests.push({ subject, asked: JSON.parse(data), timeoutMs });
          const answer = Promise.withResolvers<Uint8Array>();
          this.#waiting.push(answer);
          this.#arrived.resolve();
          this.#arrived = Promise.withResolvers();
          return answer.promise;
        },
      },
      readClaims,
      clock: this.clock,
      log,
    });
  }

  async untilAsked(count: number): Promise<void> {
    while (this.requests.length < count) await this.#arrived.promise;
  }

  /** Answers the first request that waits. */
  answer(answer: unknown): void {
    const text = typeof answer === "string" ? answer : JSON.stringify(answer);
    this.#waiting.shift()?.resolve(new TextEncoder().encode(text));
  }

  fail(reason: string): void {
    this.#waiting.shift()?.reject(new Error(reason));
  }

  /** Lets a client in, or not, with an answer of the service. */
  async ask(answer: unknown, asked = token()) {
    const count = this.requests.length + 1;
    const result = this.authenticator.authenticate(asked);
    await this.untilAsked(count);
    this.answer(answer);
    return await result;
  }
}

describe("The service is asked", () => {
  test("with what the client shows, its cookies, its address and some headers", async () => {
    const service = new Service();
    const headers = {
      Cookie: "session=s1; session=s2; __proto__=p; broken; =x; a=b=c",
      Origin: "https://app.example",
      "User-Agent": "test",
      Authorization: "Bearer not-this",
      "X-Forwarded-For": "203.0.113.9",
    };
    const credentials = { kind: "token", token: SECRET, place: "cookie" } as const;
    await service.ask({ sub: "ann" }, request(credentials, headers));
    const [{ subject, asked, timeoutMs } = { subject: "", asked: {}, timeoutMs: 0 }] =
      service.requests;
    expect({ subject, timeoutMs }).toEqual({ subject: "_AUTH", timeoutMs: 2000 });
    expect(JSON.stringify(asked)).toBe(
      JSON.stringify({
        credentials,
        cookies: JSON.parse('{"session":"s1","__proto__":"p","a":"b=c"}'),
        address: "192.0.2.1",
        headers: { origin: "https://app.example", "user-agent": "test" },
      }),
    );
  });

  test("of a user and a password", async () => {
    const service = new Service();
    const credentials = { kind: "basic", user: "ann", password: SECRET } as const;
    expect(await service.ask({ sub: "ann" }, request(credentials))).toMatchObject({
      principal: { sub: "ann" },
    });
    expect(service.requests[0]?.asked).toMatchObject({ credentials });
  });

  test("of cookies alone, and not of a client that shows nothing", async () => {
    const service = new Service();
    expect(await service.authenticator.authenticate(request({ kind: "none" }))).toBeUndefined();
    expect(service.requests).toEqual([]);
    const cookie = request({ kind: "none" }, { Cookie: "session=s" });
    expect(await service.ask({ sub: "ann" }, cookie)).toMatchObject({ principal: { sub: "ann" } });
  });

  test("and may refuse cookies: their client has shown nothing then", async () => {
    const service = new Service();
    const cookie = request({ kind: "none" }, { Cookie: "ads=1" });
    expect(await service.ask({ refused: "no session" }, cookie)).toBeUndefined();
    expect(await service.authenticator.authenticate(cookie)).toBeUndefined();
    const other = request({ kind: "none" }, { Cookie: "ads=2" });
    expect(await service.ask("{", other)).toEqual(UNAVAILABLE);
  });

  test("once for several clients with the same token at a time, and apart for others", async () => {
    const service = new Service();
    const same = Array.from({ length: 5 }, () => service.authenticator.authenticate(token()));
    const other = service.authenticator.authenticate(token("other"));
    await service.untilAsked(2);
    service.answer({ sub: "ann" });
    service.answer({ sub: "bob" });
    for (const result of await Promise.all(same)) {
      expect(result).toMatchObject({ principal: { sub: "ann" } });
    }
    expect(await other).toMatchObject({ principal: { sub: "bob" } });
    expect(service.requests.length).toBe(2);
  });

  test("by 256 clients at a time: one more is told to come later", async () => {
    const service = new Service();
    const waiting = Array.from({ length: 256 }, (_, n) =>
      service.authenticator.authenticate({ ...token(`t${n}`), addressGroup: `${n}` }),
    );
    await service.untilAsked(256);
    expect(await service.authenticator.authenticate(token("late"))).toEqual(UNAVAILABLE);
    for (const _ of waiting) service.answer({ sub: "ann" });
    await Promise.all(waiting);
    expect(await service.ask({ sub: "ann" }, token("late"))).toMatchObject({
      principal: { sub: "ann" },
    });
  });

  test("by some clients of an address at a time, so that those of others get an answer", async () => {
    const service = new Service();
    const ask = (text: string, address: string) =>
      service.authenticator.authenticate({ ...token(text), address });
    let refused = 0;
    const othersRefused = Promise.withResolvers<void>();
    const flood = Array.from({ length: 1000 }, async (_, n) => {
      const answer = await ask(`t${n}`, "192.0.2.1");
      if (answer && "kind" in answer && ++refused === 1000 - 52) othersRefused.resolve();
    });
    // A token that is hashed later would take the place of an answered one.
    await othersRefused.promise;
    const other = ask("other", "192.0.2.2");
    await service.untilAsked(53);
    for (let n = 0; n < 53; n++) service.answer({ sub: "ann" });
    expect(await other).toMatchObject({ principal: { sub: "ann" } });
    await Promise.all(flood);
    expect(refused).toBe(1000 - 52);
    expect(await service.ask({ sub: "ann" }, token("late"))).toMatchObject({
      principal: { sub: "ann" },
    });
  });
});

describe("An answer", () => {
  test("is kept until it expires", async () => {
    const service = new Service();
    await service.ask({ sub: "ann", exp: NOW_SECONDS + 60 });
    service.clock.advance(59_999);
    expect(await service.authenticator.authenticate(token())).toMatchObject({
      principal: { sub: "ann" },
    });
    service.clock.advance(1);
    expect(await service.ask({ refused: "gone" })).toMatchObject({ kind: "unauthenticated" });
  });

  test("is kept for five minutes at most", async () => {
    const service = new Service();
    await service.ask({ sub: "ann", exp: NOW_SECONDS + 3600 });
    service.clock.advance(299_999);
    expect(await service.authenticator.authenticate(token())).toMatchObject({
      principal: { sub: "ann" },
    });
    service.clock.advance(1);
    expect(await service.ask({ refused: "gone" })).toMatchObject({ kind: "unauthenticated" });
  });

  test("that refuses is not kept for longer when the wall clock is set back", async () => {
    const service = new Service();
    await service.ask({ refused: "gone" });
    service.clock.setWall(-3_600_000);
    service.clock.advance(5000);
    expect(await service.ask({ sub: "ann" })).toMatchObject({ principal: { sub: "ann" } });
  });

  test("without iat counts as issued when the service was asked, however long it is kept", async () => {
    const service = new Service();
    const askedMs = service.clock.wallMs();
    const asking = service.authenticator.authenticate(token());
    await service.untilAsked(1);
    service.clock.advance(500);
    service.answer({ sub: "ann", exp: NOW_SECONDS + 60 });
    expect(await asking).toMatchObject({ issuedAtMs: askedMs });
    service.clock.advance(30_000);
    expect(await service.authenticator.authenticate(token())).toMatchObject({
      issuedAtMs: askedMs,
    });
    const issued = { sub: "bob", iat: NOW_SECONDS - 60 };
    expect(await service.ask(issued, token("other"))).toMatchObject({
      issuedAtMs: (NOW_SECONDS - 60) * 1000,
    });
  });

  test.each([{ refused: "unknown" }, { sub: "ann" }])(
    "%j is kept for five seconds",
    async (answer) => {
      const service = new Service();
      const first = await service.ask(answer);
      service.clock.advance(4999);
      expect(await service.authenticator.authenticate(token())).toEqual(first as never);
      service.clock.advance(1);
      expect(await service.ask({ sub: "bob" })).toMatchObject({ principal: { sub: "bob" } });
    },
  );

  test("that refuses has its reason in the log only", async () => {
    const service = new Service();
    const result = await service.ask({ refused: `banned ${"x".repeat(1000)}` });
    expect(result).toMatchObject({
      kind: "unauthenticated",
      message: "What this client shows is not valid here",
      detail: expect.stringMatching(/^the service refused it: banned x{193}…$/),
    });
  });

  test("of known clients outlives thousands of refused tokens", async () => {
    const service = new Service();
    await service.ask({ sub: "ann", exp: NOW_SECONDS + 60 }, token("ann"));
    for (let n = 0; n < 12_000; n++) await service.ask({ refused: "" }, token(`bad${n}`));
    expect(await service.authenticator.authenticate(token("ann"))).toMatchObject({
      principal: { sub: "ann" },
    });
    expect(service.requests.length).toBe(12_001);
    // Of the refused ones, only the last are remembered.
    await service.ask({ refused: "" }, token("bad0"));
  });

  test.each<[string, unknown]>([
    ["no JSON", "{"],
    ["no object", "[]"],
    ["no claims", {}],
    ["a refusal without words", { refused: true }],
    ["claims that don't count", { sub: 5 }],
    ["expired", { sub: "ann", exp: NOW_SECONDS }],
    ["too long", `{"sub":"ann"}${" ".repeat(64 * 1024)}`],
    ["empty", ""],
  ])("that is %s lets nobody in, is logged, and is not kept", async (_, answer) => {
    const service = new Service();
    expect(await service.ask(answer)).toEqual(UNAVAILABLE);
    expect(service.said).toMatchObject([{ event: "authorizer_failed", subject: "_AUTH" }]);
    expect(await service.ask({ sub: "ann" })).toMatchObject({ principal: { sub: "ann" } });
  });

  test("that doesn't come lets nobody in", async () => {
    const service = new Service();
    const result = service.authenticator.authenticate(token());
    await service.untilAsked(1);
    service.clock.advance(2000);
    expect(await result).toEqual(UNAVAILABLE);
    expect(service.clock.timers).toBe(0);
  });

  test("that can't come lets nobody in, and is logged once in ten seconds", async () => {
    const service = new Service();
    const failing = async () => {
      const count = service.requests.length + 1;
      const result = service.authenticator.authenticate(token());
      await service.untilAsked(count);
      service.fail("nobody answers at _AUTH");
      expect(await result).toEqual(UNAVAILABLE);
    };
    for (let n = 0; n < 3; n++) await failing();
    service.clock.advance(10_000);
    await failing();
    expect(service.said).toMatchObject([
      { reason: "nobody answers at _AUTH", others: 0 },
      { reason: "nobody answers at _AUTH", others: 2 },
    ]);
    expect(JSON.stringify(service.said)).not.toContain(SECRET);
  });
});
