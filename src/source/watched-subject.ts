import type { Subscription } from "./connect.ts";
import type { Requests } from "./requests.ts";

/** A subject whose messages the gateway itself takes: they are for no client. */
export class WatchedSubject {
  readonly subject: string;
  readonly #take: (data: Uint8Array) => void;
  #subscription: Subscription | undefined;
  /** Why its messages don't come, in words for people. */
  problem: string | undefined;

  constructor(subject: string, take: (data: Uint8Array) => void) {
    this.subject = subject;
    this.#take = take;
  }

  /** Subscribes on a connection, unless it is subscribed there. Never throws. */
  open(requests: Requests): void {
    if (this.#subscription !== undefined) return;
    const { subject } = this;
    this.problem = undefined;
    this.#subscription = requests.listen(
      subject,
      ({ data }) => this.#take(data),
      (error) => {
        this.#subscription = undefined;
        this.problem = `the messages of ${subject} don't come: ${error.message}`;
      },
    );
  }

  /** The connection is closed, or given up. */
  close(): void {
    const subscription = this.#subscription;
    this.#subscription = undefined;
    if (subscription?.isClosed() === false) subscription.unsubscribe();
  }
}
