import type { RefusalCode } from "../../protocol/error-codes.ts";
import type { DeliveryMode, Policy } from "../../protocol/fields.ts";
import type { GapFrame } from "../../protocol/server-frames.ts";
import { subjectFault } from "../../protocol/subject.ts";
import type { AudienceRegistry } from "../fanout/audience-registry.ts";
import { resumeAfter } from "../history/resume.ts";
import type { Ring } from "../history/ring.ts";
import type { StreamRegistry } from "../history/stream-registry.ts";
import type { Meter } from "../metering/meter.ts";
import type { StartPoint } from "../ports/source.ts";
import type { Session } from "../sessions/session.ts";
import { Subscription } from "../sessions/subscription.ts";
import { exposedOf, firstHidden } from "../subject/subject.ts";
import type { TurnShare } from "../timing/turn-share.ts";
import type { UpstreamRefusal } from "../upstream/upstream-subscription.ts";
import type { UpstreamSubscriptions } from "../upstream/upstream-subscriptions.ts";
import { cursorOf, type Position } from "../wire/envelope.ts";
import { type SubscriptionRequest, wantsTheSame } from "../wire/subscription-request.ts";
import type { DurableDesk } from "./durable-desk.ts";
import {
  isFairShare,
  memoryOf,
  PatternBudget,
  type PatternBudgetOptions,
} from "./pattern-budget.ts";
import { patternRefusal, type Refusal, streamRefusal } from "./refusal.ts";
import type { Replayer } from "./replayer.ts";
import { RingReplay } from "./ring-replay.ts";

export interface SubscriptionOptions extends PatternBudgetOptions {
  /** What the endpoint exposes. */
  readonly subjects: readonly string[];
  /** Where a subscription begins in streams that doesn't say it. */
  readonly startFrom: StartPoint;
  /** What a subscription has that asks for nothing else, or for what is not allowed. */
  readonly policy: Policy;
  readonly allowedPolicies: readonly Policy[];
  /** How many subscriptions a client may have. */
  readonly maxSubscriptions: number;
  readonly deliveryMode: DeliveryMode;
}

interface SubscriptionManagerParts {
  readonly audiences: AudienceRegistry;
  readonly upstream: UpstreamSubscriptions;
  readonly ring: Ring;
  readonly meter: Meter;
  readonly book: StreamRegistry;
  readonly replaying: Replayer;
  readonly durables: DurableDesk;
  readonly turnShare: TurnShare;
  /** Whether the source delivers now. */
  connected(): boolean;
  last(): Position;
}

const NO_STREAMS: ReadonlyMap<string, number> = new Map();
/** What a client is told of something that it asks for, before the reason. */
const ABOUT = "NATS says";

/** A request, and its number among all that were ever made: of one client's, the first one has the smallest. */
interface Asked extends SubscriptionRequest {
  readonly order: number;
}

/** Brings clients' subscriptions into effect: upstream first, then in their audience. */
export class SubscriptionManager {
  readonly #options: SubscriptionOptions;
  readonly #parts: SubscriptionManagerParts;
  readonly #budget: PatternBudget;
  /** What each client has asked for, in effect or not yet. */
  readonly #requests = new Map<Session, readonly Asked[]>();
  #count = 0;

  constructor(options: SubscriptionOptions, parts: SubscriptionManagerParts) {
    this.#options = options;
    this.#parts = parts;
    this.#budget = new PatternBudget(options);
  }

