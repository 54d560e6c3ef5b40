import { expect, test } from "bun:test";
import fc from "fast-check";
import { readQuery } from "../../src/http/client-query.ts";
import { ParameterFault } from "../../src/protocol/query.ts";
import { subjectFault } from "../../src/protocol/subject.ts";

/** Reads a query as Hono does. */
function read(query: URLSearchParams) {
  const names = new Set(query.keys());
  return readQuery(Object.fromEntries([...names].map((name) => [name, query.getAll(name)])));
}

function repeated(subjects: readonly string[]): URLSearchParams {
  return new URLSearchParams(subjects.map((subject) => ["subject", subject]));
}

const token = fc.oneof(
  fc.constantFrom("*", "a", "a,b", ",", "a%2Cb", "50%", "a+b", "a&b=c", "\\,", "ä"),
  fc.string({ minLength: 1, maxLength: 8, unit: "grapheme" }),
);
const subject = fc
  .array(token, { minLength: 1, maxLength: 4 })
  .map((tokens) => tokens.join("."))
  .filter((subject) => subjectFault(subject, true) === undefined);

test("`subject` carries every subject that NATS has, alone and beside `subjects`", () => {
  const property = fc.property(
    fc.array(subject, { minLength: 1, maxLength: 60 }),
    fc.boolean(),
    (subjects, hasBoth) => {
      const query = repeated(subjects);
      if (hasBoth) query.append("subjects", "x.>,y");
      expect(read(query)).toEqual({ subjects: [...(hasBoth ? ["x.>", "y"] : []), ...subjects] });
    },
  );
  fc.assert(property);
});

test("A comma in `subjects` is between two subjects, however it is encoded", () => {
  for (const query of ["subjects=a,b", "subjects=a%2Cb", "subjects=a,+b"]) {
    expect(read(new URLSearchParams(query))).toEqual({ subjects: ["a", "b"] });
  }
});

test.each([
  ["65 subjects", repeated(Array.from({ length: 65 }, (_, n) => `a.${n}`))],
  [
    "65 subjects in both",
    new URLSearchParams([
      ...repeated(Array(32).fill("a")),
      ["subjects", Array(33).fill("b").join()],
    ]),
  ],
  ["an empty subject", repeated(["a", ""])],
  ["a subject that is none", repeated(["a", "b..c"])],
  ["`subjects` twice", new URLSearchParams("subjects=a&subjects=b")],
  ["a parameter that is one letter off", new URLSearchParams("subjec=a")],
])("%s are refused", (_, query) => {
  expect(read(query)).toBeInstanceOf(ParameterFault);
});
