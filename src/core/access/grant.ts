import type { DeliveryMode, Policy } from "../../protocol/fields.ts";
import type { StartPoint } from "../ports/source.ts";
import { carries, carriesAll, exposedOf, exposes, type Selection } from "../subject/subject.ts";
import type { SubscriptionRequest } from "../wire/subscription-request.ts";
import type { Refusal } from "./refusal.ts";

/** Who a client is: sessions and durables belong to the principal that began them. */
export interface Principal {
  /** The name that the client has proved; `""` for anonymous clients, which are one principal together. */
  readonly sub: string;
}

const ANONYMOUS: Principal = { sub: "" };

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

/** What a client may do. Every field says it; nothing is allowed by its absence. */
export interface GrantTerms {
  readonly principal: Principal;
  /** What the client may receive of the subjects that the gateway exposes. */
  readonly receives: Selection;
  /** What the client may publish to of the subjects that the gateway exposes. */
  readonly publishes: Selection;
  readonly deliveryMode: DeliveryMode;
  /** The policy of a subscription that asks for none, or for one that isn't allowed. */
  readonly policy: Policy;
  readonly allowedPolicies: readonly Policy[];
  readonly starts: readonly StartKind[];
  /** Where a subscription begins that doesn't say it. */
  readonly startFrom: StartPoint;
  /** The names of durables that the client may use. */
  readonly durables: "any" | readonly string[];
  /** Whether the client may name its session, to resume it. */
  readonly sessions: boolean;
  /** The most subscriptions at a time. */
  readonly maxSubscriptions: number;
}

/** What the configuration says of all clients. */
export type GrantOptions = Pick<
  GrantTerms,
  "deliveryMode" | "policy" | "allowedPolicies" | "startFrom" | "maxSubscriptions"
>;

/** Who a client is, and everything that it may do: every check asks the grant, and nothing else decides. */
export class Grant {
  readonly terms: GrantTerms;
  /** The patterns of everything that the client may receive. */
  readonly patterns: readonly string[];
  readonly #exposed: readonly string[];

  /** @param exposed the subjects that the gateway exposes. */
  constructor(exposed: readonly string[], terms: GrantTerms) {
    this.terms = terms;
    this.patterns = terms.receives === "everything" ? exposed : exposedOf(exposed, terms.receives);
    this.#exposed = exposed;
  }

  /** Makes the grant of everybody, for a gateway without authentication. */
  static forEverybody(exposed: readonly string[], options: GrantOptions): Grant {
    const { deliveryMode, policy, allowedPolicies, startFrom, maxSubscriptions } = options;
    return new Grant(exposed, {
      principal: ANONYMOUS,
      receives: "everything",
      publishes: "everything",
      ...{ deliveryMode, policy, allowedPolicies, startFrom, maxSubscriptions },
      starts: START_KINDS,
      durables: "any",
      sessions: true,
    });
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
      return { code: "forbidden", message: `this endpoint carries nothing of "${hidden}"` };
    }
    const kind = this.#startKindOf(request);
    if (!starts.includes(kind)) {
      return { code: "forbidden", message: `this client may not begin with "${kind}"` };
    }
    if (durable !== undefined && durables !== "any" && !durables.includes(durable)) {
      return { code: "forbidden", message: `this client may not use the durable "${durable}"` };
    }
    return undefined;
  }

  /**
   * Returns what the client receives of the subjects that it asks for. It is `"everything"` only if the client
   * may receive everything that the gateway exposes.
   */
  select(asked: Selection): Selection {
    if (this.terms.receives === "everything") return asked;
    return asked === "everything" ? this.patterns : exposedOf(this.patterns, asked);
  }

  /** Returns what the client gets of a request that is not refused: of these subjects, from this place on. */
  applyTo(request: SubscriptionRequest): SubscriptionRequest {
    const { after, subjects, start = after === undefined ? this.terms.startFrom : "new" } = request;
    return { ...request, subjects: this.select(subjects), start };
  }

  /** Returns the policy of a subscription. */
  policyOf({ policy }: SubscriptionRequest): Policy {
    const { allowedPolicies } = this.terms;
    return allowedPolicies.find((allowed) => allowed === policy) ?? this.terms.policy;
  }

  /** Whether the client may publish to a subject. */
  mayPublish(subject: string): boolean {
    return [this.#exposed, this.terms.publishes].every(
      (patterns) =>
        patterns === "everything" || patterns.some((pattern) => carries(pattern, subject)),
    );
  }

  /** Whether the client may resume what another connection with a grant began: it is its own, and no more than it may receive. */
  mayResume(other: Grant): boolean {
    const { principal, receives } = this.terms;
    if (principal.sub !== other.terms.principal.sub) return false;
    return (
      receives === "everything" ||
      other.patterns.every((pattern) => this.patterns.some((own) => carriesAll(own, pattern)))
    );
  }

  /** Returns the first of these patterns of which the client may receive nothing. */
  #hiddenOf(asked: Selection): string | undefined {
    if (asked === "everything") return undefined;
    return asked.find((subject) => !this.patterns.some((pattern) => exposes(pattern, subject)));
  }

  #startKindOf({ after, start = this.terms.startFrom }: SubscriptionRequest): StartKind {
    if (after !== undefined) return "after";
    if (typeof start === "string") return start;
    return "sequence" in start ? "seq" : "time";
  }
}
