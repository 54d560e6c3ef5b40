import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import {
  readIssuedBefore,
  readRevocationKey,
  revocationKey,
  revocationValue,
} from "../../src/access/revocation-entry.ts";

const bytes = (text: string) => new TextEncoder().encode(text);

describe("Key of a revocation", () => {
  test("is the claim and its value in base64url", () => {
    expect(revocationKey({ claim: "sub", value: "u_42" })).toBe("sub.dV80Mg");
    expect(revocationKey({ claim: "jti", value: "ü?>" })).toBe("jti.w7w_Pg");
  });

  test("is one that NATS takes, and is read as what was written, whatever the value is", () => {
    fc.assert(
      fc.property(
        fc.constantFrom("jti", "sub"),
        fc.string({ unit: "grapheme", minLength: 1 }),
        (claim, value) => {
          const key = revocationKey({ claim, value });
          expect(key).toMatch(/^[-_=.a-zA-Z0-9]+$/);
          expect(readRevocationKey(key)).toEqual({ claim, value });
        },
      ),
    );
  });

  test.each(["", "sub", "sub.", "aud.dV80Mg", "sub.a b", "sub.dV80Mg.x", "sub.dV80Mg==", "sub._w"])(
    "is not %j",
    (key) => {
      expect(readRevocationKey(key)).toBeUndefined();
    },
  );
});

describe("Value of a revocation", () => {
  test("has the time in seconds, as tokens have it", () => {
    const value = revocationValue({ issuedBeforeMs: 1_790_000_000_500 });
    expect(value).toBe('{"issued_before":1790000000.5}');
    expect(readIssuedBefore(bytes(value), 7)).toBe(1_790_000_000_500);
  });

  test.each(["", "x", "null", "1790000000", "{}", '{"issued_before":"1790000000"}', "\u00ff"])(
    "%j revokes everything that was issued before it was written",
    (text) => {
      expect(readIssuedBefore(bytes(text), 7)).toBe(7);
    },
  );
});
