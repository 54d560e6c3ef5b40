/** What the gateway sends. A new frame is written here, and sent with `tell` by the core. */
import { ERROR_CODES, type ErrorCode } from "./error-codes.ts";
import { cursor, deliveryMode, payloadEncoding, policy, rate } from "./fields.ts";
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
    missing: "The client lagged, and its policy dropped them.",
    count: "exact",
  },
  expired: {
    missing:
      "They are older than the messages that the gateway keeps in memory, the stream no longer stores them, or `max_replay_…` doesn't allow to replay them.",
    count:
      'exact if the client gets all subjects; otherwise `"exact":false`, at most this many. For a stream, `count` is always a maximum; it is 0 (unknown) if some messages were deleted one by one',
  },
  stream_reset: {
    missing:
      "The cursor comes from another gateway, or from before a restart of this one. Or the stream was deleted and created again; then all messages of the new stream follow.",
    count: 'unknown: 0 and `"exact":false`',
  },
  upstream: {
    missing:
      "They were published while the gateway wasn't connected to NATS or wasn't subscribed. Or NATS doesn't let the gateway read them from the stream; then new messages follow.",
    count: 'unknown: 0 and `"exact":false`',
  },
  max_deliver: {
    missing: "They were sent `max_deliver` times, and the client didn't acknowledge them.",
    count: "exact",
  },
  session_expired: {
    missing: "They were queued or not acknowledged in a session that has ended.",
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
      "The message's place, and the cursor with which a client resumes after it. Opaque, and the same for every client except after `conflate`, see below. From JetStream: `<stream>:<epoch>:<sequence>`, valid on every gateway; a stream that is deleted and created again has another epoch. Otherwise: the gateway's run, a colon, and a number that grows, valid on this gateway until it restarts.",
    ),
    timestamp: whole(
      "When JetStream stored the message, or else when the gateway received it, in Unix milliseconds.",
    ),
    subject: text("The NATS subject that the message was published to."),
    encoding: optional(
      payloadEncoding(
        "Present if the data is not JSON. `text`: `payload` is a string. `base64`: `payload` is other bytes in base64 (RFC 4648, section 4). `empty`: there is no data, and `payload` is null.",
      ),
    ),
    operation: optional(
      oneOf(
        ["delete", "purge"],
        "Only from a key-value bucket: the key was deleted or purged, and `payload` is null.",
      ),
    ),
    headers: optional(
      mapOf(
        list(text("A value."), "One or more values: a message may have the same header twice."),
        "The message's NATS headers that the configuration's key `headers` lists.",
      ),
    ),
    superseded: optional(
      whole("With `conflate`: how many earlier messages of its subject this one replaces.", 1),
    ),
    redelivery: optional(
      whole(
        "In at-least-once: how many times the message was sent to this client before. It has the same `id` each time.",
        1,
      ),
    ),
    payload: anything(
      "The data. JSON is unchanged, byte for byte, except that a newline between tokens becomes a space. Integers may be greater than 2^53, which `JSON.parse` rounds.",
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
  description:
    "The first frame of a connection. A client that connects without a token gets it again after its first `authenticated`; then the second one counts.",
  fields: {
    session: text(
      'The name of this connection\'s session; `""` until the client has shown a token. Opaque. Keep it secret: in at-least-once, a client that connects with `?session=<name>` resumes the session.',
    ),
    version: text("The gateway's version."),
    server_time: whole("The gateway's clock, in Unix milliseconds."),
    ping_interval_ms: whole("The time between two WebSocket pings, in milliseconds."),
    upstream: upstreamState,
    limits: object("What this client may send.", {
      max_frame_bytes: whole(
        "The longest frame from the client, in bytes of UTF-8. A longer one closes the connection with 1009.",
      ),
      max_subscriptions: whole("The maximum number of subscriptions at a time."),
    }),
    delivery_mode: deliveryMode(
      "Whether messages are sent once, or again until the client acknowledges them.",
    ),
    delivery: optional(
      object("Only in at-least-once: its settings.", {
        ack_timeout_ms: whole("A message that is not acknowledged within this time is sent again."),
        session_ttl_ms: whole("How long the session is kept after its connection has ended."),
        resumed: bool(
          "Whether this connection resumes the session of an earlier one. If so, the session's subscriptions are in effect.",
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
    limits: { max_frame_bytes: 65_536, max_subscriptions: 64 },
    delivery_mode: "at-least-once",
    delivery: { ack_timeout_ms: 5000, session_ttl_ms: 60_000, resumed: false },
  },
});

const subscribed = frame("subscribed", {
  dialects: NOTICES,
  description:
    "A subscription is in effect. It comes again if a new token allows only a part of the subscription, or changes its policy or rate.",
  fields: {
    id: text("The `id` of the request; the subscription's name from now on."),
    sub,
    subjects: list(text("A subject."), "What the client has subscribed to."),
    policy: policy("The policy in effect: the gateway may not allow the one that was asked for."),
    max_rate: optional(
      rate(
        "The rate in effect, in messages per second of each subject: the one that was asked for, or a lower one that the client's token sets. Absent: no limit.",
      ),
    ),
    from: cursor("Every message after this cursor is delivered, or a `gap` declares it."),
    start_from: optional(
      oneOf(
        ["all", "last", "last_per_subject"],
        "Present if the request has no `from`, and the configured `start_from` makes it begin with older messages: they come now, and `caught_up` after them.",
      ),
    ),
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

/** Why the gateway ends a subscription. */
const END_REASONS = {
  forbidden: "The client's new token, or the new configuration, allows nothing of it.",
  too_many_subscriptions:
    "What the client's new token allows of it takes more patterns than the client may have.",
} as const;

export type EndReason = keyof typeof END_REASONS;

const END_REASON_TEXTS = Object.entries(END_REASONS).map(
  ([reason, meaning]) => `\`${reason}\`: ${meaning}`,
);

const unsubscribed = frame("unsubscribed", {
  dialects: ["v1"],
  description: "A subscription has ended.",
  fields: {
    sub,
    reason: optional(
      oneOf(
        Object.keys(END_REASONS) as EndReason[],
        `Why the gateway ended it; absent if the client did. ${END_REASON_TEXTS.join(" ")}`,
      ),
    ),
  },
  example: { type: "unsubscribed", sub: "1" },
});

const authenticated = frame("authenticated", {
  dialects: ["v1"],
  description:
    "The token in `auth` is accepted: from now on, the client may do what this token allows. What it doesn't allow any more isn't delivered after this frame. If it was the first token of the connection, another `welcome` follows.",
  fields: {
    id: optional(text("The `id` of the request, if it had one.")),
    sub: text("The name that the token proves: its `sub`."),
    expires_in_ms: optional(
      whole("In how many milliseconds the token expires. Absent if it never does."),
    ),
  },
  example: { type: "authenticated", id: "t", sub: "u_42", expires_in_ms: 900_000 },
});

const tokenExpiring = frame("token_expiring", {
  dialects: ["v1"],
  description:
    "The client's token expires soon. It comes once for each token, when between a fifth and a tenth of the token's life is left. If the client sends no new token in `auth`, the gateway closes the connection with 4512.",
  fields: { expires_in_ms: whole("In how many milliseconds the token expires.") },
  example: { type: "token_expiring", expires_in_ms: 120_000 },
});

const published = frame("published", {
  dialects: ["v1"],
  description:
    "A message is published. With `seq`, a stream of JetStream has stored it. Without, NATS has received it, and no stream is known to take its subject.",
  fields: {
    id: text("The `id` of `publish`."),
    stream: optional(text("The stream that stores the message.")),
    seq: optional(whole("Its sequence in the stream.", 1)),
    duplicate: optional(
      constant(
        true,
        "The stream had stored a message with this `id` before, at `seq`, and did not store this one.",
      ),
    ),
  },
  example: { type: "published", id: "p1", stream: "ORDERS", seq: 42 },
});

const response = frame("response", {
  dialects: ["v1"],
  description: "The first answer to a request. Later ones are dropped.",
  fields: {
    id: text("The `id` of `request`."),
    encoding: optional(
      payloadEncoding(
        "Present if the data is not JSON; see `data`. With `empty`, `payload` is null.",
      ),
    ),
    headers: optional(
      mapOf(
        list(text("A value."), "One or more values."),
        "The answer's NATS headers that the configuration's key `headers` lists, and `Nats-Service-Error` and `Nats-Service-Error-Code`, by which a service of NATS tells an error.",
      ),
    ),
    payload: anything("The data, as in `data`."),
  },
  example: { type: "response", id: "r1", payload: { price: 12 } },
});

const person = object("A person, however many connections it has.", {
  sub: text("The name that the person's token proves: its `sub`."),
  issuer: optional(
    text("Who vouches for the name. Absent if it is the issuer of this client's own token."),
  ),
});

const presence = frame("presence", {
  dialects: ["v1"],
  description:
    "Who is subscribed to a subject: the first frame has the present state, later ones the changes, at most one each `presence_interval`.",
  fields: {
    id: text("The `id` of the request."),
    subject: text("The subject of the request."),
    count: whole(
      "How many people there are. A person with several connections counts once, a client without a token always.",
    ),
    members: optional(
      list(
        person,
        'Only with `"want":"list"`: people that are there, at most 100. It takes the place of the client\'s list. Clients without a token are in no list.',
      ),
    ),
    joined: optional(
      list(person, "People to add to the client's list, unless they are in it. At most 100."),
    ),
    left: optional(
      list(person, "People to remove from the client's list, if they are in it. At most 100."),
    ),
    truncated: optional(
      constant(
        true,
        "There are more people than a list may have: the client's list is not complete.",
      ),
    ),
    stale: optional(
      constant(
        true,
        "The gateway can't learn now who comes and leaves, or not reliably. What it says may be wrong, until a frame without `stale`.",
      ),
    ),
  },
  example: {
    type: "presence",
    id: "w1",
    subject: "rooms.7",
    count: 2,
    members: [{ sub: "u_42" }, { sub: "u_43" }],
  },
});

/** The reason why the gateway ends a presence watch. */
const PRESENCE_END_REASONS = {
  forbidden: "The client's new token doesn't allow it.",
  overloaded: "Too many people are on what is watched.",
} as const;

export type PresenceEndReason = keyof typeof PRESENCE_END_REASONS;

const presenceEnded = frame("presence_ended", {
  dialects: ["v1"],
  description: "What `presence` began has ended.",
  fields: {
    id: text("The `id` of the request."),
    reason: optional(
      oneOf(
        Object.keys(PRESENCE_END_REASONS) as PresenceEndReason[],
        `Why the gateway ended it; absent if the client did. ${Object.entries(PRESENCE_END_REASONS)
          .map(([reason, meaning]) => `\`${reason}\`: ${meaning}`)
          .join(" ")}`,
      ),
    ),
  },
  example: { type: "presence_ended", id: "w1" },
});

const gap = frame("gap", {
  dialects: NOTICES,
  description:
    "This client will not get some messages. The `gap` is in their place among the others. Every loss has one.",
  fields: {
    from: cursor("The first missing message; if `count` is 0, the last message before the gap."),
    to: cursor("The last missing message; if `count` is 0, the first position after the gap."),
    count: whole("How many messages are missing; 0 if the number is unknown."),
    reason: oneOf(Object.keys(GAP_REASONS) as GapReason[], `Why. ${GAP_REASON_TEXTS.join(" ")}`),
    exact: optional(
      constant(
        false,
        "Absent: `count` is exact. `false` and `count` > 0: at most that many are missing. `false` and `count` 0: the number is unknown.",
      ),
    ),
    sub: optional(
      text(
        'The name of the only subscription that misses them, as it begins, catches up or has a durable; `""` for the only one of server-sent events. Absent: every subscription may miss them.',
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

/**
 * The NATS header, with any value, of a message that ends its subject: a stream of tokens, a job, an export. The
 * server tells its clients with an `end` frame.
 */
export const END_HEADER = "Spillway-End";

const end = frame("end", {
  dialects: NOTICES,
  description: `A subject has ended: the message with this \`id\`, right before this frame, has the NATS header \`${END_HEADER}\`. Subscriptions and the connection stay; a client that waits for no other subject may end them.`,
  fields: {
    subject: text("The subject that has ended."),
    id: text("The `id` of the message that ended it."),
  },
  example: { type: "end", subject: "runs.7", id: "RUNS:k2x9:42" },
});

const caughtUp = frame("caught_up", {
  dialects: NOTICES,
  description: "The replay of the subscription is complete; the messages that follow are live.",
  fields: { sub },
  example: { type: "caught_up", sub: "1" },
});

const upstream = frame("upstream", {
  dialects: NOTICES,
  description:
    "The gateway lost or restored its connection to NATS. The client's connection stays open.",
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
  description:
    "This client lags: it takes what it is sent too slowly, and now has a queue of its own.",
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
        "The `id` of the request, or of its subscription. Absent if the error belongs to none, for example if NATS revokes a permission (`forbidden`).",
      ),
    ),
    error: object("What is wrong.", {
      code: oneOf(Object.keys(ERROR_CODES) as ErrorCode[], "For programs."),
      message: text("For the client's developer."),
      retryable: bool("Whether the same request may succeed later."),
    }),
  },
  example: {
    type: "error",
    id: "1",
    error: {
      code: "forbidden",
      message: 'this endpoint carries nothing of "secret.>"',
      retryable: false,
    },
  },
});

const disconnect = frame("disconnect", {
  dialects: NOTICES,
  description:
    "The gateway is about to close the connection. Not sent before 4511, and on most sockets not before 1009, because then nothing can be written.",
  fields: {
    code: whole("The code of the close frame that follows, see the close codes.", 1000),
    reason: text("Why, in words."),
    reconnect: bool("Whether to reconnect with the same request."),
    retry_after_ms: optional(
      whole(
        "How long to wait before reconnecting, in milliseconds. It is random, so that clients don't all reconnect at the same moment. The more clients must reconnect, the longer the range.",
      ),
    ),
    cursor: optional(cursor("The cursor to resume after, if anything was sent.")),
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
  authenticated,
  token_expiring: tokenExpiring,
  published,
  response,
  presence,
  presence_ended: presenceEnded,
  gap,
  end,
  caught_up: caughtUp,
  upstream,
  pong,
  slow,
  ok,
  error,
  disconnect,
} as const;

export type WelcomeFrame = FrameOf<typeof welcome>;

export type SubscribedFrame = FrameOf<typeof subscribed>;

export type PresenceFrame = FrameOf<typeof presence>;

/** A person in a `presence` frame. */
export type PresenceMember = NonNullable<PresenceFrame["members"]>[number];

export type GapFrame = FrameOf<typeof gap>;

export type EndFrame = FrameOf<typeof end>;

/** Everything that the gateway sends besides `data`. */
export type ServerFrame = FrameOf<(typeof SERVER_FRAMES)[keyof typeof SERVER_FRAMES]>;
