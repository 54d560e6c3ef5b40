import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { readClaims } from "../../src/access/claims.ts";

const entry = { type: "spillway", subjects: { allow: ["a.>"] } };
const claims = { sub: "u_42", authorization_details: [entry] };
const read = (more: object = {}) => readClaims({ ...claims, ...more }, "here");
const details = (...entries: unknown[]) => read({ authorization_details: entries });
const permissionsOf = (...entries: unknown[]) => {
  const identity = details(...entries);
  if ("kind" in identity) throw new Error(identity.message);
  return identity.permissions;
};

describe("Claims", () => {
  test("say who the client is, who says so, and how long", () => {
    const more = { iss: "https://id.example", jti: "t1", iat: 1.5, exp: 2_000_000_000 };
    expect(read({ ...more, aud: "gw", scope: "all" })).toMatchObject({
      principal: { issuer: "https://id.example", sub: "u_42" },
      tokenId: "t1",
      issuedAtMs: 1500,
      expiresAtMs: 2_000_000_000_000,
    });
    expect(read()).toMatchObject({
      principal: { issuer: "here", sub: "u_42" },
      tokenId: undefined,
      issuedAtMs: undefined,
      expiresAtMs: undefined,
    });
  });

  test.each<[object, string]>([
    [{ sub: undefined }, '"sub" must be'],
    [{ sub: "" }, '"sub" must be'],
    [{ sub: 42 }, '"sub" must be'],
    [{ sub: "x".repeat(257) }, '"sub" must be'],
    [{ iss: "" }, '"iss" must be'],
    [{ iss: null }, '"iss" must be'],
    [{ jti: {} }, '"jti" must be'],
    [{ exp: "tomorrow" }, '"exp" must be'],
    [{ exp: Number.POSITIVE_INFINITY }, '"exp" must be'],
    [{ exp: null }, '"exp" must be'],
    [{ iat: -1 }, '"iat" must be'],
    [{ authorization_details: {} }, '"authorization_details" must be a list'],
    [{ authorization_details: Array(65).fill(entry) }, '"authorization_details" must be a list'],
  ])("can't have %j", (more, reason) => {
    expect(read(more)).toMatchObject({
      kind: "unauthenticated",
      message: expect.stringContaining(reason),
    } as never);
  });

  test.each([[undefined], [[]], [[{ type: "other", anything: true }]]])(
    "that say nothing of this gateway (%j) allow nothing",
    (authorization_details) => {
      expect(read({ authorization_details })).toMatchObject({ kind: "forbidden" });
    },
  );
});

