import { describe, expect, test } from "bun:test";
import { BucketLife } from "../../src/source/jetstream/bucket-life.ts";
import { Recorder } from "./recorder.ts";

const HOUR_MS = 3_600_000;

function lifeOf(lifeMs: number): { life: BucketLife; recorder: Recorder } {
  const recorder = new Recorder();
  const needs = { key: "the_key", lifeMs, otherwise: "all is lost", storage: "file" } as const;
  return { life: new BucketLife("b", needs, recorder.log), recorder };
}

describe("A bucket", () => {
  test.each<[needed: number, ttl: number, isLongEnough: boolean]>([
    [HOUR_MS, HOUR_MS, true],
    [HOUR_MS, HOUR_MS - 1, false],
    [HOUR_MS, 0, true],
    [Number.POSITIVE_INFINITY, 0, true],
    [Number.POSITIVE_INFINITY, 1000 * HOUR_MS, false],
  ])("of which an entry must last %d ms may have the TTL %d: %p", (needed, ttl, isLongEnough) => {
    const { life, recorder } = lifeOf(needed);
    expect(life.check(ttl)).toBe(isLongEnough);
    expect(life.problem === undefined).toBe(isLongEnough);
    expect(recorder.lines.entries.length).toBe(isLongEnough ? 0 : 1);
  });

  test("with a TTL that is too short is logged once, until it is mended, with both figures and the command", () => {
    const { life, recorder } = lifeOf(24 * HOUR_MS + 10_000);
    for (const ttl of [8000, 8000, 0, 8000]) life.check(ttl);
    const text =
      "The bucket b of the_key keeps an entry for 8 s, but it must last 86410 s: all is lost. This command mends it: nats stream edit KV_b --max-age 25h";
    expect(recorder.lines.entries).toEqual([
      { level: "warn", text },
      { level: "warn", text },
    ]);
  });

  test.each<[needed: number, command: string]>([
    [24 * HOUR_MS + 10_000, "nats kv add b --history 1 --ttl 25h --storage file"],
    [300_000, "nats kv add b --history 1 --ttl 5m --storage file"],
    [Number.POSITIVE_INFINITY, "nats kv add b --history 1 --storage file"],
  ])("that must keep an entry for %d ms is made so: %s", (needed, command) => {
    const { life } = lifeOf(needed);
    expect(life.howToMake).toBe(`the_key names this bucket, and this command makes it: ${command}`);
    expect(life.check(needed === Number.POSITIVE_INFINITY ? 0 : needed)).toBe(true);
  });
});
