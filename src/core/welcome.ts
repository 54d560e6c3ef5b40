import type { BroadcasterOptions } from "./broadcaster-parts.ts";
import type { Clock } from "./ports/clock.ts";
import type { UpstreamState, WelcomeFrame } from "./wire/server-frame.ts";

/** What a client is told first. */
export function welcome(
  options: BroadcasterOptions,
  version: string,
  clock: Clock,
  upstream: UpstreamState,
  /** What the connection is called, and of a client that acknowledges, whether it came back. */
  { session, resumed }: { session: string; resumed?: boolean | undefined },
): WelcomeFrame {
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
