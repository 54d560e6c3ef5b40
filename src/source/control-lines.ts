import { utf8Length } from "../protocol/subject.ts";

/** The bytes of a line without subjects and groups: the operation, numbers, spaces. */
const BESIDE_BYTES = 24;
/** Shorter lines are always taken, as far as anybody knows. */
const MIN_SUSPICIOUS_BYTES = 512;
/** Every connection of the gateway needs lines of this length itself, so no shorter one is the cause of an error. */
const MIN_LIMITED_BYTES = 256;
/** The most bytes of a reply subject, which a message may have: an inbox and a number. */
const REPLY_BYTES = 52;
/** A second loss of the connection tells something of the lines within this time after the first one. */
const SUSPICION_MS = 10 * 60_000;
/** A limit counts for this long, as the server may have another one later. Each further limit counts for twice as long. */
const FIRST_LIMIT_MS = 10 * 60_000;
const MAX_LIMIT_MS = 24 * 3_600_000;

/**
 * Knows how long a line of the protocol may be.
 *
 * A server does not announce its `max_control_line`, and ends a connection that sends a longer line. Subjects fit into the
 * default. After a server with a smaller limit ended the connection, no line is sent that is longer than both half of
 * that line and the longest line that was taken. That is tried again after ten minutes, and then ever more rarely. So the
 * server ends our connection a few times a day at most, whatever clients ask for.
 */
export class ControlLines {
  readonly #nowMs: () => number;
  #longestTaken = 0;
  #longest = Number.POSITIVE_INFINITY;
  #limitedUntilMs = 0;
  #limitMs = FIRST_LIMIT_MS;
  /** Until when it counts that the connection was lost while a long line was under way. */
  #suspiciousUntilMs = Number.NEGATIVE_INFINITY;

  /** @param nowMs a monotonic time in milliseconds. */
  constructor(nowMs: () => number = () => performance.now()) {
    this.#nowMs = nowMs;
  }

  /**
   * Returns why a subject is not sent, in words for a client; `undefined` if it may be sent.
   *
   * @param beside the bytes of its line without the subject.
   */
  reasonOf(subject: string, beside: number): string | undefined {
    if (this.#longest === Number.POSITIVE_INFINITY) return undefined;
    const most = Math.max(0, this.#longest - beside);
    if (utf8Length(subject) <= most) return undefined;
    if (this.#nowMs() >= this.#limitedUntilMs) {
      this.#longest = Number.POSITIVE_INFINITY;
      return undefined;
    }
    return `this NATS server accepts no subject longer than ${most} bytes`;
  }

  /** NATS has taken a line of so many bytes. */
  taken(bytes: number): void {
    this.#longestTaken = Math.max(this.#longestTaken, bytes);
  }

  /**
   * The connection was lost for an unknown reason, while the line of a message was under way. NATS' error is often lost
   * with the connection, as what follows the line meets a closed socket: a second loss counts as that error.
   */
  lost(bytes: number): void {
    if (bytes <= Math.max(this.#longestTaken, MIN_SUSPICIOUS_BYTES)) return;
    if (this.#nowMs() < this.#suspiciousUntilMs) this.#limit(bytes);
    this.#suspiciousUntilMs = this.#nowMs() + SUSPICION_MS;
  }

  /** NATS has ended the connection for a line that was too long, which had so many bytes at most. */
  tooLong(bytes: number): void {
    if (bytes <= MIN_LIMITED_BYTES) return;
    // Another server may have taken longer lines than this one, or this one with other settings.
    if (bytes <= this.#longestTaken) this.#longestTaken = 0;
    this.#limit(bytes);
  }

  #limit(bytes: number): void {
    this.#longest = Math.max(this.#longestTaken, Math.floor(bytes / 2));
    this.#limitedUntilMs = this.#nowMs() + this.#limitMs;
    this.#limitMs = Math.min(2 * this.#limitMs, MAX_LIMIT_MS);
  }
}

/** Returns the bytes of the line that subscribes to a pattern. */
export function subscriptionLine(pattern: string, group: string): number {
  return utf8Length(pattern) + group.length + BESIDE_BYTES;
}

/** Returns the most bytes of the line that publishes a message. */
export function messageLine(subject: string): number {
  return utf8Length(subject) + REPLY_BYTES + BESIDE_BYTES;
}
