import type { ClientFrame } from "../protocol/client-frames.ts";
import type { UpstreamState } from "../protocol/server-frames.ts";
import { attempt, type CursorStore } from "./cursors.ts";
import { closedError, gatewayError, type SpillwayError } from "./errors.ts";
import { type ConnectionState, Link, type UrlOption } from "./link.ts";
import { decodePayload } from "./payload.ts";
import { currentPlatform, type Platform } from "./platform.ts";
import { type PublishOptions, type RequestOptions, Requests } from "./requests.ts";
import type { RetryOptions } from "./retry.ts";
import { Router } from "./router.ts";
import { type SubscribeOptions, Subscription } from "./subscription.ts";
import { tell } from "./tell.ts";
import type { TokenOption } from "./token.ts";
import type { IncomingFrame, OpenTransport, Welcome } from "./transport.ts";

export interface ConnectOptions {
  /** Shows who the client is, if the gateway needs to know. */
  readonly token?: TokenOption;
  /** The way to the gateway, such as `webSocketOrEvents()`. Default: a WebSocket. */
  readonly transport?: OpenTransport;
  /** Keeps the places of subscriptions. Default: in memory. */
  readonly cursors?: CursorStore;
  /** The waits between attempts. */
  readonly retry?: RetryOptions;
  /** In at-least-once: the {@linkcode Connection.session} of an earlier connection, to be resumed. Keep it secret. */
  readonly session?: string;
  /** Closes the connection. */
  readonly signal?: AbortSignal;
  /** Replaces parts of the surroundings, such as `WebSocket`. */
  readonly platform?: Partial<Platform>;
}

/** The events of {@linkcode Connection.on}, by name. */
export interface ConnectionEvents {
  /** The connection stands differently. */
  state: ConnectionState;
  /** Something failed. The client goes on by itself; if it can't, the state is `closed`. */
  error: SpillwayError;
  /** Whether the gateway is connected to NATS. */
  upstream: UpstreamState;
}

/** A part of the client that is loaded only by pages that import it. */
export interface Extension {
  /** The gateway takes requests. */
  ready(welcome: Welcome): void;
  /** The connection is lost, or closed. */
  down(): void;
  /** The connection is closed for good. */
  close(error: SpillwayError): void;
  /** Takes a frame that is for nobody else. @returns whether it is for this extension. */
  take(frame: IncomingFrame): boolean;
}

/** The answer to a published message. */
export interface Published {
  readonly id: string;
  /** The stream that stores it; `undefined` if no stream takes its subject. */
  readonly stream: string | undefined;
  readonly seq: number | undefined;
  /** The stream had it before. */
  readonly duplicate: boolean;
}

/** The answer of a service. */
export interface Response<T> {
  readonly payload: T;
  readonly headers: Readonly<Record<string, readonly string[]>>;
}

/** Cursors are kept at most once in this time, and when the page may end. */
const KEEP_MS = 500;

type Listeners = { [Name in keyof ConnectionEvents]: Set<(event: ConnectionEvents[Name]) => void> };

/** Returns the error for all that a closed connection ends. */
function errorOf({ error }: ConnectionState & { type: "closed" }): SpillwayError {
  return error ?? closedError("The connection");
}

/** A connection to a gateway, which it opens again whenever it is lost. Made by {@linkcode connect}. */
export class Connection implements AsyncDisposable {
  readonly #platform: Platform;
  readonly #link: Link;
  readonly #router: Router;
  readonly #requests: Requests;
  /** All that takes frames. */
  readonly #parts: Extension[];
  readonly #cursors: CursorStore;
  readonly #signal: AbortSignal | undefined;
  readonly #unkept = new Map<string, string>();
  readonly #listeners: Listeners = { state: new Set(), error: new Set(), upstream: new Set() };
  readonly #close = (): Promise<void> => this.close();
  #cancelKeep: (() => void) | undefined;
  /** Present while the gateway takes requests. */
  #welcome: Welcome | undefined;

