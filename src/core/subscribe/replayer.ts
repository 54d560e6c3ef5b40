import type { Policy } from "../../protocol/fields.ts";
import type { GapFrame } from "../../protocol/server-frames.ts";
import type { FollowedStream, StreamRegistry } from "../history/stream-registry.ts";
import type { Session } from "../sessions/session.ts";
import { Subscription } from "../sessions/subscription.ts";
import { exposesSome } from "../subject/subject.ts";
import { cursorOf, type Position } from "../wire/envelope.ts";
import { unknownGap } from "../wire/gap.ts";
import type { SubscriptionRequest } from "../wire/subscription-request.ts";
import { CatchUp, type CatchUpParts, type ReplayBounds, type StreamProgress } from "./catch-up.ts";
import { RingReplay } from "./ring-replay.ts";

export interface ReplayOptions extends ReplayBounds {
  /** What of the exposed subjects no stream keeps. */
  readonly demanded: readonly string[];
}

/** A request that begins in the past of streams. */
export interface Replay {
  readonly client: Session;
  readonly request: SubscriptionRequest;
  readonly policy: Policy;
  /** See {@linkcode Subscription}. */
  readonly order: number;
  /** Whether the client is there, and still wants it. */
  goesOn(): boolean;
}

/** Where requests begin in streams, and how they get from there to what comes now. */
export class Replayer {
  readonly #options: ReplayOptions;
  readonly #book: StreamRegistry;
  readonly #parts: CatchUpParts | undefined;
  readonly #last: () => Position;

  /**
   * @param parts `undefined` where no stream keeps anything.
   * @param last the last message that has come.
   */
  constructor(
    options: ReplayOptions,
    book: StreamRegistry,
    parts: CatchUpParts | undefined,
    last: () => Position,
  ) {
    this.#options = options;
    this.#book = book;
    this.#parts = parts;
    this.#last = last;
  }

