import type { GapFrame } from "../../protocol/server-frames.ts";
import type { Ring } from "../history/ring.ts";
import { type EncodedPage, isWhole, type StreamPages } from "../history/stream-pages.ts";
import type { StreamRegistry } from "../history/stream-registry.ts";
import type { Clock } from "../ports/clock.ts";
import { SpillwayError } from "../ports/errors.ts";
import type { StreamQuery } from "../ports/source.ts";
import type { Session } from "../sessions/session.ts";
import type { Subscription } from "../sessions/subscription.ts";
import { exposedOf } from "../subject/subject.ts";
import type { ConcurrencyLimiter } from "../timing/concurrency-limiter.ts";
import { cursorOf, type Envelope } from "../wire/envelope.ts";
import { unknownGap } from "../wire/gap.ts";
import type { StreamStart } from "./start-positions.ts";

/** How much of the past a client may ask for. */
export interface ReplayBounds {
  /** The most messages of a stream to go back, wanted or not. */
  readonly maxReplayMessages: number;
  /** The most bytes of envelopes for one subscription. */
  readonly maxReplayBytes: number;
  /** The age of the oldest message; `undefined`: as old as the stream keeps. */
  readonly maxReplayAgeMs?: number | undefined;
}

export interface CatchUpParts {
  readonly clock: Clock;
  readonly ring: Ring;
  readonly streams: StreamRegistry;
  readonly pages: StreamPages;
  /** Bounds how many clients are sent pages at the same time. */
  readonly limiter: ConcurrencyLimiter;
}

/** The subscription that catches up. */
export interface CatchingUp {
  readonly session: Session;
  readonly subscription: Subscription;
  /** Aborted when the subscription ends, or its client does. */
  readonly signal: AbortSignal;
}

/** How far the subscription has come in one stream. */
interface StreamProgress extends StreamStart {
  /** `undefined` if the stream didn't exist. */
  origin: string | undefined;
  /** The client has all messages up to this one, or was told that they don't come. */
  sequence: number;
  isFresh: boolean;
  /** Whether the client is told that messages may be missing which the stream has removed. */
  mindsRemoved: boolean;
  /** The client knows, or need not know, that messages up to this one may be missing. */
  sparseUpTo: number;
  /** The last message that was read of the stream. */
  readUpTo: number;
  /** Whether the client was sent what the stream kept when the subscription began. */
  isRead: boolean;
  /** Whether messages that were read did not come live, although there was time for them. */
  isOverdue: boolean;
  /** Since when the stream ends before the client's place, on the clock that only moves forward. */
  beyondSinceMs: number | undefined;
  /** The query that reads the stream. */
  query: StreamQuery | undefined;
}

/** The first wait before the source is asked again; it doubles with each failure. */
const RETRY_MS = 250;
const MOST_RETRY_MS = 4000;
/**
 * Maximum time that a message which was read may take to come live: longer than the source needs to notice that a server
 * stands still, and to follow the stream at another one. If nothing of the stream comes for this long, the message is not
 * delivered live.
 */
const ARRIVAL_MS = 10_000;
/**
 * Minimum time for which a stream must end before a client's place until that counts as true: a server that stood still
 * answers as the leader of a stream until it hears of the next one, and does not know what came meanwhile.
 */
const STALE_MS = 5000;

/**
 * Sends one subscription the messages that streams have kept, page by page, until the ring has the rest.
 *
 * It waits for events only: the client has taken its page, the source says how a stream stands, a message has
 * come. Timeouts bound the waits for the source, which may have nothing to say.
 */
export class CatchUp {
  readonly #session: Session;
  readonly #subscription: Subscription;
  readonly #signal: AbortSignal;
  readonly #streams: readonly StreamProgress[];
  readonly #bounds: ReplayBounds;
  readonly #parts: CatchUpParts;
  #sentBytes = 0;
  /** Gaps that the client is told of with the start; `undefined` when it was told where it starts. */
  #earlyGaps: GapFrame[] | undefined = [];

