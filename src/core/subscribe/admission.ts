import type { DeliveryMode, Policy } from "../../protocol/fields.ts";
import { subjectFault } from "../../protocol/subject.ts";
import type { Session } from "../sessions/session.ts";
import { exposedOf, firstHidden } from "../subject/subject.ts";
import type { UpstreamSubscriptions } from "../upstream/upstream-subscriptions.ts";
import type { SubscriptionRequest } from "../wire/subscription-request.ts";
import type { ClientRequests } from "./client-requests.ts";
import { isFairShare, type PatternBudget } from "./pattern-budget.ts";
import type { Refusal } from "./refusal.ts";
import type { StartPositions } from "./start-positions.ts";

export interface AdmissionOptions {
  /** The subjects that the endpoint exposes. */
  readonly subjects: readonly string[];
  /** The policy of a subscription that asks for none, or for one that isn't allowed. */
  readonly policy: Policy;
  readonly allowedPolicies: readonly Policy[];
  /** The most subscriptions that a client may have. */
  readonly maxSubscriptions: number;
  readonly deliveryMode: DeliveryMode;
}

interface AdmissionParts {
  readonly requests: ClientRequests;
  readonly budget: PatternBudget;
  readonly upstream: UpstreamSubscriptions;
  readonly starts: StartPositions;
}

/** Decides what a client may subscribe to: the only place that does. */
export class Admission {
  readonly #options: AdmissionOptions;
  readonly #parts: AdmissionParts;

  constructor(options: AdmissionOptions, parts: AdmissionParts) {
    this.#options = options;
    this.#parts = parts;
  }

  /** Returns why a client may not make a request, or `undefined`. */
  refusalOf(client: Session, request: SubscriptionRequest): Refusal | undefined {
    const { id, subjects, mode } = request;
    const { deliveryMode, maxSubscriptions } = this.#options;
    if (mode !== undefined && mode !== deliveryMode) {
      return {
        code: "unsupported",
        message: `the delivery mode of this endpoint is "${deliveryMode}"`,
      };
    }
    const { requests } = this.#parts;
    const titles = client.durables.map(({ title }) => title);
    const held = [...requests.of(client), ...titles];
    if (held.some((other) => other.id === id)) {
      return { code: "duplicate_subscription", message: `the subscription "${id}" already exists` };
    }
    if (held.length >= maxSubscriptions) {
      return {
        code: "too_many_subscriptions",
        message: `a client may have at most ${maxSubscriptions} subscriptions`,
      };
    }
    const hidden = this.hiddenOf(subjects);
    if (hidden !== undefined) {
      return { code: "forbidden", message: `this endpoint carries nothing of "${hidden}"` };
    }
    const excess = this.#excessOf(requests.patternsOf(client), subjects);
    if (excess !== undefined) return excess;
    const fault = this.#parts.starts.faultOf(request);
    return fault === undefined ? undefined : { code: "unsupported", message: fault.message };
  }

  /** Returns the first of these patterns of which nothing is exposed. */
  hiddenOf(subjects: readonly string[] | undefined): string | undefined {
    return firstHidden(this.#options.subjects, subjects);
  }

  /** Returns why a client that has nothing yet may not subscribe to these patterns, or `undefined`. */
  excessOf(subjects: readonly string[] | undefined): Refusal | undefined {
    return this.#excessOf([], subjects);
  }

  /** Returns the policy that counts for a request. */
  policyOf(request: SubscriptionRequest): Policy {
    const { policy, allowedPolicies } = this.#options;
    return allowedPolicies.find((allowed) => allowed === request.policy) ?? policy;
  }

  /** @param held the lists of patterns that the client has. */
  #excessOf(
    held: readonly (readonly string[] | undefined)[],
    subjects: readonly string[] | undefined,
  ): Refusal | undefined {
    if (subjects === undefined) return undefined;
    const { budget, upstream } = this.#parts;
    for (const pattern of exposedOf(this.#options.subjects, subjects)) {
      // The exposed part of a pattern may be longer than the pattern.
      const fault = subjectFault(pattern, true);
      if (fault === undefined) continue;
      const message = `what is exposed of a subject ${fault}: "${pattern.slice(0, 200)}"`;
      return { code: "invalid_subject", message };
    }
    const all = budget.costOf([...held, subjects]);
    const message = budget.excessOf(all);
    if (message !== undefined) return { code: "too_many_subscriptions", message };
    const added = upstream.newOf(subjects);
    const { room } = upstream;
    const isRoom = added === 0 || (added <= room && isFairShare(all.patterns, all.patterns, room));
    if (isRoom && budget.hasRoom(all, budget.costOf([subjects]))) return undefined;
    const full = "the gateway has no room for more patterns now";
    return { code: "too_many_subscriptions", message: full, retryable: true };
  }
}