describe("authorization_details", () => {
  test("allow to subscribe, unless they name other actions", () => {
    expect(permissionsOf(entry)).toMatchObject({
      receives: { allow: ["a.>"], deny: [] },
      publishes: { allow: [], deny: [] },
      requests: { allow: [], deny: [] },
      presence: { allow: [], deny: [] },
    });
    const actions = ["publish", "request", "presence"];
    expect(permissionsOf({ ...entry, actions })).toMatchObject({
      receives: { allow: [] },
      publishes: { allow: ["a.>"] },
      requests: { allow: ["a.>"] },
      presence: { allow: ["a.>"] },
    });
  });

  test("of several entries add up, and a denial of one counts for all of an action", () => {
    const other = { ...entry, subjects: { allow: ["a.>", "b"], deny: ["a.x"] } };
    const publish = { ...entry, actions: ["publish"], subjects: { allow: ["c"], deny: ["b"] } };
    expect(permissionsOf(entry, { type: "other" }, other, publish)).toMatchObject({
      receives: { allow: ["a.>", "b"], deny: ["a.x"] },
      publishes: { allow: ["c"], deny: ["b"] },
    });
  });

  test("of several entries have the strictest of their limits", () => {
    const one = {
      ...entry,
      policies: ["conflate", "disconnect"],
      max_rate: 50,
      from: ["new", "last"],
      durables: ["a"],
    };
    const two = { ...entry, policies: ["conflate"], max_rate: 5, max_subscriptions: 3 };
    expect(permissionsOf(one, two, { ...entry, durables: ["b_*"] })).toMatchObject({
      policies: ["conflate"],
      maxRate: 5,
      maxSubscriptions: 3,
      starts: ["new", "last"],
      durables: ["a", "b_*"],
    });
  });

  test("that name no limits have none but that there are no durables", () => {
    const { receives, publishes, requests, presence, ...limits } = permissionsOf(entry);
    expect(limits).toEqual({
      policies: ["disconnect", "drop-oldest", "drop-newest", "conflate"],
      maxRate: Number.POSITIVE_INFINITY,
      maxSubscriptions: Number.POSITIVE_INFINITY,
      starts: ["new", "all", "last", "last_per_subject", "seq", "time", "after"],
      durables: [],
      account: undefined,
    });
  });

  test("have the values of claims in place of their names", () => {
    const subjects = { allow: ["orders.{sub}.>", "{tenant}.x-{sub}"], deny: ["orders.{sub}.paid"] };
    const mine = { ...entry, subjects, durables: ["u_{sub}_*"] };
    const identity = read({ tenant: "acme$&", authorization_details: [mine] });
    expect(identity).toMatchObject({
      permissions: {
        receives: { allow: ["orders.u_42.>", "acme$&.x-u_42"], deny: ["orders.u_42.paid"] },
        durables: ["u_u_42_*"],
      },
    });
  });

  test.each([
    "a.b",
    "*",
    ">",
    "a*",
    "",
    " ",
    "a b",
    "a\tb",
    "a\0",
    "a\u007f",
    "a\u2028b",
    "{x}",
    "\ud800",
    5,
    null,
    undefined,
    [["a"]],
    {},
  ])("with %j in a template are refused", (value) => {
    for (const field of ["allow", "deny"]) {
      const mine = { ...entry, subjects: { allow: ["a"], [field]: ["x.{tenant}.>"] } };
      expect(read({ tenant: value, authorization_details: [entry, mine] })).toMatchObject({
        kind: "unauthenticated",
      });
    }
    const durable = { ...entry, durables: ["{tenant}"] };
    expect(read({ tenant: value, authorization_details: [durable] })).toMatchObject({
      kind: "unauthenticated",
    });
  });

  test.each(["{__proto__}", "{constructor}", "{toString}", "{}", "{exp}"])(
    "with the template %s are refused",
    (name) => {
      const mine = { ...entry, subjects: { allow: [name] } };
      expect(read({ exp: 5, authorization_details: [mine] })).toMatchObject({
        kind: "unauthenticated",
      });
    },
  );

  test("with any text in a template allow the subjects of that one token, or nothing", () => {
    const character = fc.constantFrom(..."aZ0-_.*> {}\t\n\0$é\u00a0\u200b\u2028\ud83d\ude00\ud800");
    const value = fc.array(character, { maxLength: 6 }).map((all) => all.join(""));
    const text = fc.constantFrom("x", "a.b", "x-", "");
    fc.assert(
      fc.property(value, text, text, (tenant, before, after) => {
        const template = `t.${before}{tenant}${after}.>`;
        const mine = { ...entry, subjects: { allow: [template] } };
        const identity = read({ tenant, authorization_details: [mine] });
        if ("kind" in identity) {
          expect(identity.kind).toBe("unauthenticated");
          return;
        }
        const { allow } = identity.permissions.receives;
        // As many tokens as the template has, and only the wildcard that it has.
        const tokens = (allow as string[]).map((subject) => subject.split("."));
        expect(tokens).toEqual([template.replace("{tenant}", () => tenant).split(".")]);
        expect(tokens[0]).toHaveLength(template.split(".").length);
        expect(tokens[0]?.slice(0, -1)).not.toContain("*");
        expect(tenant).toMatch(/^[^.*>{}\s\p{Cc}]+$/u);
      }),
      { numRuns: 2000 },
    );
  });

  test.each(["$SYS", "$JS", "_INBOX", "$"])(
    "don't allow subjects of NATS itself to the client %s, unless they are written out",
    (sub) => {
      const one = (subject: string) =>
        read({ sub, authorization_details: [{ ...entry, subjects: { allow: [subject] } }] });
      expect(one("{sub}.>")).toMatchObject({ kind: "unauthenticated" });
      expect(one("{sub}x")).toMatchObject({ kind: "unauthenticated" });
      expect(one("a.{sub}.>")).toMatchObject({ principal: { sub } });
      expect(one("$KV.b.{sub}.>")).toMatchObject({ principal: { sub } });
    },
  );

  test.each(["{sub", "sub}", "{{sub}}", "{sub}}", "a.{sub.>", "{ sub}", "{Sub}", "{a{sub}}"])(
    "with the misspelt template %s are refused",
    (name) => {
      const allowed = { ...entry, subjects: { allow: [name] } };
      const denied = { ...entry, subjects: { allow: ["a"], deny: [name] } };
      for (const one of [allowed, denied, { ...entry, durables: [name] }]) {
        expect(details(one)).toMatchObject({ kind: "unauthenticated" });
      }
    },
  );

  test.each<[unknown, string]>([
    ["spillway", "[0] must be an object"],
    [{ subjects: { allow: [">"] } }, "[0].type must be a text"],
    [{ ...entry, type: ["spillway"] }, "[0].type must be a text"],
    [{ ...entry, max_subscriptions: 0.5 }, "[0].max_subscriptions must be a whole number"],
    [{ type: "spillway" }, "[0].subjects must be an object"],
    [{ ...entry, subject: ["a"] }, '[0] has the unknown field "subject"'],
    [{ ...entry, subjects: { alow: [] } }, '[0].subjects has the unknown field "alow"'],
    [{ ...entry, subjects: { allow: "a" } }, "[0].subjects.allow must be a list of texts"],
    [
      { ...entry, subjects: { allow: ["a..b"] } },
      "[0].subjects.allow has a subject that must not contain an empty token",
    ],
    [{ ...entry, subjects: { deny: [">.a"] } }, "[0].subjects.deny has a subject that may have"],
    [{ ...entry, actions: ["write"] }, "[0].actions must be of subscribe, publish, request"],
    [{ ...entry, policies: ["none"] }, "[0].policies must be of"],
    [{ ...entry, from: ["start"] }, "[0].from must be of"],
    [{ ...entry, max_rate: 0 }, "[0].max_rate must be a number above 0"],
    [{ ...entry, max_rate: "5" }, "[0].max_rate must be a number above 0"],
    [{ ...entry, max_subscriptions: -1 }, "[0].max_subscriptions must be a whole number"],
    [{ ...entry, durables: [""] }, "[0].durables must be names"],
    [{ ...entry, subjects: { allow: Array(1025).fill("a") } }, "must not have more than 1024"],
  ])("can't have the entry %j", (one, reason) => {
    expect(details(one)).toMatchObject({
      kind: "unauthenticated",
      message: expect.stringContaining(reason),
    } as never);
  });
});

