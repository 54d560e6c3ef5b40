import { reasonOf } from "../core/ports/errors.ts";
import type { Log } from "../core/ports/log.ts";
import type { SourceListener, SourceMessage } from "../core/ports/source.ts";
import { hasWildcard, isReserved } from "../core/subject/subject.ts";
import type { Msg, NatsConnection, Subscription } from "./connect.ts";
import { listen } from "./listen.ts";
import { NatsMessage } from "./nats-message.ts";
import type { PatternSet } from "./pattern-set.ts";
import { RefusedPatterns } from "./refused-patterns.ts";
import type { UnsendablePatterns } from "./unsendable-patterns.ts";

/** What the {@linkcode NatsSubscriptions} of a source need. */
export interface NatsSubscriptionsOptions {
  /** The source's own, changed before we are told of it. */
  readonly patterns: PatternSet;
  /** The source's own, for all of its connections. */
  readonly unsendable: UnsendablePatterns;
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

/** The most messages that are held back before NATS has confirmed. With more, all of them count as missed. */
const MOST_EARLY_MESSAGES = 10_000;
const MOST_EARLY_BYTES = 4 * 1024 * 1024;

/** NATS takes no more subscriptions of this connection or account. */
const FULL = /maximum subscriptions exceeded/i;
/** Errors that name a subject, and are told of it. */
const NAMED = /permissions violation/i;

/** Whether an error of NATS is about subscriptions that it does not take. */
export function isRefusal(error: string): boolean {
  return NAMED.test(error) || FULL.test(error);
}

/** The reason that clients are told while it is not known whether NATS takes a pattern. */
const SUSPECT = "NATS ended the gateway's connection, perhaps for this subject";

/** How many refused patterns are asked for again at a time. */
const RETRIED = 1_000;

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
 *
 * Some errors don't name what they are about (`maximum subscriptions exceeded`), and some end the
 * connection. Then all that NATS had not confirmed is in doubt: it is asked for again, half of it at a
 * time, until those are found that NATS does not take. What makes NATS end the connection is not sent
 * again.
 */
export class NatsSubscriptions {
  readonly #connection: NatsConnection;
  readonly #options: NatsSubscriptionsOptions;
  readonly #refusals: RefusedPatterns;
  readonly #held = new Map<string, Held>();
  /** Those held that NATS has not confirmed. */
  readonly #asked = new Set<Held>();
  /** Patterns of which NATS may not take some: they are asked for `#atOnce` at a time. */
  readonly #doubtful = new Set<string>();
  #atOnce = 1;
  /** Patterns of which one may be why NATS ended the connection; asked for in the same way, after all others. */
  #suspects: ReadonlySet<string> = new Set();
  #suspectsAtOnce = 1;
  /** The patterns that the listener was told of as refused, on this connection. */
  readonly #told = new Set<string>();
  /** Whether NATS took no more when it was last asked. */
  #isFull = false;
  /** The last error that named no subject, since NATS confirmed something. */
  #complaint: string | undefined;
  /** All are members of it. `undefined`: closed. */
  #group: string | undefined;
  readonly #unreadable = (detail: string): void =>
    this.#options.listener.fault("unreadable_headers", detail);
  /** The group that a round trip is under way for. */
  #confirming: string | undefined;
  /** Messages that came on a new connection before NATS has confirmed its subscriptions; `undefined`: it has. */
  #early: SourceMessage[] | undefined;
  #earlyBytes = 0;

  /** Subscribes to all patterns there are. */
  constructor(connection: NatsConnection, options: NatsSubscriptionsOptions) {
    this.#connection = connection;
    this.#options = options;
    this.#refusals = new RefusedPatterns(options.log);
    this.open();
  }

  /** Whether NATS refuses some of what is wanted. */
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

