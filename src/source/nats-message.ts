import type { SourceMessage } from "../core/ports/source.ts";
import type { Msg } from "./connect.ts";
import { type Headers, readHeaders } from "./headers.ts";

/** Counts something that was sent and can't be read. */
export type ReportUnreadable = (detail: string) => void;

/** A message of NATS in the core's words; headers are read only when somebody wants them. */
export class NatsMessage implements SourceMessage {
  readonly subject: string;
  readonly data: Uint8Array;
  readonly #msg: Msg;
  readonly #unreadable: ReportUnreadable;
  #read: Headers | undefined;

  /** @param subject the message's own, which nats.js decodes anew each time. */
  constructor(subject: string, msg: Msg, unreadable: ReportUnreadable) {
    this.subject = subject;
    this.data = msg.data;
    this.#msg = msg;
    this.#unreadable = unreadable;
  }

  /** `undefined`, too, when they break NATS' ADR-4. */
  get headers(): ReadonlyMap<string, readonly string[]> | undefined {
    const { fields } = this.readHeaders();
    return fields.size === 0 ? undefined : fields;
  }

  /** Reads the headers, once. */
  protected readHeaders(): Headers {
    this.#read ??= readHeaders(this.#msg, this.#unreadable);
    return this.#read;
  }
}
