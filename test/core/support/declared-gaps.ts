/** The place of a message in its stream. */
export interface Place {
  readonly origin: string;
  readonly sequence: number;
}

/** Whether a gap frame declares that a message may be missing. */
export function covers(gap: Record<string, unknown>, { origin, sequence }: Place): boolean {
  const from = placeOf(String(gap.from));
  const to = placeOf(String(gap.to));
  // The source may have refused all earlier messages.
  if (gap.reason === "upstream") return to.origin === origin && sequence <= to.sequence;
  if (from.origin === origin && to.origin === origin) {
    // An unknown number of messages is missing around a place: those after it that are gone.
    if (gap.count === 0 && from.sequence === to.sequence) return sequence > to.sequence;
    return from.sequence <= sequence && sequence <= to.sequence;
  }
  if (from.origin === origin) return sequence > from.sequence;
  return to.origin === origin && sequence <= to.sequence;
}

export function placeOf(cursor: string): Place {
  const at = cursor.lastIndexOf(":");
  return {
    origin: cursor.slice(0, at),
    sequence: Math.floor(Number.parseFloat(cursor.slice(at + 1))),
  };
}

export function idOf({ origin, sequence }: Place): string {
  return `${origin}:${sequence}`;
}
