import { beforeAll, describe, expect, test } from "bun:test";
import { createHmac } from "node:crypto";
import { CompactEncrypt, type CompactJWSHeaderParameters, CompactSign } from "jose";
import type { Identity } from "../../src/access/authenticator.ts";
import { type IssuerOptions, JwtAuthenticator } from "../../src/access/jwt.ts";
import { ManualClock } from "../core/support/manual-clock.ts";
import { until } from "../support/event-log.ts";
import { keptLog } from "./support/kept-log.ts";
import { MemoryFile } from "./support/memory-file.ts";
import { WITH_NOTHING, withPassword, withToken } from "./support/requests.ts";
import {
  keySet,
  newKey,
  type SigningKey,
  shortRsaKey,
  signedByRsa,
} from "./support/signing-keys.ts";

const ISSUER = "https://id.example";
const OTHER_ISSUER = "https://other.example";
const AUDIENCE = "https://gw.example";
const NOW = ManualClock.WALL_START_MS / 1000;
const TOLERANCE = 10;
const SECRET = "0123456789abcdef0123456789abcdef";

const CLAIMS = {
  iss: ISSUER,
  aud: AUDIENCE,
  sub: "u_42",
  jti: "t1",
  iat: NOW - 60,
  exp: NOW + 3600,
  authorization_details: [{ type: "spillway", subjects: { allow: ["orders.{sub}.>"] } }],
};

let es: SigningKey;
let rs: SigningKey;
let ed: SigningKey;
let others: SigningKey;
let stranger: SigningKey;
const short = shortRsaKey();

beforeAll(async () => {
  [es, rs, ed, others, stranger] = await Promise.all([
    newKey("es"),
    newKey("rs", "RS256"),
    newKey("ed", "EdDSA"),
    newKey("others"),
    newKey("es"),
  ]);
});

function issuerWith(keys: string, more: Partial<IssuerOptions> = {}): IssuerOptions {
  return {
    issuer: ISSUER,
    audience: [AUDIENCE, "gw"],
    keys: { file: new MemoryFile(keys) },
    algorithms: ["RS256", "PS256", "ES256", "EdDSA"],
    types: ["at+jwt", "JWT"],
    maxTokenAgeMs: 86_400_000,
    ...more,
  };
}

async function opened(...issuers: readonly IssuerOptions[]) {
  const clock = new ManualClock();
  const { log, lines } = keptLog();
  const options = { issuers, clockToleranceMs: TOLERANCE * 1000, clock, log };
  const jwt = await JwtAuthenticator.open(options);
  jwt.start();
  const ask = (token: string) => jwt.authenticate(withToken(token));
  return { jwt, clock, lines, ask };
}

/** The gateway of most tests. */
function gateway(more: Partial<IssuerOptions> = {}) {
  const set = JSON.parse(keySet(es, rs, ed));
  const keys = JSON.stringify({ keys: [...set.keys, short.jwk] });
  return opened(
    issuerWith(keys, more),
    issuerWith(keySet(others), { issuer: OTHER_ISSUER }),
    issuerWith(SECRET, { issuer: "https://hs.example", algorithms: ["HS256"] }),
  );
}

type Header = Record<string, unknown>;

async function signed(
  claims: unknown,
  { kid, alg, privateKey }: SigningKey = es,
  header: Header = {},
): Promise<string> {
  const text = typeof claims === "string" ? claims : JSON.stringify(claims);
  const all = { alg, kid, typ: "at+jwt", ...header } as CompactJWSHeaderParameters;
  const payload = new TextEncoder().encode(text);
  return await new CompactSign(payload).setProtectedHeader(all).sign(privateKey);
}

function base64url(value: unknown): string {
  const text = typeof value === "string" ? value : JSON.stringify(value);
  return Buffer.from(text).toString("base64url");
}

/** A token with any header, signed by the right key: what a library may not want to make. */
async function signedRaw(header: unknown, claims: unknown = CLAIMS): Promise<string> {
  const content = `${base64url(header)}.${base64url(claims)}`;
  const algorithm = { name: "ECDSA", hash: "SHA-256" };
  const bytes = new TextEncoder().encode(content);
  const signature = await crypto.subtle.sign(algorithm, es.privateKey, bytes);
  return `${content}.${Buffer.from(signature).toString("base64url")}`;
}

