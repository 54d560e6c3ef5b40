import { END_HEADER, type ServerFrame } from "../../protocol/server-frames.ts";
import { ANONYMOUS, type Grant, isSamePrincipal, principalKey } from "../access/grant.ts";
import type { Refusal } from "../access/refusal.ts";
import type { Meter } from "../metering/meter.ts";
import type { Clock } from "../ports/clock.ts";
import type { Log } from "../ports/log.ts";
import type {
  ClientMessage,
  ClientPublisher,
  Published,
  PublishFailure,
  Reply,
} from "../ports/source.ts";
import type { SendingTrace, TraceHeaders, Tracer } from "../ports/tracer.ts";
import type { Connection } from "../sessions/connection.ts";
import type { Session } from "../sessions/session.ts";
import { LogLimit } from "../timing/log-limit.ts";
import { TimerQueue } from "../timing/timer-queue.ts";
import { carryPayload } from "../wire/payload.ts";
import { RawJson } from "../wire/raw-json.ts";
import { AnswerSizes } from "./answer-sizes.ts";
import {
  type MessageFrame,
  type MessageHeaders,
  publisherHeaders,
  reservedHeader,
} from "./client-message.ts";
import { type PendingAnswer, PendingAnswers } from "./pending-answers.ts";
import { MAX_ANSWER_BYTES_PER_QUOTA, type Place, Places, TOO_MANY } from "./places.ts";
import { type AnswerReader, type Quota, Quotas, type Sender } from "./quotas.ts";

export interface PublishingOptions {
  /** The largest message. */
  readonly maxPublishBytes: number;
  /** The number of messages that a user, or an address, may publish per second in the long run, requests included. */
  readonly maxPublishesPerSecond: number;
  /** The longest time that a client may wait for the answer to a request. */
  readonly maxRequestTimeoutMs: number;
  /** Whether messages say who published them. */
  readonly publisherHeader: boolean;
  /** A client with more unsent bytes doesn't read its answers: it gets no more of them. */
  readonly highWaterBytes: number;
  /** The headers of answers that clients see, in any case. */
  readonly headers: readonly string[];
}

interface PublishingParts {
  readonly clock: Clock;
  readonly log: Log;
  readonly meter: Meter;
  /** `undefined`: the source takes no messages. */
  readonly publisher: ClientPublisher | undefined;
  /** Records the messages; by default nobody does. */
  readonly tracer?: Tracer | undefined;
}

/** A message as its client sends it. */
interface OwnMessage {
  readonly subject: string;
  readonly data: Uint8Array;
  readonly headers?: Readonly<Record<string, readonly string[]>> | undefined;
  /** Whether it ends its subject. */
  readonly end?: boolean | undefined;
}

/** A message before its data is known. */
interface Announced extends Pick<MessageFrame, "type" | "subject" | "headers"> {
  /** The most bytes that its data has. */
  readonly bytes: number;
}

/** The messages of one connection. */
interface PublishingClient {
  inFlight: number;
  /** Its requests that wait for their answers. */
  readonly requests: Set<PendingAnswer>;
  /** The quota among whose readers it is. */
  quota: Quota | undefined;
}

/** A message of a client without a connection, which has its place while its data is read. */
export interface Posting {
  /**
   * Publishes the message. Never rejects.
   *
   * @param end whether it ends its subject. Default: no.
   * @param parent the headers of the trace that it continues. Default: none.
   */
  publish(
    data: Uint8Array,
    end?: boolean,
    parent?: TraceHeaders,
  ): Promise<Published | PublishFailure>;
  /** Gives its place back, if it isn't published. To be called in the end in any case; more calls do nothing. */
  release(): void;
}

