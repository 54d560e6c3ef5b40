import type { Policy } from "../protocol/fields.ts";
import { SpillwayError } from "./errors.ts";
import { type CaughtUp, type End, type Gap, ReceivedMessage } from "./item.ts";

/** An item that waits for the loop. */
export type Waiting = ReceivedMessage | Gap | CaughtUp | End;

function isMessage(item: Waiting | undefined): item is ReceivedMessage {
  return item instanceof ReceivedMessage;
}

/**
 * Holds what a loop has not taken yet: at most so many messages. If there is no room, the policy decides which message
 * is dropped, and a gap takes its place.
 */
export class ItemBuffer {
  readonly #limit: number;
  readonly #items: Waiting[] = [];
  /** The number of waiting messages. */
  messages = 0;

  /** @param limit the most messages. */
  constructor(limit: number) {
    this.#limit = limit;
  }

  /** Drops all that waits. */
  clear(): void {
    this.messages = 0;
    this.#items.length = 0;
  }

  /**
   * Adds a message.
   *
   * @param policy what happens if there is no room; `undefined` if it is kept in any case.
   * @returns the message that was dropped or replaced.
   * @throws SpillwayError if there is no room and the policy is `disconnect`.
   */
  add(message: ReceivedMessage, policy: Policy | undefined): ReceivedMessage | undefined {
    const items = this.#items;
    let dropped = policy === "conflate" ? this.#replace(message) : undefined;
    if (dropped === undefined && policy !== undefined && this.messages >= this.#limit) {
      if (policy === "disconnect") {
        throw new SpillwayError("slow_consumer", "The loop is too slow", {
          retryable: true,
        });
      }
      if (policy === "drop-newest") {
        this.#declare(items.length, message);
        return message;
      }
      const oldest = items.findIndex(isMessage);
      [dropped] = items.splice(oldest, 1) as [ReceivedMessage];
      this.#declare(oldest, dropped);
    }
    items.push(message);
    if (dropped === undefined) this.messages++;
    return dropped;
  }

  /** Adds what is never dropped. */
  note(item: Gap | CaughtUp | End): void {
    this.#items.push(item);
  }

  take(): Waiting | undefined {
    const item = this.#items.shift();
    if (isMessage(item)) this.messages--;
    return item;
  }

  /** Takes out the earlier message of a subject: the later one replaces it. */
  #replace(message: ReceivedMessage): ReceivedMessage | undefined {
    for (let at = this.#items.length - 1; at >= 0; at--) {
      const item = this.#items[at];
      // A message that a gap or the end of the replay follows stays before it.
      if (!isMessage(item)) return undefined;
      if (item.subject !== message.subject) continue;
      message.superseded += 1 + item.superseded;
      this.#items.splice(at, 1);
      return item;
    }
    return undefined;
  }

  /** Puts a gap in the place of a dropped message, or adds it to the gap before. */
  #declare(at: number, { id, superseded }: ReceivedMessage): void {
    const before = this.#items[at - 1];
    const isJoined = before?.type === "gap" && before.reason === "buffer";
    const gap: Gap = isJoined
      ? before
      : { type: "gap", reason: "buffer", from: id, to: id, count: 0, exact: true };
    this.#items.splice(isJoined ? at - 1 : at, isJoined ? 1 : 0, {
      ...gap,
      to: id,
      count: gap.count + 1 + superseded,
    });
  }
}
