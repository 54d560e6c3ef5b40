import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import type { Msg } from "../../src/source/connect.ts";
import { hasHeader, parseHeaders, readHeaders } from "../../src/source/headers.ts";

const text = (...lines: string[]): string => [...lines, "", ""].join("\r\n");

describe("Headers", () => {
  test("have a status, and each name's values in their order", () => {
    const headers = parseHeaders(text("NATS/1.0 408 Request Timeout", "A: 1", "B:2", "A:  3 "));
    expect(headers).toMatchObject({ code: 408, description: "Request Timeout" });
    expect([...headers!.fields]).toEqual([
      ["A", ["1", "3"]],
      ["B", ["2"]],
    ]);
    expect(headers?.last("A")).toBe("3");
    expect(headers?.last("a")).toBeUndefined();
  });

  test("have values without the blanks around them, and with all other white space", () => {
    const odd = ["\u00a0", "\ufeff", "\u2028", "\v", "\f", "\u3000", "\0"];
    for (const character of odd) {
      const value = `${character}a b${character}`;
      expect(parseHeaders(text("NATS/1.0", `A: \t${value}\t `))?.last("A")).toBe(value);
    }
    expect(parseHeaders(text("NATS/1.0", "A: \t "))?.last("A")).toBe("");
  });

  test("may have none of both, and odd statuses", () => {
    expect(parseHeaders(text("NATS/1.0"))).toMatchObject({ code: 0, description: "" });
    expect(parseHeaders(text("NATS/1.0 503"))).toMatchObject({ code: 503, description: "" });
    expect(parseHeaders(text("NATS/1.0 oh no"))).toMatchObject({ code: 0 });
    expect(parseHeaders(text("NATS/1.0", "no colon"))?.fields.size).toBe(0);
  });

  for (const line of ["Trace Id: 1", ": 1", " A: 1", "Ä: 1", "A\t: 1", "A: 1\n2", "A: 1\r2"]) {
    test(`count as none where a line is ${JSON.stringify(line)}`, () => {
      expect(parseHeaders(text("NATS/1.0", "B: 2", line))).toBeUndefined();
    });
  }

  test("count as none without their version", () => {
    expect(parseHeaders(text("HTTP/1.1 200 OK", "A: 1"))).toBeUndefined();
    expect(parseHeaders("")).toBeUndefined();
  });

  test("of whatever is sent are read without an error", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), fc.nat(220), (bytes, hdr) => {
        const msg = { _msg: { hdr }, _rdata: bytes, subject: "x" };
        let unreadable = 0;
        const headers = readHeaders(msg as unknown as Msg, () => unreadable++);
        expect(headers.fields.size === 0 || unreadable === 0).toBe(true);
      }),
    );
  });

  test("of a connection of another version are read by that, and none where it throws", () => {
    const details: string[] = [];
    const throwing = {
      subject: "odd.one",
      get headers() {
        throw new Error("bad header");
      },
    };
    expect(readHeaders(throwing as unknown as Msg, (it) => details.push(it)).fields.size).toBe(0);
    expect(details).toEqual(["the headers of a message on odd.one can't be read"]);
  });

  test("have a name if a line is that name's, however the message is read", () => {
    const names = fc.constantFrom(
      "Spillway-End",
      "spillway-end",
      "Spillway-Ending",
      "X",
      "Spillway",
    );
    const headers = fc.array(fc.tuple(names, fc.constantFrom("", "1", "Spillway-End: 1")), {
      maxLength: 4,
    });
    fc.assert(
      fc.property(headers, fc.constantFrom("", "1", "\nSpillway-End: 1\n"), (lines, payload) => {
        const head =
          lines.length === 0 ? "" : text("NATS/1.0", ...lines.map((line) => line.join(":")));
        const hdr = head === "" ? -1 : head.length;
        const _rdata = new TextEncoder().encode(head + payload);
        const msg = { subject: "x", _msg: { hdr }, _rdata } as unknown as Msg;
        const expected = lines.some(([name]) => name === "Spillway-End");
        // One of another version of nats.js has its headers only.
        const { fields } = readHeaders(msg, () => expect.unreachable());
        for (const one of [msg, { subject: "x", headers: fields } as unknown as Msg]) {
          const read = () => readHeaders(one, () => expect.unreachable());
          expect(hasHeader(one, "Spillway-End", read)).toBe(expected);
        }
      }),
      { numRuns: 500 },
    );
  });

  test("are not parsed without the name", () => {
    const _rdata = new TextEncoder().encode(text("NATS/1.0", "A: Spillway-End"));
    const msg = { subject: "x", _msg: { hdr: _rdata.length }, _rdata };
    expect(hasHeader(msg as unknown as Msg, "Spillway-End", () => expect.unreachable())).toBe(
      false,
    );
  });
});
