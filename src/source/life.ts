import { reasonOf } from "../core/errors.ts";
import type { Log } from "../core/log.ts";
import type { SourceListener, SourceMessage, SourceStatus } from "../core/source.ts";
import { type NatsConnection, natsReason, type Status } from "./connect.ts";
import { Backoff, pause, unlessAborted } from "./retry.ts";
import { Subscriptions } from "./subscriptions.ts";

/** What one life of a source needs. */
export interface LifeOptions {
  readonly subjects: readonly string[];
  readonly log: Log;
  readonly listener: SourceListener;
  /** The life before this one, if that is still ending. */
  readonly after: Promise<void> | undefined;
  readonly connection: {
    /** Whether the connection is ours to close. */
    readonly owned: boolean;
    open(): Promise<NatsConnection>;
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
export class NatsLife {
  /** Settles when nothing of this life is left. */
  readonly done: Promise<void>;
  readonly #options: LifeOptions;
  readonly #stopping = new AbortController();
  readonly #hurrying = new AbortController();
  readonly #retries = new Backoff();
  #status: SourceStatus = { state: "connecting", reason: "not connected yet" };

  /** Returns before anything is called. */
  constructor(options: LifeOptions) {
    this.#options = options;
    this.done = this.#live();
  }

  get status(): SourceStatus {
    return this.#status;
  }

  /** Whether {@linkcode end} was called. */
  get ending(): boolean {
    return this.#stopping.signal.aborted;
  }

  /** Ends this life, letting what is under way arrive within the time. */
  async end(timeoutMs: number): Promise<void> {
    this.#stopping.abort();
    const timer = setTimeout(() => this.#hurrying.abort(), timeoutMs);
    await this.done;
    clearTimeout(timer);
  }

  async #live(): Promise<void> {
    await this.#options.after;
    if (!this.ending) this.#tell(this.#status);
    while (!this.ending) {
      try {
        const connection = await this.#open();
        if (connection === undefined) break;
        await this.#carry(connection);
      } catch (thrown) {
        this.#cut(reasonOf(thrown));
      }
      await pause(this.#retries.next(), this.#stopping.signal);
    }
    this.#become({ state: "idle" });
  }

  /** A connection, or `undefined` when the stop came first. */
  async #open(): Promise<NatsConnection | undefined> {
    const { owned, open } = this.#options.connection;
    const opening = open();
    const connection = await unlessAborted(opening, this.#stopping.signal);
    if (connection === undefined && owned) {
      // It can't be called back; it is closed as soon as it is there.
      opening.then((late) => late.close()).catch(() => {});
    }
    return connection;
  }

  /** Delivers messages until the connection is closed for good, or the stop comes. */
  async #carry(connection: NatsConnection): Promise<void> {
    const { subjects, log, connection: origin } = this.#options;
    const subscriptions = new Subscriptions(connection, {
      subjects,
      log,
      deliver: (message) => this.#deliver(message),
      refused: () => void confirm(),
    });
    let confirming = false;
    const confirm = async (): Promise<void> => {
      if (confirming) return;
      confirming = true;
      await this.#confirm(connection, subscriptions);
      confirming = false;
    };
    // The type hides that nats.js' iterator can be ended from outside; it doesn't end by itself.
    const events = connection.status() as AsyncIterable<Status> & { stop(): void };
    void this.#watch(events, confirm);
    void confirm();

    const closed = await unlessAborted(
      connection.closed().then((error) => ({ error })),
      this.#stopping.signal,
    );
    events.stop();
    const reachable = this.#status.state === "connected" || subscriptions.refusal !== undefined;
    if (closed === undefined && reachable) {
      await unlessAborted(subscriptions.drain(), this.#hurrying.signal);
    }
    subscriptions.close();
    if (origin.owned) await unlessAborted(connection.close(), this.#hurrying.signal);
    if (closed === undefined) return;
    const why = closed.error instanceof Error ? natsReason(closed.error) : "no reason given";
    this.#cut(`the connection to NATS was closed: ${why}`);
    if (!origin.owned) await unlessAborted(new Promise(() => {}), this.#stopping.signal);
  }

  /**
   * Says `connected` once NATS has answered a ping after it got our subscriptions: a server does what it
   * is told in order, and refuses before it answers. What it refused is asked for again and again, as
   * a new configuration of the server may allow it without ending our connection (ADR-40).
   */
  async #confirm(connection: NatsConnection, subscriptions: Subscriptions): Promise<void> {
    while (!this.ending) {
      try {
        await connection.rtt();
      } catch {
        // Cut off again; nats.js' "reconnect" event brings us back here.
        return;
      }
      if (this.ending) return;
      subscriptions.settle();
      if (subscriptions.refusal === undefined) {
        this.#retries.reset();
        this.#become({ state: "connected", to: connection.getServer() });
        return;
      }
      this.#cut(subscriptions.refusal);
      await pause(this.#retries.next(), this.#stopping.signal);
      subscriptions.retry();
    }
  }

  async #watch(events: AsyncIterable<Status>, confirm: () => Promise<void>): Promise<void> {
    for await (const event of events) {
      if (this.ending) return;
      switch (String(event.type)) {
        case "reconnect":
          void confirm();
          break;
        case "disconnect":
          // What was said before says more: an error, or an answer that never came.
          if (this.#status.state === "connected") this.#cut(`lost the connection to ${event.data}`);
          break;
        case "staleConnection":
          this.#cut(`${connectedTo(this.#status)} stopped answering pings`);
          break;
        case "error":
          if (event.permissionContext !== undefined) break;
          if (this.#status.state === "connecting") this.#cut(natsReason(event.data));
          else this.#options.log.warn("NATS says: {error}", { error: natsReason(event.data) });
          break;
        case "ldm":
          // https://docs.nats.io/running-a-nats-service/nats_admin/lame_duck_mode: it will end our
          // connection at a moment of its own, and nats.js then goes to another server.
          this.#options.log.info("NATS server {server} is in lame duck mode", {
            server: event.data,
          });
          break;
      }
    }
  }

  #deliver(message: SourceMessage): void {
    try {
      this.#options.listener.message(message);
    } catch (thrown) {
      this.#options.log.error("A message on {subject} was not taken: {error}", {
        subject: message.subject,
        error: thrown,
      });
    }
  }

  #cut(reason: string): void {
    if (!this.ending) this.#become({ state: "connecting", reason });
  }

  /** A status that is news is logged and told; the same again is not. */
  #become(status: SourceStatus): void {
    if (JSON.stringify(status) === JSON.stringify(this.#status)) return;
    this.#status = status;
    const { log } = this.#options;
    if (status.state === "connected") {
      log.info("Connected to NATS at {server}", {
        event: "source_connected",
        server: status.to,
      });
    } else if (status.state === "connecting") {
      log.warn("Not connected to NATS: {reason}", {
        event: "source_lost",
        reason: status.reason,
      });
    }
    this.#tell(status);
  }

  #tell(status: SourceStatus): void {
    try {
      this.#options.listener.status(status);
    } catch (thrown) {
      this.#options.log.error("A status was not taken: {error}", { error: thrown });
    }
  }
}

function connectedTo(status: SourceStatus): string {
  return status.state === "connected" ? status.to : "NATS";
}
