/** What clients send. A new frame is written here, and what the core does with it in its `FrameHandler`. */
import type { ErrorCode } from "./error-codes.ts";
import {
  afterMessage,
  deliveryMode,
  durableName,
  type From,
  from,
  MAX_ID_LENGTH,
  MAX_PATTERNS,
  MAX_RATE,
  maxRate,
  name,
  POLICIES,
  payloadEncoding,
  policy,
  subjectPattern,
} from "./fields.ts";
import {
  anything,
  constant,
  type Frame,
  type FrameOf,
  frame,
  isObject,
  list,
  mapOf,
  oneOf,
  optional,
  text,
  type Value,
  validator,
  whole,
} from "./schema.ts";
import { END_HEADER } from "./server-frames.ts";
import { MAX_SUBJECT_BYTES, subjectFault } from "./subject.ts";

/** Why a field is not valid, in words for whoever wrote the client. */
export interface FieldFault {
  readonly code: Extract<ErrorCode, "malformed" | "invalid_subject" | "unsupported">;
  readonly message: string;
}

/** A field that a client writes. */
interface ClientField<T> extends Value<T> {
  /** Returns what is wrong with a value, which is `undefined` if the field is absent. */
  faultOf(value: unknown): FieldFault | undefined;
}

type ClientFields = Readonly<Record<string, ClientField<unknown>>>;

/** A definition of {@linkcode CLIENT_FRAMES}. */
export type ClientFrameDefinition = Frame<ClientFrameType, ClientFields>;

/** A field of which every fault has the same text. */
function field<T>(
  value: Value<T>,
  message: string,
  code: FieldFault["code"] = "malformed",
): ClientField<T> {
  const isValid = validator(value.json);
  const fault = { code, message };
  return { ...value, faultOf: (given) => (isValid(given) ? undefined : fault) };
}

const patterns: ClientField<readonly string[]> = {
  ...list(subjectPattern, `The subjects to subscribe to, 1 to ${MAX_PATTERNS}.`, {
    minItems: 1,
    maxItems: MAX_PATTERNS,
  }),
  faultOf(subjects) {
    if (!Array.isArray(subjects) || subjects.length < 1 || subjects.length > MAX_PATTERNS) {
      const message = `"subjects" is a list of 1 to ${MAX_PATTERNS} subjects`;
      return { code: "malformed", message };
    }
    for (const subject of subjects) {
      const fault = patternFault(subject);
      if (fault !== undefined) return fault;
    }
    return undefined;
  },
};

function patternFault(subject: unknown): FieldFault | undefined {
  const code = "invalid_subject";
  if (typeof subject !== "string") return { code, message: "a subject is a text" };
  const why = subjectFault(subject, true);
  if (why === undefined) return undefined;
  return { code, message: `subject ${JSON.stringify(subject.slice(0, 200))} ${why}` };
}

const isFrom = validator(from.json);
const isAfterMessage = validator(afterMessage.json);

const beginning: ClientField<From> = {
  ...from,
  faultOf(given) {
    // A cursor that isn't valid is a fault, whatever other place is named beside it.
    const isPlace = isObject(given) && "after" in given ? isAfterMessage : isFrom;
    if (isPlace(given)) return undefined;
    return {
      code: "unsupported",
      message:
        '"from" is "new", "all", "last", "last_per_subject", {"seq":<n>} or {"time":"<RFC 3339>"}, or {"after":"<id>"}',
    };
  },
};

const subscribe = frame("subscribe", {
  dialects: ["v1"],
  description: "Subscribes to messages.",
  answer: "`subscribed`, as soon as the subscription at NATS is in effect; or `error`",
  fields: {
    id: field(
      name("The name of the new subscription"),
      `"subscribe" needs an "id" of 1 to ${MAX_ID_LENGTH} characters`,
    ),
    subjects: patterns,
    policy: optional(
      field(
        policy("What happens if this client lags. Default: the configured `policy`."),
        `"policy" is one of ${POLICIES.join(", ")}`,
      ),
    ),
    max_rate: optional(
      field(maxRate, `"max_rate" is more than 0 and at most ${MAX_RATE} messages per second`),
    ),
    from: optional(beginning),
    mode: optional(
      field(
        deliveryMode(
          "The delivery mode that the client needs. If it isn't that of `welcome`, the request is refused.",
        ),
        '"mode" is "at-most-once" or "at-least-once"',
        "unsupported",
      ),
    ),
    durable: optional(field(durableName, '"durable" is 1 to 64 of A-Z a-z 0-9 _ -')),
  },
  example: {
    type: "subscribe",
    id: "1",
    subjects: ["orders.>"],
    policy: "drop-oldest",
    max_rate: 10,
    from: { after: "a3f81c09b2d4:42" },
  },
});

const unsubscribe = frame("unsubscribe", {
  dialects: ["v1"],
  description: "Ends a subscription.",
  answer: "`unsubscribed`, or `error`",
  fields: {
    sub: field(
      name("The name of the subscription"),
      '"unsubscribe" needs the "sub" of a subscription',
    ),
  },
  example: { type: "unsubscribe", sub: "1" },
});