  constructor(
    { session, subscription, signal }: CatchingUp,
    starts: readonly StreamStart[],
    bounds: ReplayBounds,
    parts: CatchUpParts,
  ) {
    this.#session = session;
    this.#subscription = subscription;
    this.#signal = signal;
    this.#streams = starts.map((start) => ({
      ...start,
      mindsRemoved: !start.isFresh,
      sparseUpTo: 0,
      readUpTo: 0,
      isRead: false,
      isOverdue: false,
      beyondSinceMs: undefined,
      query: undefined,
    }));
    this.#bounds = bounds;
    this.#parts = parts;
  }

  /** How far it has come in each stream. */
  get streams(): readonly Readonly<StreamProgress>[] {
    return this.#streams;
  }

  /** Moves the start in each stream to the first message that was stored at a time or later. */
  async locate(timeMs: number): Promise<void> {
    for (const progress of this.#streams) {
      await this.#before(progress, timeMs, (origin, sequence) => {
        progress.origin = origin;
        progress.sequence = sequence;
      });
    }
  }

  /** The client is told now where the subscription starts. @returns the gaps before that place. */
  begin(): readonly GapFrame[] {
    const gaps = this.#earlyGaps ?? [];
    this.#earlyGaps = undefined;
    for (const progress of this.#streams) this.#startAfter(progress, progress.sequence);
    return gaps;
  }

  /**
   * Sends what the streams have kept. Resolves when the subscription has joined, or the signal is aborted.
   *
   * @param latest sends only the latest message of all, or of each subject, before what follows.
   * @param join called when the ring has all that is left: hands that over. Resolves with `false` if the
   * ring lost messages before it had handed them over.
   */
  async run(
    latest: "last" | "last_per_subject" | undefined,
    join: () => Promise<boolean>,
  ): Promise<void> {
    for (const progress of this.#streams) {
      if (latest !== undefined) await this.#sendLatest(progress, latest);
      else {
        await this.#keepBounds(progress);
        await this.#checkRing(progress);
      }
    }
    while (!this.#signal.aborted) {
      const unread = this.#streams.find((progress) => !this.#isInRing(progress));
      if (unread !== undefined) await this.#retrying(unread, () => this.#readPage(unread));
      else if (await join()) return;
      else for (const progress of this.#streams) this.#resume(progress);
    }
  }

  /** Whether no stream was deleted or made anew since `join` was called. */
  get mayJoin(): boolean {
    return this.#streams.every(({ origin, stream }) => origin === stream.origin);
  }

  /** Whether the ring lacks messages after those that it has handed over, which a stream may still have. */
  get isRingShort(): boolean {
    const reached = this.#subscription.progress?.of;
    return this.#streams.some(({ origin, stream, sparseUpTo }) => {
      if (origin === undefined || origin !== stream.origin) return false;
      const sequence = reached?.get(origin) ?? 0;
      const floor = this.#parts.ring.floorOf(origin) ?? 0;
      return floor > sequence || stream.sparseUpTo > Math.max(sequence, sparseUpTo);
    });
  }

  /** Sends the latest message of all, or of each subject. */
  async #sendLatest(progress: StreamProgress, of: "last" | "last_per_subject"): Promise<void> {
    if (progress.stream.origin === undefined) return;
    // An attempt that failed may have sent some.
    let sent = 0;
    let messages = 0;
    await this.#retrying(progress, async () => {
      const { origin, subjects: carried } = progress.stream;
      if (origin === undefined) return true;
      if (origin !== progress.origin) {
        this.#follow(progress, origin);
        sent = 0;
      }
      const subjects = exposedOf(carried, this.#subscription.subjects);
      const query = { origin, subjects };
      const pages =
        of === "last"
          ? this.#lastOf(query, carried)
          : this.#parts.pages.latest(query, of, carried, this.#owner);
      for await (const page of pages) {
        const fresh = page.envelopes.filter(({ sequence }) => sequence > sent);
        const release = await this.#parts.limiter.take(this.#signal, this.#owner);
        messages += await this.#send(fresh, true).finally(release);
        if (this.#signal.aborted) return true;
        sent = Math.max(sent, fresh.at(-1)?.sequence ?? 0);
        progress.readUpTo = Math.max(progress.readUpTo, sent);
        this.#startAfter(progress, page.end ? Math.max(sent, page.last) : sent);
        if (page.end) progress.sparseUpTo = page.last;
        if (messages < this.#bounds.maxReplayMessages && !this.#hasSentTooMuch) continue;
        if (!page.end) this.#skipTo(progress, Math.max(page.last, sent));
        return true;
      }
      return true;
    });
  }

  /**
   * Yields the latest message that isn't denied. If the latest one is denied, finds it among the latest ones
   * of each subject.
   */
  async *#lastOf(
    query: StreamQuery,
    carried: readonly string[],
  ): AsyncGenerator<EncodedPage, void, void> {
    const { pages } = this.#parts;
    for await (const page of pages.latest(query, "last", carried, this.#owner)) {
      if (!page.envelopes.some(({ subject }) => this.#session.denies(subject))) {
        yield page;
        if (page.end) return;
      }
    }
    let last: Envelope | undefined;
    for await (const page of pages.latest(query, "last_per_subject", carried, this.#owner)) {
      if (this.#signal.aborted) return;
      last = this.#wantedOf(page.envelopes).at(-1) ?? last;
      if (page.end) yield { ...page, envelopes: last === undefined ? [] : [last] };
    }
  }

  /** Skips what is further back than the operator allows. */
  async #keepBounds(progress: StreamProgress): Promise<void> {
    const { maxReplayMessages, maxReplayAgeMs } = this.#bounds;
    const { stream } = progress;
    if (progress.origin === undefined || progress.origin !== stream.origin) return;
    this.#skipTo(progress, stream.last - maxReplayMessages);
    if (maxReplayAgeMs === undefined) return;
    const oldestMs = this.#parts.clock.wallMs() - maxReplayAgeMs;
    await this.#before(progress, oldestMs, (origin, sequence) => {
      if (origin === progress.origin) this.#skipTo(progress, sequence);
    });
  }

  /** Finds the sequence before the first message that was stored at a time or later. */
  async #before(
    progress: StreamProgress,
    timeMs: number,
    use: (origin: string, sequence: number) => void,
  ): Promise<void> {
    await this.#retrying(progress, async () => {
      const { origin } = progress.stream;
      if (origin === undefined) return true;
      const before = await this.#parts.pages.before(origin, timeMs, this.#owner);
      if (before === undefined) return false;
      use(origin, before);
      return true;
    });
  }

  /**
   * If the client is only sent what the stream still keeps, finds out whether the ring may serve it: the ring
   * may if the stream keeps everything after its first message.
   */
  async #checkRing(progress: StreamProgress): Promise<void> {
    if (!progress.keptOnly) return;
    await this.#retrying(progress, async () => {
      const { origin } = progress.stream;
      if (origin === undefined || origin !== progress.origin) return true;
      const extent = await this.#parts.pages.extent(origin);
      if (extent === undefined || !isWhole(extent)) return true;
      const before = extent.first - 1;
      if (progress.isFresh) this.#reach(progress, Math.max(progress.sequence, before));
      else this.#skipTo(progress, before);
      progress.isRead = true;
      // The answer is true of what the ring has now, not of what it has once pages were read.
      progress.isRead = this.#isInRing(progress);
      return true;
    });
  }

  /** Whether the ring has all that comes after the subscription's place in a stream. */
  #isInRing(progress: StreamProgress): boolean {
    const { origin, last } = progress.stream;
    if (origin !== progress.origin) this.#follow(progress, origin);
    if (origin === undefined) return true;
    const floor = this.#parts.ring.floorOf(origin) ?? 0;
    if (floor > progress.sequence && this.#hasSentTooMuch) this.#skipTo(progress, floor);
    if (this.#isRingSparse(progress) && this.#hasSentTooMuch) {
      this.#tellSparse(progress, this.#cursorOf(progress), progress.stream.sparseUpTo);
    }
    const mayUseRing = !progress.keptOnly || progress.isRead;
    if (!mayUseRing || this.#isRingSparse(progress)) return false;
    return floor <= progress.sequence && progress.sequence <= last;
  }

  /** Whether messages after the subscription's place may not have come live. The stream may still have them. */
  #isRingSparse({ stream, sequence, sparseUpTo }: StreamProgress): boolean {
    return stream.sparseUpTo > Math.max(sequence, sparseUpTo);
  }

  /** The stream was deleted, and perhaps made anew: all of its successor comes after what was sent. */
  #follow(progress: StreamProgress, origin: string | undefined): void {
    if (progress.origin !== undefined) {
      const from = this.#cursorOf(progress);
      const to = origin === undefined ? from : cursorOf({ origin, sequence: 0 });
      this.#tell(unknownGap(from, to, "stream_reset"));
    }
    progress.origin = origin;
    if (origin === undefined) return;
    progress.isFresh = true;
    progress.mindsRemoved = false;
    progress.sparseUpTo = 0;
    progress.readUpTo = 0;
    // The ring may have handed over some of the successor already.
    const sent = this.#subscription.progress?.of.get(origin);
    if (sent === undefined) this.#startAfter(progress, 0);
    else progress.sequence = sent;
  }

  /** Reads a page and sends it. @returns `false` if the stream isn't there now, or the source doesn't know yet what has come live. */
  async #readPage(progress: StreamProgress): Promise<boolean> {
    // The stream may have changed since the last attempt.
    if (this.#isInRing(progress)) return true;
    const { limiter, pages } = this.#parts;
    const { sequence, stream } = progress;
    const known = Math.max(stream.last, stream.sparseUpTo);
    let awaited: number | undefined;
    let isBehind = false;
    const release = await limiter.take(this.#signal, this.#owner);
    try {
      if (this.#signal.aborted) return true;
      this.#reads(true);
      const query = this.#query(progress, progress.origin!);
      const page = await pages.read(query, progress.sequence, progress.keptOnly, this.#owner);
      if (this.#signal.aborted) return true;
      if (page === undefined) return false;
      isBehind = page.end && page.last < known;
      awaited = await this.#take(progress, page);
    } finally {
      release();
    }
    if (awaited !== undefined) await this.#waitForLive(progress, awaited);
    else if (isBehind && progress.sequence === sequence) return this.#isInRing(progress);
    return true;
  }

  /** Sends a page. @returns the message that must come live before the ring may serve the rest; `undefined`: none. */
  async #take(progress: StreamProgress, page: EncodedPage): Promise<number | undefined> {
    const { envelopes, end, first, last } = page;
    const from = this.#cursorOf(progress);
    const gone = Math.min(first, envelopes[0]?.sequence ?? first) - 1;
    // Clients that got all until then were told of these.
    const missesLive = !progress.keptOnly && this.#isRingSparse(progress);
    if (progress.isFresh) progress.sequence = Math.max(progress.sequence, gone);
    else this.#skipTo(progress, gone);
    progress.isFresh = false;
    const isSparse = progress.mindsRemoved
      ? page.sparse && progress.sparseUpTo < last && progress.sequence < last
      : missesLive;
    if (isSparse) this.#tellSparse(progress, from, last);
    // Up to there, messages are on the page, or the client was told of them.
    if (end) progress.sparseUpTo = Math.max(progress.sparseUpTo, last);
    if (end) progress.isRead = true;
    const sent = this.#send(envelopes);
    this.#reach(progress, envelopes.at(-1)?.sequence ?? progress.sequence);
    progress.readUpTo = Math.max(progress.readUpTo, envelopes.at(-1)?.sequence ?? 0);
    await sent;
    const { origin, last: live } = progress.stream;
    const isBeyond = end && envelopes.length === 0 && progress.sequence > last;
    if (!isBeyond) progress.beyondSinceMs = undefined;
    if (!end || origin !== progress.origin) return undefined;
    if (progress.sequence <= live) {
      this.#reach(progress, Math.max(progress.sequence, Math.min(last, live)));
    } else if (isBeyond) {
      const nowMs = this.#parts.clock.nowMs();
      progress.beyondSinceMs ??= nowMs;
      // A client that only begins there misses nothing if the server is wrong.
      const isBelieved = progress.keptOnly || nowMs - progress.beyondSinceMs >= STALE_MS;
      if (!isBelieved) return progress.sequence;
      // The stream never had such a message.
      const to = cursorOf({ origin: origin!, sequence: live });
      this.#tell(unknownGap(this.#cursorOf(progress), to, "stream_reset"));
      this.#startAfter(progress, live);
    } else {
      const awaited = progress.isOverdue ? undefined : await this.#stillToCome(progress, live);
      if (awaited !== undefined) return awaited;
      if (progress.stream.origin === origin) this.#reach(progress, live);
    }
    return undefined;
  }

  /**
   * Returns a message up to the client's place that may still come live; `undefined` if none does: the place may be one of
   * messages that this gateway doesn't carry, or that are gone.
   */
  async #stillToCome(progress: StreamProgress, live: number): Promise<number | undefined> {
    const { origin, sequence, readUpTo } = progress;
    if (readUpTo > live) return Math.min(readUpTo, sequence);
    const page = await this.#parts.pages.read(
      this.#query(progress, origin!),
      live,
      true,
      this.#owner,
    );
    // A server that doesn't know of the client's place doesn't know either what lies before it.
    if (page === undefined || page.last < sequence) return sequence;
    return page.envelopes.findLast((envelope) => envelope.sequence <= sequence)?.sequence;
  }

  /** Waits until the messages up to a sequence have come live, too. */
  async #waitForLive(progress: StreamProgress, upTo: number): Promise<void> {
    const { stream } = progress;
    const { changes, last } = stream;
    const limits = { timeoutMs: ARRIVAL_MS, signal: this.#signal };
    await this.#parts.streams.reached(stream, upTo, changes, limits);
    progress.isOverdue = stream.changes === changes && stream.last === last && stream.last < upTo;
  }

  /**
   * Sends messages, and waits until the client has taken them.
   *
   * @param isApart whether messages in between are not sent.
   * @returns how many of them the subscription wants.
   */
  async #send(envelopes: readonly Envelope[], isApart = false): Promise<number> {
    const session = this.#session;
    const { subscriptions } = session;
    const subscription = this.#subscription;
    const wanted = this.#wantedOf(envelopes);
    const missed = wanted.filter((envelope) => !subscriptions.anyOtherHas(envelope, subscription));
    if (missed.length === 0 || this.#signal.aborted) return wanted.length;
    for (const { byteLength } of missed) this.#sentBytes += byteLength;
    session.replay(missed, subscription);
    if (isApart) subscriptions.keepSent(missed);
    await session.whenDrained(this.#signal);
    return wanted.length;
  }

  /** Returns the messages that the subscription brings: a page may have others, and is shared with other clients. */
  #wantedOf(envelopes: readonly Envelope[]): readonly Envelope[] {
    let last: string | undefined;
    let isWanted = false;
    return envelopes.filter(({ subject }) => {
      if (subject === last) return isWanted;
      last = subject;
      isWanted = this.#subscription.wants(subject) && !this.#session.denies(subject);
      return isWanted;
    });
  }

  /** The client doesn't get what it wants up to a sequence. */
  #skipTo(progress: StreamProgress, sequence: number): void {
    const count = sequence - progress.sequence;
    if (count <= 0 || progress.origin === undefined) return;
    const { origin } = progress;
    const from = cursorOf({ origin, sequence: progress.sequence + 1 });
    const to = cursorOf({ origin, sequence });
    this.#startAfter(progress, sequence);
    this.#tell({ type: "gap", from, to, count, reason: "expired", exact: false });
  }

  /** Messages up to a sequence may be missing that the stream has removed. */
  #tellSparse(progress: StreamProgress, from: string, sequence: number): void {
    progress.sparseUpTo = Math.max(progress.sparseUpTo, sequence);
    const to = cursorOf({ origin: progress.origin!, sequence });
    this.#tell(unknownGap(from, to, "expired"));
  }

  /** Notes that everything up to a sequence was sent, by this subscription or by another one. */
  #reach(progress: StreamProgress, sequence: number): void {
    progress.sequence = sequence;
    if (progress.origin !== undefined)
      this.#subscription.progress?.of.set(progress.origin, sequence);
  }

  /** Notes that the subscription brings nothing up to a sequence. */
  #startAfter(progress: StreamProgress, sequence: number): void {
    this.#reach(progress, sequence);
    if (progress.origin !== undefined) {
      this.#subscription.startAfter(progress.origin, sequence);
    }
  }

  /** Continues after the last message that the ring has handed over. */
  #resume(progress: StreamProgress): void {
    const { origin } = progress;
    if (origin === undefined) return;
    progress.sequence = this.#subscription.progress?.of.get(origin) ?? progress.sequence;
  }

  /** The user who takes turns with others; see {@linkcode ConcurrencyLimiter}. */
  get #owner(): string {
    return this.#session.userKey;
  }

  get #hasSentTooMuch(): boolean {
    return this.#sentBytes >= this.#bounds.maxReplayBytes;
  }

  /** Asks for the wanted subjects if the source selects them; or for all carried ones, whose pages are shared. */
  #query(progress: StreamProgress, origin: string): StreamQuery {
    if (progress.query?.origin !== origin) {
      const { subjects } = progress.stream;
      const wanted = exposedOf(subjects, this.#subscription.subjects);
      const isSelected = this.#parts.pages.selects(wanted);
      progress.query = { origin, subjects: isSelected ? wanted : subjects };
    }
    return progress.query;
  }

  #cursorOf({ origin = "", sequence }: StreamProgress): string {
    return cursorOf({ origin, sequence });
  }

  #tell(gap: GapFrame): void {
    if (this.#earlyGaps !== undefined) this.#earlyGaps.push(gap);
    else if (!this.#signal.aborted) this.#session.note({ ...gap, sub: this.#subscription.id });
  }

  /**
   * Repeats a call until it returns `true`: when the source says anew how the stream stands, as it does when it
   * is connected again, or after a while. What the source refuses for good becomes a gap.
   */
  async #retrying(progress: StreamProgress, call: () => Promise<boolean>): Promise<void> {
    const { stream } = progress;
    for (
      let delayMs = RETRY_MS;
      !this.#signal.aborted;
      delayMs = Math.min(2 * delayMs, MOST_RETRY_MS)
    ) {
      const { changes } = stream;
      try {
        if (await call()) return;
      } catch (thrown) {
        if (thrown instanceof SpillwayError && thrown.class !== "transient") {
          await this.#giveUp(progress);
          return;
        }
      }
      progress.isOverdue = false;
      this.#reads(false);
      const limits = { timeoutMs: delayMs, signal: this.#signal };
      await this.#parts.streams.changed(stream, changes, limits);
    }
  }

  /** Notes whether pages come one after another. */
  #reads(reads: boolean): void {
    const { progress } = this.#subscription;
    if (progress === undefined || progress.reads === reads) return;
    progress.reads = reads;
    if (!reads) this.#session.waitsForPages();
  }

  /**
   * The stream can't be read. Tells a gap of all that it has now; what comes from now on is sent. If the
   * client was sent more than has come live, waits for that instead.
   */
  async #giveUp(progress: StreamProgress): Promise<void> {
    const { stream } = progress;
    const { origin } = stream;
    // If the stream is gone or was made anew, `#follow` tells that.
    if (origin === undefined || (progress.origin !== undefined && progress.origin !== origin))
      return;
    progress.isRead = true;
    if (progress.origin === origin && progress.sequence > stream.last) {
      await this.#waitForLive(progress, progress.sequence);
      if (!progress.isOverdue) return;
    }
    progress.origin = origin;
    progress.sparseUpTo = Math.max(stream.last, stream.sparseUpTo);
    const to = cursorOf({ origin, sequence: progress.sparseUpTo });
    this.#tell(unknownGap(this.#cursorOf(progress), to, "upstream"));
    this.#startAfter(progress, stream.last);
  }
}
