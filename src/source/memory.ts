import { SpillwayError } from "../core/ports/errors.ts";
import type {
  ClientMessage,
  ClientPublisher,
  MessageSource,
  Published,
  Publisher,
  PublishFailure,
  SourceListener,
  SourceMessage,
  SourceStatus,
} from "../core/ports/source.ts";
import { subjectFault } from "../protocol/subject.ts";
import { PatternSet } from "./pattern-set.ts";

const STOPPED: PublishFailure = {
  kind: "failed",
  code: "unavailable",
  message: "the gateway is stopping",
  retryable: true,
};
const NOBODY_ANSWERS: PublishFailure = {
  kind: "failed",
  code: "no_responders",
  message: "requests need NATS",
  retryable: false,
};

/**
 * A source without NATS: delivers what is published to it. For trials, tests, and gateways that get their
 * messages over HTTP.
 */
export class MemorySource implements MessageSource, Publisher {
  readonly name = "the embedded source";
  readonly clientPublisher: ClientPublisher = {
    publish: (message, signal) =>
      new Promise((resolve) => {
        this.whenRoom(() => resolve(this.#take(message)), signal);
      }),
    request: async () => NOBODY_ANSWERS,
  };
  readonly #patterns = new PatternSet();
  #listener: SourceListener | undefined;
  #isDrained = false;
  /** Called with each message that is published here. */
  onPublished: (message: SourceMessage) => void = () => {};
  /** Calls when a client's message can be published, unless the signal is aborted before. Default: at once. */
  whenRoom: (publish: () => void, signal: AbortSignal) => void = (publish) => publish();

  get status(): SourceStatus {
    return this.#listener === undefined
      ? { state: "idle" }
      : { state: "connected", to: "the embedded source" };
  }

  start(listener: SourceListener): void {
    if (this.#listener !== undefined) {
      throw new SpillwayError("SOURCE_STARTED", "Cannot start a source that is started");
    }
    this.#listener = listener;
    this.#isDrained = false;
    listener.status(this.status);
    for (const pattern of [...this.#patterns]) listener.arrives(pattern);
  }

  /** @throws SpillwayError `SUBJECT_INVALID`. */
  subscribe(pattern: string): void {
    if (this.#patterns.add(pattern)) this.#listener?.arrives(pattern);
  }

  unsubscribe(pattern: string): void {
    this.#patterns.delete(pattern);
  }

  /** Resolves at once: no message is ever under way. */
  async drain(_timeoutMs: number): Promise<void> {
    this.#isDrained = true;
  }

  /** Stops at once. */
  async stop(_timeoutMs: number): Promise<void> {
    const listener = this.#listener;
    this.#listener = undefined;
    listener?.status({ state: "idle" });
  }

  /**
   * Delivers a message before it returns. Drops it if no pattern carries its subject or the source is not
   * started, as NATS drops messages without subscribers.
   *
   * @throws SpillwayError `SUBJECT_INVALID`.
   */
  publish(message: SourceMessage): void {
    const fault = subjectFault(message.subject, false);
    if (fault !== undefined) {
      throw new SpillwayError(
        "SUBJECT_INVALID",
        `Cannot publish to ${JSON.stringify(message.subject)} as a subject ${fault}`,
      );
    }
    if (this.#isDrained) return;
    this.onPublished(message);
    this.deliver(message);
  }

  async #take({ subject, data, headers }: ClientMessage): Promise<Published | PublishFailure> {
    if (this.#listener === undefined || this.#isDrained) return STOPPED;
    this.publish({ subject, data, headers });
    return { kind: "published" };
  }

  /** Messages that other processes were asked to publish have not come: tells the listener, as after a lost connection. */
  missed(): void {
    const listener = this.#listener;
    if (listener === undefined) return;
    listener.status({ state: "connecting", reason: "this process stood still for too long" });
    listener.status(this.status);
    for (const pattern of [...this.#patterns]) listener.arrives(pattern);
  }

  /** Delivers a message that another process was asked to publish. */
  deliver(message: SourceMessage): void {
    if (this.#patterns.matches(message.subject)) this.#listener?.message(message);
  }
}
