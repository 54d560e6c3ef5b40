export interface MarkOptions {
  /** Another mark follows this many bytes after the last one. */
  readonly markBytes: number;
  /** Another mark follows the first message that is sent this long after the last one; 0: there are no marks. */
  readonly markIntervalMs: number;
  /** A client that has not confirmed a mark for so long lags. */
  readonly maxLagMs: number;
}

/** A ping with a number, behind what was written. Its pong proves that the client has taken everything before it. */
export interface Mark {
  readonly number: number;
  /** The number of bytes that were written before it. */
  readonly bytes: number;
  readonly sentMs: number;
  /** The arrival of the oldest message before it that no earlier mark is behind; `undefined`: there is none. */
  readonly arrivedMs: number | undefined;
}

/** Returns a number to begin with, so that the numbers of one client's marks hardly ever repeat. */
export function firstMarkNumber(): number {
  return Math.floor(Math.random() * 2 ** 31);
}

/** A mark that all members of an audience were sent. */
interface SharedMark extends Mark {
  /** The number of members that have confirmed it, or a later one. */
  confirmations: number;
}

/** The shortest time between two marks, as each costs a pong of every member. */
const LEAST_INTERVAL_MS = 200;

/** For how many times `maxLagMs` marks are remembered. A client that has confirmed none of them lags. */
const REMEMBERED_LAGS = 2;

/** The marks among the bytes that all members of an audience get, of the last seconds. Their numbers are consecutive. */
export class Marks {
  readonly #options: MarkOptions;
  #marks: SharedMark[] = [];
  #last = firstMarkNumber();
  #lastBytes = 0;
  #lastMs = Number.NEGATIVE_INFINITY;

  constructor(options: MarkOptions) {
    this.#options = options;
  }

  /** The number of the last mark. */
  get last(): number {
    return this.#last;
  }

  /** The time of the last mark. */
  get lastMs(): number {
    return this.#lastMs;
  }

  /** Whether a mark is due behind so many bytes. */
  isDue(bytes: number, nowMs: number): boolean {
    const { markBytes, markIntervalMs } = this.#options;
    const sinceMs = nowMs - this.#lastMs;
    if (sinceMs >= markIntervalMs) return true;
    return bytes - this.#lastBytes >= markBytes && sinceMs >= LEAST_INTERVAL_MS;
  }

  add(bytes: number, nowMs: number, arrivedMs: number): Mark {
    const keptMs = nowMs - this.#options.maxLagMs * REMEMBERED_LAGS;
    const forgotten = this.#marks.findIndex(({ sentMs }) => sentMs >= keptMs);
    if (forgotten !== 0) this.#marks.splice(0, forgotten < 0 ? this.#marks.length : forgotten);
    const mark = { number: ++this.#last, bytes, sentMs: nowMs, arrivedMs, confirmations: 0 };
    this.#marks.push(mark);
    this.#lastBytes = bytes;
    this.#lastMs = nowMs;
    return mark;
  }

  find(number: number): Mark | undefined {
    return this.#marks[number - this.#firstNumber];
  }

  /** A member that had confirmed the mark of one number confirms that of another, and those between them. */
  confirm(before: number, number: number): void {
    for (let at = Math.max(before + 1, this.#firstNumber); at <= number; at++) {
      this.#marks[at - this.#firstNumber]!.confirmations++;
    }
  }

  /** Returns the first remembered mark after that of a number. */
  next(number: number): SharedMark | undefined {
    return this.#marks[Math.max(0, number + 1 - this.#firstNumber)];
  }

  /** Returns the remembered marks after that of a number. */
  after(number: number): readonly Mark[] {
    return this.#marks.slice(Math.max(0, number + 1 - this.#firstNumber));
  }

  get #firstNumber(): number {
    return this.#last - this.#marks.length + 1;
  }
}
