import type { DeliveryMode, Policy } from "../../protocol/fields.ts";
import type { StartPoint } from "../ports/source.ts";
import { DenyList } from "../subject/deny-list.ts";
import { PatternIndex, withoutCovered } from "../subject/pattern-index.ts";
import {
  carries,
  exposedOf,
  exposes,
  grantedOf,
  isReserved,
  type Selection,
  subjectIntersection,
  subjectMatches,
  subjectsIntersect,
} from "../subject/subject.ts";
import type { DeliveryTerms, SubscriptionRequest } from "../wire/subscription-request.ts";
import type { Refusal } from "./refusal.ts";

/** The identity of a client: sessions and durables belong to the principal that began them. */
export interface Principal {
  /** Vouches for the name: the same name of another issuer is another principal. `""` for anonymous clients. */
  readonly issuer: string;
  /** The name that the client has proved; `""` for anonymous clients, which are one principal together. */
  readonly sub: string;
}

export const ANONYMOUS: Principal = { issuer: "", sub: "" };

/** Tells principals apart: equal for the same one, and for no others. */
export function principalKey({ issuer, sub }: Principal): string {
  return JSON.stringify([issuer, sub]);
}

/** Returns the owner of a principal's durables, as a key; `""` for anonymous clients. */
export function ownerKey(principal: Principal): string {
  return isSamePrincipal(principal, ANONYMOUS) ? "" : principalKey(principal);
}

/** Returns who a client counts as where users share something: its principal, or for an anonymous client its address. */
export function userKey(principal: Principal, addressGroup: string): string {
  return isSamePrincipal(principal, ANONYMOUS)
    ? `address ${addressGroup}`
    : `user ${principalKey(principal)}`;
}

export function isSamePrincipal(one: Principal, other: Principal): boolean {
  return one.issuer === other.issuer && one.sub === other.sub;
}

/** The subjects of one kind of action: what is allowed and not denied. See also {@linkcode GrantTerms.basis}. */
export interface SubjectPermission {
  readonly allow: Selection;
  /** Patterns that take precedence over `allow`. */
  readonly deny: readonly string[];
}

const EVERYTHING_ALLOWED: SubjectPermission = { allow: "everything", deny: [] };
export const NOTHING_ALLOWED: SubjectPermission = { allow: [], deny: [] };

/** The token that a grant was made from: what expires, and what is revoked. */
export interface GrantToken {
  /** `jti` of RFC 7519 §4.1.7; `undefined`: the token has no name. */
  readonly id: string | undefined;
  /** When it was issued, in Unix milliseconds. */
  readonly issuedAtMs: number;
  /** When the grant ends, in Unix milliseconds; `Infinity`: never. */
  readonly expiresAtMs: number;
}

/** The places where a subscription may begin. */
export const START_KINDS = [
  "new",
  "all",
  "last",
  "last_per_subject",
  "seq",
  "time",
  "after",
] as const;

export type StartKind = (typeof START_KINDS)[number];

/** The permissions of a client. Every field is set; nothing is allowed by its absence. */
export interface GrantTerms {
  readonly principal: Principal;
  /** The name of the account of NATS that the client belongs to; `undefined`: the default one. */
  readonly account: string | undefined;
  /** `undefined`: the grant comes from no token, and doesn't end. It says nothing about what the client may do. */
  readonly token: GrantToken | undefined;
  /**
   * The authority for the permissions:
   *
   * - `"claims"`: those of the client, within the subjects that the gateway exposes.
   * - `"configuration"`: the operator, who may let clients publish and send requests to subjects that aren't exposed.
   */
  readonly basis: "claims" | "configuration";
  /** The subjects that the client may receive. */
  readonly receives: SubjectPermission;
  /** The subjects that the client may publish to. */
  readonly publishes: SubjectPermission;
  /** The subjects that the client may send requests to. */
  readonly requests: SubjectPermission;
  /** The subjects whose presence the client may see. */
  readonly presence: SubjectPermission;
  readonly deliveryMode: DeliveryMode;
  /** The policy of a subscription that asks for none, or for one that isn't allowed. */
  readonly policy: Policy;
  readonly allowedPolicies: readonly Policy[];
  readonly starts: readonly StartKind[];
  /** The start of a subscription that doesn't name one. */
  readonly startFrom: StartPoint;
  /** The names of durables that the client may use; a `*` in a name stands for any characters. */
  readonly durables: "any" | readonly string[];
  /** Whether the client may name its session, to resume it. */
  readonly sessions: boolean;
  /** The most subscriptions at a time. */
  readonly maxSubscriptions: number;
  /**
   * The most messages per second of each subject in a subscription; `Infinity`: no limit. It slows down neither
   * messages that streams have kept nor durables, which leave nothing out.
   */
  readonly maxRate: number;
}

