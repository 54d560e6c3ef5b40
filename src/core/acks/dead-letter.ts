import type { SourceMessage } from "../ports/source.ts";
import { cursorOf, type Envelope } from "../wire/envelope.ts";

/** What became of the last attempt to deliver a message that was given up. */
export type DeadLetterReason = "nack" | "ack_timeout";

/** What a payload stands behind. */
const PAYLOAD = ',"payload":'.length;

/**
 * A message that was given up, for the dead-letter subject: the data that was published (as
 * `payload_format` has it, and on one line where it is JSON), with headers that say why it is here.
 */
export function deadLetterOf(
  envelope: Envelope,
  subject: string,
  reason: DeadLetterReason,
  deliveries: number,
): SourceMessage {
  const headers = {
    "Spillway-Subject": envelope.subject,
    "Spillway-Id": cursorOf(envelope),
    "Spillway-Reason": "max_deliver",
    "Spillway-Last-Failure": reason,
    "Spillway-Deliveries": String(deliveries),
  };
  return {
    subject,
    data: dataOf(envelope),
    headers: new Map(Object.entries(headers).map(([name, value]) => [name, [value]])),
  };
}

/** The inverse of what an encoder does to data. */
function dataOf({ bytes, payloadAt, text }: Envelope): Uint8Array {
  const { encoding, payload } = JSON.parse(text) as { encoding?: string; payload: string };
  switch (encoding) {
    case undefined:
      return bytes.slice(payloadAt + PAYLOAD, -1);
    case "empty":
      return new Uint8Array();
    case "base64":
      return Uint8Array.from(atob(payload), (char) => char.charCodeAt(0));
    default:
      return new TextEncoder().encode(payload);
  }
}
