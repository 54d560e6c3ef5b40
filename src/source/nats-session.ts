import { reasonOf } from "../core/ports/errors.ts";
import type { Log } from "../core/ports/log.ts";
import type { SourceListener, SourceMessage, SourceStatus } from "../core/ports/source.ts";
import {
  deniedSubject,
  failClosedAttempt,
  headersMaker,
  hearErrors,
  type NatsConnection,
  natsReason,
  publishOn,
  type Status,
} from "./connect.ts";
import { GuardedListener } from "./guarded-listener.ts";
import type { Streams } from "./jetstream/streams.ts";
import type { Channel, NatsPublisher } from "./nats-publisher.ts";
import { isRefusal, NatsSubscriptions } from "./nats-subscriptions.ts";
import type { PatternSet } from "./pattern-set.ts";
import { NoRespondersError, PermissionError, Requests } from "./requests.ts";
import { Backoff, pause, unlessAborted } from "./retry.ts";
import { FIRST_ATTEMPT, StatusReporter } from "./status-reporter.ts";
import type { UnsendablePatterns } from "./unsendable-patterns.ts";
import type { WatchedSubject } from "./watched-subject.ts";

/** While NATS is away, the gateway probes what listens at its address: first after this time, then at this interval. */
const FIRST_PROBE_MS = 1_500;
const PROBE_MS = 20_000;

/** Options of a {@linkcode NatsSession}. */
export interface NatsSessionOptions {
  /** The patterns to subscribe to. The owner changes them before it calls `subscribe` and `unsubscribe`. */
  readonly patterns: PatternSet;
  readonly unsendable: UnsendablePatterns;
  /** `undefined` if no streams are configured. */
  readonly streams: Streams | undefined;
  readonly watched?: WatchedSubject | undefined;
  /** Publishes what clients send, while there is a connection. */
  readonly publisher: NatsPublisher;
  readonly log: Log;
  readonly listener: SourceListener;
  /** Settles when the session before this one has ended. */
  readonly after: Promise<void> | undefined;
  readonly connection: {
    /** Whether we may close the connection. */
    readonly owned: boolean;
    /** Connects. @param stumbles called when a later reconnect is impossible, with the reason. */
    open(stumbles: (reason: string) => void): Promise<NatsConnection>;
    /** Finds out what else listens at the address of NATS. Never rejects. */
    probe?(signal: AbortSignal): Promise<string | undefined>;
  };
}

/**
 * A NATS source from its start to its stop: connects, subscribes, and begins again if the connection is closed
 * before the stop.
 *
 * nats.js reconnects by itself once it was connected (ADR-40), also to other servers of the cluster. Its
 * `waitOnFirstConnect` can't be cancelled, so the first connection is made here. If the session stops while
 * nats.js waits to reconnect, a timer of nats.js remains for up to 1.5 s, and does nothing.
 */
export class NatsSession {
  /** Settles when the session has ended and released everything. */
  readonly done: Promise<void>;
  readonly #options: NatsSessionOptions;
  readonly #listener: SourceListener;
  readonly #reporter: StatusReporter;
  /** Aborted when no more messages are to be delivered; the connection stays until `#stopping`. */
  readonly #draining = new AbortController();
  readonly #stopping = new AbortController();
  /** Aborted when the time is up, for messages under way and for closing the connection. */
  readonly #timeUp = { drain: new AbortController(), stop: new AbortController() };
  readonly #drained = Promise.withResolvers<void>();
  readonly #retries = new Backoff();
  #retrying = false;
  /** Why there is no connection, and what was found at the address. */
  #reason = FIRST_ATTEMPT;
  #found: string | undefined;
  /** Aborted when NATS is back. */
  #probing: AbortController | undefined;
  /** Whether errors of NATS come in its own words: see `hearErrors`. */
  #hears = false;
  /** The last error since the subscriptions were settled. */
  #heard: string | undefined;
  #subscriptions: NatsSubscriptions | undefined;
  #connection: NatsConnection | undefined;
  /** Serves what is published, and requests that are not for JetStream. */
  #channel: Channel | undefined;
  /** Whether the subscriptions were made again since nats.js lost the connection. */
  #isReopened = false;