/** A request that isn't refused, with the part of it that the client gets. */
export interface GrantedRequest extends SubscriptionRequest {
  /** The messages of its subjects that it doesn't bring. */
  readonly denied: DenyList;
  /** Its start if it has no cursor: its own, or its grant's. */
  readonly startPoint: StartPoint;
}

/** The settings of the configuration that hold for all clients. */
export interface GrantOptions
  extends Pick<
    GrantTerms,
    "deliveryMode" | "policy" | "allowedPolicies" | "startFrom" | "maxSubscriptions"
  > {
  /** The subjects that clients without authentication may publish to; `"everything"` that is exposed. Default: nothing. */
  readonly publishSubjects?: Selection;
  /** The subjects that clients without authentication may send requests to. Default: nothing. */
  readonly requestSubjects?: Selection;
}

/** The identity of a client and everything that it may do: every check asks the grant, and nothing else decides. */
export class Grant {
  readonly terms: GrantTerms;
  /** The patterns of everything that the client may receive, `denied` aside; none of them is denied as a whole. */
  readonly patterns: readonly string[];
  /** The messages that the client doesn't receive, even if a pattern matches them. */
  readonly denied: DenyList;
  /** Whether the client must still show a token: until then, it may do nothing. */
  readonly awaitsToken: boolean;
  readonly #exposed: readonly string[];

  /** @param exposed the subjects that the gateway exposes. */
  constructor(exposed: readonly string[], terms: GrantTerms, awaitsToken = false) {
    this.awaitsToken = awaitsToken;
    const { allow } = terms.receives;
    this.terms = terms;
    const patterns = allow === "everything" ? exposed : grantedOf(exposed, allow);
    this.denied = deniedOf(exposed, terms.receives, patterns);
    this.patterns = patterns.filter((pattern) => !this.denied.deniesAll(pattern));
    this.#exposed = exposed;
  }

  /**
   * Makes the grant of everybody, for a gateway without authentication.
   *
   * @param allow what everybody may receive of that. Default: all.
   */
  static forEverybody(
    exposed: readonly string[],
    options: GrantOptions,
    allow: Selection = "everything",
  ): Grant {
    const { deliveryMode, policy, allowedPolicies, startFrom, maxSubscriptions } = options;
    return new Grant(exposed, {
      principal: ANONYMOUS,
      account: undefined,
      token: undefined,
      basis: "configuration",
      receives: { allow, deny: [] },
      publishes: { allow: options.publishSubjects ?? [], deny: [] },
      requests: { allow: options.requestSubjects ?? [], deny: [] },
      presence: EVERYTHING_ALLOWED,
      ...{ deliveryMode, policy, allowedPolicies, startFrom, maxSubscriptions },
      starts: START_KINDS,
      durables: "any",
      sessions: true,
      maxRate: Number.POSITIVE_INFINITY,
    });
  }

  /** Makes the grant of a client that is let in to show its token later. */
  static awaitingToken(exposed: readonly string[], options: GrantOptions): Grant {
    const { terms } = Grant.forEverybody(exposed, options);
    const nothing = {
      receives: NOTHING_ALLOWED,
      publishes: NOTHING_ALLOWED,
      requests: NOTHING_ALLOWED,
      presence: NOTHING_ALLOWED,
      durables: [],
      sessions: false,
    };
    return new Grant(exposed, { ...terms, ...nothing }, true);
  }

