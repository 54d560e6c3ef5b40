import type { ClientFrame } from "../protocol/client-frames.ts";
import type { FrameOf } from "../protocol/schema.ts";
import type { DATA_FRAME, ServerFrame, WelcomeFrame } from "../protocol/server-frames.ts";
import type { Platform } from "./platform.ts";

/** A message of NATS, as the gateway sends it. */
export type DataFrame = FrameOf<typeof DATA_FRAME>;

/** The first frame. */
export type Welcome = WelcomeFrame & {
  /**
   * Each subscription has a stream of its own: `data`, `gap` and `end` say in `sub` which subscription they are for, and
   * a message that several subscriptions want comes to each of them.
   */
  readonly isDirected?: boolean;
};

/** Everything that a gateway sends. */
export type IncomingFrame =
  | Welcome
  | ((Exclude<ServerFrame, WelcomeFrame> | DataFrame) & {
      readonly sub?: string;
      /** True for a `gap` if messages that lie before it come after it. */
      readonly isAhead?: boolean;
      /** For an `error`: the least wait before the same request, in milliseconds. */
      readonly retry_after_ms?: number | undefined;
    });

/** A way to a gateway, open or about to open. */
export interface Transport {
  /** Sends a frame; a transport that isn't open drops it. */
  send(frame: ClientFrame): void;
  /** Closes it: with 1000, the gateway also ends the session; with another code, the session can be resumed. */
  close(code: number, reason: string): void;
}

/** Takes the reports of a transport. After `close`, there are none. */
export interface TransportEvents {
  frame(frame: IncomingFrame): void;
  /** It has ended, or could not be opened. */
  close(code: number, reason: string): void;
}

/** The address and the identity to connect with. */
export interface TransportTarget {
  readonly url: string;
  readonly token: string | undefined;
  /** The session to resume. */
  readonly session: string | undefined;
  /** Aborted when the client connects no more. */
  readonly closed: AbortSignal;
}

/** Opens a transport. May throw; then it is as if it had closed. */
export type OpenTransport = (
  target: TransportTarget,
  events: TransportEvents,
  platform: Platform,
) => Transport;
