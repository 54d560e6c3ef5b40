import type { ServerFrame } from "../../protocol/server-frames.ts";
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
import type { Connection } from "../sessions/connection.ts";
import type { Session } from "../sessions/session.ts";
import { LogLimit } from "../timing/log-limit.ts";
import { RateLimit } from "../timing/rate-limit.ts";
import { TimerQueue } from "../timing/timer-queue.ts";
import { carryPayload } from "../wire/payload.ts";
import { RawJson } from "../wire/raw-json.ts";
import {
  type MessageFrame,
  type MessageHeaders,
  publisherHeaders,
  reservedHeader,
} from "./client-message.ts";
import { type PendingAnswer, PendingAnswers } from "./pending-answers.ts";

export interface PublishingOptions {
  /** The largest message. */
  readonly maxPublishBytes: number;
  /** How many messages a client may publish per second for ever, requests included. */
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
}

/** A message as its client sends it. */
interface OwnMessage {
  readonly subject: string;
  readonly data: Uint8Array;
  readonly headers?: Readonly<Record<string, readonly string[]>> | undefined;
}

/** What one client has published. */
interface PublishingClient {
  readonly rate: RateLimit;
  inFlight: number;
  /** Its requests that wait for their answers. */
  readonly requests: Set<PendingAnswer>;
}

/** A message that is published has its answer within this time. */
const PUBLISH_TIMEOUT_MS = 5_000;
/** How long a request waits that doesn't say it. */
const REQUEST_TIMEOUT_MS = 2_000;
/** A client may publish so many seconds' worth at once. */
const BURST_SECONDS = 2;
/** The most messages that wait for their answers: of one client, and of all. */
const MAX_IN_FLIGHT_PER_CLIENT = 128;
const MAX_IN_FLIGHT = 10_000;
/** The most bytes of them; one message may always wait. */
const MAX_IN_FLIGHT_BYTES = 64 * 1024 ** 2;
/** The minimum time between two lines of the log about refused messages of the same kind. */
const LOG_INTERVAL_MS = 10_000;
/** By which a service of NATS tells an error (ADR-32). */
const SERVICE_HEADERS = ["nats-service-error", "nats-service-error-code"];

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
const TOO_MANY: Refusal = {
  code: "too_many_requests",
  message: "too many messages wait for their answers",
  retryable: true,
};
const NOT_READ: Refusal = {
  code: "too_many_requests",
  message: "this client doesn't read its answers",
  retryable: true,
};

/** Publishes what clients send, as far as their grants allow it. Each message has one answer. */
export class Publishing {
  readonly #options: PublishingOptions;
  readonly #parts: PublishingParts;
  readonly #timers: TimerQueue;
  readonly #pending: PendingAnswers;
  readonly #logLimit: LogLimit<string>;
  readonly #shownHeaders: ReadonlySet<string>;
  readonly #clients = new Map<Connection, PublishingClient>();
  /** What makes the ids of an anonymous client's messages its own: the session's name is its secret. */
  readonly #scopes = new WeakMap<Session, string>();

  constructor(options: PublishingOptions, parts: PublishingParts) {
    this.#options = options;
    this.#parts = parts;
    this.#timers = new TimerQueue(parts.clock);
    this.#pending = new PendingAnswers(this.#timers);
    this.#logLimit = new LogLimit(parts.clock, LOG_INTERVAL_MS);
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
    const message = { subject: frame.subject, data, headers: frame.headers };
    const { publisher } = this.#parts;
    const refusal = this.#refusalOf(connection, "publish", message);
    if (refusal !== undefined || publisher === undefined) return refusal ?? UNSUPPORTED;
    const sent = this.#messageOf(connection.grant, message, this.#keyOf(connection, frame.id));
    this.#wait(
      connection,
      { bytes: data.length, untilMs: this.#parts.clock.nowMs() + PUBLISH_TIMEOUT_MS },
      (signal) => publisher.publish(sent, signal),
      (answer) => {
        this.#count(answer);
        if (answer.kind === "failed") this.#tellFailure(connection, frame, answer);
        else tell(connection, { type: "published", id: frame.id, ...storedIn(answer) });
      },
    );
    return undefined;
  }