const ping = frame("ping", {
  dialects: ["v1"],
  description: "Checks that the gateway answers.",
  answer: "`pong`",
  fields: {
    id: optional(
      field(name("An `id` that `pong` repeats"), `"id" has 1 to ${MAX_ID_LENGTH} characters`),
    ),
  },
  example: { type: "ping", id: "x" },
});

const auth = frame("auth", {
  dialects: ["v1"],
  description:
    "Shows a token: the first one of this connection, or a new one before the old one expires.",
  answer: "`authenticated`, or `error`; until then, another `auth` is refused with `unavailable`",
  fields: {
    id: optional(
      field(name("An `id` that the answer repeats"), `"id" has 1 to ${MAX_ID_LENGTH} characters`),
    ),
    token: field(text("The token.", { minLength: 1 }), '"auth" needs a "token"'),
  },
  example: { type: "auth", id: "t", token: "eyJhbGciOi…" },
});

/** The most values of headers in a message of a client, and their most characters with their names. */
const MAX_HEADER_VALUES = 64;
const MAX_HEADER_LENGTH = 16_384;

/** `token` of RFC 7230 §3.2.6. */
const HEADER_NAME = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]{1,256}$/;
// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
const UNSAFE_IN_HEADER = /[\u0000-\u0008\u000a-\u001f\u007f]|\p{Surrogate}/u;

const literalSubject: ClientField<string> = {
  ...text("The subject, without wildcards.", { minLength: 1, maxLength: MAX_SUBJECT_BYTES }),
  faultOf(subject) {
    const code = "invalid_subject";
    if (typeof subject !== "string") return { code, message: "a subject is a text" };
    const why = subjectFault(subject, false);
    if (why === undefined) return undefined;
    return { code, message: `subject ${JSON.stringify(subject.slice(0, 200))} ${why}` };
  },
};

const messageHeaders: ClientField<Readonly<Record<string, readonly string[]>>> = {
  ...mapOf(
    list(text("A value, without control characters."), "One or more values."),
    `NATS headers. A name is a token (RFC 7230 §3.2.6); those that begin with \`Nats-\` or \`Spillway-\` are refused. At most ${MAX_HEADER_VALUES} values, and ${MAX_HEADER_LENGTH} characters in all.`,
  ),
  faultOf(given) {
    const message = headersFault(given);
    return message === undefined ? undefined : { code: "malformed", message };
  },
};

function headersFault(given: unknown): string | undefined {
  if (!isObject(given)) return '"headers" is an object of lists of texts';
  let count = 0;
  let length = 0;
  for (const [header, values] of Object.entries(given)) {
    if (!HEADER_NAME.test(header)) return "the name of a header is 1 to 256 of RFC 7230's tchar";
    if (!Array.isArray(values) || values.length === 0) return "a header has a list of values";
    count += values.length;
    if (count > MAX_HEADER_VALUES) return `there are at most ${MAX_HEADER_VALUES} header values`;
    for (const value of values) {
      if (typeof value !== "string" || UNSAFE_IN_HEADER.test(value)) {
        return "the value of a header is a text without control characters";
      }
      length += header.length + value.length;
    }
    if (length > MAX_HEADER_LENGTH) return `headers have at most ${MAX_HEADER_LENGTH} characters`;
  }
  return undefined;
}

/** What a message of a client consists of. */
const messageFields = {
  subject: literalSubject,
  encoding: optional(
    field(
      payloadEncoding(
        "What `payload` is, if it isn't the data itself as JSON. `text`: a string. `base64`: bytes in base64 (RFC 4648, section 4). `empty`: there is no data, and `payload` is null or absent.",
      ),
      '"encoding" is "text", "base64" or "empty"',
    ),
  ),
  payload: optional(
    field(
      anything(
        "The data: any JSON value, which is published byte for byte as the client wrote it.",
      ),
      '"payload" is any JSON value',
    ),
  ),
  headers: optional(messageHeaders),
};

const publish = frame("publish", {
  dialects: ["v1"],
  description: "Publishes a message.",
  answer: "`published`, or `error`",
  fields: {
    id: field(
      name(
        "The name of the message, which the answer repeats. If a stream stores the message, it stores a second one with the same `id` of the same client only once",
      ),
      `"publish" needs an "id" of 1 to ${MAX_ID_LENGTH} characters`,
    ),
    ...messageFields,
    end: optional(
      field(
        constant(
          true,
          `The message ends its subject: it gets the NATS header \`${END_HEADER}\`, and subscribers get an \`end\` after it.`,
        ),
        '"end" is true',
      ),
    ),
  },
  example: { type: "publish", id: "p1", subject: "orders.eu.17", payload: { n: 1 } },
});

