import type { DurableMessage, StreamPosition } from "../../core/ports/source.ts";
import type { Msg } from "../connect.ts";
import { NatsMessage, type ReportUnreadable } from "../nats-message.ts";

/** The facts about a message in its reply subject. */
export interface Delivery {
  /** Its number in the stream, and its number among the messages of its consumer. */
  readonly sequence: number;
  readonly delivered: number;
  /** When it was stored, in Unix milliseconds. */
  readonly timestampMs: number;
  /** How many more messages the consumer has. */
  readonly pending: number;
  /** How often it was delivered, this time included. */
  readonly deliveries: number;
}

/** The most milliseconds since 1970 of a `Date`. */
const MOST_MS = 8.64e15;

/**
 * Reads `$JS.ACK.<stream>.<consumer>.<attempts>.<sequence>.<delivered>.<nanoseconds>.<pending>`, or its
 * newer form with two more tokens before and perhaps one after (ADR-15). `undefined`: the message belongs to no
 * stream. It is a status of the consumer, or somebody else wrote to our inbox.
 */
export function readDelivery(reply: string | undefined): Delivery | undefined {
  if (reply === undefined || !reply.startsWith("$JS.ACK.")) return undefined;
  const tokens = reply.split(".");
  const first = tokens.length === 9 ? 5 : 7;
  const numbers = tokens.slice(first - 1, first + 4);
  if (numbers.length < 5 || !numbers.every((token) => /^\d+$/.test(token))) return undefined;
  const [deliveries = 0, sequence = 0, delivered = 0, , pending = 0] = numbers.map(Number);
  // A number can't hold so many nanoseconds.
  const timestampMs = Number(numbers[3]?.slice(0, -6));
  const isSafe = [deliveries, sequence, delivered, pending].every(Number.isSafeInteger);
  if (!isSafe || sequence < 1 || timestampMs > MOST_MS) return undefined;
  return { sequence, delivered, timestampMs, pending, deliveries };
}

const OPERATIONS: Readonly<Record<string, "delete" | "purge">> = {
  DEL: "delete",
  PURGE: "purge",
  // The server's own marker for values that became too old (ADR-43).
  MaxAge: "purge",
};

/** A message of a stream. */
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
   * The operation on a key of a key-value bucket, whose marker is an empty message (ADR-8). Publishers can
   * write any text there: others than the known ones count as none.
   */
  get operation(): "delete" | "purge" | undefined {
    if (this.data.length > 0 || !this.subject.startsWith("$KV.")) return undefined;
    const headers = this.readHeaders();
    const operation = headers.last("KV-Operation") || headers.last("Nats-Marker-Reason") || "";
    return Object.hasOwn(OPERATIONS, operation) ? OPERATIONS[operation] : undefined;
  }
}

/** A message of a durable, which waits until it is settled. */
export class UnsettledMessage extends StreamMessage implements DurableMessage {
  readonly deliveries: number;
  readonly receipt: string;

  constructor(msg: Msg, origin: string, delivery: Delivery, unreadable: ReportUnreadable) {
    super(msg.subject, msg, origin, delivery, unreadable);
    this.deliveries = delivery.deliveries;
    this.receipt = msg.reply as string;
  }
}
