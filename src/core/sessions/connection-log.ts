import type { DisconnectReason } from "../metering/meter.ts";
import type { Cancel, Clock } from "../ports/clock.ts";
import type { Log } from "../ports/log.ts";
import type { SubscriptionRequest } from "../wire/subscription-request.ts";
import type { Connection } from "./connection.ts";

/** How long connections are counted after the first event; then one line has the counts. */
const INTERVAL_MS = 10_000;
/** A longer text from a client is cut in the log. */
const MAX_SAID = 200;

/** A handshake that was answered with an error. */
export interface RefusedHandshake {
  readonly status: number;
  /** The answer's text. */
  readonly reason: string;
  /** The client's address. */
  readonly address: string;
}

/**
 * Logs which clients connect, leave and are refused: at `debug` a line for each, at `info` a line with the counts
 * of each interval in which something happened.
 */
export class ConnectionLog {
  readonly #log: Log;
  readonly #clock: Clock;
  readonly #active: () => number;
  #connected = 0;
  /** The numbers of clients that left, by reason. */
  readonly #left = new Map<DisconnectReason, number>();
  /** The numbers of refused handshakes, by status. */
  readonly #refused = new Map<number, number>();
  #cancel: Cancel | undefined;

  /** @param active how many clients are connected. */
  constructor(log: Log, clock: Clock, active: () => number) {
    this.#log = log;
    this.#clock = clock;
    this.#active = active;
  }

  connected(connection: Connection, request: SubscriptionRequest | undefined): void {
    this.#connected++;
    this.#schedule();
    // A client without a request subscribes later; a plain client that names no subjects gets all.
    const subjects =
      request === undefined
        ? 0
        : request.subjects === "everything"
          ? "all"
          : request.subjects.length;
    this.#log.debug("Client {client} connected from {address} ({dialect}, subjects: {subjects})", {
      event: "client_connected",
      client: connection.number,
      address: connection.address,
      dialect: connection.dialect.name,
      subjects,
      policy: request?.policy,
      durable: request?.durable && bounded(request.durable),
      resumes: request?.after !== undefined,
    });
  }

  ended(connection: Connection, reason: DisconnectReason): void {
    this.#left.set(reason, (this.#left.get(reason) ?? 0) + 1);
    this.#schedule();
    const seconds = Math.round(this.#clock.nowMs() - connection.sinceMs) / 1000;
    this.#log.debug("Client {client} from {address} left: {reason}, after {seconds} s", {
      event: "client_left",
      client: connection.number,
      address: connection.address,
      reason,
      seconds,
      unconfirmed_bytes: connection.writer.unconfirmedBytes,
    });
  }

  refused({ status, reason, address }: RefusedHandshake): void {
    this.#refused.set(status, (this.#refused.get(status) ?? 0) + 1);
    this.#schedule();
    this.#log.debug("Handshake from {address} refused with {status}: {reason}", {
      event: "handshake_refused",
      address,
      status,
      reason: bounded(reason),
    });
  }

  /** Logs the last counts and stops the timer; may be called twice. */
  stop(): void {
    if (this.#cancel === undefined) return;
    this.#cancel();
    this.#tell();
  }

  #schedule(): void {
    this.#cancel ??= this.#clock.after(INTERVAL_MS, () => this.#tell());
  }

  #tell(): void {
    this.#cancel = undefined;
    this.#log.info(
      "Clients: {connected} connected, {left} left{left_by}, {refused} refused{refused_by}; {active} connected now",
      {
        event: "clients",
        connected: this.#connected,
        left: sum(this.#left),
        left_by: shown(this.#left),
        refused: sum(this.#refused),
        refused_by: shown(this.#refused),
        active: this.#active(),
      },
    );
    this.#connected = 0;
    this.#left.clear();
    this.#refused.clear();
  }
}

function sum(counts: ReadonlyMap<unknown, number>): number {
  return [...counts.values()].reduce((total, count) => total + count, 0);
}

/** Returns a text like ` (client: 3, no_pong: 1)`; `""` if there are no counts. */
function shown(counts: ReadonlyMap<string | number, number>): string {
  if (counts.size === 0) return "";
  return ` (${[...counts].map(([name, count]) => `${name}: ${count}`).join(", ")})`;
}

function bounded(text: string): string {
  return text.length > MAX_SAID ? `${text.slice(0, MAX_SAID)}…` : text;
}