describe("The account of claims", () => {
  test("is the one that all of our entries name, also by a claim", () => {
    expect(permissionsOf(entry).account).toBeUndefined();
    const acme = { ...entry, account: "acme" };
    expect(permissionsOf({ type: "other", account: "x" }, acme, acme).account).toBe("acme");
    const template = { ...entry, account: "{tenant}" };
    const identity = read({ tenant: "globex", authorization_details: [template] });
    expect(identity).toMatchObject({ permissions: { account: "globex" } });
    // A claim of the same name has another meaning at other services.
    expect(read({ account: "acme" })).toMatchObject({ permissions: { account: undefined } });
  });

  test.each<[string, readonly object[]]>([
    ["another in another entry", [{ account: "a" }, { account: "b" }]],
    ["none in another entry", [{ account: "a" }, {}]],
    ["no text", [{ account: 1 }]],
    ["null", [{ account: null }]],
    ["empty", [{ account: "" }]],
    ["a claim that is missing", [{ account: "{tenant}" }]],
    ["a claim that is no literal token", [{ account: "{sub}.x{iss}" }]],
    ["very long", [{ account: "a".repeat(129) }]],
  ])("refuses all of them if it is %s", (_, entries) => {
    const all = entries.map((one) => ({ ...entry, ...one }));
    expect(details(...all)).toMatchObject({ kind: "unauthenticated" });
  });
});
