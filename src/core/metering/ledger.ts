import { Distribution } from "./distribution.ts";

/**
 * Why a client doesn't get a message that was offered to it.
 *
 * - `"slow_consumer"`, `"write_timeout"`, `"overloaded"`: the message waited for a client that was disconnected for this.
 * - `"drop_oldest"`, `"drop_newest"`, `"expired"`: the policy left the message out; a gap declares it.
 * - `"session_lost"`: the message waited for a session that expired or was evicted.
 * - `"abandoned"`: the message waited when the connection ended.
 * - `"forbidden"`: the message waited when the client's new token no longer allowed it.
 */
export type DropReason =
  | "slow_consumer"
  | "write_timeout"
  | "overloaded"
  | "drop_oldest"
  | "drop_newest"
  | "expired"
  | "session_lost"
  | "abandoned"
  | "forbidden";

/**
 * Why a message that was sent and not acknowledged is not sent again (at-least-once).
 *
 * - `"max_deliver"`: it was sent as often as the configuration allows; a gap declares it.
 * - `"disconnected"`: the connection of a client without a session ended.
 * - `"slow_consumer"`, `"overloaded"`: the client was disconnected for this, and its session ended.
 * - `"session_expired"`, `"session_evicted"`: the client didn't reconnect in time, or too many sessions waited.
 * - `"revoked"`: the client's token was revoked.
 * - `"forbidden"`: the client's new token no longer allows the message.
 * - `"stopped"`: the gateway stopped.
 */
export type LossReason =
  | "max_deliver"
  | "disconnected"
  | "slow_consumer"
  | "overloaded"
  | "session_expired"
  | "session_evicted"
  | "revoked"
  | "forbidden"
  | "stopped";

/**
 * The result of an acknowledgement.
 *
 * - `"acked"`, `"nacked"`: the message was in flight.
 * - `"repeated"`: the message is not in flight any more, or the client was never sent this one among others.
 * - `"unknown"`: no client was ever sent the message, or this client wasn't sent it yet.
 * - `"timed_out"`: no acknowledgement came in time.
 */
export type AckResult = "acked" | "nacked" | "repeated" | "unknown" | "timed_out";

/** Deliveries by state: `offered` is the sum of the others. */
export interface Balance {
  readonly offered: number;
  readonly sent: number;
  readonly queued: number;
  readonly conflated: number;
  readonly dropped: number;
}

/**
 * Counts deliveries by state. A message is one delivery for each client that it is meant for.
 *
 * ```text
 * offer ──> in hand ──> send ─────> sent
 *            ^   │────> conflate ─> conflated
 *            │   │────> drop ─────> dropped, by reason
 *      unqueue   └────> queue ──┐
 *            └───── queued <────┘
 *
 * track ──> in flight ──> acknowledge ─> acked
 *                    ───> giveBack ────> returned
 *                    ───> lose ────────> lost, by reason
 * ```
 *
 * The verbs are transitions: each moves deliveries from one state to another, so that at every moment
 * `offered = inHand + sent + queued + conflated + dropped` and `tracked = acked + inFlight + returned + lost`.
 * A delivery is in hand only while the gateway decides about it: between two events, `inHand` is 0.
 * Only this class changes these counts.
 */
