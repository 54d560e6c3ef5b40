import {
  type Msg,
  type MsgHdrs,
  type NatsConnection,
  natsReason,
  type Subscription,
} from "./connect.ts";
import { type Headers, hasData, readHeaders } from "./headers.ts";
import { listen, newInbox } from "./safe-subscribe.ts";

/** An answer. Its headers are parsed when they are read first. */
export class Answer {
  readonly msg: Msg;
  readonly #requests: Requests;
  #headers: Headers | undefined;

  constructor(msg: Msg, requests: Requests) {
    this.msg = msg;
    this.#requests = requests;
  }

  get headers(): Headers {
    this.#headers ??= this.#requests.read(this.msg);
    return this.#headers;
  }
}

/** Takes the answers to a request. */
export interface AnswerHandler {
  answer(answer: Answer): void;
  /** Nobody answers, or NATS denies the request. */
  failed(error: Error): void;
}

/** Takes faults; see `SourceListener.fault`. */
export interface RequestFaults {
  unreadable(detail: string): void;
  fault(thrown: unknown): void;
  /** NATS denied us to publish something that we can do without. */
  denied(error: PermissionError): void;
  /** JetStream refused something that a client waits for. */
  refused(detail: string): void;
}

/** NATS denied us to publish or subscribe to a subject. */
export class PermissionError extends Error {
  constructor(action: "publish" | "subscribe", subject: string) {
    super(`NATS does not let the gateway ${action} to ${subject}`);
  }
}

/** Nobody is subscribed to the subject of a request: JetStream is not enabled, or not up yet. */
export class NoRespondersError extends Error {
  constructor() {
    super("nobody answers: JetStream is not enabled, or not started yet");
  }
}

/** The status of the server's answer to a request that nobody is subscribed to. */
const NO_RESPONDERS = 503;

/**
 * Sends requests on one connection. The requests of nats.js 2.29 are not used: they read the headers of an answer
 * without data inside of the client, which throws if these are malformed, and then stops reading its socket.
 */
export class Requests {
  readonly connection: NatsConnection;
  readonly faults: RequestFaults;
  /** All requests that wait for answers. */
  readonly #asking = new Set<AnswerHandler & { readonly subject: string }>();
  readonly #watching = new Set<(subject: string) => void>();
  /** The inbox that all requests for one answer share. */
  readonly #inbox = newInbox();
  readonly #single = new Map<string, AnswerHandler>();
  #subscription: Subscription | undefined;
  #count = 0;
  #isClosed = false;

  constructor(connection: NatsConnection, faults: RequestFaults) {
    this.connection = connection;
    this.faults = faults;
  }

  /**
   * Sends a request, and hands over all answers until it is closed. Each such request has an inbox of its own, as
   * messages of streams keep their own subjects.
   *
   * @returns closes the request.
   */
  open(subject: string, body: string, asking: AnswerHandler): () => void {
    const waiting = { ...asking, subject };
    const inbox = newInbox();
    const answer = (msg: Msg): void => this.#answer(asking, msg);
    const subscription = this.listen(inbox, answer, asking.failed);
    this.#asking.add(waiting);
    this.connection.publish(subject, body, { reply: inbox });
    return () => {
      this.#asking.delete(waiting);
      subscription.unsubscribe();
    };
  }

  /** Sends a request, and returns the first answer. */
  async ask(subject: string, body: string, timeoutMs: number): Promise<Answer> {
    const { promise, resolve, reject } = Promise.withResolvers<Answer>();
    const timer = setTimeout(() => reject(new Error("there is no answer")), timeoutMs);
    let close: (() => void) | undefined;
    try {
      close = this.send(subject, body, undefined, { answer: resolve, failed: reject });
      return await promise;
    } finally {
      clearTimeout(timer);
      close?.();
    }
  }

  /**
   * Sends a request whose answers come to an inbox that many requests share, and hands over all answers until it is
   * closed.
   *
   * @returns closes the request.
   * @throws an error of nats.js if the message can't be sent: it is too large.
   */
  send(
    subject: string,
    body: string | Uint8Array,
    headers: MsgHdrs | undefined,
    asking: AnswerHandler,
  ): () => void {
    this.#subscription ??= this.#listen();
    const waiting = { ...asking, subject };
    const token = String(++this.#count);
    this.#asking.add(waiting);
    this.#single.set(token, waiting);
    const close = (): void => {
      this.#asking.delete(waiting);
      this.#single.delete(token);
      this.#leaveInbox();
    };
    const reply = `${this.#inbox}.${token}`;
    try {
      this.connection.publish(
        subject,
        body,
        headers === undefined ? { reply } : { reply, headers },
      );
    } catch (thrown) {
      close();
      throw thrown;
    }
    return close;
  }

  /**
   * Calls with each subject that NATS denies us to publish to.
   *
   * @returns ends that.
   */
  watchDenials(call: (subject: string) => void): () => void {
    this.#watching.add(call);
    return () => void this.#watching.delete(call);
  }

  /** NATS denied us to publish to a subject: fails the requests to it. */
  denied(subject: string): void {
    const error = new PermissionError("publish", subject);
    for (const asking of [...this.#asking]) {
      if (asking.subject === subject) asking.failed(error);
    }
    for (const call of [...this.#watching]) call(subject);
  }

  /** The connection is lost, or given up: fails all requests. */
  close(): void {
    this.#isClosed = true;
    for (const asking of [...this.#asking]) asking.failed(new Error("the connection is lost"));
    this.#leaveInbox();
  }

  /** Subscribes; see {@linkcode listen}. */
  listen(subject: string, message: (msg: Msg) => void, failed: (error: Error) => void) {
    const denied = (error: Error) => failed(subscribeError(subject, error));
    return listen(this.connection, subject, { message, failed: denied }, this.faults.fault);
  }

  read(msg: Msg): Headers {
    return readHeaders(msg, this.faults.unreadable);
  }

  #listen(): Subscription {
    return this.listen(
      `${this.#inbox}.*`,
      (msg) => {
        const asking = this.#single.get(msg.subject.slice(this.#inbox.length + 1));
        if (asking !== undefined) this.#answer(asking, msg);
      },
      (error) => {
        this.#subscription = undefined;
        for (const asking of [...this.#single.values()]) asking.failed(error);
      },
    );
  }

  /** After `close`, unsubscribes from the inbox once no request waits there: nats.js would subscribe to it again with each reconnect. */
  #leaveInbox(): void {
    if (!this.#isClosed || this.#single.size > 0) return;
    const subscription = this.#subscription;
    this.#subscription = undefined;
    if (subscription?.isClosed() === false) subscription.unsubscribe();
  }

  #answer(asking: AnswerHandler, msg: Msg): void {
    const answer = new Answer(msg, this);
    if (isNoResponders(answer)) asking.failed(new NoRespondersError());
    else asking.answer(answer);
  }
}

/** Returns the error of a subscription in words for people. */
function subscribeError(subject: string, cause: Error): Error {
  return (cause as { code?: unknown }).code === "PERMISSIONS_VIOLATION"
    ? new PermissionError("subscribe", subject)
    : new Error(natsReason(cause));
}

/** A message of a stream may have the same status, but names its place in the stream. */
function isNoResponders(answer: Answer): boolean {
  const { msg } = answer;
  if (hasData(msg) || msg.reply) return false;
  const { headers } = answer;
  return headers.code === NO_RESPONDERS && !headers.fields.has("Nats-Sequence");
}
