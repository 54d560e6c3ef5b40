import { describe, expect, test } from "bun:test";
import { parseConfig } from "../../src/config/parse.ts";
import { load, loadedConfig, loadRefusalOf, refusalOf } from "./refusal.ts";

const issuer = { issuer: "https://id.example", audience: "https://gw.example" };
const jwks = { ...issuer, jwks_url: "https://id.example/jwks.json" };
const nats = { nats_url: "nats://localhost:4222" };

describe("Issuers", () => {
  test("have asymmetric algorithms and the types of access tokens by default", () => {
    expect(parseConfig({ issuers: [jwks] }).issuers).toEqual([
      {
        issuer: "https://id.example",
        audience: ["https://gw.example"],
        jwksUrl: "https://id.example/jwks.json",
        keysFile: undefined,
        algorithms: ["RS256", "PS256", "ES256", "EdDSA"],
        types: ["at+jwt", "JWT"],
        maxTokenAgeMs: undefined,
      },
    ]);
  });

  test("may have several audiences, a secret, and a lifetime of their own", () => {
    const one = {
      ...issuer,
      audience: ["a", "b"],
      keys_file: "/run/secrets/key",
      algorithms: ["HS256"],
      types: ["JWT"],
      max_token_age: "15m",
    };
    expect(parseConfig({ issuers: [one] }).issuers?.[0]).toMatchObject({
      audience: ["a", "b"],
      keysFile: "/run/secrets/key",
      maxTokenAgeMs: 900_000,
    });
  });

  test.each(["http://localhost:9000/jwks", "http://127.0.0.1/jwks", "https://id.example/a?b=c"])(
    "may have their keys at %s",
    (jwks_url) => {
      expect(parseConfig({ issuers: [{ ...jwks, jwks_url }] }).issuers?.[0]?.jwksUrl).toBe(
        jwks_url,
      );
    },
  );

  test("are not an empty list, which would let everybody in", () => {
    expect(refusalOf({ issuers: [] })).toBe(
      'Cannot use configuration: "issuers" is an empty list but must have one element or more: without one, clients would need no token; leave the key out for that',
    );
  });

  test("are JSON in the environment and in flags, and a repeated flag adds one", async () => {
    const [one, two] = [jwks, { ...jwks, issuer: "https://two.example" }].map((each) =>
      JSON.stringify(each),
    );
    const names = async (sources: Parameters<typeof loadedConfig>[0]) =>
      (await loadedConfig(sources)).issuers?.map((each) => each.issuer);
    const both = ["https://id.example", "https://two.example"];
    expect(await names({ env: { SPILLWAY_ISSUERS: `[${one},${two}]` } })).toEqual(both);
    expect(await names({ env: { SPILLWAY_ISSUERS: one } })).toEqual(both.slice(0, 1));
    expect(await names({ argv: [`--issuers=${one}`, `--issuers=${two}`] })).toEqual(both);
  });

  test("are reported as they are written in a file", async () => {
    const issuers = [{ ...jwks, max_token_age: "15m" }];
    const loaded = await load({ argv: ["--config", "f"], files: { f: { issuers } } });
    const setting = loaded.settings.find(({ key }) => key === "issuers");
    const [shown] = JSON.parse(setting?.value ?? "");
    expect(shown).toMatchObject({ ...issuers?.[0], audience: ["https://gw.example"] });
    expect(parseConfig({ issuers: [shown] })).toEqual(parseConfig({ issuers }));
  });

  const URL_RULE =
    'must be a URL that begins with "https://", or with "http://localhost", without user, password and fragment';
  test.each<[unknown, string]>([
    [
      "x",
      '"issuers" is "x" but must be a list of objects with issuer, audience, and jwks_url or keys_file',
    ],
    [[5], '"issuers" is 5 but must be an object with issuer, audience, and jwks_url or keys_file'],
    [
      [{ ...jwks, issuer: undefined }],
      '"issuers[0].issuer" is missing but must be the issuer, as in the claim "iss"',
    ],
    [
      [jwks, { ...jwks, audience: [] }],
      '"issuers[1].audience" is an empty list but must be the audience of this gateway, as in the claim "aud", or a list',
    ],
    [
      [{ ...jwks, jwk_url: 1 }],
      '"issuers[0].jwk_url" is not a known key; did you mean "jwks_url"?',
    ],
    [
      [issuer],
      '"issuers[0].jwks_url" is missing but must be set, or "keys_file": one of them has the keys',
    ],
    [
      [{ ...jwks, keys_file: "k" }],
      '"issuers[0].keys_file" is "k" but must not be set with "jwks_url": use one of them',
    ],
    ...["http://id.example/jwks", "file:///etc/keys", "jwks"].map((jwks_url): [unknown, string] => [
      [{ ...jwks, jwks_url }],
      `"issuers[0].jwks_url" is ${JSON.stringify(jwks_url)} but ${URL_RULE}`,
    ]),
    [[{ ...jwks, jwks_url: "https://u:p@id.example/" }], `"issuers[0].jwks_url" ${URL_RULE}`],
    [
      [{ ...jwks, algorithms: ["none"] }],
      '"issuers[0].algorithms[0]" is "none" but must be "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA", "HS256", "HS384" or "HS512"',
    ],
    [
      [{ ...jwks, algorithms: [] }],
      '"issuers[0].algorithms" is an empty list but must be a list of one or more algorithms',
    ],
    [
      [{ ...jwks, algorithms: ["HS256"] }],
      '"issuers[0].algorithms" is a list of 1 but must not contain "HS256" with "jwks_url": its key is a secret, which only "keys_file" can have',
    ],
    [
      [{ ...issuer, keys_file: "k", algorithms: ["HS256", "RS256"] }],
      '"issuers[0].algorithms" is a list of 2 but must not mix "HS256" with "RS256": a public key could be taken for a secret',
    ],
    [
      [{ ...jwks, max_token_age: "0s" }],
      '"issuers[0].max_token_age" is "0s" but must be a duration from "1s" to "2400h"',
    ],
  ])("can't be %j", (issuers, problem) => {
    expect(refusalOf({ issuers })).toBe(`Cannot use configuration: ${problem}`);
  });
});

