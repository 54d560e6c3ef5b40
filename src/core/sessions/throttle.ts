/** After the first `slow`, from when something waits, hold messages for this long to measure the arrival rate. */
const MEASURE_MS = 250;
/** Several `slow` frames within this time count as one, because messages under way can't be slowed down. */
const HALVING_MS = 1000;
/** Without another `slow` for this long, the rate doubles each second until nothing waits. */
const QUIET_MS = 5000;
/** The unused part of the rate is saved for at most this long. */
const BURST_MS = 100;

/** Halves a client's rate with each `slow`, and lets it recover by itself. */
export class Throttle {
  #measuringUntilMs = Number.POSITIVE_INFINITY;
  /** The messages that waited at the first `slow` or were replayed since, and those that arrived since. */
  #waiting: number;
  #arrived = 0;
  /** Messages per second; unknown while the arrival rate is measured. */
  #rate = 0;
  #allowed = 0;
  #allowedAtMs = 0;
  #halvedMs: number;
  #saidSlowMs: number;
  #doubledMs = 0;

  /** @param waiting the number of queued messages, taken as the arrivals of one second. */
  constructor(nowMs: number, waiting = 0) {
    this.#waiting = waiting;
    if (waiting > 0) this.#measure(nowMs);
    this.#halvedMs = nowMs;
    this.#saidSlowMs = nowMs;
  }

  /** A message for the client has arrived. */
  arrives(nowMs: number): void {
    if (this.#arrived++ === 0) this.#measure(nowMs);
  }

  /** Replayed messages wait for the client, too; they count like those that waited at the first `slow`. */
  replays(nowMs: number, messages: number): void {
    this.#waiting += messages;
    this.#measure(nowMs);
  }

  /** The client says that it is slow. */
  slowDown(nowMs: number): void {
    this.#saidSlowMs = nowMs;
    if (nowMs - this.#halvedMs < HALVING_MS || this.#rate === 0) return;
    this.#halvedMs = nowMs;
    this.#rate = Math.max(1, this.#rate / 2);
  }

  /** Returns how many messages may be sent now. */
  allowance(nowMs: number): number {
    // The caller has messages to send; no state may hold them back forever.
    this.#measure(nowMs);
    if (nowMs < this.#measuringUntilMs) return 0;
    if (this.#rate === 0) {
      const elapsedMs = nowMs - this.#measuringUntilMs + MEASURE_MS;
      this.#rate = Math.max(1, (this.#waiting + (this.#arrived * 1000) / elapsedMs) / 2);
      this.#allowedAtMs = nowMs;
      this.#allowed = 1;
    }
    this.#recover(nowMs);
    const mostAllowed = Math.max(1, (this.#rate * BURST_MS) / 1000);
    const earned = ((nowMs - this.#allowedAtMs) * this.#rate) / 1000;
    this.#allowed = Math.min(mostAllowed, this.#allowed + earned);
    this.#allowedAtMs = nowMs;
    return Math.floor(this.#allowed);
  }

  sends(messages: number): void {
    this.#allowed -= messages;
  }

  /** Whether a client without queued messages has recovered. */
  isOver(nowMs: number): boolean {
    return nowMs - this.#saidSlowMs >= QUIET_MS;
  }

  /** Begins to measure, unless that has begun. */
  #measure(nowMs: number): void {
    this.#measuringUntilMs = Math.min(this.#measuringUntilMs, nowMs + MEASURE_MS);
  }

  #recover(nowMs: number): void {
    if (!this.isOver(nowMs)) {
      this.#doubledMs = 0;
      return;
    }
    if (nowMs - this.#doubledMs < 1000) return;
    this.#doubledMs = nowMs;
    this.#rate *= 2;
  }
}
