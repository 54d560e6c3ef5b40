import { describe, expect, test } from "bun:test";
import { readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { README, UNUSED } from "../scripts/docs.ts";
import { SOURCE_FAULTS } from "../src/core/ports/source.ts";
import { FAMILIES } from "../src/metrics/families.ts";
import { PROCESS_FAMILIES } from "../src/metrics/process.ts";

const SRC = fileURLToPath(new URL("../src", import.meta.url));

const section = /^### What to alert on$([\s\S]*?)^### /m.exec(readFileSync(README, "utf8"))?.[1];

/** The cells of each row, without the table's head. */
const rows = Array.from(section?.matchAll(/^\| (.+) \|$/gm) ?? [], ([, row = ""]) =>
  row.split(" | "),
).slice(2);

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

describe("README, What to alert on", () => {
  test("has rows of four cells", () => {
    expect(rows.length).toBeGreaterThanOrEqual(5);
    expect(rows.filter((row) => row.length !== 4)).toEqual([]);
  });

  test.each(rows)("%s: each metric exists, and has the labels and values", (_, alert = "") => {
    const selectors = [...alert.matchAll(/\b((?:websocket|process)_\w+)(?:\{([^}]*)\})?/g)];
    expect(selectors.length).toBeGreaterThan(0);
    for (const [, name = "", matchers = ""] of selectors) {
      const family = metrics.get(name);
      expect([name, family !== undefined]).toEqual([name, true]);
      for (const matcher of matchers.split(",").filter((text) => text !== "")) {
        expect([matcher, selects(family, matcher)]).toEqual([matcher, true]);
      }
    }
  });

  test.each(rows)("%s: the code logs each event", (_, __, log = "") => {
    const named = Array.from(log.matchAll(/`([a-z]+_[a-z_]+)`/g), ([, event = ""]) => event);
    expect(named.length).toBeGreaterThan(0);
    expect(named.filter((event) => !events.has(event))).toEqual([]);
  });
});

/** Whether a matcher of PromQL names a label of the metric, and one of its values. */
function selects(family: ReturnType<typeof metrics.get>, matcher: string): boolean {
  const [, label = "", operator = "", value = ""] =
    /^(\w+)(=~|!~|!=|=)"([^"]*)"$/.exec(matcher) ?? [];
  if (family === undefined || !("labels" in family)) return false;
  const place = (family.labels as readonly string[]).indexOf(label);
  if (place < 0) return false;
  const pattern = new RegExp(`^(?:${value})$`);
  const values = [...family.read(UNUSED)].map(([labels]) => labels[place] ?? "");
  return values.some((each) => (operator.endsWith("~") ? pattern.test(each) : each === value));
}
