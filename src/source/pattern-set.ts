import { SpillwayError } from "../core/ports/errors.ts";
import { isReserved } from "../core/subject/subject.ts";
import { SubjectTrie } from "../core/subject/subject-trie.ts";
import { subjectFault } from "../protocol/subject.ts";

/** What a source is subscribed to, connected or not: each pattern once. */
export class PatternSet implements Iterable<string> {
  readonly #all = new Set<string>();
  readonly #trie = new SubjectTrie<string>();

  /** @throws SpillwayError `SUBJECT_INVALID`. */
  constructor(patterns: Iterable<string> = []) {
    for (const pattern of patterns) this.add(pattern);
  }

  /**
   * Says whether the pattern is new.
   *
   * @throws SpillwayError `SUBJECT_INVALID` when no source could subscribe to it.
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

  /** Says whether the pattern was there. */
  delete(pattern: string): boolean {
    this.#trie.remove(pattern, pattern);
    return this.#all.delete(pattern);
  }

  has(pattern: string): boolean {
    return this.#all.has(pattern);
  }

  /** Whether a subject is carried for one of them, in as many steps as it has tokens. */
  matches(subject: string): boolean {
    const reserved = isReserved(subject);
    let carried = false;
    this.#trie.match(subject, (pattern) => {
      carried ||= !reserved || isReserved(pattern);
    });
    return carried;
  }

  [Symbol.iterator](): Iterator<string> {
    return this.#all.values();
  }
}
