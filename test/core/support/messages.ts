import { type Envelope, EnvelopeEncoder } from "../../../src/core/wire/envelope.ts";

const encoder = new EnvelopeEncoder({ payloadFormat: "raw", headers: [] });

/** A message of the origin `"o"`, whose payload is its number, or so long a text. */
export function messageOf(sequence: number, subject = "a", length = 0): Envelope {
  const payload = length === 0 ? sequence : "x".repeat(length);
  const data = new TextEncoder().encode(JSON.stringify(payload));
  return encoder.encode({ subject, data }, { origin: "o", sequence }, 1_732_300_000_000);
}

/** Like {@linkcode messageOf}; it ends its subject. */
export function endOf(sequence: number, subject = "a"): Envelope {
  const data = new TextEncoder().encode(`${sequence}`);
  return encoder.encode(
    { subject, data, ends: true },
    { origin: "o", sequence },
    1_732_300_000_000,
  );
}

/** So long that memory is not shared with other messages. */
const ALONE = 10_000;

/**
 * How many of so many messages, or of what is looked at of each, are still in memory when all are
 * done with what `use` does.
 */
export async function countKept(
  count: number,
  use: (message: Envelope) => void,
  look: (message: Envelope) => object = (message) => message,
): Promise<number> {
  const references: WeakRef<object>[] = [];
  for (let n = 1; n <= count; n++) {
    const message = messageOf(n, "a", ALONE);
    references.push(new WeakRef(look(message)));
    use(message);
  }
  // What a WeakRef was made of is kept until the present turn is over.
  await new Promise((resolve) => setImmediate(resolve));
  Bun.gc(true);
  return references.filter((reference) => reference.deref() !== undefined).length;
}

/** Messages of one subject. */
export function messagesOf(from: number, to: number, subject = "a"): Envelope[] {
  return Array.from({ length: to - from + 1 }, (_, index) => messageOf(from + index, subject));
}
