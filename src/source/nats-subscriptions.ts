import { reasonOf } from "../core/ports/errors.ts";
import type { Log } from "../core/ports/log.ts";
import type { SourceListener, SourceMessage } from "../core/ports/source.ts";
import { hasWildcard, isReserved } from "../core/subject/subject.ts";
import type { Msg, NatsConnection, Subscription } from "./connect.ts";
import { NatsMessage } from "./nats-message.ts";
import type { PatternSet } from "./pattern-set.ts";
import { RefusedPatterns } from "./refused-patterns.ts";
import { listen } from "./safe-subscribe.ts";
import type { UnsendablePatterns } from "./unsendable-patterns.ts";

/** Options of {@linkcode NatsSubscriptions}. */
export interface NatsSubscriptionsOptions {
  /** The patterns of the source. It changes them before it calls `subscribe` and `unsubscribe`. */
  readonly patterns: PatternSet;
  /** Shared by all connections of the source. */
  readonly unsendable: UnsendablePatterns;
  readonly log: Log;
  /** Must not throw, as nats.js would stop reading its socket. */
  readonly listener: SourceListener;
  /** NATS has answered all subscriptions: each is confirmed or refused. Must not throw. */
  settled(): void;
}

interface Held {
  readonly pattern: string;
  readonly subscription: Subscription;
  /** Whether it is being drained: messages under way may belong to other patterns as well. */
  leaving: boolean;
}

/** The most messages that are held back until NATS confirms. If there are more, all of them count as missed. */
const MOST_EARLY_MESSAGES = 10_000;
const MOST_EARLY_BYTES = 4 * 1024 * 1024;

/** The error of a connection or account that may have no more subscriptions. */
const FULL = /maximum subscriptions exceeded/i;
/** Errors that name a subject. */
const NAMED = /permissions violation/i;

/** Whether an error means that NATS refuses a subscription. */
export function isRefusal(error: string): boolean {
  return NAMED.test(error) || FULL.test(error);
}

/** Why a client is refused while it is not known whether NATS takes a pattern. */
const SUSPECT = "NATS ended the gateway's connection, perhaps for this subject";

/** How many refused patterns are tried again at a time. */
const RETRIED = 1_000;

/**
 * The subscriptions of a source on one connection, one for each pattern.
 *
 * **Overlapping patterns.** NATS sends a message once for each subscription that matches it, but only once to a
 * queue group (https://docs.nats.io/nats-concepts/core-nats/queue), whatever the patterns of its members. So all
 * subscriptions are members of one group, which has no other members. nats-server shares out the messages
 * among them, and on one connection they keep their order.
 *
 * **Subscribing and unsubscribing** loses and doubles no message of a pattern that stays. nats-server picks a
 * member among those that match, and the next one if the first was closed meanwhile. Messages that it sent
 * through a member before our unsubscribe arrive before its answer to the ping that follows
 * (https://docs.nats.io/using-nats/developer/receiving/drain). Until then, we deliver those that other patterns
 * carry. Only between a leaf node and its hub may a message be lost, as without a group.
 *
 * **A new connection** has a new group. A server may notice the loss of the old connection minutes later, and
 * would until then send it a share of the group's messages. Messages may come before NATS has confirmed the
 * subscriptions, but clients that missed some must hear of that first. So messages on a new connection are held
 * back until NATS has confirmed. Later, the first message of a pattern confirms it.
 *
 * **Refusals** come as an error later on, and nats.js then forgets the subscription. Here it is remembered and
 * tried again. A permission for a named group (`"orders.> workers"`) does not fit our groups, which are named
 * `spillway-` and a UUID.
 *
 * **Errors without a subject**, such as `maximum subscriptions exceeded`, and errors that end the connection put
 * all unconfirmed patterns in doubt. They are asked for again, half of them at a time, until the ones are found
 * that NATS does not take. A pattern that makes NATS end the connection is not sent again.
 */
