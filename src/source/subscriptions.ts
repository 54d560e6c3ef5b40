import type { Log } from "../core/log.ts";
import type { SourceListener, SourceMessage } from "../core/source.ts";
import { isReserved } from "../core/subject.ts";
import type { Msg, NatsConnection, Subscription } from "./connect.ts";
import { NatsMessage } from "./nats-message.ts";
import type { Patterns } from "./patterns.ts";
import { Refusals } from "./refusals.ts";

/** What the {@linkcode Subscriptions} of a source need. */
export interface SubscriptionsOptions {
  /** The source's own, changed before we are told of it. */
  readonly patterns: Patterns;
  readonly log: Log;
  /** Must not throw: nats.js would stop reading its socket. */
  readonly listener: SourceListener;
  /** NATS has dealt with all that it was asked, and whether it refuses some of it is known. Must not throw. */
  settled(): void;
}

interface Held {
  readonly pattern: string;
  readonly subscription: Subscription;
  /** Unsubscribed from, but not gone: what is under way may be meant for other patterns as well. */
  leaving: boolean;
}

/** So much of what comes before NATS has confirmed is held back. More than that counts as missed. */
const MOST_EARLY_MESSAGES = 10_000;
const MOST_EARLY_BYTES = 4 * 1024 * 1024;

const WILDCARD = /(^|\.)[*>](\.|$)/;

/**
 * The subscriptions of one source on one connection, one for each pattern.
 *
 * Patterns may overlap. NATS sends a message once for each subscription that it matches, but only
 * once to a queue group (https://docs.nats.io/nats-concepts/core-nats/queue), whatever the patterns
 * of its members. So all subscriptions are members of a group that nobody else is in: nats-server
 * shares out the messages, in the order that they have anyway on the one connection.
 *
 * Members may come and go; no message is lost or doubled for a pattern that stays. nats-server picks
 * one of those that it finds, the one that stays among them, and takes the next when the one picked
 * was closed meanwhile. What it had sent by way of a member before it knew that we unsubscribe comes
 * before its answer to the ping that follows
 * (https://docs.nats.io/using-nats/developer/receiving/drain); until then we deliver from there what
 * other patterns carry. Only between a leaf node and its hub may nats-server lose a message when a
 * member that matches it goes, as it may without a group.
 *
 * A server may notice only minutes later that it lost us, and its old connection would get a share
 * of the group's messages as long. So each new connection has a new group.
 *
 * Messages follow a subscription before NATS has confirmed it, and those who missed some must hear of
 * that first. So all that comes on a new connection is held back until NATS has confirmed what it was asked
 * for. Later, the first message of a pattern confirms it.
 *
 * NATS refuses a subscription by an error that comes later, and nats.js then forgets it. Here it is
 * remembered and can be tried again. A permission for one group alone (`"orders.> workers"`) does not
 * fit ours, which are named `spillway-` and a UUID.
 */
export class Subscriptions {
  readonly #connection: NatsConnection;
  readonly #options: SubscriptionsOptions;
  readonly #refusals: Refusals;
  readonly #held = new Map<string, Held>();
  /** Those held that NATS has not confirmed. */
  readonly #asked = new Set<Held>();
  /** All are members of it. `undefined`: closed. */
  #group: string | undefined;
  /** The group that a round trip is under way for. */
  #confirming: string | undefined;
  /** What came on a new connection before NATS has confirmed its subscriptions; `undefined`: it has. */
  #early: SourceMessage[] | undefined;
  #earlyBytes = 0;

  /** Subscribes to all patterns there are. */
  constructor(connection: NatsConnection, options: SubscriptionsOptions) {
    this.#connection = connection;
    this.#options = options;
    this.#refusals = new Refusals(options.log);
    this.open();
  }

  /** Whether NATS refuses some of what is wanted. */
  get refusesSome(): boolean {
    return this.#refusals.patterns.length > 0;
  }

  subscribe(pattern: string): void {
    const group = this.#group;
    if (group === undefined || this.#connection.isClosed() || this.#connection.isDraining()) return;
    const held: Held = {
      pattern,
      subscription: this.#connection.subscribe(pattern, {
        queue: group,
        callback: (error, msg) => {
          if (group !== this.#group) return;
          if (error === null) this.#take(held, msg);
          else this.#refuse(held, error);
        },
      }),
      leaving: false,
    };
    this.#held.set(pattern, held);
    this.#asked.add(held);
    void this.#confirm();
  }

