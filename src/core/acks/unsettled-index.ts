import { sequenceOf, UNKNOWN_ID } from "./ack-id.ts";
import type { AckTracker } from "./ack-tracker.ts";

/** The messages of one origin. */
interface OfOrigin {
  /** By sequence, the tracker that waits for the message, or several that want the same subject. */
  readonly holders: Map<number, AckTracker | Set<AckTracker>>;
  /** The highest sequence that was ever added. */
  newest: number;
}

/** Finds the durable that sent a client an unsettled message by the message's id, however many durables there are. */
export class UnsettledIndex {
  readonly #byOrigin = new Map<string, OfOrigin>();

  add(origin: string, sequence: number, holder: AckTracker): void {
    let of = this.#byOrigin.get(origin);
    if (of === undefined) {
      of = { holders: new Map(), newest: 0 };
      this.#byOrigin.set(origin, of);
    }
    of.newest = Math.max(of.newest, sequence);
    const before = of.holders.get(sequence);
    if (before === undefined) of.holders.set(sequence, holder);
    else if (before instanceof Set) before.add(holder);
    else if (before !== holder) of.holders.set(sequence, new Set([before, holder]));
  }

  remove(origin: string, sequence: number, holder: AckTracker): void {
    const holders = this.#byOrigin.get(origin)?.holders;
    const before = holders?.get(sequence);
    if (before instanceof Set) before.delete(holder);
    if (before === holder || (before instanceof Set && before.size === 0)) {
      holders?.delete(sequence);
    }
  }

  /** Returns the tracker that has waited the longest for a message. */
  holderOf(id: string): AckTracker | undefined {
    const origin = originOf(id);
    const holder = this.#byOrigin.get(origin)?.holders.get(sequenceOf(id, origin));
    return holder instanceof Set ? holder.values().next().value : holder;
  }

  /** Whether a durable may have sent a message. */
  mayHaveSent(id: string): boolean {
    const origin = originOf(id);
    const of = this.#byOrigin.get(origin);
    if (of === undefined) return false;
    const sequence = sequenceOf(id, origin);
    return sequence !== UNKNOWN_ID && sequence <= of.newest;
  }
}

function originOf(id: string): string {
  return id.slice(0, Math.max(0, id.lastIndexOf(":")));
}
