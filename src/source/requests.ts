import { type Msg, type NatsConnection, natsReason, type Subscription } from "./connect.ts";
import { type Headers, readHeaders } from "./headers.ts";
import { listen, newInbox } from "./listen.ts";

/** An answer, with its headers read. */
export interface Answer {
  readonly msg: Msg;
  readonly headers: Headers;
}

/** Takes the answers to a request. */
export interface Asking {
  answer(answer: Answer): void;
  /** Nobody answers, or NATS does not let us ask. */
  failed(error: Error): void;
}

/** Takes the faults of requests and answers; see `SourceListener.fault`. */
export interface RequestFaults {
  unreadable(detail: string): void;
  fault(thrown: unknown): void;
  /** NATS does not let us publish something, and we continue without it. */
  denied(error: PermissionError): void;
  /** JetStream refuses something that a client waits for. */
  refused(detail: string): void;
}

/** NATS does not let us publish or subscribe to a subject. */
export class PermissionError extends Error {
  constructor(action: "publish" | "subscribe", subject: string) {
    super(`NATS does not let the gateway ${action} to ${subject}`);
  }
}

/** Nobody is subscribed to what was asked: JetStream is not enabled, or not up yet. */
export class NoRespondersError extends Error {
  constructor() {
    super("nobody answers, as JetStream is not enabled or not up yet");
  }
}

/** The status of an answer that nats-server gives where there is nobody to ask. */
const NO_RESPONDERS = 503;

/**
 * Asks services on one connection. nats.js has requests of its own; where an answer's headers break the rules
 * they throw inside of it, and it stops reading its socket.
 */
export class Requests {
  readonly connection: NatsConnection;
  readonly faults: RequestFaults;
  /** All requests that wait for answers, whichever inbox these come to. */
  readonly #asking = new Set<Asking & { readonly subject: string }>();
  readonly #watching = new Set<(subject: string) => void>();
  /** Answers to single questions come to one inbox. */
  readonly #inbox = newInbox();
  readonly #single = new Map<string, Asking>();
  #subscription: Subscription | undefined;
  #count = 0;

  constructor(connection: NatsConnection, faults: RequestFaults) {
    this.connection = connection;
    this.faults = faults;
  }

  /**
   * Asks, and hands over all that is answered until it is closed. Messages of streams come under subjects of
   * their own, so that each request has an inbox of its own.
   *
   * @returns closes it.
   */
  open(subject: string, body: string, asking: Asking): () => void {
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

  /** Asks for one answer. */
  async ask(subject: string, body: string, timeoutMs: number): Promise<Answer> {
    const { promise, resolve, reject } = Promise.withResolvers<Answer>();
    this.#subscription ??= this.#listen();
    const waiting = { subject, answer: resolve, failed: reject };
    const token = String(++this.#count);
    this.#asking.add(waiting);
    this.#single.set(token, waiting);
    const timer = setTimeout(() => reject(new Error("there is no answer")), timeoutMs);
    try {
      this.connection.publish(subject, body, { reply: `${this.#inbox}.${token}` });
      return await promise;
    } finally {
      clearTimeout(timer);
      this.#asking.delete(waiting);
      this.#single.delete(token);
    }
  }

  /**
   * Calls with each subject that NATS does not let us publish to.
   *
   * @returns ends that.
   */
  watchDenials(call: (subject: string) => void): () => void {
    this.#watching.add(call);
    return () => void this.#watching.delete(call);
  }

  /** NATS does not let us publish to a subject. */
  denied(subject: string): void {
    const error = new PermissionError("publish", subject);
    for (const asking of [...this.#asking]) {
      if (asking.subject === subject) asking.failed(error);
    }
    for (const call of [...this.#watching]) call(subject);
  }

  /** Listens with a guard; see {@linkcode listen}. */
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

  #answer(asking: Asking, msg: Msg): void {
    const headers = this.read(msg);
    if (isNoResponders(msg, headers)) asking.failed(new NoRespondersError());
    else asking.answer({ msg, headers });
  }
}

/** The error of a subscription, in words for people. */
function subscribeError(subject: string, cause: Error): Error {
  return (cause as { code?: unknown }).code === "PERMISSIONS_VIOLATION"
    ? new PermissionError("subscribe", subject)
    : new Error(natsReason(cause));
}

/** A message that a stream keeps may have the same status: it says who keeps it. */
function isNoResponders({ data, reply }: Msg, { code, fields }: Headers): boolean {
  return code === NO_RESPONDERS && data.length === 0 && !reply && !fields.has("Nats-Sequence");
}
