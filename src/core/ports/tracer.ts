import type { SourceMessage } from "./source.ts";

/** Headers that hand a trace on, by name. */
export type TraceHeaders = ReadonlyMap<string, readonly string[]>;

/** A message that the gateway is about to publish. */
export interface OutgoingMessage {
  readonly action: "publish" | "request";
  readonly subject: string;
  /** The size of its data. */
  readonly bytes: number;
  /** The headers of its sender, whose trace it continues. */
  readonly headers: Iterable<readonly [name: string, values: readonly string[]]>;
}

/** Records what happens to messages. Where nobody records it, there is no tracer. Its methods return at once and never throw. */
export interface Tracer {
  /** Begins to record a live message of the source; `undefined` if this one isn't recorded. */
  arrived(message: SourceMessage): DeliveryTrace | undefined;
  /** Begins to record a message that the gateway publishes. */
  sending(message: OutgoingMessage): SendingTrace;
}

/** Records a message from its arrival until the sockets have it. */
export interface DeliveryTrace {
  /**
   * An audience wants the message.
   *
   * @param live the number of its members that get the message now.
   * @param queued the number of its members for which it waits.
   */
  wanted(live: number, queued: number): void;
  /** The sockets have the message, as far as it doesn't wait. */
  end(): void;
}

/** Records a message from when it is sent until it is answered. */
export interface SendingTrace {
  /** The headers that the message must have instead of those of its sender with the same names, in any case. */
  readonly headers: TraceHeaders;
  /** @param failure the code of the error; `undefined`: it is published or answered. */
  end(failure?: string): void;
}