const request = frame("request", {
  dialects: ["v1"],
  description: "Sends a request to a service behind NATS.",
  answer: "`response` with the first answer, or `error`",
  fields: {
    id: field(
      name("The name of the request, which the answer repeats"),
      `"request" needs an "id" of 1 to ${MAX_ID_LENGTH} characters`,
    ),
    ...messageFields,
    timeout_ms: optional(
      field(
        whole(
          "How long to wait for the answer, in milliseconds; at most `max_request_timeout`. Default: 2000.",
          1,
        ),
        '"timeout_ms" is a whole number of milliseconds, from 1',
      ),
    ),
  },
  example: { type: "request", id: "r1", subject: "svc.price", payload: { sku: 7 } },
});

const presenceId = field(
  name("The name of the presence watch"),
  `"presence" needs an "id" of 1 to ${MAX_ID_LENGTH} characters`,
);

const watchedSubject: ClientField<string> = {
  ...subjectPattern,
  faultOf: (subject) => patternFault(subject),
};

const presence = frame("presence", {
  dialects: ["v1"],
  description:
    "Asks who is subscribed to a subject, on all gateways, and for every change from then on. It takes the place of an earlier one with the same `id`.",
  answer: "`presence`, and another one after each change; or `error`",
  fields: {
    id: presenceId,
    subject: watchedSubject,
    want: optional(
      field(
        oneOf(
          ["count", "list"],
          "Only the number of people, or also their names. Default: `count`.",
        ),
        '"want" is "count" or "list"',
      ),
    ),
  },
  example: { type: "presence", id: "w1", subject: "rooms.7", want: "list" },
});

const presenceStop = frame("presence", {
  dialects: ["v1"],
  description: "Ends what `presence` with this `id` began.",
  answer: "`presence_ended`, or `error`",
  fields: {
    id: presenceId,
    stop: field(constant(true, "Always true."), '"stop" is true'),
  },
  example: { type: "presence", id: "w1", stop: true },
});

const EVERY_SOCKET = ["plain", "v1"] as const;

/** Frames that say something of messages: of one, in `id`, or of several, in `ids`. */
function report<const T extends "ack" | "nack" | "working">(
  type: T,
  about: { readonly one: string; readonly several: string },
) {
  const message = `"${type}" needs the "id" of a message`;
  const id = text("The `id` of a message.");
  return {
    one: frame(type, {
      dialects: EVERY_SOCKET,
      description: about.one,
      fields: { id: field(id, message) },
      example: { type, id: "a3f81c09b2d4:42" },
    }),
    several: frame(type, {
      dialects: EVERY_SOCKET,
      description: about.several,
      fields: { ids: field(list(id, "The `id`s of messages."), message) },
      example: { type, ids: ["a3f81c09b2d4:42", "a3f81c09b2d4:44"] },
    }),
  };
}

const ack = report("ack", {
  one: "The client has processed this message. Other fields, like StreamKit's `timestamp`, are ignored.",
  several: "The client has processed these messages.",
});

const ackUpto = frame("ack", {
  dialects: EVERY_SOCKET,
  description:
    'The client has processed this message and every message sent before it, also those that it refused with `nack`. "Before" means a smaller position in the `id`, not an earlier arrival: a message that is sent again arrives late.',
  fields: { upto: field(text("The `id` of a message."), '"ack" needs the "id" of a message') },
  example: { type: "ack", upto: "a3f81c09b2d4:42" },
});

const nack = report("nack", {
  one: "The client could not process this message. The gateway sends it again after the back-off.",
  several: "The client could not process these messages.",
});

const working = report("working", {
  one: "The client is still processing this message. Its `ack_timeout` starts again.",
  several: "The client is still processing these messages.",
});

const slow = frame("slow", {
  dialects: EVERY_SOCKET,
  description:
    "The client can't keep up. The gateway halves its rate, at most once a second. Messages above that rate wait in the client's queue, where its policy applies.",
  fields: {},
  example: { type: "slow" },
});

const ok = frame("ok", {
  dialects: EVERY_SOCKET,
  description:
    "The client keeps up again. If the client sends no `ok`, the gateway doubles its rate each second after 5 s without `slow`, until nothing waits.",
  fields: {},
  example: { type: "ok" },
});

/** All frames of clients, by the names that their messages have in AsyncAPI. */
export const CLIENT_FRAMES = {
  subscribe,
  unsubscribe,
  ping,
  auth,
  publish,
  request,
  presence,
  presence_stop: presenceStop,
  ack: ack.one,
  ack_ids: ack.several,
  ack_upto: ackUpto,
  nack: nack.one,
  nack_ids: nack.several,
  working: working.one,
  working_ids: working.several,
  slow,
  ok,
} as const;

/** What a client sends, without the fields that the protocol doesn't know. */
export type ClientFrame = FrameOf<(typeof CLIENT_FRAMES)[keyof typeof CLIENT_FRAMES]>;

export type ClientFrameType = ClientFrame["type"];

export const CLIENT_FRAME_TYPES: readonly ClientFrameType[] = [
  ...new Set(Object.values(CLIENT_FRAMES).map(({ type }) => type)),
];
