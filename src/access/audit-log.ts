import type { Clock } from "../core/ports/clock.ts";
import type { Log } from "../core/ports/log.ts";
import type { DeniedRequest } from "../core/ports/observer.ts";
import { FairRateLimit } from "../core/timing/fair-rate-limit.ts";

/** Every field of the audit log, with its meaning. */
export const AUDIT_FIELDS = {
  account: "The account of NATS that the client belongs to, if it isn't the default one",
  action: "What the client wanted to do: `subscribe`, `presence`, `publish` or `request`",
  address: "The IP address of the client or operator; `trusted_proxies` may name it",
  client:
    "The number of the client's connection, if there is one; other lines of the log have it too",
  dialect: "`plain`, `v1` or `sse`",
  issued_before: "Tokens that were issued before this time are revoked",
  issuer: "Who vouches for `sub`; empty for anonymous clients",
  jti: "The name of the token",
  kind: "`malformed`, `unauthenticated`, `forbidden` or `unavailable`",
  left_out: "The event whose lines were left out",
  limit: "The limit: `address`, `sub`, `rate`, `too_many_frames` or `too_many_connections`",
  method: "The method of the request",
  names: "The names in the certificate of the client",
  operator: "The `sub` of the operator; empty where operators need no token",
  path: "The path of the request, without its query",
  reason: "Why, for people",
  sub: "The name that the client has proved; empty for anonymous clients",
} as const;

type AuditField = keyof typeof AUDIT_FIELDS;

interface AuditFacts {
  /** The occasion on which the event is recorded. */
  readonly meaning: string;
  /** The sentence of the log line. */
  readonly message: string;
  readonly fields: readonly AuditField[];
  /** The sustained number of lines per second, of all clients together; a burst may have five seconds of it. */
  readonly perSecond: number;
}

/** The lines per second of events that anybody can cause, and of events that need valid credentials. */
const BY_STRANGERS = 10;
const BY_KNOWN = 100;

/** Every event of the audit log. `npm run docs` writes the tables of `docs/security.md` from these lists. */
export const AUDIT_EVENTS = {
  client_connected: {
    meaning: "A client connected",
    message: 'Client {client} connected from {address} as "{sub}"',
    fields: ["client", "address", "dialect", "sub", "issuer", "jti", "account"],
    perSecond: BY_KNOWN,
  },
  client_authenticated: {
    meaning: "A connected client sent a valid token in an `auth` frame",
    message: 'A client at {address} has shown a token of "{sub}"',
    fields: ["address", "sub", "issuer", "jti", "account"],
    perSecond: BY_KNOWN,
  },
  client_refused: {
    meaning: "A client was refused because of its credentials or its certificate",
    message: "Refused a client at {address} as {kind}: {reason}",
    fields: ["address", "kind", "reason", "method", "path", "names"],
    perSecond: BY_STRANGERS,
  },
  client_limited: {
    meaning: "A client was refused or disconnected because of a limit",
    message: "A client at {address} exceeds the limit {limit}",
    fields: ["address", "limit", "client", "sub", "issuer", "jti", "account"],
    perSecond: BY_STRANGERS,
  },
  client_denied: {
    meaning: "A client may not subscribe, or see who is on a subject, as it wants",
    message: 'A client at {address}, "{sub}", is denied the action {action}: {reason}',
    fields: ["client", "address", "sub", "issuer", "jti", "account", "action", "reason"],
    perSecond: BY_STRANGERS,
  },
  publish_denied: {
    meaning: "A client may not publish or send a request as it wants",
    message: 'A client at {address}, "{sub}", may not {action}: {reason}',
    fields: ["client", "address", "sub", "issuer", "jti", "account", "action", "reason"],
    perSecond: BY_STRANGERS,
  },
  client_revoked: {
    meaning: "A client was disconnected because its token was revoked",
    message: 'Client {client} at {address}, "{sub}", lost its token',
    fields: ["client", "address", "sub", "issuer", "jti", "account"],
    perSecond: BY_KNOWN,
  },
  operator_refused: {
    meaning: "A request for operators was refused",
    message: "Refused {method} {path} to an operator at {address}: {reason}",
    fields: ["operator", "address", "method", "path", "reason"],
    perSecond: BY_STRANGERS,
  },
  operator_drained: {
    meaning: "An operator asked for a drain",
    message: 'The operator "{operator}" at {address} asked for a drain',
    fields: ["operator", "address"],
    perSecond: BY_KNOWN,
  },
  operator_reloaded: {
    meaning: "An operator reloaded the configuration, or tried to",
    message: 'The operator "{operator}" at {address} reloaded the configuration: {reason}',
    fields: ["operator", "address", "reason"],
    perSecond: BY_KNOWN,
  },
  operator_revoked: {
    meaning: "An operator revoked tokens",
    message: 'The operator "{operator}" at {address} revoked tokens',
    fields: ["operator", "address", "jti", "sub", "issued_before"],
    perSecond: BY_KNOWN,
  },
  lines_left_out: {
    meaning:
      "The gateway stopped, and `others` lines of an event were left out since its last line",
    message: "Left out lines of {left_out}",
    fields: ["left_out"],
    perSecond: BY_KNOWN,
  },
} as const satisfies Readonly<Record<string, AuditFacts>>;

