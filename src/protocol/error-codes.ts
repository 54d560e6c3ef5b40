/** What went wrong with a request of the client: the codes of `error`. */
export const ERROR_CODES = {
  malformed: "The frame is not valid JSON, has an unknown `type`, or lacks a field.",
  invalid_subject:
    "A subject breaks NATS' syntax, or is longer than this gateway or its NATS server takes.",
  forbidden:
    "The endpoint exposes none of the subjects; or NATS refuses one, and then `retryable` is true: a permission is missing, or NATS has no room (`maximum subscriptions exceeded`).",
  too_many_subscriptions:
    "The client, or with `retryable` all clients together, have as many subscriptions or patterns as the limits allow.",
  duplicate_subscription: "The client has a subscription with this `id`.",
  unknown_subscription: "The client has no subscription with this name.",
  too_many_durables: "The stream has `max_durables` durables.",
  unavailable:
    "NATS refuses what JetStream would have to do, or the gateway can't follow the stream now.",
  unsupported: "This gateway, or its configuration, does not serve what the request asks for.",
} as const;

export type ErrorCode = keyof typeof ERROR_CODES;

/** Why a request was not served, though it was understood. */
export type RefusalCode = Exclude<ErrorCode, "malformed">;

export const REFUSAL_CODES: readonly RefusalCode[] = (
  Object.keys(ERROR_CODES) as ErrorCode[]
).filter((code) => code !== "malformed");
