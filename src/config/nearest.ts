/**
 * Returns the known word that is nearest to an unknown one, or `undefined` if none is near.
 *
 * @param most how many letters may differ: by default a third, and never more than three.
 */
export function nearest(
  word: string,
  known: Iterable<string>,
  most = Math.min(3, Math.max(1, Math.floor(word.length / 3))),
): string | undefined {
  const wanted = folded(word);
  let best: string | undefined;
  let bestDistance = most + 1;
  for (const candidate of known) {
    const distance = editDistance(wanted, folded(candidate));
    if (distance < bestDistance) [best, bestDistance] = [candidate, distance];
  }
  return best;
}

/** Ignores the differences between `writeTimeout`, `write-timeout` and `write_timeout`. */
function folded(word: string): string {
  return word.toLowerCase().replaceAll("-", "_").slice(0, 64);
}

/**
 * Returns how many letters must be added, removed, changed or swapped with their neighbour to turn one word into the
 * other (the optimal string alignment distance).
 */
function editDistance(from: string, to: string): number {
  let beforeLast: number[] = [];
  let last = Array.from({ length: to.length + 1 }, (_, column) => column);
  for (let row = 1; row <= from.length; row++) {
    const current = [row];
    for (let column = 1; column <= to.length; column++) {
      const same = from[row - 1] === to[column - 1];
      const swapped = from[row - 1] === to[column - 2] && from[row - 2] === to[column - 1];
      current[column] = Math.min(
        last[column]! + 1,
        current[column - 1]! + 1,
        last[column - 1]! + (same ? 0 : 1),
        row > 1 && column > 1 && swapped ? beforeLast[column - 2]! + 1 : Number.POSITIVE_INFINITY,
      );
    }
    [beforeLast, last] = [last, current];
  }
  return last[to.length]!;
}
