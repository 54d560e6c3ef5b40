import { NoRespondersError } from "../requests.ts";
import { verdictOf } from "./api-error.ts";

/** How long requests may fail while NATS is connected, before the clients that wait are refused. */
const PATIENCE_MS = 15_000;
/** The same if nobody answers at all: JetStream is not enabled, or its cluster has no leader yet. */
const NO_RESPONDERS_MS = 5_000;

/** Decides when a failure that may pass has lasted too long. */
export class FailureDeadline {
  readonly #mostMs: number;
  readonly #nowMs: () => number;
  #sinceMs: number | undefined;

  constructor(mostMs = PATIENCE_MS, nowMs = () => performance.now()) {
    this.#mostMs = mostMs;
    this.#nowMs = nowMs;
  }

  /** A request succeeded, or the connection is another one. */
  reset(): void {
    this.#sinceMs = undefined;
  }

  /** A request failed. @returns whether the failure counts as final. */
  isFinal(thrown: unknown): boolean {
    const nowMs = this.#nowMs();
    this.#sinceMs ??= nowMs;
    const mostMs =
      thrown instanceof NoRespondersError ? Math.min(NO_RESPONDERS_MS, this.#mostMs) : this.#mostMs;
    return verdictOf(thrown) === "final" || nowMs - this.#sinceMs >= mostMs;
  }
}
