import type { GapFrame } from "../../protocol/server-frames.ts";
import type { Grant, GrantedRequest } from "../access/grant.ts";
import { resumeAfter } from "../history/resume.ts";
import type { Ring } from "../history/ring.ts";
import type { FollowedStream, StreamRegistry } from "../history/stream-registry.ts";
import type { DurableQuery } from "../ports/source.ts";
import { exposedOf } from "../subject/subject.ts";
import type { Arrival } from "../upstream/upstream-subscription.ts";
import type { UpstreamSubscriptions } from "../upstream/upstream-subscriptions.ts";
import { cursorOf, type Position } from "../wire/envelope.ts";
import { unknownGap } from "../wire/gap.ts";

/** The place in one stream after which a subscription starts. */
export interface StreamStart {
  readonly stream: FollowedStream;
  /** `undefined` if the stream doesn't exist. */
  readonly origin: string | undefined;
  readonly sequence: number;
  /** Whether the client has nothing of the stream: messages that the stream no longer keeps are no gap. */
  readonly isFresh: boolean;
  /** Whether the client is only sent what the stream still keeps, even if the ring has more. */
  readonly keptOnly: boolean;
}

/** Starts with the messages that arrive from now on. */
interface NowStart {
  readonly kind: "now";
  readonly position: Position;
}

/** Starts with the messages that the ring has after a position. */
export interface RingStart {
  readonly kind: "ring";
  readonly position: Position;
  readonly gaps: readonly GapFrame[];
}

/** Starts with messages that streams have kept. */
export interface StreamsStart {
  readonly kind: "streams";
  readonly streams: readonly StreamStart[];
  readonly gaps: readonly GapFrame[];
  /** Starts in each stream with the first message of this time or later. */
  readonly timeMs?: number | undefined;
  /** Sends the latest message of all, or of each subject, before what follows. */
  readonly latest?: "last" | "last_per_subject" | undefined;
  /** Whether the subscription also wants messages that no stream keeps. */
  readonly wantsRest: boolean;
}

/** The place where a subscription starts: with what comes from now on, or with messages of the past. */
export type StartPosition = NowStart | RingStart | StreamsStart;

/** Why a request can't start where it says. */
export interface StartFault {
  readonly parameter: "from" | "durable";
  readonly message: string;
}

export interface StartOptions {
  /** The exposed subjects that no stream keeps. */
  readonly demanded: readonly string[];
}

interface StartPositionsParts {
  readonly streams: StreamRegistry;
  readonly ring: Ring;
  readonly upstream: UpstreamSubscriptions;
  /** Whether the source has streams, and whether it has durables. */
  readonly hasHistory: boolean;
  readonly hasDurables: boolean;
  /** The position of the last message that has come. */
  last(): Position;
}

/** Decides where each subscription starts. */
export class StartPositions {
  readonly #options: StartOptions;
  readonly #parts: StartPositionsParts;

  constructor(options: StartOptions, parts: StartPositionsParts) {
    this.#options = options;
    this.#parts = parts;
  }

  /** Returns why a granted request can't start where it says; `undefined` if it can. */
  faultOf(grant: Grant, request: GrantedRequest): StartFault | undefined {
    const message = this.#fromFault(request);
    if (message !== undefined) return { parameter: "from", message };
    const conflict = this.#durableFault(grant, request);
    return conflict === undefined ? undefined : { parameter: "durable", message: conflict };
  }

