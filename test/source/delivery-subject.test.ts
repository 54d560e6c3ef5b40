import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { readDelivery } from "../../src/source/jetstream/stream-message.ts";

describe("What JetStream says in a reply subject", () => {
  test("is read in its older and newer forms", () => {
    const read = {
      deliveries: 2,
      sequence: 7,
      delivered: 9,
      timestampMs: 1_700_000_000_123,
      pending: 3,
    };
    const numbers = "2.7.9.1700000000123456789.3";
    expect(readDelivery(`$JS.ACK.S.C.${numbers}`)).toEqual(read);
    expect(readDelivery(`$JS.ACK._.HASH.S.C.${numbers}`)).toEqual(read);
    expect(readDelivery(`$JS.ACK.hub.HASH.S.C.${numbers}.token`)).toEqual(read);
  });

  for (const reply of [
    undefined,
    "",
    "_INBOX.1",
    "$JS.ACK.",
    "$JS.ACK.S.C.1.2",
    "$JS.ACK.S.C.1.x.3.1700000000123456789.0",
    "$JS.ACK.S.C.1.-2.3.1700000000123456789.0",
    "$JS.ACK.S.C.1.0.3.1700000000123456789.0",
    "$JS.ACK.S.C.1.2..1700000000123456789.0",
    "$JS.ACK.S.C.1.99999999999999999.3.1700000000123456789.0",
    "$JS.ACK.S.C.1.2.3.99999999999999999999999999.0",
  ]) {
    test(`is none in ${reply}`, () => expect(readDelivery(reply)).toBeUndefined());
  }

  test("is of whole numbers, whatever comes", () => {
    const token = fc.oneof(fc.nat().map(String), fc.string(), fc.constant(""));
    fc.assert(
      fc.property(fc.array(token, { maxLength: 13 }), (tokens) => {
        const read = readDelivery(`$JS.ACK.${tokens.join(".")}`);
        expect(read === undefined || Object.values(read).every(Number.isSafeInteger)).toBe(true);
      }),
    );
  });
});
