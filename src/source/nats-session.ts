import { reasonOf } from "../core/ports/errors.ts";
import type { Log } from "../core/ports/log.ts";
import type { SourceListener, SourceMessage, SourceStatus } from "../core/ports/source.ts";
import {
  failClosedAttempt,
  hearErrors,
  type NatsConnection,
  natsReason,
  publishOn,
  type Status,
} from "./connect.ts";
import { GuardedListener } from "./guarded-listener.ts";
import type { Streams } from "./jetstream/streams.ts";
import { isRefusal, NatsSubscriptions } from "./nats-subscriptions.ts";
import type { PatternSet } from "./pattern-set.ts";
import { PermissionError } from "./requests.ts";
import { Backoff, pause, unlessAborted } from "./retry.ts";
import { FIRST_ATTEMPT, StatusReporter } from "./status-reporter.ts";
import type { UnsendablePatterns } from "./unsendable-patterns.ts";

/** While NATS is away, the gateway probes what listens in its place: after the first time, and then at intervals of the second. */
const FIRST_LOOK_MS = 1_500;
const LOOK_MS = 20_000;

/** What one life of a source needs. */
export interface NatsSessionOptions {
  /** What is subscribed to on each connection; changed before `subscribe` and `unsubscribe` say so. */
  readonly patterns: PatternSet;
  readonly unsendable: UnsendablePatterns;
  /** `undefined` where there are none. */
  readonly streams: Streams | undefined;
  readonly log: Log;
  readonly listener: SourceListener;
  /** The life before this one, if that is still ending. */
  readonly after: Promise<void> | undefined;
  readonly connection: {
    /** Whether the connection is ours to close. */
    readonly owned: boolean;
    /** @param stumbles told why a later reconnect can't be tried. */
    open(stumbles: (reason: string) => void): Promise<NatsConnection>;
    /** Finds out what else listens where NATS should; never fails. */
    probe?(signal: AbortSignal): Promise<string | undefined>;
  };
}

/**
 * A NATS source from its start to its stop: connects, subscribes, and begins again whenever that
 * comes to an end before it should.
 *
 * nats.js reconnects by itself once it was connected (NATS' ADR-40), learning the cluster's other
 * servers on the way. Its `waitOnFirstConnect` can't be cancelled, so the first connection is made
 * here. When the stop comes while nats.js waits to reconnect, a timer of its own lives on for up to
 * 1.5 s, and does nothing.
 */
export class NatsSession {
  /** Settles when nothing of this life is left. */
  readonly done: Promise<void>;
  readonly #options: NatsSessionOptions;
  readonly #listener: SourceListener;
  readonly #reporter: StatusReporter;
  /** Given when nothing more is to come; behind it the connection stays until it is to stop. */
  readonly #quieting = new AbortController();
  readonly #stopping = new AbortController();
  /** No more time for what is under way, and for the connection's end. */
  readonly #hurrying = { drain: new AbortController(), stop: new AbortController() };
  readonly #quieted = Promise.withResolvers<void>();
  readonly #retries = new Backoff();
  #retrying = false;
  /** Why there is no connection, and what was found in its place. */
  #reason = FIRST_ATTEMPT;
  #found: string | undefined;
  /** Given when NATS is back. */
  #looking: AbortController | undefined;
  /** Whether errors of NATS are heard as it says them. */
  #hears = false;
  /** The last of them since all was well. */
  #heard: string | undefined;
  #subscriptions: NatsSubscriptions | undefined;
  #connection: NatsConnection | undefined;
  /** Whether it began anew on this connection since nats.js lost it. */
  #isReopened = false;

  /** Returns before anything is called. */
  constructor(options: NatsSessionOptions) {
    this.#options = options;
    this.#listener = new GuardedListener(options.listener, options.log);
    this.#reporter = new StatusReporter(options.log, this.#listener);
    this.done = this.#live();
  }

  get status(): SourceStatus {
    return this.#reporter.status;
  }

  get ending(): boolean {
    return this.#quieting.signal.aborted;
  }

  subscribe(pattern: string): void {
    if (!this.ending) this.#subscriptions?.subscribe(pattern);
  }

