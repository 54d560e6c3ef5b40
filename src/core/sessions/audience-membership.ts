import type { Audience, AudienceMember } from "../fanout/audience.ts";
import { type Envelope, type Position, serialOf } from "../wire/envelope.ts";
import type { SocketWriter } from "./socket-writer.ts";

/** A session's place in its audience: among the members that keep up, or those that have a backlog. */
export class Membership<Member extends AudienceMember> {
  audience: Audience<Member>;
  /** The last message that this connection was sent other than with its audience, or until it left. */
  lastSent: Envelope | undefined;
  readonly #member: Member;
  #writer: SocketWriter | undefined;
  /** `audience.lastSent` when the member joined. */
  #sentBefore: Envelope | undefined;
  /** `audience.sentMessages` when the member joined. */
  #countBefore = 0;
  /** The number of messages that this connection was sent with its earlier audiences. */
  #count = 0;

  constructor(member: Member, audience: Audience<Member>) {
    this.#member = member;
    this.audience = audience;
  }

  /** The member has a new connection, or none. */
  set writer(writer: SocketWriter | undefined) {
    this.#writer = writer;
    this.lastSent = undefined;
    this.#count = 0;
  }

  /** Joins the members that keep up. */
  join(): void {
    this.#writer?.join(this.audience);
    this.audience.live.add(this.#member);
    this.#sentBefore = this.audience.lastSent;
    this.#countBefore = this.audience.sentMessages;
  }

  /** Leaves the audience's topic, after what was meant for the member there. */
  part(): void {
    this.#writer?.leave();
    this.audience.live.delete(this.#member);
    this.#count += this.audience.sentMessages - this.#countBefore;
    this.#countBefore = this.audience.sentMessages;
    if (this.audience.lastSent !== this.#sentBefore) this.lastSent = this.audience.lastSent;
  }

  /** The number of messages that this connection was sent with its audiences. */
  get sentMessages(): number {
    const isLive = this.audience.live.has(this.#member);
    return this.#count + (isLive ? this.audience.sentMessages - this.#countBefore : 0);
  }

  /** Moves to another audience, to the same place there. */
  moveTo(audience: Audience<Member>): void {
    const isLive = this.audience.live.has(this.#member);
    if (isLive) this.part();
    else this.audience.queued.delete(this.#member);
    this.audience = audience;
    if (isLive) this.join();
    else audience.queued.add(this.#member);
  }

  /**
   * Returns the position after which a client continues when it reconnects. If a waiting message is older than the last
   * one sent, because subscriptions differ in speed, the client gets some messages again.
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
