import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { parseJson } from "../../src/config/json-text.ts";

describe("JSON text", () => {
  test("is read, also after a byte order mark", () => {
    expect(parseJson('\ufeff{"a":[1,"\\u00e9",null]}')).toEqual({ value: { a: [1, "é", null] } });
  });

  test.each([
    ["{", 1, 1],
    ['{"a":1,,}', 1, 8],
    ["{,}", 1, 2],
    ["[,]", 1, 2],
    ["[1,/* */,]", 1, 9],
    ['{"a":1,', 1, 7],
    ['{"a":1 "b":2}', 1, 8],
    ['{\n  "port": 8080,\n  # no\n}', 3, 3],
    ['{"a":1 /* no end', 1, 17],
    ['{"a":1} /', 1, 10],
    ["[1/**/2]", 1, 7],
    ["// nothing else", 1, 1],
    ["{'a':1}", 1, 2],
    ["{a:1}", 1, 2],
    ['{"a":hunter2}', 1, 6],
    ["[1,2", 1, 4],
    ['{"a":01}', 1, 6],
    ['{"a":1}\n}', 2, 1],
    ['["unended', 1, 10],
    ["[nulll]", 1, 2],
  ])("%j is wrong at line %d, column %d", (text, line, column) => {
    expect(parseJson(text)).toEqual({ fault: `it is not JSON at line ${line}, column ${column}` });
  });

  test.each<[string, unknown]>([
    ['// first\n{"a":1} // last', { a: 1 }],
    ['{ /* "a": 2, */ "a": 1, }', { a: 1 }],
    ['{"a":[1,2,/* and */ ], // more\r\n}', { a: [1, 2] }],
    ["[[1,],[],]", [[1], []]],
    ['["// no /* comment", "a,]", "b,}"]', ["// no /* comment", "a,]", "b,}"]],
    ["/***/[/**/1/* * / */,//]\n]", [1]],
  ])("%j may have comments and a comma at the end", (text, value) => {
    expect(parseJson(text)).toEqual({ value });
  });

  test.each(["", "  \n", "\ufeff"])("%j is empty", (text) => {
    expect(parseJson(text)).toEqual({ fault: "it is empty" });
  });

  test("tells the place of a mistake behind comments as an editor does", () => {
    const text = '{\n  // port: the port\n  "port": 1, /* two\n lines */ "path" 2\n}';
    expect(parseJson(text)).toEqual({ fault: "it is not JSON at line 4, column 18" });
    const twice = '{ "a": 1, // one\n  "a": 2, }';
    expect(parseJson(twice)).toEqual({
      fault: 'it has the key "a" twice at line 2, column 3',
    });
  });

  test("has as many comments as one likes, in time that grows with them", () => {
    expect(parseJson(`[${"/* x */ 1, // y\n".repeat(100_000)}]`)).toHaveProperty("value");
    expect(parseJson(`[1]${"/*".repeat(1_000_000)}`)).toHaveProperty("fault");
  });

  test.each([
    ['{"port":1,"path":"/","port":2}', '"port"', 1, 22],
    ['{"a":{"b":1},\n "c":{"b":1,"\\u0062":2}}', '"b"', 2, 13],
  ])("%j has a key twice", (text, key, line, column) => {
    const fault = `it has the key ${key} twice at line ${line}, column ${column}`;
    expect(parseJson(text)).toEqual({ fault });
  });

  test("is as deep as any configuration, and as long", () => {
    const nested = (depth: number) => "[".repeat(depth) + "]".repeat(depth);
    expect(parseJson(nested(100))).toHaveProperty("value");
    const fault = "it is nested more than 100 deep at line 1, column 101";
    for (const depth of [101, 100_000]) expect(parseJson(nested(depth))).toEqual({ fault });
    expect(parseJson(`{"a":"${"x".repeat(10_000_000)}"}`)).toHaveProperty("value");
  });

  test("is accepted if it is JSON apart from comments and trailing commas, and a fault names a place in it", () => {
    const broken = fc
      .tuple(
        fc.json(),
        fc.nat(),
        fc.constantFrom("", "}", "]", ",", ":", "x", "'", "1", "//", "/**/"),
      )
      .map(([json, at, inserted]) => {
        const index = at % (json.length + 1);
        return json.slice(0, index) + inserted + json.slice(index + 1);
      });
    fc.assert(
      fc.property(broken, (text) => {
        const read = parseJson(text);
        // What is inserted may make two keys the same.
        if ("fault" in read && read.fault.includes(" twice ")) return;
        // As JSON has it, or once a comma at an end or a comment is gone.
        const plain = [text, text.replace("/**/", " "), text.replace(/\/\/.*$/, "")];
        const readings = plain.flatMap((one) => [one, one.replace(/,(\s*[\]}])/g, "$1")]);
        expect("value" in read).toBe(readings.some(isJson));
        if (isJson(text)) expect(read).toEqual({ value: JSON.parse(text) });
        if ("fault" in read && text !== "") {
          const column = Number(read.fault.match(/column (\d+)$/)?.[1]);
          expect(column).toBeWithin(1, text.length + 2);
        }
      }),
      { numRuns: 500 },
    );
  });
});

function isJson(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}
