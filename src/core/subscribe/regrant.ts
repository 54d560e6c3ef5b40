import type { Grant } from "../access/grant.ts";
import type { DurableTitle } from "../acks/durable-tracker.ts";
import type { Session } from "../sessions/session.ts";
import type { Subscription } from "../sessions/subscription.ts";
import type { Selection } from "../subject/subject.ts";
import type { DeliveryTerms } from "../wire/subscription-request.ts";
import type { ActiveRequest } from "./client-requests.ts";

/** A request whose subscription is in effect or catches up. */
interface Subscribed {
  readonly request: ActiveRequest;
  readonly subscription: Subscription;
}

/** The changes for a client that has another grant. A request for which nothing changes isn't listed. */
export interface RegrantPlan {
  /** The subscriptions that lose all their subjects. */
  readonly ended: readonly Subscribed[];
  /** The subscriptions that lose some subjects, with those that are left. */
  readonly narrowed: readonly (Subscribed & { readonly left: Selection })[];
  /** The subscriptions that bring their messages in another way. */
  readonly redelivered: readonly (Subscribed & { readonly delivery: DeliveryTerms })[];
  /** The requests that have no subscription yet, with what is left of them; `undefined`: nothing. */
  readonly restarted: readonly {
    readonly request: ActiveRequest;
    readonly left: Selection | undefined;
  }[];
  /** The durables that the client may not use any more. */
  readonly durables: readonly DurableTitle[];
}

/** Plans what another grant of a client changes in its requests, and changes nothing. */
export function planRegrant(
  session: Session,
  grant: Grant,
  requests: readonly ActiveRequest[],
): RegrantPlan {
  const ended: Subscribed[] = [];
  const narrowed: RegrantPlan["narrowed"][number][] = [];
  const redelivered: RegrantPlan["redelivered"][number][] = [];
  const restarted: RegrantPlan["restarted"][number][] = [];
  for (const request of requests) {
    const left = grant.leftOf(request.subjects);
    const subscription = session.subscriptions.find(request.id);
    if (subscription === undefined) {
      if (left !== request.subjects) restarted.push({ request, left });
      continue;
    }
    if (left === undefined) {
      ended.push({ request, subscription });
      continue;
    }
    if (left !== request.subjects) narrowed.push({ request, subscription, left });
    const delivery = grant.deliveryOf(request);
    if (differs(subscription, delivery)) redelivered.push({ request, subscription, delivery });
  }
  const durables = session.durables
    .map(({ title }) => title)
    .filter(({ name, subjects }) => !grant.mayKeep(name, subjects, session.grant));
  return { ended, narrowed, redelivered, restarted, durables };
}

function differs(one: DeliveryTerms, other: DeliveryTerms): boolean {
  return one.policy !== other.policy || one.maxRate !== other.maxRate;
}
