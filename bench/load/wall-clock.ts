/** Number of readings of the clock to find its origin; the best one counts. */
const READINGS = 10;

const ORIGIN_MS = findOrigin();

/**
 * Returns microseconds since 1970, the same in every process of a machine to within a few: `Date.now()`
 * has only milliseconds, and `performance.timeOrigin` is not exact on every runtime.
 */
export function nowUs(): number {
  return Math.round((ORIGIN_MS + performance.now()) * 1000);
}

/** Takes about {@linkcode READINGS} ms. */
function findOrigin(): number {
  let origin = 0;
  for (let reading = 0; reading < READINGS; reading++) {
    // When `Date.now()` moves on, its value is exact. If this loop notices late, it is too low, never too high.
    const before = Date.now();
    let now = before;
    while (now === before) now = Date.now();
    origin = Math.max(origin, now - performance.now());
  }
  return origin;
}
