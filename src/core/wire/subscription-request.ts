import type { StartPoint } from "../ports/source.ts";
import type { Policy } from "./policy.ts";
import type { DeliveryMode } from "./server-frame.ts";

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

/** Whether two requests bring the same messages in the same way, wherever they begin. */
export function wantsTheSame(one: SubscriptionRequest, other: SubscriptionRequest): boolean {
  return (
    one.policy === other.policy &&
    one.maxRate === other.maxRate &&
    one.durable === other.durable &&
    one.subjects?.join() === other.subjects?.join()
  );
}
