import { PermissionError } from "../requests.ts";

/**
 * The meaning of an error of JetStream for a request.
 *
 * - `"missing"`: the stream, the consumer or the message does not exist.
 * - `"filter"`: the stream captures nothing that fits the filter, although it may hold such messages.
 * - `"transient"`: a retry may succeed soon, without an operator.
 * - `"final"`: each retry fails until an operator changes something.
 */
export type Verdict = "missing" | "filter" | "transient" | "final";

/**
 * NATS' own error codes (nats-server's `errors.json`) that don't mean `"final"`.
 *
 * Codes that no request of ours can get, such as the ones about publishing, are not listed.
 */
const VERDICTS: ReadonlyMap<number, Verdict> = new Map<number, Verdict>([
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

/** An error in an answer of JetStream. */
export class StreamApiError extends Error {
  readonly code: number;
  /** The server's own code; 0 if it gave none. */
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

/** Judges the error of a request. One that JetStream did not answer with may not come again. */
export function verdictOf(thrown: unknown): Verdict {
  if (thrown instanceof StreamApiError) return thrown.verdict;
  return thrown instanceof PermissionError ? "final" : "transient";
}
