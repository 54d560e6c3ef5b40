/** Fields that several frames and parameters have, and their limits. */
import { constant, object, oneOf, text, union, type Value, type ValueOf, whole } from "./schema.ts";
import { MAX_SUBJECT_BYTES, MAX_TOKENS } from "./subject.ts";

/** The longest name that a client may give; it is sent back to the client. */
export const MAX_ID_LENGTH = 128;
/** The longest cursor that a client may send: more than any that the gateway makes. */
export const MAX_CURSOR_LENGTH = 512;
/** The most patterns of one subscription. */
export const MAX_PATTERNS = 64;
/** The highest `max_rate`. */
export const MAX_RATE = 1000;

/** What happens to a subscription's messages when the client's queue is full. */
export const POLICY_EFFECTS = {
  disconnect: "The gateway closes the connection with 4510. It drops no message before.",
  "drop-oldest": "The gateway drops the oldest messages in the queue. A `gap` takes their place.",
  "drop-newest": "The gateway drops new messages until there is room. A `gap` takes their place.",
  conflate:
    "Even before the queue is full, a new message replaces the older one of its subject; `superseded` counts the replaced ones. If the queue is full, as `drop-oldest`.",
} as const;

export type Policy = keyof typeof POLICY_EFFECTS;

export const POLICIES = Object.keys(POLICY_EFFECTS) as readonly Policy[];

/**
 * What is promised.
 *
 * - `"at-most-once"`: a message is sent once, in order.
 * - `"at-least-once"`: it is sent again until the client acknowledges it, up to `max_deliver` times.
 */
export type DeliveryMode = "at-most-once" | "at-least-once";

/** A name that the client gives, and that is sent back to it. */
export function name(description: string): Value<string> {
  const rules = { minLength: 1, maxLength: MAX_ID_LENGTH };
  return text(`${description}: 1 to ${MAX_ID_LENGTH} UTF-16 code units.`, rules);
}

/** How data that is not JSON is written. */
export function payloadEncoding(description: string): Value<"text" | "base64" | "empty"> {
  return oneOf(["text", "base64", "empty"], description);
}

/** The place of a message among all. */
export function cursor(description: string): Value<string> {
  return text(`${description} Opaque.`);
}

export function policy(description: string): Value<Policy> {
  return oneOf(POLICIES, description);
}

export function deliveryMode(description: string): Value<DeliveryMode> {
  return oneOf(["at-most-once", "at-least-once"], description);
}

/** Tokens of anything but white space and control characters; a whole `>` is the last. */
const TOKEN = String.raw`(?!>\.)[^\u0000-\u0020\u007f.]+`;

/** A subject that may have wildcards; `subjectFault` knows what JSON Schema can't say: bytes and half surrogate pairs. */
export const subjectPattern: Value<string> = text(
  `A NATS subject of at most ${MAX_SUBJECT_BYTES} bytes in UTF-8 and ${MAX_TOKENS} tokens. A whole \`*\` stands for one token, a whole \`>\` at the end for one or more.`,
  {
    maxLength: MAX_SUBJECT_BYTES,
    pattern: String.raw`^${TOKEN}(?:\.${TOKEN}){0,${MAX_TOKENS - 1}}$`,
  },
);

export const durableName: Value<string> = text(
  "In at-least-once: the name of a durable of one stream. The client continues after the last acknowledged messages of that name, on any gateway. 1 to 64 of `A-Z a-z 0-9 _ -`.",
  { pattern: "^[A-Za-z0-9_-]{1,64}$" },
);

export const maxRate: Value<number> = {
  json: {
    type: "number",
    exclusiveMinimum: 0,
    maximum: MAX_RATE,
    description: `The maximum number of messages per second of each subject. If more arrive, the client gets the latest. More than 0, at most ${MAX_RATE}. Default: no limit.`,
  },
};

/** Messages per second; unlike what a client may ask for, without an upper bound. */
export function rate(description: string): Value<number> {
  return { json: { type: "number", exclusiveMinimum: 0, description } };
}

/** Where a subscription may begin in streams, for a client that has no cursor. */
const START_POINTS = [
  constant("new", "With the next message. `start_from` has this by default."),
  constant("all", "With the first message that the stream stores."),
  constant("last", "With the latest message of the stream that matches the subscription."),
  constant(
    "last_per_subject",
    "With the latest message of each subject, in the stream's order, and then every new message. None is missing or repeated.",
  ),
  object(
    "With this sequence number. All subjects must be of one stream.",
    { seq: whole("A sequence of the stream.", 1) },
    { seq: 7 },
  ),
  object(
    "With the first message that the stream stored at this time or later.",
    { time: text("A date and a time with its offset, as in RFC 3339.", { format: "date-time" }) },
    { time: "2026-01-01T00:00:00Z" },
  ),
];

export const afterMessage = object(
  "After this message.",
  {
    after: text("The `id` of the message.", { minLength: 1, maxLength: MAX_CURSOR_LENGTH }),
  },
  { after: "a3f81c09b2d4:42" },
);

export const startPoint = union("Where to begin in streams.", START_POINTS);

/** Where a subscription begins without a cursor, as JSON has it. */
export type WireStart = ValueOf<typeof startPoint>;

export const from = union(
  "Where to begin: after a message, or at another place in streams. Default: the configured `start_from`.",
  [afterMessage, ...START_POINTS],
);

export type From = ValueOf<typeof from>;
