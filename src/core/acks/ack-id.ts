const ZERO = 0x30;
const NINE = 0x39;
/** A sequence of more digits may not be exact. */
const MOST_DIGITS = 15;

/** Of no message of this run. */
export const UNKNOWN_ID = -1;

/** The frame that StreamKit's client answers every message with begins like this, and its id follows. */
const ACK = '{"type":"ack","id":"';
const TIMESTAMP = '","timestamp":';
const ENDS = '"}';

/** The sequence of the message that an id names, {@linkcode UNKNOWN_ID} for those of other runs and for what is no id. */
export function sequenceOf(id: string, origin: string): number {
  if (!id.startsWith(origin) || id[origin.length] !== ":") return UNKNOWN_ID;
  const from = origin.length + 1;
  const dash = id.indexOf("-", from);
  if (dash < 0) return readDigits(id, from, id.length);
  // The dash is followed by how far a client that resumes there goes back.
  return readDigits(id, dash + 1, id.length) > 0 ? readDigits(id, from, dash) : UNKNOWN_ID;
}

/**
 * Reads an acknowledgement of one message as StreamKit's client and ours write it, byte for byte:
 * `{"type":"ack","id":"<id>"}`, perhaps with `"timestamp":<integer>`.
 *
 * @returns the sequence of the message, or {@linkcode UNKNOWN_ID} for all that is not exactly so and
 * must be read as JSON. It never differs from what is read there.
 */
export function readPlainAck(data: string, origin: string): number {
  const colon = ACK.length + origin.length;
  if (!data.startsWith(ACK) || data[colon] !== ":" || !data.startsWith(origin, ACK.length)) {
    return UNKNOWN_ID;
  }
  const end = data.indexOf('"', colon);
  if (end < 0) return UNKNOWN_ID;
  const isWhole =
    (end + ENDS.length === data.length && data.endsWith(ENDS)) ||
    (data.startsWith(TIMESTAMP, end) &&
      data.endsWith("}") &&
      readDigits(data, end + TIMESTAMP.length, data.length - 1) > 0);
  return isWhole ? readDigits(data, colon + 1, end) : UNKNOWN_ID;
}

/** A whole number without leading zeros, but that zero itself is one. */
function readDigits(text: string, from: number, to: number): number {
  if (from === to || to - from > MOST_DIGITS) return UNKNOWN_ID;
  if (text.charCodeAt(from) === ZERO && to - from > 1) return UNKNOWN_ID;
  let value = 0;
  for (let at = from; at < to; at++) {
    const code = text.charCodeAt(at);
    if (code < ZERO || code > NINE) return UNKNOWN_ID;
    value = value * 10 + (code - ZERO);
  }
  return value;
}
