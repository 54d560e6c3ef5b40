import type { Policy } from "./policy.ts";
import { subjectMatches } from "./subject.ts";

/** What a client asks for. */
export interface SubscriptionRequest {
  /** What the client calls it; a plain client's only one is `""`. */
  readonly id: string;
  /** Valid patterns; `undefined` for all that the endpoint exposes. */
  readonly subjects: readonly string[] | undefined;
  /** `undefined`: as configured. */
  readonly policy?: Policy | undefined;
  /** Messages per second and subject, the latest of those that come faster; `undefined`: all. */
  readonly maxRate?: number | undefined;
  /** The cursor behind which to begin; `undefined`: with what comes next. */
  readonly after?: string | undefined;
}

/** One of the subscriptions of a client that is in effect. */
export class Subscription {
  readonly id: string;
  readonly subjects: readonly string[] | undefined;
  readonly policy: Policy;
  readonly maxRate: number | undefined;
  /** The client has, or is promised, every message behind this one. */
  readonly sinceSequence: number;

  constructor(request: SubscriptionRequest, policy: Policy, sinceSequence: number) {
    this.id = request.id;
    this.subjects = request.subjects;
    this.policy = policy;
    this.maxRate = request.maxRate;
    this.sinceSequence = sinceSequence;
  }

  wants(subject: string): boolean {
    return this.subjects?.some((pattern) => subjectMatches(pattern, subject)) ?? true;
  }
}
