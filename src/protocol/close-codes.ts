/**
 * Why the gateway closes a connection: the code and the reason of the close frame (RFC 6455 §7.4) and of
 * `disconnect`. 44xx: do not reconnect unchanged, unless `reconnect` says so. 45xx: reconnect with back-off.
 */
export const CLOSE = {
  going_away: {
    code: 1001,
    reason: "going away",
    reconnect: true,
    why: "The gateway is stopping.",
    advice: "Reconnect.",
  },
  frame_too_big: {
    code: 1009,
    reason: "frame too big",
    reconnect: false,
    why: "The client sent a frame longer than `max_frame_bytes`.",
    advice: "Send shorter frames.",
  },
  malformed: {
    code: 4400,
    reason: "too many malformed frames",
    reconnect: false,
    why: "The client sent more than `max_malformed_frames` frames that don't follow this protocol.",
    advice: "Fix the client.",
  },
  unauthenticated: {
    code: 4401,
    reason: "no valid token",
    reconnect: false,
    why: "`spillway.v1.json` only: the client connected without a token, and sent no valid one in `auth` within `auth_timeout`.",
    advice: "Get a token, then connect.",
  },
  revoked: {
    code: 4401,
    reason: "token revoked",
    reconnect: false,
    why: "The operator has revoked the client's token, or all tokens of its `sub`; or what the client has shown (a token, a password, nothing) is no longer in the configuration.",
    advice: "Log in again, then connect.",
  },
  forbidden: {
    code: 4403,
    reason: "NATS refuses the subjects",
    reconnect: true,
    why: "Plain clients and server-sent events only: NATS refuses the gateway a subject that the client named, or all subjects if it named none. Server-sent events get an `error` first.",
    advice: "Wait at least 30 s before you reconnect; NATS may allow the subject by then.",
  },
  taken_over: {
    code: 4409,
    reason: "session taken over",
    reconnect: false,
    why: "Another connection has taken over the session or the durable.",
    advice: "Don't reconnect, or use another name.",
  },
  conflict: {
    code: 4409,
    reason: "durable has other subjects",
    reconnect: false,
    why: "Plain clients only: the durable was created with other subjects.",
    advice: "Use the durable's subjects, or another name.",
  },
  too_many_frames: {
    code: 4429,
    reason: "too many frames",
    reconnect: false,
    why: "The client sends more than `max_frames_per_second`. A frame counts as one, plus one for each 512 bytes. A `subscribe` or `unsubscribe` counts 10 more, plus one for each subject; of the subjects of its token that a wildcard brings the client, eight count as one, and so do eight that it has when it sends `auth`. Up to two acknowledgements of each sent message are free. A burst may use five seconds of the limit, plus 20 for each of `max_subscriptions`.",
    advice: "Send fewer frames.",
  },
  too_many_connections: {
    code: 4429,
    reason: "too many connections",
    reconnect: true,
    why: "The client's address, or its user, already has as many connections as `max_clients_per_address` or `max_clients_per_sub` allow. Usually the gateway says so in the handshake, with 429.",
    advice: "Close other connections first.",
  },
  overloaded: {
    code: 4503,
    reason: "overloaded",
    reconnect: true,
    why: "Too much data waits for all clients together, or the gateway has no room for another client, or for its account (it usually refuses those in the handshake, with 503). A plain client also gets this code if its durable is unavailable.",
    advice: "Reconnect later.",
  },
  slow_consumer: {
    code: 4510,
    reason: "slow consumer",
    reconnect: true,
    why: "The client's queue is full, and its policy is `disconnect`.",
    advice: "Reconnect with fewer subjects or another policy.",
  },
  write_timeout: {
    code: 4511,
    reason: "write timeout",
    reconnect: true,
    why: "The client's connection accepted no data for `write_timeout` (after the kernel has buffered some megabytes), and it confirmed nothing. A client that lags has less in flight: if it stops reading, it is closed with 4513. The client gets no `disconnect` frame first.",
    advice: "Reconnect.",
  },
  token_expired: {
    code: 4512,
    reason: "token expired",
    reconnect: true,
    why: "The client's token has expired, and the client sent no new one in `auth`.",
    advice: "Reconnect with a new token.",
  },
  no_pong: {
    code: 4513,
    reason: "no pong",
    reconnect: true,
    why: "The client sent nothing for `read_timeout`, not even a pong.",
    advice: "Reconnect.",
  },
  too_old: {
    code: 4514,
    reason: "connection too old",
    reconnect: true,
    why: "The connection has lasted about as long as `max_connection_age`: its client should reconnect, perhaps to another gateway.",
    advice: "Reconnect. With its cursor, a client misses nothing.",
  },
} as const;

/** The name of a reason for which the gateway closes a connection. */
export type CloseCause = keyof typeof CLOSE;

export const CLOSE_CAUSES = Object.keys(CLOSE) as readonly CloseCause[];
