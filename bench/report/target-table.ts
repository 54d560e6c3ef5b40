import type { RuntimeName } from "../contenders/contender.ts";
import type { Findings } from "../findings.ts";
import { judge, RUNTIMES, TARGETS, type Target } from "../targets.ts";
import { percent, table, withSpread } from "./table.ts";

const TITLES: Readonly<Record<RuntimeName, string>> = { bun: "Bun", node: "Node", deno: "Deno" };

/** What we ask of ourselves, and what came of it on each runtime. */
export function targetTable(findings: Findings): string {
  return table(
    ["", "goal", ...RUNTIMES.map((runtime) => TITLES[runtime])],
    TARGETS.map((target) => [
      target.asks,
      `${target.bound === "least" ? "≥" : "≤"} ${target.show(target.goal)}`,
      ...RUNTIMES.map((runtime) => cell(target, findings, runtime)),
    ]),
  );
}

function cell(target: Target, findings: Findings, runtime: RuntimeName): string {
  const verdict = judge(target, findings, runtime);
  if (verdict === undefined) return "";
  const figure = withSpread(verdict.spread, target.show);
  return verdict.reached ? `${figure} ✓` : `${figure} ✗ by ${percent(verdict.missedBy)}`;
}
