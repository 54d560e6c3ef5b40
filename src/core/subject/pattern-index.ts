import { subjectCovers, subjectsIntersect } from "./subject.ts";
import { SubjectTrie } from "./subject-trie.ts";

/** The patterns of a shorter list are compared one by one. */
const FEW = 16;
/** The number of indexes that are remembered: one list is asked about many patterns, one after another. */
const MOST_REMEMBERED = 4;
/** By list; the one that was used last is the last one. A client's grant keeps none, as there may be very many. */
const remembered = new Map<readonly string[], PatternIndex>();

/**
 * Finds the patterns of a list that cover or intersect another one. To compare each with each takes a second for a list of
 * thousands.
 */
export class PatternIndex {
  readonly #patterns: readonly string[];
  readonly #trie: SubjectTrie<string> | undefined;

  private constructor(patterns: readonly string[]) {
    this.#patterns = patterns;
    if (patterns.length <= FEW) return;
    this.#trie = new SubjectTrie();
    for (const pattern of patterns) this.#trie.add(pattern, pattern);
  }

  /** Returns the index of a list, which must not change. */
  static of(patterns: readonly string[]): PatternIndex {
    if (patterns.length <= FEW) return new PatternIndex(patterns);
    const index = remembered.get(patterns) ?? new PatternIndex(patterns);
    remembered.delete(patterns);
    remembered.set(patterns, index);
    for (const oldest of remembered.keys()) {
      if (remembered.size <= MOST_REMEMBERED) break;
      remembered.delete(oldest);
    }
    return index;
  }

  /** Whether one of the patterns that cover another one counts. By default each does. */
  someCovers(pattern: string, counts: (own: string) => boolean = () => true): boolean {
    if (this.#trie === undefined) {
      return this.#patterns.some((own) => subjectCovers(own, pattern) && counts(own));
    }
    let isFound = false;
    this.#trie.covering(pattern, (own) => {
      isFound = counts(own);
      return isFound;
    });
    return isFound;
  }

  /** Whether one of the patterns that match some subject of another one counts. */
  someIntersects(pattern: string, counts: (own: string) => boolean = () => true): boolean {
    if (this.#trie === undefined) {
      return this.#patterns.some((own) => subjectsIntersect(own, pattern) && counts(own));
    }
    for (const found of this.#trie.intersecting(pattern)) {
      for (const own of found ?? []) if (counts(own)) return true;
    }
    return false;
  }
}

/** Returns the patterns that no other one covers, in their order: `orders.>` alone of `orders.>` and `orders.eu`. */
export function withoutCovered(patterns: readonly string[]): string[] {
  const different = [...new Set(patterns)];
  const index = PatternIndex.of(different);
  return different.filter((pattern) => !index.someCovers(pattern, (own) => own !== pattern));
}
