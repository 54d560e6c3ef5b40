import type { BroadcasterOptions } from "./broadcaster-parts.ts";
import type { Clock } from "./clock.ts";
import type { UpstreamState, WelcomeFrame } from "./server-frame.ts";

/** What a client is told first. */
export function welcome(
  { pingIntervalMs, maxFrameBytes, maxSubscriptions }: BroadcasterOptions,
  version: string,
  clock: Clock,
  upstream: UpstreamState,
): WelcomeFrame {
  return {
    type: "welcome",
    session: crypto.randomUUID(),
    version,
    server_time: clock.wallMs(),
    ping_interval_ms: pingIntervalMs,
    upstream,
    limits: { max_frame_bytes: maxFrameBytes, max_subscriptions: maxSubscriptions },
  };
}
