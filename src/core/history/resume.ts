import type { GapFrame } from "../../protocol/server-frames.ts";
import type { Arrival } from "../upstream/upstream-subscription.ts";
import { cursorOf, type Position } from "../wire/envelope.ts";
import { unknownGap } from "../wire/gap.ts";
import type { Ring } from "./ring.ts";

/** The gateway's knowledge of the past. */
export interface History {
  /** The position of the last message that has come. */
  readonly last: Position;
  readonly ring: Ring;
  /** The arrival since which every wanted message has come; `undefined` if some do not come yet. */
  readonly completeSince: Arrival | undefined;
  /** Whether the client wants every message, so that the lost ones can be counted. */
  readonly wantsAll: boolean;
}

/** The place where a client that resumes starts. */
export interface Resumption {
  /** Delivery starts after this position; the ring has everything after it. */
  readonly from: Position;
  /** Messages after the cursor that the client doesn't get, or of which the gateway doesn't know. */
  readonly gaps: readonly GapFrame[];
}

/** Finds where a client resumes that has everything up to a cursor, and what it has lost. */
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
      // It isn't known any more which of them the client had wanted.
      count: gone,
      reason: "expired",
      // A cursor that goes back says that the client has some of these messages.
      ...((!wantsAll || back !== undefined) && { exact: false }),
    });
  }
  if (!isAfter(position, completeSince)) {
    const to = { origin, sequence: completeSince?.sequence ?? last.sequence };
    gaps.push(unknownGap(after, cursorOf(to), "upstream"));
  }
  const from = { origin, sequence: gone > 0 ? oldest - 1 : sequence };
  return { from, gaps };
}

/** Whether a position is after an arrival. A position at the same message is, if it counts that arrival. */
function isAfter({ sequence, arrivals = -1 }: Position, arrival: Arrival | undefined): boolean {
  if (arrival === undefined) return false;
  return sequence === arrival.sequence ? arrivals >= arrival.number : sequence > arrival.sequence;
}

/** Returns the position of a cursor of this origin, `undefined` for any other. */
function positionIn(cursor: string, last: Position): Position | undefined {
  const colon = cursor.lastIndexOf(":");
  const origin = cursor.slice(0, Math.max(0, colon));
  const [whole, digits, arrivals, back] =
    /^(\d{1,16})(?:\.(\d{1,16}))?(?:-(\d{1,16}))?$/.exec(cursor.slice(colon + 1)) ?? [];
  const reached = Number(digits);
  if (whole === undefined || origin !== last.origin || reached > last.sequence) return undefined;
  const sequence = Math.max(0, reached - Number(back ?? 0));
  return { origin, sequence, arrivals: numberIn(arrivals), back: numberIn(back) };
}

function numberIn(digits: string | undefined): number | undefined {
  return digits === undefined ? undefined : Number(digits);
}