  unsubscribe(pattern: string): void {
    this.#subscriptions?.unsubscribe(pattern);
  }

  /** Publishes a message, or says in the log that it could not. */
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

  /** Lets what is under way arrive within the time, and nothing more; the connection stays. */
  async drain(timeoutMs: number): Promise<void> {
    this.#quieting.abort();
    const timer = setTimeout(() => this.#hurrying.drain.abort(), timeoutMs);
    await Promise.race([this.#quieted.promise, this.done]);
    clearTimeout(timer);
  }

  /** Ends this life, letting what is under way arrive within the time. */
  async end(timeoutMs: number): Promise<void> {
    this.#quieting.abort();
    this.#stopping.abort();
    const timer = setTimeout(() => {
      for (const hurrying of Object.values(this.#hurrying)) hurrying.abort();
    }, timeoutMs);
    await this.done;
    clearTimeout(timer);
  }

  async #live(): Promise<void> {
    await this.#options.after;
    if (!this.ending) {
      this.#listener.status(this.status);
      void this.#lookAround();
    }
    while (!this.ending) {
      try {
        const connection = await this.#open();
        if (connection === undefined) break;
        await this.#carry(connection);
      } catch (thrown) {
        this.#cut(reasonOf(thrown));
      }
      await pause(this.#retries.next(), this.#quieting.signal);
    }
    this.#reporter.become({ state: "idle" });
  }

  /** A connection, or `undefined` when the stop came first. */
  async #open(): Promise<NatsConnection | undefined> {
    const { owned, open } = this.#options.connection;
    const opening = open((reason) => {
      if (this.status.state === "connecting") this.#cut(reason);
    });
    const connection = await unlessAborted(opening, this.#quieting.signal);
    if (connection === undefined && owned) {
      // It can't be called back; it is closed as soon as it is there.
      opening.then((late) => late.close()).catch(() => {});
    }
    return connection;
  }

  /** Delivers messages until the connection is closed for good, or the stop comes. */
  async #carry(connection: NatsConnection): Promise<void> {
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
    this.#isReopened = false;
    // The type hides that nats.js' iterator can be ended from outside; it doesn't end by itself.
    const events = connection.status() as AsyncIterable<Status> & { stop(): void };
    void this.#watch(events, subscriptions, connection);
    const unhear = hearErrors(connection, (reason) => {
      try {
        this.#hear(reason, subscriptions);
      } catch (thrown) {
        this.#listener.fault("source_fault", reasonOf(thrown));
      }
    });
    this.#hears = unhear !== undefined;

    const closing = connection.closed().then((error) => ({ error }));
    let closed = await unlessAborted(closing, this.#quieting.signal);
    if (closed === undefined) {
      if (this.status.state === "connected") {
        await unlessAborted(subscriptions.drain(), this.#hurrying.drain.signal);
      }
      this.#options.streams?.drain();
      this.#quieted.resolve();
      closed = await unlessAborted(closing, this.#stopping.signal);
    }
    events.stop();
    unhear?.();
    if (closed === undefined && this.status.state === "connected") {
      // What was published and settled last is to arrive before the connection goes.
      await unlessAborted(connection.flush(), this.#hurrying.stop.signal);
    }
    subscriptions.close();
    this.#subscriptions = undefined;
    this.#options.streams?.close();
    this.#connection = undefined;
    if (origin.owned) await unlessAborted(connection.close(), this.#hurrying.stop.signal);
    if (closed === undefined) return;
    const why = closed.error instanceof Error ? natsReason(closed.error) : "no reason given";
    this.#cut(`the connection to NATS was closed: ${why}`);
    if (!origin.owned) await unlessAborted(new Promise(() => {}), this.#stopping.signal);
  }

  /**
   * What NATS refused is asked for again and again, as a new configuration of the server may allow it
   * without ending our connection (ADR-40).
   */
  #settle(connection: NatsConnection, subscriptions: NatsSubscriptions): void {
    if (this.ending) return;
    this.#heard = undefined;
    this.#looking?.abort();
    this.#found = undefined;
    this.#reporter.become({ state: "connected", to: connection.getServer() });
    if (subscriptions.refusesSome) void this.#retry();
    else this.#retries.reset();
  }

  /** NATS says that something is wrong. What is refused by name, or for want of room, is logged as such. */
  #hear(reason: string, subscriptions: NatsSubscriptions): void {
    subscriptions.complained(reason);
    if (isRefusal(reason) || this.status.state !== "connected") return;
    if (this.#heard !== reason) this.#options.log.warn("NATS says: {error}", { error: reason });
    this.#heard = reason;
  }

  async #retry(): Promise<void> {
    if (this.#retrying) return;
    this.#retrying = true;
    await pause(this.#retries.next(), this.#stopping.signal);
    this.#retrying = false;
    if (!this.ending) this.#subscriptions?.retry();
  }

  async #watch(
    events: AsyncIterable<Status>,
    subscriptions: NatsSubscriptions,
    connection: NatsConnection,
  ): Promise<void> {
    for await (const event of events) {
      if (this.#stopping.signal.aborted) return;
      try {
        this.#heed(event, subscriptions, connection);
      } catch (thrown) {
        // Nothing that NATS says may end this.
        this.#listener.fault("source_fault", reasonOf(thrown));
      }
    }
  }

  #heed(event: Status, subscriptions: NatsSubscriptions, connection: NatsConnection): void {
    const { log, streams } = this.#options;
    const { status } = this;
    switch (String(event.type)) {
      case "reconnect":
        // nats.js says it once for each time that it lost a connection, the one of a failed attempt included.
        if (this.ending || this.#isReopened) break;
        this.#isReopened = true;
        subscriptions.open();
        streams?.open(connection, this.#listener);
        break;
      case "disconnect":
        subscriptions.close();
        streams?.close();
        this.#isReopened = false;
        failClosedAttempt(connection);
        // What was said before says more: an error, or an answer that never came.
        if (status.state === "connected") {
          const why = this.#heard === undefined ? "" : `: ${this.#heard}`;
          this.#cut(`lost the connection to ${event.data}${why}`);
        }
        break;
      case "staleConnection":
        // Messages that still come over it would stand before the gap.
        subscriptions.close();
        streams?.close();
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
        // It will end our connection when it likes, and nats.js then goes to another server
        // (https://docs.nats.io/running-a-nats-service/nats_admin/lame_duck_mode).
        log.info("NATS server {server} is in lame duck mode", { server: event.data });
        break;
    }
  }

  /** NATS does not let us publish to a subject: a request there gets no answer. */
  #denied(subject: string): void {
    this.#options.streams?.denied(subject);
    // Requests to JetStream and to other gateways count where they are made.
    if (/^(\$JS|_SPILLWAY)\./.test(subject)) return;
    this.#listener.fault("publish_refused", new PermissionError("publish", subject).message);
  }

  #cut(reason: string): void {
    if (this.#stopping.signal.aborted) return;
    this.#reason = reason;
    this.#reporter.become({ state: "connecting", reason: this.#told(reason) });
    void this.#lookAround();
  }

  /** A reason, with what was found where NATS should be, unless that says no more. */
  #told(reason: string): string {
    const found = this.#found;
    if (found === undefined) return reason;
    if (reason === FIRST_ATTEMPT) return found;
    // The error of a WebSocket that can't connect may not say why.
    const saysWhy = reason.startsWith("Cannot connect") && /\bE[A-Z_]{4,}\b/.test(reason);
    if (saysWhy && found.startsWith("nobody")) return reason;
    return `${reason.replace(/\.$/, "")}; ${found}`;
  }

  /** While NATS is away: sees what else listens there, soon and then now and again. */
  async #lookAround(): Promise<void> {
    const { probe } = this.#options.connection;
    if (probe === undefined || this.ending || this.#looking?.signal.aborted === false) return;
    const looking = new AbortController();
    this.#looking = looking;
    const signal = AbortSignal.any([looking.signal, this.#quieting.signal]);
    for (let delayMs = FIRST_LOOK_MS; !signal.aborted; delayMs = LOOK_MS) {
      await pause(delayMs, signal);
      if (signal.aborted) return;
      const found = await unlessAborted(probe(signal), signal);
      if (signal.aborted) return;
      this.#found = found;
      if (this.status.state === "connecting") this.#cut(this.#reason);
    }
  }
}
