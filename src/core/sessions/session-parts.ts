import type { CloseCause } from "../../protocol/close-codes.ts";
import type { Audience } from "../fanout/audience.ts";
import type { DisconnectReason, Meter } from "../metering/meter.ts";
import type { Clock } from "../ports/clock.ts";
import type { TurnShare } from "../timing/turn-share.ts";
import type { LivenessLimits } from "./liveness.ts";
import type { QueueBounds } from "./queue-bounds.ts";
import type { Session } from "./session.ts";

/** The bounds that every client lives within. */
export interface ClientLimits extends QueueBounds, LivenessLimits {
  /** More unsent bytes than this, and a client leaves the fast path for a queue of its own. */
  readonly highWaterBytes: number;
  /** With no more than this it is fed from its queue, and comes back when that is empty. */
  readonly lowWaterBytes: number;
  /** A client whose buffer does not move for so long is disconnected with 4511. */
  readonly writeTimeoutMs: number;
}

/**
 * How a client stands.
 *
 * - `"live"`: it gets what its audience gets.
 * - `"queued"`: it is fed from a queue of its own, because it lags, catches up, or asked for less.
 * - `"closing"`: the server has ended the connection, the peer has not yet confirmed.
 * - `"closed"`: over.
 */
export type ClientState = "live" | "queued" | "closing" | "closed";

/** Whom a client tells of its ways. */
export interface ClientWatcher {
  /** The client went over to a queue of its own, or came back. */
  queues(client: Session, queued: boolean): void;
  /** Something waits for a client that keeps up: it is to be fed with the next flush. */
  hungers(client: Session): void;
  /**
   * The client's connection is about to be over, and it may come back: what is its own goes to whom
   * `Session.handOver` gives it, or with the connection.
   */
  parks(client: Session): void;
  /** In how many milliseconds a client that is ended for this cause is to come back. */
  retryAfterMs(cause: CloseCause): number;
  /** The client is no longer in the audience. */
  left(audience: Audience): void;
  /** The connection is over, by the server's will or the peer's: called once, first. */
  ended(client: Session, reason: DisconnectReason): void;
  /** The socket is closed: called once, last. */
  gone(client: Session): void;
}

export interface ClientParts {
  readonly limits: ClientLimits;
  readonly meter: Meter;
  readonly clock: Clock;
  readonly turnShare: TurnShare;
  readonly watcher: ClientWatcher;
}
