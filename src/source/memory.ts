import { SpillwayError } from "../core/ports/errors.ts";
import type {
  MessageSource,
  Publisher,
  SourceListener,
  SourceMessage,
  SourceStatus,
} from "../core/ports/source.ts";
import { subjectFault } from "../protocol/subject.ts";
import { PatternSet } from "./pattern-set.ts";

/**
 * A source without NATS: what is published to it is what it delivers, for trials, tests and
 * gateways that are fed over HTTP alone.
 */
export class MemorySource implements MessageSource, Publisher {
  readonly name = "the embedded source";
  readonly #patterns = new PatternSet();
  #listener: SourceListener | undefined;
  #isQuiet = false;

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
    this.#isQuiet = false;
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

  /** Nothing is ever under way. */
  async drain(_timeoutMs: number): Promise<void> {
    this.#isQuiet = true;
  }

  /** Stops at once. */
  async stop(_timeoutMs: number): Promise<void> {
    const listener = this.#listener;
    this.#listener = undefined;
    listener?.status({ state: "idle" });
  }

  /**
   * Delivers a message before it returns, or forgets it when no pattern carries its subject or
   * the source is not started, as NATS forgets what nobody subscribes to.
   *
   * @throws SpillwayError `SUBJECT_INVALID` when nobody can publish to such a subject.
   */
  publish(message: SourceMessage): void {
    const fault = subjectFault(message.subject, false);
    if (fault !== undefined) {
      throw new SpillwayError(
        "SUBJECT_INVALID",
        `Cannot publish to ${JSON.stringify(message.subject)} as a subject ${fault}`,
      );
    }
    if (this.#isQuiet) return;
    if (this.#patterns.matches(message.subject)) this.#listener?.message(message);
  }
}
