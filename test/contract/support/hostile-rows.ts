import {
  base64url,
  EXPIRED_STATIC_TOKEN,
  ISSUER,
  OTHER_ISSUER,
  STATIC_TOKEN,
  type TokenMaker,
  type TokenParts,
} from "./hostile-tokens.ts";

type Headers = Readonly<Record<string, string | undefined>>;

/** What a row is made with: tokens that are valid, and the gateway's port. */
export interface Given {
  readonly maker: TokenMaker;
  /** Of `ann`, who may have everything but what is internal. */
  readonly ann: string;
  readonly bob: string;
  /** Of `writer`, who may publish to `host.in.>` but for what is internal. */
  readonly writer: string;
  readonly port: number;
}

/** A request that must be refused, or be served in spite of what it has. */
export interface RequestRow {
  readonly name: string;
  /** Behind `/ws` and `/ws/sse`. */
  readonly query?: string;
  readonly headers?: (given: Given) => Headers;
  readonly status: number;
  /** The problem's detail; none where the request is served. */
  readonly detail?: string;
}

/** A token that must be refused wherever it is shown. */
export interface TokenRow {
  readonly name: string;
  readonly token: (maker: TokenMaker) => string | Promise<string>;
  readonly status: 401 | 403 | 400;
  readonly detail: string;
}

const NEEDS_TOKEN = "This gateway needs a token";
const UNKNOWN_TOKEN = "This gateway doesn't know the token";
export const V1_OFFER = "spillway.v1.json";
export const APP = "https://app.example.com";
export const DENY = ["*.internal.>", "*.*.internal", "kept.secret"];

export const bearer = (token: string): Headers => ({ Authorization: `Bearer ${token}` });

export const details = (...entries: readonly object[]) => ({
  authorization_details: entries.map((entry) => ({ type: "spillway", ...entry })),
});

const WRONG_ALGORITHM =
  "The token is signed with an algorithm (alg) that its issuer must not use here";
const UNKNOWN_KEY = "The token is signed with a key that its issuer doesn't have";
const WRONG_SIGNATURE = "The token has a wrong signature";
const withHeader = (name: string, value: unknown): TokenRow => ({
  name: `with the header ${name}`,
  token: (maker) => maker.token({ header: { [name]: value } }),
  status: 401,
  detail: `The token has the header "${name}", which isn't accepted`,
});
const withClaims = (name: string, claims: Record<string, unknown>, detail: string): TokenRow => ({
  name,
  token: (maker) => maker.token({ claims }),
  status: 401,
  detail,
});