function hmacSigned(header: Header, claims: unknown, secret: string): string {
  const content = `${base64url(header)}.${base64url(claims)}`;
  return `${content}.${createHmac("sha256", secret).update(content).digest("base64url")}`;
}

describe("A JSON Web Token", () => {
  test("proves who its client is, until its expiry and the tolerance", async () => {
    const { ask, clock } = await gateway();
    expect(await ask(await signed(CLAIMS))).toEqual({
      principal: { issuer: ISSUER, sub: "u_42" },
      permissions: expect.objectContaining({ receives: { allow: ["orders.u_42.>"], deny: [] } }),
      tokenId: "t1",
      issuedAtMs: CLAIMS.iat * 1000,
      expiresAtMs: (CLAIMS.exp + TOLERANCE) * 1000,
      credential: expect.stringMatching(/^ES256 [\w-]{43}$/),
    } as never);
    clock.advance((3600 + TOLERANCE) * 1000 - 1);
    expect(await ask(await signed(CLAIMS))).toMatchObject({ tokenId: "t1" });
    clock.advance(1);
    expect(await ask(await signed(CLAIMS))).toMatchObject({ kind: "unauthenticated" });
  });

  test.each<[string, () => Promise<string>]>([
    ["RS256", () => signed(CLAIMS, rs)],
    ["PS256 and a key of RSA", () => signedPs(CLAIMS)],
    ["EdDSA", () => signed(CLAIMS, ed)],
    ["the type JWT", () => signed(CLAIMS, es, { typ: "JWT" })],
    ["the type as a media type", () => signed(CLAIMS, es, { typ: "application/AT+JWT" })],
    ["no type", () => signed(CLAIMS, es, { typ: undefined })],
    ["no name of its key", () => signed(CLAIMS, es, { kid: undefined })],
    ["several audiences", () => signed({ ...CLAIMS, aud: ["https://x.example", "gw"] })],
    ["times with fractions", () => signed({ ...CLAIMS, iat: NOW - 0.5, exp: NOW + 0.5 })],
    ["a start within the tolerance", () => signed({ ...CLAIMS, nbf: NOW + 9, iat: NOW + 9 })],
    ["no name", () => signed({ ...CLAIMS, jti: undefined })],
    ["claims of others", () => signed({ ...CLAIMS, scope: "a b", realm_access: { roles: [] } })],
  ])("may have %s", async (_, token) => {
    const { ask } = await gateway();
    expect(await ask(await token())).toMatchObject({ principal: { issuer: ISSUER, sub: "u_42" } });
  });

  test("of another issuer is checked with the keys of that issuer", async () => {
    const { ask } = await gateway();
    const token = await signed({ ...CLAIMS, iss: OTHER_ISSUER }, others);
    expect(await ask(token)).toMatchObject({ principal: { issuer: OTHER_ISSUER, sub: "u_42" } });
  });

  test("may be signed with a secret, if its issuer has only that", async () => {
    const { ask } = await gateway();
    const claims = { ...CLAIMS, iss: "https://hs.example" };
    const token = hmacSigned({ alg: "HS256" }, claims, SECRET);
    expect(await ask(token)).toMatchObject({ principal: { sub: "u_42" } });
    const wrong = hmacSigned({ alg: "HS256" }, claims, `${SECRET.slice(1)}x`);
    expect(await ask(wrong)).toEqual(refusal("has a wrong signature"));
  });
});

/** The same key of RSA, by another algorithm. */
async function signedPs(claims: unknown): Promise<string> {
  const algorithm = { name: "RSA-PSS", hash: "SHA-256" };
  const key = await crypto.subtle.importKey("jwk", rs.privateJwk, algorithm, false, ["sign"]);
  return await signed(claims, { ...rs, alg: "PS256", privateKey: key });
}

function refusal(reason: string) {
  return { kind: "unauthenticated", message: `The token ${reason}` } as const;
}

function without(...names: readonly (keyof typeof CLAIMS)[]): Record<string, unknown> {
  const claims: Record<string, unknown> = { ...CLAIMS };
  for (const name of names) delete claims[name];
  return claims;
}

