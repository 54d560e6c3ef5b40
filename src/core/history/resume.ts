import type { GapFrame } from "../../protocol/server-frames.ts";
import type { Arrival } from "../upstream/upstream-subscription.ts";
import { cursorOf, type Position } from "../wire/envelope.ts";
import { unknownGap } from "../wire/gap.ts";
import type { Ring } from "./ring.ts";

/** What this gateway knows of the past. */
export interface History {
  /** The last message that has come. */
  readonly last: Position;
  readonly ring: Ring;
  /** Since when every message that is wanted has come; `undefined`: not yet. */
  readonly completeSince: Arrival | undefined;
  /** Whether all that has come is wanted, so that what is gone can be counted. */
  readonly wantsAll: boolean;
}

/** How a client goes on behind a cursor. */
export interface Resumption {
  /** Delivery really starts behind this one; the ring has all that is behind it. */
  readonly from: Position;
  /** What can't be given, or can't be known. */
  readonly gaps: readonly GapFrame[];
}

/** Finds out what a client that has everything up to a cursor has missed, and what of it is gone. */
export function resumeAfter(after: string, history: History): Resumption {
  const { last, ring, completeSince, wantsAll } = history;
  const position = positionIn(after, last);
  if (position === undefined) {
    const gap = unknownGap(after, cursorOf(last), "stream_reset");
    return { from: last, gaps: [gap] };
  }
  const { origin, sequence, back } = position;
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
      // A client that goes back has some of these messages.
      ...((!wantsAll || back !== undefined) && { exact: false }),
    });
  }
  if (!isBehind(position, completeSince)) {
    const to = { origin, sequence: completeSince?.sequence ?? last.sequence };
    gaps.push(unknownGap(after, cursorOf(to), "upstream"));
  }
  const from = { origin, sequence: gone > 0 ? oldest - 1 : sequence };
  return { from, gaps };
}

/** Whether a position is one of after an arrival: what arrived behind the same message is open, unless it is told. */
function isBehind({ sequence, arrivals = -1 }: Position, arrival: Arrival | undefined): boolean {
  if (arrival === undefined) return false;
  return sequence === arrival.sequence ? arrivals >= arrival.number : sequence > arrival.sequence;
}

/** The position of a cursor of this origin, `undefined` for any other. */
function positionIn(cursor: string, last: Position): Position | undefined {
  const colon = cursor.lastIndexOf(":");
  const origin = cursor.slice(0, Math.max(0, colon));
  const [whole, digits, arrivals, back] =
    /^(\d{1,15})(?:\.(\d{1,15}))?(?:-(\d{1,15}))?$/.exec(cursor.slice(colon + 1)) ?? [];
  const reached = Number(digits);
  if (whole === undefined || origin !== last.origin || reached > last.sequence) return undefined;
  const sequence = Math.max(0, reached - Number(back ?? 0));
  return { origin, sequence, arrivals: numberIn(arrivals), back: numberIn(back) };
}

function numberIn(digits: string | undefined): number | undefined {
  return digits === undefined ? undefined : Number(digits);
}
