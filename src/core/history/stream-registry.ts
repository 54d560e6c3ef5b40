import type { GapFrame } from "../../protocol/server-frames.ts";
import type { Clock } from "../ports/clock.ts";
import type { SourceMessage, StreamInput, StreamPosition, StreamState } from "../ports/source.ts";
import type { DenyList } from "../subject/deny-list.ts";
import type { Selection } from "../subject/subject.ts";
import { exposedOf, subjectsIntersect } from "../subject/subject.ts";
import type { Cancellation } from "../timing/cancellation.ts";
import type { Arrival } from "../upstream/upstream-subscription.ts";
import { cursorOf, type Position } from "../wire/envelope.ts";
import { unknownGap } from "../wire/gap.ts";
import type { Ring } from "./ring.ts";
import { SequenceWaiters, type WaitLimits } from "./sequence-waiters.ts";

/** A configured stream and what the gateway knows of it. */
export interface FollowedStream extends StreamInput {
  /** `undefined` if the stream doesn't exist, or isn't known yet. */
  readonly origin: string | undefined;
  /** The sequence of the last message that came, or that the stream had when it was first followed. */
  readonly last: number;
  /** Whether the source has said how the stream stands. */
  readonly known: boolean;
  /** Why the source may not follow the stream; `undefined` if it may. */
  readonly refusal: string | undefined;
  /** How often the source has said how the stream stands. */
  readonly changes: number;
  /** No message of it is missing after this moment; `undefined`: none is missing at all. */
  readonly completeSince: Arrival | undefined;
  /** Messages up to this one may be missing, as they were removed before they came. */
  readonly sparseUpTo: number;
}

/** The effect of a stream's new state on clients that got its messages until now. */
export interface StreamChange {
  /** The messages that these clients will not get. */
  readonly gap?: GapFrame | undefined;
  /** The subjects that are carried of the stream. */
  readonly subjects: readonly string[];
}

interface Entry extends FollowedStream {
  origin: string | undefined;
  last: number;
  known: boolean;
  refusal: string | undefined;
  changes: number;
  completeSince: Arrival | undefined;
  sparseUpTo: number;
  /** The subjects that the stream captures now, if they are known. */
  captures: readonly string[] | undefined;
  /** Its last origin; it stays when the stream is deleted. */
  lastOrigin: string | undefined;
  readonly whenKnown: Set<() => void>;
  readonly waiters: SequenceWaiters;
}

/** Knows how each configured stream stands, and wakes those who wait for a change. */
export class StreamRegistry {
  readonly #entries: readonly Entry[];
  readonly #byOrigin = new Map<string, Entry>();
  readonly #ring: Ring;
  readonly #missed: () => Arrival;
  #lasts: ReadonlyMap<string, number> | undefined = new Map();