const ALG = "is signed with an algorithm (alg) that its issuer must not use here";
const SIGNATURE = "has a wrong signature";
const UNKNOWN_KEY = "is signed with a key that its issuer doesn't have";
const AUD = "isn't for this gateway: its audience (aud) is another one";
const TYPE = "is of a type (typ) that isn't accepted here";
const LIFE = "is valid for more than 86400 seconds (from iat to exp)";
const TWICE = "can't be read: it has a key twice";
const KID = "has a key's name (kid) that isn't a text of at most 256 characters";
const NAME = "must be a text of 1 to 256 characters, without control characters";
const header = (name: string) => `has the header "${name}", which isn't accepted`;
const unusable = (reason: string) => `can't be used: ${reason}`;

/** Where tokens are sent that attackers make, and tokens that issuers got wrong: each with the reason for its refusal. */
const HOSTILE: readonly [string, () => Promise<string> | string, string][] = [
  // Times
  ["is expired", () => signed({ ...CLAIMS, exp: NOW - TOLERANCE }), "has expired"],
  ["begins later", () => signed({ ...CLAIMS, nbf: NOW + 11 }), "isn't valid yet (nbf)"],
  [
    "was issued later",
    () => signed({ ...CLAIMS, iat: NOW + 11 }),
    "was issued in the future (iat)",
  ],
  ["has no exp", () => signed(without("exp")), "has no exp"],
  ["has no iat", () => signed(without("iat")), "has no iat"],
  ["lives too long", () => signed({ ...CLAIMS, exp: CLAIMS.iat + 86_401 }), LIFE],
  ["has exp as a text", () => signed({ ...CLAIMS, exp: `${CLAIMS.exp}` }), "has a wrong exp"],
  ["has exp as a list", () => signed({ ...CLAIMS, exp: [CLAIMS.exp] }), "has a wrong exp"],
  ["has no number as exp", () => signed({ ...CLAIMS, exp: null }), "has a wrong exp"],
  ["expires at 1e300", () => signed({ ...CLAIMS, exp: 1e300 }), LIFE],
  [
    "expires at infinity",
    () => signed(JSON.stringify(CLAIMS).replace(`"exp":${CLAIMS.exp}`, '"exp":1e999')),
    LIFE,
  ],
  ["was issued at -1e300", () => signed({ ...CLAIMS, iat: -1e300 }), LIFE],
  ["was issued at a text", () => signed({ ...CLAIMS, iat: "now" }), "has a wrong iat"],
  ["has nbf as a text", () => signed({ ...CLAIMS, nbf: "0" }), "has a wrong nbf"],
  // Keys and algorithms
  ["is signed with another key of the same name", () => signed(CLAIMS, stranger), SIGNATURE],
  ["is signed with another issuer's key", () => signed(CLAIMS, others), UNKNOWN_KEY],
  [
    "is another issuer's, by its name only",
    () => signed({ ...CLAIMS, iss: OTHER_ISSUER }),
    UNKNOWN_KEY,
  ],
  ["names another issuer's key", () => signed(CLAIMS, es, { kid: "others" }), UNKNOWN_KEY],
  ["names a path as its key", () => signed(CLAIMS, es, { kid: "../../etc/passwd" }), UNKNOWN_KEY],
  ["names a prototype as its key", () => signed(CLAIMS, es, { kid: "__proto__" }), UNKNOWN_KEY],
  ["names an SQL query as its key", () => signed(CLAIMS, es, { kid: "' OR 1=1 --" }), UNKNOWN_KEY],
  ["names no key", () => signed(CLAIMS, es, { kid: "" }), UNKNOWN_KEY],
  ["names a key by a number", () => signedRaw({ alg: "ES256", kid: 1 }), KID],
  ["names a key by a list", () => signedRaw({ alg: "ES256", kid: ["es"] }), KID],
  ["names a key at length", () => signed(CLAIMS, es, { kid: "k".repeat(257) }), KID],
  ["names a key of another type", () => signed(CLAIMS, es, { kid: "rs" }), UNKNOWN_KEY],
  [
    "is signed with an RSA key of 1024 bits",
    () =>
      signedByRsa(
        `${base64url({ alg: "RS256", kid: "short" })}.${base64url(CLAIMS)}`,
        short.privateKey,
      ),
    UNKNOWN_KEY,
  ],
  ["has the algorithm none", () => `${base64url({ alg: "none" })}.${base64url(CLAIMS)}.`, ALG],
  ["has the algorithm NONE", () => `${base64url({ alg: "nOnE" })}.${base64url(CLAIMS)}.`, ALG],
  ["has none and a signature", () => signedRaw({ alg: "none", kid: "es" }), ALG],
  ["has no algorithm", () => signedRaw({ kid: "es" }), ALG],
  ["has a list of algorithms", () => signedRaw({ alg: ["ES256"], kid: "es" }), ALG],
  ["has an algorithm in other letters", () => signedRaw({ alg: "es256", kid: "es" }), ALG],
  ["has an algorithm of another key", () => signedRaw({ alg: "RS256", kid: "es" }), UNKNOWN_KEY],
  [
    "is signed with the public key as a secret",
    () => hmacSigned({ alg: "HS256", kid: "rs" }, CLAIMS, rs.pem),
    ALG,
  ],
  [
    "is signed with the public key as the secret of another algorithm",
    () => hmacSigned({ alg: "RS256", kid: "rs" }, CLAIMS, rs.pem),
    SIGNATURE,
  ],
  [
    "is signed with an empty secret",
    () => hmacSigned({ alg: "HS256" }, { ...CLAIMS, iss: "https://hs.example" }, ""),
    SIGNATURE,
  ],
  [
    "is signed with a key, where its issuer has a secret",
    () => signed({ ...CLAIMS, iss: "https://hs.example" }),
    ALG,
  ],
  ["has no signature", async () => (await signed(CLAIMS)).replace(/[^.]+$/, ""), SIGNATURE],
  ["has a cut signature", async () => (await signed(CLAIMS)).slice(0, -8), SIGNATURE],
  [
    "has a signature of zeros (CVE-2022-21449)",
    async () => (await signed(CLAIMS)).replace(/[^.]+$/, Buffer.alloc(64).toString("base64url")),
    SIGNATURE,
  ],
  [
    "has other claims than those that were signed",
    async () => {
      const [head, , signature] = (await signed(CLAIMS)).split(".");
      return `${head}.${base64url({ ...CLAIMS, sub: "admin" })}.${signature}`;
    },
    SIGNATURE,
  ],
  // Headers
  [
    "brings the URL of its keys",
    () => signed(CLAIMS, es, { jku: "https://evil.example" }),
    header("jku"),
  ],
  ["brings its key", () => signed(CLAIMS, stranger, { jwk: stranger.jwk }), header("jwk")],
  [
    "brings the URL of certificates",
    () => signed(CLAIMS, es, { x5u: "https://e.example" }),
    header("x5u"),
  ],
  ["brings certificates", () => signed(CLAIMS, es, { x5c: ["MIIB"] }), header("x5c")],
  ["brings null as a key", () => signedRaw({ alg: "ES256", kid: "es", jwk: null }), header("jwk")],
  [
    "has critical headers",
    () => signedRaw({ alg: "ES256", kid: "es", crit: ["exp"] }),
    header("crit"),
  ],
  [
    "isn't encoded (RFC 7797)",
    () => signedRaw({ alg: "ES256", kid: "es", b64: false, crit: ["b64"] }),
    header("crit"),
  ],
  [
    "isn't encoded, and doesn't say so",
    () => signedRaw({ alg: "ES256", kid: "es", b64: false }),
    header("b64"),
  ],
  ["is compressed", () => signedRaw({ alg: "ES256", kid: "es", zip: "DEF" }), header("zip")],
  ["is an ID token by its type", () => signed(CLAIMS, es, { typ: "id+jwt" }), TYPE],
  ["is a logout token", () => signed(CLAIMS, es, { typ: "logout+jwt" }), TYPE],
  ["is a proof of a key", () => signed(CLAIMS, es, { typ: "dpop+jwt" }), TYPE],
  ["has no text as its type", () => signedRaw({ alg: "ES256", kid: "es", typ: 1 }), TYPE],
  ["has an empty type", () => signed(CLAIMS, es, { typ: "" }), TYPE],
  // Claims
  ["is for another audience", () => signed({ ...CLAIMS, aud: "https://x.example" }), AUD],
  ["is for a part of our name", () => signed({ ...CLAIMS, aud: "https://gw.example.evil" }), AUD],
  ["is for other audiences", () => signed({ ...CLAIMS, aud: ["https://x.example", ""] }), AUD],
  ["is for nobody", () => signed({ ...CLAIMS, aud: [] }), AUD],
  ["has an object as its audience", () => signed({ ...CLAIMS, aud: { gw: true } }), AUD],
  ["has no audience", () => signed(without("aud")), "has no aud"],
  ["has no sub", () => signed(without("sub")), "has no sub"],
  ["has an empty sub", () => signed({ ...CLAIMS, sub: "" }), unusable(`"sub" ${NAME}`)],
  ["has a number as its sub", () => signed({ ...CLAIMS, sub: 42 }), unusable(`"sub" ${NAME}`)],
  ["has a huge sub", () => signed({ ...CLAIMS, sub: "s".repeat(257) }), unusable(`"sub" ${NAME}`)],
  ["has NUL in its sub", () => signed({ ...CLAIMS, sub: "u\0" }), unusable(`"sub" ${NAME}`)],
  [
    "has a line break in its sub",
    () => signed({ ...CLAIMS, sub: "u\r\n" }),
    unusable(`"sub" ${NAME}`),
  ],
  [
    "has half a pair in its sub",
    () => signed({ ...CLAIMS, sub: "u\ud800" }),
    unusable(`"sub" ${NAME}`),
  ],
  ["has an empty jti", () => signed({ ...CLAIMS, jti: "" }), unusable(`"jti" ${NAME}`)],
  [
    "has a sub that would be two tokens of a subject",
    () => signed({ ...CLAIMS, sub: "u.*" }),
    unusable(
      '"authorization_details" [0].subjects.allow needs a claim "sub" that is one literal token',
    ),
  ],
  [
    "is bound to a key that the client must prove to have",
    () => signed({ ...CLAIMS, cnf: { jkt: "x" } }),
    "is bound to a key (cnf), which can't be checked here",
  ],
  [
    "has a claim twice",
    () => signed(JSON.stringify(CLAIMS).replace("{", '{"sub":"admin",')),
    TWICE,
  ],
  ["has a header twice", () => signedRaw('{"alg":"none","alg":"ES256","kid":"es"}'), TWICE],
  [
    "has 100 kB",
    () => signed({ ...CLAIMS, x: "x".repeat(100_000) }),
    "has more than 8192 characters",
  ],
];