  constructor(url: UrlOption, options: ConnectOptions, openTransport: OpenTransport) {
    const { cursors = new Map<string, string>(), signal } = options;
    const platform = { ...currentPlatform(), ...options.platform };
    const send = (frame: ClientFrame): void => this.#link.send(frame);
    this.#platform = platform;
    this.#cursors = cursors;
    this.#router = new Router(send, platform);
    this.#requests = new Requests(send, platform);
    this.#parts = [this.#router, this.#requests];
    this.#signal = signal;
    this.#link = new Link(url, options, openTransport, platform, {
      ready: (welcome) => {
        this.#welcome = welcome;
        for (const part of this.#parts) part.ready(welcome);
        this.#tell("upstream", welcome.upstream);
      },
      frame: (frame) => this.#take(frame),
      down: () => {
        this.#welcome = undefined;
        for (const part of this.#parts) part.down();
      },
      changed: (state) => this.#changed(state),
      failed: (error) => this.#tell("error", error),
      leaving: () => this.#keep(),
    });
    signal?.addEventListener("abort", this.#close);
    if (signal?.aborted) void this.#close();
  }

  get state(): ConnectionState {
    return this.#link.state;
  }

  /** In at-least-once: the name of the session. Whoever knows it gets its messages. */
  get session(): string | undefined {
    return this.#link.session;
  }

  /**
   * Subscribes to subjects, which may have wildcards. It waits for the connection by itself.
   *
   * @param subjects one or more, at most 64.
   * @throws SpillwayError `closed` if the connection is closed; its error if the gateway has refused it.
   */
  subscribe<T = unknown>(
    subjects: string | readonly string[],
    options: SubscribeOptions<T> = {},
  ): Subscription<T> {
    this.#throwIfClosed();
    const list = typeof subjects === "string" ? [subjects] : [...subjects];
    const { session } = options;
    const place =
      session === undefined
        ? undefined
        : (this.#unkept.get(session) ?? attempt(() => this.#cursors.get(session)));
    const host = {
      platform: this.#platform,
      router: this.#router,
      processed: (place: string) => {
        if (session === undefined) return;
        this.#unkept.set(session, place);
        this.#cancelKeep ??= this.#platform.timer(KEEP_MS, () => this.#keep());
      },
    };
    const subscription = new Subscription<T>(host, list, options, place || undefined);
    if (!subscription.isOver) this.#router.add(subscription.feed);
    return subscription;
  }

  /**
   * Publishes a message, and waits until NATS or its stream has it. If the connection is lost before the answer, the
   * message is sent again with the same `id`: a stream stores it once (within its `duplicate_window`, if the client has a
   * token, or resumes its session); without a stream, subscribers may get it twice.
   *
   * @param payload bytes as a `Uint8Array`; `undefined`: no data; anything else is JSON.
   * @throws SpillwayError with the gateway's code. If it is `retryable`, publish again with the same `id`.
   */
  async publish(
    subject: string,
    payload?: unknown,
    options: PublishOptions = {},
  ): Promise<Published> {
    this.#throwIfClosed();
    const answer = await this.#requests.publish(subject, payload, options);
    const { id, stream, seq, duplicate = false } = answer;
    return { id, stream, seq, duplicate };
  }

  /**
   * Sends a request to a service, and returns its first answer.
   *
   * @throws SpillwayError `no_responders`, `timeout`, `disconnected` if the connection is lost meanwhile, or another code
   * of the gateway.
   */
  async request<T = unknown>(
    subject: string,
    payload?: unknown,
    options: RequestOptions = {},
  ): Promise<Response<T>> {
    this.#throwIfClosed();
    const answer = await this.#requests.request(subject, payload, options);
    return { payload: decodePayload(answer) as T, headers: answer.headers ?? {} };
  }

  /**
   * Adds what a page needs only sometimes, such as {@linkcode presence}.
   *
   * @param make returns the extension; `send` drops frames while the connection is not open.
   */
  extend<E extends Extension>(make: (send: (frame: ClientFrame) => void) => E): E {
    const extension = make((frame) => this.#link.send(frame));
    this.#parts.push(extension);
    if (this.#welcome !== undefined) extension.ready(this.#welcome);
    if (this.state.type === "closed") extension.close(errorOf(this.state));
    return extension;
  }

  /** Calls a listener with each event. @returns a function that ends that. */
  on<Name extends keyof ConnectionEvents>(
    name: Name,
    listener: (event: ConnectionEvents[Name]) => void,
  ): () => void {
    const listeners: Set<(event: ConnectionEvents[Name]) => void> = this.#listeners[name];
    listeners.add(listener);
    return () => listeners.delete(listener);
  }

  /** Closes the connection for good, with its subscriptions and requests. May be called twice. */
  async close(): Promise<void> {
    this.#keep();
    this.#router.acks.flush();
    this.#link.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #throwIfClosed(): void {
    if (this.state.type === "closed") throw errorOf(this.state);
  }

  #take(frame: IncomingFrame): void {
    if (frame.type === "upstream") this.#tell("upstream", frame.state);
    const isTaken = this.#parts.some((part) => part.take(frame));
    if (isTaken || frame.type !== "error") return;
    // An `unsubscribe` may have crossed the end of its subscription.
    if (frame.error.code !== "unknown_subscription") this.#tell("error", gatewayError(frame.error));
  }

  #changed(state: ConnectionState): void {
    if (state.type === "closed") {
      this.#signal?.removeEventListener("abort", this.#close);
      for (const part of this.#parts) part.close(errorOf(state));
      if (state.error !== undefined) this.#tell("error", state.error);
    }
    this.#tell("state", state);
  }

  #tell<Name extends keyof ConnectionEvents>(name: Name, event: ConnectionEvents[Name]): void {
    tell<ConnectionEvents[Name]>(this.#listeners[name], event);
  }

  /** Writes the places of subscriptions to the store. */
  #keep(): void {
    this.#cancelKeep?.();
    this.#cancelKeep = undefined;
    for (const [key, place] of this.#unkept) attempt(() => this.#cursors.set(key, place));
    this.#unkept.clear();
  }
}