/** Tokens that prove nothing. */
export const TOKENS: readonly TokenRow[] = [
  withClaims("that has expired", { exp: -60 }, "The token has expired"),
  withClaims("that isn't valid yet", { nbf: 60 }, "The token isn't valid yet (nbf)"),
  withClaims("of the future", { iat: 60 }, "The token was issued in the future (iat)"),
  withClaims("without exp", { exp: null }, "The token has no exp"),
  withClaims("without iat", { iat: null }, "The token has no iat"),
  withClaims("without sub", { sub: undefined }, "The token has no sub"),
  withClaims(
    "that lives for a year",
    { exp: 365 * 86_400 },
    "The token is valid for more than 86400 seconds (from iat to exp)",
  ),
  withClaims("of an issuer that nobody knows", { iss: "https://evil.example" }, UNKNOWN_TOKEN),
  withClaims("of an issuer with a slash more", { iss: `${ISSUER}/` }, UNKNOWN_TOKEN),
  withClaims(
    "for another audience",
    { aud: "https://bank.example" },
    "The token isn't for this gateway: its audience (aud) is another one",
  ),
  withClaims("without audience", { aud: undefined }, "The token has no aud"),
  withClaims("of another issuer, with this one's key", { iss: OTHER_ISSUER }, UNKNOWN_KEY),
  withClaims(
    "bound to a key",
    { cnf: { jkt: "x" } },
    "The token is bound to a key (cnf), which can't be checked here",
  ),
  {
    name: "signed with a forged key of the same name",
    token: (maker) => maker.token({ key: maker.forged }),
    status: 401,
    detail: WRONG_SIGNATURE,
  },
  {
    name: "signed with a forged key without a name",
    token: (maker) => maker.token({ key: maker.forged, header: { kid: undefined } }),
    status: 401,
    detail: WRONG_SIGNATURE,
  },
  {
    name: "with the kid of another issuer, and its key",
    token: (maker) => maker.token({ key: maker.others }),
    status: 401,
    detail: UNKNOWN_KEY,
  },
  {
    name: "with the claims of one and the signature of another",
    token: async (maker) => {
      const [[head, , signature], [, claims]] = (await Promise.all(
        ["ann", "root"].map(async (sub) => (await maker.token({ claims: { sub } })).split(".")),
      )) as [string[], string[]];
      return [head, claims, signature].join(".");
    },
    status: 401,
    detail: WRONG_SIGNATURE,
  },
  {
    name: "whose signature was cut off",
    token: async (maker) => (await maker.token()).replace(/\.[^.]*$/, "."),
    status: 401,
    detail: WRONG_SIGNATURE,
  },
  ...["none", "None", "nOnE", ""].map((alg) => ({
    name: `with alg ${JSON.stringify(alg)}`,
    token: (maker: TokenMaker) => maker.unsignedToken(alg),
    status: 401 as const,
    detail: WRONG_ALGORITHM,
  })),
  {
    name: "with HS256 and the public key in PEM for a secret",
    token: (maker) => maker.hmacToken(maker.own.pem),
    status: 401,
    detail: WRONG_ALGORITHM,
  },
  {
    name: "with HS256 and the public key in JSON for a secret",
    token: (maker) => maker.hmacToken(JSON.stringify(maker.own.jwk)),
    status: 401,
    detail: WRONG_ALGORITHM,
  },
  ...["../../../../dev/null", "own\0", "own' OR '1'='1", "__proto__", ""].map((kid) => ({
    name: `with kid ${JSON.stringify(kid)}`,
    token: (maker: TokenMaker) => maker.token({ header: { kid } }),
    status: 401 as const,
    detail: UNKNOWN_KEY,
  })),
  {
    name: "with a kid of 300 characters",
    token: (maker) => maker.token({ header: { kid: "k".repeat(300) } }),
    status: 401,
    detail: "The token has a key's name (kid) that isn't a text of at most 256 characters",
  },
  withHeader("jku", "http://127.0.0.1:9/keys"),
  withHeader("x5u", "http://127.0.0.1:9/chain.pem"),
  withHeader("jwk", { kty: "EC" }),
  withHeader("x5c", ["MIIB"]),
  withHeader("crit", ["exp"]),
  withHeader("b64", false),
  {
    name: "that is made for logins",
    token: (maker) => maker.token({ header: { typ: "id_token" } }),
    status: 401,
    detail: "The token is of a type (typ) that isn't accepted here",
  },
  {
    name: "with a claim twice",
    token: (maker) => {
      const text = JSON.stringify(maker.claims());
      return maker.tokenOfText(text.replace("{", '{"sub":"root",'));
    },
    status: 401,
    detail: "The token can't be read: it has a key twice",
  },
  withClaims(
    "with a field that is misspelt",
    details({ subjects: { allow: [">"] }, denied: ["a.>"] }),
    `The token can't be used: "authorization_details" [0] has the unknown field "denied"`,
  ),
  withClaims(
    "of two accounts",
    details({ account: "a", subjects: { allow: [">"] } }, { account: "b", subjects: {} }),
    `The token can't be used: "authorization_details" must not be for several accounts`,
  ),
  withClaims(
    "of an account, with more that is of none",
    details({ account: "a", subjects: {} }, { subjects: { allow: [">"] } }),
    `The token can't be used: "authorization_details" must not be for several accounts`,
  ),
  withClaims(
    "of an account with a wildcard",
    { tenant: "*", ...details({ account: "{tenant}", subjects: { allow: [">"] } }) },
    `The token can't be used: "authorization_details" [0].account needs a claim "tenant" that is one literal token`,
  ),
  {
    name: "of an account that isn't configured",
    token: (maker) =>
      maker.token({ claims: details({ account: "acme", subjects: { allow: [">"] } }) }),
    status: 403,
    detail: "The account of this client is not known here",
  },
  {
    name: "with details for another service",
    token: (maker) =>
      maker.token({ claims: { authorization_details: [{ type: "payment", amount: 1 }] } }),
    status: 403,
    detail: `The token allows nothing here: its "authorization_details" have no entry of the type "spillway"`,
  },
  {
    name: "of 9 kB",
    token: () => "x".repeat(9000),
    status: 400,
    detail: "A token may have 8192 bytes at most",
  },
  {
    name: "with characters of no token",
    token: () => "abc\u00e9",
    status: 400,
    detail: "A token must be letters, digits and - . _ ~ + /, perhaps with = at the end",
  },
  {
    name: "of a robot that has expired",
    token: () => EXPIRED_STATIC_TOKEN,
    status: 401,
    detail: "The token has expired",
  },
  {
    name: "of a robot, one letter off",
    token: () => STATIC_TOKEN.replace("0", "1"),
    status: 401,
    detail: UNKNOWN_TOKEN,
  },
  {
    name: "of a robot, one letter short",
    token: () => STATIC_TOKEN.slice(0, -1),
    status: 401,
    detail: UNKNOWN_TOKEN,
  },
];

