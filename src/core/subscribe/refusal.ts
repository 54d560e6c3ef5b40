import type { RefusalCode } from "../../protocol/error-codes.ts";
import type { UpstreamRefusal } from "../upstream/upstream-subscription.ts";

/** Why a client's request was refused. */
export interface Refusal {
  readonly code: RefusalCode;
  readonly message: string;
  /** Whether it may be served later, without anything else changed. */
  readonly retryable?: boolean;
}

/**
 * The error of a pattern that the source does not subscribe to.
 *
 * @param about what the reason is of; it stands before the reason.
 */
export function patternRefusal(
  { reason, isFinal }: UpstreamRefusal,
  about: string,
): Required<Refusal> {
  const code = isFinal ? "invalid_subject" : "forbidden";
  return { code, message: `${about}: ${reason}`, retryable: !isFinal };
}

/** The error of a stream that the source can't follow; see {@linkcode patternRefusal}. */
export function streamRefusal(reason: string, about: string): Required<Refusal> {
  return { code: "unavailable", message: `${about}: ${reason}`, retryable: true };
}
