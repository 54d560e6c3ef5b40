import { FairShares } from "../core/collections/fair-shares.ts";
import type { Clock } from "../core/ports/clock.ts";
import { reasonOf } from "../core/ports/errors.ts";
import type { Log } from "../core/ports/log.ts";
import { withDeadline } from "../core/timing/deadline.ts";
import { LogLimit } from "../core/timing/log-limit.ts";
import { isObject } from "../protocol/schema.ts";
import { AnswerCache } from "./answer-cache.ts";
import {
  type AccessRefusal,
  type AccessRequest,
  type Authenticator,
  type Identity,
  isRefusal,
} from "./authenticator.ts";
import { toBase64url } from "./base64url.ts";
import type { Claims, ReadClaims } from "./claims.ts";
import { cookiesIn } from "./cookies.ts";
import { sha256 } from "./digest.ts";

/** Sends requests to a service. */
export interface ServiceRequests {
  /**
   * Returns the data of the first answer.
   *
   * @throws an error in words for people if there is none.
   */
  request(subject: string, data: string, timeoutMs: number): Promise<Uint8Array>;
}

interface NatsServiceOptions {
  /** The subject of the service. */
  readonly subject: string;
  readonly timeoutMs: number;
  readonly requests: ServiceRequests;
  readonly readClaims: ReadClaims;
  readonly clock: Clock;
  readonly log: Log;
}

/** The JSON that the service receives about a client. */
export interface ServiceRequest {
  readonly credentials:
    | { readonly kind: "none" }
    | { readonly kind: "token"; readonly token: string; readonly place: string }
    | { readonly kind: "basic"; readonly user: string; readonly password: string };
  /** The cookies by name: the first of several with one name. Cookies of pages that may not use them are left out. */
  readonly cookies: Readonly<Record<string, string>>;
  /** The client's IP address. */
  readonly address: string;
  /** The values of `SERVICE_HEADERS` that the client sent, by name in lower case. */
  readonly headers: Readonly<Record<string, string>>;
}

/** The headers that the service gets. */
const SERVICE_HEADERS = ["host", "origin", "user-agent", "accept-language"] as const;

/** Maximum numbers of remembered clients, of remembered refusals, and of requests that wait for an answer. */
const MAX_IDENTITIES = 10_000;
const MAX_REFUSALS = 1000;
const MAX_UNDER_WAY = 256;
/** The time for which a refusal, and an answer without `exp`, is kept. */
const SHORT_MS = 5000;
/** The longest time that an answer is kept: the service may take back what it said. */
const LONGEST_MS = 5 * 60_000;
/** The longest answer that is read, in bytes. */
const MAX_ANSWER_BYTES = 64 * 1024;
/** The longest reason of a refusal. */
const MAX_REASON = 200;
/** Minimum time between two log lines about failures. */
const INTERVAL_MS = 10_000;

const REFUSED = "What this client shows is not valid here";
const UNAVAILABLE: AccessRefusal = {
  kind: "unavailable",
  message: "Who this client is can't be checked now",
};

/** An answer, and the time for which it is kept, in milliseconds. */
interface Answer {
  readonly result: Identity | AccessRefusal;
  readonly keptMs: number;
}

const utf8 = new TextDecoder("utf-8", { fatal: true });

/**
 * Asks a service behind NATS about a client. The service answers with JSON: the claims of the client, as a token would
 * have them, or `{"refused": "why"}`. Answers are kept until their `exp`, for five minutes at most. If there is no answer, or one that can't
 * be read, nobody is let in.
 */
export class NatsServiceAuthenticator implements Authenticator {
  readonly name = "service";
  readonly #options: NatsServiceOptions;
  readonly #identities = new AnswerCache<Identity>(MAX_IDENTITIES);
  /** Refusals have a cache of their own, so that many wrong tokens don't push out known clients. */
  readonly #refusals = new AnswerCache<AccessRefusal>(MAX_REFUSALS);
  /** The requests that wait for an answer, by the hash of the question: the same question is asked once. */
  readonly #underWay = new Map<string, Promise<Identity | AccessRefusal>>();
  /** The requests of each address that wait for an answer. */
  readonly #shares = new FairShares();
  readonly #limit: LogLimit<"failed">;

  constructor(options: NatsServiceOptions) {
    this.#options = options;
    this.#limit = new LogLimit(options.clock, INTERVAL_MS);
  }

  async authenticate(request: AccessRequest): Promise<Identity | AccessRefusal | undefined> {
    const asked = serviceRequest(request);
    const { addressGroup = request.address } = request;
    if (asked.credentials.kind !== "none") return await this.#answerTo(asked, addressGroup);
    // The client shows nothing by which the service could know it.
    if (Object.keys(asked.cookies).length === 0) return undefined;
    const answer = await this.#answerTo(asked, addressGroup);
    // Cookies may have nothing to do with us: without a token, the client showed nothing.
    return isRefusal(answer) && answer.kind === "unauthenticated" ? undefined : answer;
  }

