import type { RingBounds } from "../../../src/core/history/ring.ts";
import { subjectIntersection } from "../../../src/core/subject/subject.ts";
import type { SubscriptionRequest } from "../../../src/core/wire/subscription-request.ts";
import type { Policy } from "../../../src/protocol/fields.ts";
import { ManualClock } from "./manual-clock.ts";

/** A request of a client. */
export interface ModelRequest extends SubscriptionRequest {
  readonly policy?: Policy | undefined;
}

interface Event {
  readonly subject: string;
  /** Its number among the messages that arrived; `undefined` if it did not arrive. */
  readonly sequence: number | undefined;
}

/** All messages ever published, whether they arrived at the gateway or not. */
export class HistoryModel {
  /** Cursors that clients were told. */
  readonly cursors: string[] = [];
  /** How many events there were when a cursor was first told. */
  readonly #toldAt = new Map<string, number>();
  readonly #exposed: readonly string[];
  readonly #ring: RingBounds;
  readonly #events: Event[] = [];
  readonly #came: { sequence: number; subject: string; bytes: number; at: number }[] = [];

  constructor(exposed: readonly string[], ring: RingBounds) {
    this.#exposed = exposed;
    this.#ring = ring;
  }

  exposes(subject: string): boolean {
    return this.#exposed.some((pattern) => matches(pattern, subject));
  }

  wants({ subjects }: Pick<ModelRequest, "subjects">, subject: string): boolean {
    return (
      this.exposes(subject) &&
      (subjects === "everything" || subjects.some((pattern) => matches(pattern, subject)))
    );
  }

  /** The patterns of a request, narrowed to what is exposed. */
  exposedOf({ subjects }: Pick<ModelRequest, "subjects">): string[] {
    return this.#exposed.flatMap((pattern) =>
      (subjects === "everything" ? [">"] : subjects).flatMap(
        (subject) => subjectIntersection(pattern, subject) ?? [],
      ),
    );
  }

  /** Adds a message that arrived. @returns its number. */
  came(subject: string, payload: unknown): number {
    const sequence = this.#came.length + 1;
    const id = `${"o".repeat(12)}:${sequence}`;
    const timestamp = ManualClock.WALL_START_MS;
    const bytes = JSON.stringify({ type: "data", id, timestamp, subject, payload }).length;
    this.#came.push({ sequence, subject, bytes, at: this.#events.length });
    this.#events.push({ subject, sequence });
    return sequence;
  }

  missed(subject: string): void {
    this.#events.push({ subject, sequence: undefined });
  }

  /** Remembers a cursor that a client was told. */
  told(cursor: string): void {
    this.cursors.push(cursor);
    if (!this.#toldAt.has(cursor)) this.#toldAt.set(cursor, this.#events.length);
  }

  /** The number in a cursor; `undefined` for a cursor of another origin. */
  sequenceOf(cursor: string): number | undefined {
    const [origin, digits] = cursor.split(":");
    return origin === "elsewhere" ? undefined : Math.floor(Number.parseFloat(digits!));
  }

  /** What a request gets now. */
  resume(wish: ModelRequest): {
    fromSequence: number;
    kept: readonly { sequence: number; subject: string }[];
    /** The gaps that there must be. */
    gaps: ReadonlySet<string>;
  } {
    const last = this.#came.length;
    const gaps = new Set<string>();
    if (wish.after === undefined) return { fromSequence: last, kept: [], gaps };
    const reached = this.sequenceOf(wish.after);
    if (reached === undefined) {
      return { fromSequence: last, kept: [], gaps: gaps.add("stream_reset") };
    }
    const after = reached - Number(wish.after.split("-")[1] ?? 0);
    const oldest = this.#oldestKept();
    const wanted = this.#came.filter(
      ({ sequence, subject }) => sequence > after && this.wants(wish, subject),
    );
    if (wanted.some(({ sequence }) => sequence < oldest)) gaps.add("expired");
    // A cursor with a point in it counts from when it was told, any other from when its message arrived.
    const begin = /\.\d+$/.test(wish.after)
      ? this.#toldAt.get(wish.after)
      : (this.#came[after - 1]?.at ?? -1) + 1;
    const unseen = this.#events.slice(begin);
    if (unseen.some((event) => event.sequence === undefined && this.wants(wish, event.subject))) {
      gaps.add("upstream");
    }
    const kept = wanted.filter(({ sequence }) => sequence >= oldest);
    return { fromSequence: Math.max(after, oldest - 1), kept, gaps };
  }

  #oldestKept(): number {
    let oldest = this.#came.length + 1;
    let bytes = 0;
    while (oldest > 1 && this.#came.length + 1 - oldest < this.#ring.ringMessages) {
      bytes += this.#came[oldest - 2]!.bytes;
      if (bytes > this.#ring.ringBytes) break;
      oldest--;
    }
    return oldest;
  }
}

/** NATS' own rules, written down a second time. */
function matches(pattern: string, subject: string): boolean {
  const source = pattern
    .split(".")
    .map((token) =>
      token === ">" ? ".+" : token === "*" ? "[^.]+" : token.replace(/[^\w]/g, "\\$&"),
    );
  return new RegExp(`^${source.join("\\.")}$`).test(subject);
}
