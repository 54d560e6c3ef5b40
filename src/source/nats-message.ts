import type { SourceMessage } from "../core/ports/source.ts";
import { END_HEADER } from "../protocol/server-frames.ts";
import type { Msg } from "./connect.ts";
import { type Headers, hasHeader, readData, readHeaders } from "./headers.ts";

/** Counts malformed headers. */
export type ReportUnreadable = (detail: string) => void;

/** A message of NATS. Its headers are parsed when they are read first. */
export class NatsMessage implements SourceMessage {
  readonly subject: string;
  readonly data: Uint8Array;
  readonly #msg: Msg;
  readonly #unreadable: ReportUnreadable;
  #read: Headers | undefined;

  /** @param subject the subject of `msg`, which nats.js decodes each time it is read. */
  constructor(subject: string, msg: Msg, unreadable: ReportUnreadable) {
    this.subject = subject;
    this.data = readData(msg);
    this.#msg = msg;
    this.#unreadable = unreadable;
  }

  /** `undefined` if there are none, or if they are malformed (ADR-4). */
  get headers(): ReadonlyMap<string, readonly string[]> | undefined {
    const { fields } = this.readHeaders();
    return fields.size === 0 ? undefined : fields;
  }

  get ends(): boolean {
    return hasHeader(this.#msg, END_HEADER, () => this.readHeaders());
  }

  /** Parses the headers, once. */
  protected readHeaders(): Headers {
    this.#read ??= readHeaders(this.#msg, this.#unreadable);
    return this.#read;
  }
}