const NOT_LITERAL = (claim: string) =>
  `The token can't be used: "authorization_details" [0].subjects.allow needs a claim "${claim}" that is one literal token`;

/** What users may have chosen for a name that stands in the subjects of their token. */
export const TEMPLATES: readonly TokenRow[] = [
  ["dots", "ann.internal"],
  ["a dot", "."],
  ["a wildcard", "*"],
  ["a wildcard for the rest", ">"],
  ["a wildcard in a word", "a*b"],
  ["a space", "a b"],
  ["a space that doesn't break", "a\u00a0b"],
  ["a line's end", "a\u2028b"],
  ["a brace", "{iss}"],
  ["half a pair", "\ud800"],
  ["NUL", "a\0b"],
  ["CR LF", "a\r\nPUB x 1"],
  ["nothing", ""],
  ["a list", ["ann"]],
  ["an object", { toString: "ann" }],
  ["a number", 42],
  ["true", true],
].map(
  ([name, user]): TokenRow =>
    withClaims(
      `of a user with ${name}`,
      { user, ...details({ subjects: { allow: ["host.{user}.>"] } }) },
      NOT_LITERAL("user"),
    ),
);

/** The same of other places and values. */
export const MORE_TEMPLATES: readonly TokenRow[] = [
  withClaims(
    "with a template that no claim fills",
    details({ subjects: { allow: ["host.{nobody}.>"] } }),
    NOT_LITERAL("nobody"),
  ),
  withClaims(
    "with a template of the prototype",
    details({ subjects: { allow: ["host.{constructor}.>"] } }),
    NOT_LITERAL("constructor"),
  ),
  withClaims(
    "of a user whose name begins a subject of NATS itself",
    { user: "$SYS", ...details({ subjects: { allow: ["{user}.>"] } }) },
    `The token can't be used: "authorization_details" [0].subjects.allow has a template whose value begins like a subject of NATS itself`,
  ),
  withClaims(
    "of a user with a dot, in what is denied",
    { user: "a.b", ...details({ subjects: { allow: [">"], deny: ["host.{user}"] } }) },
    NOT_LITERAL("user").replace("allow", "deny"),
  ),
];

export const offers = (...names: readonly string[]): Headers => ({
  "Sec-WebSocket-Protocol": names.join(", "),
});
const inOffer = (token: string): string => `spillway-token.${base64url(token)}`;
const cookie = (token: string): Headers => ({ Cookie: `token=${token}` });
const TWO = "The request has two different credentials: show one of them";
const NO_OFFER = `"spillway-token." must be followed by a token in base64url`;
const IN_URL =
  "A token in the URL doesn't count here, as URLs are logged: show it in Authorization or as a subprotocol";

