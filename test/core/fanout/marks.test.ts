import { expect, test } from "bun:test";
import { Marks } from "../../../src/core/fanout/marks.ts";

test("A member that confirms a mark confirms those before it, too: it may answer the last of several pings alone", () => {
  const marks = new Marks({ markBytes: 1, markIntervalMs: 1, maxLagMs: 1000 });
  const before = marks.last;
  for (let n = 1; n <= 3; n++) marks.add(n, n * 300, 0);
  marks.confirm(before, before + 2);
  expect([1, 2, 3].map((n) => marks.next(before + n - 1)?.confirmations)).toEqual([1, 1, 0]);
});
