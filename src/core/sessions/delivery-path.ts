import type { Audience, AudienceKey, AudienceMember } from "../fanout/audience.ts";
import type { AudienceRegistry } from "../fanout/audience-registry.ts";
import type { DropReason } from "../metering/ledger.ts";
import type { Meter } from "../metering/meter.ts";
import { type Envelope, type Position, serialOf } from "../wire/envelope.ts";
import { Backlog, type BacklogLimits } from "./backlog.ts";
import type { SocketWriter } from "./socket-writer.ts";

/**
 * The way in which the client of a session gets its messages.
 *
 * - `"live"`: with its audience.
 * - `"queued"`: from its backlog, because it lags, catches up, asked for less, or has no connection.
 * - `"over"`: not at all.
 */
type SessionState = "live" | "queued" | "over";

export interface DeliveryPathParts<Member extends AudienceMember> {
  readonly limits: BacklogLimits;
  readonly meter: Meter;
  readonly audiences: AudienceRegistry<Member>;
  /** Drains the backlogs with each flush. */
  readonly backlogs: {
    add(member: Member): void;
    remove(member: Member): void;
    readyToDrain(member: Member): void;
  };
}

/**
 * Brings messages to one client: together with those of its audience, or through a backlog of its own. It is in the
 * audience in both cases, among the members that keep up or among those that have a backlog.
 */
export class DeliveryPath<Member extends AudienceMember> {
  state: SessionState = "live";
  audience: Audience<Member>;
  /** Most clients never have one. */
  backlog: Backlog | undefined;
  /** The last message that this connection was sent other than with its audience, or until it left. */
  lastSent: Envelope | undefined;
  /** The number of messages that this connection was sent other than with its audience, each time counted. */
  sentAlone = 0;
  readonly #member: Member;
  readonly #parts: DeliveryPathParts<Member>;
  #writer: SocketWriter | undefined;
  /** `audience.lastSent` when the member joined. */
  #sentBefore: Envelope | undefined;
  /** `audience.sentMessages` when the member joined. */
  #countBefore = 0;
  /** The number of messages that this connection was sent with its earlier audiences. */
  #count = 0;

  constructor(
    member: Member,
    parts: DeliveryPathParts<Member>,
    key: AudienceKey,
    writer: SocketWriter,
  ) {
    this.#member = member;
    this.#parts = parts;
    this.#writer = writer;
    this.audience = parts.audiences.of(key);
    this.#join();
  }

  /** The session has a new connection, or none. */
  set writer(writer: SocketWriter | undefined) {
    this.#writer = writer;
    this.lastSent = undefined;
    this.sentAlone = 0;
    this.#count = 0;
  }

  /** The number of messages that this connection was sent, each time counted. */
  get sentMessages(): number {
    const isLive = this.audience.live.has(this.#member);
    const withAudience = isLive ? this.audience.sentMessages - this.#countBefore : 0;
    return this.sentAlone + this.#count + withAudience;
  }

  /** Delivers what was published until now, which may be too much for the backlog and end the session. */
  flush(): void {
    if (this.state === "live") this.audience.flush();
  }

  /**
   * Takes the pending messages of the audience, which may be too much for the backlog and end the session. If nothing
   * must be acknowledged, the socket gets them when it leaves the audience's topic.
   */
  takePending(): void {
    if (this.audience.key.acked) this.flush();
  }

  /** Moves to another audience, to the same place there. */
  moveTo(key: AudienceKey): void {
    const { audiences } = this.#parts;
    this.takePending();
    if (this.state === "over") return;
    const before = this.audience;
    const audience = audiences.of(key);
    if (before === audience) return;
    before.tellAnnounced();
    const isLive = before.live.has(this.#member);
    if (isLive) this.leave();
    else before.queued.delete(this.#member);
    this.audience = audience;
    // The member was told in the audience before.
    audience.tellAnnounced();
    if (isLive) this.#join();
    else audience.queued.add(this.#member);
    audiences.forget(before);
  }

  /**
   * Moves from the members that keep up to those with a backlog, after it got the pending messages.
   *
   * @returns `undefined` if that was too much for the client.
   */
  needBacklog(): Backlog | undefined {
    this.takePending();
    if (this.backlog !== undefined || this.state === "over") return this.backlog;
    const { limits, meter, backlogs } = this.#parts;
    this.backlog = new Backlog(limits, meter);
    this.leave();
    this.state = "queued";
    this.audience.queued.add(this.#member);
    backlogs.add(this.#member);
    return this.backlog;
  }

  /** Moves back to the members that keep up: nothing is left in the backlog. */
  rejoin(): void {
    this.backlog = undefined;
    this.audience.queued.delete(this.#member);
    this.state = "live";
    this.#parts.backlogs.remove(this.#member);
    this.#join();
  }

  /** Asks for the backlog to be drained with the next flush. */
  requestDrain(): void {
    if (this.backlog === undefined || this.#writer === undefined) return;
    this.#parts.backlogs.readyToDrain(this.#member);
  }

  /** Leaves the audience for ever, and drops the waiting messages. */
  end(drop: DropReason): void {
    const wasLive = this.state === "live";
    this.state = "over";
    if (wasLive) this.leave();
    else this.audience.queued.delete(this.#member);
    this.backlog?.endLag();
    this.backlog?.queue.clear(drop);
    this.backlog = undefined;
    this.#parts.backlogs.remove(this.#member);
  }

  /** Leaves the members that keep up, after it got the pending messages there. */
  leave(): void {
    if (this.state === "queued") return;
    this.#writer?.leave();
    this.audience.live.delete(this.#member);
    this.#count += this.audience.sentMessages - this.#countBefore;
    this.#countBefore = this.audience.sentMessages;
    if (this.audience.lastSent !== this.#sentBefore) this.lastSent = this.audience.lastSent;
  }

  /**
   * Returns the position after which a client continues when it reconnects. If a waiting message is older than the last
   * one sent, because subscriptions differ in speed, the client gets some messages again.
   */
  cursorBefore(...waiting: readonly (Position | undefined)[]): Position | undefined {
    let cursor: Position | undefined = this.lastSent;
    for (const position of [...waiting, this.backlog?.queue.oldest]) {
      if (position === undefined || (cursor && serialOf(cursor) < serialOf(position))) continue;
      const { origin, sequence } = position;
      cursor = { origin, sequence: sequence - 1, serial: serialOf(position) };
    }
    return cursor;
  }

  #join(): void {
    this.#writer?.join(this.audience);
    this.audience.live.add(this.#member);
    this.#sentBefore = this.audience.lastSent;
    this.#countBefore = this.audience.sentMessages;
  }
}
