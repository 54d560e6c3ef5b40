import type { Delivery } from "../acks/delivery.ts";
import type { PrivateQueue } from "./queue.ts";
import type { Subscription } from "./subscription.ts";
import type { HeldBack } from "./subscriptions.ts";
import type { Throttle } from "./throttle.ts";

/** What one connection leaves to the next one of its session. */
export interface Estate {
  readonly subscriptions: readonly Subscription[];
  readonly held: HeldBack;
  readonly queue: PrivateQueue | undefined;
  readonly delivery: Delivery | undefined;
  readonly throttle: Throttle | undefined;
}
