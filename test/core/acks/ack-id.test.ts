import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { readPlainAck, sequenceOf, UNKNOWN_ID } from "../../../src/core/acks/ack-id.ts";
import { readClientFrame } from "../../../src/core/wire/client-frame.ts";

const ORIGIN = "0123456789ab";

/** What an ack is by way of JSON, as long as it is of one message of this run. */
function bySlowPath(text: string): number {
  const frame = readClientFrame(text, "plain");
  if (frame.type !== "ack" || !("id" in frame)) return UNKNOWN_ID;
  return sequenceOf(frame.id, ORIGIN);
}

describe("An acknowledgement", () => {
  test.each([
    [`{"type":"ack","id":"${ORIGIN}:42"}`, 42],
    [`{"type":"ack","id":"${ORIGIN}:42","timestamp":1732300000000}`, 42],
    [`{"type":"ack","id":"${ORIGIN}:0"}`, 0],
  ])("of StreamKit's client is read without JSON: %s", (text, sequence) => {
    expect(readPlainAck(text, ORIGIN)).toBe(sequence);
  });

  test.each([
    `{"type":"ack","id":"${ORIGIN}:042"}`,
    `{"type":"ack","id":"${ORIGIN}:42","timestamp":01}`,
    `{"type":"ack","id":"${ORIGIN}:42","timestamp":1}}`,
    `{"type":"ack","id":"${ORIGIN}:42","id":"${ORIGIN}:43"}`,
    `{"type":"ack","id":"${ORIGIN}:42","timestamp":1,"id":"x"}`,
    `{"type":"ack","id":"${ORIGIN}:"}`,
    `{"type":"ack","id":"${ORIGIN}:1234567890123456"}`,
    `{"type":"ack","id":"elsewhere0ab:42"}`,
    `{"type":"ack","id":"${ORIGIN}:42"`,
    `{"type":"ack","id":"${ORIGIN}:42"} `,
    `{"type":"ack","id":"${ORIGIN}"}`,
  ])("that is written in another way is left to JSON: %s", (text) => {
    expect(readPlainAck(text, ORIGIN)).toBe(UNKNOWN_ID);
  });

  test("is never read in another way than JSON reads it", () => {
    const part = fc.constantFrom(
      '{"type":"ack","id":"',
      `${ORIGIN}:`,
      `${ORIGIN}:12`,
      "7",
      "0",
      '"',
      '"}',
      "}",
      '","timestamp":',
      "17",
      "-",
      ".",
      "e",
      "\\",
      " ",
      ',"id":"x"',
      '","id":"',
      "é",
    );
    const near = fc
      .tuple(
        fc.constantFrom('{"type":"ack","id":"', '{"type":"nack","id":"', '{"type": "ack","id":"'),
        fc.constantFrom(`${ORIGIN}:`, "0123456789aX:"),
        fc.oneof(fc.nat(), fc.array(part, { maxLength: 2 })),
        fc.oneof(fc.constantFrom(['"}'], ['","timestamp":17}']), fc.array(part, { maxLength: 4 })),
      )
      .map(([head, origin, id, rest]) => head + origin + [id].flat().join("") + rest.join(""));
    let fast = 0;
    fc.assert(
      fc.property(fc.oneof(near, fc.string()), (text) => {
        const sequence = readPlainAck(text, ORIGIN);
        if (sequence === UNKNOWN_ID) return;
        fast++;
        expect(sequence).toBe(bySlowPath(text));
      }),
      { numRuns: 50_000 },
    );
    expect(fast).toBeGreaterThan(500);
  });
});
