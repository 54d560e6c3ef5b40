import type { RefusalCode } from "../../protocol/error-codes.ts";
import type { GrantedRequest } from "../access/grant.ts";
import type { Refusal } from "../access/refusal.ts";
import type { StreamRegistry } from "../history/stream-registry.ts";
import type { UpstreamSubscriptions } from "../upstream/upstream-subscriptions.ts";
import { patternRefusal, streamRefusal } from "./refusal.ts";
import type { StartPositions } from "./start-positions.ts";

/** Begins an error about a request; NATS' reason follows. */
export const NATS_SAYS = "NATS says";

interface RefusedRequestsParts {
  readonly upstream: UpstreamSubscriptions;
  readonly streams: StreamRegistry;
  readonly starts: StartPositions;
}

/** A stream that a request wants is not followed. */
export interface StreamRefusal {
  readonly error: Required<Refusal>;
  /** Whether nothing at all comes of the request. */
  readonly isWhole: boolean;
}

/** Knows which requests of clients NATS refuses, in whole or in part. */
export class RefusedRequests {
  readonly #parts: RefusedRequestsParts;

  constructor(parts: RefusedRequestsParts) {
    this.#parts = parts;
  }

  /** Returns why a stream that a request wants is not followed; `undefined` if all of them are. */
  ofStreams(request: GrantedRequest): StreamRefusal | undefined {
    const { streams, starts } = this.#parts;
    const carrying = streams.carrying(request.subjects, request.denied);
    const reason = carrying.find(({ refusal }) => refusal !== undefined)?.refusal;
    if (reason === undefined) return undefined;
    const isWhole =
      !starts.wantsRest(request) && carrying.every(({ refusal }) => refusal !== undefined);
    return { error: streamRefusal(reason, NATS_SAYS), isWhole };
  }

  /** Returns the code of the error if nothing comes of a request, or not of everything that it names. */
  errorCodeOf(request: GrantedRequest): RefusalCode | undefined {
    const { upstream, streams } = this.#parts;
    const { subjects } = request;
    const refusal = this.ofStreams(request);
    if (refusal?.isWhole) return refusal.error.code;
    // A client that names nothing still gets what streams carry.
    if (subjects === "everything" && streams.carrying(subjects, request.denied).length > 0)
      return undefined;
    const refused = upstream.refusalOf(subjects);
    return refused && patternRefusal(refused, NATS_SAYS).code;
  }
}
