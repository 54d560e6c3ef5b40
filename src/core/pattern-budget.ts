import { utf8Length } from "./subject.ts";

export interface PatternBudgetOptions {
  /** So many patterns the subscriptions of one client may have together, and so many bytes. */
  readonly maxPatterns: number;
  readonly maxPatternBytes: number;
  /** So many bytes those of all clients and sessions may have together. */
  readonly maxTotalPatternBytes: number;
}

/** What patterns cost. */
export interface PatternCost {
  readonly patterns: number;
  readonly bytes: number;
  readonly tokens: number;
}

/** What one pattern takes beside its text, by estimate. */
const BESIDE_BYTES = 64;
/** What each token takes where patterns are filed. */
const TOKEN_BYTES = 128;
/** Of what is free, one client may have this part: so there is always some for the next one. */
const SHARE = 8;
/** And as much as this in any case. */
const LEAST_PATTERNS = 8;

const NONE: PatternCost = { patterns: 0, bytes: 0, tokens: 0 };

/** What patterns of clients may cost, of each of them and of all together. */
export class PatternBudget {
  readonly #options: PatternBudgetOptions;
  readonly #costs = new WeakMap<readonly string[], PatternCost>();
  #totalBytes = 0;

  constructor(options: PatternBudgetOptions) {
    this.#options = options;
  }

  /** What lists of patterns cost together; `undefined` stands for all that is exposed, which costs nothing. */
  costOf(lists: Iterable<readonly string[] | undefined>): PatternCost {
    let { patterns, bytes, tokens } = NONE;
    for (const list of lists) {
      const cost = list === undefined ? NONE : this.#costOf(list);
      patterns += cost.patterns;
      bytes += cost.bytes;
      tokens += cost.tokens;
    }
    return { patterns, bytes, tokens };
  }

  /** Why a client may not have so much, whatever others have; `undefined`: it may. */
  excessOf({ patterns, bytes }: PatternCost): string | undefined {
    const { maxPatterns, maxPatternBytes } = this.#options;
    if (patterns > maxPatterns) return `a client may have ${maxPatterns} patterns`;
    if (bytes <= maxPatternBytes) return undefined;
    return `the patterns of a client may have ${maxPatternBytes} bytes together`;
  }

  /** Whether there is room for a client that has so much, with what it asks for. */
  hasRoom({ patterns, bytes }: PatternCost, asked: PatternCost): boolean {
    const free = this.#options.maxTotalPatternBytes - this.#totalBytes;
    const wanted = bytesOf(asked);
    return wanted <= free && isFairShare(patterns, bytes + patterns * BESIDE_BYTES, free);
  }

  /** A client has other patterns than before. */
  changed(before: PatternCost, now: PatternCost): void {
    this.#totalBytes += bytesOf(now) - bytesOf(before);
  }

  #costOf(list: readonly string[]): PatternCost {
    let cost = this.#costs.get(list);
    if (cost === undefined) {
      let bytes = 0;
      let tokens = 0;
      for (const pattern of list) {
        bytes += utf8Length(pattern);
        tokens += pattern.split(".").length;
      }
      cost = { patterns: list.length, bytes, tokens };
      this.#costs.set(list, cost);
    }
    return cost;
  }
}

/** About how much memory patterns take: as a text, in the name of an audience, and where they are filed. */
export function memoryOf({ patterns, bytes, tokens }: PatternCost): number {
  return 2 * bytes + patterns * BESIDE_BYTES + tokens * TOKEN_BYTES;
}

/** Whether a client that has so many patterns may have so much, where so much is free. */
export function isFairShare(patterns: number, amount: number, free: number): boolean {
  return patterns <= LEAST_PATTERNS || amount <= free / SHARE;
}

function bytesOf({ patterns, bytes }: PatternCost): number {
  return bytes + patterns * BESIDE_BYTES;
}