  /** Returns why the client may not make a request, or `undefined`. */
  refusalOf(request: SubscriptionRequest): Refusal | undefined {
    const { deliveryMode, starts, durables } = this.terms;
    const { subjects, mode, durable } = request;
    if (mode !== undefined && mode !== deliveryMode) {
      return {
        code: "unsupported",
        message: `the delivery mode of this endpoint is "${deliveryMode}"`,
      };
    }
    const hidden = this.#hiddenOf(subjects);
    if (hidden !== undefined) {
      const who = this.terms.basis === "claims" ? "client may receive" : "endpoint carries";
      return { code: "forbidden", message: `this ${who} nothing of "${hidden}"` };
    }
    const kind = this.#startKindOf(request);
    if (!starts.includes(kind)) {
      return { code: "forbidden", message: `this client may not begin with "${kind}"` };
    }
    if (durable !== undefined && !isNamed(durables, durable)) {
      return { code: "forbidden", message: `this client may not use the durable "${durable}"` };
    }
    return undefined;
  }

  /**
   * Returns what the client receives of the subjects that it asks for, `denied` aside. It is `"everything"` only if the
   * client receives every message that the gateway exposes.
   */
  select(asked: Selection): Selection {
    if (this.#isUnlimited) return asked;
    if (asked === "everything") return this.patterns;
    return exposedOf(this.patterns, asked).filter((pattern) => !this.denied.deniesAll(pattern));
  }

  /**
   * Returns what is left of subjects that the client has subscribed to with another grant: the same list if that is all
   * of them, and `undefined` if it is nothing.
   */
  leftOf(subjects: Selection): Selection | undefined {
    if (subjects !== "everything" && subjects.every((pattern) => this.#allowsAll(pattern))) {
      return subjects;
    }
    const selected = this.select(subjects);
    if (selected === "everything") return selected;
    return selected.length === 0 ? undefined : withoutCovered(selected);
  }

  /** Whether a durable that was begun with another grant may be used on: the client gets all of it, or as much as before. */
  mayKeep(durable: string, subjects: readonly string[], before: Grant): boolean {
    return (
      isSamePrincipal(this.terms.principal, before.terms.principal) &&
      isNamed(this.terms.durables, durable) &&
      subjects.every((pattern) => this.#allowsAll(pattern)) &&
      this.denied.patterns.every(
        (denied) =>
          !subjects.some((pattern) => subjectsIntersect(denied, pattern)) ||
          before.denied.deniesAll(denied),
      )
    );
  }

  /** Returns what the client gets of a request that is not refused: of these subjects, from this place on. */
  applyTo(request: SubscriptionRequest): GrantedRequest {
    const { after, subjects, start } = request;
    const startPoint = start ?? (after === undefined ? this.terms.startFrom : "new");
    return { ...request, subjects: this.select(subjects), denied: this.denied, startPoint };
  }

  /** Returns how a subscription brings its messages: as it asks for, within what the grant allows. */
  deliveryOf({
    policy,
    maxRate = Number.POSITIVE_INFINITY,
  }: Pick<SubscriptionRequest, "policy" | "maxRate">): DeliveryTerms {
    const { allowedPolicies } = this.terms;
    const rate = Math.min(maxRate, this.terms.maxRate);
    return {
      policy: allowedPolicies.find((allowed) => allowed === policy) ?? this.terms.policy,
      maxRate: rate === Number.POSITIVE_INFINITY ? undefined : rate,
    };
  }

  /** Whether the client may receive a message of this subject, whatever it has subscribed to. */
  mayReceive(subject: string): boolean {
    if (this.denied.denies(subject)) return false;
    return this.patterns.some((pattern) => carries(pattern, subject));
  }

  /** Whether the client may publish to a subject. */
  mayPublish(subject: string): boolean {
    return this.#allows(this.terms.publishes, subject);
  }

  /** Whether the client may send a request to a subject. */
  mayRequest(subject: string): boolean {
    return this.#allows(this.terms.requests, subject);
  }

  /** Whether the client may see who is on every subject that a pattern matches. */
  maySeePresence(pattern: string): boolean {
    const { allow, deny } = this.terms.presence;
    if (!this.#exposed.some((exposed) => exposes(exposed, pattern))) return false;
    if (allow !== "everything" && !carriesAllOf(allow, pattern)) return false;
    return !PatternIndex.of(deny).someIntersects(pattern);
  }

  /** Whether the client may resume what another connection with a grant began: it is its own, and no more than it may receive. */
  mayResume(other: Grant): boolean {
    return isSamePrincipal(this.terms.principal, other.terms.principal) && this.coversAll(other);
  }

  /** Whether the client may receive everything that another grant allows. */
  coversAll(other: Grant): boolean {
    const { receives } = this.terms;
    const { denied } = other;
    return (
      this.denied.patterns.every((pattern) => denied.deniesAll(pattern)) &&
      (receives.allow === "everything" ||
        other.patterns.every((pattern) => carriesAllOf(this.patterns, pattern)))
    );
  }

  /** Whether a subject may be sent to. `"everything"` is everything that is exposed. */
  #allows({ allow, deny }: SubjectPermission, subject: string): boolean {
    const mustBeExposed = this.terms.basis === "claims" || allow === "everything";
    if (mustBeExposed && !carriesOne(this.#exposed, subject)) return false;
    if (allow !== "everything" && !carriesOne(allow, subject)) return false;
    return !deny.some((pattern) => subjectMatches(pattern, subject));
  }

  /** Whether the client may receive everything that a pattern matches, `denied` aside, and not nothing. */
  #allowsAll(pattern: string): boolean {
    if (this.#hides(pattern)) return false;
    return this.terms.receives.allow === "everything" || carriesAllOf(this.patterns, pattern);
  }

  /** Returns the patterns of what a selection of this grant brings. */
  exposedOf(selected: readonly string[]): readonly string[] {
    return this.#isUnlimited ? exposedOf(this.patterns, selected) : selected;
  }

  /** Whether the client may receive every message that the gateway exposes. */
  get #isUnlimited(): boolean {
    return this.terms.receives.allow === "everything" && this.denied.isEmpty;
  }

  /** Whether the client may receive nothing of a pattern. */
  #hides(asked: string): boolean {
    const isOpen = !isReserved(asked);
    return !PatternIndex.of(this.patterns).someIntersects(asked, (pattern) => {
      if (!isOpen && !isReserved(pattern)) return false;
      const both = this.denied.isEmpty ? undefined : subjectIntersection(pattern, asked);
      return both === undefined || !this.denied.deniesAll(both);
    });
  }

  /** Returns the first pattern that matches nothing that the client may receive. */
  #hiddenOf(asked: Selection): string | undefined {
    return asked === "everything" ? undefined : asked.find((subject) => this.#hides(subject));
  }

  #startKindOf({ after, start = this.terms.startFrom }: SubscriptionRequest): StartKind {
    if (after !== undefined) return "after";
    if (typeof start === "string") return start;
    return "sequence" in start ? "seq" : "time";
  }
}

/**
 * Returns what is denied of the exposed subjects. A wildcard that is allowed doesn't stand for a subject of NATS itself:
 * where such subjects are exposed, those that aren't allowed by name are denied.
 */
function deniedOf(
  exposed: readonly string[],
  { allow, deny }: SubjectPermission,
  patterns: readonly string[],
): DenyList {
  const denied = deny.filter((one) => exposed.some((pattern) => exposes(pattern, one)));
  if (allow !== "everything" && exposed.some(isReserved)) {
    return new DenyList(denied, patterns.filter(isReserved));
  }
  return denied.length === 0 ? DenyList.NOTHING : new DenyList(denied);
}

/** Whether one of the patterns carries everything that another pattern carries. */
function carriesAllOf(patterns: readonly string[], pattern: string): boolean {
  const isOpen = !isReserved(pattern);
  return PatternIndex.of(patterns).someCovers(pattern, (own) => isOpen || isReserved(own));
}

function carriesOne(patterns: readonly string[], subject: string): boolean {
  return patterns.some((pattern) => carries(pattern, subject));
}

function isNamed(names: GrantTerms["durables"], name: string): boolean {
  return names === "any" || names.some((pattern) => matchesName(pattern, name));
}

/** Whether a name matches a pattern, in which each `*` stands for any characters. */
function matchesName(pattern: string, name: string): boolean {
  const [first = "", ...rest] = pattern.split("*");
  const last = rest.pop();
  if (last === undefined) return pattern === name;
  if (!name.startsWith(first)) return false;
  let at = first.length;
  for (const part of rest) {
    const found = name.indexOf(part, at);
    if (found < 0) return false;
    at = found + part.length;
  }
  return name.length - last.length >= at && name.endsWith(last);
}
