import type { Cancel } from "./clock.ts";

/** Something began to arrive. */
export interface Arrival {
  /** Behind the message of this number. */
  readonly sequence: number;
  /** Counts arrivals. */
  readonly number: number;
}

/** Why the source does not subscribe to a pattern. */
export interface UpstreamRefusal {
  /** In words for people. */
  readonly reason: string;
  /** Whether the pattern itself is not possible, so that it is not tried again. */
  readonly isFinal: boolean;
}

/** A pattern that somebody wants, or wanted a moment ago. */
export interface Want {
  readonly pattern: string;
  users: number;
  /** Whether the source is subscribed to the pattern itself; otherwise a wider one is, which covers it. */
  subscribed: boolean;
  /** Whether the source has confirmed that. */
  confirmed: boolean;
  /** Since when every message has come, of itself or of what covers it; `undefined`: not yet. */
  since: Arrival | undefined;
  cancelLinger: Cancel | undefined;
  /** Why the source may not subscribe to it. */
  refusal: UpstreamRefusal | undefined;
  /** Told once, when it arrives or the source says that it may not. */
  whenKnown: (() => void)[];
}

/** Somebody begins to want a pattern. */
export function wantOf(pattern: string): Want {
  return {
    pattern,
    users: 1,
    subscribed: false,
    confirmed: false,
    since: undefined,
    cancelLinger: undefined,
    refusal: undefined,
    whenKnown: [],
  };
}

export function isNeeded({ users, cancelLinger }: Want): boolean {
  return users > 0 || cancelLinger !== undefined;
}