  /** Whether a request goes back in streams. */
  wants({ after, start = "new", subjects }: SubscriptionRequest): boolean {
    if (this.#parts === undefined) return false;
    if (after === undefined) return start !== "new" && this.#book.touchedBy(subjects).length > 0;
    return this.#ofCursor(after, subjects) !== undefined;
  }

  /**
   * Why what a request wants does not come, or not all of it, and whether nothing of it does; `undefined`
   * where all may come.
   */
  refusalOf({ subjects }: SubscriptionRequest): { reason: string; isWhole: boolean } | undefined {
    const streams = this.#book.touchedBy(subjects);
    const reason = streams.find(({ refusal }) => refusal !== undefined)?.refusal;
    if (reason === undefined) return undefined;
    const isWhole =
      !this.#demands(subjects) && streams.every(({ refusal }) => refusal !== undefined);
    return { reason, isWhole };
  }

  /** Why a request can't begin where it says, or `undefined`. */
  faultOf({ after, start = "new", subjects }: SubscriptionRequest): string | undefined {
    if (after !== undefined || start === "new") return undefined;
    const { length } = this.#book.touchedBy(subjects);
    if (length === 0)
      return "only what a stream keeps can be sent from the past, and none has these";
    if (length < 2 || typeof start !== "object" || "timeMs" in start) return undefined;
    return `a sequence is of one stream, and these subjects are of ${length}`;
  }

  /** Where a request begins that begins now: in a stream, if it wants nothing else. */
  nowOf({ subjects }: SubscriptionRequest): Position | undefined {
    const [stream, ...others] = this.#book.touchedBy(subjects);
    if (stream?.origin === undefined || others.length > 0 || this.#demands(subjects)) {
      return undefined;
    }
    return { origin: stream.origin, sequence: stream.last };
  }

  /**
   * Sends what a request has missed until the ring has the rest, or nobody wants it any more.
   *
   * @param begins called once, with the cursor where it really begins, and what lies before that.
   * @param joins called once, if it is still wanted: from then on the client must get what comes.
   */
  async replay(
    replay: Replay,
    begins: (from: string, gaps: readonly GapFrame[]) => void,
    joins: (subscription: Subscription) => void,
  ): Promise<void> {
    const { client, request, policy, order, goesOn } = replay;
    const streams = this.#streamsOf(request);
    await new Promise<void>((resolve) => this.#book.whenKnown(streams, resolve));
    const { tracks, gaps } = this.#tracksOf(request, streams);
    const now = this.#last();
    const lasts = this.#book.lasts;
    const subscription = new Subscription(request, policy, order, now.sequence, lasts);
    const parts = this.#parts!;
    const catchUp = new CatchUp(client, subscription, tracks, this.#options, parts, goesOn);
    const { start } = request;
    if (typeof start === "object" && "timeMs" in start) {
      for (const track of tracks) {
        await catchUp.locate(track, start.timeMs, (sequence) => {
          track.sequence = sequence;
        });
      }
    }
    if (!goesOn()) return;
    const from = this.#fromOf(tracks);
    const early = catchUp.begin();
    const { of } = subscription.catchUp();
    of.clear();
    for (const { origin, sequence } of tracks) {
      if (origin === undefined) continue;
      subscription.sinceOf.set(origin, sequence);
      of.set(origin, sequence);
    }
    client.subscriptions.catchUp(subscription);
    begins(from, [...gaps, ...early]);
    try {
      const latest = start === "last" || start === "last_per_subject" ? start : undefined;
      for (const track of tracks) {
        if (latest !== undefined) await catchUp.feedLatest(track, latest);
        else {
          await catchUp.keepBounds(track);
          await catchUp.prove(track);
        }
      }
      const wantsRest = this.#demands(request.subjects);
      const walk = { client, subscription, wantsRest, origin: now.origin };
      await catchUp.run(
        () =>
          new Promise((resolve) => {
            const sought = tracks.flatMap(({ origin, sequence, stream }) =>
              origin !== undefined && stream.last > sequence ? origin : [],
            );
            const ends = {
              goesOn,
              leaves: () => resolve(false),
              joins: () => {
                joins(subscription);
                resolve(true);
              },
            };
            new RingReplay(parts.ring, { ...walk, sought }, ends).begin(parts.turnShare);
          }),
      );
    } finally {
      // Where it has not joined, nobody wants it any more.
      if (subscription.progress !== undefined) client.subscriptions.remove(subscription);
    }
  }

  /** The streams of which it wants something: a cursor proves that there is something of its own. */
  #streamsOf({ after, subjects }: SubscriptionRequest): readonly FollowedStream[] {
    const streams = this.#book.touchedBy(subjects);
    const own = after === undefined ? undefined : this.#ofCursor(after, subjects)?.stream;
    return own === undefined || streams.includes(own) ? streams : [own, ...streams];
  }

  /** The stream of a cursor, where it carries some of these subjects. */
  #ofCursor(cursor: string, subjects: readonly string[] | undefined) {
    const found = this.#book.ofCursor(cursor);
    if (found === undefined) return undefined;
    return exposesSome(found.stream.subjects, subjects) ? found : undefined;
  }

  #fromOf([first]: readonly StreamProgress[]): string {
    if (first?.origin === undefined) return cursorOf(this.#last());
    return cursorOf({ origin: first.origin, sequence: first.sequence });
  }

  /** Where it begins in each stream, and what it asks for that can't be known. */
  #tracksOf(
    { after, start, subjects }: SubscriptionRequest,
    streams: readonly FollowedStream[],
  ): { tracks: StreamProgress[]; gaps: GapFrame[] } {
    const cursor = after === undefined ? undefined : this.#book.ofCursor(after);
    const tracks = streams.map((stream): StreamProgress => {
      const { origin, last } = stream;
      if (cursor?.stream === stream) return { stream, ...cursor.position, open: false };
      if (cursor === undefined && typeof start === "object" && "sequence" in start) {
        return { stream, origin, sequence: start.sequence - 1, open: false, isExact: true };
      }
      const track = { stream, origin, sequence: last, open: true };
      if (cursor !== undefined) return track;
      if (start === "all") return { ...track, sequence: 0, isExact: true };
      return { ...track, isExact: typeof start === "object" };
    });
    const gaps: GapFrame[] = [];
    if (after !== undefined && cursor !== undefined) {
      const now = cursorOf(this.#last());
      if (cursor.stream.origin === undefined) gaps.push(unknownGap(after, now, "stream_reset"));
      // A cursor of one stream says nothing of what else there is.
      if (streams.length > 1 || this.#demands(subjects)) {
        gaps.push(unknownGap(after, now, "upstream"));
      }
    }
    return { tracks, gaps };
  }

  /** Whether a subscription wants something that no stream keeps. */
  #demands(subjects: readonly string[] | undefined): boolean {
    return exposesSome(this.#options.demanded, subjects);
  }
}
