import type { Log } from "../core/log.ts";
import type { SourceListener, SourceMessage, SourceStatus, StreamTip } from "../core/source.ts";

/** A listener whose errors are logged instead of thrown: nats.js would stop reading its socket. */
export class GuardedListener implements SourceListener {
  readonly #listener: SourceListener;
  readonly #log: Log;

  constructor(listener: SourceListener, log: Log) {
    this.#listener = listener;
    this.#log = log;
  }

  message(message: SourceMessage): void {
    try {
      this.#listener.message(message);
    } catch (error) {
      const { subject } = message;
      this.#log.error("A message on {subject} was not taken: {error}", { subject, error });
    }
  }

  status(status: SourceStatus): void {
    try {
      this.#listener.status(status);
    } catch (error) {
      this.#log.error("A status was not taken: {error}", { error });
    }
  }

  stream(tip: StreamTip): void {
    try {
      this.#listener.stream(tip);
    } catch (error) {
      this.#log.error("The way of stream {stream} was not taken: {error}", {
        stream: tip.name,
        error,
      });
    }
  }

  arrives(pattern: string): void {
    try {
      this.#listener.arrives(pattern);
    } catch (error) {
      this.#log.error("The arrival of {pattern} was not taken: {error}", { pattern, error });
    }
  }

  refused(pattern: string, reason: string, isFinal?: boolean): void {
    try {
      this.#listener.refused(pattern, reason, isFinal);
    } catch (error) {
      this.#log.error("The refusal of {pattern} was not taken: {error}", { pattern, error });
    }
  }
}