export class NatsSubscriptions {
  readonly #connection: NatsConnection;
  readonly #options: NatsSubscriptionsOptions;
  readonly #refusals: RefusedPatterns;
  readonly #held = new Map<string, Held>();
  /** The subscriptions that NATS has not confirmed. */
  readonly #asked = new Set<Held>();
  /** Patterns of which NATS does not take some: they are asked for `#atOnce` at a time. */
  readonly #doubtful = new Set<string>();
  #atOnce = 1;
  /** Patterns of which one may have made NATS end the connection. They are asked for after all others. */
  #suspects: ReadonlySet<string> = new Set();
  #suspectsAtOnce = 1;
  /** The patterns that were reported as refused on this connection. */
  readonly #told = new Set<string>();
  /** Whether NATS had no room for more when it was last asked. */
  #isFull = false;
  /** The last error without a subject since NATS confirmed something. */
  #complaint: string | undefined;
  /** The queue group; `undefined` while closed. */
  #group: string | undefined;
  readonly #unreadable = (detail: string): void =>
    this.#options.listener.fault("unreadable_headers", detail);
  /** The group for which a round trip is under way. */
  #confirming: string | undefined;
  /** Messages that came before NATS confirmed the first subscriptions; `undefined` once it has. */
  #early: SourceMessage[] | undefined;
  #earlyBytes = 0;

  /** Subscribes to all patterns of the source. */
  constructor(connection: NatsConnection, options: NatsSubscriptionsOptions) {
    this.#connection = connection;
    this.#options = options;
    this.#refusals = new RefusedPatterns(options.log);
    this.open();
  }

  /** Whether NATS refuses some of the patterns. */
  get refusesSome(): boolean {
    return this.#refusals.size > 0;
  }