export class Ledger {
  #offered = 0;
  #sent = 0;
  #bytesSent = 0;
  #queued = 0;
  #queuedBytes = 0;
  #conflated = 0;
  readonly #dropped: Record<DropReason, number> = {
    slow_consumer: 0,
    write_timeout: 0,
    overloaded: 0,
    drop_oldest: 0,
    drop_newest: 0,
    expired: 0,
    session_lost: 0,
    abandoned: 0,
    forbidden: 0,
  };

  #tracked = 0;
  #inFlight = 0;
  #returned = 0;
  readonly #lost: Record<LossReason, number> = {
    max_deliver: 0,
    disconnected: 0,
    slow_consumer: 0,
    overloaded: 0,
    session_expired: 0,
    session_evicted: 0,
    revoked: 0,
    forbidden: 0,
    stopped: 0,
  };
  readonly #acks: Record<AckResult, number> = {
    acked: 0,
    nacked: 0,
    repeated: 0,
    unknown: 0,
    timed_out: 0,
  };
  #redelivered = 0;
  #deadLetters = 0;

  /** Seconds from when a message was last sent until it was acknowledged. */
  readonly ackSeconds = new Distribution([
    0.0005, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10, 30,
  ]);

  // A delivery until it is sent.

  /** Deliveries begin: they are in hand. */
  offer(count: number): void {
    this.#offered += count;
  }

  /** In hand → sent. @param bytes the bytes of their envelopes. */
  send(count: number, bytes: number): void {
    this.#sent += count;
    this.#bytesSent += bytes;
  }

  /** In hand → queued: one message waits. */
  queue(bytes: number): void {
    this.#queued++;
    this.#queuedBytes += bytes;
  }

  /** Queued → in hand. */
  unqueue(count: number, bytes: number): void {
    this.#queued -= count;
    this.#queuedBytes -= bytes;
  }

  /** In hand → conflated: a later value of its subject supersedes one message. */
  conflate(): void {
    this.#conflated++;
  }

  /** In hand → dropped. */
  drop(reason: DropReason, count: number): void {
    this.#dropped[reason] += count;
  }

  // A delivery that was sent and must be acknowledged.

  /** Messages are sent that must be acknowledged: each is tracked once, however often it is sent again. */
  track(count: number): void {
    this.#tracked += count;
    this.#inFlight += count;
  }

  /** In flight → acked. @param latencyMs since the messages were last sent, where that is known. */
  acknowledge(count: number, latencyMs?: number): void {
    this.#inFlight -= count;
    this.#acks.acked += count;
    if (latencyMs !== undefined) this.ackSeconds.add(Math.max(0, latencyMs) / 1000, count);
  }

  /** In flight → returned: the durable sends the messages to another client. */
  giveBack(count: number): void {
    this.#inFlight -= count;
    this.#returned += count;
  }

  /** In flight → lost. */
  lose(reason: LossReason, count: number): void {
    this.#inFlight -= count;
    this.#lost[reason] += count;
  }

  /** Counts an acknowledgement, or a missing one, that leaves the state of its message as it is. */
  countAck(result: Exclude<AckResult, "acked">): void {
    this.#acks[result]++;
  }

  /** Counts messages that are sent again; `sent` doesn't include them. */
  redeliver(count: number): void {
    this.#redelivered += count;
  }

  /** Counts a message that is published to the dead-letter subject. */
  countDeadLetter(): void {
    this.#deadLetters++;
  }

  // States.

  get offered(): number {
    return this.#offered;
  }

  /** Offered deliveries that are in no other state yet; 0 between two events. */
  get inHand(): number {
    return this.#offered - this.#sent - this.#queued - this.#conflated - this.droppedTotal;
  }

  get sent(): number {
    return this.#sent;
  }

  /** Bytes of the envelopes in `sent`. */
  get bytesSent(): number {
    return this.#bytesSent;
  }

  /** Deliveries that wait in queues and pacers now. */
  get queued(): number {
    return this.#queued;
  }

  get queuedBytes(): number {
    return this.#queuedBytes;
  }

  get conflated(): number {
    return this.#conflated;
  }

  get dropped(): Readonly<Record<DropReason, number>> {
    return this.#dropped;
  }

  get droppedTotal(): number {
    return sumOf(this.#dropped);
  }

  get tracked(): number {
    return this.#tracked;
  }

  get inFlight(): number {
    return this.#inFlight;
  }

  get returned(): number {
    return this.#returned;
  }

  get lost(): Readonly<Record<LossReason, number>> {
    return this.#lost;
  }

  get lostTotal(): number {
    return sumOf(this.#lost);
  }

  get acks(): Readonly<Record<AckResult, number>> {
    return this.#acks;
  }

  get redelivered(): number {
    return this.#redelivered;
  }

  get deadLetters(): number {
    return this.#deadLetters;
  }

  balance(): Balance {
    return {
      offered: this.#offered,
      sent: this.#sent,
      queued: this.#queued,
      conflated: this.#conflated,
      dropped: this.droppedTotal,
    };
  }
}

function sumOf(counts: Readonly<Record<string, number>>): number {
  return Object.values(counts).reduce((sum, count) => sum + count, 0);
}
