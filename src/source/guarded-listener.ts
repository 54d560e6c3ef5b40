import { reasonOf } from "../core/ports/errors.ts";
import type { Log } from "../core/ports/log.ts";
import type {
  SourceFault,
  SourceListener,
  SourceMessage,
  SourceStatus,
  StreamState,
} from "../core/ports/source.ts";

/** Counts the errors of a listener. If they were thrown, nats.js would stop reading its socket. */
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
      this.#failed(`a message on ${message.subject}`, error);
    }
  }

  status(status: SourceStatus): void {
    this.#guard("a status", () => this.#listener.status(status));
  }

  stream(state: StreamState): void {
    this.#guard(`the state of stream ${state.name}`, () => this.#listener.stream(state));
  }

  streamRefused(name: string, reason: string): void {
    this.#guard(`the refusal of stream ${name}`, () => this.#listener.streamRefused(name, reason));
  }

  arrives(pattern: string): void {
    this.#guard(`the arrival of ${pattern}`, () => this.#listener.arrives(pattern));
  }

  refused(pattern: string, reason: string, isFinal?: boolean): void {
    this.#guard(`the refusal of ${pattern}`, () =>
      this.#listener.refused(pattern, reason, isFinal),
    );
  }

  fault(kind: SourceFault, detail: string): void {
    try {
      this.#listener.fault(kind, detail);
    } catch (error) {
      this.#log.error("Reporting a fault failed: {error}", { error });
    }
  }

  #guard(what: string, call: () => void): void {
    try {
      call();
    } catch (error) {
      this.#failed(what, error);
    }
  }

  #failed(what: string, error: unknown): void {
    this.fault("source_fault", `handling ${what} failed: ${reasonOf(error)}`);
  }
}
