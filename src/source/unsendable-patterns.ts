import { ControlLines, subscriptionLine } from "./control-lines.ts";

/** The most patterns that are remembered: the last ones. */
const REMEMBERED = 1_000;

/** The error before nats-server ends a connection for too long a line. */
const TOO_LONG = /maximum control line exceeded/i;
/** The errors before nats-server ends a connection for anything else that was sent. */
const OUR_FAULT = /parser error|unknown protocol|invalid subject/i;

/**
 * The patterns that are not sent to NATS, as it would end our connection for them.
 *
 * {@linkcode ControlLines} knows how long a line may be. A pattern for which the server ended the connection in another way
 * is found by trying, and remembered.
 */
export class UnsendablePatterns {
  /** The lines that a server takes, of subscriptions and of messages. */
  readonly lines = new ControlLines();
  readonly #patterns = new Set<string>();

  /** Returns why a pattern is not sent, in words for a client; `undefined` if it may be sent. */
  reasonOf(pattern: string, group: string): string | undefined {
    if (this.#patterns.has(pattern)) return "NATS ends the gateway's connection for this subject";
    return this.lines.reasonOf(pattern, subscriptionLine("", group));
  }

  /** NATS has taken a pattern. */
  taken(pattern: string, group: string): void {
    this.lines.taken(subscriptionLine(pattern, group));
  }

  /**
   * NATS has ended the connection.
   *
   * @param asked the patterns that NATS had not confirmed.
   * @param messageLine the longest line of a message that NATS had not confirmed; 0 if there is none.
   * @returns the patterns that may be the cause, and have to be tried again apart from all others.
   */
  cut(
    reason: string | undefined,
    asked: readonly string[],
    group: string,
    messageLine = 0,
  ): readonly string[] {
    if (reason === undefined) {
      this.lines.lost(messageLine);
      return [];
    }
    if (TOO_LONG.test(reason)) {
      let longest = messageLine;
      for (const pattern of asked) longest = Math.max(longest, subscriptionLine(pattern, group));
      this.lines.tooLong(longest);
      return [];
    }
    if (asked.length === 0 || !OUR_FAULT.test(reason)) return [];
    if (asked.length > 1) return asked;
    this.#patterns.add(asked[0]!);
    for (const oldest of this.#patterns) {
      if (this.#patterns.size <= REMEMBERED) break;
      this.#patterns.delete(oldest);
    }
    return [];
  }
}
