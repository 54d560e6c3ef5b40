import { createHash } from "node:crypto";
import { reasonOf } from "../core/ports/errors.ts";
import type {
  ClientMessage,
  ClientPublisher,
  Published,
  PublishFailure,
  Reply,
} from "../core/ports/source.ts";
import { utf8Length } from "../protocol/subject.ts";
import { type MsgHdrs, type NatsConnection, natsReason } from "./connect.ts";
import { type ControlLines, messageLine } from "./control-lines.ts";
import { readPublishAnswer } from "./jetstream/publish-answer.ts";
import { StreamFinder, type StreamOf } from "./jetstream/stream-finder.ts";
import { NoRespondersError, PermissionError, type Requests } from "./requests.ts";

const AWAY: PublishFailure = {
  kind: "failed",
  code: "unavailable",
  message: "there is no connection to NATS",
  retryable: true,
};
const LOST: PublishFailure = {
  kind: "failed",
  code: "unavailable",
  message: "the connection to NATS was lost: whether the message arrived is unknown",
  retryable: true,
};
const CANCELLED: PublishFailure = {
  kind: "failed",
  code: "timeout",
  message: "nobody waits for the answer",
  retryable: true,
};
const STREAM_AWAY: PublishFailure = {
  kind: "failed",
  code: "unavailable",
  message: "the stream takes no messages now",
  retryable: true,
};
const NO_RESPONDERS: PublishFailure = {
  kind: "failed",
  code: "no_responders",
  message: "nobody is subscribed to the subject of the request",
  retryable: true,
};

/**
 * The most answers to one message that wait until it is known which stream takes the message. They are of as many
 * streams: only the first answer in the name of a stream can count.
 */
const MAX_EARLY_ANSWERS = 256;

/** Makes the headers of a message, with none in them. */
type MakeHeaders = () => MsgHdrs;

/** A connection to publish on. */
export interface Channel {
  readonly requests: Requests;
  readonly makeHeaders: MakeHeaders;
}

/** A message that was sent and has no answer yet. */
interface Waiting {
  readonly subject: string;
  fail(failure: PublishFailure): void;
}

/**
 * Publishes the messages of clients to NATS.
 *
 * If a stream takes the subject, JetStream's answer is waited for. If none does, it is waited until NATS has received
 * the message: one PING confirms all messages before it. If it isn't known yet, the message is sent with a reply
 * subject, so that nobody waits to be sent and the order stays; JetStream is asked meanwhile. An answer that looks like
 * JetStream's counts if it names the stream that takes the subject: any subscriber may send one.
 */
export class NatsPublisher implements ClientPublisher {
  readonly #streams = new StreamFinder();
  readonly #waiting = new Set<Waiting>();
  readonly #lines: ControlLines;
  /** The longest line of a message whose confirmation failed on this connection. */
  #lostLine = 0;
  #channel: Channel | undefined;
  #flushing: Promise<void> | undefined;
  #nextFlush: Promise<void> | undefined;

  /** @param lines the lines that NATS takes, of subscriptions and of messages. */
  constructor(lines: ControlLines) {
    this.#lines = lines;
  }

  get maxReplyBytes(): number | undefined {
    return this.#channel?.requests.connection.info?.max_payload;
  }

