import type { Policy } from "../protocol/fields.ts";
import type { CaughtUp, End, Gap, ReceivedMessage } from "./item.ts";
import { positionOf } from "./position.ts";

/** An item that is no message. */
export type Note = Gap | CaughtUp | End;

/** An item that waits for the loop. */
export type Waiting = ReceivedMessage | Note;

/** Between two messages, the most ends of subjects: more than a subscription without wildcards has. */
const MOST_ENDS = 128;

/** If no message is between two notes of a kind, they become one. Gaps of known and of unknown size don't add up. */
function kindOf(note: Note): string {
  const { type, reason, count, subject, from = "", to = "" } = note as Partial<Gap & End>;
  const origins = `${positionOf(from).origin} ${positionOf(to).origin}`;
  return `${type} ${reason} ${!count} ${subject} ${origins}`;
}

/** Whether a place is before another one of its origin. */
function isBefore(one: string, other: string): boolean {
  return positionOf(one).number < positionOf(other).number;
}

/** Joins two gaps of one reason and origin. */
export function joined(one: Gap, other: Gap): Gap {
  return {
    ...one,
    from: isBefore(other.from, one.from) ? other.from : one.from,
    to: isBefore(one.to, other.to) ? other.to : one.to,
    count: one.count + other.count,
    exact: one.exact && other.exact,
  };
}

/**
 * Holds what a loop has not taken yet. If there is no room for a message, the policy decides which one is dropped, and a
 * gap takes its place.
 */
export class ItemBuffer {
  readonly #messages: ReceivedMessage[] = [];
  /** The notes before each message, and at last those behind all. */
  readonly #notes: Note[][] = [[]];

  /** The number of waiting messages. */
  get messages(): number {
    return this.#messages.length;
  }

  /** Drops all that waits. */
  clear(): void {
    while (this.take());
  }

  /**
   * Adds a message.
   *
   * @param isFull whether another one must go.
   * @returns the message that was dropped or replaced.
   */
  add(message: ReceivedMessage, policy: Policy, isFull: boolean): ReceivedMessage | undefined {
    const messages = this.#messages;
    const notes = this.#notes;
    const replaced = policy === "conflate" ? this.#replacedBy(message) : -1;
    notes.push([]);
    const last = messages.push(message) - 1;
    if (replaced < 0 && !isFull) return undefined;
    const at = replaced < 0 ? (policy === "drop-newest" ? last : 0) : replaced;
    const [dropped] = messages.splice(at, 1) as [ReceivedMessage];
    const [behind] = notes.splice(at + 1, 1) as [Note[]];
    const { id, superseded } = dropped;
    const count = 1 + superseded;
    if (replaced < 0) {
      this.note({ type: "gap", reason: "buffer", from: id, to: id, count, exact: true }, at);
      for (const note of behind) this.note(note, at);
    } else message.superseded += count;
    return dropped;
  }

  /** Adds what is never dropped. @param at the number of waiting messages before it. */
  note(note: Note, at: number = this.messages): void {
    const notes = this.#notes[at]!;
    const kind = kindOf(note);
    const other = notes.find((one) => kindOf(one) === kind);
    if (other?.type === "gap") Object.assign(other, joined(other, note as Gap));
    else if (!other && (note.type !== "end" || notes.length < MOST_ENDS)) notes.push(note);
  }

  take(): Waiting | undefined {
    const note = this.#notes[0]!.shift();
    if (!note && this.messages > 0) this.#notes.shift();
    return note ?? this.#messages.shift();
  }

  /** Finds the message of the same subject that no note follows. */
  #replacedBy({ subject }: ReceivedMessage): number {
    let at = this.messages;
    while (at > 0 && this.#notes[at]!.length === 0) {
      if (this.#messages[--at]!.subject === subject) return at;
    }
    return -1;
  }
}
