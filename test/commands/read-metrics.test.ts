import { expect, test } from "bun:test";
import { readMetrics } from "../../src/commands/read-metrics.ts";

test("Samples are read with their labels, whatever is in them", () => {
  const metrics = readMetrics(
    [
      "# HELP a Counts.",
      "# TYPE a counter",
      'a{component="x",stream="A\\"B\\\\n\\n}, c"} 7',
      'a{component="y"} 0.5',
      "b 1e+06",
      "c NaN 1700000000000",
      "",
    ].join("\n"),
  );
  expect([...metrics.keys()]).toEqual(["a", "b", "c"]);
  expect(metrics.get("a")).toEqual([
    {
      labels: new Map([
        ["component", "x"],
        ["stream", 'A"B\\n\n}, c'],
      ]),
      value: 7,
    },
    { labels: new Map([["component", "y"]]), value: 0.5 },
  ]);
  expect(metrics.get("b")).toEqual([{ labels: new Map(), value: 1_000_000 }]);
  expect(metrics.get("c")?.[0]?.value).toBeNaN();
});