export type AuditEvent = keyof typeof AUDIT_EVENTS;

/** Returns the event of a request that the client's grant doesn't allow. */
export function deniedEvent(action: DeniedRequest["action"]): "publish_denied" | "client_denied" {
  return action === "publish" || action === "request" ? "publish_denied" : "client_denied";
}

/** The fields of an event. A field that is `undefined` is left out. */
type FieldsOf<E extends AuditEvent> = {
  readonly [F in (typeof AUDIT_EVENTS)[E]["fields"][number]]?: string | number | undefined;
};

const BURST_SECONDS = 5;
/** Maximum length of a text that a client chose. */
const MAX_TEXT = 256;

/** The key of those whose lines share a part of the bound: a client that has proved a name, an operator, or an address. */
interface Actor {
  readonly sub?: string | number | undefined;
  readonly issuer?: string | number | undefined;
  readonly operator?: string | number | undefined;
  readonly address?: string | number | undefined;
}

/** The lines of an event. */
interface Bound {
  readonly rate: FairRateLimit;
  others: number;
}

/**
 * Writes the audit log: lines at `info` with `audit: true`, the event and its fields. No line has a token, a password or a
 * payload. The lines of each event are bounded, so that those of one client leave a part to others; `others` is the number
 * that were left out before a line.
 */
export class AuditLog {
  readonly #log: Log;
  readonly #clock: Pick<Clock, "nowMs">;
  readonly #groupOf: (address: string) => string;
  readonly #bounds = new Map<AuditEvent, Bound>();

  /** @param groupOf returns the group in which an address counts. Default: the address itself. */
  constructor(
    log: Log,
    clock: Pick<Clock, "nowMs">,
    groupOf: (address: string) => string = (address) => address,
  ) {
    this.#log = log;
    this.#clock = clock;
    this.#groupOf = groupOf;
  }

  record<E extends AuditEvent>(event: E, fields: FieldsOf<E>): void {
    const nowMs = this.#clock.nowMs();
    const bound = this.#boundOf(event, nowMs);
    if (bound.rate.take(this.#actorOf(fields), nowMs) > 0) bound.others++;
    else this.#write(event, fields, bound);
  }

  /** Writes how many lines were left out since the last one of each event. May be called twice. */
  stop(): void {
    for (const [event, bound] of this.#bounds) {
      if (bound.others > 0) this.#write("lines_left_out", { left_out: event }, bound);
    }
  }

  #boundOf(event: AuditEvent, nowMs: number): Bound {
    let bound = this.#bounds.get(event);
    if (bound === undefined) {
      const { perSecond } = AUDIT_EVENTS[event];
      const rate = new FairRateLimit(perSecond, perSecond * BURST_SECONDS, nowMs);
      bound = { rate, others: 0 };
      this.#bounds.set(event, bound);
    }
    return bound;
  }

  #actorOf({ operator, sub, issuer, address = "" }: Actor): string {
    if (operator) return JSON.stringify(["operator", operator]);
    return sub ? JSON.stringify([issuer, sub]) : this.#groupOf(`${address}`);
  }

  #write<E extends AuditEvent>(event: E, fields: FieldsOf<E>, bound: Bound): void {
    const { others } = bound;
    bound.others = 0;
    const shown = Object.entries(fields).flatMap(([name, value]) => {
      if (value === undefined) return [];
      return [[name, typeof value === "string" ? value.slice(0, MAX_TEXT) : value] as const];
    });
    const properties = { ...Object.fromEntries(shown), event, audit: true, others };
    this.#log.info(AUDIT_EVENTS[event].message, properties);
  }
}
