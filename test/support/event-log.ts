/**
 * How long tests wait for something that must happen, in milliseconds, unless they say otherwise: longer than it takes
 * on a machine that does much else.
 */
export const DEADLINE_MS = 45_000;
const FIRST_PAUSE_MS = 10;
const LONGEST_PAUSE_MS = 80;

/** A wait ended without its event; the message says what came instead. */
export class DeadlineError extends Error {
  override readonly name = "DeadlineError";
}

/**
 * Returns what a promise resolves with, or throws if that takes too long.
 *
 * @param what completes "no … within 15 s"; a function when it is known only at the end.
 */
export async function within<T>(
  promise: Promise<T>,
  what: string | (() => string),
  deadlineMs: number = DEADLINE_MS,
): Promise<T> {
  const { promise: late, reject } = Promise.withResolvers<never>();
  const timer = setTimeout(() => {
    const text = typeof what === "string" ? what : what();
    reject(new DeadlineError(`no ${text} within ${deadlineMs / 1000} s`));
  }, deadlineMs);
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}

/** Asks until the answer fits, with pauses in between that become longer: other tests run at the same time. */
export async function until<T>(
  what: string,
  ask: () => Promise<T>,
  fits: (answer: T) => boolean,
  deadlineMs: number = DEADLINE_MS,
): Promise<T> {
  const endMs = performance.now() + deadlineMs;
  for (let pauseMs = FIRST_PAUSE_MS; ; pauseMs = Math.min(pauseMs * 1.5, LONGEST_PAUSE_MS)) {
    const answer = await ask();
    if (fits(answer)) return answer;
    if (performance.now() > endMs) {
      const last = JSON.stringify(answer);
      throw new DeadlineError(`no ${what} within ${deadlineMs / 1000} s; last answer: ${last}`);
    }
    await new Promise((resolve) => setTimeout(resolve, pauseMs));
  }
}

/**
 * Everything that arrived, in order, for tests that wait for an entry instead of sleeping.
 *
 * Entries can be taken one after another (`next`, `take`) or looked for among all of them,
 * those that came before included (`find`).
 */
export class EventLog<T> {
  readonly entries: T[] = [];
  #taken = 0;
  #ended: string | undefined;
  readonly #waiting = new Set<() => void>();
  readonly #name: string;
  readonly #show: (entry: T) => string;

  /** @param name names the log in error texts. */
  constructor(name: string, show: (entry: T) => string = (entry) => JSON.stringify(entry)) {
    this.#name = name;
    this.#show = show;
  }

  add(entry: T): void {
    this.entries.push(entry);
    for (const look of this.#waiting) look();
  }

  /**
   * Ends the log: every wait fails at once.
   *
   * @param reason completes "before it …".
   */
  end(reason: string): void {
    if (this.#ended !== undefined) return;
    this.#ended = reason;
    for (const look of this.#waiting) look();
  }

  /** The first entry that was not taken yet. */
  async next(what = "entry", deadlineMs: number = DEADLINE_MS): Promise<T> {
    return (await this.take(1, what, deadlineMs))[0]!;
  }

  /** The first `count` entries that were not taken yet, once they are all there. */
  async take(count: number, what = "entries", deadlineMs: number = DEADLINE_MS): Promise<T[]> {
    const from = this.#taken;
    this.#taken += count;
    await this.#until(
      () => this.entries.length >= from + count,
      () => `${what} (${this.entries.length - from} of ${count} came)`,
      deadlineMs,
    );
    return this.entries.slice(from, from + count);
  }

  /** The first entry of all that fits, whether it was taken or not. */
  async find(
    fits: (entry: T) => boolean,
    what = "such entry",
    deadlineMs: number = DEADLINE_MS,
  ): Promise<T> {
    let looked = 0;
    let found: { entry: T } | undefined;
    const look = (): boolean => {
      while (found === undefined && looked < this.entries.length) {
        const entry = this.entries[looked++]!;
        if (fits(entry)) found = { entry };
      }
      return found !== undefined;
    };
    await this.#until(look, () => what, deadlineMs);
    return found!.entry;
  }

  async #until(done: () => boolean, what: () => string, deadlineMs: number): Promise<void> {
    if (done()) return;
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const fail = (why: string): void => {
      reject(new DeadlineError(`${this.#name}: no ${what()} ${why}; ${this.#came()}`));
    };
    const look = (): void => {
      if (done()) resolve();
      else if (this.#ended !== undefined) fail(`before it ${this.#ended}`);
    };
    const timer = setTimeout(() => fail(`within ${deadlineMs / 1000} s`), deadlineMs);
    this.#waiting.add(look);
    look();
    try {
      await promise;
    } finally {
      clearTimeout(timer);
      this.#waiting.delete(look);
    }
  }

  #came(): string {
    const last = this.entries.slice(-12).map((entry) => `\n  ${this.#show(entry).slice(0, 200)}`);
    return last.length === 0
      ? "nothing came instead"
      : `of ${this.entries.length} that came instead, the last:${last.join("")}`;
  }
}
