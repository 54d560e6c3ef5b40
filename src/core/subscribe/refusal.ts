import type { Refusal } from "../access/refusal.ts";
import type { UpstreamRefusal } from "../upstream/upstream-subscription.ts";

/**
 * Makes the error for a pattern that the source does not subscribe to.
 *
 * @param about the text before the source's reason.
 */
export function patternRefusal(
  { reason, isFinal }: UpstreamRefusal,
  about: string,
): Required<Refusal> {
  const code = isFinal ? "invalid_subject" : "forbidden";
  return { code, message: `${about}: ${reason}`, retryable: !isFinal };
}

/** Makes the error for a stream that the source can't follow; see {@linkcode patternRefusal}. */
export function streamRefusal(reason: string, about: string): Required<Refusal> {
  return { code: "unavailable", message: `${about}: ${reason}`, retryable: true };
}
