import { createHash } from "node:crypto";
import { reasonOf } from "../core/ports/errors.ts";
import type {
  ClientMessage,
  ClientPublisher,
  Published,
  PublishFailure,
  Reply,
} from "../core/ports/source.ts";
import { headersMaker, type MsgHdrs, type NatsConnection, natsReason } from "./connect.ts";
import { readPublishAnswer } from "./jetstream/publish-answer.ts";
import { StreamFinder } from "./jetstream/stream-finder.ts";
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

type MakeHeaders = () => MsgHdrs;

/** A connection to publish on. */
interface Channel {
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
 * subject, so that nobody waits to be sent and the order stays; JetStream is asked meanwhile.
 */
export class NatsPublisher implements ClientPublisher {
  readonly #streams = new StreamFinder();
  readonly #waiting = new Set<Waiting>();
  #channel: Channel | undefined;
  /** Counts the connections, so that what is opened late is not used. */
  #opened = 0;
  #flushing: Promise<void> | undefined;
  #nextFlush: Promise<void> | undefined;

  /** A connection is made, or made again. */
  async open(requests: Requests): Promise<void> {
    this.close();
    const opened = ++this.#opened;
    const makeHeaders = await headersMaker();
    if (opened === this.#opened) this.#channel = { requests, makeHeaders };
  }

  /** The connection is lost: what waits for an answer gets none. */
  close(): void {
    this.#opened++;
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
        this.#flush(connection).then(
          () => settle({ kind: "published" }),
          (thrown: unknown) => settle(failureOf(thrown)),
        );
        return () => {};
      }
      return this.#store(channel, message, headers, found === "unknown", settle);
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
    isUnknown: boolean,
    settle: (answer: Published | PublishFailure) => void,
  ): () => void {
    let isUnheard = false;
    let hasStream = !isUnknown;
    const streamAway = (): void => {
      this.#streams.forget(subject);
      settle(STREAM_AWAY);
    };
    const close = requests.send(subject, data, headers, {
      answer: ({ msg }) => {
        const answer = readPublishAnswer(msg.data);
        if (answer !== undefined) settle(answer);
      },
      failed: (error) => {
        if (!(error instanceof NoRespondersError)) settle(failureOf(error));
        // Without a stream, that nobody is subscribed is no fault.
        else if (hasStream) streamAway();
        else isUnheard = true;
      },
    });
    if (isUnknown) {
      this.#streams.find(requests, subject).then((found) => {
        if (found === "unknown" || found.stream !== undefined) {
          hasStream = true;
          if (isUnheard) streamAway();
          return;
        }
        this.#flush(requests.connection).then(
          () => settle({ kind: "published" }),
          (thrown: unknown) => settle(failureOf(thrown)),
        );
      });
    }
    return close;
  }

  /** @param send sends the message, and returns what ends the wait for its answer. */
  #wait<Answer>(
    subject: string,
    signal: AbortSignal,
    send: (settle: (answer: Answer | PublishFailure) => void) => () => void,
  ): Promise<Answer | PublishFailure> {
    const { promise, resolve } = Promise.withResolvers<Answer | PublishFailure>();
    let close: (() => void) | undefined;
    let isOver = false;
    const settle = (answer: Answer | PublishFailure): void => {
      if (isOver) return;
      isOver = true;
      this.#waiting.delete(waiting);
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
  for (const [name, values] of headers) for (const value of values) made.append(name, value);
  if (key !== undefined) made.set("Nats-Msg-Id", messageId(key));
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
