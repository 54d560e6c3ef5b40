import type { Clock } from "./clock.ts";
import { type Envelope, earliest, type Position } from "./envelope.ts";
import type { DropReason, Meter } from "./meter.ts";
import { Pacer } from "./pacer.ts";
import type { Policy, QueueBounds } from "./policy.ts";
import type { Subscription } from "./subscription.ts";

interface SubscriptionsParts {
  readonly limits: QueueBounds;
  readonly clock: Clock;
  readonly meter: Meter;
}

const NONE: readonly Subscription[] = [];

/**
 * The subscriptions of one client that are in effect. The first that wants a message decides what
 * becomes of it: whether it comes at once or at a rate, and what happens where there is no room.
 */
export class Subscriptions implements Iterable<Subscription> {
  readonly #parts: SubscriptionsParts;
  readonly #release: (envelope: Envelope, policy: Policy) => void;
  /** How many more are fed from what streams have kept, and then join these. */
  catchingUp = 0;

  /** By what the client calls them, in the order in which they began. */
  #all: readonly Subscription[] = NONE;
  /** Of those that are slowed down; most clients have none, and there may be very many of them. */
  #pacers: Map<Subscription, Pacer> | undefined;

  /** @param release takes a message that is due. */
  constructor(parts: SubscriptionsParts, release: (envelope: Envelope, policy: Policy) => void) {
    this.#parts = parts;
    this.#release = release;
  }

  /** Whether they are at different places of a stream, so that no cursor is good for all. */
  get areApart(): boolean {
    return this.catchingUp > 0 && this.#all.length > 0;
  }

  /** Whether some are slowed down. */
  get anyPaced(): boolean {
    return this.#pacers !== undefined;
  }

  /** What they hold back. */
  get bytes(): number {
    if (this.#pacers === undefined) return 0;
    let bytes = 0;
    for (const pacer of this.#pacers.values()) bytes += pacer.bytes;
    return bytes;
  }

  /** The oldest of all that they hold back. */
  get oldest(): Position | undefined {
    return earliest([...(this.#pacers?.values() ?? [])].map(({ oldest }) => oldest));
  }

  get(id: string): Subscription | undefined {
    return this.#all.find((subscription) => subscription.id === id);
  }

  [Symbol.iterator](): Iterator<Subscription> {
    return this.#all.values();
  }

  add(subscription: Subscription): void {
    this.#all = [...this.#all, subscription];
    const { maxRate, policy } = subscription;
    if (maxRate === undefined) return;
    const { limits, clock, meter } = this.#parts;
    const pacer = new Pacer(maxRate, limits, clock, meter, (envelope) =>
      this.#release(envelope, policy),
    );
    this.#pacers ??= new Map();
    this.#pacers.set(subscription, pacer);
  }

  /** Ends a subscription; what it holds back goes to another one that wants it. */
  remove(subscription: Subscription): void {
    this.#all = this.#all.filter((other) => other !== subscription);
    const pacer = this.#pacers?.get(subscription);
    pacer?.hand(Number.POSITIVE_INFINITY, (envelope) => {
      if (this.#firstThatWants(envelope) !== undefined) this.take(envelope);
      else this.#parts.meter.dropped.abandoned++;
    });
    this.#pacers?.delete(subscription);
    if (this.#pacers?.size === 0) this.#pacers = undefined;
  }

  /** Takes out what a subscription holds back; from now on it holds nothing back. */
  release(subscription: Subscription): readonly Envelope[] {
    const held = this.#pacers?.get(subscription)?.take() ?? [];
    this.#pacers?.delete(subscription);
    if (this.#pacers?.size === 0) this.#pacers = undefined;
    return held;
  }

  /** What of messages that a subscription has missed is due at once, at its rate. */
  paced(missed: readonly Envelope[], subscription: Subscription): readonly Envelope[] {
    return this.#pacers?.get(subscription)?.passLatest(missed) ?? missed;
  }

  /** Takes a message, which one of them wants. */
  take(envelope: Envelope): void {
    const first = this.#all.length === 1 ? this.#all[0] : this.#firstThatWants(envelope);
    const pacer = first && this.#pacers?.get(first);
    if (pacer !== undefined) pacer.add(envelope);
    else this.#release(envelope, first?.policy ?? "disconnect");
  }

  /** Releases what is held back, due or not. */
  open(): void {
    for (const pacer of this.#pacers?.values() ?? []) pacer.open();
  }

  /** Holds nothing back any more; what was counts as dropped. */
  clear(reason: DropReason): void {
    const pacers = [...(this.#pacers?.values() ?? [])];
    this.#pacers = undefined;
    for (const pacer of pacers) this.#parts.meter.dropped[reason] += pacer.take().length;
  }

  #firstThatWants({ subject }: Envelope): Subscription | undefined {
    return this.#all.find((subscription) => subscription.wants(subject));
  }
}