  /**
   * Takes a request of a client; the answer comes when it is in effect.
   *
   * @returns why it is refused, or `undefined`.
   */
  subscribe(client: Session, asked: SubscriptionRequest): Refusal | undefined {
    const { after, start = after === undefined ? this.#options.startFrom : undefined } = asked;
    const request = { ...asked, start, order: ++this.#count };
    const requests = this.#requestsOf(client);
    const titles = client.durables.map(({ title }) => title);
    const refusal = this.#refusalOf(client, asked, [...requests, ...titles]);
    if (refusal !== undefined) return refusal;
    if (asked.durable !== undefined) return this.#parts.durables.use(client, asked);
    this.#asks(client, [...requests, request]);
    let begun = false;
    const goesOn = (): boolean => !begun && this.#isWanted(client, request);
    const begin = (refusal?: UpstreamRefusal): void => {
      if (!goesOn()) return;
      begun = true;
      const { replaying } = this.#parts;
      if (refusal !== undefined && client.dialect.name === "v1") {
        this.#giveUp(client, request, refusal);
        return;
      }
      if (refusal !== undefined) {
        // A request of which something comes continues without the refused pattern, and is not answered by this.
        const named = this.#lossOf(request) !== undefined && { id: request.id };
        client.tell({ type: "error", ...named, error: patternRefusal(refusal, ABOUT) });
        if (this.endRefused(client)) return;
      }
      if (replaying.wants(request)) {
        // What is broken here must not leave the client waiting, nor end the process: it comes back.
        this.#replay(client, request).catch(() => client.end("going_away"));
      } else this.#beginKnown(client, request);
    };
    this.#parts.upstream.acquire(request.subjects, begin, goesOn);
    // A client that is not told when it begins need not wait, and without NATS there is nothing to wait for.
    if (!client.dialect.tells || !this.#parts.connected()) begin();
    return undefined;
  }

  /** Ends a subscription. @returns why that is refused, or `undefined`. */
  unsubscribe(client: Session, id: string): Refusal | undefined {
    const request = this.#requestsOf(client).find((request) => request.id === id);
    if (request === undefined) {
      if (this.#parts.durables.leave(client, id)) return undefined;
      return { code: "unknown_subscription", message: `there is no subscription "${id}"` };
    }
    this.#withdraw(client, request);
    client.subscriptions.abandon(id);
    const subscription = client.subscriptions.get(id);
    if (subscription !== undefined) {
      const others = [...client.subscriptions].filter((other) => other !== subscription);
      client.remove(subscription, this.#audienceFor(client, others));
    }
    client.tell({ type: "unsubscribed", sub: id });
    return undefined;
  }

  /**
   * Moves all that one connection has to another one. What it has asked for and is not in effect, whoever
   * comes back must ask for again: it is not told that it has it.
   */
  move(from: Session, to: Session): void {
    const requests = this.#requestsOf(from);
    this.#asks(from, []);
    const estate = from.handOver();
    const inEffect = new Set(estate.subscriptions.map(({ id }) => id));
    const held = requests.filter(({ id }) => inEffect.has(id));
    this.#asks(to, held);
    // Its audience is one of those who acknowledge.
    to.delivery = estate.delivery;
    to.inherit(estate, this.#audienceFor(to, estate.subscriptions));
    for (const request of requests) {
      if (!inEffect.has(request.id)) this.#parts.upstream.release(request.subjects);
    }
  }

  /** Tells a client that came back which of its subscriptions are in effect. */
  confirm(client: Session): void {
    for (const request of this.#requestsOf(client)) {
      const from = this.#parts.replaying.nowOf(request) ?? this.#parts.last();
      this.#tellSubscribed(client, request, cursorOf(from), []);
    }
  }

  /** A plain client came back, and may want something else than before. */
  renew(client: Session, request: SubscriptionRequest): void {
    const before = this.#requestsOf(client).find(({ id }) => id === request.id);
    // What it had is known better here than by a cursor, unless it was not in effect yet.
    const asked = before === undefined ? request : { ...request, after: undefined };
    if (before !== undefined && wantsTheSame(before, asked)) {
      this.endRefused(client);
      return;
    }
    if (before !== undefined) this.unsubscribe(client, before.id);
    this.begin(client, asked);
  }

  /** Subscribes for a client that can't ask for something else: it is told why not, and ended. */
  begin(client: Session, request: SubscriptionRequest): void {
    const refusal = this.subscribe(client, request);
    if (refusal === undefined) return;
    const { code, message, retryable = false } = refusal;
    this.#parts.meter.refused[code]++;
    client.tell({ type: "error", id: request.id, error: { code, message, retryable } });
    client.end(retryable ? "overloaded" : "forbidden");
  }

  /**
   * Why nobody who has nothing yet may subscribe to these; `undefined`: one may.
   */
  excessOf(subjects: readonly string[] | undefined): Refusal | undefined {
    return this.#excessOf([], subjects);
  }

  /** About how much memory the patterns of a client take. */
  memoryOf(client: Session): number {
    return memoryOf(this.#budget.costOf(this.#requestsOf(client).map(({ subjects }) => subjects)));
  }

  /**
   * Ends a client that can't ask for something else, where NATS does not send what it named, or nothing of
   * all that there is. Nobody is left in silence.
   *
   * @returns whether it is ended.
   */
  endRefused(client: Session): boolean {
    if (client.dialect.name === "v1" || client.isOver) return false;
    const [loss] = this.#requestsOf(client).flatMap((request) => this.#lossOf(request) ?? []);
    if (loss === undefined) return false;
    this.#parts.meter.refused[loss]++;
    client.end("forbidden");
    return true;
  }

  /** A client is gone, and wants nothing more. */
  forget(client: Session): void {
    for (const { subjects } of this.#requestsOf(client)) {
      this.#parts.upstream.release(subjects);
    }
    this.#asks(client, []);
  }

  /** Returns why a client that has these lists of patterns may not have this one, too. */
  #excessOf(
    held: readonly (readonly string[] | undefined)[],
    subjects: readonly string[] | undefined,
  ): Refusal | undefined {
    if (subjects === undefined) return undefined;
    const { upstream } = this.#parts;
    for (const pattern of exposedOf(this.#options.subjects, subjects)) {
      // The exposed part of a pattern may be longer than the pattern.
      const fault = subjectFault(pattern, true);
      if (fault === undefined) continue;
      const message = `what is exposed of a subject ${fault}: "${pattern.slice(0, 200)}"`;
      return { code: "invalid_subject", message };
    }
    const all = this.#budget.costOf([...held, subjects]);
    const message = this.#budget.excessOf(all);
    if (message !== undefined) return { code: "too_many_subscriptions", message };
    const added = upstream.newOf(subjects);
    const isRoom =
      added === 0 ||
      (added <= upstream.room && isFairShare(all.patterns, all.patterns, upstream.room));
    if (isRoom && this.#budget.hasRoom(all, this.#budget.costOf([subjects]))) return undefined;
    const full = "there is no room for more patterns here now";
    return { code: "too_many_subscriptions", message: full, retryable: true };
  }

  #refusalOf(
    client: Session,
    request: SubscriptionRequest,
    requests: readonly { readonly id: string }[],
  ): Refusal | undefined {
    const { id, subjects, mode } = request;
    const { deliveryMode } = this.#options;
    if (mode !== undefined && mode !== deliveryMode) {
      return { code: "unsupported", message: `this endpoint delivers "${deliveryMode}"` };
    }
    if (requests.some((request) => request.id === id)) {
      return { code: "duplicate_subscription", message: `there is a subscription "${id}" already` };
    }
    const { maxSubscriptions } = this.#options;
    if (requests.length >= maxSubscriptions) {
      return { code: "too_many_subscriptions", message: `a client may have ${maxSubscriptions}` };
    }
    const hidden = firstHidden(this.#options.subjects, subjects);
    if (hidden !== undefined) {
      return { code: "forbidden", message: `nothing of "${hidden}" is exposed by this endpoint` };
    }
    const durables = client.durables.map(({ title }) => title.subjects);
    const held = [...this.#requestsOf(client).map(({ subjects }) => subjects), ...durables];
    const excess = this.#excessOf(held, subjects);
    if (excess !== undefined) return excess;
    const message = this.#parts.replaying.faultOf(request);
    return message === undefined ? undefined : { code: "unsupported", message };
  }

  /** NATS does not let the gateway have what a client asked for. */
  #giveUp(client: Session, request: Asked, refusal: UpstreamRefusal): void {
    this.#withdraw(client, request);
    const { id } = request;
    const error = patternRefusal(refusal, ABOUT);
    this.#parts.meter.refused[error.code]++;
    client.tell({ type: "error", id, error });
  }

  /** The code of the error if nothing comes of what a client asked for, or not of all that it named. */
  #lossOf(request: SubscriptionRequest): RefusalCode | undefined {
    const { upstream, book, replaying } = this.#parts;
    const { subjects } = request;
    const stream = replaying.refusalOf(request);
    if (stream?.isWhole) return streamRefusal(stream.reason, ABOUT).code;
    // A client that names nothing still gets what streams carry.
    if (subjects === undefined && book.touchedBy(subjects).length > 0) return undefined;
    const refusal = upstream.refusalOf(subjects);
    return refusal && patternRefusal(refusal, ABOUT).code;
  }

  #requestsOf(client: Session): readonly Asked[] {
    return this.#requests.get(client) ?? [];
  }

  /** From now on a client asks for these. */
  #asks(client: Session, requests: readonly Asked[]): void {
    const costOf = (those: readonly Asked[]) =>
      this.#budget.costOf(those.map(({ subjects }) => subjects));
    this.#budget.changed(costOf(this.#requestsOf(client)), costOf(requests));
    if (requests.length === 0) this.#requests.delete(client);
    else this.#requests.set(client, requests);
  }

  #withdraw(client: Session, request: Asked): void {
    const others = this.#requestsOf(client).filter((other) => other !== request);
    this.#asks(client, others);
    this.#parts.upstream.release(request.subjects);
  }

  /** Who is told where it begins waits until that is known; what a stream got before is not missed. */
  #beginKnown(client: Session, request: Asked): void {
    const { book } = this.#parts;
    const streams = client.dialect.tells ? book.touchedBy(request.subjects) : [];
    book.whenKnown(streams, () => {
      if (!this.#isWanted(client, request) || this.#isRefused(client, request)) return;
      if (request.after === undefined) this.#begin(client, request);
      else this.#resume(client, request, request.after);
    });
  }

  /** Tells a client what the source may not follow. @returns whether nothing is left of what it asked for. */
  #isRefused(client: Session, request: Asked): boolean {
    const refusal = this.#parts.replaying.refusalOf(request);
    if (refusal === undefined) return false;
    const { reason, isWhole } = refusal;
    const isV1 = client.dialect.name === "v1";
    const error = streamRefusal(reason, ABOUT);
    if (isWhole && isV1) {
      this.#withdraw(client, request);
      this.#parts.meter.refused[error.code]++;
    }
    const named = (isV1 || this.#lossOf(request) !== undefined) && { id: request.id };
    client.tell({ type: "error", ...named, error });
    return isV1 ? isWhole : this.endRefused(client);
  }

  /** Whether the client is there, and still wants what it asked for. */
  #isWanted(client: Session, request: Asked): boolean {
    return !client.isOver && this.#requestsOf(client).includes(request);
  }

  #begin(client: Session, request: Asked): void {
    const { last, book, replaying } = this.#parts;
    const now = last();
    const policy = this.#policyOf(request);
    const subscription = new Subscription(request, policy, request.order, now.sequence, book.lasts);
    this.#join(client, subscription);
    const from = cursorOf(replaying.nowOf(request) ?? this.#since(request, now));
    this.#tellSubscribed(client, request, from, [], from);
  }

  /** Goes on behind a cursor of this gateway's run, with what the ring has. */
  #resume(client: Session, request: Asked, after: string): void {
    const { ring, upstream, last, meter, book, turnShare } = this.#parts;
    const now = last();
    const { from, gaps } = resumeAfter(after, {
      last: now,
      ring,
      completeSince: upstream.completeSince(request.subjects),
      wantsAll: request.subjects === undefined,
    });
    const policy = this.#policyOf(request);
    // Where it is in streams shows on the way.
    const { order } = request;
    const subscription = new Subscription(request, policy, order, from.sequence, NO_STREAMS);
    subscription.catchUp(now.origin);
    client.subscriptions.catchUp(subscription);
    meter.resumed++;
    let isTold = false;
    let isDone = false;
    const tellCaughtUp = (): void => {
      if (isTold && isDone) client.note({ type: "caught_up", sub: request.id });
    };
    const walked = {
      ...{ client, subscription, sought: [], wantsRest: true, origin: now.origin },
    };
    const walk = new RingReplay(ring, walked, {
      goesOn: () => this.#isWanted(client, request),
      leaves: () => client.subscriptions.remove(subscription),
      joins: () => {
        for (const [stream, sequence] of book.lasts) {
          if (!subscription.sinceOf.has(stream)) subscription.sinceOf.set(stream, sequence);
        }
        this.#join(client, subscription);
        isDone = true;
        tellCaughtUp();
      },
    });
    // It waits before anything is told: should that be too much, the last cursor is one before it.
    walk.begin(turnShare);
    this.#tellSubscribed(client, request, cursorOf(this.#since(request, from)), gaps);
    isTold = true;
    tellCaughtUp();
  }

  /** Where something began to arrive behind the same message, the cursor says that it is of after that. */
  #since({ subjects }: Asked, from: Position): Position {
    const { upstream } = this.#parts;
    const isThere = upstream.completeSince(subjects)?.sequence === from.sequence;
    return isThere ? { ...from, arrivals: upstream.arrivals } : from;
  }

  /** Begins where streams are to be read from: in effect when that is done. */
  async #replay(client: Session, request: Asked): Promise<void> {
    const { replaying, meter } = this.#parts;
    const { order } = request;
    const goesOn = (): boolean => this.#isWanted(client, request);
    const { book } = this.#parts;
    await new Promise<void>((resolve) => book.whenKnown(book.touchedBy(request.subjects), resolve));
    if (!goesOn() || this.#isRefused(client, request)) return;
    const replay = { client, request, policy: this.#policyOf(request), order, goesOn };
    meter.resumed++;
    const begins = (from: string, gaps: readonly GapFrame[]): void =>
      this.#tellSubscribed(client, request, from, gaps);
    await replaying.replay(replay, begins, (subscription) => {
      this.#join(client, subscription);
      client.note({ type: "caught_up", sub: request.id });
    });
  }

  #policyOf(request: SubscriptionRequest): Policy {
    const { policy, allowedPolicies } = this.#options;
    return allowedPolicies.find((allowed) => allowed === request.policy) ?? policy;
  }

  /** Takes a subscription into effect. */
  #join(client: Session, subscription: Subscription): void {
    client.add(subscription, this.#audienceFor(client, [...client.subscriptions, subscription]));
  }

  #tellSubscribed(
    client: Session,
    request: SubscriptionRequest,
    from: string,
    gaps: readonly GapFrame[],
    cursor?: string,
  ): void {
    const { id, subjects = this.#options.subjects } = request;
    const policy = this.#policyOf(request);
    const subscribed = { type: "subscribed", id, sub: id, subjects, policy, from } as const;
    client.tellSubscribed(subscribed, gaps, cursor);
  }

  /** Where a client with these subscriptions belongs. */
  #audienceFor(client: Session, subscriptions: readonly Subscription[]) {
    const all = subscriptions.some(({ subjects }) => subjects === undefined);
    const lists = subscriptions.flatMap(({ subjects }) =>
      subjects === undefined ? [] : [subjects],
    );
    return this.#parts.audiences.of({
      dialect: client.dialect,
      compresses: client.socket.compresses,
      acked: client.delivery !== undefined,
      lists: all ? undefined : lists,
    });
  }
}