describe("Anonymous clients", () => {
  test("have permissions like those of a token", () => {
    const anonymous = [
      { actions: ["subscribe" as const], subjects: { allow: ["news.>"], deny: ["news.paid.>"] } },
    ];
    expect(parseConfig({ anonymous }).anonymous).toEqual(anonymous);
  });

  test.each<[unknown, string]>([
    [
      [{ subjects: { alow: [] } }],
      '"anonymous[0].subjects.alow" is not a known key; did you mean "allow"?',
    ],
    [
      [{ subjects: { allow: ["a..b"] } }],
      '"anonymous[0].subjects.allow[0]" is "a..b" but must not contain an empty token',
    ],
    [[{}], '"anonymous[0].subjects" is missing but must be an object with allow, deny or both'],
    [
      [{ subjects: {}, actions: ["write"] }],
      '"anonymous[0].actions[0]" is "write" but must be "subscribe", "publish", "request" or "presence"',
    ],
  ])("can't have %j", (anonymous, problem) => {
    expect(refusalOf({ anonymous })).toBe(`Cannot use configuration: ${problem}`);
  });
});

describe("Keys of access that don't agree are refused:", () => {
  const CARRIED = `must not match "subjects" or a stream's subjects: clients could get its messages; a subject like "_AUTH.gateway" is carried by no wildcard`;

  test.each<[string, unknown, string]>([
    [
      "an authorizer whose requests clients could read",
      { ...nats, subjects: ["auth.*"], authorizer_subject: "auth.check" },
      `"authorizer_subject" is "auth.check" but ${CARRIED}`,
    ],
    [
      "one bucket for presence and revocations",
      { ...nats, presence_bucket: "b", revocation_bucket: "b" },
      '"presence_bucket" is "b" but must not be the same as "revocation_bucket": each has keys of its own',
    ],
    [
      "revocations that clients could make",
      { ...nats, revocation_subject: "revoked" },
      `"revocation_subject" is "revoked" but ${CARRIED}`,
    ],
    ...(
      [
        ["revocation_bucket", { subjects: ["$KV.>"] }],
        ["presence_bucket", { streams: ["KV_b"] }],
        ["revocation_bucket", { streams: ["KV_b:$KV.b.x"] }],
        ["presence_bucket", { streams: ["COPY:$KV.b.*"] }],
      ] as const
    ).map(([key, carrying]): [string, unknown, string] => [
      `"${key}" that clients could read by ${JSON.stringify(carrying)}`,
      { ...nats, ...carrying, [key]: "b" },
      `"${key}" is "b" but must not be a bucket that "subjects" or "streams" carry: clients could read "$KV.b.>"`,
    ]),
    ...(
      [
        ["presence_bucket", "publish_subjects"],
        ["revocation_bucket", "request_subjects"],
      ] as const
    ).map(([key, opened]): [string, unknown, string] => [
      `"${key}" that clients could write by "${opened}"`,
      { ...nats, [opened]: ["$KV.b.1"], [key]: "b" },
      `"${key}" is "b" but must not be a bucket that "${opened}" opens: clients could write "$KV.b.>"`,
    ]),
    [
      "what everybody may publish, beside tokens",
      { tokens_file: "t", publish_subjects: ["a"] },
      '"publish_subjects" is a list of 1 but must not be set with "tokens_file": what a client shows decides; "anonymous" is for clients that show nothing',
    ],
    [
      "a cookie's name with a space",
      { token_cookie: "a b" },
      '"token_cookie" is "a b" but must be the name of a cookie',
    ],
  ])("%s", (_, raw, problem) => {
    expect(refusalOf(raw)).toBe(`Cannot use configuration: ${problem}`);
  });

  test("buckets agree with all subjects, which are none of NATS' own", () => {
    const config = parseConfig({
      ...nats,
      ...{ presence_bucket: "b", revocation_bucket: "c" },
      ...{ subjects: [">"], publish_subjects: [">"] },
    });
    expect(config.presenceBucket).toBe("b");
  });

  test("an authorizer below a reserved subject agrees with all subjects", () => {
    const config = parseConfig({ ...nats, authorizer_subject: "_AUTH.gateway" });
    expect(config.authorizerSubject).toBe("_AUTH.gateway");
  });

  test.each<[string, Record<string, string>, string]>([
    [
      "an authorizer",
      { SPILLWAY_AUTHORIZER_SUBJECT: "_AUTH" },
      'SPILLWAY_AUTHORIZER_SUBJECT: "authorizer_subject" is "_AUTH" but needs NATS: set "nats_url"',
    ],
    [
      "presence",
      { SPILLWAY_PRESENCE_BUCKET: "who" },
      'SPILLWAY_PRESENCE_BUCKET: "presence_bucket" is "who" but needs NATS: set "nats_url"',
    ],
    [
      "revocations",
      { SPILLWAY_REVOCATION_BUCKET: "revoked", SPILLWAY_TOKENS_FILE: "/run/tokens" },
      'SPILLWAY_REVOCATION_BUCKET: "revocation_bucket" is "revoked" but needs NATS: set "nats_url"',
    ],
    [
      "revocations where there are no tokens",
      { SPILLWAY_REVOCATION_SUBJECT: "_revoked", NATS_URL: "nats://a" },
      'SPILLWAY_REVOCATION_SUBJECT: "revocation_subject" is "_revoked" but there are no tokens to revoke: set "tokens_file", "issuers" or "authorizer_subject"',
    ],
    [
      "a token in the query that nothing reads",
      { SPILLWAY_ALLOW_QUERY_TOKEN: "true" },
      'SPILLWAY_ALLOW_QUERY_TOKEN: "allow_query_token" is true but nothing reads tokens: set "tokens_file", "issuers" or "authorizer_subject"',
    ],
    [
      "a cookie that nothing reads",
      { SPILLWAY_TOKEN_COOKIE: "t" },
      'SPILLWAY_TOKEN_COOKIE: "token_cookie" is "t" but nothing reads tokens: set "tokens_file", "issuers" or "authorizer_subject"',
    ],
  ])("for the command: %s", async (_, env, problem) => {
    expect(await loadRefusalOf({ env })).toBe(`Cannot use configuration from ${problem}`);
  });
});
