import { utf8Length } from "../protocol/subject.ts";

/** The bytes of a line without the pattern and the queue group: `SUB`, a number, spaces. */
const BESIDE_BYTES = 24;
/** The most patterns that are remembered: the last ones. */
const REMEMBERED = 1_000;

/** The error before nats-server ends a connection for too long a line. */
const TOO_LONG = /maximum control line exceeded/i;
/** The errors before nats-server ends a connection for anything else that was sent. */
const OUR_FAULT = /parser error|unknown protocol|invalid subject/i;

/**
 * The patterns that are not sent to NATS, as it would end our connection for them.
 *
 * A server does not announce its `max_control_line`, and ends a connection that sends a longer line. Patterns fit into
 * the default. After a server with a smaller limit ended the connection, no line is sent that is longer than
 * both half of that line and the longest line that was taken. So it ends our connection a few times at most,
 * whatever clients ask for.
 */
export class UnsendablePatterns {
  #longestTaken = 0;
  #longest = Number.POSITIVE_INFINITY;
  readonly #patterns = new Set<string>();

  /** Returns why a pattern is not sent, in words for a client; `undefined` if it may be sent. */
  reasonOf(pattern: string, group: string): string | undefined {
    if (this.#patterns.has(pattern)) return "NATS ends the gateway's connection for this subject";
    if (lineBytes(pattern, group) <= this.#longest) return undefined;
    const most = this.#longest - lineBytes("", group);
    return `this NATS server accepts no subject longer than ${Math.max(0, most)} bytes`;
  }

  /** NATS has taken a pattern. */
  taken(pattern: string, group: string): void {
    this.#longestTaken = Math.max(this.#longestTaken, lineBytes(pattern, group));
  }

  /**
   * NATS has ended the connection.
   *
   * @param asked the patterns that NATS had not confirmed.
   * @returns the patterns that may be the cause, and have to be tried again apart from all others.
   */
  cut(reason: string | undefined, asked: readonly string[], group: string): readonly string[] {
    if (reason === undefined || asked.length === 0) return [];
    if (TOO_LONG.test(reason)) {
      const longest = Math.max(...asked.map((pattern) => lineBytes(pattern, group)));
      if (longest > this.#longestTaken) {
        this.#longest = Math.max(this.#longestTaken, Math.floor(longest / 2));
      }
      return [];
    }
    if (!OUR_FAULT.test(reason)) return [];
    if (asked.length > 1) return asked;
    this.#patterns.add(asked[0]!);
    for (const oldest of this.#patterns) {
      if (this.#patterns.size <= REMEMBERED) break;
      this.#patterns.delete(oldest);
    }
    return [];
  }
}

function lineBytes(pattern: string, group: string): number {
  return utf8Length(pattern) + group.length + BESIDE_BYTES;
}
