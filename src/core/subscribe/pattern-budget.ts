import { utf8Length } from "../../protocol/subject.ts";
import type { Selection } from "../subject/subject.ts";

export interface PatternBudgetOptions {
  /** The most patterns and bytes that the subscriptions of one client may have together. */
  readonly maxPatterns: number;
  readonly maxPatternBytes: number;
  /** The most bytes that the patterns of all clients and sessions may have together. */
  readonly maxTotalPatternBytes: number;
}

/** The cost of patterns. */
export interface PatternCost {
  readonly patterns: number;
  readonly bytes: number;
  readonly tokens: number;
}

/** An estimate of the memory of a pattern, its text excluded. */
const BESIDE_BYTES = 64;
/** An estimate of the memory of a token in a trie of patterns. */
const TOKEN_BYTES = 128;
/** One client may have this fraction of the free room, so that there is always some for the next client. */
const SHARE = 8;
/** The patterns that a client may have in any case. */
const LEAST_PATTERNS = 8;

const NONE: PatternCost = { patterns: 0, bytes: 0, tokens: 0 };

/** Bounds the patterns of each client and of all clients together. */
export class PatternBudget {
  readonly #options: PatternBudgetOptions;
  readonly #costs = new WeakMap<readonly string[], PatternCost>();
  #totalBytes = 0;

  constructor(options: PatternBudgetOptions) {
    this.#options = options;
  }

  /** Adds up the cost of lists of patterns; `"everything"` costs nothing. */
  costOf(lists: Iterable<Selection>): PatternCost {
    let { patterns, bytes, tokens } = NONE;
    for (const list of lists) {
      const cost = list === "everything" ? NONE : this.#costOf(list);
      patterns += cost.patterns;
      bytes += cost.bytes;
      tokens += cost.tokens;
    }
    return { patterns, bytes, tokens };
  }

  /** Returns why a client may not have so many patterns, whatever others have; `undefined`: it may. */
  excessOf({ patterns, bytes }: PatternCost): string | undefined {
    const { maxPatterns, maxPatternBytes } = this.#options;
    if (patterns > maxPatterns) return `a client may have at most ${maxPatterns} patterns`;
    if (bytes <= maxPatternBytes) return undefined;
    return `all patterns of a client together may have at most ${maxPatternBytes} bytes`;
  }

  /** Whether there is room for what a client asks for, with which it has so many patterns in all. */
  hasRoom(all: PatternCost, asked: PatternCost): boolean {
    const free = this.#options.maxTotalPatternBytes - this.#totalBytes;
    return bytesOf(asked) <= free && isFairShare(all.patterns, bytesOf(all), free);
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

/** Whether a client with so many patterns may have this amount of the free room. */
export function isFairShare(patterns: number, amount: number, free: number): boolean {
  return patterns <= LEAST_PATTERNS || amount <= free / SHARE;
}

function bytesOf({ patterns, bytes }: PatternCost): number {
  return bytes + patterns * BESIDE_BYTES;
}