  /** Calls nothing before it returns. */
  constructor(options: NatsSessionOptions) {
    this.#options = options;
    this.#listener = new GuardedListener(options.listener, options.log);
    this.#reporter = new StatusReporter(options.log, this.#listener);
    this.done = this.#run();
  }

  get status(): SourceStatus {
    return this.#reporter.status;
  }

  get ending(): boolean {
    return this.#draining.signal.aborted;
  }

  subscribe(pattern: string): void {
    if (!this.ending) this.#subscriptions?.subscribe(pattern);
  }

  unsubscribe(pattern: string): void {
    this.#subscriptions?.unsubscribe(pattern);
  }

  /** Publishes a message, or logs why it can't. */
  publish(message: SourceMessage): void {
    const { log } = this.#options;
    const publishing =
      this.#connection === undefined
        ? Promise.reject(new Error("there is no connection to NATS"))
        : publishOn(this.#connection, message);
    publishing.catch((thrown: unknown) => {
      const { subject } = message;
      log.warn("Cannot publish to {subject}: {reason}", { subject, reason: reasonOf(thrown) });
    });
  }

  /** Publishes a message, or doesn't: whoever writes it finds out. */
  write(message: SourceMessage): void {
    if (this.#connection !== undefined) publishOn(this.#connection, message).catch(() => {});
  }

  /**
   * Sends a request, and returns the data of the first answer.
   *
   * @throws an error in words for people if there is no connection, nobody answers, or not in time.
   */
  async ask(subject: string, data: string, timeoutMs: number): Promise<Uint8Array> {
    if (this.status.state !== "connected" || this.#channel === undefined) {
      throw new Error("there is no connection to NATS");
    }
    try {
      return (await this.#channel.requests.ask(subject, data, timeoutMs)).msg.data;
    } catch (thrown) {
      if (thrown instanceof NoRespondersError) throw new Error(`nobody answers at ${subject}`);
      throw thrown;
    }
  }

  /** Delivers messages that are under way, within the time, and then none. The connection stays. */
  async drain(timeoutMs: number): Promise<void> {
    this.#draining.abort();
    const timer = setTimeout(() => this.#timeUp.drain.abort(), timeoutMs);
    await Promise.race([this.#drained.promise, this.done]);
    clearTimeout(timer);
  }

  /** Ends the session; messages that are under way are delivered within the time. */
  async end(timeoutMs: number): Promise<void> {
    this.#draining.abort();
    this.#stopping.abort();
    const timer = setTimeout(() => {
      for (const controller of Object.values(this.#timeUp)) controller.abort();
    }, timeoutMs);
    await this.done;
    clearTimeout(timer);
  }

  async #run(): Promise<void> {
    await this.#options.after;
    if (!this.ending) {
      this.#listener.status(this.status);
      void this.#probe();
    }
    while (!this.ending) {
      try {
        // With this, messages can be published as soon as the status says that there is a connection.
        const makeHeaders = await headersMaker();
        const connection = await this.#open();
        if (connection === undefined) break;
        await this.#serve(connection, makeHeaders);
      } catch (thrown) {
        this.#cut(reasonOf(thrown));
      }
      await pause(this.#retries.next(), this.#draining.signal);
    }
    this.#reporter.change({ state: "idle" });
  }

  /** Connects; returns `undefined` if the stop came first. */
  async #open(): Promise<NatsConnection | undefined> {
    const { owned, open } = this.#options.connection;
    const opening = open((reason) => {
      if (this.status.state === "connecting") this.#cut(reason);
    });
    const connection = await unlessAborted(opening, this.#draining.signal);
    if (connection === undefined && owned) {
      // Connecting can't be cancelled: the connection is closed as soon as it is made.
      opening.then((late) => late.close()).catch(() => {});
    }
    return connection;
  }

  /** Delivers messages until the connection is closed for good or the session stops. */
  async #serve(connection: NatsConnection, makeHeaders: Channel["makeHeaders"]): Promise<void> {
    const { patterns, unsendable, log, connection: origin } = this.#options;
    const subscriptions: NatsSubscriptions = new NatsSubscriptions(connection, {
      patterns,
      unsendable,
      log,
      listener: this.#listener,
      settled: () => this.#settle(connection, subscriptions),
    });
    this.#subscriptions = subscriptions;
    this.#options.streams?.open(connection, this.#listener);
    this.#connection = connection;
    this.#openChannel({ requests: this.#requestsOn(connection), makeHeaders });
    this.#isReopened = false;
    // The type hides `stop`: the iterator does not end by itself.
    const events = connection.status() as AsyncIterable<Status> & { stop(): void };
    void this.#readEvents(events, subscriptions, connection);
    const stopHearing = hearErrors(connection, (reason) => {
      try {
        this.#hear(reason, subscriptions);
      } catch (thrown) {
        this.#listener.fault("source_fault", reasonOf(thrown));
      }
    });
    this.#hears = stopHearing !== undefined;

    const closing = connection.closed().then((error) => ({ error }));
    let closed = await unlessAborted(closing, this.#draining.signal);
    if (closed === undefined) {
      if (this.status.state === "connected") {
        await unlessAborted(subscriptions.drain(), this.#timeUp.drain.signal);
      }
      this.#options.streams?.drain();
      this.#drained.resolve();
      closed = await unlessAborted(closing, this.#stopping.signal);
    }
    events.stop();
    stopHearing?.();
    if (closed === undefined && this.status.state === "connected") {
      // Sends the last messages and settlements before the connection is closed.
      const flushed = connection.flush().catch(() => {
        // The connection was lost: nothing can be sent any more.
      });
      await unlessAborted(flushed, this.#timeUp.stop.signal);
    }
    subscriptions.close();
    this.#subscriptions = undefined;
    this.#options.streams?.close();
    this.#connection = undefined;
    this.#options.watched?.close();
    this.#options.publisher.close();
    this.#channel?.requests.close();
    this.#channel = undefined;
    if (origin.owned) await unlessAborted(connection.close(), this.#timeUp.stop.signal);
    if (closed === undefined) return;
    const why = closed.error instanceof Error ? natsReason(closed.error) : "no reason given";
    this.#cut(`the connection to NATS was closed: ${why}`);
    if (!origin.owned) await unlessAborted(new Promise(() => {}), this.#stopping.signal);
  }

  /**
   * NATS has answered all subscriptions. Refused ones are tried again and again, as the server may be reloaded with a
   * configuration that allows them (ADR-40).
   */
  #settle(connection: NatsConnection, subscriptions: NatsSubscriptions): void {
    if (this.ending) return;
    this.#heard = undefined;
    this.#probing?.abort();
    this.#found = undefined;
    this.#reporter.change({ state: "connected", to: connection.getServer() });
    if (subscriptions.refusesSome) void this.#retry();
    else this.#retries.reset();
  }

  /** NATS reports an error. Refusals are logged elsewhere, by pattern. */
  #hear(reason: string, subscriptions: NatsSubscriptions): void {
    subscriptions.complained(reason);
    const denied = deniedSubject(reason);
    if (denied !== undefined) this.#options.publisher.denied(denied);
    if (isRefusal(reason) || this.status.state !== "connected") return;
    if (this.#heard !== reason) this.#options.log.warn("NATS says: {error}", { error: reason });
    this.#heard = reason;
  }

  #openChannel(channel: Channel): void {
    this.#channel = channel;
    this.#options.watched?.open(channel.requests);
    this.#options.publisher.open(channel);
  }

  #requestsOn(connection: NatsConnection): Requests {
    return new Requests(connection, {
      unreadable: (detail) => this.#listener.fault("unreadable_headers", detail),
      fault: (thrown) => this.#listener.fault("source_fault", reasonOf(thrown)),
      refused: (detail) => this.#listener.fault("source_fault", detail),
      denied: ({ message }) => this.#listener.fault("publish_refused", message),
    });
  }

  async #retry(): Promise<void> {
    if (this.#retrying) return;
    this.#retrying = true;
    await pause(this.#retries.next(), this.#stopping.signal);
    this.#retrying = false;
    if (!this.ending) this.#subscriptions?.retry();
  }

  async #readEvents(
    events: AsyncIterable<Status>,
    subscriptions: NatsSubscriptions,
    connection: NatsConnection,
  ): Promise<void> {
    for await (const event of events) {
      if (this.#stopping.signal.aborted) return;
      try {
        this.#takeEvent(event, subscriptions, connection);
      } catch (thrown) {
        // No event may end the loop.
        this.#listener.fault("source_fault", reasonOf(thrown));
      }
    }
  }

  #takeEvent(event: Status, subscriptions: NatsSubscriptions, connection: NatsConnection): void {
    const { log, streams } = this.#options;
    const { status } = this;
    switch (String(event.type)) {
      case "reconnect":
        // nats.js reports it once for each connection that it lost, also that of a failed attempt.
        if (this.ending || this.#isReopened) break;
        this.#isReopened = true;
        subscriptions.open();
        streams?.open(connection, this.#listener);
        // NATS may allow now what it refused before.
        if (this.#channel !== undefined) this.#openChannel(this.#channel);
        break;
      case "disconnect":
        subscriptions.close(this.#options.publisher.longestLine);
        streams?.close();
        this.#options.publisher.close();
        this.#isReopened = false;
        failClosedAttempt(connection);
        // If the session is connecting, the earlier reason tells more: an error, or a missing answer.
        if (status.state === "connected") {
          const why = this.#heard === undefined ? "" : `: ${this.#heard}`;
          this.#cut(`lost the connection to ${event.data}${why}`);
        }
        break;
      case "staleConnection":
        // Messages that still come would be delivered before the gap.
        subscriptions.close();
        streams?.close();
        this.#options.publisher.close();
        this.#isReopened = false;
        this.#cut(`${status.state === "connected" ? status.to : "NATS"} stopped answering pings`);
        break;
      case "error":
        if (event.permissionContext !== undefined) {
          const { operation, subject } = event.permissionContext;
          if (operation === "subscription") subscriptions.recheck(subject);
          else this.#denied(subject);
        } else if (status.state === "connecting") {
          this.#cut(natsReason(event.data));
        } else if (!this.#hears) {
          log.warn("NATS says: {error}", { error: natsReason(event.data) });
        }
        break;
      case "ldm":
        // The server will close our connection, and nats.js then connects to another one
        // (https://docs.nats.io/running-a-nats-service/nats_admin/lame_duck_mode).
        log.info("NATS server {server} is in lame duck mode", { server: event.data });
        break;
    }
  }

  /** NATS denied us to publish to a subject: a request there gets no answer. */
  #denied(subject: string): void {
    this.#options.streams?.denied(subject);
    this.#channel?.requests.denied(subject);
    this.#options.publisher.denied(subject);
    // Requests to JetStream and to other gateways are counted where they are made.
    if (/^(\$JS|_SPILLWAY)\./.test(subject)) return;
    this.#listener.fault("publish_refused", new PermissionError("publish", subject).message);
  }

  #cut(reason: string): void {
    if (this.#stopping.signal.aborted) return;
    this.#reason = reason;
    this.#reporter.change({ state: "connecting", reason: this.#explain(reason) });
    void this.#probe();
  }

  /** Adds what was found at the address of NATS to a reason, if that tells more. */
  #explain(reason: string): string {
    const found = this.#found;
    if (found === undefined) return reason;
    if (reason === FIRST_ATTEMPT) return found;
    // Only some errors of WebSockets say why they can't connect.
    const saysWhy = reason.startsWith("Cannot connect") && /\bE[A-Z_]{4,}\b/.test(reason);
    if (saysWhy && found.startsWith("nobody")) return reason;
    return `${reason.replace(/\.$/, "")}; ${found}`;
  }

  /** Probes the address while NATS is away, and adds what it finds to the reason. */
  async #probe(): Promise<void> {
    const { probe } = this.#options.connection;
    if (probe === undefined || this.ending || this.#probing?.signal.aborted === false) return;
    const probing = new AbortController();
    this.#probing = probing;
    const signal = AbortSignal.any([probing.signal, this.#draining.signal]);
    for (let delayMs = FIRST_PROBE_MS; !signal.aborted; delayMs = PROBE_MS) {
      await pause(delayMs, signal);
      if (signal.aborted) return;
      const found = await unlessAborted(probe(signal), signal);
      if (signal.aborted) return;
      this.#found = found;
      if (this.status.state === "connecting") this.#cut(this.#reason);
    }
  }
}