  /** The longest line of a message that NATS may not have taken; 0 if there is none. */
  get longestLine(): number {
    let longest = this.#lostLine;
    for (const { subject } of this.#waiting) longest = Math.max(longest, messageLine(subject));
    return longest;
  }

  /** A connection is made, or made again. */
  open(channel: Channel): void {
    this.close();
    this.#lostLine = 0;
    this.#channel = channel;
  }

  /** The connection is lost: what waits for an answer gets none. */
  close(): void {
    this.#channel = undefined;
    this.#flushing = undefined;
    this.#nextFlush = undefined;
    for (const waiting of [...this.#waiting]) waiting.fail(LOST);
  }

  /** NATS denied us to publish to a subject. */
  denied(subject: string): void {
    const failure = failureOf(new PermissionError("publish", subject));
    for (const waiting of [...this.#waiting]) {
      if (waiting.subject === subject) waiting.fail(failure);
    }
  }

  publish(message: ClientMessage, signal: AbortSignal): Promise<Published | PublishFailure> {
    const channel = this.#channel;
    if (channel === undefined) return Promise.resolve(AWAY);
    const found = this.#streams.known(message.subject);
    return this.#wait<Published>(message.subject, signal, (settle) => {
      const headers = headersOf(message, channel.makeHeaders);
      if (found !== "unknown" && found.stream === undefined) {
        const { connection } = channel.requests;
        connection.publish(message.subject, message.data, headers && { headers });
        this.#confirm(connection, message.subject, settle);
        return () => {};
      }
      return this.#store(channel, message, headers, found, settle);
    });
  }

  request(message: ClientMessage, signal: AbortSignal): Promise<Reply | PublishFailure> {
    const channel = this.#channel;
    if (channel === undefined) return Promise.resolve(AWAY);
    const { subject, data } = message;
    return this.#wait<Reply>(subject, signal, (settle) =>
      channel.requests.send(subject, data, headersOf(message, channel.makeHeaders), {
        answer: ({ msg, headers: { fields } }) =>
          settle({ kind: "reply", data: msg.data, headers: fields }),
        failed: (error) => {
          settle(error instanceof NoRespondersError ? NO_RESPONDERS : failureOf(error));
        },
      }),
    );
  }

  /** Sends a message that a stream takes, or may take. @returns ends the wait for its answer. */
  #store(
    { requests }: Channel,
    { subject, data }: ClientMessage,
    headers: MsgHdrs | undefined,
    known: StreamOf,
    settle: (answer: Published | PublishFailure) => void,
  ): () => void {
    /** `undefined` while JetStream is asked. */
    let found: StreamOf | undefined = known === "unknown" ? undefined : known;
    let isUnheard = false;
    let wasWrong = false;
    /** By the names of streams; "" of one that takes nothing. */
    const early = new Map<string, Published | PublishFailure>();
    /** The stream that took the subject until JetStream was asked again. */
    let formerStream: string | undefined;
    const hold = (answer: Published | PublishFailure): void => {
      const name = answer.kind === "failed" ? "" : (answer.stored?.stream ?? "");
      if (early.has(name)) return;
      if (early.size < MAX_EARLY_ANSWERS || name === formerStream) early.set(name, answer);
    };
    const streamAway = (): void => {
      this.#streams.doubt(subject);
      settle(STREAM_AWAY);
    };
    const ask = (): void => {
      found = undefined;
      this.#streams.find(requests, subject).then(learn);
    };
    const take = (answer: Published | PublishFailure): void => {
      if (found === undefined) {
        hold(answer);
      } else if (found === "unknown") {
        // The message arrived, and no more is certain.
        settle(answer.kind === "failed" ? answer : { kind: "published" });
      } else if (found.stream === undefined) {
        // Only a subscriber answers.
      } else if (answer.kind === "failed" || answer.stored?.stream === found.stream) {
        settle(answer);
      } else if (!wasWrong) {
        // The stream may have been replaced since JetStream was asked.
        wasWrong = true;
        formerStream = found.stream;
        hold(answer);
        this.#streams.doubt(subject);
        ask();
      }
    };
    const learn = (stream: StreamOf): void => {
      found = stream;
      if (stream === "unknown" || stream.stream !== undefined) {
        if (isUnheard) streamAway();
        const held = [...early.values()];
        early.clear();
        for (const answer of held) take(answer);
        return;
      }
      this.#confirm(requests.connection, subject, settle);
    };
    const close = requests.send(subject, data, headers, {
      answer: ({ msg }) => {
        const answer = readPublishAnswer(msg.data);
        if (answer !== undefined) take(answer);
      },
      failed: (error) => {
        if (!(error instanceof NoRespondersError)) settle(failureOf(error));
        else if (found === undefined) isUnheard = true;
        // Without a stream, that nobody is subscribed is no fault.
        else if (found === "unknown" || found.stream !== undefined) streamAway();
      },
    });
    if (known === "unknown") ask();
    return close;
  }

