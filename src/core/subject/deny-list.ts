import { subjectMatches, withoutCovered } from "./subject.ts";

/**
 * Patterns whose messages a client doesn't get, whatever else allows them. Unlike an allowed pattern, a denied
 * wildcard also stands for subjects of NATS itself (`$SYS`, `_INBOX` …).
 */
export class DenyList {
  static readonly NOTHING = new DenyList([]);

  /** Without those that another one covers, in order. */
  readonly patterns: readonly string[];
  /** Equal for equal lists, and for no others; `""` for an empty one. */
  readonly key: string;
  /** The answer to the last question: a message is asked about once for each audience, one after another. */
  #subject: string | undefined;
  #denied = false;

  /** @param patterns valid patterns. */
  constructor(patterns: readonly string[]) {
    this.patterns = withoutCovered([...new Set(patterns)]).sort();
    // No pattern has a space.
    this.key = this.patterns.join(" ");
  }

  get isEmpty(): boolean {
    return this.key === "";
  }

  /** Whether a subject (without wildcards) is denied. */
  denies(subject: string): boolean {
    if (this.isEmpty) return false;
    if (this.#subject !== subject) {
      this.#subject = subject;
      this.#denied = this.patterns.some((pattern) => subjectMatches(pattern, subject));
    }
    return this.#denied;
  }
}
