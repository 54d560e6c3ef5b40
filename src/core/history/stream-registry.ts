import type { GapFrame } from "../../protocol/server-frames.ts";
import type { SourceMessage, StreamInput, StreamPosition, StreamState } from "../ports/source.ts";
import { exposedOf, exposesSome, subjectsIntersect } from "../subject/subject.ts";
import { cursorOf, type Position } from "../wire/envelope.ts";
import { unknownGap } from "../wire/gap.ts";
import type { Ring } from "./ring.ts";

/** A stream that is followed, as far as it is known. */
export interface FollowedStream extends StreamInput {
  /** `undefined`: it is not known yet, or there is none. */
  readonly origin: string | undefined;
  /** The last message of it that has come, or that was there when it was first followed. */
  readonly last: number;
  /** Whether the source has said how it stands. */
  readonly known: boolean;
  /** Why the source may not follow it; `undefined` where it may. */
  readonly refusal: string | undefined;
}

/** What a stream's new beginning means for those who got its messages until now. */
export interface Followed {
  /** What they will not get. */
  readonly gap?: GapFrame | undefined;
  /** What it carries. */
  readonly subjects: readonly string[];
}

interface Entry extends FollowedStream {
  origin: string | undefined;
  last: number;
  known: boolean;
  refusal: string | undefined;
  captures: readonly string[] | undefined;
  /** What its origin is, or was before it went away. */
  was: string | undefined;
  /** Told once. */
  whenKnown: (() => void)[];
}

/** The streams that messages come from, and how far each has come. */
export class StreamRegistry {
  readonly #entries: readonly Entry[];
  readonly #byOrigin = new Map<string, Entry>();
  readonly #ring: Ring;
  #lasts: ReadonlyMap<string, number> | undefined = new Map();

  constructor(inputs: readonly StreamInput[], ring: Ring) {
    this.#ring = ring;
    this.#entries = inputs.map((input) => ({
      ...input,
      origin: undefined,
      last: 0,
      known: false,
      refusal: undefined,
      captures: undefined,
      was: undefined,
      whenKnown: [],
    }));
  }

  /**
   * Returns the streams that carry something of these subjects.
   *
   * If several streams may, those count that capture it now. That alone does not decide: a stream may hold
   * messages from before its subjects were edited.
   */
  touchedBy(subjects: readonly string[] | undefined): readonly FollowedStream[] {
    if (this.#entries.length === 0) return this.#entries;
    const touched = this.#entries.filter(({ subjects: carried }) => exposesSome(carried, subjects));
    const capturing = touched.filter(({ subjects: carried, captures }) => {
      if (captures === undefined) return true;
      const wanted = exposedOf(carried, subjects);
      return wanted.some((one) => captures.some((other) => subjectsIntersect(one, other)));
    });
    // If no stream captures it now, each of them may have captured it before.
    return capturing.length > 0 ? capturing : touched;
  }

  get(origin: string): FollowedStream | undefined {
    return this.#byOrigin.get(origin);
  }

  /** The one whose messages have such cursors, be it of an earlier creation. */
  ofCursor(cursor: string): { stream: FollowedStream; position: StreamPosition } | undefined {
    const [, origin = "", name, digits, back = 0] =
      /^((.+):[^:]+):(\d{1,15})(?:-(\d{1,15}))?$/.exec(cursor) ?? [];
    const stream = this.#entries.find((entry) => entry.name === name);
    return (
      stream && {
        stream,
        position: { origin, sequence: Math.max(0, Number(digits) - Number(back)) },
      }
    );
  }

  /** By stream, the last message that has come. */
  get lasts(): ReadonlyMap<string, number> {
    this.#lasts ??= new Map([...this.#byOrigin].map(([origin, { last }]) => [origin, last]));
    return this.#lasts;
  }

  /** A message has come: where it stands if it is a stream's, `undefined` if it is none's. */
  place({ position }: SourceMessage, serial: number): Position | undefined {
    if (position === undefined) return undefined;
    const { origin, sequence } = position;
    const entry = this.#byOrigin.get(origin);
    if (entry !== undefined) {
      entry.last = sequence;
      this.#lasts = undefined;
    }
    return { origin, sequence, serial };
  }

  /** Calls once, when the source has said how all of these stand: at once, if it has. */
  whenKnown(streams: readonly FollowedStream[], call: () => void): void {
    const missing = this.#entries.find((entry) => !entry.known && streams.includes(entry));
    if (missing === undefined) call();
    else missing.whenKnown.push(() => this.whenKnown(streams, call));
  }

  /**
   * The source follows a stream anew.
   */
  follow(state: StreamState): Followed {
    const entry = this.#entries.find(({ name }) => name === state.name);
    if (entry === undefined) return { subjects: [] };
    const { origin, sequence } = state;
    const gap = gapBefore(state, entry);
    if (entry.origin !== undefined && entry.origin !== origin) {
      this.#byOrigin.delete(entry.origin);
      this.#ring.forget(entry.origin);
    }
    if (origin !== undefined) {
      if (origin !== entry.origin || state.lost) {
        entry.last = sequence;
        this.#ring.follow(origin, sequence);
      }
      this.#byOrigin.set(origin, entry);
      entry.was = origin;
      entry.captures = state.captures;
    }
    entry.origin = origin;
    this.#lasts = undefined;
    if (state.isFollowed !== false) {
      entry.refusal = undefined;
      tellKnown(entry);
    }
    return { gap, subjects: entry.subjects };
  }

  /** The source may not follow a stream. @returns what it carries. */
  refuse(name: string, reason: string): readonly string[] {
    const entry = this.#entries.find((one) => one.name === name);
    if (entry === undefined) return [];
    entry.refusal = reason;
    tellKnown(entry);
    return entry.subjects;
  }
}

function tellKnown(entry: Entry): void {
  entry.known = true;
  for (const call of entry.whenKnown.splice(0)) call();
}

function gapBefore(
  { origin, sequence, lost, sparse }: StreamState,
  entry: Entry,
): GapFrame | undefined {
  const { was, last } = entry;
  if (was === undefined || origin === undefined) return undefined;
  const to = cursorOf({ origin, sequence });
  if (origin !== was || sequence < last) {
    // A stream that is there again as it was has lost nothing.
    if (origin === was && !lost) return undefined;
    return unknownGap(cursorOf({ origin: was, sequence: last }), to, "stream_reset");
  }
  if (!lost && sparse) return unknownGap(to, to, "expired");
  if (!lost || sequence === last) return undefined;
  const from = cursorOf({ origin, sequence: last + 1 });
  // How many of them anybody wanted, and whether they were deleted one by one, nobody knows any more.
  return { type: "gap", from, to, count: sequence - last, reason: "expired", exact: false };
}