/** Tokens where they don't count, twice, or broken; some that count, to compare. */
export const PLACES: readonly RequestRow[] = [
  { name: "a valid token", headers: ({ ann }) => bearer(ann), status: 200 },
  { name: "no token", status: 401, detail: NEEDS_TOKEN },
  { name: "a token in the URL", query: "access_token=x", status: 401, detail: IN_URL },
  {
    name: "a token in the URL beside a valid one",
    query: "access_token=x",
    headers: ({ ann }) => bearer(ann),
    status: 401,
    detail: IN_URL,
  },
  {
    name: "the same token twice",
    headers: ({ ann }) => ({ ...bearer(ann), ...offers(inOffer(ann), V1_OFFER) }),
    status: 200,
  },
  {
    name: "a token in Authorization, and another one as a subprotocol",
    headers: ({ ann, bob }) => ({ ...bearer(ann), ...offers(inOffer(bob), V1_OFFER) }),
    status: 400,
    detail: TWO,
  },
  {
    name: "two different tokens as subprotocols",
    headers: ({ ann, bob }) => offers(inOffer(ann), inOffer(bob), V1_OFFER),
    status: 400,
    detail: TWO,
  },
  {
    name: "a token, and a password",
    headers: ({ ann }) => ({
      Authorization: `Basic ${btoa("ann:secret")}`,
      ...offers(inOffer(ann), V1_OFFER),
    }),
    status: 400,
    detail: TWO,
  },
  {
    name: "two tokens in one Authorization",
    headers: ({ ann, bob }) => ({ Authorization: `Bearer ${ann}, Bearer ${bob}` }),
    status: 400,
    detail: "A token must be letters, digits and - . _ ~ + /, perhaps with = at the end",
  },
  {
    name: "a scheme that isn't known",
    headers: ({ ann }) => ({ Authorization: `Negotiate ${ann}` }),
    status: 401,
    detail: "Authorization must be Bearer with a token, or Basic",
  },
  {
    name: "a token without a scheme",
    headers: ({ ann }) => ({ Authorization: ann }),
    status: 401,
    detail: "Authorization must be Bearer with a token, or Basic",
  },
  {
    name: "Bearer without a token",
    headers: () => ({ Authorization: "Bearer" }),
    status: 400,
    detail: "A token must be letters, digits and - . _ ~ + /, perhaps with = at the end",
  },
  {
    name: "Basic that isn't base64",
    headers: () => ({ Authorization: "Basic !!!" }),
    status: 400,
    detail: "Basic must be followed by user:password in UTF-8 and base64",
  },
  {
    name: "Basic with NUL in the name",
    headers: () => ({ Authorization: `Basic ${btoa("ann\0:secret")}` }),
    status: 400,
    detail: "Basic must be followed by user:password in UTF-8 and base64",
  },
  {
    name: "a subprotocol of broken base64url",
    headers: () => offers("spillway-token.%%%", V1_OFFER),
    status: 400,
    detail: NO_OFFER,
  },
  {
    name: "a subprotocol of base64url that isn't UTF-8",
    headers: () => offers("spillway-token._w", V1_OFFER),
    status: 400,
    detail: NO_OFFER,
  },
  {
    name: "a subprotocol without a token",
    headers: () => offers("spillway-token.", V1_OFFER),
    status: 400,
    detail: NO_OFFER,
  },
  {
    name: "a token that was not encoded as a subprotocol",
    headers: ({ ann }) => offers(`spillway-token.${ann}`, V1_OFFER),
    status: 400,
    detail: NO_OFFER,
  },
  {
    name: "a cookie, and no page that sends it",
    headers: ({ ann }) => cookie(ann),
    status: 401,
    detail: NEEDS_TOKEN,
  },
  {
    name: "a cookie, and Sec-Fetch-Site: none",
    headers: ({ ann }) => ({ ...cookie(ann), "Sec-Fetch-Site": "none" }),
    status: 401,
    detail: NEEDS_TOKEN,
  },
  {
    name: "a cookie from a page of the gateway's own",
    headers: ({ ann, port }) => ({ ...cookie(ann), Origin: `http://127.0.0.1:${port}` }),
    status: 200,
  },
  {
    name: "a cookie from a page that is allowed",
    headers: ({ ann }) => ({ ...cookie(ann), Origin: APP }),
    status: 200,
  },
  {
    name: "a cookie from a foreign page",
    headers: ({ ann }) => ({ ...cookie(ann), Origin: "https://evil.example" }),
    status: 403,
    detail: "Pages from https://evil.example may not connect: add the origin to allowed_origins",
  },
  {
    name: "two cookies of the same name",
    headers: ({ ann, bob }) => ({ Cookie: `token=${ann}; token=${bob}`, Origin: APP }),
    status: 400,
    detail: TWO,
  },
];

const foreign = (origin: string): string =>
  `Pages from ${origin} may not connect: add the origin to allowed_origins`;
const OTHER_SITE =
  "Pages of other sites may use this only with an Origin (EventSource, WebSocket, fetch) that is in allowed_origins";
const NO_PAGE =
  "Pages from files and sandboxes (Origin: null) may not connect: serve the page over HTTP, or add null to allowed_origins";