/** A message that is published has its answer within this time. */
const PUBLISH_TIMEOUT_MS = 5_000;
/** How long a request waits that doesn't say it. */
const REQUEST_TIMEOUT_MS = 2_000;
/** The most messages of one connection that wait for their answers. */
const MAX_IN_FLIGHT_PER_CONNECTION = 128;
/** The largest answer to a request, if the source doesn't say it: NATS' default. */
const MAX_ANSWER_BYTES = 1024 ** 2;
/** The minimum time between two lines of the log about refused messages of the same kind. */
const LOG_INTERVAL_MS = 10_000;
/** By which a service of NATS tells an error (ADR-32). */
const SERVICE_HEADERS = ["nats-service-error", "nats-service-error-code"];

/** The headers of W3C Trace Context. */
const TRACE_HEADER = /^trace(?:parent|state)$/i;

const decoder = new TextDecoder();

const UNSUPPORTED: Refusal = {
  code: "unsupported",
  message: "the source of this gateway takes no messages",
};
const TOO_FAST: Refusal = {
  code: "too_many_requests",
  message: "this client publishes too fast",
  retryable: true,
};
const NOT_READ: Refusal = {
  code: "too_many_requests",
  message: "this client doesn't read its answers",
  retryable: true,
};

/** The client has a token by now that doesn't allow the request: it doesn't get the answer. */
const NO_LONGER_ALLOWED: PublishFailure = {
  kind: "failed",
  code: "forbidden",
  message: "the client's new token doesn't allow this request",
  retryable: false,
};

/** Publishes what clients send, as far as their grants allow it. Each message has one answer. */
export class Publishing {
  readonly #options: PublishingOptions;
  readonly #parts: PublishingParts;
  readonly #timers: TimerQueue;
  readonly #pending: PendingAnswers;
  readonly #quotas: Quotas;
  readonly #places: Places;
  readonly #answerSizes: AnswerSizes;
  readonly #logLimit: LogLimit<string>;
  readonly #shownHeaders: ReadonlySet<string>;
  readonly #clients = new WeakMap<Connection, PublishingClient>();
  /** What makes the ids of an anonymous client's messages its own: the session's name is its secret. */
  readonly #scopes = new WeakMap<Session, string>();

  constructor(options: PublishingOptions, parts: PublishingParts) {
    const { clock } = parts;
    this.#options = options;
    this.#parts = parts;
    this.#timers = new TimerQueue(clock);
    this.#pending = new PendingAnswers(this.#timers);
    this.#quotas = new Quotas(clock, options);
    this.#places = new Places(options.maxPublishBytes, parts.meter.publishing);
    this.#answerSizes = new AnswerSizes(clock);
    this.#logLimit = new LogLimit(clock, LOG_INTERVAL_MS);
    const shown = options.headers.map((name) => name.toLowerCase());
    this.#shownHeaders = new Set([...shown, ...SERVICE_HEADERS]);
  }