  /** @param missed is called when messages of a stream are missing. It returns the moment since which none is. */
  constructor(inputs: readonly StreamInput[], ring: Ring, clock: Clock, missed: () => Arrival) {
    this.#ring = ring;
    this.#missed = missed;
    this.#entries = inputs.map((input) => ({
      ...input,
      origin: undefined,
      last: 0,
      known: false,
      refusal: undefined,
      changes: 0,
      completeSince: undefined,
      sparseUpTo: 0,
      captures: undefined,
      lastOrigin: undefined,
      whenKnown: new Set(),
      waiters: new SequenceWaiters(clock),
    }));
  }

  /** How many callers wait for something. */
  get waiting(): number {
    return this.#entries.reduce(
      (sum, { whenKnown, waiters }) => sum + whenKnown.size + waiters.size,
      0,
    );
  }

  /** By origin, the sequence of the last message that came. */
  get lasts(): ReadonlyMap<string, number> {
    this.#lasts ??= new Map([...this.#byOrigin].map(([origin, { last }]) => [origin, last]));
    return this.#lasts;
  }

  /**
   * Returns the streams that carry some of these subjects.
   *
   * If several streams may carry them, only those count that capture them now. If none does, all count:
   * a stream may hold messages from before its subjects were edited.
   *
   * @param denied what doesn't count of these subjects.
   */
  carrying(subjects: Selection, denied: DenyList): readonly FollowedStream[] {
    if (this.#entries.length === 0) return this.#entries;
    const carrying = this.#entries.filter(({ subjects: carried }) =>
      denied.leavesSome(carried, subjects),
    );
    const capturing = carrying.filter(({ subjects: carried, captures }) => {
      if (captures === undefined) return true;
      const wanted = exposedOf(carried, subjects);
      return wanted.some((one) => captures.some((other) => subjectsIntersect(one, other)));
    });
    return capturing.length > 0 ? capturing : carrying;
  }

  /** Returns the stream that a cursor belongs to, also if the stream was made anew since. */
  ofCursor(cursor: string): { stream: FollowedStream; position: StreamPosition } | undefined {
    const [, origin = "", name, digits, back = 0] =
      /^((.+):[^:]+):(\d{1,16})(?:-(\d{1,16}))?$/.exec(cursor) ?? [];
    const stream = this.#entries.find((entry) => entry.name === name);
    return (
      stream && {
        stream,
        position: { origin, sequence: Math.max(0, Number(digits) - Number(back)) },
      }
    );
  }

  /** Notes that a message has come. @returns its place in its stream, `undefined` if no stream keeps it. */
  place({ position }: SourceMessage, serial: number): Position | undefined {
    if (position === undefined) return undefined;
    const { origin, sequence } = position;
    const entry = this.#byOrigin.get(origin);
    if (entry !== undefined) {
      entry.last = sequence;
      this.#lasts = undefined;
      entry.waiters.reach(sequence);
    }
    return { origin, sequence, serial };
  }

  /**
   * Calls back once, when the source has said how all of these streams stand: at once if it has. If `caller`
   * is cancelled first, never calls back.
   */
  whenKnown(streams: readonly FollowedStream[], caller: Cancellation, call: () => void): void {
    const missing = this.#entries.find((entry) => !entry.known && streams.includes(entry));
    if (missing === undefined) {
      call();
      return;
    }
    const { signal } = caller;
    const { whenKnown } = missing;
    if (signal.aborted) return;
    const forget = (): void => void whenKnown.delete(known);
    const known = (): void => {
      signal.removeEventListener("abort", forget);
      // A call before this one may have cancelled the caller.
      if (whenKnown.delete(known)) this.whenKnown(streams, caller, call);
    };
    signal.addEventListener("abort", forget);
    whenKnown.add(known);
  }

  /**
   * Resolves when the source says anew how a stream stands, when the timeout is over, or when the signal is
   * aborted.
   *
   * @param since the value of `stream.changes` that the caller has seen; later changes count.
   */
  async changed(stream: FollowedStream, since: number, limits: WaitLimits): Promise<void> {
    await this.reached(stream, Number.POSITIVE_INFINITY, since, limits);
  }

  /** As {@linkcode changed}; resolves also when a message with this sequence or a later one has come. */
  async reached(
    stream: FollowedStream,
    sequence: number,
    since: number,
    limits: WaitLimits,
  ): Promise<void> {
    if (stream.changes !== since || stream.last >= sequence) return;
    await (stream as Entry).waiters.wait(sequence, limits);
  }

  /** The source says how a stream stands. */
  follow(state: StreamState): StreamChange {
    const entry = this.#entries.find(({ name }) => name === state.name);
    if (entry === undefined) return { subjects: [] };
    const { origin, sequence, sparseUpTo = 0 } = state;
    const gap = gapBefore(state, entry);
    if (gap !== undefined) entry.completeSince = this.#missed();
    if (entry.origin !== undefined && entry.origin !== origin) {
      this.#byOrigin.delete(entry.origin);
      this.#ring.forget(entry.origin);
    }
    if (origin !== undefined) {
      const isNew = origin !== entry.lastOrigin || (state.lost && sequence < entry.last);
      entry.sparseUpTo = Math.max(sparseUpTo, isNew ? 0 : entry.sparseUpTo);
      if (origin !== entry.origin || state.lost) {
        entry.last = sequence;
        this.#ring.follow(origin, sequence);
      }
      this.#byOrigin.set(origin, entry);
      entry.lastOrigin = origin;
      entry.captures = state.captures;
    }
    entry.origin = origin;
    this.#lasts = undefined;
    if (state.isFollowed === false) wake(entry);
    else {
      entry.refusal = undefined;
      wakeKnown(entry);
    }
    return { gap, subjects: entry.subjects };
  }

  /** The source may not follow a stream. @returns the subjects that are carried of it. */
  refuse(name: string, reason: string): readonly string[] {
    const entry = this.#entries.find((one) => one.name === name);
    if (entry === undefined) return [];
    entry.refusal = reason;
    wakeKnown(entry);
    return entry.subjects;
  }
}

function wakeKnown(entry: Entry): void {
  entry.known = true;
  for (const call of [...entry.whenKnown]) call();
  wake(entry);
}

function wake(entry: Entry): void {
  entry.changes++;
  entry.waiters.wakeAll();
}

/** Returns the messages that nobody gets who got all of the stream until now. */
function gapBefore(
  { origin, sequence, lost, sparseUpTo }: StreamState,
  { lastOrigin, last }: Entry,
): GapFrame | undefined {
  if (lastOrigin === undefined || origin === undefined) return undefined;
  const to = cursorOf({ origin, sequence });
  if (origin !== lastOrigin || sequence < last) {
    // A stream that is there again as it was has lost nothing.
    if (origin === lastOrigin && !lost) return undefined;
    return unknownGap(cursorOf({ origin: lastOrigin, sequence: last }), to, "stream_reset");
  }
  if (sparseUpTo !== undefined) {
    const upTo = cursorOf({ origin, sequence: Math.max(sequence, sparseUpTo) });
    return unknownGap(cursorOf({ origin, sequence: last }), upTo, "expired");
  }
  if (!lost || sequence === last) return undefined;
  const from = cursorOf({ origin, sequence: last + 1 });
  // It isn't known how many of these a client wanted, nor how many had been deleted before.
  return { type: "gap", from, to, count: sequence - last, reason: "expired", exact: false };
}