  /** Sends a request, and tells the client the first answer; see `publish`. */
  request(connection: Connection, frame: MessageFrame, data: Uint8Array): Refusal | undefined {
    const message = { subject: frame.subject, data, headers: frame.headers };
    const { publisher, meter, clock } = this.#parts;
    const refusal = this.#refusalOf(connection, "request", message);
    if (refusal !== undefined || publisher === undefined) return refusal ?? UNSUPPORTED;
    const sent = this.#messageOf(connection.grant, message, undefined);
    const asked = "timeout_ms" in frame ? frame.timeout_ms : undefined;
    const timeoutMs = Math.min(asked ?? REQUEST_TIMEOUT_MS, this.#options.maxRequestTimeoutMs);
    meter.publishing.requests++;
    const client = this.#clientOf(connection);
    const pending = this.#wait(
      connection,
      { bytes: data.length, untilMs: clock.nowMs() + timeoutMs },
      (signal) => publisher.request(sent, signal),
      (answer) => {
        client.requests.delete(pending);
        if (answer.kind === "failed") this.#tellFailure(connection, frame, answer);
        else this.#respond(connection, frame.id, answer);
      },
    );
    client.requests.add(pending);
    return undefined;
  }

  /**
   * Publishes a message of a client that has no connection. Never rejects.
   *
   * @param grant what the client may do; it allows the subject.
   */
  async post(
    grant: Grant,
    message: { readonly subject: string; readonly data: Uint8Array },
  ): Promise<Published | (Refusal & { readonly kind: "failed" })> {
    const { publisher, clock } = this.#parts;
    const refusal = publisher === undefined ? UNSUPPORTED : this.#excess(message.data.length);
    if (refusal !== undefined || publisher === undefined) {
      return { kind: "failed", ...(refusal ?? UNSUPPORTED) };
    }
    const sent = this.#messageOf(grant, message, undefined);
    const { publishing } = this.#parts.meter;
    publishing.inFlight++;
    const answer = await new Promise<Published | PublishFailure>((settled) => {
      this.#pending.wait<Published>(
        { bytes: message.data.length, untilMs: clock.nowMs() + PUBLISH_TIMEOUT_MS },
        (signal) => publisher.publish(sent, signal),
        { settled, ended: () => publishing.inFlight-- },
      );
    });
    this.#count(answer);
    return answer;
  }

  /** A connection has ended: nobody reads the answers to its requests. */
  end(connection: Connection): void {
    const client = this.#clients.get(connection);
    if (client === undefined) return;
    this.#clients.delete(connection);
    for (const request of client.requests) request.cancel();
    client.requests.clear();
  }

  /** Notes that a message was refused. */
  refused(
    connection: Connection,
    { type, subject }: MessageFrame,
    { code, message }: Refusal,
  ): void {
    this.#parts.meter.publishing.refused[code]++;
    const others = this.#logLimit.othersBefore(code);
    if (others === undefined) return;
    const { principal } = connection.grant.terms;
    this.#parts.log.info(
      "Refused a message of client {client} to {subject}: {reason}; {others} others since the last line",
      {
        event: "publish_refused",
        client: connection.number,
        address: connection.address,
        ...(!isSamePrincipal(principal, ANONYMOUS) && { sub: principal.sub.slice(0, 200) }),
        action: type,
        subject: subject.slice(0, 200),
        code,
        reason: message,
        others,
      },
    );
  }

  /** Releases all timers. */
  stop(): void {
    this.#timers.stop();
  }

  /** Returns why a message is refused at once. */
  #refusalOf(
    connection: Connection,
    action: "publish" | "request",
    { subject, data, headers = {} }: OwnMessage,
  ): Refusal | undefined {
    const { grant } = connection;
    if (this.#parts.publisher === undefined) return UNSUPPORTED;
    const isAllowed = action === "publish" ? grant.mayPublish(subject) : grant.mayRequest(subject);
    if (!isAllowed) {
      const what = action === "publish" ? "publish" : "send requests";
      return { code: "forbidden", message: `this client may not ${what} to "${subject}"` };
    }
    const reserved = reservedHeader(headers);
    if (reserved !== undefined) {
      return { code: "forbidden", message: `a client may not set the header "${reserved}"` };
    }
    const nowMs = this.#parts.clock.nowMs();
    const client = this.#clientOf(connection);
    if (client.rate.take(nowMs) > 0) return TOO_FAST;
    if (client.inFlight >= MAX_IN_FLIGHT_PER_CLIENT) return TOO_MANY;
    if (connection.writer.bufferedBytes > this.#options.highWaterBytes) return NOT_READ;
    return this.#excess(data.length);
  }

  /** Returns why a message of this size is refused, whoever publishes it. */
  #excess(bytes: number): Refusal | undefined {
    const { maxPublishBytes } = this.#options;
    if (bytes > maxPublishBytes) {
      return { code: "too_large", message: `a message has at most ${maxPublishBytes} bytes` };
    }
    const pending = this.#pending;
    const isFull = pending.count > 0 && pending.bytes + bytes > MAX_IN_FLIGHT_BYTES;
    return isFull || pending.count >= MAX_IN_FLIGHT ? TOO_MANY : undefined;
  }

  #messageOf(grant: Grant, own: OwnMessage, key: string | undefined): ClientMessage {
    const headers = new Map(Object.entries(own.headers ?? {}));
    if (this.#options.publisherHeader) {
      for (const [name, values] of publisherHeaders(grant.terms.principal)) {
        headers.set(name, values);
      }
    }
    return { subject: own.subject, data: own.data, headers, key };
  }

  /**
   * Returns what makes an id of a client unlike every id of another one: who has proved a name keeps its ids on each
   * connection and gateway, and an anonymous client as long as its session.
   */
  #keyOf({ grant, session }: Connection, id: string): string {
    const { principal } = grant.terms;
    if (!isSamePrincipal(principal, ANONYMOUS)) return `${principalKey(principal)} ${id}`;
    let scope = session && this.#scopes.get(session);
    if (scope === undefined) {
      scope = crypto.randomUUID();
      if (session !== undefined) this.#scopes.set(session, scope);
    }
    return `${scope} ${id}`;
  }

  #clientOf(connection: Connection): PublishingClient {
    const known = this.#clients.get(connection);
    if (known !== undefined) return known;
    const { maxPublishesPerSecond: rate } = this.#options;
    const nowMs = this.#parts.clock.nowMs();
    const client = {
      rate: new RateLimit(rate, rate * BURST_SECONDS, nowMs),
      inFlight: 0,
      requests: new Set<PendingAnswer>(),
    };
    this.#clients.set(connection, client);
    return client;
  }

  #wait<Answer>(
    connection: Connection,
    bounds: { readonly bytes: number; readonly untilMs: number },
    ask: (signal: AbortSignal) => Promise<Answer | PublishFailure>,
    settled: (answer: Answer | PublishFailure) => void,
  ): PendingAnswer {
    const client = this.#clientOf(connection);
    const { publishing } = this.#parts.meter;
    client.inFlight++;
    publishing.inFlight++;
    const ended = (): void => {
      client.inFlight--;
      publishing.inFlight--;
    };
    return this.#pending.wait(bounds, ask, { settled, ended });
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

  #respond(connection: Connection, id: string, { data, headers }: Reply): void {
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

/** Returns what the client is told of where a message is stored. */
export function storedIn({ stored, isDuplicate }: Published) {
  return {
    ...(stored !== undefined && { stream: stored.stream, seq: stored.sequence }),
    ...(isDuplicate === true && { duplicate: true as const }),
  };
}
