import type { Envelope } from "./envelope.ts";
import type { Policy } from "./policy.ts";
import type { DeliveryMode } from "./server-frame.ts";
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
  /** What the client counts on, where it says so. */
  readonly mode?: DeliveryMode | undefined;
  /** The durable that it uses; `undefined`: none. */
  readonly durable?: string | undefined;
  /** The cursor behind which to begin; `undefined`: as `start` says. */
  readonly after?: string | undefined;
  /** Where to begin in streams; `undefined`: with what comes next. */
  readonly start?: StartPoint | undefined;
}

/**
 * Where a subscription begins in streams that keep their messages.
 *
 * - `"all"`: with the first one that is kept.
 * - `"last"`, `"last_per_subject"`: with the latest of those that it wants, or of each of their subjects.
 * - `sequence`, `timeMs` (Unix milliseconds): with that one, or the first one behind it.
 */
export type StartPoint =
  | "new"
  | "all"
  | "last"
  | "last_per_subject"
  | { readonly sequence: number }
  | { readonly timeMs: number };

/** Whether two requests bring the same messages in the same way, wherever they begin. */
export function wantsTheSame(one: SubscriptionRequest, other: SubscriptionRequest): boolean {
  return (
    one.policy === other.policy &&
    one.maxRate === other.maxRate &&
    one.durable === other.durable &&
    one.subjects?.join() === other.subjects?.join()
  );
}

/** One of the subscriptions of a client that is in effect. */
export class Subscription {
  readonly id: string;
  readonly subjects: readonly string[] | undefined;
  readonly policy: Policy;
  readonly maxRate: number | undefined;
  /** The client has, or is promised, every message behind the one with this serial. */
  readonly sinceSerial: number;
  /** The same for streams: behind which sequence. */
  readonly sinceOf: ReadonlyMap<string, number>;

  constructor(
    request: SubscriptionRequest,
    policy: Policy,
    sinceSerial: number,
    sinceOf: ReadonlyMap<string, number>,
  ) {
    this.id = request.id;
    this.subjects = request.subjects;
    this.policy = policy;
    this.maxRate = request.maxRate;
    this.sinceSerial = sinceSerial;
    this.sinceOf = sinceOf;
  }

  /** Whether the client gets a message through this one. */
  has({ origin, sequence, serial, subject }: Envelope): boolean {
    const since = this.sinceOf.get(origin);
    const begun = since === undefined ? serial > this.sinceSerial : sequence > since;
    return begun && this.wants(subject);
  }

  wants(subject: string): boolean {
    return this.subjects?.some((pattern) => subjectMatches(pattern, subject)) ?? true;
  }
}
