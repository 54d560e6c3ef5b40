import type { SessionAcks } from "../acks/session-acks.ts";
import type { PrivateQueue } from "./queue.ts";
import type { Subscription } from "./subscription.ts";
import type { HeldBack } from "./subscriptions.ts";
import type { Throttle } from "./throttle.ts";

/** What one connection leaves to the next one of its session. */
export interface Estate {
  readonly subscriptions: readonly Subscription[];
  readonly held: HeldBack;
  readonly queue: PrivateQueue | undefined;
  readonly acks: SessionAcks | undefined;
  readonly throttle: Throttle | undefined;
}
