import { NoRespondersError } from "../requests.ts";
import { verdictOf } from "./api-error.ts";

/** How long a request may fail while NATS is connected, before the client that waits for it gets an answer. */
const PATIENCE_MS = 15_000;
/** The same where nobody answers at all: JetStream is enabled nowhere, or its cluster has no leader yet. */
const NO_RESPONDERS_MS = 5_000;

/** Decides when something that may pass has lasted too long. */
export class FailureDeadline {
  readonly #mostMs: number;
  readonly #nowMs: () => number;
  #sinceMs: number | undefined;

  constructor(mostMs = PATIENCE_MS, nowMs = () => performance.now()) {
    this.#mostMs = mostMs;
    this.#nowMs = nowMs;
  }

  /** It works, or there is another connection. */
  reset(): void {
    this.#sinceMs = undefined;
  }

  /** Whether a failure is to be answered as if it was final. */
  isFinal(thrown: unknown): boolean {
    const nowMs = this.#nowMs();
    this.#sinceMs ??= nowMs;
    const mostMs =
      thrown instanceof NoRespondersError ? Math.min(NO_RESPONDERS_MS, this.#mostMs) : this.#mostMs;
    return verdictOf(thrown) === "final" || nowMs - this.#sinceMs >= mostMs;
  }
}