describe("A token that", () => {
  test.each(HOSTILE)("%s is refused", async (_, token, reason) => {
    const { ask } = await gateway();
    const text = await token();
    const answer = await ask(text);
    expect(answer).toMatchObject(refusal(reason));
  });

  test("has a type is refused by an issuer that takes others", async () => {
    const { ask } = await gateway({ types: ["at+jwt"] });
    expect(await ask(await signed(CLAIMS, es, { typ: "JWT" }))).toEqual(refusal(TYPE));
    expect(await ask(await signed(CLAIMS, es, { typ: undefined }))).toEqual(refusal(TYPE));
  });

  test("allows nothing here is forbidden", async () => {
    const { ask } = await gateway();
    for (const authorization_details of [undefined, [], [{ type: "mercure" }]]) {
      const token = await signed({ ...CLAIMS, authorization_details });
      expect(await ask(token)).toMatchObject({ kind: "forbidden" });
    }
  });
});

describe("Left to other authenticators are", () => {
  test.each<[string, () => Promise<string> | string]>([
    [
      "a token of an issuer that isn't configured",
      () => signed({ ...CLAIMS, iss: "https://x.example" }),
    ],
    ["an issuer in other letters", () => signed({ ...CLAIMS, iss: "https://ID.example" })],
    ["an issuer with a slash more", () => signed({ ...CLAIMS, iss: `${ISSUER}/` })],
    ["an issuer that is a list", () => signed({ ...CLAIMS, iss: [ISSUER] })],
    ["no issuer", () => signed(without("iss"))],
    [
      "an encrypted token",
      () => {
        const encrypt = new CompactEncrypt(new TextEncoder().encode(JSON.stringify(CLAIMS)));
        const header = { alg: "dir", enc: "A256GCM" };
        return encrypt.setProtectedHeader(header).encrypt(new Uint8Array(32));
      },
    ],
    ["an opaque token", () => "0123456789abcdef0123456789abcdef"],
    ["a text with dots", () => "a.b.c"],
    ["nothing", () => ""],
    ["two parts", async () => (await signed(CLAIMS)).split(".").slice(0, 2).join(".")],
    ["four parts", async () => `${await signed(CLAIMS)}.x`],
    ["a space in it", async () => ` ${await signed(CLAIMS)}`],
    ["padding", () => `${base64url({ alg: "ES256" })}=.${base64url(CLAIMS)}.x`],
    ["claims that are a list", () => signed([CLAIMS])],
    ["claims that are no UTF-8", () => `${base64url({ alg: "ES256" })}._____w.x`],
  ])("%s", async (_, token) => {
    const { ask } = await gateway();
    expect(await ask(await token())).toBeUndefined();
  });

  test("clients that show something else", async () => {
    const { jwt } = await gateway();
    expect(await jwt.authenticate(WITH_NOTHING)).toBeUndefined();
    expect(await jwt.authenticate(withPassword("ann", await signed(CLAIMS)))).toBeUndefined();
  });
});

