import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { judgeJson } from "../../../src/core/wire/json.ts";

const encoder = new TextEncoder();

function judge(text: string) {
  return judgeJson(encoder.encode(text));
}

function isJson(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}

/** How deep the objects and arrays of a text stand in one another, strings left out. */
function depthOf(text: string): number {
  let depth = 0;
  let deepest = 0;
  for (const character of text.replace(/"(?:[^"\\]|\\.)*"?/gs, "")) {
    if (character === "[" || character === "{") deepest = Math.max(deepest, ++depth);
    if (character === "]" || character === "}") depth--;
  }
  return deepest;
}

describe("What bytes are", () => {
  test.each([
    ["json", '{"a":[1,-0,1.5e+10,1E-2,true,false,null,"\\u00e9\\n",{},[]]}'],
    ["json", ' \t\r{ "a" : [ ] , "b" : { } } '],
    ["json", '""'],
    ["json", "0"],
    ["json", "-0.0e0"],
    ["json", '"\x7f"'],
    ["json", '{"__proto__":1,"__proto__":2}'],
    ["other", ""],
    ["other", " "],
    ["other", "01"],
    ["other", "-"],
    ["other", "+1"],
    ["other", "1."],
    ["other", ".5"],
    ["other", "1e"],
    ["other", "0x10"],
    ["other", "NaN"],
    ["other", "truE"],
    ["other", "nul"],
    ["other", "nulll"],
    ["other", "[1,]"],
    ["other", "[,1]"],
    ["other", "[1 2]"],
    ["other", '{"a"}'],
    ["other", '{"a":}'],
    ["other", '{"a":1,}'],
    ["other", "{a:1}"],
    ["other", "{1:1}"],
    ["other", "[1}"],
    ["other", '{"a":1]'],
    ["other", "[[]"],
    ["other", "[]]"],
    ["other", "1 1"],
    ["other", '"a'],
    ["other", '"\\'],
    ["other", '"\\x"'],
    ["other", '"\\u00g0"'],
    ["other", '"\\u00'],
    ["other", '"\n"'],
    ["other", '"\u0000"'],
    ["other", "\ufeff1"],
    ["other", "\u00a01"],
    ["other", "\f1"],
    ["unclear", '"é"'],
    ["unclear", '{"é":1}'],
    ["unclear", '"é'],
    ["unclear", "1\n"],
    ["unclear", "\n1"],
    ["unclear", "[\n]"],
    ["unclear", "[1,\n2]"],
    ["unclear", '{\n"a":1}'],
    ["unclear", '{"a"\n:1}'],
    ["unclear", '{"a":\n1}'],
    ["unclear", '{"a":1,\n"b":2}'],
    ["unclear", "1 \n 1"],
  ] as const)("is %s: %j", (verdict, text) => {
    expect(judge(text)).toBe(verdict);
    if (verdict !== "unclear") expect(isJson(text)).toBe(verdict === "json");
  });

  test("is looked into 31 deep, and no deeper", () => {
    for (const [open, close] of [
      ["[", "]"],
      ['{"a":', "}"],
    ] as const) {
      const nest = (depth: number) => `${open.repeat(depth)}1${close.repeat(depth)}`;
      expect(judge(nest(31))).toBe("json");
      expect(judge(nest(32))).toBe("unclear");
      expect(judge(nest(100_000))).toBe("unclear");
      expect(judge(`${open.repeat(31)}1${close.repeat(30)}`)).toBe("other");
    }
    const mixed = '[{"a":'.repeat(15);
    expect(judge(`${mixed}1${"}]".repeat(15)}`)).toBe("json");
    expect(judge(`${mixed}1${"]}".repeat(15)}`)).toBe("other");
  });

  const asciiJson = fc
    .json({ maxDepth: 6 })
    .map((text) =>
      text.replace(/[^\0-\x7f]/g, (it) => `\\u${it.charCodeAt(0).toString(16).padStart(4, "0")}`),
    );
  const bits = fc.array(
    fc.constantFrom(
      ...'[]{}:,"\\ \n-+.eE0123tfn/u',
      "true",
      "false",
      "null",
      '"a"',
      '{"a":',
      "1e5",
    ),
    { maxLength: 24 },
  );
  const texts = fc.oneof(
    asciiJson,
    // JSON with something cut out, put in, or twice.
    fc.tuple(asciiJson, fc.nat(200), fc.nat(5), bits).map(([text, at, cut, put]) => {
      const place = at % (text.length + 1);
      return text.slice(0, place) + put.slice(0, 2).join("") + text.slice(place + cut);
    }),
    bits.map((all) => all.join("")),
    fc.string({ unit: "binary-ascii" }),
  );

  test("is what JSON.parse send, of any ASCII text", () => {
    fc.assert(
      fc.property(texts, (text) => {
        const verdict = judge(text);
        if (verdict === "unclear") expect(text.includes("\n") || depthOf(text) > 31).toBe(true);
        else expect(verdict).toBe(isJson(text) ? "json" : "other");
      }),
      { numRuns: 20_000 },
    );
  });

  test("is what JSON.parse says of any text, or unclear", () => {
    const any = fc.oneof(fc.json(), fc.string({ unit: "binary" }));
    fc.assert(
      fc.property(any, (text) => {
        const verdict = judge(text);
        if (verdict !== "unclear") expect(verdict).toBe(isJson(text) ? "json" : "other");
      }),
      { numRuns: 5000 },
    );
  });

  test("is not JSON where it is no UTF-8, or unclear", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 40 }), (bytes) => {
        const verdict = judgeJson(bytes);
        if (verdict === "json") expect(bytes.every((byte) => byte < 0x80)).toBe(true);
      }),
      { numRuns: 5000 },
    );
  });
});
