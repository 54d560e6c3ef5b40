import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { parseHeaders } from "../../src/source/headers.ts";
import { PlaceReader } from "../../src/source/jetstream/message-place.ts";

const encoder = new TextEncoder();

interface Written {
  readonly stream: string;
  readonly subject: string;
  readonly sequence: number;
  readonly time: string;
}

const WRITTEN: Written = {
  stream: "ORDERS",
  subject: "orders.eu.17",
  sequence: 42,
  time: "2026-11-29T14:57:17.123456789Z",
};

/** Writes headers as nats-server does, behind those of the publisher. */
function headersOf({ stream, subject, sequence, time }: Written, ...own: string[]): string {
  return [
    "NATS/1.0",
    ...own,
    `Nats-Stream: ${stream}`,
    `Nats-Subject: ${subject}`,
    `Nats-Sequence: ${sequence}`,
    `Nats-Time-Stamp: ${time}`,
    "Nats-Num-Pending: 7",
    "Nats-Last-Sequence: 41",
    "",
    "",
  ].join("\r\n");
}

function read(headers: string, reader = new PlaceReader()) {
  const bytes = encoder.encode(headers);
  const data = encoder.encode("\r\n\r\n{}");
  return reader.read({ bytes: Uint8Array.of(...bytes, ...data), dataAt: bytes.length });
}

function placeOf({ time, ...place }: Written) {
  return { ...place, timestampMs: Date.parse(time) };
}

describe("The place of a message that is read directly", () => {
  test("is read from the server's headers, whatever the publisher's are", () => {
    const own = ["A: 1", "Nats-Sequence: 99", "Nats-Stream: X", "Nats-Subject: x", "B:"];
    expect(read(headersOf(WRITTEN))).toEqual(placeOf(WRITTEN));
    expect(read(headersOf(WRITTEN, ...own))).toEqual(placeOf(WRITTEN));
  });

  test("is that of each message of an answer, whatever they have in common", () => {
    const written = fc.record({
      stream: fc.constantFrom("A", "AB", "B"),
      subject: fc.constantFrom("a", "b", "ab", "a.b", "ä.\u2028", "\ufeffa"),
      sequence: fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER }),
      time: fc
        .tuple(
          fc.date({
            min: new Date("1970-01-01"),
            max: new Date("2260-01-01"),
            noInvalidDate: true,
          }),
          fc.constantFrom("", ".1", ".12", ".123", ".1234", ".000000001", ".99"),
        )
        .map(([date, fraction]) => `${date.toISOString().slice(0, 19)}${fraction}Z`),
    });
    fc.assert(
      fc.property(fc.array(written, { maxLength: 20 }), (all) => {
        const reader = new PlaceReader();
        for (const one of all) expect(read(headersOf(one), reader)).toEqual(placeOf(one));
      }),
    );
  });

  test("is unknown unless the last headers are all of the server's, in their order", () => {
    const lines = headersOf(WRITTEN).split("\r\n");
    for (let left = 1; left < 7; left++) {
      expect(read(lines.toSpliced(left, 1).join("\r\n"))).toBeUndefined();
      const [line = ""] = lines.slice(left);
      expect(read(lines.with(left, `X${line}`).join("\r\n"))).toBeUndefined();
    }
    expect(read(headersOf(WRITTEN).replace(/(\r\n)$/, "A: 1\r\n\r\n"))).toBeUndefined();
    expect(read("NATS/1.0 204 EOB\r\nNats-Num-Pending: 0\r\n\r\n")).toBeUndefined();
    expect(read("")).toBeUndefined();
    expect(new PlaceReader().read(undefined)).toBeUndefined();
  });

  test("has no number where the server wrote none", () => {
    for (const time of ["", "yesterday", "2026-11-29T14:57:17.1+01:00", "2026-11-29T1x:57:17Z"]) {
      expect(read(headersOf({ ...WRITTEN, time }))?.timestampMs).toBeNaN();
    }
    const headers = headersOf(WRITTEN).replace("Nats-Sequence: 42", "Nats-Sequence: 4x");
    expect(read(headers)?.sequence).toBeNaN();
  });

  test("is read from any bytes without an error, and never otherwise than the headers say", () => {
    const odd = fc.array(
      fc.constantFrom("\r\n", "\n", "Nats-Stream: ", "Nats-Subject: ", "Nats-Sequence: ", "1", "x"),
      { maxLength: 30 },
    );
    fc.assert(
      fc.property(odd, (parts) => {
        const headers = headersOf(WRITTEN, parts.join(""));
        const parsed = parseHeaders(headers);
        const place = read(headers);
        if (parsed === undefined || place === undefined) return;
        expect(place.subject).toBe(parsed.last("Nats-Subject")!);
        read(parts.join(""));
      }),
    );
  });
});
