import type { DurableMessage, StreamPosition } from "../../core/ports/source.ts";
import type { Msg } from "../connect.ts";
import { NatsMessage, type ReportUnreadable } from "../nats-message.ts";

/** What JetStream says of a message in its reply subject. */
export interface Delivery {
  /** Its place in the stream, and among what its consumer was sent. */
  readonly sequence: number;
  readonly delivered: number;
  /** When it was stored, in Unix milliseconds. */
  readonly timestampMs: number;
  /** How many more the consumer has. */
  readonly pending: number;
  /** How often it was delivered, this time included. */
  readonly deliveries: number;
}

/** More milliseconds since 1970 no `Date` has. */
const MOST_MS = 8.64e15;

/**
 * Reads `$JS.ACK.<stream>.<consumer>.<attempts>.<sequence>.<delivered>.<nanoseconds>.<pending>`, or its
 * newer form with two tokens more in front and perhaps one behind (ADR-15). `undefined`: the message is no
 * stream's, but one about its consumer, or somebody else's who writes to our inbox.
 */
export function readDelivery(reply: string | undefined): Delivery | undefined {
  if (reply === undefined || !reply.startsWith("$JS.ACK.")) return undefined;
  const tokens = reply.split(".");
  const first = tokens.length === 9 ? 5 : 7;
  const numbers = tokens.slice(first - 1, first + 4);
  if (numbers.length < 5 || !numbers.every((token) => /^\d+$/.test(token))) return undefined;
  const [deliveries = 0, sequence = 0, delivered = 0, , pending = 0] = numbers.map(Number);
  // Nanoseconds are more than a number holds.
  const timestampMs = Number(numbers[3]?.slice(0, -6));
  const isSafe = [deliveries, sequence, delivered, pending].every(Number.isSafeInteger);
  if (!isSafe || sequence < 1 || timestampMs > MOST_MS) return undefined;
  return { sequence, delivered, timestampMs, pending, deliveries };
}

const OPERATIONS: Readonly<Record<string, "delete" | "purge">> = {
  DEL: "delete",
  PURGE: "purge",
  // What nats-server itself puts in the place of values that were too old (ADR-43).
  MaxAge: "purge",
};

/** A message that a stream keeps. */
export class StreamMessage extends NatsMessage {
  readonly position: StreamPosition;
  readonly timestampMs: number;

  constructor(
    subject: string,
    msg: Msg,
    origin: string,
    { sequence, timestampMs }: Pick<Delivery, "sequence" | "timestampMs">,
    unreadable: ReportUnreadable,
  ) {
    super(subject, msg, unreadable);
    this.position = { origin, sequence };
    this.timestampMs = timestampMs;
  }

  /**
   * The operation on a key of a key-value bucket: the markers of deleted keys are empty (ADR-8). A publisher
   * may write any operation.
   */
  get operation(): "delete" | "purge" | undefined {
    if (this.data.length > 0 || !this.subject.startsWith("$KV.")) return undefined;
    const headers = this.readHeaders();
    const operation = headers.last("KV-Operation") || headers.last("Nats-Marker-Reason") || "";
    return Object.hasOwn(OPERATIONS, operation) ? OPERATIONS[operation] : undefined;
  }
}

/** One of a consumer that waits for it to be settled. */
export class UnsettledMessage extends StreamMessage implements DurableMessage {
  readonly deliveries: number;
  readonly receipt: string;

  constructor(msg: Msg, origin: string, delivery: Delivery, unreadable: ReportUnreadable) {
    super(msg.subject, msg, origin, delivery, unreadable);
    this.deliveries = delivery.deliveries;
    this.receipt = msg.reply as string;
  }
}
