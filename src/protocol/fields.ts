/** Fields that several frames and parameters have, and their limits. */
import { constant, object, oneOf, text, union, type Value, type ValueOf, whole } from "./schema.ts";
import { MAX_SUBJECT_BYTES, MAX_TOKENS } from "./subject.ts";

/** The longest name that a client may give; it is sent back to the client. */
export const MAX_ID_LENGTH = 128;
/** The most patterns of one subscription. */
export const MAX_PATTERNS = 64;
/** The highest `max_rate`. */
export const MAX_RATE = 1000;

/** What happens to a subscription's messages when the client's queue is full. */
export const POLICY_EFFECTS = {
  disconnect: "The connection is closed with 4510. Nothing is left out before.",
  "drop-oldest": "The oldest messages in the queue are left out, and a `gap` takes their place.",
  "drop-newest": "New messages are left out until there is room, and a `gap` takes their place.",
  conflate:
    "Of each subject only the latest message waits; its `superseded` counts those that it replaced. If even that is too much, the oldest are left out as in `drop-oldest`.",
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
  "In at-least-once: the name of a durable of one stream. It continues after what was acknowledged under that name, on any gateway. 1 to 64 of `A-Z a-z 0-9 _ -`.",
  { pattern: "^[A-Za-z0-9_-]{1,64}$" },
);

export const maxRate: Value<number> = {
  json: {
    type: "number",
    exclusiveMinimum: 0,
    maximum: MAX_RATE,
    description: `The most messages per second of each subject; of those that come faster, the latest. More than 0, at most ${MAX_RATE}. All without it.`,
  },
};

/** Where a subscription may begin in streams, for a client that has no cursor. */
const START_POINTS = [
  constant("new", "With the next message; the default of `start_from`."),
  constant("all", "With the first message that the stream keeps."),
  constant("last", "With the latest of the messages that the subscription wants."),
  constant(
    "last_per_subject",
    "With the latest message of each subject, in the stream's order, and then every change: no hole, no duplicate.",
  ),
  object(
    "With this sequence. The subjects must be of one stream.",
    { seq: whole("A sequence of the stream.", 1) },
    { seq: 7 },
  ),
  object(
    "With the first message that was stored at this time or later.",
    { time: text("A date and a time with its offset, as in RFC 3339.", { format: "date-time" }) },
    { time: "2026-01-01T00:00:00Z" },
  ),
];

export const afterMessage = object(
  "Behind this message.",
  { after: name("The `id` of the message") },
  { after: "a3f81c09b2d4:42" },
);

export const startPoint = union("Where to begin in streams.", START_POINTS);

/** Where a subscription begins without a cursor, as JSON has it. */
export type WireStart = ValueOf<typeof startPoint>;

export const from = union(
  "Where to begin: behind a message, or in streams at another place. As `start_from` says without it.",
  [afterMessage, ...START_POINTS],
);

export type From = ValueOf<typeof from>;
