import type { GapFrame } from "../../protocol/server-frames.ts";
import type { Ring } from "../history/ring.ts";
import { type EncodedPage, isWhole, type StreamPages } from "../history/stream-pages.ts";
import type { FollowedStream } from "../history/stream-registry.ts";
import type { Clock } from "../ports/clock.ts";
import { SpillwayError } from "../ports/errors.ts";
import type { StreamQuery } from "../ports/source.ts";
import type { Session } from "../sessions/session.ts";
import type { Subscription } from "../sessions/subscription.ts";
import { exposedOf } from "../subject/subject.ts";
import type { ConcurrencyLimiter } from "../timing/concurrency-limiter.ts";
import type { TurnShare } from "../timing/turn-share.ts";
import { cursorOf, type Envelope } from "../wire/envelope.ts";
import { unknownGap } from "../wire/gap.ts";

/** How much of the past a client may ask for. */
export interface ReplayBounds {
  /** No further back than so many messages of a stream, wanted or not. */
  readonly maxReplayMessages: number;
  /** No more bytes of envelopes for one subscription. */
  readonly maxReplayBytes: number;
  /** `undefined`: as long as they are kept. */
  readonly maxReplayAgeMs?: number | undefined;
}

/** How far a subscription has come in one stream. */
export interface StreamProgress {
  readonly stream: FollowedStream;
  /** `undefined`: there was no such stream yet. */
  origin: string | undefined;
  /** It has, or was told that it will not get, all up to this one. */
  sequence: number;
  /** What is not there any more was not asked for either. */
  open: boolean;
  /** Whether the client was told that some may be missing in between. */
  sparse?: boolean;
  /** Whether it begins in the stream: it is not sent what the stream no longer keeps, though the ring may have it. */
  readonly isExact?: boolean;
  /** Whether it has what the stream kept when it began, so that all that follows is news. */
  isRead?: boolean;
  /** The query that reads the stream. */
  query?: StreamQuery;
}

export interface CatchUpParts {
  readonly clock: Clock;
  readonly ring: Ring;
  readonly pages: StreamPages;
  readonly turns: ConcurrencyLimiter;
  readonly turnShare: TurnShare;
}

/** So long until it is seen again whether the source goes on, or what follows the stream has come. */
const RETRY_MS = 250;
const WAIT_MS = 20;
/** So often it is seen whether a client has taken its page; one that takes its time is looked at more rarely. */
const TAKEN_MS = 1;
const QUICK_LOOKS = 20;
/** What has not come by then, does not: it is of something that is not carried here. */
const MOST_WAITS = 100;

/** Feeds one subscription with what streams have kept, page by page, until the ring has the rest. */
export class CatchUp {
  readonly #client: Session;
  readonly #subscription: Subscription;
  readonly #tracks: readonly StreamProgress[];
  readonly #bounds: ReplayBounds;
  readonly #parts: CatchUpParts;
  readonly #goesOn: () => boolean;
  #fedBytes = 0;
  #waits = 0;
  /** Gaps to tell as soon as the client knows that the subscription begins; `undefined`: it knows. */
  #early: GapFrame[] | undefined = [];

  /** @param goesOn whether the client is there, and still wants it. */
  constructor(
    client: Session,
    subscription: Subscription,
    tracks: readonly StreamProgress[],
    bounds: ReplayBounds,
    parts: CatchUpParts,
    goesOn: () => boolean,
  ) {
    this.#client = client;
    this.#subscription = subscription;
    this.#tracks = tracks;
    this.#bounds = bounds;
    this.#parts = parts;
    this.#goesOn = goesOn;
  }

  /** The client is told now that it begins. @returns the gaps before that place. */
  begin(): readonly GapFrame[] {
    const gaps = this.#early ?? [];
    this.#early = undefined;
    return gaps;
  }

