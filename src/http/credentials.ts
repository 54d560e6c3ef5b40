import type { AccessRefusal, Credentials, TokenPlace } from "../access/authenticator.ts";
import { fromBase64url } from "../access/base64url.ts";
import { cookiesIn } from "../access/cookies.ts";
import { TOKEN_OFFER_PREFIX } from "../protocol/dialects.ts";

/** The places where clients may show a token, beside those that are always read. */
export interface CredentialOptions {
  /** The name of the cookie that has a token; `undefined`: none has. */
  readonly tokenCookie?: string | undefined;
  /** Whether `?access_token=` counts. */
  readonly allowQueryToken: boolean;
}

/** The parts of a request that may have a token. */
export interface ShownRequest {
  /** Without cookies, unless a page that may use them makes the request. */
  readonly headers: Headers;
  /** The values of the query's `access_token`. */
  readonly queryTokens: readonly string[];
}

/** The name of a token in the query (RFC 6750 §2.3). */
export const QUERY_TOKEN = "access_token";

/** The longest token, and the longest user with password, in bytes. */
const MAX_CREDENTIAL_BYTES = 8 * 1024;
/** A token (RFC 6750 §2.1): the same characters in all places, so that none of them needs to be quoted anywhere. */
const TOKEN = /^[A-Za-z0-9._~+/-]+=*$/;
const BASE64 = /^[A-Za-z0-9+/]+={0,2}$/;
const BASE64URL = /^[A-Za-z0-9_-]+$/;
// RFC 7617 §2 forbids them.
// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
const CONTROL = /[\u0000-\u001f\u007f-\u009f]/;

const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

type Proof = Exclude<Credentials, { kind: "none" }>;

/** The credentials of one place, or what is wrong with them; never quotes them. */
type Shown = Proof | AccessRefusal;

/**
 * Reads what a client shows to say who it is: a token or a user with password in `Authorization` (RFC 6750 §2.1,
 * RFC 7617), a token among the offered subprotocols, in the cookie, or in the query. A token that stands in several
 * places counts once; different ones are refused, as somebody else may have added one of them.
 */
export function readCredentials(
  request: ShownRequest,
  options: CredentialOptions,
): Credentials | AccessRefusal {
  let credentials: Credentials = { kind: "none" };
  for (const shown of allShown(request, options)) {
    if (isFault(shown)) return shown;
    if (credentials.kind === "none") credentials = shown;
    else if (!isSame(credentials, shown)) {
      return malformed("The request has two different credentials: show one of them");
    }
  }
  return credentials;
}

function* allShown(
  { headers, queryTokens }: ShownRequest,
  { tokenCookie, allowQueryToken }: CredentialOptions,
): Generator<Shown> {
  const authorization = headers.get("authorization");
  if (authorization !== null) yield fromAuthorization(authorization);
  for (const offer of offersOf(headers)) {
    if (offer.startsWith(TOKEN_OFFER_PREFIX)) yield fromOffer(offer);
  }
  if (tokenCookie !== undefined) {
    for (const value of cookiesOf(headers, tokenCookie)) yield tokenFrom("cookie", value);
  }
  for (const token of queryTokens) {
    yield allowQueryToken
      ? tokenFrom("query", token)
      : unauthenticated(
          "A token in the URL doesn't count here, as URLs are logged: show it in Authorization or as a subprotocol",
        );
  }
}

function fromAuthorization(header: string): Shown {
  const [, scheme = "", rest = ""] = /^([^\s,]+)(?: +(.*))?$/.exec(header.trim()) ?? [];
  switch (scheme.toLowerCase()) {
    case "bearer":
      return tokenFrom("authorization", rest);
    case "basic":
      return fromBasic(rest);
    default:
      return unauthenticated("Authorization must be Bearer with a token, or Basic");
  }
}

function fromBasic(text: string): Shown {
  const decoded = decoded64(text, BASE64);
  const colon = decoded?.indexOf(":") ?? -1;
  if (decoded === undefined || colon < 0 || CONTROL.test(decoded)) {
    return malformed("Basic must be followed by user:password in UTF-8 and base64");
  }
  return { kind: "basic", user: decoded.slice(0, colon), password: decoded.slice(colon + 1) };
}

function fromOffer(offer: string): Shown {
  const token = decoded64(offer.slice(TOKEN_OFFER_PREFIX.length), BASE64URL);
  return token === undefined
    ? malformed(`"${TOKEN_OFFER_PREFIX}" must be followed by a token in base64url`)
    : tokenFrom("subprotocol", token);
}

/** Reads a token that a client shows in this place, or says what is wrong with it. */
export function tokenFrom(place: TokenPlace, token: string): Shown {
  if (token.length > MAX_CREDENTIAL_BYTES) {
    return malformed(`A token may have ${MAX_CREDENTIAL_BYTES} bytes at most`);
  }
  return TOKEN.test(token)
    ? { kind: "token", token, place }
    : malformed(`A token must be letters, digits and - . _ ~ + /, perhaps with = at the end`);
}

/** Decodes base64 or base64url to UTF-8; `undefined` if it isn't that. */
function decoded64(text: string, alphabet: RegExp): string | undefined {
  if (text.length > MAX_CREDENTIAL_BYTES * 2 || !alphabet.test(text)) return undefined;
  try {
    return utf8.decode(fromBase64url(text.replace(/=+$/, "")));
  } catch {
    return undefined;
  }
}

/** The subprotocols that a client offers (RFC 6455 §4.1). */
export function offersOf(headers: Headers): string[] {
  const offered = headers.get("sec-websocket-protocol");
  return offered === null ? [] : offered.split(",").map((name) => name.trim());
}

/** The values of all cookies of a name (RFC 6265 §4.2). A browser may send several, of different paths and domains. */
function cookiesOf(headers: Headers, name: string): string[] {
  const values = [...cookiesIn(headers.get("cookie") ?? "")].flatMap(([one, value]) =>
    one === name ? [value.replace(/^"(.*)"$/, "$1")] : [],
  );
  // Servers empty a cookie to end a login.
  return values.filter((value) => value !== "");
}

function isSame(one: Proof, other: Proof): boolean {
  if (one.kind === "basic" || other.kind === "basic") return false;
  return one.token === other.token;
}

function isFault(shown: Shown | Credentials): shown is AccessRefusal {
  return "message" in shown;
}

function malformed(message: string): AccessRefusal {
  return { kind: "malformed", message };
}

function unauthenticated(message: string): AccessRefusal {
  return { kind: "unauthenticated", message };
}
