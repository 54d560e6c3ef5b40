/**
 * Sizes in bytes, as a number or as a text with a unit: `"16MB"`, `"64KiB"`, `"1.5 GiB"`.
 *
 * - `kB`, `MB`, `GB`, `TB` are powers of 1000 (SI);
 * - `KiB`, `MiB`, `GiB`, `TiB` are powers of 1024 (IEC 80000-13);
 * - `B` is one byte.
 *
 * Upper and lower case mean the same. A unit of one letter (`16M`) is refused: programs disagree about it.
 */

/** The largest first. */
const UNITS = [
  ["TiB", 1024 ** 4],
  ["TB", 1000 ** 4],
  ["GiB", 1024 ** 3],
  ["GB", 1000 ** 3],
  ["MiB", 1024 ** 2],
  ["MB", 1000 ** 2],
  ["KiB", 1024],
  ["kB", 1000],
  ["B", 1],
] as const;

/** A number and its unit, perhaps with a space between them. */
export const SIZE = /^(\d+)(?:\.(\d+))? ?((?:[KkMmGgTt][Ii]?)?[Bb])$/;

/** Returns the bytes of a text, or `undefined` if it is not a size or not a whole number of bytes. */
export function parseSize(text: string): number | undefined {
  const [, whole = "", fraction = "", name = ""] = SIZE.exec(text) ?? [];
  const unit = UNITS.find(([written]) => written.toLowerCase() === name.toLowerCase());
  if (unit === undefined) return undefined;
  // In floating point, 1.1 MB would be 1,100,000.0000000002 bytes.
  const scaled = BigInt(whole + fraction) * BigInt(unit[1]);
  const scale = 10n ** BigInt(fraction.length);
  return scaled % scale === 0n ? Number(scaled / scale) : undefined;
}

/** Returns the shortest text that {@linkcode parseSize} reads as these bytes: `"64KiB"`, `"1500B"`. */
export function formatSize(bytes: number): string {
  for (const [unit, factor] of UNITS) {
    if (bytes >= factor && bytes % factor === 0) return `${bytes / factor}${unit}`;
  }
  return `${bytes}B`;
}