  unsubscribe(pattern: string): void {
    if (this.#refusals.delete(pattern)) void this.#confirm();
    const held = this.#held.get(pattern);
    if (held === undefined) return;
    this.#held.delete(pattern);
    this.#asked.delete(held);
    held.leaving = true;
    // Each drain is a ping of its own: nothing for thousands of subjects that no other pattern matches.
    if (WILDCARD.test(pattern) || this.#options.patterns.carry(pattern)) {
      held.subscription.drain().catch(() => {});
    } else drop(held);
  }

  /** Subscribes once more to what was refused. */
  retry(): void {
    for (const pattern of this.#refusals.patterns) {
      if (!this.#held.has(pattern)) this.subscribe(pattern);
    }
  }

  /**
   * Asks again for a pattern that NATS may have revoked: nats-server 2.9 does not name the group when
   * a new configuration ends a subscription, and nats.js then finds nobody to tell.
   */
  recheck(pattern: string): void {
    if (!this.#held.has(pattern)) return;
    this.unsubscribe(pattern);
    this.subscribe(pattern);
  }

  /** Begins anew on a connection that is there again, refused patterns included. */
  open(): void {
    this.close();
    this.#early = [];
    this.#earlyBytes = 0;
    this.#group = `spillway-${crypto.randomUUID()}`;
    for (const pattern of this.#options.patterns) this.subscribe(pattern);
    void this.#confirm();
  }

  /** Unsubscribes, and waits for the messages that NATS had sent before it knew. */
  async drain(): Promise<void> {
    this.#asked.clear();
    await Promise.allSettled([...this.#held.values()].map((held) => held.subscription.drain()));
  }

  /** Unsubscribes, and delivers nothing more before `open`. */
  close(): void {
    this.#group = undefined;
    for (const held of this.#held.values()) drop(held);
    this.#held.clear();
    this.#asked.clear();
    this.#early = undefined;
  }

  #take(held: Held, msg: Msg): void {
    const { subject } = msg;
    const unsure = held.leaving || isReserved(subject);
    if (unsure && !this.#options.patterns.carry(subject)) return;
    const message = new NatsMessage(subject, msg);
    if (this.#early !== undefined) {
      this.#hold(message, this.#early);
      return;
    }
    if (this.#asked.size > 0 && this.#asked.has(held)) {
      this.#refusals.lift(held.pattern);
      this.#arrives(held);
    }
    this.#options.listener.message(message);
  }

  #hold(message: SourceMessage, early: SourceMessage[]): void {
    this.#earlyBytes += message.data.length;
    if (early.push(message) <= MOST_EARLY_MESSAGES && this.#earlyBytes <= MOST_EARLY_BYTES) return;
    early.length = 0;
    this.#earlyBytes = 0;
  }

  #releaseEarly(): void {
    const early = this.#early ?? [];
    this.#early = undefined;
    for (const message of early) this.#options.listener.message(message);
  }

  #arrives(held: Held): void {
    if (this.#asked.delete(held)) this.#options.listener.arrives(held.pattern);
  }

  #refuse({ pattern, subscription }: Held, error: Error): void {
    // nats.js may tell a subscription that is leaving what was meant for its successor.
    const held = this.#held.get(pattern);
    if (held === undefined) return;
    this.#held.delete(pattern);
    this.#asked.delete(held);
    if (held.subscription !== subscription) drop(held);
    this.#options.listener.refused(pattern, this.#refusals.add(pattern, error));
    void this.#confirm();
  }

  /**
   * Waits until NATS has answered a ping that follows what it was asked, and says so: a server does
   * what it is told in order, and refuses before it answers.
   */
  async #confirm(): Promise<void> {
    const group = this.#group;
    if (group === undefined || group === this.#confirming) return;
    this.#confirming = group;
    try {
      do {
        // All that is asked for in one turn of the event loop shares one round trip.
        await Promise.resolve();
        const asked = [...this.#asked];
        await this.#connection.rtt();
        if (group !== this.#group) return;
        const there = asked.filter((held) => this.#asked.has(held));
        for (const { pattern } of there) this.#refusals.lift(pattern);
        this.#options.settled();
        for (const held of there) this.#arrives(held);
        this.#releaseEarly();
      } while (this.#asked.size > 0);
    } catch {
      // Cut off again; nats.js' "reconnect" event leads to `open`.
    } finally {
      if (group === this.#confirming) this.#confirming = undefined;
    }
  }
}

function drop({ subscription }: Held): void {
  if (!subscription.isClosed()) subscription.unsubscribe();
}