describe("Issuers", () => {
  test("have new keys when their file changes", async () => {
    const file = new MemoryFile(keySet(es));
    const { ask, lines } = await opened(issuerWith("", { keys: { file } }));
    file.write(keySet(stranger));
    await until(
      "reload",
      async () => lines.length,
      (count) => count > 0,
    );
    expect(await ask(await signed(CLAIMS))).toEqual(refusal(SIGNATURE));
    expect(await ask(await signed(CLAIMS, stranger))).toMatchObject({ tokenId: "t1" });
  });

  test("say that a token has expired when the key is gone that proved it", async () => {
    const file = new MemoryFile(keySet(es, rs));
    const { jwt, ask, clock } = await opened(issuerWith("", { keys: { file } }));
    let changes = 0;
    jwt.stop();
    jwt.start(() => changes++);
    const identities = await Promise.all(
      [es, rs].map(async (key) => ask(await signed(CLAIMS, key))),
    );
    const recheck = () => identities.map((one) => jwt.recheck(one as Identity));
    expect(recheck()).toEqual(identities as Identity[]);
    // The same key in another form, and without its name.
    for (const [contents, count] of [
      [es.pem, 1],
      [JSON.stringify({ ...es.jwk, ext: false, kid: "other" }), 2],
    ] as const) {
      file.write(contents);
      await until(
        "reload",
        async () => changes,
        (changed) => changed === count,
      );
      expect(recheck()).toEqual([
        identities[0] as Identity,
        { ...(identities[1] as Identity), expiresAtMs: clock.wallMs() },
      ]);
    }
  });

  test("with a secret say that a token has expired when it is another one", async () => {
    const file = new MemoryFile(SECRET);
    const { jwt, ask, clock } = await opened(
      issuerWith("", { keys: { file }, algorithms: ["HS256", "HS384"] }),
    );
    jwt.stop();
    const changed = new Promise<void>((resolve) => jwt.start(resolve));
    const token = hmacSigned({ alg: "HS256" }, CLAIMS, SECRET);
    const identity = (await ask(token)) as Identity;
    expect(jwt.recheck(identity)).toBe(identity);
    expect(JSON.stringify(identity)).not.toContain(SECRET);
    file.write(`${SECRET}!`);
    await changed;
    expect(jwt.recheck(identity)).toEqual({ ...identity, expiresAtMs: clock.wallMs() });
  });

  test.each<[string, () => IssuerOptions[], string]>([
    ["the same name", () => [issuerWith(keySet(es)), issuerWith(keySet(es))], "comes twice"],
    ["no audience", () => [issuerWith(keySet(es), { audience: [] })], "no audience"],
    ["no algorithms", () => [issuerWith(keySet(es), { algorithms: [] })], "no algorithms"],
    ["none", () => [issuerWith(keySet(es), { algorithms: ["ES256", "none"] })], "unknown ones"],
    [
      "a secret beside public keys",
      () => [issuerWith(keySet(es), { algorithms: ["ES256", "HS256"] })],
      "no other algorithms",
    ],
    [
      "a secret at a URL",
      () => [issuerWith("", { keys: { url: "https://id.example/keys" }, algorithms: ["HS256"] })],
      "need a file",
    ],
    ["a file without keys", () => [issuerWith('{"keys":[]}')], "has no key for"],
  ])("can't have %s", async (_, issuers, reason) => {
    await expect(opened(...issuers())).rejects.toThrow(reason);
  });

  test("leave no watch behind, neither after the stop nor if one of them is broken", async () => {
    const file = new MemoryFile(keySet(es));
    const good = issuerWith("", { keys: { file } });
    await expect(opened(good, issuerWith("x", { issuer: OTHER_ISSUER }))).rejects.toThrow();
    const { jwt } = await opened(good);
    jwt.stop();
    jwt.stop();
    expect(file.watchers).toBe(0);
  });
});
