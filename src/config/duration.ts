/**
 * Durations as Go writes them (`time.ParseDuration`), which is what StreamKit's files use: `"5s"`,
 * `"1m30s"`, `"250ms"`, `"1.5s"`. Everything is exact to the nanosecond.
 */

const NANOSECONDS: Readonly<Record<string, number>> = {
  ns: 1,
  us: 1e3,
  // The micro sign and the Greek letter mu: Go takes both.
  "\u00b5s": 1e3,
  "\u03bcs": 1e3,
  ms: 1e6,
  s: 1e9,
  m: 60e9,
  h: 3600e9,
};

const PART = /(\d+\.?\d*|\.\d+)(ns|us|\u00b5s|\u03bcs|ms|s|m|h)/g;

/** One sign, then one or more numbers that each have a unit; or a bare zero. */
export const DURATION = /^[+-]?(?:0|(?:(?:\d+\.?\d*|\.\d+)(?:ns|us|\u00b5s|\u03bcs|ms|s|m|h))+)$/;

/** Returns the milliseconds of a duration, or `undefined` if the text isn't one. */
export function parseDuration(text: string): number | undefined {
  if (!DURATION.test(text)) return undefined;
  let total = 0;
  for (const [, count, unit] of text.matchAll(PART)) {
    total += Math.round(Number(count) * (NANOSECONDS[unit ?? ""] ?? Number.NaN));
  }
  if (!Number.isSafeInteger(total)) return undefined;
  return (text.startsWith("-") ? -total : total) / 1e6;
}

/** Returns the shortest text that {@linkcode parseDuration} reads as these milliseconds. */
export function formatDuration(milliseconds: number): string {
  const total = Math.round(Math.abs(milliseconds) * 1e6);
  if (total === 0) return "0s";
  const sign = milliseconds < 0 ? "-" : "";
  // As in Go, a duration shorter than a second is one number with the largest unit that fits.
  for (const unit of ["ns", "us", "ms"]) {
    const size = NANOSECONDS[unit] ?? 1;
    if (total < size * 1000) return `${sign}${total / size}${unit}`;
  }
  const hours = Math.floor(total / 3600e9);
  const minutes = Math.floor((total % 3600e9) / 60e9);
  const nanoseconds = total % 60e9;
  const parts = [
    hours && `${hours}h`,
    minutes && `${minutes}m`,
    nanoseconds && seconds(nanoseconds),
  ];
  return sign + parts.filter(Boolean).join("");
}

function seconds(nanoseconds: number): string {
  const whole = Math.floor(nanoseconds / 1e9);
  const fraction = String(nanoseconds % 1e9)
    .padStart(9, "0")
    .replace(/0+$/, "");
  return fraction === "" ? `${whole}s` : `${whole}.${fraction}s`;
}
