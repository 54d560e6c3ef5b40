import { subjectFault } from "../../protocol/subject.ts";
import type { Grant, GrantedRequest } from "../access/grant.ts";
import type { Refusal } from "../access/refusal.ts";
import type { Session } from "../sessions/session.ts";
import type { Selection } from "../subject/subject.ts";
import type { UpstreamSubscriptions } from "../upstream/upstream-subscriptions.ts";
import type { SubscriptionRequest } from "../wire/subscription-request.ts";
import type { ClientRequests } from "./client-requests.ts";
import { isFairShare, type PatternBudget } from "./pattern-budget.ts";
import type { StartPositions } from "./start-positions.ts";

interface AdmissionParts {
  readonly requests: ClientRequests;
  readonly budget: PatternBudget;
  readonly upstream: UpstreamSubscriptions;
  readonly starts: StartPositions;
}

/** Takes requests within the client's grant, and as long as there is room. */
export class Admission {
  readonly #parts: AdmissionParts;

  constructor(parts: AdmissionParts) {
    this.#parts = parts;
  }

  /**
   * Returns why a client may not make a request, or `undefined`.
   *
   * @param granted what its grant makes of the request.
   */
  refusalOf(
    session: Session,
    request: SubscriptionRequest,
    granted: GrantedRequest,
  ): Refusal | undefined {
    const { grant } = session;
    const { maxSubscriptions } = grant.terms;
    const { requests } = this.#parts;
    const { id } = request;
    const titles = session.durables.map(({ title }) => title);
    const held = [...requests.of(session), ...titles];
    if (held.some((other) => other.id === id)) {
      return { code: "duplicate_subscription", message: `the subscription "${id}" already exists` };
    }
    if (held.length >= maxSubscriptions) {
      return {
        code: "too_many_subscriptions",
        message: `a client may have at most ${maxSubscriptions} subscriptions`,
      };
    }
    const refusal =
      grant.refusalOf(request) ??
      this.#excessOf(requests.patternsOf(session), grant, granted.subjects);
    if (refusal !== undefined) return refusal;
    const fault = this.#parts.starts.faultOf(grant, granted);
    return fault === undefined ? undefined : { code: "unsupported", message: fault.message };
  }

  /**
   * Returns why a client that has nothing yet may not subscribe to so much, or `undefined`.
   *
   * @param granted what its grant selects of the subjects that it asks for.
   */
  excessOf(grant: Grant, granted: Selection): Refusal | undefined {
    return this.#excessOf([], grant, granted);
  }

  /** @param held the lists of patterns that the client has. */
  #excessOf(held: readonly Selection[], grant: Grant, subjects: Selection): Refusal | undefined {
    if (subjects === "everything") return undefined;
    const { budget, upstream } = this.#parts;
    for (const pattern of grant.exposedOf(subjects)) {
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