  /**
   * Publishes a message, and tells the client the answer.
   *
   * @param data the frame's payload.
   * @returns why it is refused, or `undefined`: the answer follows.
   */
  publish(connection: Connection, frame: MessageFrame, data: Uint8Array): Refusal | undefined {
    const { publisher, clock } = this.#parts;
    const place = this.#placeOf(connection, frame, data);
    if ("code" in place || publisher === undefined) return refusalIn(place);
    const key = this.#keyOf(connection, frame.id);
    const trace = this.#trace(frame, data);
    const sent = this.#messageOf(connection.grant, { ...frame, data }, key, trace);
    this.#wait(
      connection,
      place,
      clock.nowMs() + PUBLISH_TIMEOUT_MS,
      (signal) => publisher.publish(sent, signal),
      (answer) => {
        this.#count(answer);
        if (answer.kind === "failed") this.#tellFailure(connection, frame, answer);
        else tell(connection, { type: "published", id: frame.id, ...storedIn(answer) });
      },
      trace,
    );
    return undefined;
  }

  /** Sends a request, and tells the client the first answer; see `publish`. */
  request(connection: Connection, frame: MessageFrame, data: Uint8Array): Refusal | undefined {
    const { publisher, meter, clock } = this.#parts;
    const place = this.#placeOf(connection, frame, data);
    if ("code" in place || publisher === undefined) return refusalIn(place);
    const trace = this.#trace(frame, data);
    const sent = this.#messageOf(connection.grant, { ...frame, data }, undefined, trace);
    const asked = "timeout_ms" in frame ? frame.timeout_ms : undefined;
    const timeoutMs = Math.min(asked ?? REQUEST_TIMEOUT_MS, this.#options.maxRequestTimeoutMs);
    meter.publishing.requests++;
    const client = this.#clientOf(connection);
    const pending = this.#wait(
      connection,
      place,
      clock.nowMs() + timeoutMs,
      (signal) => publisher.request(sent, signal),
      (answer) => {
        client.requests.delete(pending);
        if (answer.kind === "failed") this.#tellFailure(connection, frame, answer);
        else if (!connection.grant.mayRequest(frame.subject)) {
          this.#tellFailure(connection, frame, NO_LONGER_ALLOWED);
        } else this.#respond(connection, frame, answer);
      },
      trace,
    );
    client.requests.add(pending);
    return undefined;
  }

  /**
   * Lets a client publish a message that has no connection, before its data is there.
   *
   * @param bytes the most bytes that the data may have.
   * @returns why it is refused.
   */
  post(sender: Sender, subject: string, bytes: number): Posting | Refusal {
    const { publisher, clock } = this.#parts;
    const announced = { type: "publish", subject, bytes } as const;
    const place = this.#admit(sender, announced);
    if ("code" in place || publisher === undefined) {
      const refusal = refusalIn(place);
      this.refused(sender, announced, refusal);
      return refusal;
    }
    return {
      publish: async (data, end, parent) => {
        const headers = Object.fromEntries(parent ?? []);
        const trace = this.#trace({ ...announced, headers }, data);
        const own = { subject, data, headers, end };
        const sent = this.#messageOf(sender.grant, own, undefined, trace);
        const answer = await new Promise<Published | PublishFailure>((settled) => {
          this.#pending.wait<Published>(
            clock.nowMs() + PUBLISH_TIMEOUT_MS,
            (signal) => publisher.publish(sent, signal),
            { settled, ended: () => place.release() },
          );
        });
        this.#count(answer);
        trace?.end(failureIn(answer));
        if (answer.kind === "failed") this.refused(sender, announced, answer);
        return answer;
      },
      release: () => place.release(),
    };
  }

  /** A connection has ended: nobody reads the answers to its requests. */
  ended(connection: Connection): void {
    const client = this.#clients.get(connection);
    for (const request of client?.requests ?? []) request.cancel();
    client?.quota?.readers.delete(connection);
  }

  /** Notes that a message was refused. */
  refused(
    { grant, address, number }: Sender,
    { type, subject }: Pick<MessageFrame, "type" | "subject">,
    { code, message }: Refusal,
  ): void {
    this.#parts.meter.publishing.refused[code]++;
    const others = this.#logLimit.othersBefore(code);
    if (others === undefined) return;
    const { principal } = grant.terms;
    this.#parts.log.info(
      "Refused a message of a client at {address} to {subject}: {reason}; {others} others since the last line",
      {
        event: "publish_refused",
        ...(number !== undefined && { client: number }),
        address,
        ...(!isSamePrincipal(principal, ANONYMOUS) && { sub: principal.sub.slice(0, 200) }),
        action: type,
        subject: subject.slice(0, 200),
        code,
        reason: message,
        others,
      },
    );
  }

  /** Settles all messages that wait for their answers, and releases all timers. */
  stop(): void {
    this.#pending.stop();
    this.#timers.stop();
  }

  /** Returns the place of a frame's message, or why it is refused at once. */
  #placeOf(connection: Connection, frame: MessageFrame, data: Uint8Array): Place | Refusal {
    return this.#admit(connection, { ...frame, bytes: data.length }, () => {
      if (this.#clientOf(connection).inFlight >= MAX_IN_FLIGHT_PER_CONNECTION) return TOO_MANY;
      return this.#isUnread(connection) ? NOT_READ : undefined;
    });
  }

  /**
   * Returns the place of a message, or why it is refused at once.
   *
   * @param excessOf says what speaks against it where it is allowed.
   */
  #admit(
    sender: Sender,
    announced: Announced,
    excessOf: () => Refusal | undefined = () => undefined,
  ): Place | Refusal {
    const { subject, bytes } = announced;
    const refusal = this.#refusalOf(sender.grant, announced);
    if (refusal !== undefined) return refusal;
    const quota = this.#quotas.of(sender);
    if (quota.rate.take(this.#parts.clock.nowMs()) > 0) return TOO_FAST;
    const excess = excessOf();
    if (excess !== undefined) return excess;
    if (announced.type === "publish") return this.#places.take(quota, { bytes });
    const largest = this.#parts.publisher?.maxReplyBytes ?? MAX_ANSWER_BYTES;
    if (this.#hasUnread(quota, largest)) return NOT_READ;
    const expected = this.#answerSizes.expected(subject, largest);
    return this.#places.take(quota, { bytes, answer: { largest, expected } });
  }

  /** Returns why nobody with this grant may send a message. */
  #refusalOf(grant: Grant, { type, subject, headers = {}, bytes }: Announced): Refusal | undefined {
    if (this.#parts.publisher === undefined) return UNSUPPORTED;
    const isAllowed = type === "publish" ? grant.mayPublish(subject) : grant.mayRequest(subject);
    if (!isAllowed) {
      const what = type === "publish" ? "publish" : "send requests";
      return { code: "forbidden", message: `this client may not ${what} to "${subject}"` };
    }
    const reserved = reservedHeader(headers);
    if (reserved !== undefined) {
      return { code: "forbidden", message: `a client may not set the header "${reserved}"` };
    }
    const { maxPublishBytes } = this.#options;
    if (bytes <= maxPublishBytes) return undefined;
    return { code: "too_large", message: `a message has at most ${maxPublishBytes} bytes` };
  }

  #isUnread({ writer }: AnswerReader): boolean {
    return writer.bufferedBytes > this.#options.highWaterBytes;
  }

  /** Whether clients of a quota have so many answers to read that another one would be too much. */
  #hasUnread({ readers }: Quota, bytes: number): boolean {
    let unread = 0;
    for (const reader of readers) {
      if (reader.isOver || !this.#isUnread(reader)) readers.delete(reader);
      else unread += reader.writer.bufferedBytes;
    }
    return unread > 0 && unread + bytes > MAX_ANSWER_BYTES_PER_QUOTA;
  }

  #trace(
    { type: action, subject, headers = {} }: Pick<MessageFrame, "type" | "subject" | "headers">,
    { length: bytes }: Uint8Array,
  ): SendingTrace | undefined {
    return this.#parts.tracer?.sending({
      action,
      subject,
      bytes,
      headers: Object.entries(headers),
    });
  }

  #messageOf(
    grant: Grant,
    own: OwnMessage,
    key: string | undefined,
    trace: SendingTrace | undefined,
  ): ClientMessage {
    const ours = this.#options.publisherHeader ? publisherHeaders(grant.terms.principal) : [];
    const end = own.end === true ? ([[END_HEADER, ["true"]]] as const) : [];
    // nats-server 2.9 looks for a header in the whole text, and takes what it finds first.
    const theirs = Object.entries(own.headers ?? {}).filter(
      ([name]) => !(trace?.headers.size && TRACE_HEADER.test(name)),
    );
    const headers = new Map([...ours, ...end, ...theirs, ...(trace?.headers ?? [])]);
    return { subject: own.subject, data: own.data, headers, key };
  }

  /**
   * Returns what makes an id of a client unlike every id of another one: who has proved a name keeps its ids on each
   * connection and gateway, and an anonymous client as long as its session.
   */
  #keyOf({ grant, session }: Connection, id: string): string {
    const { principal } = grant.terms;
    // As JSON, half a surrogate pair stays what it is; as UTF-8, all of them would be one id.
    const own = JSON.stringify(id);
    if (!isSamePrincipal(principal, ANONYMOUS)) return `${principalKey(principal)} ${own}`;
    let scope = session && this.#scopes.get(session);
    if (scope === undefined) {
      scope = crypto.randomUUID();
      if (session !== undefined) this.#scopes.set(session, scope);
    }
    return `${scope} ${own}`;
  }

  #clientOf(connection: Connection): PublishingClient {
    let client = this.#clients.get(connection);
    if (client === undefined) {
      client = { inFlight: 0, requests: new Set(), quota: undefined };
      this.#clients.set(connection, client);
    }
    return client;
  }

  #wait<Answer extends Published | Reply>(
    connection: Connection,
    place: Place,
    untilMs: number,
    ask: (signal: AbortSignal) => Promise<Answer | PublishFailure>,
    answered: (answer: Answer | PublishFailure) => void,
    trace: SendingTrace | undefined,
  ): PendingAnswer {
    const client = this.#clientOf(connection);
    client.inFlight++;
    const ended = (): void => {
      client.inFlight--;
      place.release();
    };
    const settled = (answer: Answer | PublishFailure): void => {
      trace?.end(failureIn(answer));
      answered(answer);
    };
    const pending = this.#pending.wait(untilMs, ask, { settled, ended });
    if (trace === undefined) return pending;
    return {
      cancel() {
        pending.cancel();
        trace.end("cancelled");
      },
    };
  }

  #count(answer: Published | PublishFailure): void {
    const { publishing } = this.#parts.meter;
    if (answer.kind === "failed") {
      if (answer.code === "timeout") publishing.timeouts++;
      return;
    }
    publishing.published++;
    if (answer.isDuplicate === true) publishing.duplicates++;
  }

  #tellFailure(connection: Connection, frame: MessageFrame, failure: PublishFailure): void {
    const { code, message, retryable } = failure;
    const { meter } = this.#parts;
    if (frame.type === "request" && code === "timeout") meter.publishing.timeouts++;
    meter.refused[code]++;
    this.refused(connection, frame, failure);
    tell(connection, { type: "error", id: frame.id, error: { code, message, retryable } });
  }

  #respond(connection: Connection, { id, subject }: MessageFrame, { data, headers }: Reply): void {
    this.#answerSizes.learn(subject, data.length);
    const { json, encoding } = carryPayload(data);
    const text = typeof json === "string" ? json : decoder.decode(json);
    const shown = this.#shownOf(headers);
    tell(connection, {
      type: "response",
      id,
      ...(encoding !== "" && { encoding }),
      ...(shown !== undefined && { headers: shown }),
      payload: new RawJson(text),
    });
    if (connection.isOver || !this.#isUnread(connection)) return;
    const client = this.#clientOf(connection);
    client.quota?.readers.delete(connection);
    client.quota = this.#quotas.of(connection);
    client.quota.readers.add(connection);
  }

  #shownOf(headers: MessageHeaders | undefined): Record<string, readonly string[]> | undefined {
    if (headers === undefined) return undefined;
    const shown = [...headers].filter(([name]) => this.#shownHeaders.has(name.toLowerCase()));
    return shown.length === 0 ? undefined : Object.fromEntries(shown);
  }
}

/** A session that another connection resumes gets no answers of this one. */
function tell(connection: Connection, frame: ServerFrame): void {
  if (!connection.isOver) connection.session?.tell(frame);
}

function failureIn(answer: Published | Reply | PublishFailure): string | undefined {
  return answer.kind === "failed" ? answer.code : undefined;
}

function refusalIn(place: Place | Refusal): Refusal {
  return "code" in place ? place : UNSUPPORTED;
}

/** Returns what the client is told of where a message is stored. */
export function storedIn({ stored, isDuplicate }: Published) {
  return {
    ...(stored !== undefined && { stream: stored.stream, seq: stored.sequence }),
    ...(isDuplicate === true && { duplicate: true as const }),
  };
}
