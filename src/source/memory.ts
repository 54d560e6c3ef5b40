import { SpillwayError } from "../core/errors.ts";
import type {
  MessageSource,
  Publisher,
  SourceListener,
  SourceMessage,
  SourceStatus,
} from "../core/source.ts";
import { carries, subjectFault } from "../core/subject.ts";
import { checkSubjects } from "./subjects.ts";

/**
 * A source without NATS: what is published to it is what it delivers, for trials, tests and
 * gateways that are fed over HTTP alone.
 */
export class MemorySource implements MessageSource, Publisher {
  readonly name = "the embedded source";
  readonly #subjects: readonly string[];
  #listener: SourceListener | undefined;

  /** @param options.subjects what is delivered, wildcards allowed; at least one. */
  constructor(options: { subjects: readonly string[] }) {
    checkSubjects(options.subjects);
    this.#subjects = [...options.subjects];
  }

  get status(): SourceStatus {
    return this.#listener === undefined
      ? { state: "idle" }
      : { state: "connected", to: "the embedded source" };
  }

  start(listener: SourceListener): void {
    if (this.#listener !== undefined) {
      throw new SpillwayError("invalid", "SOURCE_STARTED", "Cannot start a source that is started");
    }
    this.#listener = listener;
    listener.status(this.status);
  }

  /** Stops at once: nothing is ever under way. */
  async stop(_timeoutMs: number): Promise<void> {
    const listener = this.#listener;
    this.#listener = undefined;
    listener?.status({ state: "idle" });
  }

  /**
   * Delivers a message before it returns, or forgets it when no configured subject matches or the
   * source is not started, as NATS forgets what nobody subscribes to.
   *
   * @throws SpillwayError `SUBJECT_INVALID` when nobody can publish to such a subject.
   */
  publish(message: SourceMessage): void {
    const fault = subjectFault(message.subject, false);
    if (fault !== undefined) {
      throw new SpillwayError(
        "invalid",
        "SUBJECT_INVALID",
        `Cannot publish to ${JSON.stringify(message.subject)} as a subject ${fault}`,
      );
    }
    if (!this.#subjects.some((pattern) => carries(pattern, message.subject))) return;
    this.#listener?.message(message);
  }
}