  async #answerTo(asked: ServiceRequest, addressGroup: string): Promise<Identity | AccessRefusal> {
    const body = JSON.stringify(asked);
    // Tokens are not kept in memory.
    const key = toBase64url(await sha256(body));
    const nowMs = this.#options.clock.nowMs();
    const kept = this.#identities.get(key, nowMs) ?? this.#refusals.get(key, nowMs);
    if (kept !== undefined) return kept;
    const underWay = this.#underWay.get(key);
    if (underWay !== undefined) return await underWay;
    // One address must not keep the clients of others waiting.
    if (!this.#shares.mayTake(addressGroup, MAX_UNDER_WAY - this.#underWay.size)) {
      const detail = `too many clients wait for an answer, all together (${MAX_UNDER_WAY}) or of this address`;
      return this.#unavailable(detail);
    }
    this.#shares.take(addressGroup);
    const asking = this.#ask(body, key).finally(() => {
      this.#underWay.delete(key);
      this.#shares.give(addressGroup);
    });
    this.#underWay.set(key, asking);
    return await asking;
  }

  async #ask(body: string, key: string): Promise<Identity | AccessRefusal> {
    const { subject, timeoutMs, requests, clock } = this.#options;
    const askedAtMs = clock.wallMs();
    let answer: Answer | string;
    try {
      const data = await withDeadline(clock, timeoutMs, () =>
        requests.request(subject, body, timeoutMs),
      );
      answer = this.#read(data, askedAtMs);
    } catch (error) {
      return this.#unavailable(reasonOf(error));
    }
    if (typeof answer === "string") return this.#unavailable(answer);
    const { result, keptMs } = answer;
    // Not by the wall clock, which may be set back.
    const nowMs = clock.nowMs();
    if (isRefusal(result)) this.#refusals.set(key, result, nowMs + keptMs, nowMs);
    else this.#identities.set(key, result, nowMs + keptMs, nowMs);
    return result;
  }

  /**
   * Reads an answer; returns what is wrong with it, if it can't be read.
   *
   * @param askedAtMs when the service was asked: without `iat`, the client's token counts as issued then.
   */
  #read(data: Uint8Array, askedAtMs: number): Answer | string {
    const nowMs = this.#options.clock.wallMs();
    const claims = claimsFrom(data);
    if (typeof claims === "string") return claims;
    const { refused } = claims;
    if (refused !== undefined) {
      if (typeof refused !== "string") return '"refused" in its answer is no text';
      const detail = refused === "" ? undefined : `the service refused it: ${shortened(refused)}`;
      const result = { kind: "unauthenticated", message: REFUSED, detail } as const;
      return { result, keptMs: SHORT_MS };
    }
    const identity = this.#options.readClaims(claims);
    if ("kind" in identity) return `its answer has claims that don't count: ${identity.detail}`;
    const { issuedAtMs = askedAtMs, expiresAtMs = nowMs + SHORT_MS } = identity;
    if (expiresAtMs <= nowMs) return "its answer had expired when it came";
    const keptMs = Math.min(expiresAtMs - nowMs, LONGEST_MS);
    return { result: { ...identity, issuedAtMs }, keptMs };
  }

  #unavailable(reason: string): AccessRefusal {
    const { log, subject } = this.#options;
    const others = this.#limit.othersBefore("failed");
    if (others !== undefined) {
      const properties = { event: "authorizer_failed", subject, reason, others };
      log.warn("The service at {subject} can't say who a client is: {reason}", properties);
    }
    return UNAVAILABLE;
  }
}

/** Makes the request to the service about a client. */
function serviceRequest({ credentials, address, headers }: AccessRequest): ServiceRequest {
  const shown = SERVICE_HEADERS.flatMap((name) => {
    const value = headers.get(name);
    return value === null ? [] : [[name, value] as const];
  });
  return {
    credentials,
    cookies: firstCookies(headers.get("cookie") ?? ""),
    address,
    headers: Object.fromEntries(shown),
  };
}

/** Reads the first cookie of each name. */
function firstCookies(header: string): Record<string, string> {
  const cookies = new Map<string, string>();
  for (const [name, value] of cookiesIn(header)) {
    if (!cookies.has(name)) cookies.set(name, value);
  }
  // A name "__proto__" becomes a property like any other.
  return Object.fromEntries(cookies);
}

function claimsFrom(data: Uint8Array): Claims | string {
  if (data.length > MAX_ANSWER_BYTES) return `its answer has more than ${MAX_ANSWER_BYTES} bytes`;
  try {
    const value: unknown = JSON.parse(utf8.decode(data));
    return isObject(value) ? value : "its answer is no JSON object";
  } catch {
    return "its answer is no JSON";
  }
}

function shortened(text: string): string {
  return text.length > MAX_REASON ? `${text.slice(0, MAX_REASON)}…` : text;
}
