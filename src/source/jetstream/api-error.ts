import { NoRespondersError, PermissionError } from "../requests.ts";

/**
 * The meaning of an error of JetStream for a request.
 *
 * - `"missing"`: the stream, the consumer or the message does not exist.
 * - `"filter"`: the stream captures nothing that the filter fits; it may hold such messages all the same.
 * - `"transient"`: asking again soon may help, with nobody doing anything.
 * - `"final"`: it is refused until an operator changes something.
 */
export type Verdict = "missing" | "filter" | "transient" | "final";

/**
 * NATS' own error codes (nats-server's `errors.json`) that don't mean `"final"`.
 *
 * Codes that no request of ours can get, such as the ones about publishing, are not listed.
 */
export const VERDICTS: ReadonlyMap<number, Verdict> = new Map<number, Verdict>([
  /** JSConsumerNotFoundErr */
  [10014, "missing"],
  /** JSNoMessageFoundErr */
  [10037, "missing"],
  /** JSStreamNotFoundErr */
  [10059, "missing"],
  /** JSConsumerDoesNotExist */
  [10149, "missing"],
  /** JSConsumerFilterNotSubsetErr */
  [10093, "filter"],
  /** JSClusterIncompleteErr */
  [10004, "transient"],
  /** JSClusterNoPeersErrF */
  [10005, "transient"],
  /** JSClusterNotAssignedErr */
  [10007, "transient"],
  /** JSClusterNotAvailErr */
  [10008, "transient"],
  /** JSClusterNotLeaderErr */
  [10009, "transient"],
  /** JSConsumerNameExistErr: another gateway makes the durable at this moment. */
  [10013, "transient"],
  /** JSRaftGeneralErrF */
  [10041, "transient"],
  /** JSClusterServerNotMemberErr */
  [10044, "transient"],
  /** JSPeerRemapErr */
  [10075, "transient"],
  /** JSConsumerExistingActiveErr: NATS has not noticed yet that the last one was cut off. */
  [10105, "transient"],
  /** JSConsumerAlreadyExists: another gateway makes the durable at this moment. */
  [10148, "transient"],
  /** JSStreamTooManyRequests */
  [10167, "transient"],
  /** JSClusterServerMemberChangeInflightErr */
  [10202, "transient"],
]);

/** An error that JetStream answered with. */
export class StreamApiError extends Error {
  readonly code: number;
  /** NATS' own; 0 where it gave none. */
  readonly errorCode: number;

  constructor(code: number, description: string, errorCode = 0) {
    super(description);
    this.code = code;
    this.errorCode = errorCode;
  }

  /** There is no such stream, or no such consumer. */
  get isNotFound(): boolean {
    return this.verdict === "missing";
  }

  get verdict(): Verdict {
    const listed = VERDICTS.get(this.errorCode);
    if (listed !== undefined) return listed;
    if (this.errorCode !== 0) return "final";
    return this.code === 404 ? "missing" : this.code >= 500 ? "transient" : "final";
  }
}

/** Judges whatever a request failed with. What JetStream did not say itself may be different the next time. */
export function verdictOf(thrown: unknown): Verdict {
  if (thrown instanceof StreamApiError) return thrown.verdict;
  return thrown instanceof PermissionError ? "final" : "transient";
}

/** How long a request may fail while NATS is connected, before the client that waits for it gets an answer. */
const PATIENCE_MS = 15_000;
/** The same where nobody answers at all: JetStream is enabled nowhere, or its cluster has no leader yet. */
const NO_RESPONDERS_MS = 5_000;

/** Decides when something that may pass has lasted too long. */
export class Patience {
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
  isOver(thrown: unknown): boolean {
    const nowMs = this.#nowMs();
    this.#sinceMs ??= nowMs;
    const mostMs =
      thrown instanceof NoRespondersError ? Math.min(NO_RESPONDERS_MS, this.#mostMs) : this.#mostMs;
    return verdictOf(thrown) === "final" || nowMs - this.#sinceMs >= mostMs;
  }
}
