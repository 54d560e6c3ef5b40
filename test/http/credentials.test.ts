import { describe, expect, test } from "bun:test";
import type { TokenPlace } from "../../src/access/authenticator.ts";
import { type CredentialOptions, readCredentials } from "../../src/http/credentials.ts";

type Shown = Readonly<Record<string, string>>;

const OPTIONS: CredentialOptions = { tokenCookie: "__Host-token", allowQueryToken: true };

function read(headers: Shown, queryTokens: readonly string[] = [], options = OPTIONS) {
  return readCredentials({ headers: new Headers(headers), queryTokens }, options);
}

const base64 = (text: string): string => Buffer.from(text).toString("base64");
const offer = (token: string): string =>
  `spillway-token.${Buffer.from(token).toString("base64url")}`;
const token = (text: string, place: TokenPlace) => ({ kind: "token", token: text, place }) as const;
const basic = (user: string, password: string) => ({ kind: "basic", user, password }) as const;

describe("A client shows", () => {
  test.each<[string, Shown, readonly string[], object]>([
    ["nothing", {}, [], { kind: "none" }],
    [
      "a token",
      { Authorization: "Bearer abc.DEF-_~+/=" },
      [],
      token("abc.DEF-_~+/=", "authorization"),
    ],
    [
      "a token, in other letters",
      { authorization: "bEARER  abc " },
      [],
      token("abc", "authorization"),
    ],
    ["a user", { Authorization: `Basic ${base64("ann:s3cret")}` }, [], basic("ann", "s3cret")],
    [
      "a user, in UTF-8",
      { Authorization: `basic ${base64("Zoë:päss:wörd")}` },
      [],
      basic("Zoë", "päss:wörd"),
    ],
    [
      "a user without a password",
      { Authorization: `Basic ${base64("ann:")}` },
      [],
      basic("ann", ""),
    ],
    ["a password alone", { Authorization: `Basic ${base64(":key")}` }, [], basic("", "key")],
    [
      "an offer",
      { "Sec-WebSocket-Protocol": `spillway.v1.json, ${offer("abc")}` },
      [],
      token("abc", "subprotocol"),
    ],
    [
      "an offer alone",
      { "Sec-WebSocket-Protocol": offer("abc=") },
      [],
      token("abc=", "subprotocol"),
    ],
    ["other offers", { "Sec-WebSocket-Protocol": "spillway.v1.json,chat" }, [], { kind: "none" }],
    ["a cookie", { Cookie: "a=1; __Host-token=abc; b=2" }, [], token("abc", "cookie")],
    ["a quoted cookie", { Cookie: '__Host-token="abc"' }, [], token("abc", "cookie")],
    [
      "a cookie with an equals sign",
      { Cookie: "__Host-token=abc==" },
      [],
      token("abc==", "cookie"),
    ],
    ["an emptied cookie", { Cookie: "__Host-token=" }, [], { kind: "none" }],
    [
      "cookies of other names",
      { Cookie: "x__Host-token=a; __host-token=b; __Host-token2=c" },
      [],
      { kind: "none" },
    ],
    ["a token in the query", {}, ["abc"], token("abc", "query")],
    [
      "the same token everywhere",
      {
        Authorization: "Bearer abc",
        "Sec-WebSocket-Protocol": `${offer("abc")}, ${offer("abc")}`,
        Cookie: "__Host-token=abc; __Host-token=abc",
      },
      ["abc", "abc"],
      token("abc", "authorization"),
    ],
    [
      "a token of the greatest length",
      { Authorization: `Bearer ${"x".repeat(8192)}` },
      [],
      token("x".repeat(8192), "authorization"),
    ],
  ])("%s", (_, headers, query, expected) => {
    expect(read(headers, query)).toEqual(expected as never);
  });

  test("nothing in a cookie, if no cookie has tokens", () => {
    const options = { allowQueryToken: false };
    expect(read({ Cookie: "undefined=abc; =abc" }, [], options)).toEqual({ kind: "none" });
  });
});

const SECRET = "hunter2";

