import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { endCursorAt, endCursorOf, idIn, saysEndOf } from "../../../src/core/wire/end-cursor.ts";
import { cursorOf } from "../../../src/core/wire/envelope.ts";
import { endOf, messageOf } from "../support/messages.ts";

const subjects = fc.string({ unit: "grapheme", minLength: 1, maxLength: 30 });
const ids = fc
  .tuple(
    fc.string({ unit: "grapheme", maxLength: 20 }),
    fc.nat(),
    fc.option(fc.nat(), { nil: undefined }),
  )
  .map(([origin, sequence, back]) => cursorOf({ origin, sequence, back }));

describe("Cursor of a subject that has ended", () => {
  test("has the id of the message in it, and says it of its subject only", () => {
    fc.assert(
      fc.property(ids, subjects, subjects, (id, subject, other) => {
        const cursor = endCursorOf({ id, subject });
        expect(idIn(cursor)).toBe(id);
        expect(saysEndOf(subject, cursor)).toBe(true);
        if (other !== subject) expect(saysEndOf(other, cursor)).toBe(false);
      }),
      { numRuns: 1000 },
    );
  });

  test("is told from every other cursor, whatever the name of the stream", () => {
    fc.assert(
      fc.property(ids, subjects, (id, subject) => {
        expect(idIn(id)).toBe(id);
        expect(saysEndOf(subject, id)).toBe(false);
      }),
      { numRuns: 1000 },
    );
    expect(idIn("A~B:k:7")).toBe("A~B:k:7");
    expect(idIn("")).toBe("");
  });

  test("belongs to messages that end their subject", () => {
    expect(endCursorAt(endOf(3))).toBe(endCursorOf({ id: "o:3", subject: "a" }));
    expect(endCursorAt(messageOf(3))).toBeUndefined();
    expect(endCursorAt({ origin: "o", sequence: 3 })).toBeUndefined();
    expect(endCursorAt(undefined)).toBeUndefined();
  });
});
