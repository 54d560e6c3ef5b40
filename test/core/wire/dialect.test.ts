import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { PLAIN, SSE, V1 } from "../../../src/core/wire/dialect.ts";
import { saysEndOf } from "../../../src/core/wire/end-cursor.ts";
import { type Envelope, EnvelopeEncoder } from "../../../src/core/wire/envelope.ts";
import { readEvents } from "../../support/event-parser.ts";
import { endOf, messageOf, messagesOf } from "../support/messages.ts";

const encoder = new EnvelopeEncoder({ payloadFormat: "raw", headers: [] });
const anyEnvelope = fc
  .tuple(
    fc.oneof(
      fc.uint8Array({ maxLength: 100 }),
      fc.json().map((json) => new TextEncoder().encode(json)),
      fc
        .constantFrom('{\r\n"a":\r1}', "\r1", "[1,\n2]", "a\rb", "\n\n")
        .map((text) => new TextEncoder().encode(text)),
    ),
    fc.string({ unit: "grapheme", minLength: 1, maxLength: 20 }),
    fc.nat(),
  )
  .map(([data, subject, sequence]) =>
    encoder.encode({ subject, data }, { origin: "o", sequence }, 0),
  );
const anyEnvelopes = fc.array(anyEnvelope, { minLength: 1, maxLength: 20 });

describe("The plain dialect", () => {
  test("puts each envelope in a frame, as it is", () => {
    const envelopes = messagesOf(1, 3);
    expect(PLAIN.pack(envelopes)).toBe(envelopes);
    expect(PLAIN.sendsNotices).toBe(false);
  });

  test("has no frame for the end of a subject", () => {
    const envelopes = [messageOf(1), endOf(2)];
    expect(PLAIN.pack(envelopes)).toBe(envelopes);
  });
});

describe("The v1 dialect", () => {
  test("puts what leaves together into one frame, a line each", () => {
    fc.assert(
      fc.property(anyEnvelopes, (envelopes) => {
        const [frame, ...others] = V1.pack(envelopes);
        expect(others).toEqual([]);
        expect(frame!.text.split("\n")).toEqual(envelopes.map(({ text }) => text));
      }),
      { numRuns: 500 },
    );
  });

  test.each([
    ["one message", [endOf(1)], [1]],
    ["several messages", [messageOf(1), endOf(2, 'b"\\'), messageOf(3)], [2]],
  ])("has the end of a subject after its message, with %s", (_, envelopes, [ending]) => {
    const lines = V1.pack(envelopes)
      .flatMap(({ text }) => text.split("\n"))
      .map((line) => JSON.parse(line));
    const expected = envelopes.flatMap((envelope) => {
      const { id, subject, text } = envelope;
      const data = JSON.parse(text);
      return envelope.sequence === ending ? [data, { type: "end", subject, id }] : [data];
    });
    expect(lines).toEqual(expected);
  });

  test("never has the end of a subject in another frame than its message", () => {
    const long = messageOf(1, "a", 256 * 1024 - 100);
    const frames = V1.pack([long, endOf(2), endOf(3, "b")]).map(({ text }) => text);
    for (const frame of frames.slice(1))
      expect(JSON.parse(frame.split("\n")[0]!).type).toBe("data");
    expect(frames.length).toBeGreaterThan(1);
  });

  test("copies nothing where there is one envelope", () => {
    const envelope = messageOf(1);
    expect(V1.pack([envelope])).toEqual([envelope]);
    expect(V1.pack([envelope])[0]).toBe(envelope);
  });

  test.each([
    ["frames of 256 KiB at the most", Array(10).fill(60_000), [4, 4, 2]],
    ["a longer envelope alone", [100, 300_000, 100, 100], [1, 1, 2]],
    ["a longer envelope first and last", [300_000, 100, 300_000], [1, 1, 1]],
  ])("has %s", (_, lengths, expected) => {
    const envelopes = lengths.map((length: number, n: number) => messageOf(n + 1, "a", length));
    const frames = V1.pack(envelopes);
    expect(frames.map(({ text }) => text.split("\n").length)).toEqual(expected);
    expect(frames.flatMap(({ text }) => text.split("\n"))).toEqual(
      envelopes.map(({ text }: Envelope) => text),
    );
    for (const { byteLength, text } of frames) {
      if (text.includes("\n")) expect(byteLength).toBeLessThanOrEqual(256 * 1024);
    }
  });

  test("says what it has to say as one JSON object", () => {
    const frame = { type: "unsubscribed", sub: 'a"\n' } as const;
    const { text } = V1.notice(frame);
    expect(JSON.parse(text)).toEqual(frame);
    expect(text).not.toContain("\n");
  });
});

describe("Server-sent events", () => {
  test("have the cursor as their id and the envelope as their data, as an EventSource reads them", () => {
    fc.assert(
      fc.property(anyEnvelopes, (envelopes) => {
        const stream = SSE.pack(envelopes)
          .map(({ text }) => text)
          .join("");
        const events = readEvents(stream);
        expect(events.map(({ type, id }) => [type, id])).toEqual(
          envelopes.map(({ id }) => ["message", id]),
        );
        for (const [index, { data }] of events.entries()) {
          expect(data).toBe(envelopes[index]!.text.replaceAll("\r", " "));
          expect(JSON.parse(data)).toEqual(JSON.parse(envelopes[index]!.text));
        }
      }),
      { numRuns: 1000 },
    );
  });

  test("that end a subject follow its message, which has no id of its own", () => {
    const ending = endOf(8, "runs.\u{1F916}");
    const stream = SSE.pack([messageOf(7), ending, messageOf(9)])[0]!.text;
    const events = readEvents(stream);
    expect(events.map(({ type }) => type)).toEqual(["message", "message", "end", "message"]);
    expect(events[1]).toEqual({ type: "message", id: "o:7", data: ending.text });
    expect(JSON.parse(events[2]!.data)).toEqual({
      type: "end",
      subject: ending.subject,
      id: "o:8",
    });
    expect(saysEndOf(ending.subject, events[2]!.id)).toBe(true);
    expect(events[3]!.id).toBe("o:9");
  });

  test("that are notices are named by their type, and leave the cursor as it is", () => {
    const data = SSE.pack([messageOf(7)])[0]!.text;
    const notice = SSE.notice({ type: "caught_up", sub: "a\r\n" }).text;
    const events = readEvents(data + notice);
    expect(events[1]).toEqual({
      type: "caught_up",
      data: '{"type":"caught_up","sub":"a\\r\\n"}',
      id: "o:7",
    });
  });
});
