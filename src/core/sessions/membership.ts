import type { Audience } from "../fanout/audience.ts";
import { type Envelope, type Position, serialOf } from "../wire/envelope.ts";
import type { Session } from "./session.ts";
import type { SocketWriter } from "./socket-writer.ts";

/** A client's place in its audience, among those that keep up or those that have a queue. */
export class Membership {
  audience: Audience;
  /** The last message that the client was sent other than with its audience, or until it left. */
  lastSent: Envelope | undefined;
  readonly #client: Session;
  readonly #writer: SocketWriter;
  /** `audience.lastSent` when it joined. */
  #sentBefore: Envelope | undefined;
  /** `audience.sentMessages` when it joined. */
  #countBefore = 0;
  /** How many messages it was sent with its earlier audiences. */
  #count = 0;

  constructor(client: Session, writer: SocketWriter, audience: Audience) {
    this.#client = client;
    this.#writer = writer;
    this.audience = audience;
  }

  /** Among those that keep up. */
  join(): void {
    this.#writer.join(this.audience);
    this.audience.live.add(this.#client);
    this.#sentBefore = this.audience.lastSent;
    this.#countBefore = this.audience.sentMessages;
  }

  /** Out of the audience's topic, after what was meant for the client there. */
  part(): void {
    this.#writer.leave();
    this.audience.live.delete(this.#client);
    this.#count += this.audience.sentMessages - this.#countBefore;
    this.#countBefore = this.audience.sentMessages;
    if (this.audience.lastSent !== this.#sentBefore) this.lastSent = this.audience.lastSent;
  }

  /** How many messages it was sent with its audiences. */
  get sentMessages(): number {
    const isLive = this.audience.live.has(this.#client);
    return this.#count + (isLive ? this.audience.sentMessages - this.#countBefore : 0);
  }

  /** Goes over to another audience, to the same place there. */
  moveTo(audience: Audience): void {
    const isLive = this.audience.live.has(this.#client);
    if (isLive) this.part();
    else this.audience.queued.delete(this.#client);
    this.audience = audience;
    if (isLive) this.join();
    else audience.queued.add(this.#client);
  }

  /**
   * Behind which position to go on when it comes back. What waits may be older than what was sent
   * last, as one subscription is slower than another, or catches up: then some comes again.
   */
  cursorBefore(...waiting: readonly (Position | undefined)[]): Position | undefined {
    let cursor: Position | undefined = this.lastSent;
    for (const position of waiting) {
      if (position === undefined || (cursor && serialOf(cursor) < serialOf(position))) continue;
      const { origin, sequence } = position;
      cursor = { origin, sequence: sequence - 1, serial: serialOf(position) };
    }
    return cursor;
  }
}
