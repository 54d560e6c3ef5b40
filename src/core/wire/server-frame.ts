import type { Policy } from "./policy.ts";

/** Why a client will not get messages that it asked for. */
export type GapReason =
  /** The client lagged, and its policy left them out. */
  | "slow"
  /** They are older than what is kept for clients that come back. */
  | "expired"
  /** The cursor is of another run of the gateway, whose messages are not known here. */
  | "stream_reset"
  /** The gateway itself was cut off from NATS, or had not subscribed to them. */
  | "upstream"
  /** They were sent as often as is configured, and not acknowledged. */
  | "max_deliver"
  /** The client came back with a session that is no more: what it had not acknowledged is gone with it. */
  | "session_expired";

/** Messages that a client will not get. Nothing is ever lost without one. */
export interface GapFrame {
  readonly type: "gap";
  /** The cursors of the first and the last of them, or of the messages around an unknown number. */
  readonly from: string;
  readonly to: string;
  readonly count: number;
  readonly reason: GapReason;
  /** Absent when `count` is exact. */
  readonly exact?: false;
}

export interface WelcomeFrame {
  readonly type: "welcome";
  /** What this connection is called; opaque. In at-least-once a client comes back with it. */
  readonly session: string;
  readonly version: string;
  /** Unix milliseconds. */
  readonly server_time: number;
  readonly ping_interval_ms: number;
  /** Whether messages come from NATS now. */
  readonly upstream: UpstreamState;
  readonly limits: {
    readonly max_frame_bytes: number;
    readonly max_subscriptions: number;
  };
  readonly delivery_mode: DeliveryMode;
  /** Only in at-least-once. */
  readonly delivery?: {
    /** What is not acknowledged within so long is sent again. */
    readonly ack_timeout_ms: number;
    /** So long after its connection the session is kept. */
    readonly session_ttl_ms: number;
    /** Whether the session is an earlier connection's: its subscriptions are in effect. */
    readonly resumed: boolean;
  };
}

/**
 * What is promised.
 *
 * - `"at-most-once"`: a message is sent once, in order.
 * - `"at-least-once"`: it is sent again until the client acknowledges it, so many times at most.
 */
export type DeliveryMode = "at-most-once" | "at-least-once";

export type UpstreamState = "connected" | "disconnected";

/** What went wrong with a request of the client. */
export type ErrorCode =
  | "malformed"
  | "invalid_subject"
  | "forbidden"
  | "too_many_subscriptions"
  | "duplicate_subscription"
  | "unknown_subscription"
  | "too_many_durables"
  | "unavailable"
  | "unsupported";

/** Why a request was not served, though it was understood. */
export type RefusalCode = Exclude<ErrorCode, "malformed">;

/** What the server says besides `data`, in the `spillway.v1.json` dialect and as events of SSE. */
export type ServerFrame =
  | WelcomeFrame
  | GapFrame
  | {
      readonly type: "subscribed";
      /** The `id` of the request, which is the subscription's name from now on. */
      readonly id: string;
      readonly sub: string;
      readonly subjects: readonly string[];
      /** The one in effect: the gateway may not allow the one that was asked for. */
      readonly policy: Policy;
      /** Every message of the subscription behind this cursor comes, or a `gap` says that it does not. */
      readonly from: string;
      /** The durable that it uses, where it uses one. */
      readonly durable?: string;
    }
  | { readonly type: "unsubscribed"; readonly sub: string }
  /** What was kept for a client that came back has been sent: live from here. */
  | { readonly type: "caught_up"; readonly sub: string }
  | { readonly type: "upstream"; readonly state: UpstreamState }
  | { readonly type: "pong"; readonly id?: string }
  /** This client lags, and is fed from a queue of its own; `ok`: no longer. */
  | { readonly type: "slow"; readonly buffered_bytes: number }
  | { readonly type: "ok" }
  | {
      readonly type: "error";
      /** That of the request, where it had one. */
      readonly id?: string;
      readonly error: {
        readonly code: ErrorCode;
        readonly message: string;
        readonly retryable: boolean;
      };
    }
  | {
      readonly type: "disconnect";
      readonly code: number;
      readonly reason: string;
      /** Whether to connect again as before. */
      readonly reconnect: boolean;
      readonly retry_after_ms?: number;
      /** Where to continue after, where anything was sent. */
      readonly cursor?: string;
    };
