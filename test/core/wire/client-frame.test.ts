import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { isLongerThan, readClientFrame } from "../../../src/core/wire/client-frame.ts";
import { requestOf } from "../../../src/core/wire/subscription-request.ts";
import { MAX_ID_LENGTH, MAX_PATTERNS, MAX_RATE } from "../../../src/protocol/fields.ts";

const encoder = new TextEncoder();

function v1(frame: unknown) {
  return readClientFrame(JSON.stringify(frame), "v1");
}

/** What the core makes of a `subscribe`. */
function request(frame: unknown) {
  const read = v1(frame);
  if (read.type !== "subscribe") throw new Error(`no request: ${JSON.stringify(read)}`);
  return requestOf(read.id, read);
}

const SUBSCRIBE = { type: "subscribe", id: "1", subjects: ["a.>"] } as const;
const { type: _, ...WISH } = SUBSCRIBE;

describe("Frame of a client", () => {
  test("is the same as text and as bytes", () => {
    const text = '{"type":"ack","id":"é"}';
    expect(readClientFrame(text, "plain")).toEqual({ type: "ack", id: "é" });
    expect(readClientFrame(encoder.encode(text), "plain")).toEqual({ type: "ack", id: "é" });
  });

  test("has nothing in it but what is known", () => {
    expect(readClientFrame('{"type":"ok","id":1,"more":{"a":[]}}', "plain")).toEqual({
      type: "ok",
    });
    expect(v1({ type: "ping", id: "x", toString: 1 })).toEqual({ type: "ping", id: "x" });
  });

  test.each(["plain", "v1"] as const)(
    "acknowledges one message, several, or all up to one, in %s",
    (dialect) => {
      const read = (frame: unknown) => readClientFrame(JSON.stringify(frame), dialect);
      expect(read({ type: "ack", id: "o:7" })).toEqual({ type: "ack", id: "o:7" });
      expect(read({ type: "ack", ids: ["o:7", "o:9"] })).toEqual({
        type: "ack",
        ids: ["o:7", "o:9"],
      });
      expect(read({ type: "ack", upto: "o:7" })).toEqual({ type: "ack", upto: "o:7" });
      expect(read({ type: "nack", ids: ["o:7"], payload: { reason: "x" } })).toEqual({
        type: "nack",
        ids: ["o:7"],
      });
      for (const frame of [
        { type: "nack", upto: "o:7" },
        { type: "ack", ids: [7] },
      ]) {
        expect(read(frame).type).toBe("fault");
      }
    },
  );

  test("with a token may have an id, and is none of a plain client", () => {
    const frame = { type: "auth", token: "s3cret" } as const;
    expect(v1(frame)).toEqual(frame);
    expect(v1({ ...frame, id: "9", more: 1 })).toEqual({ ...frame, id: "9" });
    for (const token of [undefined, "", 7, ["s3cret"]]) {
      const message = '"auth" needs a "token"';
      const read = v1({ type: "auth", id: "9", token });
      expect(read).toEqual({ type: "fault", code: "malformed", message, id: "9" });
    }
    expect(readClientFrame(JSON.stringify(frame), "plain")).toMatchObject({
      type: "fault",
      code: "malformed",
    });
  });

  test("subscribes to patterns, with what is asked for besides", () => {
    expect(request(SUBSCRIBE)).toEqual({ ...WISH, policy: undefined, maxRate: undefined });
    expect(
      request({ ...SUBSCRIBE, policy: "conflate", max_rate: 0.5, from: { after: "o:7" } }),
    ).toEqual({ ...WISH, policy: "conflate", maxRate: 0.5, after: "o:7" });
    expect(v1({ ...SUBSCRIBE, from: "new", mode: "at-most-once" }).type).toBe("subscribe");
    expect(request({ ...SUBSCRIBE, from: "all" })).toMatchObject({ start: "all" });
    expect(request({ ...SUBSCRIBE, from: { seq: 7 } })).toMatchObject({ start: { sequence: 7 } });
    expect(request({ ...SUBSCRIBE, from: { time: "1970-01-01T00:00:01.5+00:00" } })).toMatchObject({
      start: { timeMs: 1500 },
    });
  });

  test("begins at one place, whatever else its from has", () => {
    const from = { seq: 7, after: "o:1", more: 1 };
    expect(request({ ...SUBSCRIBE, from })).toMatchObject({ after: "o:1", start: undefined });
    expect(v1({ ...SUBSCRIBE, from: { ...from, after: "" } })).toMatchObject({ type: "fault" });
  });

  test.each(
    (
      [
        ["malformed", { subjects: "everything" }],
        ["malformed", { subjects: [] }],
        ["malformed", { subjects: "a" }],
        ["malformed", { subjects: { length: 1, 0: "a" } }],
        ["malformed", { subjects: Array(MAX_PATTERNS + 1).fill("a") }],
        ["invalid_subject", { subjects: ["a", "a..b"] }],
        ["invalid_subject", { subjects: ["a b"] }],
        ["invalid_subject", { subjects: ["a.>.b"] }],
        ["invalid_subject", { subjects: [1] }],
        ["invalid_subject", { subjects: [null] }],
        ["invalid_subject", { subjects: [["a"]] }],
        ["invalid_subject", { subjects: ["x".repeat(5000)] }],
        ["malformed", { policy: "none" }],
        ["malformed", { policy: null }],
        ["malformed", { policy: "__proto__" }],
        ["malformed", { max_rate: 0 }],
        ["malformed", { max_rate: -1 }],
        ["malformed", { max_rate: "1" }],
        ["malformed", { max_rate: null }],
        ["malformed", { max_rate: MAX_RATE + 1 }],
        ["unsupported", { mode: "exactly-once" }],
        ["unsupported", { from: "first" }],
        ["unsupported", { from: null }],
        ["unsupported", { from: [] }],
        ["unsupported", { from: {} }],
        ["unsupported", { from: { after: "" } }],
        ["unsupported", { from: { after: 7 } }],
        ["unsupported", { from: { seq: 0 } }],
        ["unsupported", { from: { seq: "7" } }],
        ["unsupported", { from: { time: "yesterday" } }],
        ["unsupported", { from: { time: "2026-13-01T00:00:00Z" } }],
      ] as [string, object][]
    ).map(([code, wrong]) => [code, JSON.stringify(wrong).slice(0, 60), wrong] as const),
  )("is a fault, %s, with %s", (code, _, wrong) => {
    const fault = v1({ ...SUBSCRIBE, ...wrong });
    expect(fault).toMatchObject({ type: "fault", code, id: "1" });
    if (fault.type === "fault") expect(fault.message.length).toBeLessThan(300);
  });

  test.each([undefined, "", 1, null, {}, "x".repeat(MAX_ID_LENGTH + 1)])(
    "subscribes to nothing without a name",
    (id) => {
      const fault = v1({ ...SUBSCRIBE, id });
      expect(fault).toMatchObject({ type: "fault", code: "malformed" });
      expect(fault).toMatchObject({ id: undefined });
    },
  );

  test("of v1 means nothing in the plain dialect", () => {
    for (const frame of [SUBSCRIBE, { type: "unsubscribe", sub: "1" }, { type: "ping" }]) {
      expect(readClientFrame(JSON.stringify(frame), "plain").type).toBe("fault");
    }
  });

  test.each([
    ["deep arrays", `${"[".repeat(100_000)}${"]".repeat(100_000)}`],
    ["deep objects", `${'{"a":'.repeat(100_000)}1${"}".repeat(100_000)}`],
    ["unclosed arrays", "[".repeat(1_000_000)],
    [
      "a deep subject",
      `{"type":"subscribe","id":"1","subjects":[${"[".repeat(20_000)}${"]".repeat(20_000)}]}`,
    ],
    ["a huge number", `{"type":"subscribe","id":"1","subjects":["a"],"max_rate":1e999}`],
    ["a tiny number", `{"type":"subscribe","id":"1","subjects":["a"],"max_rate":1e-999}`],
    ["a huge id", `{"type":"subscribe","id":1${"0".repeat(10_000)},"subjects":["a"]}`],
    ["a prototype", '{"__proto__":{"type":"ok"}}'],
    ["a constructor", '{"type":"constructor","constructor":1}'],
    ["an inherited name", '{"type":"toString"}'],
    ["a NUL", "\0"],
    ["a BOM", '\ufeff\ufeff{"type":"ok"}'],
    ["a lone surrogate", '{"type":"subscribe","id":"1","subjects":["\\ud800 "]}'],
    ["two objects", '{"type":"ok"}{"type":"ok"}'],
  ])("that is %s is a fault", (_, text) => {
    for (const dialect of ["plain", "v1"] as const) {
      expect(readClientFrame(text, dialect).type).toBe("fault");
      expect(readClientFrame(encoder.encode(text), dialect).type).toBe("fault");
    }
  });

  test("that ends in the middle of a character is a fault", () => {
    const whole = encoder.encode('{"type":"ack","id":"😀"}');
    for (let end = 0; end < whole.length; end++) {
      expect(readClientFrame(whole.subarray(0, end), "v1").type).toBe("fault");
    }
    const cut = Uint8Array.from([
      ...encoder.encode('{"type":"ack","id":"'),
      0xf0,
      0x9f,
      ...encoder.encode('"}'),
    ]);
    expect(readClientFrame(cut, "v1").type).toBe("fault");
  });

  const anyValue = fc.anything({ maxDepth: 3, withNullPrototype: false });
  const field = fc.constantFrom(
    "type",
    "id",
    "sub",
    "subjects",
    "policy",
    "max_rate",
    "from",
    "mode",
    "upto",
    "__proto__",
    "x",
  );
  const value = fc.oneof(
    anyValue,
    fc.constantFrom<unknown>(
      "subscribe",
      "unsubscribe",
      "ping",
      "ack",
      "nack",
      "ok",
      "a.>",
      ["a"],
      ["a", ">.b"],
      { after: "o:1" },
    ),
  );
  const json = fc
    .array(fc.tuple(field, value), { maxLength: 8 })
    .map((entries) => `{${entries.flatMap(([name, value]) => safeJson(name, value)).join(",")}}`);

  test("is read or a fault, whatever it is, and never thrown at", () => {
    const anything = fc.oneof(
      fc.uint8Array({ maxLength: 200 }),
      fc.string({ unit: "binary" }),
      fc.json(),
      json,
      json.map((text) => encoder.encode(text)),
      fc.tuple(json, fc.nat(100), fc.nat(255)).map(([text, at, byte]) => {
        const bytes = encoder.encode(text);
        bytes[at % bytes.length] = byte;
        return bytes;
      }),
    );
    const types = ["fault", "ack", "nack", "slow", "ok", "subscribe", "unsubscribe", "ping"];
    fc.assert(
      fc.property(anything, fc.constantFrom("plain" as const, "v1" as const), (data, dialect) => {
        const frame = readClientFrame(data, dialect);
        expect(types).toContain(frame.type);
        if (frame.type === "subscribe") {
          expect(frame.subjects.length).toBeWithin(1, MAX_PATTERNS + 1);
          expect(frame.subjects.every((subject) => typeof subject === "string")).toBe(true);
          expect(frame.id.length).toBeWithin(1, MAX_ID_LENGTH + 1);
          if (frame.max_rate !== undefined) expect(frame.max_rate).toBeGreaterThan(0);
        }
        if (frame.type === "fault") expect(frame.message.length).toBeLessThan(400);
      }),
      { numRuns: 10_000 },
    );
  });
});

/** A member of an object as JSON, if it can be one. */
function safeJson(name: string, value: unknown): string[] {
  try {
    const json = JSON.stringify(value);
    return json === undefined ? [] : [`${JSON.stringify(name)}:${json}`];
  } catch {
    return [];
  }
}

describe("Length of a frame", () => {
  test("is that of its UTF-8", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary", maxLength: 60 }), fc.nat(100), (text, maxBytes) => {
        const { length } = encoder.encode(text);
        expect(isLongerThan(text, maxBytes)).toBe(length > maxBytes);
        expect(isLongerThan(encoder.encode(text), maxBytes)).toBe(length > maxBytes);
      }),
      { numRuns: 2000 },
    );
  });
});
