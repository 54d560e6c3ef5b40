/**
 * The kind of some bytes.
 *
 * - `"json"`: a JSON text (RFC 8259) that is all ASCII and on one line.
 * - `"other"`: no JSON.
 * - `"unclear"`: beyond ASCII, of several lines, or nested deeper than is looked into here; the
 *   platform's own parser knows.
 */
export type JsonVerdict = "json" | "other" | "unclear";

/** One bit for each open object or array. */
const MAX_DEPTH = 31;
const UNCLEAR = -2;
const WRONG = -1;

const QUOTE = 0x22;
const COMMA = 0x2c;
const COLON = 0x3a;
const BACKSLASH = 0x5c;
const NEWLINE = 0x0a;
const ARRAY_OPENS = 0x5b;
const ARRAY_ENDS = 0x5d;
const OBJECT_OPENS = 0x7b;
const OBJECT_ENDS = 0x7d;

const PLAIN = markBytes(
  (byte) => byte >= 0x20 && byte < 0x80 && byte !== QUOTE && byte !== BACKSLASH,
);
const DIGIT = markBytes((byte) => byte >= 0x30 && byte <= 0x39);
const HEX = markBytes((byte) => /[0-9A-Fa-f]/.test(String.fromCharCode(byte)));
const ESCAPE = markBytes((byte) => '"\\/bfnrt'.includes(String.fromCharCode(byte)));
const SPACE = markBytes((byte) => " \t\r".includes(String.fromCharCode(byte)));

function markBytes(belongs: (byte: number) => boolean): Uint8Array {
  return Uint8Array.from({ length: 256 }, (_, byte) => (belongs(byte) ? 1 : 0));
}

/**
 * Tells whether bytes are JSON without making a value of them: every message passes here, and this
 * costs a fraction of decoding and parsing.
 */
export function judgeJson(bytes: Uint8Array): JsonVerdict {
  let depth = 0;
  /** By depth from the lowest bit: 1 for an object, 0 for an array. */
  let objects = 0;
  let at = skipSpace(bytes, 0);
  for (;;) {
    if (at < 0) return verdictOf(at);
    const opens = bytes[at];
    if (opens === OBJECT_OPENS || opens === ARRAY_OPENS) {
      const isObject = opens === OBJECT_OPENS;
      at = skipSpace(bytes, at + 1);
      if (at < 0) return verdictOf(at);
      if (bytes[at] === (isObject ? OBJECT_ENDS : ARRAY_ENDS)) {
        at++;
      } else {
        if (depth === MAX_DEPTH) return "unclear";
        depth++;
        objects = (objects << 1) | (isObject ? 1 : 0);
        if (isObject) at = skipKey(bytes, at);
        continue;
      }
    } else {
      at = opens === QUOTE ? skipString(bytes, at + 1) : skipScalar(bytes, at);
      if (at < 0) return verdictOf(at);
    }
    // A value has ended: so may what it stands in.
    for (;;) {
      at = skipSpace(bytes, at);
      if (at < 0) return verdictOf(at);
      if (depth === 0) return at === bytes.length ? "json" : "other";
      const isObject = (objects & 1) === 1;
      if (bytes[at] === COMMA) {
        at = skipSpace(bytes, at + 1);
        if (isObject && at > 0) at = skipKey(bytes, at);
        break;
      }
      if (bytes[at] !== (isObject ? OBJECT_ENDS : ARRAY_ENDS)) return "other";
      depth--;
      objects >>>= 1;
      at++;
    }
  }
}

function verdictOf(at: number): JsonVerdict {
  return at === UNCLEAR ? "unclear" : "other";
}

/** Space that is no line's end. */
function skipSpace(bytes: Uint8Array, from: number): number {
  let at = from;
  while (at < bytes.length && SPACE[bytes[at]!] === 1) at++;
  return bytes[at] === NEWLINE ? UNCLEAR : at;
}

/** A key, its colon, and the space around that. */
function skipKey(bytes: Uint8Array, from: number): number {
  if (bytes[from] !== QUOTE) return WRONG;
  const end = skipString(bytes, from + 1);
  if (end < 0) return end;
  const colon = skipSpace(bytes, end);
  if (colon < 0) return colon;
  return bytes[colon] === COLON ? skipSpace(bytes, colon + 1) : WRONG;
}

/** From behind the opening quote to behind the closing one. */
function skipString(bytes: Uint8Array, from: number): number {
  let at = from;
  for (;;) {
    at = skipPlain(bytes, at);
    const byte = bytes[at];
    if (byte === QUOTE) return at + 1;
    if (byte === undefined) return WRONG;
    if (byte >= 0x80) return UNCLEAR;
    if (byte !== BACKSLASH) return WRONG;
    const escaped = bytes[at + 1];
    if (escaped === 0x75) {
      for (let digit = at + 2; digit < at + 6; digit++) {
        if (HEX[bytes[digit] ?? 0] !== 1) return WRONG;
      }
      at += 6;
    } else {
      if (ESCAPE[escaped ?? 0] !== 1) return WRONG;
      at += 2;
    }
  }
}

/** Most of what there is of a message: looked at by four. */
function skipPlain(bytes: Uint8Array, from: number): number {
  let at = from;
  const lastFour = bytes.length - 4;
  while (
    at <= lastFour &&
    (PLAIN[bytes[at]!]! &
      PLAIN[bytes[at + 1]!]! &
      PLAIN[bytes[at + 2]!]! &
      PLAIN[bytes[at + 3]!]!) ===
      1
  ) {
    at += 4;
  }
  while (at < bytes.length && PLAIN[bytes[at]!] === 1) at++;
  return at;
}

/** A number, or a literal name. */
function skipScalar(bytes: Uint8Array, from: number): number {
  switch (bytes[from]) {
    case 0x74:
      return skipWord(bytes, from, "true");
    case 0x66:
      return skipWord(bytes, from, "false");
    case 0x6e:
      return skipWord(bytes, from, "null");
    default:
      return skipNumber(bytes, from);
  }
}

function skipWord(bytes: Uint8Array, from: number, word: string): number {
  for (let index = 0; index < word.length; index++) {
    if (bytes[from + index] !== word.charCodeAt(index)) return WRONG;
  }
  return from + word.length;
}

function skipNumber(bytes: Uint8Array, from: number): number {
  let at = bytes[from] === 0x2d ? from + 1 : from;
  const whole = at;
  at = skipDigits(bytes, whole);
  if (at === whole || (bytes[whole] === 0x30 && at > whole + 1)) return WRONG;
  if (bytes[at] === 0x2e) {
    const fraction = at + 1;
    at = skipDigits(bytes, fraction);
    if (at === fraction) return WRONG;
  }
  if (bytes[at] === 0x65 || bytes[at] === 0x45) {
    const sign = bytes[at + 1];
    const exponent = sign === 0x2b || sign === 0x2d ? at + 2 : at + 1;
    at = skipDigits(bytes, exponent);
    if (at === exponent) return WRONG;
  }
  return at;
}

function skipDigits(bytes: Uint8Array, from: number): number {
  let at = from;
  while (at < bytes.length && DIGIT[bytes[at]!] === 1) at++;
  return at;
}