/** A valid token doesn't help a page that may not connect, nor a request to a name that is none of the gateway. */
export const ORIGINS: readonly RequestRow[] = [
  ["null", NO_PAGE],
  [`${APP}.evil.example`, foreign(`${APP}.evil.example`)],
  ["http://app.example.com", foreign("http://app.example.com")],
  [`${APP}:8443`, foreign(`${APP}:8443`)],
  ["https://APP.example.com@evil.example", foreign("there")],
  ["http://127.0.0.1:1", foreign("http://127.0.0.1:1")],
  [`${APP}, https://evil.example`, foreign("there")],
].map(([origin, detail]) => ({
  name: `Origin: ${origin}`,
  headers: ({ ann }) => ({ ...bearer(ann), Origin: origin! }),
  status: 403,
  detail: detail!,
}));
export const SITES: readonly RequestRow[] = [
  ...["cross-site", "same-site"].map((site) => ({
    name: `Sec-Fetch-Site: ${site} without an Origin`,
    headers: ({ ann }: Given) => ({
      ...bearer(ann),
      "Sec-Fetch-Site": site,
      "Sec-Fetch-Mode": "no-cors",
    }),
    status: 403,
    detail: OTHER_SITE,
  })),
  ...["rebound.example", "localhost.rebound.example", "127.0.0.1.rebound.example"].map((name) => ({
    name: `Host: ${name}`,
    headers: ({ ann, port }: Given) => ({ ...bearer(ann), Host: `${name}:${port}` }),
    status: 403,
    detail: `${name} is not a name of this gateway: if it is one, add it to allowed_hosts`,
  })),
  {
    name: "a Host that is rebound, and the Origin of the same name",
    headers: ({ ann, port }) => ({
      ...bearer(ann),
      Host: `rebound.example:${port}`,
      Origin: `http://rebound.example:${port}`,
    }),
    status: 403,
    detail: "rebound.example is not a name of this gateway: if it is one, add it to allowed_hosts",
  },
];

const nothingOf = (subject: string): string => `This client may receive nothing of "${subject}"`;
const query = (name: string, text: string, status: number, detail: string): RequestRow => ({
  name,
  query: text,
  headers: ({ ann }) => bearer(ann),
  status,
  detail,
});

/** Queries that would get more than the token allows, if they were read in another way. */
export const QUERIES: readonly RequestRow[] = [
  query(
    "subjects twice",
    "subjects=host.a&subjects=host.internal.a",
    400,
    '"subjects" may stand once; it takes several, separated by commas',
  ),
  query(
    "Subjects for subjects",
    "Subjects=host.a",
    400,
    '"Subjects" is not a parameter; did you mean "subjects"?',
  ),
  query("no subject", "subjects=", 400, 'subject "" must not be empty'),
  query(
    "NUL",
    "subjects=host.a%00.internal",
    400,
    'subject "host.a\0.internal" must not contain white space or control characters',
  ),
  query(
    "CR LF",
    "subjects=host.a%0d%0aX-Evil:%201",
    400,
    'subject "host.a\r\nX-Evil: 1" must not contain white space or control characters',
  ),
  query(
    "an empty token",
    "subjects=host..a",
    400,
    'subject "host..a" must not contain an empty token',
  ),
  query(
    "a wildcard that goes on",
    "subjects=host.>.internal",
    400,
    'subject "host.>.internal" may have ">" only as its last token',
  ),
  query("a denied subject", "subjects=host.internal.a", 403, nothingOf("host.internal.a")),
  query(
    "a denied subject behind an allowed one",
    "subjects=host.a,host.internal.a",
    403,
    nothingOf("host.internal.a"),
  ),
  query(
    "a denied subject in a parameter of its own",
    "subjects=host.a&subject=host.b&subject=host.internal.a",
    403,
    nothingOf("host.internal.a"),
  ),
  query(
    "a denied subject behind a comma of another one",
    "subject=other,host.internal.a",
    403,
    nothingOf("other,host.internal.a"),
  ),
  query(
    "a denied subject in percents",
    "subjects=host.inter%6eal.a",
    403,
    nothingOf("host.internal.a"),
  ),
  query("a denied wildcard", "subjects=*.internal.>", 403, nothingOf("*.internal.>")),
  query(
    "a wildcard within what is denied",
    "subjects=host.internal.*",
    403,
    nothingOf("host.internal.*"),
  ),
  query(
    "a denied subject of a stream",
    "subjects=kept.secret&from=all",
    403,
    nothingOf("kept.secret"),
  ),
  query("a subject in percents twice", "subjects=host%252ea", 403, nothingOf("host%2ea")),
  query("a subject in capitals", "subjects=HOST.a", 403, nothingOf("HOST.a")),
  query("a full-width dot", "subjects=host%EF%BC%8Ea", 403, nothingOf("host\uff0ea")),
  query("NATS' own events", "subjects=$SYS.%3E", 403, nothingOf("$SYS.>")),
  query("the answers of others", "subjects=_INBOX.%3E", 403, nothingOf("_INBOX.>")),
  query("JetStream's requests", "subjects=$JS.API.%3E", 403, nothingOf("$JS.API.>")),
  query("a key-value bucket", "subjects=$KV.%3E", 403, nothingOf("$KV.>")),
  query("the subject of revocations", "subjects=_REVOKED", 403, nothingOf("_REVOKED")),
  query(
    "an id of 600 characters",
    `after=${"x".repeat(600)}`,
    400,
    '"after" must be the id of a message',
  ),
  query(
    "a sequence that isn't whole",
    "from=seq:1e3",
    400,
    '"from" must be new, all, last, last_per_subject, seq:<n> or time:<RFC 3339>',
  ),
];

