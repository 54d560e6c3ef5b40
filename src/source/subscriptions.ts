import { reasonOf } from "../core/errors.ts";
import type { Log } from "../core/log.ts";
import type { SourceMessage } from "../core/source.ts";
import type { Msg, NatsConnection, Subscription } from "./connect.ts";
import { delivers, type Share, shareOut } from "./overlap.ts";

interface Held {
  readonly subscription: Subscription;
  /** `undefined`: nothing is delivered, as NATS has not said yet whether it lets us subscribe. */
  share: Share | undefined;
}

/**
 * The subscriptions of one source on one connection, drained as
 * https://docs.nats.io/using-nats/developer/receiving/drain says.
 *
 * NATS refuses a subscription by an error that comes later, and nats.js then forgets it. Here it is
 * remembered, the narrower subjects that it covered are subscribed to in its place, and it can be
 * tried again.
 */
export class Subscriptions {
  readonly #connection: NatsConnection;
  readonly #subjects: readonly string[];
  readonly #log: Log;
  readonly #deliver: (message: SourceMessage) => void;
  readonly #onRefusal: () => void;
  readonly #held = new Map<string, Held>();
  readonly #refused = new Map<string, string>();

  constructor(
    connection: NatsConnection,
    options: {
      subjects: readonly string[];
      log: Log;
      /** Must not throw: nats.js would stop reading its socket. */
      deliver: (message: SourceMessage) => void;
      /** Must not throw. */
      refused: () => void;
    },
  ) {
    this.#connection = connection;
    this.#subjects = options.subjects;
    this.#log = options.log;
    this.#deliver = options.deliver;
    this.#onRefusal = options.refused;
    this.#arrange();
  }

  /** Why messages don't arrive although NATS is there, or `undefined`. */
  get refusal(): string | undefined {
    const reasons = [...this.#refused].map(
      ([subject, reason]) => `NATS refuses to let us subscribe to ${subject}: ${reason}`,
    );
    return reasons.length === 0 ? undefined : reasons.join("; ");
  }

  /** Subscribes once more to what was refused. */
  retry(): void {
    if (this.#cannotSubscribe) return;
    for (const subject of this.#refused.keys()) {
      if (!this.#held.has(subject)) this.#subscribe(subject);
    }
  }

  /** A round trip after `retry` brought no refusal: what was tried again is there. */
  settle(): void {
    for (const subject of [...this.#refused.keys()]) {
      if (!this.#held.has(subject)) continue;
      this.#refused.delete(subject);
      this.#log.info("NATS lets us subscribe to {subject} again", { subject });
    }
    this.#arrange();
  }

  /** Unsubscribes, and waits for the messages that NATS had sent before it knew. */
  async drain(): Promise<void> {
    const open = [...this.#held.values()].filter(({ subscription }) => !subscription.isClosed());
    await Promise.allSettled(open.map(({ subscription }) => subscription.drain()));
  }

  /** Unsubscribes, and delivers nothing more. */
  close(): void {
    for (const held of this.#held.values()) this.#drop(held);
    this.#held.clear();
  }

  get #cannotSubscribe(): boolean {
    return this.#connection.isClosed() || this.#connection.isDraining();
  }

  /** Holds exactly the subscriptions that carry all subjects which are not refused. */
  #arrange(): void {
    if (this.#cannotSubscribe) return;
    const wanted = this.#subjects.filter((subject) => !this.#refused.has(subject));
    const shares = new Map(shareOut(wanted).map((share) => [share.subject, share]));
    for (const [subject, held] of this.#held) {
      if (shares.has(subject) || this.#refused.has(subject)) continue;
      this.#held.delete(subject);
      this.#drop(held);
    }
    for (const [subject, share] of shares) {
      const held = this.#held.get(subject) ?? this.#subscribe(subject);
      held.share = share;
    }
  }

  #subscribe(subject: string): Held {
    const held: Held = {
      subscription: this.#connection.subscribe(subject, {
        callback: (error, msg) => {
          if (error !== null) this.#refuse(subject, held, error);
          else if (held.share !== undefined) this.#take(held.share, msg);
        },
      }),
      share: undefined,
    };
    this.#held.set(subject, held);
    return held;
  }

  #take(share: Share, msg: Msg): void {
    const { subject } = msg;
    if (delivers(share, subject)) this.#deliver(new NatsMessage(subject, msg));
  }

  #refuse(subject: string, held: Held, error: Error): void {
    if (this.#held.get(subject) !== held) return;
    this.#held.delete(subject);
    const reason = reasonOf(error).replaceAll("'", "");
    if (!this.#refused.has(subject)) {
      this.#log.warn("NATS refuses to let us subscribe to {subject}: {reason}", {
        subject,
        reason,
      });
    }
    this.#refused.set(subject, reason);
    this.#arrange();
    this.#onRefusal();
  }

  #drop(held: Held): void {
    held.share = undefined;
    if (!held.subscription.isClosed()) held.subscription.unsubscribe();
  }
}

/** A message of NATS in the core's words; headers are read only when somebody wants them. */
class NatsMessage implements SourceMessage {
  readonly subject: string;
  readonly data: Uint8Array;
  readonly #msg: Msg;

  constructor(subject: string, msg: Msg) {
    this.subject = subject;
    this.data = msg.data;
    this.#msg = msg;
  }

  /** `undefined`, too, when they break NATS' ADR-4: nats-server passes on whatever it gets. */
  get headers(): ReadonlyMap<string, readonly string[]> | undefined {
    try {
      const headers = new Map(this.#msg.headers);
      return headers.size === 0 ? undefined : headers;
    } catch {
      return undefined;
    }
  }
}
