const ZERO = 0x30;
const NINE = 0x39;
/** A number of more digits may not be exact. */
const MOST_DIGITS = 15;

/** The id is of another origin, or is no id. */
export const UNKNOWN_ID = -1;

/** The acknowledgements of StreamKit's client begin with this; the id follows. */
const ACK = '{"type":"ack","id":"';
const TIMESTAMP = '","timestamp":';
const ENDS = '"}';

/** Reads the sequence in an id; {@linkcode UNKNOWN_ID} for an id of another origin, and for a text that is no id. */
export function sequenceOf(id: string, origin: string): number {
  if (!id.startsWith(origin) || id[origin.length] !== ":") return UNKNOWN_ID;
  const from = origin.length + 1;
  const dash = id.indexOf("-", from);
  if (dash < 0) return readDigits(id, from, id.length);
  // After the dash stands how far a client goes back that resumes there.
  return readDigits(id, dash + 1, id.length) > 0 ? readDigits(id, from, dash) : UNKNOWN_ID;
}

/**
 * Reads an acknowledgement of one message as StreamKit's client and ours write it, byte for byte:
 * `{"type":"ack","id":"<id>"}`, perhaps with `"timestamp":<integer>`.
 *
 * @returns the sequence of the message, as JSON would give it; {@linkcode UNKNOWN_ID} for every other frame,
 * which must be read as JSON.
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

/** Reads a whole number without leading zeros. */
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
