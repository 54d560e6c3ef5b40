/** What went wrong with a request of the client: the codes of `error`. */
export const ERROR_CODES = {
  malformed: "The frame is not valid JSON, has an unknown `type`, or lacks a field.",
  invalid_subject:
    "A subject breaks NATS' syntax, or is longer than the gateway or its NATS server accepts.",
  forbidden:
    "The endpoint carries nothing of a subject, or the client may not publish to it. Or, if `retryable` is true, NATS refuses a subject: a permission is missing, or NATS has no room (`maximum subscriptions exceeded`).",
  unauthenticated:
    "The token in `auth` is not valid; a token that was accepted before stays in effect. Or the client has sent no token yet.",
  too_many_subscriptions:
    "The client has reached its limit of subscriptions or patterns. If `retryable` is true, all clients together have reached theirs.",
  duplicate_subscription: "The client already has a subscription with this `id`.",
  unknown_subscription: "The client has no subscription with this name.",
  too_many_durables: "The stream already has `max_durables` durables.",
  too_large: "A message is larger than `max_publish_bytes`, or than NATS or the stream accepts.",
  too_many_requests:
    "The client publishes faster than `max_publishes_per_second`, or too many of its messages wait for their answers, or it doesn't read its answers. Always retryable.",
  timeout:
    "No answer came in time. Whether the message arrived is unknown; publish it again with the same `id`.",
  no_responders: "Nobody is subscribed to the subject of the request.",
  unavailable:
    "JetStream refuses a request of the gateway, or the gateway can't read the stream or check the token now. Or a message can't be published: NATS is not connected, or the stream takes no more.",
  unsupported: "This gateway, or its configuration, doesn't support the request.",
} as const;

export type ErrorCode = keyof typeof ERROR_CODES;

/** Why a request was not served, though it was understood. */
export type RefusalCode = Exclude<ErrorCode, "malformed">;

export const REFUSAL_CODES: readonly RefusalCode[] = (
  Object.keys(ERROR_CODES) as ErrorCode[]
).filter((code) => code !== "malformed");
