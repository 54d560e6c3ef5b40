import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { parseJson } from "../../src/config/json-text.ts";

describe("JSON text", () => {
  test("is read, also after a byte order mark", () => {
    expect(parseJson('\ufeff{"a":[1,"\\u00e9",null]}')).toEqual({ value: { a: [1, "é", null] } });
  });

  test.each([
    ["", 1, 1],
    ["   ", 1, 4],
    ["{", 1, 2],
    ['{"a":1,}', 1, 8],
    ['{"a":1 "b":2}', 1, 8],
    ['{\n  "port": 8080,\n  // no\n}', 3, 3],
    ["{'a':1}", 1, 2],
    ["{a:1}", 1, 2],
    ['{"a":hunter2}', 1, 6],
    ["[1,2", 1, 5],
    ['{"a":01}', 1, 7],
    ['{"a":1}\n}', 2, 1],
    ['["unended', 1, 2],
    ["[nulll]", 1, 6],
  ])("%j is wrong at line %d, column %d", (text, line, column) => {
    expect(parseJson(text)).toEqual({ fault: `it is not JSON at line ${line}, column ${column}` });
  });

  test.each([
    ['{"port":1,"path":"/","port":2}', '"port"', 1, 22],
    ['{"a":{"b":1},\n "c":{"b":1,"\\u0062":2}}', '"\\u0062"', 2, 13],
  ])("%j has a key twice", (text, key, line, column) => {
    const fault = `it has the key ${key} a second time at line ${line}, column ${column}`;
    expect(parseJson(text)).toEqual({ fault });
  });

  test("is as deep as any configuration, and as long", () => {
    const nested = (depth: number) => "[".repeat(depth) + "]".repeat(depth);
    expect(parseJson(nested(100))).toHaveProperty("value");
    const fault = "it is nested more than 100 deep at line 1, column 102";
    for (const depth of [101, 100_000]) expect(parseJson(nested(depth))).toEqual({ fault });
    expect(parseJson(`{"a":"${"x".repeat(10_000_000)}"}`)).toHaveProperty("value");
  });

  test("is wrong where what stands before could still become JSON, and nowhere later", () => {
    const broken = fc
      .tuple(fc.json(), fc.nat(), fc.constantFrom("", "}", "]", ",", ":", "x", "'", "1"))
      .map(([json, at, inserted]) => {
        const index = at % (json.length + 1);
        return json.slice(0, index) + inserted + json.slice(index + 1);
      });
    fc.assert(
      fc.property(broken, (text) => {
        const read = parseJson(text);
        let isJson = true;
        try {
          JSON.parse(text);
        } catch {
          isJson = false;
        }
        expect("value" in read).toBe(isJson);
        if ("fault" in read) {
          const column = Number(read.fault.match(/column (\d+)$/)?.[1]);
          expect(column).toBeWithin(1, text.length + 2);
        }
      }),
      { numRuns: 500 },
    );
  });
});
