import { SpillwayError } from "../core/ports/errors.ts";
import { isReserved } from "../core/subject/subject.ts";
import { SubjectTrie } from "../core/subject/subject-trie.ts";
import { subjectFault } from "../protocol/subject.ts";

/** A set of patterns, which finds out quickly whether one of them carries a subject. */
export class PatternSet implements Iterable<string> {
  readonly #all = new Set<string>();
  readonly #trie = new SubjectTrie<string>();

  /** @throws SpillwayError `SUBJECT_INVALID`. */
  constructor(patterns: Iterable<string> = []) {
    for (const pattern of patterns) this.add(pattern);
  }

  /**
   * Adds a pattern. Returns whether it is new.
   *
   * @throws SpillwayError `SUBJECT_INVALID`.
   */
  add(pattern: string): boolean {
    const fault = subjectFault(pattern, true);
    if (fault !== undefined) {
      throw new SpillwayError(
        "SUBJECT_INVALID",
        `Cannot subscribe to ${JSON.stringify(pattern)} as a subject ${fault}`,
      );
    }
    if (this.#all.has(pattern)) return false;
    this.#all.add(pattern);
    this.#trie.add(pattern, pattern);
    return true;
  }

  /** Removes a pattern. Returns whether it was there. */
  delete(pattern: string): boolean {
    this.#trie.remove(pattern, pattern);
    return this.#all.delete(pattern);
  }

  has(pattern: string): boolean {
    return this.#all.has(pattern);
  }

  /** Whether one of the patterns carries a subject: see `isReserved`. */
  matches(subject: string): boolean {
    const reserved = isReserved(subject);
    let isCarried = false;
    this.#trie.match(subject, (pattern) => {
      isCarried ||= !reserved || isReserved(pattern);
    });
    return isCarried;
  }

  [Symbol.iterator](): Iterator<string> {
    return this.#all.values();
  }
}
