import { z } from "zod";
import { count, cursor, policy } from "./fields.ts";

const upstreamState = z
  .enum(["connected", "disconnected"])
  .meta({ description: "Whether messages come from NATS now." });

/** Server-sent events have a single subscription, which nobody named. */
const subscriptionName = z.string().meta({
  description: 'The name of the subscription; "" for the only one of server-sent events.',
});

const welcome = z
  .object({
    type: z.literal("welcome"),
    session: z.string().meta({
      description:
        "What this connection is called; opaque. In at-least-once a client comes back to what it has not acknowledged with it, in the query of the handshake: ?session=…",
    }),
    version: z.string().meta({ description: "The gateway's version." }),
    server_time: count("The gateway's clock, in Unix milliseconds."),
    ping_interval_ms: count("A WebSocket ping comes so often, in milliseconds."),
    upstream: upstreamState,
    limits: z.object({
      max_frame_bytes: count(
        "A longer frame from the client, in bytes of UTF-8, closes the connection with 1009.",
      ),
      max_subscriptions: count("So many subscriptions a client may have at a time."),
    }),
    delivery_mode: z.enum(["at-most-once", "at-least-once"]).meta({
      description: "Whether messages are sent once, or again until the client acknowledges them.",
    }),
    delivery: z
      .object({
        ack_timeout_ms: count("What is not acknowledged within so long is sent again."),
        session_ttl_ms: count("So long after its connection the session is kept."),
        resumed: z.boolean().meta({
          description:
            "Whether the session is an earlier connection's: its subscriptions are in effect.",
        }),
      })
      .exactOptional()
      .meta({ description: "Only in at-least-once." }),
  })
  .meta({
    description: "The first frame.",
    examples: [
      {
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
    ],
  });

const subscribed = z
  .object({
    type: z.literal("subscribed"),
    id: z.string().meta({
      description: 'The "id" of the request, which is the subscription\'s name from now on.',
    }),
    sub: subscriptionName,
    subjects: z.array(z.string()).meta({ description: "What is subscribed to." }),
    policy: policy("The one in effect: the gateway may not allow the one that was asked for."),
    from: cursor("Every message behind this cursor comes, or a gap says that it does not"),
    durable: z.string().exactOptional().meta({ description: "The durable that it uses." }),
  })
  .meta({
    description: "A subscription is in effect.",
    examples: [
      {
        type: "subscribed",
        id: "1",
        sub: "1",
        subjects: ["orders.>"],
        policy: "drop-oldest",
        from: "a3f81c09b2d4:41",
      },
    ],
  });

const unsubscribed = z.object({ type: z.literal("unsubscribed"), sub: subscriptionName }).meta({
  description: "A subscription has ended.",
  examples: [{ type: "unsubscribed", sub: "1" }],
});

const gap = z
  .object({
    type: z.literal("gap"),
    from: cursor("The first of them, or the message before an unknown number"),
    to: cursor("The last of them, or the message behind an unknown number"),
    count: count("How many messages; 0 where that is unknown."),
    reason: z
      .enum(["slow", "expired", "stream_reset", "upstream", "max_deliver", "session_expired"])
      .meta({
        description:
          '"slow": the client lagged, and its policy left them out; "expired": older than what is kept; "stream_reset": behind a cursor of another run of the gateway; "upstream": the gateway was cut off from NATS, or had not subscribed; "max_deliver": sent as often as is configured, and not acknowledged; "session_expired": what was not acknowledged in a session that is no more.',
      }),
    exact: z.literal(false).exactOptional().meta({
      description: 'Absent when "count" is exact; else at most so many, and 0 is unknown.',
    }),
  })
  .meta({
    description: "Messages that this client will not get, in their place among the others.",
    examples: [
      { type: "gap", from: "a3f81c09b2d4:43", to: "a3f81c09b2d4:49", count: 7, reason: "slow" },
    ],
  });

const caughtUp = z.object({ type: z.literal("caught_up"), sub: subscriptionName }).meta({
  description: "What was kept for a client that came back has been sent: live from here.",
  examples: [{ type: "caught_up", sub: "1" }],
});

const upstream = z.object({ type: z.literal("upstream"), state: upstreamState }).meta({
  description: "NATS went away, or came back; the connection stays.",
  examples: [{ type: "upstream", state: "disconnected" }],
});

const pong = z
  .object({
    type: z.literal("pong"),
    id: z.string().exactOptional().meta({ description: "That of the ping, where it had one." }),
  })
  .meta({ description: "The answer to a ping.", examples: [{ type: "pong", id: "x" }] });

const slow = z
  .object({
    type: z.literal("slow"),
    buffered_bytes: count("How much waits for the client, in bytes."),
  })
  .meta({
    description: "This client lags, and is fed from a queue of its own.",
    examples: [{ type: "slow", buffered_bytes: 1_048_601 }],
  });

const ok = z
  .object({ type: z.literal("ok") })
  .meta({ description: "This client lags no longer.", examples: [{ type: "ok" }] });

const error = z
  .object({
    type: z.literal("error"),
    id: z
      .string()
      .exactOptional()
      .meta({ description: "That of the request, or of its subscription, where it had one." }),
    error: z.object({
      code: z
        .enum([
          "malformed",
          "invalid_subject",
          "forbidden",
          "too_many_subscriptions",
          "duplicate_subscription",
          "unknown_subscription",
          "too_many_durables",
          "unavailable",
          "unsupported",
        ])
        .meta({ description: "For programs." }),
      message: z.string().meta({ description: "For whoever wrote the client." }),
      retryable: z.boolean().meta({ description: "Whether the same may succeed later." }),
    }),
  })
  .meta({
    description: "A request was refused, or a frame not understood.",
    examples: [
      {
        type: "error",
        id: "1",
        error: {
          code: "forbidden",
          message: 'nothing of "secret.>" is exposed by this endpoint',
          retryable: false,
        },
      },
    ],
  });

const disconnect = z
  .object({
    type: z.literal("disconnect"),
    code: z.int().min(1000).max(4999).meta({
      description: "The code of the close frame that follows; see x-close-codes of the channel.",
    }),
    reason: z.string().meta({ description: "Why, in words." }),
    reconnect: z.boolean().meta({ description: "Whether to connect again as before." }),
    retry_after_ms: count(
      "Connect again after so many milliseconds at the earliest.",
    ).exactOptional(),
    cursor: cursor("Where to continue after, where anything was sent").exactOptional(),
  })
  .meta({
    description: "The connection is about to be closed, and how to come back.",
    examples: [
      {
        type: "disconnect",
        code: 4510,
        reason: "slow consumer",
        reconnect: true,
        retry_after_ms: 1000,
        cursor: "a3f81c09b2d4:42",
      },
    ],
  });

/** What the server says besides `data`, by type. */
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

/** Any of them. */
export const serverFrame = z.discriminatedUnion("type", [
  welcome,
  subscribed,
  unsubscribed,
  gap,
  caughtUp,
  upstream,
  pong,
  slow,
  ok,
  error,
  disconnect,
]);
