/** A generator of random numbers from 0 to 1 that a seed repeats (mulberry32). */
export function seeded(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}

/**
 * Runs a simulation with each of the first seeds, or with the one that `SPILLWAY_SEED` names.
 *
 * @throws Error that names the seed of a run that fails.
 */
export async function withSeeds(
  count: number,
  run: (seed: number) => Promise<void>,
): Promise<void> {
  const seed = process.env.SPILLWAY_SEED;
  const seeds =
    seed === undefined ? Array.from({ length: count }, (_, index) => index + 1) : [Number(seed)];
  for (const each of seeds) {
    try {
      await run(each);
    } catch (error) {
      throw new Error(`SPILLWAY_SEED=${each}: ${error}`, { cause: error });
    }
  }
}
