import type { GapFrame } from "../../protocol/server-frames.ts";
import { type GapLog, type GapMark, gapsAfter, type LoggedGap } from "../history/gap-log.ts";
import type { Ring } from "../history/ring.ts";
import type { StreamPages } from "../history/stream-pages.ts";
import type { StreamRegistry } from "../history/stream-registry.ts";
import type { Clock } from "../ports/clock.ts";
import type { Session } from "../sessions/session.ts";
import { Subscription } from "../sessions/subscription.ts";
import { ConcurrencyLimiter } from "../timing/concurrency-limiter.ts";
import type { TurnShare } from "../timing/turn-share.ts";
import type { Position } from "../wire/envelope.ts";
import type { DeliveryTerms } from "../wire/subscription-request.ts";
import { CatchUp, type ReplayBounds } from "./catch-up.ts";
import type { ActiveRequest } from "./client-requests.ts";
import { RingReplay, type RingReplayTarget } from "./ring-replay.ts";
import type { RingStart, StreamsStart } from "./start-positions.ts";

/** The most clients that are sent pages of streams at the same time. */
const MOST_READERS = 32;

const NO_STREAMS: ReadonlyMap<string, number> = new Map();

/** A request whose subscription starts in the past. */
export interface Replay {
  readonly session: Session;
  readonly request: ActiveRequest;
  readonly delivery: DeliveryTerms;
  /** Called once, with the position where the subscription starts and the gaps before that place. */
  starts(from: Position, gaps: readonly GapFrame[]): void;
  /** Takes the subscription into effect: from now on the client gets what comes. */
  joins(subscription: Subscription): void;
}

interface ReplayerParts {
  readonly clock: Clock;
  readonly ring: Ring;
  readonly gaps: GapLog;
  readonly streams: StreamRegistry;
  /** `undefined` if no stream keeps anything. */
  readonly pages: StreamPages | undefined;
  readonly turnShare: TurnShare;
  /** The position of the last message that has come. */
  last(): Position;
}

/** Sends subscriptions what they missed, from the ring and from streams, until they can join the others. */
export class Replayer {
  readonly #bounds: ReplayBounds;
  readonly #parts: ReplayerParts;
  readonly #limiter: ConcurrencyLimiter;

  constructor(bounds: ReplayBounds, parts: ReplayerParts) {
    this.#bounds = bounds;
    this.#parts = parts;
    this.#limiter = new ConcurrencyLimiter(parts.clock, MOST_READERS);
  }

  stop(): void {
    this.#parts.pages?.stop();
  }

  /** Sends what the ring has after a position. */
  fromRing(replay: Replay, { position, gaps }: RingStart): void {
    const { ring, streams, turnShare, gaps: log } = this.#parts;
    const { session, request, delivery } = replay;
    const { origin } = this.#parts.last();
    const { signal } = request.cancellation;
    // Its place in streams shows with their first messages.
    const { order } = request;
    const subscription = new Subscription(request, delivery, order, position.sequence, NO_STREAMS);
    subscription.catchUp(origin);
    session.subscriptions.catchUp(subscription);
    const begun = log.end;
    let isTold = false;
    let isDone = false;
    const tellCaughtUp = (): void => {
      if (isTold && isDone) session.note({ type: "caught_up", sub: request.id });
    };
    const streamless = { isRingShort: () => false, sought: [] };
    const target = { session, subscription, signal, ...streamless, wantsRest: true, origin };
    const ringReplay = new RingReplay(ring, target, {
      gaveUp: () => session.subscriptions.remove(subscription),
      done: () => {
        for (const [stream, sequence] of streams.lasts) {
          if (!subscription.hasStartIn(stream)) subscription.startAfter(stream, sequence);
        }
        tellMissed(replay, begun, () => true);
        replay.joins(subscription);
        isDone = true;
        tellCaughtUp();
      },
    });
    // Messages are queued before the client is told: if they are too many, its last cursor is an earlier one.
    ringReplay.begin(turnShare);
    replay.starts(position, gaps);
    isTold = true;
    tellCaughtUp();
  }

  /** Sends what streams have kept. Resolves when the subscription has joined, or the request is withdrawn. */
  async fromStreams(replay: Replay, start: StreamsStart): Promise<void> {
    const { session, request, delivery } = replay;
    const { streams, last } = this.#parts;
    const { signal } = request.cancellation;
    const now = last();
    const { order } = request;
    const subscription = new Subscription(request, delivery, order, now.sequence, streams.lasts);
    const target = { session, subscription, signal };
    const parts = { ...this.#parts, pages: this.#parts.pages!, limiter: this.#limiter };
    const catchUp = new CatchUp(target, start.streams, this.#bounds, parts);
    if (start.timeMs !== undefined) await catchUp.locate(start.timeMs);
    if (signal.aborted) return;
    // The client may have another grant by now.
    session.subscriptions.setDelivery(subscription, session.grant.deliveryOf(request));
    subscription.catchUp().of.clear();
    const early = catchUp.begin();
    session.subscriptions.catchUp(subscription);
    const begun = this.#parts.gaps.end;
    replay.starts(this.#positionOf(catchUp), [...start.gaps, ...early]);
    try {
      const ringTarget = { ...target, wantsRest: start.wantsRest, origin: now.origin };
      await catchUp.run(start.latest, () => this.#join(catchUp, ringTarget, replay, begun));
    } finally {
      // If it hasn't joined, nobody wants it any more.
      if (subscription.progress !== undefined) session.subscriptions.remove(subscription);
    }
  }

  /** Hands over what the ring has, and joins. @returns `false` if that isn't all, or nobody wants it any more. */
  #join(
    catchUp: CatchUp,
    target: Omit<RingReplayTarget, "isRingShort" | "sought">,
    replay: Replay,
    begun: GapMark,
  ): Promise<boolean> {
    const sought = catchUp.streams.flatMap(({ origin, sequence, stream }) =>
      origin !== undefined && stream.last > sequence ? origin : [],
    );
    const isRingShort = () => catchUp.isRingShort;
    return new Promise((resolve) => {
      const ends = {
        gaveUp: () => resolve(false),
        done: () => {
          const { mayJoin } = catchUp;
          if (mayJoin) {
            // The catch-up has told the client which messages of streams are lost.
            tellMissed(replay, begun, ({ gap }) => target.wantsRest && gap.reason === "upstream");
            replay.joins(target.subscription);
            target.session.note({ type: "caught_up", sub: replay.request.id });
          }
          resolve(mayJoin);
        },
      };
      new RingReplay(this.#parts.ring, { ...target, isRingShort, sought }, ends).begin(
        this.#parts.turnShare,
      );
    });
  }

  #positionOf({ streams: [first] }: CatchUp): Position {
    if (first?.origin === undefined) return this.#parts.last();
    return { origin: first.origin, sequence: first.sequence };
  }
}

/** Tells a subscription that joins which gaps others were told of while it caught up. */
function tellMissed(
  { session, request }: Replay,
  begun: GapMark,
  concerns: (logged: LoggedGap) => boolean,
): void {
  const { subjects, denied } = request;
  for (const logged of gapsAfter(begun)) {
    if (concerns(logged) && denied.leavesSome(logged.subjects, subjects)) {
      session.noteMissed(logged.gap, request.id);
    }
  }
}
