import type { SourceMessage } from "../core/source.ts";
import type { Msg } from "./connect.ts";

/** A message of NATS in the core's words; headers are read only when somebody wants them. */
export class NatsMessage implements SourceMessage {
  readonly subject: string;
  readonly data: Uint8Array;
  readonly #msg: Msg;

  /** @param subject the message's own, which nats.js decodes anew each time. */
  constructor(subject: string, msg: Msg) {
    this.subject = subject;
    this.data = msg.data;
    this.#msg = msg;
  }

  /** `undefined`, too, when they break NATS' ADR-4: nats-server passes on whatever it gets. */
  get headers(): ReadonlyMap<string, readonly string[]> | undefined {
    try {
      const headers = new Map(this.#msg.headers);
      return headers.size === 0 ? undefined : headers;
    } catch {
      return undefined;
    }
  }
}
