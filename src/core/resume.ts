import { cursorOf, type Envelope, type Position } from "./envelope.ts";
import type { Ring } from "./ring.ts";
import type { GapFrame } from "./server-frame.ts";

/** What this gateway knows of the past. */
export interface History {
  /** The last message that has come. */
  readonly last: Position;
  readonly ring: Ring;
  /** Behind which sequence number every message that is wanted has come; `Infinity`: none yet. */
  readonly completeSince: number;
  /** Whether all that has come is wanted, so that what is gone can be counted. */
  readonly wantsAll: boolean;
}

/** How a client goes on behind a cursor. */
export interface Resumption {
  /** Delivery really starts behind this one. */
  readonly from: Position;
  /** What can't be given, or can't be known. */
  readonly gaps: readonly GapFrame[];
  /** What is kept of all messages behind the cursor, whether they are wanted or not. */
  readonly kept: readonly Envelope[];
}

/** Finds out what a client that has everything up to a cursor has missed, and what of it is gone. */
export function resumeAfter(after: string, history: History): Resumption {
  const { last, ring, completeSince, wantsAll } = history;
  const sequence = sequenceIn(after, last);
  if (sequence === undefined) {
    const gap = unknownGap(after, cursorOf(last), "stream_reset");
    return { from: last, gaps: [gap], kept: [] };
  }
  const { origin } = last;
  const gaps: GapFrame[] = [];
  const oldest = ring.oldest ?? last.sequence + 1;
  const gone = oldest - 1 - sequence;
  if (gone > 0) {
    gaps.push({
      type: "gap",
      from: cursorOf({ origin, sequence: sequence + 1 }),
      to: cursorOf({ origin, sequence: oldest - 1 }),
      // Of what a filter would have left out, nobody knows any more.
      count: gone,
      reason: "expired",
      ...(!wantsAll && { exact: false }),
    });
  }
  if (completeSince > sequence) {
    const to = { origin, sequence: Math.min(completeSince, last.sequence) };
    gaps.push(unknownGap(after, cursorOf(to), "upstream"));
  }
  const from = { origin, sequence: gone > 0 ? oldest - 1 : sequence };
  return { from, gaps, kept: ring.after(sequence) };
}

/** A gap of which nobody knows how much is in it. */
export function unknownGap(from: string, to: string, reason: GapFrame["reason"]): GapFrame {
  return { type: "gap", from, to, count: 0, reason, exact: false };
}

/** The sequence number of a cursor of this origin, `undefined` for any other. */
function sequenceIn(cursor: string, last: Position): number | undefined {
  const colon = cursor.lastIndexOf(":");
  const digits = cursor.slice(colon + 1);
  if (cursor.slice(0, Math.max(0, colon)) !== last.origin || !/^\d{1,15}$/.test(digits)) {
    return undefined;
  }
  const sequence = Number(digits);
  return sequence <= last.sequence ? sequence : undefined;
}
