import { expect, test } from "bun:test";
import fc from "fast-check";
import { rawField } from "../../../src/core/wire/raw-field.ts";

test("A field's value is found as it is written", () => {
  const cases: readonly [json: string, value: string | undefined][] = [
    ['{"p":1}', "1"],
    [' {\n"a" : "p" ,\t"p" : [ 1, {"p":2} ] }', '[ 1, {"p":2} ]'],
    ['{"a":{"p":1},"p":-1.50e+3\n}', "-1.50e+3"],
    ['{"p":"a\\"b\\\\"}', '"a\\"b\\\\"'],
    ['{"p":1,"p":true,"q":null}', "true"],
    ['{"p":1,"\\u0070":null}', "null"],
    ['{"\\"p":1,"q":"\\"p\\":2"}', undefined],
    ['{"p":{}}', "{}"],
    ["{}", undefined],
  ];
  for (const [json, value] of cases) expect([json, rawField(json, "p")]).toEqual([json, value]);
});

test("A field's value is the one that JSON.parse reads, whatever the object", () => {
  const key = fc.oneof(fc.constantFrom("p", "q", "\\", '"', "", "__proto__"), fc.string());
  const entries = fc.array(fc.tuple(key, fc.jsonValue()), { maxLength: 6 });
  const space = fc.constantFrom("", " ", "\n", "\t \r\n");
  fc.assert(
    fc.property(entries, space, fc.nat(2), (list, blank, indent) => {
      const fields = list.map(
        ([name, value]) =>
          `${blank}${JSON.stringify(name)}${blank}:${blank}${JSON.stringify(value, null, indent)}${blank}`,
      );
      const json = `${blank}{${fields.join(",")}${blank}}${blank}`;
      const parsed = JSON.parse(json) as Record<string, unknown>;
      const raw = rawField(json, "p");
      expect(raw === undefined ? undefined : JSON.parse(raw)).toEqual(
        Object.hasOwn(parsed, "p") ? parsed.p : undefined,
      );
      if (raw !== undefined) {
        expect(raw).toBe(JSON.stringify(list.findLast(([name]) => name === "p")![1], null, indent));
      }
    }),
  );
});
