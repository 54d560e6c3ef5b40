/** The facts about a code of `error`. */
interface ErrorCodeFacts {
  /** The reason for which a request is refused with it. */
  readonly why: string;
  /** Says what its sender can do. */
  readonly advice: string;
}

/** What went wrong with a request of the client: the codes of `error`. */
export const ERROR_CODES = {
  malformed: {
    why: "The frame is not valid JSON, has an unknown `type`, or lacks a field.",
    advice:
      "Correct the client's code; the message names the field. After more than `max_malformed_frames` of them, the gateway closes the connection with 4400.",
  },
  invalid_subject: {
    why: "A subject breaks NATS' syntax, or is longer than the gateway or its NATS server accepts.",
    advice: "Correct the subject; the message names it and the rule.",
  },
  forbidden: {
    why: "The endpoint carries nothing of a subject, or the client may not publish to it or see who is on it. Or, if `retryable` is true, NATS refuses a subject: a permission is missing, or NATS has no room (`maximum subscriptions exceeded`).",
    advice:
      "Add the subject to `subjects`, `publish_subjects` or `request_subjects`, or to what the client's token allows. If NATS refuses it, give the gateway's user at NATS the permission that the gateway's log names.",
  },
  unauthenticated: {
    why: "The token in `auth` is not valid; a token that was accepted before stays in effect. Or the client has sent no token yet.",
    advice:
      "Get a new token. `spillway token inspect` says why a gateway with the same configuration refuses one.",
  },
  too_many_subscriptions: {
    why: "The client has reached its limit of subscriptions, patterns or presence watches. If `retryable` is true, all clients together have reached theirs.",
    advice:
      "Use fewer subscriptions, or one with a wildcard; or raise the limit that the message names.",
  },
  duplicate_subscription: {
    why: "The client already has a subscription with this `id`.",
    advice: "Give each subscription an `id` of its own, or send `unsubscribe` first.",
  },
  unknown_subscription: {
    why: "The client has no subscription or presence watch with this name.",
    advice:
      "Nothing, if the subscription has just ended: its end and the request have crossed. Otherwise correct the name.",
  },
  too_many_durables: {
    why: "The stream already has `max_durables` durables, or `max_durables_per_sub` of this user.",
    advice:
      "Delete durables that nobody uses (`nats consumer ls`, `nats consumer rm`), or raise the limit.",
  },
  too_large: {
    why: "A message is larger than `max_publish_bytes`, or than NATS or the stream accepts.",
    advice:
      "Send smaller messages, or raise `max_publish_bytes`, NATS' `max_payload` or the stream's `max_msg_size`.",
  },
  too_many_requests: {
    why: "The user or address publishes faster than `max_publishes_per_second`, or too many messages wait for their answers, or the answers to requests may become too large, or the client doesn't read its answers. Always retryable.",
    advice:
      "Wait for answers before you send more, and retry later with the same `id`. Behind a proxy, set `trusted_proxies`, so that not all clients count as one address.",
  },
  timeout: {
    why: "No answer came in time. Whether the message arrived is unknown; publish it again with the same `id`.",
    advice:
      "Publish again with the same `id`: a stream stores it once. Send a request again only if the service may process it twice.",
  },
  no_responders: {
    why: "Nobody is subscribed to the subject of the request.",
    advice: "Start the service, or correct the subject.",
  },
  unavailable: {
    why: "JetStream refuses a request of the gateway, or the gateway can't read the stream or check the token now. Or a message can't be published: NATS is not connected, or the stream takes no more.",
    advice:
      "Retry later. The gateway's `/readyz` and its log have the reason, and `docs/operations.md` says for each alert what to do.",
  },
  unsupported: {
    why: "This gateway, or its configuration, doesn't support the request.",
    advice:
      "Turn the feature on at the gateway (the message says which), or do without it. Over server-sent events, `spillway/client` has no at-least-once, durables, requests and presence.",
  },
} as const satisfies Readonly<Record<string, ErrorCodeFacts>>;

export type ErrorCode = keyof typeof ERROR_CODES;

/** Why a request was not served, though it was understood. */
export type RefusalCode = Exclude<ErrorCode, "malformed">;

export const REFUSAL_CODES: readonly RefusalCode[] = (
  Object.keys(ERROR_CODES) as ErrorCode[]
).filter((code) => code !== "malformed");
