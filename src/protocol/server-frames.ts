/** What the gateway sends. A new frame is written here, and sent with `tell` by the core. */
import { ERROR_CODES, type ErrorCode } from "./error-codes.ts";
import { cursor, deliveryMode, policy } from "./fields.ts";
import {
  anything,
  bool,
  constant,
  type FrameOf,
  frame,
  list,
  mapOf,
  object,
  oneOf,
  optional,
  text,
  whole,
} from "./schema.ts";

/** Dialects in which the server sends more than messages. */
const NOTICES = ["v1", "sse"] as const;

export type UpstreamState = "connected" | "disconnected";

const upstreamState = oneOf<UpstreamState>(
  ["connected", "disconnected"],
  "Whether the gateway is connected to NATS.",
);

const sub = text('The name of the subscription; `""` for the only one of server-sent events.');

/** Why a client will not get messages that it asked for. */
export const GAP_REASONS = {
  slow: {
    missing: "The subscription's policy left them out, because the client lagged.",
    count: "exact",
  },
  expired: {
    missing:
      "They are older than the ring of recent messages; or the stream does not keep them any more, or they lie further back than `max_replay_…` allows.",
    count:
      'exact without a filter, else `"exact":false`: at most this many. Of a stream never exact, and 0 if the stream has deleted messages one by one',
  },
  stream_reset: {
    missing:
      "They lie behind a cursor of another gateway, or of one that was started again. Or the stream was deleted and made anew; then all messages of the new one follow.",
    count: 'unknown: 0 and `"exact":false`',
  },
  upstream: {
    missing:
      "They were published while the gateway was cut off from NATS, or had not subscribed. Or a stream keeps them and NATS does not let the gateway read them; then new messages follow.",
    count: 'unknown: 0 and `"exact":false`',
  },
  max_deliver: {
    missing: "They were sent `max_deliver` times and not acknowledged.",
    count: "exact",
  },
  session_expired: {
    missing: "They waited, or were not acknowledged, in a session that has ended.",
    count: 'unknown: 0 and `"exact":false`',
  },
} as const;

export type GapReason = keyof typeof GAP_REASONS;

const GAP_REASON_TEXTS = Object.entries(GAP_REASONS).map(
  ([reason, { missing }]) => `\`${reason}\`: ${missing}`,
);

export const DATA_FRAME = frame("data", {
  dialects: ["plain", "v1", "sse"],
  description: "A message of NATS.",
  fields: {
    id: text(
      "The cursor behind which a client resumes. Opaque, and the same for every client but where values are conflated, see below. From JetStream `<stream>:<epoch>:<sequence>`, where the epoch stands for the stream's creation: valid on every gateway. Otherwise the gateway's run, a colon, and a number that grows: valid on that gateway.",
    ),
    timestamp: whole(
      "When JetStream stored the message, or else when the gateway received it, in Unix milliseconds.",
    ),
    subject: text("The NATS subject that the message was published to."),
    encoding: optional(
      oneOf(
        ["text", "base64", "empty"],
        "What `payload` is if the data is not JSON: `text` a string, `base64` other bytes (RFC 4648, section 4), `empty` null.",
      ),
    ),
    operation: optional(
      oneOf(
        ["delete", "purge"],
        "Of a key-value bucket: the key has no value any more, and `payload` is null.",
      ),
    ),
    headers: optional(
      mapOf(
        list(text("A value."), "One value or more, as a header may be there twice."),
        "The NATS headers that the key `headers` lists, if there are any.",
      ),
    ),
    superseded: optional(
      whole("How many earlier values of its subject this one replaces, if it was conflated.", 1),
    ),
    redelivery: optional(
      whole(
        "In at-least-once: how often the message was sent to this client before. It has the same `id` each time.",
        1,
      ),
    ),
    payload: anything(
      "The data: JSON byte for byte, but a raw newline between tokens is a space. Integers may be beyond 2^53.",
    ),
  },
  example: {
    type: "data",
    id: "a3f81c09b2d4:42",
    timestamp: 1_732_300_000_000,
    subject: "orders.eu.17",
    payload: { n: 1 },
  },
});

const welcome = frame("welcome", {
  dialects: NOTICES,
  description: "The first frame.",
  fields: {
    session: text(
      "The name of this connection's session. Opaque, and a secret. In at-least-once, a client that connects with `?session=<name>` resumes it.",
    ),
    version: text("The gateway's version."),
    server_time: whole("The gateway's clock, in Unix milliseconds."),
    ping_interval_ms: whole("The time between two WebSocket pings, in milliseconds."),
    upstream: upstreamState,
    limits: object("What this client may send.", {
      max_frame_bytes: whole(
        "The longest frame from the client, in bytes of UTF-8. A longer one closes the connection with 1009.",
      ),
      max_subscriptions: whole("The most subscriptions at a time."),
    }),
    delivery_mode: deliveryMode(
      "Whether messages are sent once, or again until the client acknowledges them.",
    ),
    delivery: optional(
      object("Only in at-least-once.", {
        ack_timeout_ms: whole("A message that is not acknowledged within this time is sent again."),
        session_ttl_ms: whole("How long the session is kept after its connection has ended."),
        resumed: bool(
          "Whether the session is that of an earlier connection. Its subscriptions are then in effect.",
        ),
      }),
    ),
  },
  example: {
    type: "welcome",
    session: "0b9f1d5e-6f0a-4a57-9d5a-3d7e1f3c2b10",
    version: "0.1.0",
    server_time: 1_732_300_000_000,
    ping_interval_ms: 30_000,
    upstream: "connected",
    limits: { max_frame_bytes: 65_536, max_subscriptions: 100 },
    delivery_mode: "at-least-once",
    delivery: { ack_timeout_ms: 5000, session_ttl_ms: 60_000, resumed: false },
  },
});

