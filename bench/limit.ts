import type { Row } from "./summary.ts";

/** Whoever uses more of its core than this is what the others wait for. */
const FULL = 0.9;

/** What kept a saturated row from being more: the gateway, or the core of all others. */
export function limitOf({ rounds }: Row): string {
  const worked = rounds.filter(({ failure }) => failure === undefined);
  if (worked.length === 0) return "";
  const mean = (names: readonly string[]): number =>
    worked
      .flatMap(({ cpuShares }) => names.map((name) => cpuShares[name] ?? 0))
      .reduce((sum, value) => sum + value, 0) / worked.length;
  if (mean(["gateway"]) >= FULL) return "gateway";
  return mean(["load", "nats", "publisher"]) >= FULL ? "load client" : "neither";
}
