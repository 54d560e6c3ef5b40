import type { NatsConnection } from "../connect.ts";

/**
 * Detects a consumer that has stopped sending. If it was silent for too long, pings NATS first: the consumer's
 * next message may be under way behind a long one, and the answer to the ping comes after both.
 */
export class SilenceDetector {
  readonly #connection: NatsConnection;
  readonly #silenceMs: number;
  readonly #answered: (isSilent: boolean) => void;
  #heardMs = performance.now();
  /** Since when NATS owes the answer to a ping. */
  #askedMs: number | undefined;

  /**
   * @param silenceMs the longest time between two messages or heartbeats of a sound consumer.
   * @param answered called when NATS answers the ping: the consumer is silent if nothing came before that.
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

  /** The consumer has sent something. */
  heard(): void {
    this.#heardMs = performance.now();
  }

  /** To be called in short intervals. @returns for how many milliseconds NATS has owed an answer. */
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
      // The connection is lost, which its owner notices.
      () => {},
    );
    return 0;
  }
}
