import {
  exposedOf,
  exposesSome,
  isReserved,
  type Selection,
  subjectCovers,
  withoutCovered,
} from "./subject.ts";
import { FEW_PATTERNS, SubjectTrie } from "./subject-trie.ts";

const DOT = ".";

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
  readonly isEmpty: boolean;
  /** The tokens of few patterns, and a trie of many: a message is looked up without an allocation in the former. */
  readonly #tokens: readonly (readonly string[])[];
  readonly #trie: SubjectTrie<true> | undefined;
  /** The tokens of the patterns of NATS' own subjects that are not denied; `undefined`: all of them. */
  readonly #reserved: readonly (readonly string[])[] | undefined;
  /** The answer to the last question: a message is asked about once for each audience, one after another. */
  #subject: string | undefined;
  #denied = false;

  /**
   * @param patterns valid patterns.
   * @param reserved all subjects of NATS itself that these patterns don't match are denied, too. Default: they are not.
   */
  constructor(patterns: readonly string[], reserved?: readonly string[]) {
    this.patterns = inOrder(patterns);
    // No pattern has a space.
    const allowed = reserved === undefined ? "" : `  ${inOrder(reserved).join(" ")}`;
    this.key = `${this.patterns.join(" ")}${allowed}`;
    this.isEmpty = this.key === "";
    this.#tokens = this.patterns.map(tokensOf);
    this.#reserved = reserved?.map(tokensOf);
    if (this.patterns.length <= FEW_PATTERNS) return;
    this.#trie = new SubjectTrie();
    for (const pattern of this.patterns) this.#trie.add(pattern, true);
  }

  /** Whether a subject (without wildcards) is denied. */
  denies(subject: string): boolean {
    if (this.isEmpty) return false;
    if (this.#subject !== subject) {
      this.#subject = subject;
      this.#denied = this.#matches(subject) || this.#isHidden(subject);
    }
    return this.#denied;
  }

  /** Whether one of the denied patterns covers a pattern: then nothing of it is left. */
  deniesAll(pattern: string): boolean {
    return this.patterns.some((denied) => subjectCovers(denied, pattern));
  }

  /** Whether something is left of what is both exposed and asked for. */
  leavesSome(exposed: readonly string[], asked: Selection): boolean {
    if (this.patterns.length === 0) return exposesSome(exposed, asked);
    return exposedOf(exposed, asked).some((pattern) => !this.deniesAll(pattern));
  }

  #matches(subject: string): boolean {
    if (this.#trie !== undefined) {
      let isFound = false;
      this.#trie.match(subject, () => {
        isFound = true;
      });
      return isFound;
    }
    return anyMatches(this.#tokens, subject);
  }

  #isHidden(subject: string): boolean {
    return (
      this.#reserved !== undefined && isReserved(subject) && !anyMatches(this.#reserved, subject)
    );
  }
}

function inOrder(patterns: readonly string[]): readonly string[] {
  return withoutCovered([...new Set(patterns)]).sort();
}

function tokensOf(pattern: string): readonly string[] {
  return pattern.split(DOT);
}

function anyMatches(patterns: readonly (readonly string[])[], subject: string): boolean {
  for (const tokens of patterns) if (tokensMatch(tokens, subject)) return true;
  return false;
}

/** Whether a pattern matches a subject, which is read where it is. */
function tokensMatch(tokens: readonly string[], subject: string): boolean {
  // Where the next token of the subject begins; behind its end if there is none.
  let at = 0;
  for (const token of tokens) {
    if (at > subject.length) return false;
    if (token === ">") return true;
    const dot = subject.indexOf(DOT, at);
    const end = dot < 0 ? subject.length : dot;
    const isSame = end - at === token.length && subject.startsWith(token, at);
    if (token !== "*" && !isSame) return false;
    at = end + 1;
  }
  return at > subject.length;
}