  /** @param send sends the message, and returns what ends the wait for its answer. */
  #wait<Answer extends Published | Reply>(
    subject: string,
    signal: AbortSignal,
    send: (settle: (answer: Answer | PublishFailure) => void) => () => void,
  ): Promise<Answer | PublishFailure> {
    const reason = this.#lines.reasonOf(subject, messageLine(""));
    if (reason !== undefined) {
      const code = "invalid_subject";
      return Promise.resolve({ kind: "failed", code, message: reason, retryable: false });
    }
    const { promise, resolve } = Promise.withResolvers<Answer | PublishFailure>();
    let close: (() => void) | undefined;
    let isOver = false;
    const settle = (answer: Answer | PublishFailure): void => {
      if (isOver) return;
      isOver = true;
      this.#waiting.delete(waiting);
      if (answer.kind !== "failed") this.#lines.taken(utf8Length(subject));
      signal.removeEventListener("abort", cancel);
      close?.();
      resolve(answer);
    };
    const waiting: Waiting = { subject, fail: settle };
    const cancel = (): void => settle(CANCELLED);
    signal.addEventListener("abort", cancel);
    this.#waiting.add(waiting);
    try {
      close = send(settle);
      if (isOver) close();
    } catch (thrown) {
      settle(failureOf(thrown));
    }
    return promise;
  }

  /** Waits until NATS has received a message that was sent. */
  #confirm(
    connection: NatsConnection,
    subject: string,
    settle: (answer: Published | PublishFailure) => void,
  ): void {
    this.#flush(connection).then(
      () => settle({ kind: "published" }),
      (thrown: unknown) => {
        this.#lostLine = Math.max(this.#lostLine, messageLine(subject));
        settle(failureOf(thrown));
      },
    );
  }

  /** Resolves when NATS has received everything that was sent until now. Many messages share one flush. */
  #flush(connection: NatsConnection): Promise<void> {
    const flushing = this.#flushing ?? Promise.resolve();
    this.#nextFlush ??= flushing
      .catch(() => {})
      .then(() => {
        this.#flushing = this.#nextFlush;
        this.#nextFlush = undefined;
        return connection.flush();
      });
    return this.#nextFlush;
  }
}

function headersOf({ headers, key }: ClientMessage, make: MakeHeaders): MsgHdrs | undefined {
  if (headers.size === 0 && key === undefined) return undefined;
  const made = make();
  // nats-server 2.9 looks for a header in the whole text, and takes what it finds first.
  if (key !== undefined) made.set("Nats-Msg-Id", messageId(key));
  for (const [name, values] of headers) for (const value of values) made.append(name, value);
  return made;
}

/** Returns a name of 43 characters, from which nobody can tell whose message it is. */
function messageId(key: string): string {
  return createHash("sha256").update(key).digest("base64url");
}

function failureOf(thrown: unknown): PublishFailure {
  if (thrown instanceof PermissionError) {
    return { kind: "failed", code: "forbidden", message: thrown.message, retryable: true };
  }
  if ((thrown as { code?: unknown }).code === "MAX_PAYLOAD_EXCEEDED") {
    const message = "the message is larger than NATS accepts";
    return { kind: "failed", code: "too_large", message, retryable: false };
  }
  const message = `the message can't be published: ${thrown instanceof Error ? natsReason(thrown) : reasonOf(thrown)}`;
  return { kind: "failed", code: "unavailable", message, retryable: true };
}
