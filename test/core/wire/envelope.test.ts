import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { EnvelopeEncoder, type PayloadFormat } from "../../../src/core/wire/envelope.ts";

const TIME_MS = 1_732_300_000_000;

function encode(
  data: string | Uint8Array,
  options: {
    payloadFormat?: PayloadFormat;
    headers?: string[];
    sent?: Map<string, string[]>;
    subject?: string;
  } = {},
): string {
  const encoder = new EnvelopeEncoder({
    payloadFormat: options.payloadFormat ?? "raw",
    headers: options.headers ?? [],
  });
  const bytes = typeof data === "string" ? new TextEncoder().encode(data) : data;
  const message = { subject: options.subject ?? "orders.eu", data: bytes, headers: options.sent };
  const envelope = encoder.encode(message, { origin: "e", sequence: 1 }, TIME_MS);
  expect(envelope.byteLength).toBe(new TextEncoder().encode(envelope.text).length);
  expect(envelope.text).not.toContain("\n");
  return envelope.text;
}

const HEAD = '{"type":"data","id":"e:1","timestamp":1732300000000,"subject":"orders.eu"';

describe("Envelopes behind one another", () => {
  test("say each its own place, time and subject, whatever they have in common", () => {
    const encoder = new EnvelopeEncoder({ payloadFormat: "raw", headers: [] });
    const messages = [
      ...[1, 2, 3].map((sequence) => ["o", sequence, TIME_MS, "a"] as const),
      ...[4, 5].map((sequence) => ["o", sequence, TIME_MS + 1, "a"] as const),
      ...[6, 7].map((sequence) => ["o", sequence, TIME_MS + 1, "b"] as const),
      ["other", 8, TIME_MS + 1, "b"] as const,
      ["o", 9, TIME_MS, "a"] as const,
    ];
    for (const [origin, sequence, timestamp, subject] of messages) {
      const message = { subject, data: new TextEncoder().encode("1") };
      const { text } = encoder.encode(message, { origin, sequence }, timestamp);
      const id = `${origin}:${sequence}`;
      expect(JSON.parse(text)).toEqual({ type: "data", id, timestamp, subject, payload: 1 });
    }
  });
});

describe("Envelope carries", () => {
  test.each([
    ["an object", '{"b":1,"a":[true,null]}'],
    ["integers above 2^53", '{"n":9007199254740993123}'],
    ["duplicate keys in their order", '{"a":1,"b":2,"a":3}'],
    ["numbers as they are written", "[1.0,1e2,-0,1E+2]"],
    ["escapes as they are written", '"\\u00e9\\/"'],
    ["white space", ' { "a" :\t1 } '],
    ["the literal null", "null"],
  ])("%s byte for byte", (_, json) => {
    expect(encode(json)).toBe(`${HEAD},"payload":${json}}`);
  });

  test("a newline between tokens as a space", () => {
    expect(encode('{\n"a":\n1}')).toBe(`${HEAD},"payload":{ "a": 1}}`);
  });

  test("text that is not JSON as a string, marked text", () => {
    expect(encode('say "hi"\n')).toBe(`${HEAD},"encoding":"text","payload":"say \\"hi\\"\\n"}`);
  });

  test("bytes that are not UTF-8 in base64, marked base64", () => {
    expect(encode(new Uint8Array([0xff, 0x00, 0x10]))).toBe(
      `${HEAD},"encoding":"base64","payload":"/wAQ"}`,
    );
  });

  test("no data as null, marked empty", () => {
    expect(encode("")).toBe(`${HEAD},"encoding":"empty","payload":null}`);
  });

  test("a subject with any characters that NATS takes", () => {
    expect(JSON.parse(encode("1", { subject: 'a"b\\.é' })).subject).toBe('a"b\\.é');
  });

  test("any bytes so that the same bytes come out", () => {
    const anyData = fc.oneof(
      fc.uint8Array({ maxLength: 300 }),
      fc.json().map((json) => new TextEncoder().encode(json)),
      fc.string({ unit: "binary" }).map((text) => new TextEncoder().encode(text)),
      fc
        .constantFrom("\ufeff1", "\ufeff", "\u2028", "nul", "[", '"\\ud800"')
        .map((text) => new TextEncoder().encode(text)),
    );
    fc.assert(
      fc.property(anyData, (data) => {
        const text = encode(data);
        expect(decode(text)).toEqual(
          Array.from(data, (byte) => (byte === 10 && isJson(text) ? 32 : byte)),
        );
      }),
      { numRuns: 2000 },
    );
  });

  test("payloads of a megabyte that are not UTF-8", () => {
    const data = new Uint8Array(1_000_000).fill(0xfe);
    expect(decode(encode(data))).toHaveLength(1_000_000);
  });
});

/** The bytes that a client makes of an envelope. */
function decode(text: string): number[] {
  const { encoding, payload } = JSON.parse(text);
  if (encoding === "empty") return [];
  if (encoding === "base64") return [...Buffer.from(payload, "base64")];
  if (encoding === "text") return [...new TextEncoder().encode(payload)];
  const start = text.indexOf('"payload":') + '"payload":'.length;
  return [...new TextEncoder().encode(text.slice(start, -1))];
}

function isJson(text: string): boolean {
  return !("encoding" in JSON.parse(text));
}

describe("Headers in the envelope", () => {
  const sent = new Map([
    ["Trace-Id", ["7"]],
    ["Secret", ["s"]],
  ]);

  test("are only those on the list, named in any case, before the payload", () => {
    expect(encode("1", { headers: ["trace-id"], sent })).toBe(
      `${HEAD},"headers":{"Trace-Id":["7"]},"payload":1}`,
    );
  });

  test("are left out when there are none to show", () => {
    expect(encode("1", { headers: ["other"], sent })).toBe(`${HEAD},"payload":1}`);
    expect(encode("1", { headers: ["trace-id"] })).toBe(`${HEAD},"payload":1}`);
  });
});

describe("Annotated payload", () => {
  const annotated = { payloadFormat: "annotated" } as const;
  const added = '"timestamp":"2024-11-22T18:26:40.000Z","subject":"orders.eu"';

  test("of an object has timestamp and subject behind its own keys, which stay as they are", () => {
    expect(encode('{"n":9007199254740993123}', annotated)).toBe(
      `${HEAD},"payload":{"n":9007199254740993123,${added}}}`,
    );
  });

  test("of an empty object has only them", () => {
    expect(encode(" { } ", annotated)).toBe(`${HEAD},"payload":{${added}}}`);
  });

  test("keeps an object's own timestamp and subject", () => {
    expect(encode('{"subject":1,"timestamp":2}', annotated)).toBe(
      `${HEAD},"payload":{"subject":1,"timestamp":2}}`,
    );
  });

  test.each([
    ["null", "null"],
    ["text", "hello"],
    ["[1]", "[1]"],
  ])("of %s is wrapped as raw_data", (_, data) => {
    expect(JSON.parse(encode(data, annotated)).payload).toEqual({
      type: "raw_data",
      subject: "orders.eu",
      data,
      timestamp: "2024-11-22T18:26:40.000Z",
    });
  });
});
