import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { keyTable } from "../../src/config/key-table.ts";
import { parseConfig } from "../../src/config/parse.ts";
import { formatSize, parseSize } from "../../src/config/size.ts";
import { loadedConfig, loadRefusalOf, refusalOf } from "./refusal.ts";

describe("Size", () => {
  test.each([
    ["0B", 0],
    ["1500 B", 1500],
    ["64kB", 64_000],
    ["64KB", 64_000],
    ["64KiB", 65_536],
    ["64kib", 65_536],
    ["16MB", 16_000_000],
    ["16 MiB", 16 * 1024 ** 2],
    ["1.1MB", 1_100_000],
    ["1.5GiB", 1.5 * 1024 ** 3],
    ["1TB", 10 ** 12],
    ["1TiB", 1024 ** 4],
  ])("%s is %d bytes", (text, bytes) => expect(parseSize(text)).toBe(bytes));

  test.each([
    "",
    "B",
    "1",
    "16M",
    "16Mi",
    "16 bytes",
    "1.5B",
    "1.1KiB",
    "-1MB",
    "1e3B",
    "1  MB",
    "1PB",
    ".5MB",
    "1.MB",
  ])("%j is none", (text) => expect(parseSize(text)).toBeUndefined());

  test("is written so that it is read as the same", () => {
    const bytes = fc.oneof(
      fc.nat(),
      fc.nat(2 ** 20).map((count) => count * 1024),
      fc.maxSafeNat(),
    );
    fc.assert(fc.property(bytes, (count) => expect(parseSize(formatSize(count))).toBe(count)));
  });
});

describe("Keys of bytes", () => {
  const sizes = keyTable().filter(({ kind }) => kind === "size");

  test("are all that end so", () => {
    expect(sizes.map(({ key }): string => key)).toEqual(
      keyTable()
        .map(({ key }): string => key)
        .filter((key) => key.endsWith("_bytes")),
    );
  });

  test("are sizes in a file, a variable and a flag, and plain bytes as before", async () => {
    expect(parseConfig({ max_queue_bytes: "16MB" }).maxQueueBytes).toBe(16_000_000);
    expect(parseConfig({ max_queue_bytes: 16_000_000 }).maxQueueBytes).toBe(16_000_000);
    const env = { SPILLWAY_MAX_QUEUE_BYTES: "64KiB", SPILLWAY_RING_BYTES: "1000" };
    expect(await loadedConfig({ env })).toMatchObject({ maxQueueBytes: 65_536, ringBytes: 1000 });
  });

  test.each<[unknown, string]>([
    ["16M", '"16M"'],
    ["1000", '"1000"'],
    ["2GiB", '"2GiB"'],
    [0, "0"],
    [1.5, "1.5"],
    [null, "null"],
    [true, "true"],
    [Number.NaN, "NaN"],
    [[], "an empty list"],
  ])("can't be %j", (value, shown) => {
    expect(refusalOf({ max_queue_bytes: value })).toBe(
      `Cannot use configuration: "max_queue_bytes" is ${shown} but must be a size from "1B" to "1GiB": a number of bytes, or a text like "64KiB" or "64kB"`,
    );
  });

  test("are refused with the variable's name", async () => {
    expect(await loadRefusalOf({ env: { SPILLWAY_RING_BYTES: "8 megs" } })).toStartWith(
      'Cannot use configuration from SPILLWAY_RING_BYTES: "ring_bytes" is "8 megs" but must be a size',
    );
  });
});
