/** The alerts and the dashboard in `deploy/`, against the code that they speak of. */
import { describe, expect, test } from "bun:test";
import { readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { ALERTS, RULES_FILE, rulesFile, runbookOf } from "../../scripts/alerts.ts";
import { DASHBOARD_FILE, dashboard } from "../../scripts/dashboard.ts";
import { UNUSED } from "../../scripts/docs.ts";
import { ROOT } from "../../scripts/installed.ts";
import { SOURCE_FAULTS } from "../../src/core/ports/source.ts";
import { FAMILIES } from "../../src/metrics/families.ts";
import { PROCESS_FAMILIES } from "../../src/metrics/process.ts";

const SRC = fileURLToPath(new URL("../../src", import.meta.url));

const metrics = new Map<string, (typeof FAMILIES | typeof PROCESS_FAMILIES)[number]>(
  [...FAMILIES, ...PROCESS_FAMILIES].map((family) => [family.name, family]),
);

/** The events that the code logs. */
const events = new Set<string>([
  ...SOURCE_FAULTS,
  ...readdirSync(SRC, { recursive: true, encoding: "utf8" })
    .filter((file) => file.endsWith(".ts"))
    .flatMap((file) =>
      Array.from(
        readFileSync(`${SRC}/${file}`, "utf8").matchAll(/\bevent: "(\w+)"/g),
        ([, event = ""]) => event,
      ),
    ),
]);

describe("The files of telemetry are as the code has them (npm run docs renews them)", () => {
  test("deploy/prometheus-rules.yml", () => {
    expect(readFileSync(RULES_FILE, "utf8")).toBe(rulesFile());
  });

  test("deploy/grafana/spillway.json", () => {
    expect(readFileSync(DASHBOARD_FILE, "utf8")).toBe(dashboard());
  });
});

describe.each(ALERTS.map((alert) => [alert.name, alert] as const))("%s", (name, alert) => {
  test("names metrics that exist, with their labels and values", () => {
    const selectors = [
      ...alert.expr.matchAll(/\b((?:websocket|process|spillway)_\w+)(?:\{([^}]*)\})?/g),
    ];
    expect(selectors.length).toBeGreaterThan(0);
    for (const [, series = "", matchers = ""] of selectors) {
      const family = metrics.get(series.replace(/_bucket$/, ""));
      expect([series, family !== undefined]).toEqual([series, true]);
      for (const matcher of matchers.split(",").filter((text) => text !== "")) {
        expect([matcher, selects(family, matcher)]).toEqual([matcher, true]);
      }
    }
  });

  test("has an entry in the runbook", () => {
    const [page, anchor] = runbookOf(alert).split("#");
    expect([page, anchor]).toEqual(["docs/operations.md", name.toLowerCase()]);
    expect(readFileSync(`${ROOT}docs/operations.md`, "utf8")).toContain(`\n### ${name}\n`);
  });

  test("names events that the code logs", () => {
    expect(alert.events.filter((event) => !events.has(event))).toEqual([]);
  });
});

/** Whether a matcher of PromQL names a label of the metric, and only values that it has. */
function selects(family: ReturnType<typeof metrics.get>, matcher: string): boolean {
  const [, label = "", operator = "", value = ""] =
    /^(\w+)(=~|!~|!=|=)"([^"]*)"$/.exec(matcher) ?? [];
  if (family === undefined || !("labels" in family)) return false;
  const place = (family.labels as readonly string[]).indexOf(label);
  if (place < 0) return false;
  const values = [...family.read(UNUSED)].map(([labels]) => labels[place] ?? "");
  if (!operator.endsWith("~")) return values.includes(value);
  return value
    .split("|")
    .every((part) => values.some((each) => new RegExp(`^(?:${part})$`).test(each)));
}
