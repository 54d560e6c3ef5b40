/**
 * Why the gateway closes a connection: the code and the reason of the close frame (RFC 6455 §7.4) and of
 * `disconnect`. 44xx: do not reconnect unchanged. 45xx: reconnect with back-off.
 */
export const CLOSE = {
  going_away: {
    code: 1001,
    reason: "going away",
    reconnect: true,
    why: "The gateway stops.",
    advice: "Connect again.",
  },
  frame_too_big: {
    code: 1009,
    reason: "frame too big",
    reconnect: false,
    why: "A frame from the client is longer than `max_frame_bytes`.",
    advice: "Send shorter frames.",
  },
  malformed: {
    code: 4400,
    reason: "too many malformed frames",
    reconnect: false,
    why: "The client has sent more than `max_malformed_frames` frames that are not of this protocol.",
    advice: "Fix the client.",
  },
  forbidden: {
    code: 4403,
    reason: "NATS does not send what was asked for",
    reconnect: true,
    why: "Plain clients and server-sent events only: NATS refuses the gateway a subject that the client named, or all subjects if it named none. Server-sent events get an `error` first.",
    advice: "Connect again after half a minute or more: NATS may allow it by then.",
  },
  taken_over: {
    code: 4409,
    reason: "session taken over",
    reconnect: false,
    why: "Another connection has taken over the session or the durable.",
    advice: "Don't connect again, or use another name.",
  },
  conflict: {
    code: 4409,
    reason: "durable has other subjects",
    reconnect: false,
    why: "Plain clients only: the durable was made with other subjects.",
    advice: "Use the durable's subjects, or another name.",
  },
  too_many_frames: {
    code: 4429,
    reason: "too many frames",
    reconnect: false,
    why: "The client sends more than `max_frames_per_second`. A frame counts for one more for every 512 bytes; a `subscribe` or `unsubscribe` counts for 10 more, and for one more with each subject. Up to two acknowledgements of each message that was sent are free. A burst of five seconds' worth is allowed.",
    advice: "Send less.",
  },
  overloaded: {
    code: 4503,
    reason: "overloaded",
    reconnect: true,
    why: "The gateway has no room for the client (most are refused in the handshake, with 503), or too much waits for all clients together.",
    advice: "Connect again later.",
  },
  slow_consumer: {
    code: 4510,
    reason: "slow consumer",
    reconnect: true,
    why: "The client's queue is full, and its policy is `disconnect`.",
    advice: "Connect again with fewer subjects or another policy.",
  },
  write_timeout: {
    code: 4511,
    reason: "write timeout",
    reconnect: true,
    why: "Nothing could be written to the client for `write_timeout` (the kernel holds some megabytes first). The client gets no `disconnect` before.",
    advice: "Connect again.",
  },
  no_pong: {
    code: 4513,
    reason: "no pong",
    reconnect: true,
    why: "Nothing came from the client for `read_timeout`, not even a pong.",
    advice: "Connect again.",
  },
} as const;

/** The name of a reason for which the gateway closes a connection. */
export type CloseCause = keyof typeof CLOSE;

export const CLOSE_CAUSES = Object.keys(CLOSE) as readonly CloseCause[];
