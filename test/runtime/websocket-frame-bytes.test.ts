import { describe, expect, test } from "bun:test";
import { constants, inflateRawSync } from "node:zlib";
import fc from "fast-check";
import { TextFrame } from "../../src/core/ports/text-frame.ts";
import { FrameBuilder, framedLength } from "../../src/runtime/websocket-frame-bytes.ts";

function textFrame(text: string): TextFrame {
  return new TextFrame(new TextEncoder().encode(text));
}

function inflate(payload: Buffer): Buffer {
  const tail = Buffer.from([0, 0, 0xff, 0xff]);
  return inflateRawSync(Buffer.concat([payload, tail]), { finishFlush: constants.Z_SYNC_FLUSH });
}

/** Reads unmasked frames as RFC 6455 §5.2 and RFC 7692 §7.2.2 describe them. */
function read(bytes: Buffer): string[] {
  const texts: string[] = [];
  let offset = 0;
  while (offset < bytes.length) {
    const first = bytes[offset]!;
    expect([0x81, 0xc1]).toContain(first); // FIN, text, and with RSV1: compressed
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
    const payload = bytes.subarray(offset, offset + length);
    texts.push((first === 0xc1 ? inflate(payload) : payload).toString("utf8"));
    offset += length;
  }
  return texts;
}

describe("Frames", () => {
  const builder = new FrameBuilder(100);

  test.each([0, 1, 125, 126, 127, 65_535, 65_536, 1_000_000])(
    "of %d bytes are read again",
    (length) => {
      const text = "x".repeat(length);
      expect(read(builder.build([textFrame(text)], false))).toEqual([text]);
    },
  );

  test("of any texts stand behind one another, and are as long as was said", () => {
    const texts = fc.array(fc.string({ unit: "grapheme", maxLength: 200 }), { maxLength: 20 });
    fc.assert(
      fc.property(texts, (all) => {
        const frames = all.map(textFrame);
        const bytes = builder.build(frames, false);
        expect(bytes.length).toBe(framedLength(frames));
        expect(read(bytes)).toEqual(all);
      }),
      { numRuns: 500 },
    );
  });

  test("from the threshold on are compressed where that was agreed on, and shorter ones are not", () => {
    const texts = ["x".repeat(99), "x".repeat(100), "x".repeat(100_000), ""];
    const bytes = builder.build(texts.map(textFrame), true);
    expect(read(bytes)).toEqual(texts);
    expect(bytes.length).toBeLessThan(100_000 / 50);
    expect(bytes[0]).toBe(0x81);
    expect(bytes[2 + 99]).toBe(0xc1);
  });

  test("are compressed once, however many audiences get them", () => {
    const frame = textFrame("y".repeat(1000));
    const first = builder.build([frame], true);
    // Were it compressed again, other bytes would come out.
    frame.bytes.fill(0x7a);
    expect(builder.build([frame], true)).toEqual(first);
  });
});
