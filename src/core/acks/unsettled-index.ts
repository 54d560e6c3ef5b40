import { sequenceOf, UNKNOWN_ID } from "./ack-id.ts";
import type { DurableTracker } from "./durable-tracker.ts";

/** What a client was sent of one origin by its durables. */
interface Sent {
  /** By sequence, who waits for its settlement: mostly one durable, or several that want the same subject. */
  readonly holders: Map<number, DurableTracker | Set<DurableTracker>>;
  /** The highest sequence that was ever here. */
  newest: number;
}

/** The messages that a client's durables have sent it and that it has not settled: found by id, however many durables it has. */
export class UnsettledIndex {
  readonly #byOrigin = new Map<string, Sent>();

  add(origin: string, sequence: number, durable: DurableTracker): void {
    let sent = this.#byOrigin.get(origin);
    if (sent === undefined) {
      sent = { holders: new Map(), newest: 0 };
      this.#byOrigin.set(origin, sent);
    }
    sent.newest = Math.max(sent.newest, sequence);
    const before = sent.holders.get(sequence);
    if (before === undefined) sent.holders.set(sequence, durable);
    else if (before instanceof Set) before.add(durable);
    else if (before !== durable) sent.holders.set(sequence, new Set([before, durable]));
  }

  remove(origin: string, sequence: number, durable: DurableTracker): void {
    const holders = this.#byOrigin.get(origin)?.holders;
    const before = holders?.get(sequence);
    if (before instanceof Set) before.delete(durable);
    if (before === durable || (before instanceof Set && before.size === 0)) {
      holders?.delete(sequence);
    }
  }

  /** Hands the message of an id to the durable that has waited for it the longest. @returns `false` when none does. */
  find(id: string, use: (durable: DurableTracker, sequence: number) => void): boolean {
    const sent = this.#sentOf(id);
    if (sent === undefined) return false;
    const [origin, { holders }] = sent;
    const sequence = sequenceOf(id, origin);
    const holder = holders.get(sequence);
    const first = holder instanceof Set ? (holder.values().next().value as DurableTracker) : holder;
    if (first === undefined) return false;
    use(first, sequence);
    return true;
  }

  /** Whether the message of an id may have been sent by a durable. */
  mayHaveSent(id: string): boolean {
    const sent = this.#sentOf(id);
    if (sent === undefined) return false;
    const sequence = sequenceOf(id, sent[0]);
    return sequence !== UNKNOWN_ID && sequence <= sent[1].newest;
  }

  #sentOf(id: string): [origin: string, Sent] | undefined {
    const origin = id.slice(0, Math.max(0, id.lastIndexOf(":")));
    const sent = this.#byOrigin.get(origin);
    return sent && [origin, sent];
  }
}
