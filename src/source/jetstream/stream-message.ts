import type { DurableMessage, StreamPosition } from "../../core/source.ts";
import type { Msg } from "../connect.ts";
import { NatsMessage } from "../nats-message.ts";

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

/**
 * Reads `$JS.ACK.<stream>.<consumer>.<attempts>.<sequence>.<delivered>.<nanoseconds>.<pending>`, or its
 * newer form with two tokens more in front and perhaps one behind (ADR-15). `undefined`: the message is no
 * stream's, but one about its consumer.
 */
export function readDelivery(reply: string | undefined): Delivery | undefined {
  if (reply === undefined || !reply.startsWith("$JS.ACK.")) return undefined;
  const tokens = reply.split(".");
  const first = tokens.length === 9 ? 5 : 7;
  return {
    sequence: Number(tokens[first]),
    delivered: Number(tokens[first + 1]),
    // Nanoseconds are more than a number holds.
    timestampMs: Number(tokens[first + 2]?.slice(0, -6)),
    pending: Number(tokens[first + 3]),
    deliveries: Number(tokens[first - 1]),
  };
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
  readonly #msg: Msg;

  constructor(
    subject: string,
    msg: Msg,
    origin: string,
    { sequence, timestampMs }: Pick<Delivery, "sequence" | "timestampMs">,
  ) {
    super(subject, msg);
    this.#msg = msg;
    this.position = { origin, sequence };
    this.timestampMs = timestampMs;
  }

  /** Of a key-value bucket: its markers of what is no longer there are empty (ADR-8). */
  get operation(): "delete" | "purge" | undefined {
    if (this.data.length > 0 || !this.subject.startsWith("$KV.")) return undefined;
    const headers = this.#msg.headers;
    return OPERATIONS[headers?.get("KV-Operation") || headers?.get("Nats-Marker-Reason") || ""];
  }
}

/** One of a consumer that waits for it to be settled. */
export class UnsettledMessage extends StreamMessage implements DurableMessage {
  readonly deliveries: number;
  readonly receipt: string;

  constructor(msg: Msg, origin: string, delivery: Delivery) {
    super(msg.subject, msg, origin, delivery);
    this.deliveries = delivery.deliveries;
    this.receipt = msg.reply as string;
  }
}
