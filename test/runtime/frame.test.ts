import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import type { Envelope } from "../../src/core/envelope.ts";
import { frame, framedLength } from "../../src/runtime/frame.ts";

function envelope(text: string): Envelope {
  return { id: "e:1", text, byteLength: Buffer.byteLength(text) };
}

/** Reads unmasked frames as RFC 6455 §5.2 describes them. */
function read(bytes: Buffer): string[] {
  const texts: string[] = [];
  let offset = 0;
  while (offset < bytes.length) {
    expect(bytes[offset]).toBe(0x81); // FIN, text
    let length = bytes[offset + 1]!;
    offset += 2;
    if (length === 126) {
      length = bytes.readUInt16BE(offset);
      expect(length).toBeGreaterThan(125); // the shortest form
      offset += 2;
    } else if (length === 127) {
      length = Number(bytes.readBigUInt64BE(offset));
      expect(length).toBeGreaterThan(65_535);
      offset += 8;
    }
    texts.push(bytes.toString("utf8", offset, offset + length));
    offset += length;
  }
  return texts;
}

describe("Frames", () => {
  test.each([0, 1, 125, 126, 127, 65_535, 65_536, 1_000_000])(
    "of %d bytes are read again",
    (length) => {
      const text = "x".repeat(length);
      expect(read(frame([envelope(text)]))).toEqual([text]);
    },
  );

  test("of any texts stand behind one another, and are as long as was said", () => {
    const texts = fc.array(fc.string({ unit: "grapheme", maxLength: 200 }), { maxLength: 20 });
    fc.assert(
      fc.property(texts, (all) => {
        const envelopes = all.map(envelope);
        const bytes = frame(envelopes);
        expect(bytes.length).toBe(framedLength(envelopes));
        expect(read(bytes)).toEqual(all);
      }),
      { numRuns: 500 },
    );
  });
});
