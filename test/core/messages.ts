import { type Envelope, EnvelopeEncoder } from "../../src/core/envelope.ts";

const encoder = new EnvelopeEncoder({ payloadFormat: "raw", headers: [] });

/** A message of the origin `"o"`, whose payload is its number, or so long a text. */
export function messageOf(sequence: number, subject = "a", length = 0): Envelope {
  const payload = length === 0 ? sequence : "x".repeat(length);
  const data = new TextEncoder().encode(JSON.stringify(payload));
  return encoder.encode({ subject, data }, { origin: "o", sequence }, 1_732_300_000_000);
}

/** Messages of one subject. */
export function messagesOf(from: number, to: number, subject = "a"): Envelope[] {
  return Array.from({ length: to - from + 1 }, (_, index) => messageOf(from + index, subject));
}
