export interface SendWindowLimits {
  /** The time that the bytes in flight should take, beside a round trip. */
  readonly targetLagMs: number;
  /** There are never more bytes in flight. */
  readonly highWaterBytes: number;
}

/** There may always be so many bytes in flight. */
const MIN_BYTES = 16_000;
/** There may be so many bytes in flight before anything is measured. */
const INITIAL_BYTES = 64_000;
/** The window is filled in so many steps, each with a mark, so that it moves before it is empty. */
const STEPS = 4;
/** By which part of the difference a slower rate counts at each mark. A faster one counts at once. */
const SLOWING = 1 / STEPS;
/** A round trip that is older is measured again, with a small window: the network may have changed. */
const ROUND_TRIP_VALID_MS = 10_000;

/** In this last time, a client that takes less than what comes has had a full window. */
const FULL_MS = 1000;

/** A mark that was sent, with what is needed to measure how fast the client takes data. */
export interface Flight {
  /** The bytes that the client had confirmed, and the time of that. */
  readonly confirmedBytes: number;
  readonly confirmedMs: number;
  /** Whether so little was in flight that the mark measures the round trip. */
  readonly isSmall: boolean;
  /** Whether nothing was left to send: how much the client could have taken is then unknown. */
  readonly isLast: boolean;
}

/**
 * Decides how many bytes may be in flight to a client that is fed from its backlog: as many as it takes in
 * `targetLagMs` and a round trip. Both are measured at the marks, as BBR does (Cardwell et al., 2016): the rate is what
 * was confirmed over the time that it took, and the round trip the shortest one.
 */
export class SendWindow {
  readonly #limits: SendWindowLimits;
  /** Bytes per millisecond; `undefined` until something is confirmed. */
  #rate: number | undefined;
  #roundTripMs: number;
  #roundTripAtMs: number;
  #confirmedBytes: number;
  #confirmedMs: number;
  /** The last time that there was no room for what waited. */
  #fullAtMs = Number.NEGATIVE_INFINITY;
  /** `#confirmedBytes` and `#confirmedMs` when the window began: marks that were sent before are measured from there. */
  readonly #beginning: Flight;

  constructor(
    limits: SendWindowLimits,
    confirmedBytes: number,
    roundTripMs: number,
    nowMs: number,
  ) {
    this.#limits = limits;
    this.#confirmedBytes = confirmedBytes;
    this.#confirmedMs = nowMs;
    this.#roundTripMs = roundTripMs;
    this.#roundTripAtMs = nowMs;
    this.#beginning = { confirmedBytes, confirmedMs: nowMs, isSmall: false, isLast: false };
  }

  /** The most bytes in flight. */
  bytes(nowMs: number): number {
    const { targetLagMs, highWaterBytes } = this.#limits;
    if (this.#rate === undefined) return Math.min(INITIAL_BYTES, highWaterBytes);
    const isOld = this.#isRoundTripOld(nowMs);
    const bytes = isOld ? 0 : this.#rate * (targetLagMs + this.#roundTripMs);
    return Math.min(Math.max(MIN_BYTES, bytes), highWaterBytes);
  }

  /** Returns how many more bytes may be sent beside those in flight, for messages that wait. */
  roomBytes(inFlightBytes: number, nowMs: number): number {
    const room = this.bytes(nowMs) - inFlightBytes;
    if (room <= 0) this.#fullAtMs = nowMs;
    return room;
  }

  /** Whether messages had to wait for room in the last time. */
  wasFull(nowMs: number): boolean {
    return nowMs - this.#fullAtMs < FULL_MS;
  }

  /** The most bytes that are sent at once, with a mark behind them. */
  stepBytes(nowMs: number): number {
    return this.bytes(nowMs) / STEPS;
  }

  /**
   * A mark is sent behind so many bytes.
   *
   * @param isIdle whether no other mark is in flight: the time before this one doesn't count.
   * @param isLast whether nothing is left to send.
   */
  begin(bytes: number, isIdle: boolean, isLast: boolean, nowMs: number): Flight {
    return {
      confirmedBytes: this.#confirmedBytes,
      confirmedMs: isIdle ? nowMs : this.#confirmedMs,
      isSmall: bytes - this.#confirmedBytes <= MIN_BYTES,
      isLast,
    };
  }

  /** The client has confirmed so many bytes. @param flight `undefined`: the mark was sent before the window began. */
  confirmed(
    bytes: number,
    sentMs: number,
    flight: Flight | undefined = this.#beginning,
    nowMs: number,
  ): void {
    const roundTripMs = nowMs - sentMs;
    const measuresAgain = this.#isRoundTripOld(nowMs) && flight.isSmall;
    if (roundTripMs <= this.#roundTripMs || measuresAgain) {
      this.#roundTripMs = roundTripMs;
      this.#roundTripAtMs = nowMs;
    }
    // A clock of whole milliseconds must not make the rate infinite.
    const rate = (bytes - flight.confirmedBytes) / Math.max(1, nowMs - flight.confirmedMs);
    if (this.#rate === undefined || rate > this.#rate) this.#rate = rate;
    else if (!flight.isLast) this.#rate += (rate - this.#rate) * SLOWING;
    this.#confirmedBytes = bytes;
    this.#confirmedMs = nowMs;
  }

  #isRoundTripOld(nowMs: number): boolean {
    return nowMs - this.#roundTripAtMs > ROUND_TRIP_VALID_MS;
  }
}