  subscribe(pattern: string): void {
    const group = this.#group;
    if (group === undefined || this.#connection.isClosed() || this.#connection.isDraining()) return;
    const { unsendable, listener } = this.#options;
    const reason = unsendable.reasonOf(pattern, group);
    if (reason !== undefined) {
      listener.refused(pattern, reason, true);
      return;
    }
    if (this.#suspects.has(pattern)) {
      listener.refused(pattern, SUSPECT);
      return;
    }
    if (this.#doubtful.size > 0) this.#doubtful.add(pattern);
    else this.#ask(pattern, group);
    void this.#confirm();
  }

  unsubscribe(pattern: string): void {
    if (this.#refusals.delete(pattern)) void this.#confirm();
    this.#doubtful.delete(pattern);
    this.#told.delete(pattern);
    this.#leave(pattern);
  }

  /** Subscribes again to refused patterns, or to some of them if there are very many. */
  retry(): void {
    const group = this.#group;
    if (this.#doubtful.size > 0 || group === undefined) return;
    if (this.#connection.isClosed() || this.#connection.isDraining()) return;
    // If there was no room for one pattern, there is none for many: tries one.
    this.#atOnce = 1;
    for (const pattern of this.#refusals.first(RETRIED)) {
      if (this.#held.has(pattern)) continue;
      if (this.#isFull) this.#doubtful.add(pattern);
      else this.#ask(pattern, group);
    }
    void this.#confirm();
  }

  /**
   * Subscribes again to a pattern that NATS may have revoked. nats-server 2.9 does not name the group when a new
   * configuration ends a subscription, and nats.js then doesn't find the subscription.
   */
  recheck(pattern: string): void {
    if (!this.#held.has(pattern)) return;
    this.unsubscribe(pattern);
    this.subscribe(pattern);
  }

  /** NATS has sent an error, before all that it sends after it. */
  complained(reason: string): void {
    if (!NAMED.test(reason)) this.#complaint = reason;
  }

  /** Begins anew on a connection that is there again, refused patterns included. */
  open(): void {
    this.close();
    this.#early = [];
    this.#earlyBytes = 0;
    this.#group = `spillway-${crypto.randomUUID()}`;
    this.#told.clear();
    for (const pattern of this.#options.patterns) this.subscribe(pattern);
    void this.#confirm();
  }

  /** Unsubscribes, and waits for the messages that NATS sent before. */
  async drain(): Promise<void> {
    this.#asked.clear();
    this.#doubtful.clear();
    this.#suspects = new Set();
    await Promise.allSettled([...this.#held.values()].map((held) => held.subscription.drain()));
  }

  /**
   * Unsubscribes, and delivers nothing before the next `open`.
   *
   * @param messageLine the longest line of a message that NATS has not confirmed; 0 if there is none.
   */
  close(messageLine = 0): void {
    if (this.#group !== undefined) {
      const asked = [...this.#asked].map(({ pattern }) => pattern);
      const { unsendable } = this.#options;
      const suspects = unsendable.cut(this.#complaint, asked, this.#group, messageLine);
      // Suspects that were not asked for this time stay suspects.
      const known = new Set(asked);
      const untried = [...this.#suspects].filter((pattern) => !known.has(pattern));
      this.#suspects = new Set([...suspects, ...untried]);
      this.#suspectsAtOnce = half(suspects.length || this.#suspects.size);
    }
    this.#group = undefined;
    this.#complaint = undefined;
    for (const held of this.#held.values()) drop(held);
    this.#held.clear();
    this.#asked.clear();
    this.#early = undefined;
    this.#doubtful.clear();
  }

  #take(held: Held, msg: Msg): void {
    const { subject } = msg;
    const unsure = held.leaving || isReserved(subject);
    if (unsure && !this.#options.patterns.matches(subject)) return;
    const message = new NatsMessage(subject, msg, this.#unreadable);
    if (this.#early !== undefined) {
      this.#hold(message, this.#early);
      return;
    }
    if (this.#asked.size > 0) this.#arrives(held);
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
    if (!this.#asked.delete(held)) return;
    this.#doubtful.delete(held.pattern);
    this.#told.delete(held.pattern);
    this.#refusals.lift(held.pattern);
    this.#options.listener.arrives(held.pattern);
  }

  #ask(pattern: string, group: string): void {
    const held: Held = {
      pattern,
      subscription: listen(
        this.#connection,
        pattern,
        {
          queue: group,
          message: (msg) => {
            if (group === this.#group) this.#take(held, msg);
          },
          failed: (error) => {
            if (group === this.#group) this.#refuseHeld(held, error);
          },
        },
        (thrown) => this.#options.listener.fault("source_fault", reasonOf(thrown)),
      ),
      leaving: false,
    };
    this.#held.set(pattern, held);
    this.#asked.add(held);
  }

  /** Unsubscribes from a pattern. */
  #leave(pattern: string): void {
    const held = this.#held.get(pattern);
    if (held === undefined) return;
    this.#held.delete(pattern);
    this.#asked.delete(held);
    held.leaving = true;
    // Each drain costs a ping: too much for thousands of subjects that no other pattern matches.
    if (hasWildcard(pattern) || this.#options.patterns.matches(pattern)) {
      held.subscription.drain().catch(() => {});
    } else drop(held);
  }

  #refuseHeld({ pattern, subscription }: Held, error: Error): void {
    // nats.js may report an error of a subscription to the one before it, which is being drained.
    const held = this.#held.get(pattern);
    if (held === undefined) return;
    this.#held.delete(pattern);
    this.#asked.delete(held);
    if (held.subscription !== subscription) drop(held);
    // Clients need not know the queue group.
    const reason = reasonOf(error)
      .replaceAll("'", "")
      .replace(/ using queue ".*/, "");
    this.#refuse(pattern, reason);
    void this.#confirm();
  }

  #refuse(pattern: string, reason: string): void {
    this.#doubtful.delete(pattern);
    this.#refusals.add(pattern, reason);
    this.#told.add(pattern);
    this.#options.listener.refused(pattern, reason);
  }

  /**
   * Confirms subscriptions when NATS has answered the ping that follows them: a server does everything in order,
   * and sends refusals before the answer.
   */
  async #confirm(): Promise<void> {
    const group = this.#group;
    if (group === undefined || group === this.#confirming) return;
    this.#confirming = group;
    try {
      do {
        // All subscriptions of one turn of the event loop share a round trip.
        await Promise.resolve();
        this.#askDoubtful(group);
        const asked = [...this.#asked];
        await this.#connection.rtt();
        if (group !== this.#group) return;
        const complaint = this.#complaint;
        this.#complaint = undefined;
        if (complaint === undefined || this.#asked.size === 0) {
          this.#confirmed(
            asked.filter((held) => this.#asked.has(held)),
            group,
          );
        } else {
          // The error may be about later subscriptions, too. Then more such errors are under way.
          this.#doubt([...this.#asked], complaint);
          await this.#connection.rtt();
          if (group !== this.#group) return;
          this.#complaint = undefined;
        }
      } while (this.#asked.size + this.#doubtful.size + this.#suspects.size > 0);
    } catch {
      // The connection is lost; `open` follows when nats.js has reconnected.
    } finally {
      if (group === this.#confirming) this.#confirming = undefined;
    }
  }

  /** Asks for some of the patterns in doubt, once NATS has answered for all others. */
  #askDoubtful(group: string): void {
    if (this.#asked.size > 0) return;
    const isSuspect = this.#doubtful.size === 0;
    let left = isSuspect ? this.#suspectsAtOnce : this.#atOnce;
    for (const pattern of isSuspect ? this.#suspects : this.#doubtful) {
      if (left-- <= 0) break;
      if (!isSuspect || this.#options.patterns.has(pattern)) this.#ask(pattern, group);
    }
  }

  /** NATS has taken these subscriptions. */
  #confirmed(there: readonly Held[], group: string): void {
    let wasDoubtful = false;
    for (const { pattern } of there) {
      this.#options.unsendable.taken(pattern, group);
      if (this.#doubtful.delete(pattern)) wasDoubtful = true;
    }
    if (wasDoubtful) this.#isFull = false;
    this.#atOnce = half(this.#doubtful.size);
    if (this.#suspects.size > 0) this.#clearSuspects();
    // While patterns are in doubt, it is not known whether everything arrives that did before.
    const isSettled = this.#doubtful.size === 0;
    if (isSettled) this.#options.settled();
    for (const held of there) this.#arrives(held);
    if (isSettled) this.#releaseEarly();
  }

  /** Removes suspects that NATS has taken, or that are not wanted any more. */
  #clearSuspects(): void {
    const { patterns } = this.#options;
    const left = [...this.#suspects].filter(
      (pattern) => patterns.has(pattern) && !this.#held.has(pattern),
    );
    this.#suspects = new Set(left);
    this.#suspectsAtOnce = half(left.length);
  }

  /** NATS has not taken some of these subscriptions, and did not name them. */
  #doubt(there: readonly Held[], complaint: string): void {
    for (const { pattern } of there) this.#leave(pattern);
    if (there.length > 1) {
      for (const { pattern } of there) this.#doubtful.add(pattern);
      this.#atOnce = half(there.length);
      return;
    }
    this.#refuse(there[0]!.pattern, complaint);
    if (FULL.test(complaint)) {
      this.#isFull = true;
      // If there is no room for one pattern, there is none for the others.
      for (const pattern of [...this.#doubtful]) {
        if (this.#told.has(pattern)) this.#doubtful.delete(pattern);
        else this.#refuse(pattern, complaint);
      }
    }
    this.#atOnce = half(this.#doubtful.size);
    if (this.#doubtful.size > 0) return;
    this.#options.settled();
    this.#releaseEarly();
  }
}

function half(count: number): number {
  return Math.max(1, Math.ceil(count / 2));
}

function drop({ subscription }: Held): void {
  if (!subscription.isClosed()) subscription.unsubscribe();
}