  /** Subscribes once more to what was refused, or to some of it if that is very much. */
  retry(): void {
    const group = this.#group;
    if (this.#doubtful.size > 0 || group === undefined) return;
    if (this.#connection.isClosed() || this.#connection.isDraining()) return;
    // Where there was no room for one, there is none for many: that is tried with one.
    this.#atOnce = 1;
    for (const pattern of this.#refusals.first(RETRIED)) {
      if (this.#held.has(pattern)) continue;
      if (this.#isFull) this.#doubtful.add(pattern);
      else this.#ask(pattern, group);
    }
    void this.#confirm();
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

  /** Unsubscribes, and waits for the messages that NATS had sent before it knew. */
  async drain(): Promise<void> {
    this.#asked.clear();
    this.#doubtful.clear();
    this.#suspects = new Set();
    await Promise.allSettled([...this.#held.values()].map((held) => held.subscription.drain()));
  }

  /** Unsubscribes, and delivers nothing more before `open`. */
  close(): void {
    if (this.#group !== undefined) {
      const asked = [...this.#asked].map(({ pattern }) => pattern);
      const suspects = this.#options.unsendable.cut(this.#complaint, asked, this.#group);
      // Suspects that were not asked for this time are still to be tried.
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

  /** Takes back what NATS was asked for. */
  #leave(pattern: string): void {
    const held = this.#held.get(pattern);
    if (held === undefined) return;
    this.#held.delete(pattern);
    this.#asked.delete(held);
    held.leaving = true;
    // Each drain is a ping of its own: nothing for thousands of subjects that no other pattern matches.
    if (hasWildcard(pattern) || this.#options.patterns.matches(pattern)) {
      held.subscription.drain().catch(() => {});
    } else drop(held);
  }

  #refuseHeld({ pattern, subscription }: Held, error: Error): void {
    // nats.js may tell a subscription that is leaving what was meant for its successor.
    const held = this.#held.get(pattern);
    if (held === undefined) return;
    this.#held.delete(pattern);
    this.#asked.delete(held);
    if (held.subscription !== subscription) drop(held);
    // The queue group is our own affair.
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
          // It may be of what was asked for meanwhile, too. Then more such errors are under way.
          this.#doubt([...this.#asked], complaint);
          await this.#connection.rtt();
          if (group !== this.#group) return;
          this.#complaint = undefined;
        }
      } while (this.#asked.size + this.#doubtful.size + this.#suspects.size > 0);
    } catch {
      // Cut off again; nats.js' "reconnect" event leads to `open`.
    } finally {
      if (group === this.#confirming) this.#confirming = undefined;
    }
  }

  /** Asks for some of what is in doubt, once NATS has answered for all else. */
  #askDoubtful(group: string): void {
    if (this.#asked.size > 0) return;
    const isSuspect = this.#doubtful.size === 0;
    let left = isSuspect ? this.#suspectsAtOnce : this.#atOnce;
    for (const pattern of isSuspect ? this.#suspects : this.#doubtful) {
      if (left-- <= 0) break;
      if (!isSuspect || this.#options.patterns.has(pattern)) this.#ask(pattern, group);
    }
  }

  /** NATS has taken all of these. */
  #confirmed(there: readonly Held[], group: string): void {
    let wasDoubtful = false;
    for (const { pattern } of there) {
      this.#options.unsendable.taken(pattern, group);
      if (this.#doubtful.delete(pattern)) wasDoubtful = true;
    }
    if (wasDoubtful) this.#isFull = false;
    this.#atOnce = half(this.#doubtful.size);
    if (this.#suspects.size > 0) this.#clearSuspects();
    // As long as some are in doubt, it is not known whether all comes that came before.
    const isSettled = this.#doubtful.size === 0;
    if (isSettled) this.#options.settled();
    for (const held of there) this.#arrives(held);
    if (isSettled) this.#releaseEarly();
  }

  /** Clears patterns that NATS has taken, or that nobody wants any more, of the suspicion. */
  #clearSuspects(): void {
    const { patterns } = this.#options;
    const left = [...this.#suspects].filter(
      (pattern) => patterns.has(pattern) && !this.#held.has(pattern),
    );
    this.#suspects = new Set(left);
    this.#suspectsAtOnce = half(left.length);
  }

  /** NATS has not taken some of these, and did not say which. */
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
