import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import {
  entryText,
  fittingEntry,
  isOn,
  type PresenceEntry,
  readEntry,
} from "../../../src/core/presence/presence-entry.ts";
import { subjectFault } from "../../../src/protocol/subject.ts";

const ANN: PresenceEntry = {
  account: "",
  principal: { issuer: "i", sub: "ann" },
  subjects: ["a.*"],
  denied: [],
};

const readText = (text: string) => readEntry(new TextEncoder().encode(text));

describe("An entry", () => {
  test("is read as it was written", () => {
    const name = fc.string({ maxLength: 20, unit: "binary" });
    const token = fc.stringMatching(/^[a-z*]{1,3}$/);
    const pattern = fc
      .array(token, { minLength: 1, maxLength: 3 })
      .map((tokens) => tokens.join("."))
      .filter((text) => subjectFault(text, true) === undefined);
    const patterns = fc.array(pattern, { maxLength: 5 });
    const entry = fc.record({
      account: name,
      principal: fc.record({ issuer: name, sub: name }),
      subjects: patterns,
      denied: patterns,
    });
    fc.assert(
      fc.property(entry, (written) => {
        expect(readText(entryText(written))).toEqual(written);
      }),
    );
  });

  test("has a bounded number of patterns, of a bounded length", () => {
    const many = Array.from({ length: 1000 }, (_, n) => `a.${n}`);
    const fitting = fittingEntry({ ...ANN, subjects: many });
    expect(fitting?.subjects).toEqual(many.slice(0, 64));
    expect(readText(entryText(fitting!))).toEqual(fitting);
    const long = ["x", "y", "z"].map((letter) => letter.repeat(1500));
    expect(fittingEntry({ ...ANN, subjects: long })?.subjects).toEqual(long.slice(0, 2));
  });

  test("has only the denied patterns that narrow what the client is on", () => {
    const fitting = fittingEntry({ ...ANN, subjects: ["a.*", "b"], denied: ["a.1", "c", "b.>"] });
    expect(fitting).toEqual({ ...ANN, subjects: ["a.*", "b"], denied: ["a.1"] });
  });

  test("leaves out what is narrowed by denied patterns that don't fit", () => {
    const denied = [...Array.from({ length: 69 }, (_, n) => `a.${n}`), "b.1"];
    const fitting = fittingEntry({ ...ANN, subjects: ["a.5", "a.68", "a.*", "b.>", "c"], denied });
    expect(fitting?.subjects).toEqual(["a.5", "c"]);
    expect(fittingEntry({ ...ANN, denied })).toBeUndefined();
    const long = ["x", "y", "z"].map((letter) => `a.${letter.repeat(1500)}`);
    expect(fittingEntry({ ...ANN, denied: long })).toBeUndefined();
  });

  test.each([
    "",
    "{",
    "[]",
    "null",
    "{}",
    '{"subjects":"a"}',
    '{"subjects":[1]}',
    '{"subjects":["a..b"]}',
    '{"subjects":["a"],"denied":[" "]}',
    '{"subjects":["a"],"sub":1}',
    '{"subjects":["a"],"iss":{}}',
    '{"subjects":["a"],"account":[]}',
    `{"subjects":["a"],"sub":"${"x".repeat(300)}"}`,
    JSON.stringify({ subjects: Array.from({ length: 65 }, (_, n) => `a.${n}`) }),
    `{"subjects":["a"]${" ".repeat(70_000)}}`,
  ])("is not %j", (text) => {
    expect(readText(text)).toBeUndefined();
  });

  test("is not bytes that are no UTF-8", () => {
    expect(readEntry(Uint8Array.of(0x7b, 0xff, 0x7d))).toBeUndefined();
  });
});

describe("A client is on a subject", () => {
  test.each<[string[], string[], string, boolean]>([
    [["a.*"], [], "a.1", true],
    [["a.*"], [], "a.>", true],
    [["a.*"], [], "b.1", false],
    [["a.>"], ["a.1"], "a.1", false],
    [["a.>"], ["a.1"], "a.*", true],
    [["a.>", "a.1"], ["a.*"], "a.1", false],
    [["a.>"], ["a.*"], "a.1.x", true],
    [[">"], [], "$SYS.x", false],
    [["$SYS.>"], [], "$SYS.x", true],
  ])("by %j without %j: %s is %j", (subjects, denied, subject, expected) => {
    expect(isOn({ ...ANN, subjects, denied }, subject)).toBe(expected);
  });
});
