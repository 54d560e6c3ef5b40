import { describe, expect, test } from "bun:test";
import { Access, type AccessOptions } from "../../src/access/access.ts";
import type { AccessRefusal, Authenticator, Identity } from "../../src/access/authenticator.ts";
import { readClaims } from "../../src/access/claims.ts";
import { Grant } from "../../src/core/access/grant.ts";
import { ManualClock } from "../core/support/manual-clock.ts";
import { WITH_NOTHING } from "./support/requests.ts";

const OPTIONS: AccessOptions = {
  subjects: ["a.>"],
  accounts: [],
  deliveryMode: "at-most-once",
  policy: "disconnect",
  allowedPolicies: ["disconnect", "drop-oldest", "conflate"],
  startFrom: "new",
  maxSubscriptions: 8,
};

/** Lets every client in with claims of an entry. */
class FixedAuthenticator implements Authenticator {
  readonly name = "fixed";
  readonly #identity: Identity;

  constructor(entry: object) {
    const details = [{ type: "spillway", subjects: { allow: ["a.x", "b"] }, ...entry }];
    this.#identity = readClaims({ sub: "ann", authorization_details: details }, "i") as Identity;
  }

  async authenticate(): Promise<Identity> {
    return this.#identity;
  }
}

/** Returns the grant of a client whose claims have an entry. */
async function grantOf(entry: object, options: Partial<AccessOptions> = {}): Promise<Grant> {
  const authenticators = [new FixedAuthenticator(entry)];
  const access = new Access({ ...OPTIONS, ...options }, authenticators, new ManualClock());
  const grant = await access.admit(WITH_NOTHING);
  if (!(grant instanceof Grant)) throw new Error(grant.message);
  return grant;
}

describe("The grant of claims", () => {
  test("has only subjects that the gateway exposes, for every action", async () => {
    const grant = await grantOf({ actions: ["subscribe", "publish", "request"] });
    expect([grant.mayReceive("a.x"), grant.mayReceive("b")]).toEqual([true, false]);
    expect([grant.mayPublish("a.x"), grant.mayPublish("b")]).toEqual([true, false]);
    expect([grant.mayRequest("a.x"), grant.mayRequest("b")]).toEqual([true, false]);
  });

  test.each<[string[] | undefined, string[], string]>([
    [undefined, ["disconnect", "drop-oldest", "conflate"], "disconnect"],
    [["conflate", "disconnect"], ["disconnect", "conflate"], "disconnect"],
    [["conflate", "drop-oldest"], ["drop-oldest", "conflate"], "drop-oldest"],
    [["drop-newest", "conflate"], ["conflate"], "conflate"],
    [["drop-newest"], [], "disconnect"],
  ])(
    "with the policies %j allows %j of the configured ones, and %s by default",
    async (policies, allowed, byDefault) => {
      const { terms } = await grantOf({ policies });
      expect(terms.allowedPolicies).toEqual(allowed as never);
      expect(terms.policy).toBe(byDefault as never);
    },
  );

  test("keeps the configured policy where clients may ask for others only", async () => {
    const options = { allowedPolicies: ["conflate"] } as const;
    expect((await grantOf({}, options)).terms.policy).toBe("disconnect");
    expect((await grantOf({ policies: ["disconnect"] }, options)).terms.policy).toBe("disconnect");
  });

  test("has at most the configured number of subscriptions", async () => {
    const most = async (max_subscriptions?: number) =>
      (await grantOf({ max_subscriptions })).terms.maxSubscriptions;
    expect([await most(), await most(9), await most(7)]).toEqual([8, 8, 7]);
  });
});

describe("A grant that was given", () => {
  test("counts until its token expires, or is revoked", async () => {
    const clock = new ManualClock();
    let isRevoked = false;
    const revocations = { isReady: true, isRevoked: () => isRevoked };
    const expiresAtMs = clock.wallMs() + 1000;
    const authenticator: Authenticator = {
      name: "fixed",
      authenticate: async () => ({
        ...(await new FixedAuthenticator({}).authenticate()),
        expiresAtMs,
      }),
    };
    const access = new Access(OPTIONS, [authenticator], clock, revocations);
    const grant = (await access.admit(WITH_NOTHING)) as Grant;
    expect(access.refusalNow(grant)).toBeUndefined();
    isRevoked = true;
    expect(access.refusalNow(grant)?.message).toBe("The token is revoked");
    isRevoked = false;
    clock.advance(999);
    expect(access.refusalNow(grant)).toBeUndefined();
    clock.advance(1);
    expect(access.refusalNow(grant)?.message).toBe("The token has expired");
  });

  test("has the permissions of now, also if they change while its client is checked", async () => {
    const identity = await new FixedAuthenticator({}).authenticate();
    const narrower = await new FixedAuthenticator({ actions: ["publish"] }).authenticate();
    const answers: ReturnType<typeof Promise.withResolvers<Identity>>[] = [];
    const slow = (now: Identity | AccessRefusal): Authenticator => ({
      name: "slow",
      authenticate: () => {
        answers.push(Promise.withResolvers());
        return answers.at(-1)!.promise;
      },
      recheck: () => now,
    });
    const gone: AccessRefusal = { kind: "unauthenticated", message: "gone" };
    const access = new Access(OPTIONS, [slow(identity)], new ManualClock());
    const admissions = [access.admit(WITH_NOTHING)];
    access.replace(OPTIONS, [slow(narrower)]);
    admissions.push(access.admit(WITH_NOTHING));
    access.replace(OPTIONS, [slow(gone)]);
    for (const answer of answers) answer.resolve(identity);
    expect(await Promise.all(admissions)).toEqual([gone, gone]);
    const third = access.admit(WITH_NOTHING);
    access.replace(OPTIONS, [slow(narrower)]);
    answers.at(-1)!.resolve(identity);
    const grant = (await third) as Grant;
    expect([grant.mayReceive("a.x"), grant.mayPublish("a.x")]).toEqual([false, true]);
  });

  test("counts for ever without a token", () => {
    const access = new Access(OPTIONS, [], new ManualClock());
    expect(access.refusalNow(Grant.forEverybody(["a.>"], OPTIONS))).toBeUndefined();
  });
});

describe("The account of a client", () => {
  const accounts = [{ name: "acme" }];

  test("is in its grant", async () => {
    expect((await grantOf({})).terms.account).toBeUndefined();
    expect((await grantOf({ account: "acme" }, { accounts })).terms.account).toBe("acme");
  });

  test.each(["globex", "__proto__", "toString"])(
    "that isn't configured (%s) forbids it to come in, and the log names it",
    async (account) => {
      const access = new Access(
        { ...OPTIONS, accounts },
        [new FixedAuthenticator({ account })],
        new ManualClock(),
      );
      const refusal = await access.admit(WITH_NOTHING);
      expect(refusal).toMatchObject({ kind: "forbidden" });
      expect(refusal).toMatchObject({ detail: expect.stringContaining(`"${account}"`) });
      expect((refusal as { message: string }).message).not.toContain(account);
    },
  );
});
