import type { GapReason } from "../protocol/server-frames.ts";
import { decodePayload } from "./payload.ts";
import type { SchemaIssue } from "./standard-schema.ts";
import type { DataFrame } from "./transport.ts";

/** Fields that a message has whether or not its payload fits its schema. */
interface Message {
  /** Its place, and the cursor after which a subscription resumes. */
  readonly id: string;
  readonly subject: string;
  /** The time at which the stream stored it or the gateway received it, in Unix milliseconds. */
  readonly timestamp: number;
  /** The NATS headers that the gateway shows. */
  readonly headers: Readonly<Record<string, readonly string[]>>;
  /** In a key-value bucket: the key was deleted or purged. */
  readonly operation: "delete" | "purge" | undefined;
  /** With `conflate`: how many earlier messages of its subject it replaces. */
  readonly superseded: number;
  /** In at-least-once: how many times it was sent before. */
  readonly redelivery: number;
  /** In at-least-once: acknowledges it. The next step of the loop does that by itself. Otherwise without effect. */
  ack(): void;
  /** In at-least-once: refuses it, and the gateway sends it again after its back-off. */
  nack(): void;
  /** In at-least-once: asks for more time; the gateway's `ack_timeout` starts again. */
  working(): void;
}

/** A message. */
export interface Data<T> extends Message {
  readonly type: "data";
  /** JSON, a string, a `Uint8Array`, or `null` if there is no data. */
  readonly payload: T;
}

/** A message whose payload doesn't fit the subscription's schema. */
export interface Invalid extends Message {
  readonly type: "invalid";
  readonly payload: unknown;
  readonly issues: readonly SchemaIssue[];
}

/** Messages that do not come. */
export interface Gap {
  readonly type: "gap";
  /** The gateway's reason, or `buffer`: the loop took its messages too slowly, and the buffer was full. */
  readonly reason: GapReason | "buffer";
  /** The first missing message; if `count` is 0, the last one before the gap. */
  readonly from: string;
  /** The last missing message; if `count` is 0, the first position after the gap. */
  readonly to: string;
  /** The number of missing messages; 0 if it is unknown. */
  readonly count: number;
  /** Whether `count` is exact; otherwise at most that many are missing. */
  readonly exact: boolean;
}

/** The replay is complete; the messages that follow are live. */
export interface CaughtUp {
  readonly type: "caught_up";
}

/** A subject has ended: its last message had the header `Spillway-End`. */
export interface End {
  readonly type: "end";
  readonly subject: string;
}

/** A step of the loop over a subscription. */
export type Item<T> = Data<T> | Invalid | Gap | CaughtUp | End;

/** Takes what a loop does with a message. */
export type Settle = (how: "settle" | "refuse" | "working", id: string) => void;

/** A message that was received. Its fields are declared, which costs a page no bytes. */
export class ReceivedMessage implements Message {
  type: "data" | "invalid" = "data";
  declare readonly id: string;
  declare readonly subject: string;
  declare payload: unknown;
  declare issues?: readonly SchemaIssue[];
  declare readonly timestamp: number;
  declare readonly headers: Readonly<Record<string, readonly string[]>>;
  declare readonly operation: "delete" | "purge" | undefined;
  declare superseded: number;
  declare readonly redelivery: number;
  readonly #settle: Settle;
  #isSettled = false;

  constructor(frame: DataFrame, settle: Settle) {
    const {
      id,
      subject,
      timestamp,
      headers = {},
      operation,
      superseded = 0,
      redelivery = 0,
    } = frame;
    this.id = id;
    this.subject = subject;
    this.payload = decodePayload(frame);
    this.timestamp = timestamp;
    this.headers = headers;
    this.operation = operation;
    this.superseded = superseded;
    this.redelivery = redelivery;
    this.#settle = settle;
  }

  ack(): void {
    this.#do("settle");
    this.#isSettled = true;
  }

  nack(): void {
    this.#do("refuse");
    this.#isSettled = true;
  }

  working(): void {
    this.#do("working");
  }

  #do(how: Parameters<Settle>[0]): void {
    if (!this.#isSettled) this.#settle(how, this.id);
  }
}
