import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { parseStrictJson } from "../../src/access/strict-json.ts";

describe("Strict JSON", () => {
  test("has the value that any parser reads", () => {
    fc.assert(
      fc.property(fc.jsonValue({ maxDepth: 8 }), (value) => {
        const text = JSON.stringify(value, undefined, 1);
        expect(parseStrictJson(text)).toEqual({ value: JSON.parse(text) });
      }),
    );
  });

  test.each([
    '{"a":1,"a":1}',
    '{"a":1,"\\u0061":2}',
    '[{"b":{"a":{},"c":[{"a":1}],"a":2}}]',
    '{"a" : "a\\":", "b":1, "a"\n:2}',
    '{"":1,"":2}',
    '{"__proto__":1,"__proto__":2}',
  ])("can't have a key twice: %s", (text) => {
    expect(parseStrictJson(text)).toEqual({ fault: "it has a key twice" });
  });

  test.each([
    '{"a":{"a":["a","a",{"a":"a"}]},"b":{"a":1}}',
    '["a:","a:"]',
    '{"a":"\\"a\\":1","b":"{\\"a\\":1,\\"a\\":2}"}',
    '{"\\\\":1,"\\\\\\\\":2}',
  ])("may have it in different objects, and in texts: %s", (text) => {
    expect(parseStrictJson(text)).toEqual({ value: JSON.parse(text) });
  });

  test.each(["", "{", "{a:1}", "[1,]", "// no", "NaN"])("isn't %j", (text) => {
    expect(parseStrictJson(text)).toEqual({ fault: "it is not JSON" });
  });

  test("is nested 32 deep at most", () => {
    const nested = (depth: number) => "[".repeat(depth) + "]".repeat(depth);
    expect(parseStrictJson(nested(32))).toHaveProperty("value");
    expect(parseStrictJson(nested(33))).toHaveProperty("fault");
    expect(parseStrictJson(nested(100_000))).toHaveProperty("fault");
  });

  test("may have a text of millions of characters", () => {
    const text = JSON.stringify({ a: '\\"x'.repeat(300_000) });
    expect(parseStrictJson(text)).toHaveProperty("value");
  });
});
