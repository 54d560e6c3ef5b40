/** After the first complaint, from when something waits, hold messages for this long to measure the arrival rate. */
const MEASURE_MS = 250;
/** Complaints that come within so long of one another are one: what is under way is not slower yet. */
const HALVING_MS = 1000;
/** With no complaint for so long, the rate is doubled each second, until nothing waits. */
const QUIET_MS = 5000;
/** What was not used of the rate is saved for no longer than this. */
const BURST_MS = 100;

/** Halves a client's rate each time that it says that it is slow, and lets it recover by itself. */
export class Throttle {
  #measuringUntilMs = Number.POSITIVE_INFINITY;
  /** Messages that waited at the first complaint or were replayed since, and those that came since. */
  #waiting: number;
  #arrived = 0;
  /** Messages per second; unknown while it is measured what comes. */
  #rate = 0;
  #allowed = 0;
  #allowedAtMs = 0;
  #halvedMs: number;
  #complainedMs: number;
  #doubledMs = 0;

  /** @param waiting how many messages wait for the client: they are taken for what comes in a second. */
  constructor(nowMs: number, waiting = 0) {
    this.#waiting = waiting;
    if (waiting > 0) this.#measure(nowMs);
    this.#halvedMs = nowMs;
    this.#complainedMs = nowMs;
  }

  /** A message came for the client. */
  arrives(nowMs: number): void {
    if (this.#arrived++ === 0) this.#measure(nowMs);
  }

  /** Messages of the past wait for the client, too: like those that waited at the first complaint. */
  waits(nowMs: number, messages: number): void {
    this.#waiting += messages;
    this.#measure(nowMs);
  }

  /** The client says that it is slow. */
  complain(nowMs: number): void {
    this.#complainedMs = nowMs;
    if (nowMs - this.#halvedMs < HALVING_MS || this.#rate === 0) return;
    this.#halvedMs = nowMs;
    this.#rate = Math.max(1, this.#rate / 2);
  }

  /** How many messages may be sent now. */
  allowance(nowMs: number): number {
    // The caller has something to send: no state may hold that back for ever.
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

  /** Whether a client for which nothing waits needs it no more. */
  isOver(nowMs: number): boolean {
    return nowMs - this.#complainedMs >= QUIET_MS;
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
