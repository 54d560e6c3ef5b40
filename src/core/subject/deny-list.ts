import { PatternIndex, withoutCovered } from "./pattern-index.ts";
import { exposedOf, exposesSome, isReserved, type Selection } from "./subject.ts";
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
  /** The patterns of NATS' own subjects that are not denied; `undefined`: all of them. */
  readonly #reserved: readonly string[] | undefined;
  /** Made for the first question: each client's grant has a list, and most are never asked. */
  #matcher: ((subject: string) => boolean) | undefined;
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
    this.#reserved = reserved;
  }

  /** Whether a subject (without wildcards) is denied. */
  denies(subject: string): boolean {
    if (this.isEmpty) return false;
    if (this.#subject !== subject) {
      this.#subject = subject;
      this.#matcher ??= this.#compile();
      this.#denied = this.#matcher(subject);
    }
    return this.#denied;
  }

  /** Whether one of the denied patterns covers a pattern: then nothing of it is left. */
  deniesAll(pattern: string): boolean {
    return PatternIndex.of(this.patterns).someCovers(pattern);
  }

  /** Whether something is left of what is both exposed and asked for. */
  leavesSome(exposed: readonly string[], asked: Selection): boolean {
    if (this.patterns.length === 0) return exposesSome(exposed, asked);
    return exposedOf(exposed, asked).some((pattern) => !this.deniesAll(pattern));
  }

  #compile(): (subject: string) => boolean {
    const isDenied = matcherOf(this.patterns);
    if (this.#reserved === undefined) return isDenied;
    const isAllowed = matcherOf(this.#reserved);
    return (subject) => isDenied(subject) || (isReserved(subject) && !isAllowed(subject));
  }
}

/** Makes what matches a subject with patterns: few of them without an allocation, many of them by a trie. */
function matcherOf(patterns: readonly string[]): (subject: string) => boolean {
  if (patterns.length <= FEW_PATTERNS) {
    const all = patterns.map((pattern) => pattern.split(DOT));
    return (subject) => anyMatches(all, subject);
  }
  const trie = new SubjectTrie<true>();
  for (const pattern of patterns) trie.add(pattern, true);
  return (subject) => {
    let isFound = false;
    trie.match(subject, () => {
      isFound = true;
    });
    return isFound;
  };
}

function inOrder(patterns: readonly string[]): readonly string[] {
  return withoutCovered(patterns).sort();
}

function anyMatches(patterns: readonly (readonly string[])[], subject: string): boolean {
  for (const tokens of patterns) if (tokensMatch(tokens, subject)) return true;
  return false;
}

/** Whether a pattern matches a subject, which is read where it is. */
function tokensMatch(tokens: readonly string[], subject: string): boolean {
  // The index of the subject's next token; after its end if there is none.
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
