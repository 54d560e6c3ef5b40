import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { ByteWriter } from "../../../src/core/wire/byte-writer.ts";
import { EnvelopeEncoder } from "../../../src/core/wire/envelope.ts";

const encoder = new TextEncoder();
const decoder = new TextDecoder("utf-8", { ignoreBOM: true });

describe("ByteWriter", () => {
  test("gives back what was written, and never writes over it", () => {
    const part = fc.oneof(
      fc.string({ unit: "binary", maxLength: 40 }),
      fc.string({ unit: "binary-ascii", maxLength: 40 }),
      fc.uint8Array({ maxLength: 40 }),
      fc.maxSafeNat(),
      fc.constant("é".repeat(5000)),
    );
    const messages = fc.array(
      fc.record({
        parts: fc.array(part, { maxLength: 4 }),
        spare: fc.constantFrom(0, 100, 9000, 70_000),
      }),
      { maxLength: 30 },
    );
    fc.assert(
      fc.property(messages, (all) => {
        const writer = new ByteWriter();
        const taken = all.map(({ parts, spare }) => {
          const most = parts.reduce<number>(
            (sum, part) => sum + (typeof part === "number" ? 16 : part.length * 3),
            spare,
          );
          writer.begin(most);
          for (const part of parts) {
            if (typeof part === "string") writer.text(part);
            else if (typeof part === "number") writer.decimal(part);
            else writer.bytes(part);
          }
          const { length } = writer;
          const bytes = writer.take();
          expect(bytes.length).toBe(length);
          return bytes;
        });
        for (const [index, { parts }] of all.entries()) {
          const expected = parts.map((part) =>
            part instanceof Uint8Array ? part : encoder.encode(String(part)),
          );
          expect(Buffer.concat(expected).equals(taken[index]!)).toBe(true);
        }
      }),
      { numRuns: 500 },
    );
  });

  test("writes a text as JSON.stringify does", () => {
    fc.assert(
      fc.property(
        fc.oneof(fc.string({ unit: "binary" }), fc.string({ unit: "binary-ascii" })),
        (text) => {
          const writer = new ByteWriter();
          writer.begin(text.length * 6 + 2);
          writer.jsonText(text);
          expect(decoder.decode(writer.take())).toBe(JSON.stringify(text));
        },
      ),
      { numRuns: 2000 },
    );
  });

  test("that was left in the middle begins anew", () => {
    const writer = new ByteWriter();
    writer.begin(10);
    writer.text("lost");
    writer.begin(10);
    writer.text("kept");
    expect(decoder.decode(writer.take())).toBe("kept");
  });

  test("gives a copy of what was written since", () => {
    const writer = new ByteWriter();
    writer.begin(10);
    writer.text("ab");
    const { length } = writer;
    writer.text("cd");
    expect(decoder.decode(writer.since(length))).toBe("cd");
  });

  test.each([
    ["short ones share memory", 100, 64 * 1024],
    ["a long one takes no more than it is long", 10_000, 10_000],
    ["a very long one takes no more than it is long", 1_000_000, 1_000_000],
  ])("%s", (_, length, memory) => {
    const writer = new ByteWriter();
    for (let n = 0; n < 5; n++) {
      writer.begin(length);
      writer.bytes(new Uint8Array(length));
      expect(writer.take().buffer.byteLength).toBe(memory);
    }
  });

  test("what was asked for in vain is not kept", () => {
    const writer = new ByteWriter();
    writer.begin(300_000);
    writer.text("x".repeat(100_000));
    expect(writer.take().buffer.byteLength).toBe(100_000);
  });
});

describe("Envelopes of one encoder", () => {
  const data = fc.oneof(
    fc.uint8Array({ maxLength: 300 }),
    fc.json().map((json) => encoder.encode(json)),
    fc.string({ unit: "binary", maxLength: 300 }).map((text) => encoder.encode(text)),
    fc.nat(30_000).map((length) => encoder.encode(JSON.stringify("é".repeat(length)))),
  );
  const headers = fc.option(
    fc.dictionary(fc.constantFrom("A", "b", "c"), fc.array(fc.string({ unit: "binary" })), {
      noNullPrototype: true,
    }),
    { nil: undefined },
  );
  const message = fc.record({
    subject: fc.string({ unit: "binary", minLength: 1, maxLength: 60 }),
    data,
    headers: headers.map((all) => all && new Map(Object.entries(all))),
  });

  test("each stay what they were, whatever comes after them", () => {
    fc.assert(
      fc.property(
        fc.array(message, { minLength: 1, maxLength: 30 }),
        fc.constantFrom("raw" as const, "annotated" as const),
        fc.maxSafeNat(),
        (messages, payloadFormat, first) => {
          const options = { payloadFormat, headers: ["a", "B"] };
          const together = new EnvelopeEncoder(options);
          const encode = (encoder: EnvelopeEncoder, index: number) =>
            encoder.encode(
              messages[index]!,
              { origin: "o", sequence: first + index },
              1_732_300_000_000 + index,
            );
          const all = messages.map((_, index) => encode(together, index));
          for (const [index, envelope] of all.entries()) {
            const alone = encode(new EnvelopeEncoder(options), index);
            expect(decoder.decode(envelope.bytes)).toBe(alone.text);
            expect(alone.text).not.toContain("\n");
            const { id, timestamp, subject } = JSON.parse(envelope.text);
            expect([id, timestamp]).toEqual([`o:${first + index}`, 1_732_300_000_000 + index]);
            expect(subject).toBe(messages[index]!.subject);
          }
        },
      ),
      { numRuns: 300 },
    );
  });

  test("say how many they supersede, before the payload, and are what they were otherwise", () => {
    fc.assert(
      fc.property(message, fc.nat(1_000_000), (message, count) => {
        const encoder = new EnvelopeEncoder({ payloadFormat: "raw", headers: ["a"] });
        const envelope = encoder.encode(message, { origin: "o", sequence: 7 }, 0);
        const before = envelope.text;
        const marked = envelope.with("superseded", count);
        const { superseded, ...rest } = JSON.parse(marked.text);
        expect(superseded).toBe(count);
        expect(rest).toEqual(JSON.parse(before));
        expect(Object.keys(JSON.parse(marked.text)).at(-1)).toBe("payload");
        expect([marked.id, marked.subject, marked.sequence]).toEqual(["o:7", message.subject, 7]);
        expect(decoder.decode(envelope.bytes)).toBe(before);
      }),
      { numRuns: 500 },
    );
  });

  test("that stand for earlier ones count them all, and know the first", () => {
    const encoder = new EnvelopeEncoder({ payloadFormat: "raw", headers: [] });
    const [one, two, three, four] = [1, 2, 3, 4].map((sequence) =>
      encoder.encode({ subject: "a", data: jsonOf(sequence) }, { origin: "o", sequence }, 0),
    );
    const both = two!.superseding(one!);
    expect([both.sequence, both.superseded, both.firstSequence]).toEqual([2, 1, 1]);
    const all = four!.superseding(three!).superseding(both);
    expect([all.sequence, all.superseded, all.firstSequence]).toEqual([4, 3, 1]);
    expect(all.bytes).toBe(four!.bytes);
  });
});

function jsonOf(value: unknown): Uint8Array {
  return encoder.encode(JSON.stringify(value));
}