describe("Credentials are refused without quoting them:", () => {
  test.each<[string, Shown, readonly string[], string, string]>([
    ["no scheme", { Authorization: SECRET }, [], "unauthenticated", "must be Bearer"],
    [
      "another scheme",
      { Authorization: `Digest ${SECRET}` },
      [],
      "unauthenticated",
      "must be Bearer",
    ],
    ["an empty header", { Authorization: "" }, [], "unauthenticated", "must be Bearer"],
    ["no token", { Authorization: "Bearer" }, [], "malformed", "A token must be"],
    ["two words", { Authorization: `Bearer ${SECRET} x` }, [], "malformed", "A token must be"],
    [
      "two headers",
      { Authorization: `Bearer ${SECRET}, Bearer ${SECRET}` },
      [],
      "malformed",
      "A token must be",
    ],
    [
      "other characters",
      { Authorization: `Bearer ${SECRET}\u00e9` },
      [],
      "malformed",
      "A token must be",
    ],
    [
      "equals signs inside",
      { Authorization: `Bearer a=${SECRET}` },
      [],
      "malformed",
      "A token must be",
    ],
    [
      "a long token",
      { Authorization: `Bearer ${SECRET.repeat(2000)}` },
      [],
      "malformed",
      "8192 bytes",
    ],
    [
      "Basic without a colon",
      { Authorization: `Basic ${base64(SECRET)}` },
      [],
      "malformed",
      "user:password",
    ],
    [
      "Basic that is no base64",
      { Authorization: `Basic ${SECRET}!` },
      [],
      "malformed",
      "user:password",
    ],
    [
      "Basic of half a byte",
      { Authorization: `Basic ${SECRET}ab` },
      [],
      "malformed",
      "user:password",
    ],
    [
      "Basic that is no UTF-8",
      { Authorization: `Basic ${Buffer.from(`u:${SECRET}\xff`, "latin1").toString("base64")}` },
      [],
      "malformed",
      "user:password",
    ],
    [
      "Basic with a line break",
      { Authorization: `Basic ${base64(`u:${SECRET}\n`)}` },
      [],
      "malformed",
      "user:password",
    ],
    [
      "long Basic",
      { Authorization: `Basic ${base64(`u:${SECRET.repeat(4000)}`)}` },
      [],
      "malformed",
      "user:password",
    ],
    [
      "an empty offer",
      { "Sec-WebSocket-Protocol": "spillway-token." },
      [],
      "malformed",
      "base64url",
    ],
    [
      "an offer in base64",
      { "Sec-WebSocket-Protocol": `spillway-token.${base64("?>~")}/` },
      [],
      "malformed",
      "base64url",
    ],
    [
      "an offer of something else",
      { "Sec-WebSocket-Protocol": offer(`${SECRET}\0`) },
      [],
      "malformed",
      "A token must be",
    ],
    [
      "an offer that is no UTF-8",
      { "Sec-WebSocket-Protocol": "spillway-token._w" },
      [],
      "malformed",
      "base64url",
    ],
    [
      "a cookie of something else",
      { Cookie: `__Host-token=${SECRET}%20` },
      [],
      "malformed",
      "A token must be",
    ],
    ["an empty token in the query", {}, [""], "malformed", "A token must be"],
    [
      "a token and a user",
      { Authorization: `Basic ${base64(`u:${SECRET}`)}`, Cookie: `__Host-token=${SECRET}` },
      [],
      "malformed",
      "two different",
    ],
    [
      "two cookies",
      { Cookie: `__Host-token=${SECRET}; __Host-token=b` },
      [],
      "malformed",
      "two different",
    ],
    [
      "two offers",
      { "Sec-WebSocket-Protocol": `${offer(SECRET)}, ${offer("b")}` },
      [],
      "malformed",
      "two different",
    ],
    ["two in the query", {}, [SECRET, "b"], "malformed", "two different"],
    [
      "one in the header, another in the cookie",
      { Authorization: `Bearer ${SECRET}`, Cookie: "__Host-token=b" },
      [],
      "malformed",
      "two different",
    ],
    [
      "one in the offer, another in the query",
      { "Sec-WebSocket-Protocol": offer(SECRET) },
      ["b"],
      "malformed",
      "two different",
    ],
    [
      "a good one, and one that can't be read",
      { Authorization: `Bearer ${SECRET}` },
      ["!"],
      "malformed",
      "A token must be",
    ],
  ])("%s", (_, headers, query, kind, message) => {
    const refusal = read(headers, query);
    expect(refusal).toEqual({ kind, message: expect.stringContaining(message) } as never);
    expect(JSON.stringify(refusal)).not.toContain(SECRET);
  });

  test("a token in the query, where that is off", () => {
    const refusal = read({}, [SECRET], { ...OPTIONS, allowQueryToken: false });
    const message = expect.stringContaining("URL doesn't count");
    expect(refusal).toEqual({ kind: "unauthenticated", message } as never);
    expect(JSON.stringify(refusal)).not.toContain(SECRET);
  });
});
