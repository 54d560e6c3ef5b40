import { CLOSE, type CloseCause } from "../../protocol/close-codes.ts";
import type { ServerFrame } from "../../protocol/server-frames.ts";
import type { DropReason, LossReason } from "../metering/ledger.ts";
import type { ErrorKind } from "../metering/meter.ts";
import { SOONEST_RETURN_MS } from "../timing/reconnect-times.ts";
import { cursorOf, type Position } from "../wire/envelope.ts";

/** The error and the drop under which the end of a client is counted, also if the client ended it. */
export const ENDED_AS: Partial<Record<CloseCause, { error: ErrorKind; drop?: DropReason }>> = {
  frame_too_big: { error: "frame_too_big" },
  malformed: { error: "malformed_frame" },
  too_many_frames: { error: "too_many_frames" },
  slow_consumer: { error: "slow_consumer", drop: "slow_consumer" },
  write_timeout: { error: "write_timeout", drop: "write_timeout" },
  no_pong: { error: "no_pong" },
  overloaded: { error: "overloaded", drop: "overloaded" },
};

/** Causes that end the session too: there is no room for it, or its client may not resume it. */
export const ENDS_SESSION: Partial<Record<CloseCause, LossReason>> = {
  slow_consumer: "slow_consumer",
  overloaded: "overloaded",
  revoked: "revoked",
};

/**
 * Makes the last frame before a connection is closed: it says why, and after which position to resume.
 *
 * @param retryAfterMs asked if the client should reconnect.
 */
export function farewell(
  cause: CloseCause,
  cursor: Position | undefined,
  retryAfterMs: () => number = () => SOONEST_RETURN_MS,
): ServerFrame {
  const { code, reason, reconnect } = CLOSE[cause];
  return {
    type: "disconnect",
    code,
    reason,
    reconnect,
    ...(reconnect && { retry_after_ms: retryAfterMs() }),
    ...(cursor !== undefined && { cursor: cursorOf(cursor) }),
  };
}
