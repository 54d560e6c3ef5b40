/** So often is the clock read; the best reading counts. */
const READINGS = 10;

/**
 * Microseconds since 1970, the same in every process on one machine to within a few: `Date.now()`
 * has only milliseconds, and `performance.timeOrigin` is not exact on every runtime.
 */
export class WallClock {
  readonly #originMs: number;

  /** Takes about {@linkcode READINGS} ms. */
  constructor() {
    let origin = 0;
    for (let reading = 0; reading < READINGS; reading++) {
      // Where `Date.now()` moves on, its value is exact, unless we were kept from looking: then it
      // is too low, never too high.
      const before = Date.now();
      let now = before;
      while (now === before) now = Date.now();
      origin = Math.max(origin, now - performance.now());
    }
    this.#originMs = origin;
  }

  nowUs(): number {
    return Math.round((this.#originMs + performance.now()) * 1000);
  }
}
