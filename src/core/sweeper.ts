import type { Audience } from "./audience.ts";
import type { Client, ClientLimits } from "./client.ts";
import type { Cancel, Clock } from "./clock.ts";
import type { Meter } from "./meter.ts";

/** While somebody lags, this is how often it is seen whether its socket has room again. */
const LAG_INTERVAL_MS = 10;
/** So soon after a client was fed: on runtimes that write later, it may have room again at once. */
const FED_INTERVAL_MS = 1;
/** How often all clients are looked at, at the most rarely. */
const SWEEP_INTERVAL_MS = 250;

/** Looks after all connections with one timer: who lags, who is silent, who does not close. */
export class Sweeper {
  readonly #clock: Clock;
  readonly #meter: Meter;
  readonly #clients: ReadonlySet<Client>;
  readonly #closing: ReadonlySet<Client>;
  readonly #intervalMs: number;
  #cancelTick: Cancel | undefined;
  #lastSweepMs = 0;
  /** Whether the last tick fed somebody from a queue. */
  #fed = false;
  /** When set, every client is to go: when it has all that was meant for it, and by then at the latest. */
  #drainUntilMs: number | undefined;

  constructor(
    limits: ClientLimits,
    clock: Clock,
    meter: Meter,
    clients: ReadonlySet<Client>,
    closing: ReadonlySet<Client>,
  ) {
    this.#clock = clock;
    this.#meter = meter;
    this.#clients = clients;
    this.#closing = closing;
    // A limit is kept with an error of at most a quarter of it.
    this.#intervalMs = Math.max(
      LAG_INTERVAL_MS,
      Math.min(
        SWEEP_INTERVAL_MS,
        limits.writeTimeoutMs / 4,
        limits.pingIntervalMs / 4,
        limits.readTimeoutMs / 4,
      ),
    );
  }

  /** Starts the timer, unless it runs. */
  start(): void {
    if (this.#cancelTick === undefined) this.#schedule();
  }

  stop(): void {
    this.#cancelTick?.();
    this.#cancelTick = undefined;
    this.#drainUntilMs = undefined;
  }

  /** From now on, clients that have got everything are ended; at `untilMs` all are. */
  drainUntil(untilMs: number): void {
    this.#drainUntilMs = untilMs;
    this.#cancelTick?.();
    this.#tick();
  }

  /** Looks at the buffers of one audience's live members. */
  sweepAudience(audience: Audience): void {
    audience.sweptAtBytes = audience.writtenBytes;
    const lagged = this.#meter.clientsLagging;
    const nowMs = this.#clock.nowMs();
    for (const client of audience.live) client.checkLag(nowMs);
    // The first one that lags is not left to the next whole sweep.
    if (lagged === 0 && this.#meter.clientsLagging > 0 && this.#cancelTick !== undefined) {
      this.#cancelTick();
      this.#schedule();
    }
  }

  #schedule(): void {
    const hurry = this.#drainUntilMs !== undefined || this.#meter.clientsLagging > 0;
    const lagMs = this.#fed ? FED_INTERVAL_MS : LAG_INTERVAL_MS;
    const delayMs = hurry ? lagMs : this.#intervalMs;
    this.#cancelTick = this.#clock.after(delayMs, () => this.#tick());
  }

  #tick(): void {
    const nowMs = this.#clock.nowMs();
    const whole = nowMs - this.#lastSweepMs >= this.#intervalMs;
    if (whole) this.#lastSweepMs = nowMs;
    const sentBefore = this.#meter.sent;
    for (const client of this.#clients) {
      if (whole || client.state === "lagging") client.checkLag(nowMs);
      if (whole) client.checkLife(nowMs);
      this.#endWhenDrained(client, nowMs);
    }
    this.#fed = this.#meter.sent !== sentBefore;
    for (const client of this.#closing) this.#giveUpWhenDue(client, nowMs);
    if (this.#clients.size + this.#closing.size > 0) this.#schedule();
    else this.#cancelTick = undefined;
  }

  #endWhenDrained(client: Client, nowMs: number): void {
    if (this.#drainUntilMs === undefined) return;
    if (client.state === "live" || nowMs >= this.#drainUntilMs) client.end("going_away");
  }

  #giveUpWhenDue(client: Client, nowMs: number): void {
    const dueMs = Math.min(client.closingUntilMs, this.#drainUntilMs ?? Number.POSITIVE_INFINITY);
    if (nowMs < dueMs) return;
    client.socket.terminate();
    client.closed(1006);
  }
}