/** Subscriptions to more than the token allows: what they bring, in their order. */
interface WildcardRow {
  readonly name: string;
  readonly subjects: readonly string[];
  readonly options?: object;
  readonly brings: readonly string[];
}

export const KEPT = [
  "kept.a",
  "kept.internal.a",
  "kept.secret",
  "kept.b",
  "kept.x.internal",
  "kept.end",
];
export const KEPT_ALLOWED = ["kept.a", "kept.b", "kept.end"];
export const LIVE = [
  "host.a",
  "host.internal.a",
  "host.x.internal",
  "host.internal",
  "host.b",
  "host.end",
];
export const LIVE_ALLOWED = ["host.a", "host.internal", "host.b", "host.end"];

export const WILDCARDS: readonly WildcardRow[] = [
  { name: ">", subjects: [">"], brings: LIVE_ALLOWED },
  { name: "host.>", subjects: ["host.>"], brings: LIVE_ALLOWED },
  { name: "host.*.* and host.end", subjects: ["host.*.*", "host.end"], brings: ["host.end"] },
  { name: "*.*.a and host.end", subjects: ["*.*.a", "host.end"], brings: ["host.end"] },
  {
    name: "host.> that is conflated and slowed down",
    subjects: ["host.>"],
    options: { policy: "conflate", max_rate: 5 },
    brings: LIVE_ALLOWED,
  },
  { name: "> from all", subjects: [">"], options: { from: "all" }, brings: KEPT_ALLOWED },
  { name: "kept.> from all", subjects: ["kept.>"], options: { from: "all" }, brings: KEPT_ALLOWED },
  {
    name: "kept.> from the first sequence",
    subjects: ["kept.>"],
    options: { from: { seq: 1 } },
    brings: KEPT_ALLOWED,
  },
  {
    name: "kept.> from a denied sequence",
    subjects: ["kept.>"],
    options: { from: { seq: 2 } },
    brings: ["kept.b", "kept.end"],
  },
  {
    name: "kept.> from a time",
    subjects: ["kept.>"],
    options: { from: { time: "2020-01-01T00:00:00Z" } },
    brings: KEPT_ALLOWED,
  },
  {
    name: "kept.*.* and kept.end, last of each subject",
    subjects: ["kept.*.*", "kept.end"],
    options: { from: "last_per_subject" },
    brings: ["kept.end"],
  },
  {
    name: "kept.> last of each subject",
    subjects: ["kept.>"],
    options: { from: "last_per_subject" },
    brings: KEPT_ALLOWED,
  },
  { name: "kept.> last", subjects: ["kept.>"], options: { from: "last" }, brings: ["kept.end"] },
  {
    name: "kept.> as a durable",
    subjects: ["kept.>"],
    options: { from: "all", durable: "u_ann_all" },
    brings: KEPT_ALLOWED,
  },
];

/** A frame of a client that has shown its token, and how it is answered. */
interface FrameRow {
  readonly name: string;
  readonly frame: (maker: TokenMaker) => object | Promise<object>;
  readonly code: string;
  readonly message: string;
}

const subscription = (name: string, frame: object, code: string, message: string): FrameRow => ({
  name: `subscribe to ${name}`,
  frame: () => ({ type: "subscribe", id: "x", ...frame }),
  code,
  message,
});
const refresh = (name: string, parts: TokenParts, code: string, message: string): FrameRow => ({
  name: `auth with ${name}`,
  frame: async (maker) => ({ type: "auth", id: "x", token: await maker.token(parts) }),
  code,
  message,
});
const carriesNothing = (subject: string): string => lowered(nothingOf(subject));
const notItsDurable = (name: string): string => `this client may not use the durable "${name}"`;
const OTHER_CLIENT = "the token is of another client than this connection's";
const UNSAFE = "must not contain white space or control characters";