  /**
   * Resolves when nobody wants it any more, or the ring has all that is behind the tracks.
   *
   * @param join called then, at once, as the ring forgets with each message: hands over what the ring has.
   * Resolves with `false` where the ring has forgotten some before it was handed over.
   */
  async run(join: () => Promise<boolean>): Promise<void> {
    while (this.#goesOn()) {
      const behind = this.#tracks.find((track) => !this.#isNear(track));
      if (behind !== undefined) await this.#retrying(behind, () => this.#step(behind));
      else if (await join()) return;
      else for (const track of this.#tracks) this.#resync(track);
    }
  }

  /** The latest message of all, or of each subject, before whatever follows. */
  async feedLatest(track: StreamProgress, of: "last" | "last_per_subject"): Promise<void> {
    if (track.stream.origin === undefined) return;
    const { pages } = this.#parts;
    // What was sent of an attempt that failed is not sent again.
    let sent = 0;
    let messages = 0;
    await this.#retrying(track, async () => {
      const { origin } = track.stream;
      if (origin === undefined) return;
      track.origin = origin;
      this.#restart(track);
      const carried = track.stream.subjects;
      const subjects = exposedOf(carried, this.#subscription.subjects);
      for await (const page of pages.latest({ origin, subjects }, of, carried)) {
        const fresh = page.envelopes.filter(({ sequence }) => sequence > sent);
        const give = await this.#parts.turns.take();
        messages += await this.#feed(fresh, true).finally(give);
        sent = Math.max(sent, fresh.at(-1)?.sequence ?? 0);
        if (!this.#goesOn()) return;
        track.sequence = page.end ? Math.max(sent, page.last) : sent;
        this.#restart(track);
        if (messages < this.#bounds.maxReplayMessages && !this.#isTooMuch) continue;
        if (!page.end) this.#skipTo(track, Math.max(page.last, sent));
        return;
      }
    });
  }

  /** Leaves out what the operator does not let clients have. */
  async keepBounds(track: StreamProgress): Promise<void> {
    const { maxReplayMessages, maxReplayAgeMs } = this.#bounds;
    if (track.origin === undefined || track.origin !== track.stream.origin) return;
    this.#skipTo(track, track.stream.last - maxReplayMessages);
    if (maxReplayAgeMs === undefined) return;
    const oldestMs = this.#parts.clock.wallMs() - maxReplayAgeMs;
    await this.locate(track, oldestMs, (sequence) => this.#skipTo(track, sequence));
  }

  /** Finds out where a time is in a stream. */
  async locate(
    track: StreamProgress,
    timeMs: number,
    use: (sequence: number) => void,
  ): Promise<void> {
    await this.#retrying(track, async () => {
      const { origin } = track.stream;
      if (origin === undefined) return;
      const before = await this.#parts.pages.before(origin, timeMs);
      if (before !== undefined) use(before);
    });
  }

  /**
   * Finds out whether the ring may serve a subscription that begins in the stream: it may if no message
   * behind the stream's first one is gone.
   */
  async prove(track: StreamProgress): Promise<void> {
    if (track.isExact !== true) return;
    await this.#retrying(track, async () => {
      const { origin } = track.stream;
      if (origin === undefined || origin !== track.origin) return;
      const extent = await this.#parts.pages.extent(origin);
      if (extent === undefined || !isWhole(extent)) return;
      if (track.open) this.#reach(track, Math.max(track.sequence, extent.first - 1));
      else this.#skipTo(track, extent.first - 1);
      track.isRead = true;
      // It counts for what the ring has now, not for what it will have once pages were read.
      track.isRead = this.#isNear(track);
    });
  }

  /** Whether the ring, and what comes then, has all that is behind. */
  #isNear(track: StreamProgress): boolean {
    const { origin, last } = track.stream;
    if (origin === undefined) {
      // It is gone, and with it all that was not sent; whatever comes of a successor comes to all.
      if (track.origin !== undefined) {
        this.#tell(unknownGap(this.#cursorOf(track), this.#cursorOf(track), "stream_reset"));
        track.origin = undefined;
      }
      return true;
    }
    if (origin !== track.origin) {
      if (track.origin !== undefined) {
        const from = cursorOf({ origin: track.origin, sequence: track.sequence });
        this.#tell(unknownGap(from, cursorOf({ origin, sequence: 0 }), "stream_reset"));
      }
      // All of its successor is behind whatever it was.
      track.origin = origin;
      track.sequence = 0;
      track.open = true;
      this.#restart(track);
    }
    const floor = this.#parts.ring.floorOf(origin) ?? 0;
    if (floor > track.sequence && this.#isTooMuch) this.#skipTo(track, floor);
    const isRead = track.isExact !== true || track.isRead === true;
    return isRead && floor <= track.sequence && track.sequence <= last;
  }

  async #step(track: StreamProgress): Promise<void> {
    const { turns, pages } = this.#parts;
    const origin = track.origin!;
    const give = await turns.take();
    try {
      if (!this.#goesOn()) return;
      const query = this.#query(track, origin);
      const page = await pages.read(query, track.sequence, track.isExact === true);
      // The source says soon that the stream is gone, or that there is another.
      if (page === undefined) await this.#pause(WAIT_MS);
      else await this.#take(track, page);
    } finally {
      give();
    }
  }

  async #take(track: StreamProgress, page: EncodedPage): Promise<void> {
    const { envelopes, end, first, last } = page;
    const from = this.#cursorOf(track);
    const gone = Math.min(first, envelopes[0]?.sequence ?? first) - 1;
    if (track.open) {
      track.sequence = Math.max(track.sequence, gone);
      track.sparse = true;
    } else this.#skipTo(track, gone);
    track.open = false;
    if (page.sparse && track.sparse !== true && track.sequence < last) {
      track.sparse = true;
      this.#tell(unknownGap(from, cursorOf({ origin: track.origin!, sequence: last }), "expired"));
    }
    if (end) track.isRead = true;
    const fed = this.#feed(envelopes);
    this.#reach(track, envelopes.at(-1)?.sequence ?? track.sequence);
    await fed;
    if (!end) return;
    const { last: here } = track.stream;
    if (envelopes.length === 0 && track.sequence > last) {
      // There never was such a message.
      const to = cursorOf({ origin: track.origin!, sequence: here });
      this.#tell(unknownGap(this.#cursorOf(track), to, "stream_reset"));
      track.sequence = here;
      this.#restart(track);
    } else if (track.sequence <= here) {
      this.#reach(track, Math.max(track.sequence, Math.min(last, here)));
    } else if (++this.#waits > MOST_WAITS) {
      this.#reach(track, here);
    } else {
      // It has come here, and will come to those who are live.
      await this.#pause(WAIT_MS);
    }
  }

  /**
   * Sends messages, and waits until the client has taken them.
   *
   * @param isApart whether there are others between them that it is not sent.
   * @returns how many it wants.
   */
  async #feed(envelopes: readonly Envelope[], isApart = false): Promise<number> {
    const client = this.#client;
    const { subscriptions } = client;
    const subscription = this.#subscription;
    // A page that others share may have other subjects too.
    const wanted = envelopes.filter(({ subject }) => subscription.wants(subject));
    const missed = wanted.filter((envelope) => !subscriptions.anyOtherHas(envelope, subscription));
    if (missed.length === 0 || !this.#goesOn()) return wanted.length;
    for (const { byteLength } of missed) this.#fedBytes += byteLength;
    client.replay(missed, subscription);
    if (isApart) subscriptions.keepSent(missed);
    for (let looks = 0; this.#goesOn() && client.waits; looks++) {
      await this.#pause(looks < QUICK_LOOKS ? TAKEN_MS : WAIT_MS);
    }
    return wanted.length;
  }

  /** What it wants up to a sequence, it will not get. */
  #skipTo(track: StreamProgress, sequence: number): void {
    const count = sequence - track.sequence;
    if (count <= 0 || track.origin === undefined) return;
    const { origin } = track;
    const from = cursorOf({ origin, sequence: track.sequence + 1 });
    const to = cursorOf({ origin, sequence });
    track.sequence = sequence;
    this.#restart(track);
    this.#tell({ type: "gap", from, to, count, reason: "expired", exact: false });
  }

  /** Notes that all up to a sequence was sent, by this subscription or by another one. */
  #reach(track: StreamProgress, sequence: number): void {
    track.sequence = sequence;
    if (track.origin !== undefined) this.#subscription.progress?.of.set(track.origin, sequence);
  }

  /** Notes that the subscription brings nothing before the track's place. */
  #restart({ origin, sequence }: StreamProgress): void {
    if (origin === undefined) return;
    this.#subscription.sinceOf.set(origin, sequence);
    this.#subscription.progress?.of.set(origin, sequence);
  }

  /** Takes over the place that the ring came to before it lost the next message. */
  #resync(track: StreamProgress): void {
    const { origin } = track;
    if (origin === undefined) return;
    track.sequence = this.#subscription.progress?.of.get(origin) ?? track.sequence;
  }

  get #isTooMuch(): boolean {
    return this.#fedBytes >= this.#bounds.maxReplayBytes;
  }

  /** The wanted subjects if the source selects them, or else all carried ones, whose pages others read too. */
  #query(track: StreamProgress, origin: string): StreamQuery {
    if (track.query?.origin !== origin) {
      const { subjects } = track.stream;
      const wanted = exposedOf(subjects, this.#subscription.subjects);
      const isSelected = this.#parts.pages.selects(wanted);
      track.query = { origin, subjects: isSelected ? wanted : subjects };
    }
    return track.query;
  }

  #cursorOf({ origin = "", sequence }: StreamProgress): string {
    return cursorOf({ origin, sequence });
  }

  #tell(gap: GapFrame): void {
    if (this.#early !== undefined) this.#early.push(gap);
    else if (this.#goesOn()) this.#client.note(gap);
  }

  /**
   * Calls again after the source was cut off, which may be at any time. What the source refuses for good
   * becomes a gap.
   */
  async #retrying(track: StreamProgress, call: () => Promise<void>): Promise<void> {
    while (this.#goesOn()) {
      try {
        await call();
        return;
      } catch (thrown) {
        if (thrown instanceof SpillwayError && thrown.class !== "transient") {
          this.#giveUp(track);
          return;
        }
        await this.#pause(RETRY_MS);
      }
    }
  }

  /** Tells a gap of all that the stream has until now, as it can't be read; what comes from now on is sent. */
  #giveUp(track: StreamProgress): void {
    const { origin, last } = track.stream;
    // If the stream is gone or was made anew, `#isNear` tells that.
    if (origin === undefined || (track.origin !== undefined && track.origin !== origin)) return;
    this.#tell(
      unknownGap(
        this.#cursorOf({ ...track, origin }),
        cursorOf({ origin, sequence: last }),
        "upstream",
      ),
    );
    track.origin = origin;
    track.sequence = last;
    track.isRead = true;
    this.#restart(track);
  }

  async #pause(delayMs: number): Promise<void> {
    await new Promise<void>((resolve) => this.#parts.clock.after(delayMs, resolve));
  }
}
