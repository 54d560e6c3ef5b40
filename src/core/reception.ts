import type { UpstreamState } from "../protocol/server-frames.ts";
import { RedeliveryPolicy } from "./acks/redelivery-policy.ts";
import type { BroadcasterOptions, BroadcasterParts } from "./broadcaster-parts.ts";
import type { AudienceRegistry } from "./fanout/audience-registry.ts";
import type { Session } from "./sessions/session.ts";
import { SessionRegistry } from "./sessions/session-registry.ts";
import { welcome } from "./sessions/welcome.ts";
import type { SubscriptionManager } from "./subscribe/subscription-manager.ts";
import { TimerQueue } from "./timing/timer-queue.ts";
import type { TurnShare } from "./timing/turn-share.ts";
import type { Dialect } from "./wire/dialect.ts";
import { cursorOf, type Position } from "./wire/envelope.ts";
import { unknownGap } from "./wire/gap.ts";
import type { SubscriptionRequest } from "./wire/subscription-request.ts";

interface ReceptionParts extends BroadcasterParts {
  readonly audiences: AudienceRegistry;
  readonly subscriptions: SubscriptionManager;
  readonly turnShare: TurnShare;
  upstreamState(): UpstreamState;
  /** The last message that has come. */
  last(): Position;
}

/** Lets clients in, and in at-least-once back in to what is kept for them. */
export class Reception {
  /** Only in at-least-once. */
  readonly sessions: SessionRegistry | undefined;
  readonly #options: BroadcasterOptions;
  readonly #parts: ReceptionParts;
  /** Of all that must be acknowledged, on one timer. */
  readonly #timers: TimerQueue;

  constructor(options: BroadcasterOptions, parts: ReceptionParts) {
    this.#options = options;
    this.#parts = parts;
    this.#timers = new TimerQueue(parts.clock);
    if (options.deliveryMode === "at-least-once") this.sessions = this.#createSessions();
  }

  /** Whether clients of a dialect acknowledge what they get: who can't answer can't. */
  acknowledges({ name }: Dialect): boolean {
    return this.sessions !== undefined && name !== "sse";
  }

  /**
   * Lets a client in.
   *
   * @param request what it wants from the beginning on.
   * @param asked the name of the session that it comes back to, or begins.
   */
  admit(client: Session, request?: SubscriptionRequest, asked?: string): void {
    const { subscriptions } = this.#parts;
    if (this.sessions !== undefined && this.acknowledges(client.dialect)) {
      const before = this.sessions.get(asked);
      if (before !== undefined) {
        this.#resume(this.sessions, client, before, request);
        return;
      }
      this.#begin(this.sessions, client, asked);
    } else {
      this.#welcome(client, { session: crypto.randomUUID() });
    }
    if (request !== undefined) subscriptions.begin(client, request);
  }

  /** Lets go of the timer. */
  stop(): void {
    this.#timers.stop();
  }

  #begin(sessions: SessionRegistry, client: Session, asked: string | undefined): void {
    const { tells } = client.dialect;
    // Whoever is told its name may come back by it; a plain client names itself, or does not come back.
    const session = asked ?? (tells ? crypto.randomUUID() : undefined);
    this.#welcome(client, { session: session ?? "", resumed: false });
    sessions.begin(client, session);
    if (asked === undefined) return;
    // A client that is told its name did not make this one up.
    const cursor = cursorOf(this.#parts.last());
    client.tell(unknownGap(cursor, cursor, "session_expired"));
  }

  #resume(
    sessions: SessionRegistry,
    client: Session,
    before: Session,
    request: SubscriptionRequest | undefined,
  ): void {
    const { subscriptions } = this.#parts;
    this.#welcome(client, { session: before.id ?? "", resumed: true });
    sessions.resume(client, before);
    subscriptions.confirm(client);
    client.acks?.attach(client);
    if (request !== undefined) subscriptions.renew(client, request);
  }

  #welcome(client: Session, about: { session: string; resumed?: boolean }): void {
    const { version, clock, upstreamState } = this.#parts;
    client.tell(welcome(this.#options, version, clock, upstreamState(), about));
  }

  #createSessions(): SessionRegistry {
    const { deadLetters, random = Math.random, clock, meter } = this.#parts;
    const { audiences, subscriptions, turnShare } = this.#parts;
    const { deadLetterSubject } = this.#options;
    const { ledger } = meter;
    const redelivery = new RedeliveryPolicy(this.#options, {
      ...{ ledger, deadLetters, deadLetterSubject, random },
    });
    const shared = { clock, meter, timers: this.#timers };
    return new SessionRegistry(this.#options, {
      ...shared,
      limits: this.#options,
      audiences,
      subscriptions,
      turnShare,
      acks: { ...shared, options: this.#options, redelivery },
    });
  }
}