/** Frames of `bob`, whose connection stays as it was. */
export const FRAMES: readonly FrameRow[] = [
  subscription(
    "a denied subject",
    { subjects: ["host.internal.a"] },
    "forbidden",
    carriesNothing("host.internal.a"),
  ),
  subscription(
    "a denied subject beside another one",
    { subjects: ["host.a", "host.x.internal"] },
    "forbidden",
    carriesNothing("host.x.internal"),
  ),
  subscription(
    "a denied subject of a stream",
    { subjects: ["kept.secret"], from: "all" },
    "forbidden",
    carriesNothing("kept.secret"),
  ),
  subscription(
    "a denied subject that is conflated",
    { subjects: ["kept.secret"], policy: "conflate" },
    "forbidden",
    carriesNothing("kept.secret"),
  ),
  subscription(
    "JetStream's requests",
    { subjects: ["$JS.API.>"] },
    "forbidden",
    carriesNothing("$JS.API.>"),
  ),
  subscription(
    "the answers of others",
    { subjects: ["_INBOX.>"] },
    "forbidden",
    carriesNothing("_INBOX.>"),
  ),
  subscription(
    "NUL",
    { subjects: ["host.a\0"] },
    "invalid_subject",
    `subject ${JSON.stringify("host.a\0")} ${UNSAFE}`,
  ),
  subscription(
    "CR LF",
    { subjects: ["host.a\r\nPUB host.b 1\r\n1"] },
    "invalid_subject",
    `subject ${JSON.stringify("host.a\r\nPUB host.b 1\r\n1")} ${UNSAFE}`,
  ),
  subscription(
    "the durable of another user",
    { subjects: ["kept.>"], from: "all", durable: "u_ann_all" },
    "forbidden",
    notItsDurable("u_ann_all"),
  ),
  subscription(
    "a durable that begins almost like its own",
    { subjects: ["kept.>"], from: "all", durable: "u_bob" },
    "forbidden",
    notItsDurable("u_bob"),
  ),
  refresh("the token of another user", { claims: { sub: "ann" } }, "forbidden", OTHER_CLIENT),
  {
    name: "auth with the token of a robot",
    frame: () => ({ type: "auth", id: "x", token: STATIC_TOKEN }),
    code: "forbidden",
    message: OTHER_CLIENT,
  },
  {
    name: "auth with the token of the same name by another issuer",
    frame: async (maker) => {
      const claims = { iss: OTHER_ISSUER, sub: "bob" };
      return { type: "auth", id: "x", token: await maker.token({ claims, key: maker.others }) };
    },
    code: "forbidden",
    message: OTHER_CLIENT,
  },
  refresh(
    "its token of yesterday",
    { claims: { sub: "bob", iat: -86_400, exp: -3600 } },
    "unauthenticated",
    "The token has expired",
  ),
  {
    name: "auth with a token of its own make",
    frame: async (maker) => {
      const token = await maker.token({ claims: { sub: "bob" }, key: maker.forged });
      return { type: "auth", id: "x", token };
    },
    code: "unauthenticated",
    message: WRONG_SIGNATURE,
  },
  {
    name: "unsubscribe from a name of the prototype",
    frame: () => ({ type: "unsubscribe", sub: "__proto__", id: "x" }),
    code: "unknown_subscription",
    message: 'there is no subscription "__proto__"',
  },
];

/** What a client may not send before it has shown a token. */
export const BEFORE_TOKEN: readonly object[] = [
  { type: "subscribe", id: "x", subjects: ["host.>"] },
  { type: "subscribe", id: "x", subjects: ["kept.>"], from: "all" },
  { type: "subscribe", id: "x", subjects: ["kept.>"], durable: "u_ann_all" },
  { type: "unsubscribe", sub: "1" },
  { type: "ack", upto: "x:1" },
  { type: "nack", id: "x:1" },
  { type: "working", id: "x:1" },
];

const FOR_OPERATORS =
  "This page is for operators: it is not served here while clients need a token";

