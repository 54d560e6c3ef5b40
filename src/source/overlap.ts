import { isReserved, subjectMatches, subjectsIntersect, withoutCovered } from "../core/subject.ts";

/** One subscription, and what it leaves to the others on the same connection. */
export interface Share {
  readonly subject: string;
  /** Patterns whose subscriptions deliver what they match, although this one matches it too. */
  readonly earlier: readonly string[];
  /** Whether a wildcard makes NATS send subjects of its own that nobody named. */
  readonly skipsReserved: boolean;
}

/**
 * The fewest subscriptions that carry all patterns, and how they share what several of them match:
 * nats-server sends a message once for each subscription it matches, and we deliver it once.
 *
 * A pattern that names a reserved subject is never left to a wildcard, which would not carry it.
 */
export function shareOut(patterns: readonly string[]): Share[] {
  const named = withoutCovered(patterns.filter(isReserved));
  const others = withoutCovered(patterns.filter((pattern) => !isReserved(pattern)));
  return [named, others].flatMap((group) =>
    group.map((subject, index) => ({
      subject,
      earlier: group.slice(0, index).filter((earlier) => subjectsIntersect(earlier, subject)),
      skipsReserved: /^[*>](\.|$)/.test(subject),
    })),
  );
}

/** Whether a subscription delivers a message that it got, or leaves it to another or to nobody. */
export function delivers(share: Share, subject: string): boolean {
  if (share.skipsReserved && isReserved(subject)) return false;
  for (const earlier of share.earlier) {
    if (subjectMatches(earlier, subject)) return false;
  }
  return true;
}