  /** Returns the streams whose state must be known before a request can start. */
  streamsOf(request: GrantedRequest, supportsNotices: boolean): readonly FollowedStream[] {
    const { after } = request;
    const streams = this.#carrying(request);
    if (!this.#isInStreams(request)) return supportsNotices ? streams : [];
    // A cursor proves that its stream has something of these subjects.
    const own = after === undefined ? undefined : this.#ofCursor(after, request)?.stream;
    return own === undefined || streams.includes(own) ? streams : [own, ...streams];
  }

  /** Returns where a request starts, as soon as the state of its streams is known. */
  of(request: GrantedRequest): StartPosition {
    if (this.#isInStreams(request)) return this.#inStreams(request);
    const { ring } = this.#parts;
    const last = this.#parts.last();
    if (request.after === undefined) {
      const position = this.endOfOnlyStream(request) ?? this.#withArrivals(request, last);
      return { kind: "now", position };
    }
    const { from, gaps } = resumeAfter(request.after, {
      last,
      ring,
      completeSince: this.#completeSince(request),
      wantsAll: request.subjects === "everything",
    });
    return { kind: "ring", position: this.#withArrivals(request, from), gaps };
  }

  /** Returns the end of the stream that a request wants, if it wants nothing else. */
  endOfOnlyStream(request: GrantedRequest): Position | undefined {
    const [stream, ...others] = this.#carrying(request);
    if (stream?.origin === undefined || others.length > 0 || this.wantsRest(request)) {
      return undefined;
    }
    return { origin: stream.origin, sequence: stream.last };
  }

  /** Returns the durable of an owner that a request uses; the request has no fault. */
  durableOf(request: GrantedRequest, owner: string): DurableQuery {
    const { durable, subjects, startPoint } = request;
    const [stream] = this.#carrying(request) as [FollowedStream];
    const wanted = exposedOf(stream.subjects, subjects);
    return {
      name: durable as string,
      owner,
      stream: stream.name,
      subjects: wanted,
      start: startPoint,
    };
  }

  /** Whether a request wants something that no stream keeps. */
  wantsRest({ subjects, denied }: GrantedRequest): boolean {
    return denied.leavesSome(this.#options.demanded, subjects);
  }

  /** Returns the streams that carry something of what a request wants. */
  #carrying({ subjects, denied }: GrantedRequest): readonly FollowedStream[] {
    return this.#parts.streams.carrying(subjects, denied);
  }

  /**
   * Adds to a position of the gateway's own count how many patterns had begun to arrive, if one of the
   * request's began to arrive after the same message.
   */
  #withArrivals(request: GrantedRequest, position: Position): Position {
    const isThere = this.#completeSince(request)?.sequence === position.sequence;
    return isThere ? { ...position, arrivals: this.#parts.upstream.arrivals } : position;
  }

  /** Returns the moment since which all messages of a request come; `undefined`: some don't. */
  #completeSince(request: GrantedRequest): Arrival | undefined {
    let last = this.#parts.upstream.completeSince(request.subjects);
    for (const { completeSince: since } of this.#carrying(request)) {
      if (last !== undefined && since !== undefined && since.number > last.number) last = since;
    }
    return last;
  }

  #fromFault(request: GrantedRequest): string | undefined {
    const { after, start = "new" } = request;
    if (after !== undefined || start === "new") return undefined;
    const { length } = this.#carrying(request);
    if (length === 0) {
      return "no stream stores these subjects, so they can only begin with new messages";
    }
    if (length < 2 || typeof start !== "object" || "timeMs" in start) return undefined;
    return `a sequence needs subjects of one stream; these are of ${length} streams`;
  }

  #durableFault({ terms }: Grant, request: GrantedRequest): string | undefined {
    const { durable, policy, maxRate, after } = request;
    if (durable === undefined) return undefined;
    if (terms.deliveryMode !== "at-least-once") {
      return "a durable needs at-least-once; this endpoint is at-most-once";
    }
    if (policy !== undefined || maxRate !== undefined || after !== undefined) {
      return "a durable continues after the acknowledged messages and drops none: it allows no policy, max_rate or after";
    }
    const { length } = this.#carrying(request);
    if (!this.#parts.hasDurables || length !== 1) {
      return `a durable needs subjects of one stream; these are of ${length} streams`;
    }
    if (!this.wantsRest(request)) return undefined;
    return "a durable needs subjects of one stream; no stream stores some of these";
  }

  /** Whether a request starts in the past of streams. This does not depend on the state of the streams. */
  #isInStreams(request: GrantedRequest): boolean {
    const { after } = request;
    if (!this.#parts.hasHistory) return false;
    if (after !== undefined) return this.#ofCursor(after, request) !== undefined;
    return request.startPoint !== "new" && this.#carrying(request).length > 0;
  }

  /** Returns the stream of a cursor, if it carries something of what a request wants. */
  #ofCursor(cursor: string, { subjects, denied }: GrantedRequest) {
    const found = this.#parts.streams.ofCursor(cursor);
    if (found === undefined) return undefined;
    return denied.leavesSome(found.stream.subjects, subjects) ? found : undefined;
  }

  #inStreams(request: GrantedRequest): StreamsStart {
    const { after } = request;
    const streams = this.streamsOf(request, false);
    const wantsRest = this.wantsRest(request);
    const kind = "streams";
    if (after !== undefined) {
      const { stream: own, position } = this.#ofCursor(after, request)!;
      const starts = streams.map((stream): StreamStart => {
        if (stream === own) return { stream, ...position, isFresh: false, keptOnly: false };
        return { ...endOf(stream), isFresh: false, keptOnly: false };
      });
      const now = cursorOf(this.#parts.last());
      const gaps: GapFrame[] = [];
      if (own.origin === undefined) gaps.push(unknownGap(after, now, "stream_reset"));
      // A cursor of one stream says nothing about other streams and other subjects.
      if (streams.length > 1 || wantsRest) gaps.push(unknownGap(after, now, "upstream"));
      return { kind, streams: starts, gaps, wantsRest };
    }
    const { startPoint: start } = request;
    const isObject = typeof start === "object";
    const starts = streams.map((stream): StreamStart => {
      const end = endOf(stream);
      if (isObject && "sequence" in start) {
        return { ...end, sequence: start.sequence - 1, isFresh: false, keptOnly: true };
      }
      return {
        ...end,
        ...(start === "all" && { sequence: 0 }),
        keptOnly: isObject || start === "all",
      };
    });
    const timeMs = isObject && "timeMs" in start ? start.timeMs : undefined;
    const latest = start === "last" || start === "last_per_subject" ? start : undefined;
    return { kind, streams: starts, gaps: [], timeMs, latest, wantsRest };
  }
}

/** The place after all that has come of a stream. */
function endOf(stream: FollowedStream) {
  const { origin, last: sequence } = stream;
  return { stream, origin, sequence, isFresh: true };
}
