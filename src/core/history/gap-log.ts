import type { GapFrame } from "../../protocol/server-frames.ts";

/** A gap for clients that got everything until then. */
export interface LoggedGap {
  readonly gap: GapFrame;
  /** The patterns of the messages that are missing. */
  readonly subjects: readonly string[];
}

/** A moment in a {@linkcode GapLog}. It holds the gaps after it, and the log holds none. */
export interface GapMark {
  next: (LoggedGap & GapMark) | undefined;
}

/** The gaps that are told to clients when they come. Subscriptions that catch up are told of them when they join. */
export class GapLog {
  #end: GapMark = { next: undefined };

  /** The moment after all gaps until now. */
  get end(): GapMark {
    return this.#end;
  }

  add(gap: GapFrame, subjects: readonly string[]): void {
    const logged = { gap, subjects, next: undefined };
    this.#end.next = logged;
    this.#end = logged;
  }
}

/** Yields the gaps after a mark, in their order. */
export function* gapsAfter({ next }: GapMark): Generator<LoggedGap, void, void> {
  for (let logged = next; logged !== undefined; logged = logged.next) yield logged;
}