/** Paths on the port of the clients, with a valid token. */
export const PATHS: readonly (readonly [
  method: string,
  path: string,
  status: number,
  detail: string,
])[] = [
  ["GET", "/", 403, FOR_OPERATORS],
  ["GET", "/metrics", 403, FOR_OPERATORS],
  ["POST", "/metrics", 403, FOR_OPERATORS],
  ["GET", "/metrics?name[]=x", 403, FOR_OPERATORS],
  ["GET", "/%6detrics", 403, FOR_OPERATORS],
  ["GET", "/livez/../metrics", 403, FOR_OPERATORS],
  ["GET", "/metrics/", 404, "Nothing is served at /metrics/"],
  ["GET", "//metrics", 404, "Nothing is served at //metrics"],
  ["GET", "/METRICS", 404, "Nothing is served at /METRICS"],
  ["GET", "/healthz", 403, FOR_OPERATORS],
  ["GET", "/schema.json", 403, FOR_OPERATORS],
  ["GET", "/asyncapi.json", 403, FOR_OPERATORS],
  ["POST", "/publish/host.a", 403, 'This client may not publish to "host.a"'],
  ["DELETE", "/ws/sse", 405, "DELETE is not allowed here"],
];

/** A message that somebody posts. */
interface PostRow {
  readonly name: string;
  /** Default: `writer`, who may publish to `host.in.>` but for what is internal. */
  readonly headers?: (given: Given) => Headers;
  readonly subject: string;
  readonly status: number;
  /** None where it is published. */
  readonly detail?: string;
}

const mayNot = (subject: string): string => `This client may not publish to "${subject}"`;

/** To whom posting is allowed, and to whom not. */
export const POSTS: readonly PostRow[] = [
  { name: "an allowed subject", subject: "host.in.a", status: 202 },
  {
    name: "a denied subject",
    subject: "host.in.internal.a",
    status: 403,
    detail: mayNot("host.in.internal.a"),
  },
  {
    name: "a denied subject in percents",
    subject: "host.in.inter%6eal.a",
    status: 403,
    detail: mayNot("host.in.internal.a"),
  },
  { name: "a subject of others", subject: "host.out", status: 403, detail: mayNot("host.out") },
  {
    name: "a subject that nobody carries",
    subject: "other.a",
    status: 403,
    detail: mayNot("other.a"),
  },
  {
    name: "NATS' own requests",
    subject: "$SYS.REQ.SERVER.PING",
    status: 403,
    detail: mayNot("$SYS.REQ.SERVER.PING"),
  },
  {
    name: "a wildcard",
    subject: "host.in.*",
    status: 400,
    detail: 'subject "host.in.*" must not contain a wildcard',
  },
  {
    name: "CR LF",
    subject: "host.in.a%0d%0aPUB%20x",
    status: 400,
    detail: `subject "host.in.a\r\nPUB x" ${UNSAFE}`,
  },
  { name: "NUL", subject: "host.in.a%00", status: 400, detail: `subject "host.in.a\0" ${UNSAFE}` },
  {
    name: "an empty token",
    subject: "host.in..a",
    status: 400,
    detail: 'subject "host.in..a" must not contain an empty token',
  },
  {
    name: "an allowed subject with a token for reading",
    headers: ({ ann }) => bearer(ann),
    subject: "host.in.a",
    status: 403,
    detail: mayNot("host.in.a"),
  },
  {
    name: "an allowed subject without a token",
    headers: () => ({}),
    subject: "host.in.a",
    status: 401,
    detail: NEEDS_TOKEN,
  },
  {
    name: "an allowed subject with a token in the URL",
    headers: () => ({}),
    subject: "host.in.a?access_token=x",
    status: 401,
    detail: IN_URL,
  },
  {
    name: "an allowed subject with a cookie from nowhere",
    headers: ({ writer }) => cookie(writer),
    subject: "host.in.a",
    status: 401,
    detail: NEEDS_TOKEN,
  },
  {
    name: "an allowed subject from a foreign page with a cookie",
    headers: ({ writer }) => ({ ...cookie(writer), Origin: "https://evil.example" }),
    subject: "host.in.a",
    status: 403,
    detail: foreign("https://evil.example"),
  },
  {
    name: "an allowed subject from a form of another site",
    headers: ({ writer }) => ({
      ...cookie(writer),
      "Sec-Fetch-Site": "cross-site",
      "Sec-Fetch-Mode": "navigate",
    }),
    subject: "host.in.a",
    status: 403,
    detail: OTHER_SITE,
  },
];

function lowered(text: string): string {
  return text.charAt(0).toLowerCase() + text.slice(1);
}
