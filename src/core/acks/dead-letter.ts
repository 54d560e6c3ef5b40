import type { SourceMessage } from "../ports/source.ts";
import { cursorOf, type Envelope } from "../wire/envelope.ts";

/** Why the last delivery of a message failed. */
export type DeadLetterReason = "nack" | "ack_timeout";

/** The text before a payload in an envelope. */
const PAYLOAD = ',"payload":'.length;

/**
 * Makes the dead letter of a message that was given up: its data (as `payload_format` writes it; JSON is on one
 * line), with headers that say why it was given up.
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

/** Returns the data that an envelope was made of. */
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
