import type { AudienceBook } from "./audience-book.ts";
import type { Client } from "./client.ts";
import type { Demand } from "./demand.ts";
import { cursorOf, type Position } from "./envelope.ts";
import type { Meter } from "./meter.ts";
import type { Policy } from "./policy.ts";
import { type Resumption, resumeAfter } from "./resume.ts";
import type { Ring } from "./ring.ts";
import type { ErrorCode } from "./server-frame.ts";
import { firstHidden } from "./subject.ts";
import { Subscription, type SubscriptionRequest } from "./subscription.ts";

export interface SubscribingOptions {
  /** What the endpoint exposes. */
  readonly subjects: readonly string[];
  /** What a subscription has that asks for nothing else, or for what is not allowed. */
  readonly policy: Policy;
  readonly allowedPolicies: readonly Policy[];
  /** How many subscriptions a client may have. */
  readonly maxSubscriptions: number;
}

/** Why a client's request was refused. */
export interface Refusal {
  readonly code: ErrorCode;
  readonly message: string;
}

interface SubscribingParts {
  readonly audiences: AudienceBook;
  readonly demand: Demand;
  readonly ring: Ring;
  readonly meter: Meter;
  /** Whether the source delivers now. */
  connected(): boolean;
  last(): Position;
}

/** Brings clients' subscriptions into effect: upstream first, then in their audience. */
export class Subscribing {
  readonly #options: SubscribingOptions;
  readonly #parts: SubscribingParts;
  /** What each client has asked for, in effect or not yet. */
  readonly #requests = new Map<Client, readonly SubscriptionRequest[]>();

  constructor(options: SubscribingOptions, parts: SubscribingParts) {
    this.#options = options;
    this.#parts = parts;
  }

  /**
   * Takes a request of a client; the answer comes when it is in effect.
   *
   * @returns why it is refused, or `undefined`.
   */
  subscribe(client: Client, request: SubscriptionRequest): Refusal | undefined {
    const requests = this.#requestsOf(client);
    const refusal = this.#refusalOf(request, requests);
    if (refusal !== undefined) return refusal;
    this.#requests.set(client, [...requests, request]);
    let begun = false;
    const begin = (refusal?: string): void => {
      if (begun || client.isOver || !this.#requestsOf(client).includes(request)) return;
      begun = true;
      // Who can't be told, and can't ask again, gets what comes once NATS allows it.
      if (refusal === undefined || !client.dialect.tells) this.#begin(client, request);
      else this.#giveUp(client, request, refusal);
    };
    this.#parts.demand.want(request.subjects, begin);
    // Who is not told when it begins need not wait for it; and without NATS there is nothing to wait for.
    if (!client.dialect.tells || !this.#parts.connected()) begin();
    return undefined;
  }

  /** Ends a subscription. @returns why that is refused, or `undefined`. */
  unsubscribe(client: Client, id: string): Refusal | undefined {
    const request = this.#requestsOf(client).find((request) => request.id === id);
    if (request === undefined) {
      return { code: "unknown_subscription", message: `there is no subscription "${id}"` };
    }
    this.#withdraw(client, request);
    const subscription = client.subscriptions.get(id);
    if (subscription !== undefined) {
      const others = [...client.subscriptions].filter((other) => other !== subscription);
      client.remove(subscription, this.#audienceFor(client, others));
    }
    client.tell({ type: "unsubscribed", sub: id });
    return undefined;
  }

  /** A client is gone, and wants nothing more. */
  forget(client: Client): void {
    for (const { subjects } of this.#requestsOf(client)) {
      this.#parts.demand.release(subjects);
    }
    this.#requests.delete(client);
  }

  #refusalOf(
    { id, subjects }: SubscriptionRequest,
    requests: readonly SubscriptionRequest[],
  ): Refusal | undefined {
    if (requests.some((request) => request.id === id)) {
      return { code: "duplicate_subscription", message: `there is a subscription "${id}" already` };
    }
    const { maxSubscriptions } = this.#options;
    if (requests.length >= maxSubscriptions) {
      return { code: "too_many_subscriptions", message: `a client may have ${maxSubscriptions}` };
    }
    const hidden = firstHidden(this.#options.subjects, subjects);
    if (hidden === undefined) return undefined;
    return { code: "forbidden", message: `nothing of "${hidden}" is exposed by this endpoint` };
  }

  /** NATS does not let the gateway have what a client asked for. */
  #giveUp(client: Client, request: SubscriptionRequest, refusal: string): void {
    this.#withdraw(client, request);
    const { id } = request;
    const error = { code: "forbidden", message: `NATS says: ${refusal}`, retryable: true } as const;
    client.tell({ type: "error", id, error });
  }

  #requestsOf(client: Client): readonly SubscriptionRequest[] {
    return this.#requests.get(client) ?? [];
  }

  #withdraw(client: Client, request: SubscriptionRequest): void {
    const others = this.#requestsOf(client).filter((other) => other !== request);
    this.#requests.set(client, others);
    this.#parts.demand.release(request.subjects);
  }

  #begin(client: Client, request: SubscriptionRequest): void {
    const { ring, demand, last, meter } = this.#parts;
    const now = last();
    const since = demand.completeSince(request.subjects);
    const resumption: Resumption =
      request.after === undefined
        ? { from: now, gaps: [], kept: [] }
        : resumeAfter(request.after, {
            last: now,
            ring,
            completeSince: since,
            wantsAll: request.subjects === undefined,
          });
    const { gaps, kept } = resumption;
    // Where something began to arrive behind the same message, the cursor says that it is of after that.
    const from =
      since?.sequence === resumption.from.sequence
        ? { ...resumption.from, arrivals: demand.arrivals }
        : resumption.from;
    const { policy: preset, allowedPolicies } = this.#options;
    const policy = allowedPolicies.find((allowed) => allowed === request.policy) ?? preset;
    const before = [...client.subscriptions];
    const subscription = new Subscription(request, policy, from.sequence);
    // What it gets through another of its subscriptions, it does not get again.
    const missed = kept.filter(
      ({ subject, sequence }) =>
        subscription.wants(subject) &&
        !before.some((other) => sequence > other.sinceSequence && other.wants(subject)),
    );
    client.add(subscription, this.#audienceFor(client, [...before, subscription]));
    // It waits before anything is told: should that be too much, the last cursor is one before it.
    if (missed.length > 0) client.replay(missed, subscription);
    const subjects = request.subjects ?? this.#options.subjects;
    const { id } = request;
    const subscribed = { id, sub: id, subjects, policy, from: cursorOf(from) };
    client.tell({ type: "subscribed", ...subscribed }, ...gaps);
    if (request.after === undefined) return;
    meter.resumed++;
    client.note({ type: "caught_up", sub: id });
  }

  /** Where a client with these subscriptions belongs. */
  #audienceFor(client: Client, subscriptions: readonly Subscription[]) {
    const all = subscriptions.some(({ subjects }) => subjects === undefined);
    const subjects = subscriptions.flatMap((subscription) => subscription.subjects ?? []);
    return this.#parts.audiences.of({
      dialect: client.dialect,
      compresses: client.socket.compresses,
      subjects: all ? undefined : subjects,
    });
  }
}
