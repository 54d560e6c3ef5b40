import type { NatsConnection } from "../connect.ts";

/**
 * Notices that a consumer says nothing any more, while one that can't be heard yet is waited for: what it said may stand
 * behind a message that takes long to come. So NATS is pinged first, whose answer stands behind all of that.
 */
export class SilenceDetector {
  readonly #connection: NatsConnection;
  readonly #silenceMs: number;
  readonly #answered: (isSilent: boolean) => void;
  #heardMs = performance.now();
  /** Since when NATS owes an answer. */
  #askedMs: number | undefined;

  /**
   * @param silenceMs how long a consumer that is there says nothing at most.
   * @param answered NATS has answered, after silence: whether there was a word before that.
   */
  constructor(
    connection: NatsConnection,
    silenceMs: number,
    answered: (isSilent: boolean) => void,
  ) {
    this.#connection = connection;
    this.#silenceMs = silenceMs;
    this.#answered = answered;
  }

  /** The consumer has said something. */
  heard(): void {
    this.#heardMs = performance.now();
  }

  /** To be called now and again. @returns how long NATS has owed an answer. */
  watch(): number {
    const nowMs = performance.now();
    if (this.#askedMs !== undefined) return nowMs - this.#askedMs;
    const heardMs = this.#heardMs;
    if (nowMs - heardMs <= this.#silenceMs) return 0;
    this.#askedMs = nowMs;
    this.#connection.flush().then(
      () => {
        this.#askedMs = undefined;
        this.#answered(this.#heardMs === heardMs);
      },
      // The connection is gone, which is said elsewhere.
      () => {},
    );
    return 0;
  }
}
