import type { EndReason, GapFrame } from "../../protocol/server-frames.ts";
import { type Grant, type GrantedRequest, ownerKey } from "../access/grant.ts";
import type { Refusal } from "../access/refusal.ts";
import type { AckTrackerParts } from "../acks/ack-tracker.ts";
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
import {
  type DeliveryTerms,
  type SubscriptionRequest,
  wantsTheSame,
} from "../wire/subscription-request.ts";
import { Admission } from "./admission.ts";
import type { ReplayBounds } from "./catch-up.ts";
import { type ActiveRequest, ClientRequests } from "./client-requests.ts";
import { DurableSubscriptions } from "./durable-subscriptions.ts";
import { PatternBudget, type PatternBudgetOptions } from "./pattern-budget.ts";
import { patternRefusal } from "./refusal.ts";
import { ABOUT, RefusedRequests } from "./refused-requests.ts";
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
  readonly streams: StreamRegistry;
  readonly turnShare: TurnShare;
  /** Whether the source delivers now. */
  connected(): boolean;
  /** The position of the last message that has come. */
  last(): Position;
}

/**
 * Takes what clients subscribe to, and ends it. A subscription is in effect when the source has confirmed its
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
    this.#parts.upstream.acquire(request.subjects, begin, goesOn);
    // A client that isn't told when it begins need not wait, and without NATS there is nothing to wait for.
    if (!session.dialect.sendsNotices || !this.#parts.connected()) begin();
    return undefined;
  }

  /** Ends a subscription. @returns why that is refused, or `undefined`. */
  unsubscribe(session: Session, id: string): Refusal | undefined {
    const request = this.#requests.find(session, id);
    if (request === undefined) {
      if (this.#durables.leave(session, id)) return undefined;
      return { code: "unknown_subscription", message: `there is no subscription "${id}"` };
    }
    this.#withdraw(session, request);
    session.subscriptions.abandon(id);
    const subscription = session.subscriptions.get(id);
    if (subscription !== undefined) session.remove(subscription);
    session.tell({ type: "unsubscribed", sub: id });
    return undefined;
  }

  /**
   * Withdraws the requests of a client that are not in effect when its connection ends: it isn't told that it
   * has them, and asks again when it resumes.
   */
  withdrawPending(session: Session): void {
    const inEffect = new Set([...session.subscriptions].map(({ id }) => id));
    const withdrawn = this.#requests.removeAllBut(session, ({ id }) => inEffect.has(id));
    for (const { subjects } of withdrawn) this.#parts.upstream.release(subjects);
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
    const ended: [ActiveRequest, Subscription, EndReason][] = [];
    const narrowed = new Map<Subscription, Selection>();
    const adopting: [ActiveRequest, Subscription][] = [];
    const told: ActiveRequest[] = [];
    const again: [ActiveRequest, Selection | undefined][] = [];
    for (const request of this.#requests.of(session)) {
      const left = grant.leftOf(request.subjects);
      const subscription = session.subscriptions.find(request.id);
      request.denied = grant.denied;
      const isOther =
        subscription !== undefined && differs(subscription, grant.deliveryOf(request));
      if (isOther) adopting.push([request, subscription]);
      if (left === request.subjects) {
        if (isOther) told.push(request);
      } else if (subscription === undefined) again.push([request, left]);
      else if (left === undefined) ended.push([request, subscription, "forbidden"]);
      else if (this.#admission.excessOf(grant, left) !== undefined) {
        ended.push([request, subscription, "too_many_subscriptions"]);
      } else {
        narrowed.set(subscription, left);
        told.push(request);
        // The new patterns arrive before the wider ones are let go of.
        this.#parts.upstream.acquire(left);
        this.#parts.upstream.release(request.subjects);
        this.#requests.narrow(session, request, left);
      }
    }
    const durables = session.durables.filter(
      ({ title }) => !grant.mayKeep(title.name, title.subjects, session.grant),
    );
    for (const [request] of ended) this.#withdraw(session, request);
    for (const [request] of again) this.#withdraw(session, request);
    session.regrant(
      grant,
      ended.map(([, subscription]) => subscription),
      narrowed,
    );
    for (const [request, subscription] of adopting) {
      session.adopt(subscription, grant.deliveryOf(request));
    }
    for (const [{ id }, , reason] of ended) session.tell({ type: "unsubscribed", sub: id, reason });
    for (const { title } of durables) {
      session.acks?.removeDurable(title.id);
      session.tell({ type: "unsubscribed", sub: title.id, reason: "forbidden" });
    }
    for (const request of told) this.#tellLeft(session, request);
    // The client doesn't know yet where these begin: they begin again with what is left.
    for (const [request, left] of again) this.#askAgain(session, request, left);
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
   * nothing at all. Nobody waits in silence for messages that never come.
   *
   * @returns whether the client is ended.
   */
  endRefused(session: Session): boolean {
    if (session.dialect.name === "v1" || session.isOver) return false;
    const [loss] = this.#requests
      .of(session)
      .flatMap((request) => this.#refusals.lossOf(request) ?? []);
    if (loss === undefined) return false;
    this.#parts.meter.refused[loss]++;
    session.end("forbidden");
    return true;
  }

  /** Withdraws everything that a client has asked for: it is over. */
  forget(session: Session): void {
    for (const { subjects } of this.#requests.removeAll(session)) {
      this.#parts.upstream.release(subjects);
    }
  }

  #withdraw(session: Session, request: ActiveRequest): void {
    this.#requests.remove(session, request);
    this.#parts.upstream.release(request.subjects);
  }

  #isWanted(session: Session, { cancellation }: ActiveRequest): boolean {
    return !session.isOver && !cancellation.isCancelled;
  }

  /** Tells a client that NATS refuses a pattern. @returns whether nothing is left of the request. */
  #isPatternRefused(session: Session, request: ActiveRequest, refused: UpstreamRefusal): boolean {
    const error = patternRefusal(refused, ABOUT);
    if (session.dialect.name === "v1") {
      this.#withdraw(session, request);
      this.#parts.meter.refused[error.code]++;
      session.tell({ type: "error", id: request.id, error });
      return true;
    }
    // The error names the request only if nothing of it comes: otherwise it continues without the pattern.
    const named = this.#refusals.lossOf(request) !== undefined && { id: request.id };
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
    const named = (isV1 || this.#refusals.lossOf(request) !== undefined) && { id: request.id };
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
    const replay: Replay = {
      session,
      request,
      delivery,
      starts: (from, gaps) => this.#tellSubscribed(session, request, from, gaps),
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
        ? { code: "forbidden", message: "the client's new token allows nothing of these subjects" }
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
  ): void {
    const { id } = request;
    const subjects = request.subjects === "everything" ? session.grant.patterns : request.subjects;
    const { policy, maxRate } = session.grant.deliveryOf(request);
    const rate = maxRate !== undefined && { max_rate: maxRate };
    const effect = { subjects, policy, ...rate, from: cursorOf(from) };
    session.tellSubscribed({ type: "subscribed", id, sub: id, ...effect }, gaps, cursor);
  }
}

function differs(one: DeliveryTerms, other: DeliveryTerms): boolean {
  return one.policy !== other.policy || one.maxRate !== other.maxRate;
}
