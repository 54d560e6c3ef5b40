import type { UpstreamState, WelcomeFrame } from "../../protocol/server-frames.ts";
import type { Clock } from "../ports/clock.ts";

/** The settings that a client is told. */
export interface WelcomeOptions {
  readonly pingIntervalMs: number;
  readonly maxFrameBytes: number;
  readonly maxSubscriptions: number;
  readonly ackTimeoutMs: number;
  readonly sessionTtlMs: number;
}

/**
 * Makes the first frame of a connection.
 *
 * @param about the name of the session, and in at-least-once whether it is resumed.
 */
export function welcome(
  options: WelcomeOptions,
  version: string,
  clock: Clock,
  upstream: UpstreamState,
  about: { readonly session: string; readonly resumed?: boolean | undefined },
): WelcomeFrame {
  const { session, resumed } = about;
  const { pingIntervalMs, maxFrameBytes, maxSubscriptions, ackTimeoutMs, sessionTtlMs } = options;
  return {
    type: "welcome",
    session,
    version,
    server_time: clock.wallMs(),
    ping_interval_ms: pingIntervalMs,
    upstream,
    limits: { max_frame_bytes: maxFrameBytes, max_subscriptions: maxSubscriptions },
    delivery_mode: resumed === undefined ? "at-most-once" : "at-least-once",
    ...(resumed !== undefined && {
      delivery: { ack_timeout_ms: ackTimeoutMs, session_ttl_ms: sessionTtlMs, resumed },
    }),
  };
}
