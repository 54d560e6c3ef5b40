import type { EndReason, GapFrame, SubscribedFrame } from "../../protocol/server-frames.ts";
import { type Grant, type GrantedRequest, ownerKey } from "../access/grant.ts";
import type { Refusal } from "../access/refusal.ts";
import type { AckTrackerParts } from "../acks/ack-tracker.ts";
import type { GapLog } from "../history/gap-log.ts";
import type { Ring } from "../history/ring.ts";
import { StreamPages } from "../history/stream-pages.ts";
import type { StreamRegistry } from "../history/stream-registry.ts";
import type { Meter } from "../metering/meter.ts";
import type { Clock } from "../ports/clock.ts";
import type { MessageSource } from "../ports/source.ts";
import type { Session } from "../sessions/session.ts";
import type { SessionSubscriptions } from "../sessions/session-registry.ts";
import { Subscription } from "../sessions/subscription.ts";
import type { Selection } from "../subject/subject.ts";
import type { TurnShare } from "../timing/turn-share.ts";
import type { UpstreamRefusal } from "../upstream/upstream-subscription.ts";
import type { UpstreamSubscriptions } from "../upstream/upstream-subscriptions.ts";
import { cursorOf, type EnvelopeEncoder, type Position } from "../wire/envelope.ts";
import { type SubscriptionRequest, wantsTheSame } from "../wire/subscription-request.ts";
import { Admission } from "./admission.ts";
import type { ReplayBounds } from "./catch-up.ts";
import { type ActiveRequest, ClientRequests } from "./client-requests.ts";
import { DurableSubscriptions } from "./durable-subscriptions.ts";
import { PatternBudget, type PatternBudgetOptions } from "./pattern-budget.ts";
import { patternRefusal } from "./refusal.ts";
import { NATS_SAYS, RefusedRequests } from "./refused-requests.ts";
import { planRegrant } from "./regrant.ts";
import { type Replay, Replayer } from "./replayer.ts";
import {
  type StartFault,
  type StartOptions,
  type StartPosition,
  StartPositions,
} from "./start-positions.ts";

export interface SubscriptionOptions extends PatternBudgetOptions, ReplayBounds, StartOptions {}

interface SubscriptionManagerParts {
  readonly clock: Clock;
  readonly encoder: EnvelopeEncoder;
  readonly meter: Meter;
  readonly source: Pick<MessageSource, "history" | "durables">;
  readonly acks: AckTrackerParts;
  readonly upstream: UpstreamSubscriptions;
  readonly ring: Ring;
  readonly gaps: GapLog;
  readonly streams: StreamRegistry;
  readonly turnShare: TurnShare;
  /** Whether the source delivers now. */
  connected(): boolean;
  /** The position of the last message that has come. */
  last(): Position;
  /** Called when what a client is subscribed to has changed, or its grant; absent if nobody wants to know. */
  readonly changed?: ((session: Session) => void) | undefined;
}

/**
 * Begins and ends the subscriptions of clients. A subscription is in effect when the source has confirmed its
 * subjects, the state of its streams is known, and the client has what it missed.
 */
export class SubscriptionManager implements SessionSubscriptions {
  readonly #parts: SubscriptionManagerParts;
  readonly #requests: ClientRequests;
  readonly #starts: StartPositions;
  readonly #admission: Admission;
  readonly #refusals: RefusedRequests;
  readonly #replayer: Replayer;
  readonly #durables: DurableSubscriptions;