const subscribed = frame("subscribed", {
  dialects: NOTICES,
  description: "A subscription is in effect.",
  fields: {
    id: text("The `id` of the request; the subscription's name from now on."),
    sub,
    subjects: list(text("A subject."), "What the client has subscribed to."),
    policy: policy("The policy in effect: the gateway may not allow the one that was asked for."),
    from: cursor("Every message behind this cursor is delivered, or a `gap` says that it isn't."),
    durable: optional(text("The durable that the subscription uses.")),
  },
  example: {
    type: "subscribed",
    id: "1",
    sub: "1",
    subjects: ["orders.>"],
    policy: "drop-oldest",
    from: "a3f81c09b2d4:41",
  },
});

const unsubscribed = frame("unsubscribed", {
  dialects: ["v1"],
  description: "A subscription has ended.",
  fields: { sub },
  example: { type: "unsubscribed", sub: "1" },
});

const gap = frame("gap", {
  dialects: NOTICES,
  description:
    "Messages that this client will not get, in their place among the others. No message is ever lost without one.",
  fields: {
    from: cursor("The first of them; if their number is unknown, the message before them."),
    to: cursor("The last of them; if their number is unknown, the message behind them."),
    count: whole("How many messages; 0 if that is unknown."),
    reason: oneOf(Object.keys(GAP_REASONS) as GapReason[], `Why. ${GAP_REASON_TEXTS.join(" ")}`),
    exact: optional(
      constant(
        false,
        "Absent if `count` is exact. Otherwise there are at most `count` of them, or an unknown number if it is 0.",
      ),
    ),
  },
  example: {
    type: "gap",
    from: "a3f81c09b2d4:43",
    to: "a3f81c09b2d4:49",
    count: 7,
    reason: "slow",
  },
});

const caughtUp = frame("caught_up", {
  dialects: NOTICES,
  description: "All messages that were kept for the subscription have been sent: live from here.",
  fields: { sub },
  example: { type: "caught_up", sub: "1" },
});

const upstream = frame("upstream", {
  dialects: NOTICES,
  description: "The gateway has lost NATS, or has it again. The client's connection stays.",
  fields: { state: upstreamState },
  example: { type: "upstream", state: "disconnected" },
});

const pong = frame("pong", {
  dialects: ["v1"],
  description: "Answers `ping`.",
  fields: { id: optional(text("The `id` of the ping, if it had one.")) },
  example: { type: "pong", id: "x" },
});

const slow = frame("slow", {
  dialects: NOTICES,
  description: "This client lags, and has a queue of its own.",
  fields: { buffered_bytes: whole("How many bytes wait for the client.") },
  example: { type: "slow", buffered_bytes: 1_048_601 },
});

const ok = frame("ok", {
  dialects: NOTICES,
  description: "This client no longer lags.",
  fields: {},
  example: { type: "ok" },
});

const error = frame("error", {
  dialects: NOTICES,
  description: "A request was refused, or a frame was not understood.",
  fields: {
    id: optional(
      text(
        "The `id` of the request, or of its subscription. Absent if it belongs to none, as when NATS revokes a permission (`forbidden`).",
      ),
    ),
    error: object("What is wrong.", {
      code: oneOf(Object.keys(ERROR_CODES) as ErrorCode[], "For programs."),
      message: text("For whoever wrote the client."),
      retryable: bool("Whether the same request may succeed later."),
    }),
  },
  example: {
    type: "error",
    id: "1",
    error: {
      code: "forbidden",
      message: 'nothing of "secret.>" is exposed by this endpoint',
      retryable: false,
    },
  },
});

const disconnect = frame("disconnect", {
  dialects: NOTICES,
  description:
    "The gateway is about to close the connection. Not sent before 4511, as nothing more can be written then.",
  fields: {
    code: whole("The code of the close frame that follows, see the close codes.", 1000),
    reason: text("Why, in words."),
    reconnect: bool("Whether to connect again as before."),
    retry_after_ms: optional(
      whole(
        "How long to wait before connecting again, in milliseconds. It is random, so that clients don't all reconnect at the same moment: the more must come back, the longer they are spread over.",
      ),
    ),
    cursor: optional(cursor("Where to continue after, if anything was sent.")),
  },
  example: {
    type: "disconnect",
    code: 4510,
    reason: "slow consumer",
    reconnect: true,
    retry_after_ms: 1000,
    cursor: "a3f81c09b2d4:42",
  },
});

/** All frames besides `data`, by type. */
export const SERVER_FRAMES = {
  welcome,
  subscribed,
  unsubscribed,
  gap,
  caught_up: caughtUp,
  upstream,
  pong,
  slow,
  ok,
  error,
  disconnect,
} as const;

export type WelcomeFrame = FrameOf<typeof welcome>;

export type GapFrame = FrameOf<typeof gap>;

export type DataFrame = FrameOf<typeof DATA_FRAME>;

/** Everything that the gateway sends besides `data`. */
export type ServerFrame = FrameOf<(typeof SERVER_FRAMES)[keyof typeof SERVER_FRAMES]>;