  constructor(options: SubscriptionOptions, parts: SubscriptionManagerParts) {
    const { clock, encoder, meter, source } = parts;
    const { history, durables } = source;
    this.#parts = parts;
    const budget = new PatternBudget(options);
    this.#requests = new ClientRequests(budget);
    this.#starts = new StartPositions(options, {
      ...parts,
      hasHistory: history !== undefined,
      hasDurables: durables !== undefined,
    });
    const { upstream, streams, turnShare } = parts;
    this.#admission = new Admission({
      budget,
      upstream,
      requests: this.#requests,
      starts: this.#starts,
    });
    this.#refusals = new RefusedRequests({ upstream, streams, starts: this.#starts });
    this.#replayer = new Replayer(options, {
      ...parts,
      pages: history && new StreamPages(history, encoder, clock, meter),
    });
    this.#durables = new DurableSubscriptions({ ...parts.acks, encoder, turnShare }, durables);
  }

  /** Releases what is kept of streams. */
  stop(): void {
    this.#replayer.stop();
  }

  /** How many durables are used here now. */
  get durables(): number {
    return this.#durables.used;
  }

  /** Returns why a client that has nothing yet may not subscribe to what its grant selects, or `undefined`. */
  excessOf(grant: Grant, granted: Selection): Refusal | undefined {
    return this.#admission.excessOf(grant, granted);
  }

  /** Returns why a granted request can't start where it says; `undefined` if it can. */
  startFaultOf(grant: Grant, granted: GrantedRequest): StartFault | undefined {
    return this.#starts.faultOf(grant, granted);
  }

  /**
   * Counts the patterns of a client's subscriptions.
   *
   * @param id counts only those of the subscription with this name. Default: of all.
   */
  patternsOf(session: Session, id?: string): number {
    const held = [...this.#requests.of(session), ...session.durables.map(({ title }) => title)];
    return held.reduce(
      (sum, one) =>
        one.subjects === "everything" || (id !== undefined && one.id !== id)
          ? sum
          : sum + one.subjects.length,
      0,
    );
  }

  /** Returns about how many bytes of memory the patterns of a client take. */
  memoryOf(session: Session): number {
    return this.#requests.memoryOf(session);
  }

  /**
   * Takes a request of a client. The client is answered when the subscription is in effect.
   *
   * @returns why the request is refused, or `undefined`.
   */
  subscribe(session: Session, asked: SubscriptionRequest): Refusal | undefined {
    return this.#subscribe(session, asked, session.grant.applyTo(asked));
  }

  /** @param granted what the client's grant makes of the request. */
  #subscribe(
    session: Session,
    asked: SubscriptionRequest,
    granted: GrantedRequest,
  ): Refusal | undefined {
    const refusal = this.#admission.refusalOf(session, asked, granted);
    if (refusal !== undefined) return refusal;
    if (granted.durable !== undefined) {
      this.#durables.use(
        session,
        granted.id,
        this.#starts.durableOf(granted, ownerKey(session.grant.terms.principal)),
      );
      this.#parts.changed?.(session);
      return undefined;
    }
    const request = this.#requests.add(session, granted);
    let hasBegun = false;
    const goesOn = (): boolean => !hasBegun && this.#isWanted(session, request);
    const begin = (refused?: UpstreamRefusal): void => {
      if (!goesOn()) return;
      hasBegun = true;
      if (refused !== undefined && this.#isPatternRefused(session, request, refused)) return;
      this.#startWhenKnown(session, request);
    };
    // It may be refused, and released, before `whenKnown` returns.
    request.upstream = this.#parts.upstream.acquire(request.subjects);
    this.#parts.upstream.whenKnown(request.upstream, begin, goesOn);
    // A client that isn't told when it begins need not wait, and without NATS there is nothing to wait for.
    if (!session.dialect.sendsNotices || !this.#parts.connected()) begin();
    return undefined;
  }

  /** Ends a subscription. @returns why that is refused, or `undefined`. */
  unsubscribe(session: Session, id: string): Refusal | undefined {
    const request = this.#requests.find(session, id);
    if (request === undefined) {
      if (this.#durables.leave(session, id)) {
        this.#parts.changed?.(session);
        return undefined;
      }
      return { code: "unknown_subscription", message: `there is no subscription "${id}"` };
    }
    this.#withdraw(session, request);
    session.subscriptions.abandon(id);
    const subscription = session.subscriptions.find(id);
    if (subscription !== undefined) session.remove(subscription);
    session.tell({ type: "unsubscribed", sub: id });
    this.#parts.changed?.(session);
    return undefined;
  }

  /**
   * Withdraws the requests of a client that are not in effect when its connection ends: it isn't told that it
   * has them, and asks again when it resumes.
   */
  withdrawPending(session: Session): void {
    const inEffect = new Set([...session.subscriptions].map(({ id }) => id));
    const withdrawn = this.#requests.removeAllBut(session, ({ id }) => inEffect.has(id));
    for (const { upstream } of withdrawn) this.#parts.upstream.release(upstream);
  }

  /** Tells a client that resumes its session which of its subscriptions are in effect. */
  confirm(session: Session): void {
    for (const request of this.#requests.of(session)) {
      const from = this.#starts.endOfOnlyStream(request) ?? this.#parts.last();
      this.#tellSubscribed(session, request, from, []);
    }
  }

  /**
   * The client has another grant. What stays allowed continues without a gap; the client is told what ends, and what is
   * left of the rest.
   */
  regrant(session: Session, grant: Grant): void {
    const plan = planRegrant(session, grant, this.#requests.of(session));
    this.#requests.deny(session, grant.denied);
    const ended = new Map<ActiveRequest, EndReason>();
    for (const { request } of plan.ended) ended.set(request, "forbidden");
    const told = new Set<ActiveRequest>();
    for (const { request } of plan.redelivered) told.add(request);
    const narrowed = new Map<Subscription, Selection>();
    for (const { request, subscription, left } of plan.narrowed) {
      if (this.#narrow(session, grant, request, left)) {
        narrowed.set(subscription, left);
        told.add(request);
      } else ended.set(request, "too_many_subscriptions");
    }
    const over = [...plan.ended, ...plan.narrowed].filter(({ request }) => ended.has(request));
    for (const { request } of [...over, ...plan.restarted]) this.#withdraw(session, request);
    session.regrant(
      grant,
      over.map(({ subscription }) => subscription),
      narrowed,
    );
    for (const { subscription, delivery } of plan.redelivered) {
      session.setDelivery(subscription, delivery);
    }
    for (const [{ id }, reason] of ended) session.tell({ type: "unsubscribed", sub: id, reason });
    for (const { id } of plan.durables) {
      session.acks?.removeDurable(id);
      session.tell({ type: "unsubscribed", sub: id, reason: "forbidden" });
    }
    const inEffect = new Set([...session.subscriptions].map(({ id }) => id));
    const waiting: ActiveRequest[] = [];
    for (const request of this.#requests.of(session)) {
      if (this.#keepExposed(request)) {
        if (inEffect.has(request.id)) told.add(request);
        else if (session.subscriptions.find(request.id) === undefined) waiting.push(request);
      }
      if (told.has(request)) this.#tellLeft(session, request);
    }
    // The client doesn't know yet where these begin: they begin again with what is left.
    for (const { request, left } of plan.restarted) this.#askAgain(session, request, left);
    // These wait for patterns that they don't use any more.
    for (const request of waiting) {
      this.#withdraw(session, request);
      this.#askAgain(session, request, request.subjects);
    }
    this.#parts.changed?.(session);
  }

  /** A plain client resumes its session, and may want something else than before. */
  renew(session: Session, request: SubscriptionRequest): void {
    const before = this.#requests.find(session, request.id);
    // Unless its subscription was not in effect yet, the session knows better than a cursor what it had.
    const asked = before === undefined ? request : { ...request, after: undefined };
    const granted = session.grant.applyTo(asked);
    if (before !== undefined && wantsTheSame(before, granted)) {
      this.endRefused(session);
      return;
    }
    if (before !== undefined) this.unsubscribe(session, before.id);
    this.#begin(session, asked, granted);
  }

  /** Subscribes for a client that can't ask for something else: if it is refused, the client is ended. */
  begin(session: Session, request: SubscriptionRequest): void {
    this.#begin(session, request, session.grant.applyTo(request));
  }

  #begin(session: Session, asked: SubscriptionRequest, granted: GrantedRequest): void {
    const refusal = this.#subscribe(session, asked, granted);
    if (refusal === undefined) return;
    const { code, message, retryable = false } = refusal;
    this.#parts.meter.refused[code]++;
    session.tell({ type: "error", id: asked.id, error: { code, message, retryable } });
    session.end(retryable ? "overloaded" : "forbidden");
  }

  /**
   * Ends a client that can't ask for something else, if NATS does not send something that it named, or
   * nothing at all. No client waits in silence for messages that never come.
   *
   * @returns whether the client is ended.
   */
  endRefused(session: Session): boolean {
    if (session.dialect.name === "v1" || session.isOver) return false;
    const [loss] = this.#requests
      .of(session)
      .flatMap((request) => this.#refusals.errorCodeOf(request) ?? []);
    if (loss === undefined) return false;
    this.#parts.meter.refused[loss]++;
    session.end("forbidden");
    return true;
  }

  /** Withdraws everything that a client has asked for: it is over. */
  forget(session: Session): void {
    for (const { upstream } of this.#requests.removeAll(session)) {
      this.#parts.upstream.release(upstream);
    }
  }

  /** Takes back a part of a request. @returns `false` if there is no room for the patterns that are left. */
  #narrow(session: Session, grant: Grant, request: ActiveRequest, left: Selection): boolean {
    if (this.#admission.excessOf(grant, left) !== undefined) return false;
    this.#requests.narrow(session, request, left);
    this.#acquireAgain(request);
    return true;
  }

  /** The new patterns arrive before the wider ones are let go of. */
  #acquireAgain(request: ActiveRequest): void {
    const before = request.upstream;
    request.upstream = this.#parts.upstream.acquire(request.subjects);
    this.#parts.upstream.release(before);
  }

  /** Subscribes to what the gateway exposes now of a request. @returns whether that is something else than before. */
  #keepExposed(request: ActiveRequest): boolean {
    const { upstream, subjects } = request;
    const exposed = this.#parts.upstream.exposed(subjects);
    const isSame =
      exposed.length === upstream.length && exposed.every((one, index) => one === upstream[index]);
    if (!isSame) this.#acquireAgain(request);
    return !isSame;
  }

  #withdraw(session: Session, request: ActiveRequest): void {
    this.#requests.remove(session, request);
    this.#parts.upstream.release(request.upstream);
  }

  #isWanted(session: Session, { cancellation }: ActiveRequest): boolean {
    return !session.isOver && !cancellation.isCancelled;
  }

  /** Tells a client that NATS refuses a pattern. @returns whether nothing is left of the request. */
  #isPatternRefused(session: Session, request: ActiveRequest, refused: UpstreamRefusal): boolean {
    const error = patternRefusal(refused, NATS_SAYS);
    if (session.dialect.name === "v1") {
      this.#withdraw(session, request);
      this.#parts.meter.refused[error.code]++;
      session.tell({ type: "error", id: request.id, error });
      return true;
    }
    // The error names the request only if nothing of it comes: otherwise it continues without the pattern.
    const named = this.#refusals.errorCodeOf(request) !== undefined && { id: request.id };
    session.tell({ type: "error", ...named, error });
    return this.endRefused(session);
  }

  /** Tells a client that a stream is not followed. @returns whether nothing is left of the request. */
  #isStreamRefused(session: Session, request: ActiveRequest): boolean {
    const refusal = this.#refusals.ofStreams(request);
    if (refusal === undefined) return false;
    const { error, isWhole } = refusal;
    const isV1 = session.dialect.name === "v1";
    if (isWhole && isV1) {
      this.#withdraw(session, request);
      this.#parts.meter.refused[error.code]++;
    }
    const named = (isV1 || this.#refusals.errorCodeOf(request) !== undefined) && { id: request.id };
    session.tell({ type: "error", ...named, error });
    return isV1 ? isWhole : this.endRefused(session);
  }

  /** Starts a subscription as soon as the state of its streams is known. */
  #startWhenKnown(session: Session, request: ActiveRequest): void {
    const streams = this.#starts.streamsOf(request, session.dialect.sendsNotices);
    this.#parts.streams.whenKnown(streams, request.cancellation, () => {
      if (!this.#isWanted(session, request) || this.#isStreamRefused(session, request)) return;
      this.#start(session, request, this.#starts.of(request));
    });
  }

  #start(session: Session, request: ActiveRequest, start: StartPosition): void {
    const delivery = session.grant.deliveryOf(request);
    if (start.kind === "now") {
      const { last, streams } = this.#parts;
      const { order } = request;
      const { position } = start;
      session.add(new Subscription(request, delivery, order, last().sequence, streams.lasts));
      this.#tellSubscribed(session, request, position, [], cursorOf(position));
      return;
    }
    const startFrom = defaultStartOf(request);
    const replay: Replay = {
      session,
      request,
      delivery,
      starts: (from, gaps) =>
        this.#tellSubscribed(session, request, from, gaps, undefined, startFrom),
      joins: (subscription) => session.add(subscription),
    };
    this.#parts.meter.resumed++;
    if (start.kind === "ring") this.#replayer.fromRing(replay, start);
    else {
      // An error of ours must not leave the client waiting, nor end the process: the client reconnects.
      this.#replayer.fromStreams(replay, start).catch(() => session.end("going_away"));
    }
  }

  /** Tells a client what is left of a subscription. */
  #tellLeft(session: Session, request: ActiveRequest): void {
    const waiting = session.oldestWaiting;
    const from =
      waiting === undefined
        ? (this.#starts.endOfOnlyStream(request) ?? this.#parts.last())
        : { ...waiting, sequence: waiting.sequence - 1 };
    this.#tellSubscribed(session, request, from, []);
  }

  #askAgain(session: Session, request: ActiveRequest, left: Selection | undefined): void {
    if (session.isOver) return;
    const { order: _, cancellation: __, ...asked } = request;
    const refusal: Refusal | undefined =
      left === undefined
        ? {
            code: "forbidden",
            message: "the client may receive nothing of these subjects any more",
          }
        : this.subscribe(session, { ...asked, subjects: left });
    if (refusal === undefined) return;
    const { code, message, retryable = false } = refusal;
    this.#parts.meter.refused[code]++;
    session.tell({ type: "error", id: request.id, error: { code, message, retryable } });
  }

  #tellSubscribed(
    session: Session,
    request: ActiveRequest,
    from: Position,
    gaps: readonly GapFrame[],
    cursor?: string,
    startFrom?: KeptStart,
  ): void {
    const { id } = request;
    const subjects = request.subjects === "everything" ? session.grant.patterns : request.subjects;
    const { policy, maxRate } = session.grant.deliveryOf(request);
    const rate = maxRate !== undefined && { max_rate: maxRate };
    const begin = startFrom !== undefined && { start_from: startFrom };
    const effect = { subjects, policy, ...rate, from: cursorOf(from), ...begin };
    const own = gaps.map((gap) => ({ ...gap, sub: id }));
    session.tellSubscribed({ type: "subscribed", id, sub: id, ...effect }, own, cursor);
    this.#parts.changed?.(session);
  }
}

/** The start of a client that doesn't name one, if older messages come first. */
type KeptStart = NonNullable<SubscribedFrame["start_from"]>;

/** Returns the configured start if it applies to a request. */
function defaultStartOf({ after, start, startPoint }: ActiveRequest): KeptStart | undefined {
  const isDefault = after === undefined && start === undefined && startPoint !== "new";
  return isDefault && typeof startPoint === "string" ? startPoint : undefined;
}
