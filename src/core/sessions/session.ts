import type { CloseCause } from "../../protocol/close-codes.ts";
import type { Policy } from "../../protocol/fields.ts";
import type { GapFrame, ServerFrame } from "../../protocol/server-frames.ts";
import type { Grant } from "../access/grant.ts";
import type { AckRecipient } from "../acks/ack-tracker.ts";
import type { DurableTitle } from "../acks/durable-tracker.ts";
import type { SessionAcks } from "../acks/session-acks.ts";
import type { Audience, AudienceMember } from "../fanout/audience.ts";
import type { AudienceRegistry } from "../fanout/audience-registry.ts";
import type { DropReason, LossReason } from "../metering/ledger.ts";
import type { Meter } from "../metering/meter.ts";
import type { Clock } from "../ports/clock.ts";
import type { TextFrame } from "../ports/text-frame.ts";
import type { Selection } from "../subject/subject.ts";
import type { TurnShare } from "../timing/turn-share.ts";
import type { Dialect } from "../wire/dialect.ts";
import { type Envelope, earliest, type Position } from "../wire/envelope.ts";
import { bytesOf, fittingInto } from "../wire/envelopes-that-fit.ts";
import type { DeliveryTerms } from "../wire/subscription-request.ts";
import { Membership } from "./audience-membership.ts";
import { Backlog, type BacklogLimits, type BacklogTarget } from "./backlog.ts";
import { ENDED_AS, ENDS_SESSION } from "./close-cause.ts";
import { packItems } from "./pack-items.ts";
import type { QueueItem } from "./queue.ts";
import type { SocketWriter } from "./socket-writer.ts";
import type { Subscription } from "./subscription.ts";
import { type DueTarget, Subscriptions } from "./subscriptions.ts";
import { Throttle } from "./throttle.ts";

export interface SessionLimits extends BacklogLimits {
  /** A client that takes nothing of what is buffered for it for so long is disconnected with 4511. */
  readonly writeTimeoutMs: number;
}

/**
 * How the client of a session gets its messages.
 *
 * - `"live"`: with its audience.
 * - `"queued"`: from its backlog, because it lags, catches up, asked for less, or has no connection.
 * - `"over"`: not at all.
 */
export type SessionState = "live" | "queued" | "over";

/** The connection that a session is attached to, as the session knows it. */
export interface SessionConnection {
  /** The session that is attached; set by the session. */
  session: Session | undefined;
  readonly grant: Grant;
  readonly dialect: Dialect;
  readonly compresses: boolean;
  readonly writer: SocketWriter;
  /** Sends notices, if the client understands them. See {@linkcode Session.tellSubscribed} for the cursor. */
  tell(frames: readonly ServerFrame[], cursor?: string): void;
  end(cause: CloseCause, unsent?: Envelope): void;
  closed(code: number): void;
  /** Ends the connection, as the session continues on another one. */
  yieldSession(): void;
  heardSince(ms: number): boolean;
}

/** What all sessions share. */
export interface SessionParts {
  readonly limits: SessionLimits;
  readonly meter: Meter;
  readonly clock: Clock;
  readonly turnShare: TurnShare;
  readonly audiences: AudienceRegistry<Session>;
  /** Drains the backlogs with each flush. */
  readonly backlogs: {
    add(session: Session): void;
    remove(session: Session): void;
    readyToDrain(session: Session): void;
  };
  /** Called once, when a session is over. */
  over(session: Session): void;
}

/**
 * What one client is owed: its subscriptions, its backlog and what it has not acknowledged. A session lives
 * with its connection; in at-least-once it is detached when the connection ends, and attached to the next one.
 */
export class Session implements AudienceMember, BacklogTarget, DueTarget, AckRecipient {
  /** The name by which a client resumes the session; `undefined`: it can't be resumed. */
  id: string | undefined;
  state: SessionState = "live";
  readonly subscriptions: Subscriptions;
  /** What the client must acknowledge; only in at-least-once. */
  readonly acks: SessionAcks | undefined;

  readonly #parts: SessionParts;
  #dialect: Dialect;
  #grant: Grant;
  #connection: SessionConnection | undefined;
  /** That of the connection. */
  #writer: SocketWriter | undefined;
  readonly #membership: Membership<Session>;
  /** How many messages this connection was sent other than with its audience, each time counted. */
  #sentAlone = 0;
  /** Most clients never have one. */
  #backlog: Backlog | undefined;
  /** Exists from when the client says that it is slow until it has recovered. */
  #throttle: Throttle | undefined;
  /** Called once when nothing waits any more, or the session is detached or over. */
  #whenDrained: Set<() => void> | undefined;

  /** @param track makes what tracks the acknowledgements; absent in at-most-once. */
  constructor(
    connection: SessionConnection,
    parts: SessionParts,
    track?: (session: Session) => SessionAcks,
  ) {
    this.#parts = parts;
    this.#connection = connection;
    this.#writer = connection.writer;
    this.#dialect = connection.dialect;
    this.#grant = connection.grant;
    connection.session = this;
    this.subscriptions = new Subscriptions(parts, this);
    this.acks = track?.(this);
    // Until it has subscribed it belongs to those that want nothing.
    this.#membership = new Membership<Session>(this, this.#audienceOf([]));
    this.#membership.writer = this.#writer;
    this.#membership.join();
  }

  /** Attaches a detached session to a new connection. What waits is drained to it with the next flush. */
  attach(connection: SessionConnection): void {
    this.#connection = connection;
    this.#writer = connection.writer;
    this.#dialect = connection.dialect;
    this.#grant = connection.grant;
    connection.session = this;
    this.#membership.writer = this.#writer;
    this.#moveTo(this.#audienceOf(this.subscriptions));
    this.#requestDrain();
  }

  /**
   * Parts the session from its connection. From now on, messages wait in the backlog. Subscriptions that catch
   * up end, and so does the use of durables.
   */
  detach(): void {
    const connection = this.#connection;
    if (connection === undefined || this.#needBacklog() === undefined) return;
    this.#backlog?.endLag();
    connection.session = undefined;
    this.#connection = undefined;
    this.#writer = undefined;
    this.#membership.writer = undefined;
    this.#sentAlone = 0;
    this.acks?.detach();
    // This may be too much for the backlog, and end the session.
    this.subscriptions.abandon();
    this.#drained();
  }

  /** Ends the session: what waits counts as dropped, and what is not acknowledged as lost. */
  expire(drop: DropReason, loss: LossReason): void {
    if (this.state === "over") return;
    const wasLive = this.state === "live";
    this.state = "over";
    this.acks?.forget(loss);
    if (wasLive) this.#membership.part();
    else this.audience.queued.delete(this);
    this.subscriptions.clear(drop);
    this.#backlog?.endLag();
    this.#backlog?.queue.clear(drop);
    this.#backlog = undefined;
    this.#parts.backlogs.remove(this);
    if (this.#connection !== undefined) this.#connection.session = undefined;
    this.#connection = undefined;
    this.#writer = undefined;
    this.#drained();
    this.#parts.over(this);
  }

  /**
   * The gateway ends the session's connection, or the session itself if it is detached.
   *
   * @param unsent the message for which there was no room.
   */
  end(cause: CloseCause, unsent?: Envelope): void {
    if (this.state === "over") return;
    if (this.#connection !== undefined) {
      this.#connection.end(cause, unsent);
      return;
    }
    const { error, drop = "abandoned" } = ENDED_AS[cause] ?? {};
    if (error !== undefined) this.#parts.meter.countError(error, `ended a session: ${cause}`);
    this.expire(drop, ENDS_SESSION[cause] ?? "disconnected");
  }

  /** `undefined` while the session is detached. */
  get connection(): SessionConnection | undefined {
    return this.#connection;
  }

  get isAttached(): boolean {
    return this.#connection !== undefined;
  }

  get isOver(): boolean {
    return this.state === "over";
  }

  /** The connection's, or the last one's. */
  get dialect(): Dialect {
    return this.#dialect;
  }

  /** Who the client is, and what it may do: the connection's grant, or the last one's. */
  get grant(): Grant {
    return this.#grant;
  }

  /** Whether the client may receive a message of this subject now. */
  mayReceive(subject: string): boolean {
    return !this.#grant.denied.denies(subject);
  }

  /** The durables that the client uses. */
  get durables(): readonly { readonly title: DurableTitle }[] {
    return this.acks?.durables ?? [];
  }

  get audience(): Audience<Session> {
    return this.#membership.audience;
  }

  /** How many messages this connection was sent, each time counted. */
  get sentMessages(): number {
    return this.#sentAlone + this.#membership.sentMessages;
  }

  get queuedBytes(): number {
    return (this.#backlog?.queue.bytes ?? 0) + this.subscriptions.bytes;
  }

  get bufferedBytes(): number {
    return this.#writer?.bufferedBytes ?? 0;
  }

  /** How many messages may be sent now: as many as may be unacknowledged, at the pace that the client asked for. */
  get roomMessages(): number {
    return Math.min(
      this.acks?.memory.roomMessages ?? Number.POSITIVE_INFINITY,
      this.#throttle?.allowance(this.#parts.clock.nowMs()) ?? Number.POSITIVE_INFINITY,
    );
  }

  get roomBytes(): number {
    return this.acks?.memory.roomBytes ?? Number.POSITIVE_INFINITY;
  }

  /** Whether something waits in the backlog, or the connection lags. */
  get waits(): boolean {
    return this.#backlog?.isWaiting === true;
  }

  /** Whether the client was sent everything that was meant for it, and has acknowledged it. */
  get hasAll(): boolean {
    return !this.waits && this.subscriptions.bytes + (this.acks?.messages ?? 0) === 0;
  }

  /** Whether something waits for room in the socket, or for its time, and not for the client to acknowledge. */
  get isPressing(): boolean {
    if (this.#backlog === undefined || this.#writer === undefined) return false;
    return this.#backlog.isLagging || (this.waits && this.acks?.memory.roomMessages !== 0);
  }

  /** Whether the socket has room, and the client wants more now. */
  get takes(): boolean {
    if (this.#writer === undefined || this.#backlog?.isLagging) return false;
    if (this.#throttle?.allowance(this.#parts.clock.nowMs()) === 0) return false;
    return this.#writer.bufferedBytes <= this.#parts.limits.lowWaterBytes;
  }

  /** Whether the peer is known to have been there after a time; it is pinged if that isn't known. */
  heardSince(ms: number): boolean {
    return this.#connection?.heardSince(ms) ?? false;
  }

  /** Resolves when nothing waits any more, when the session is detached or over, or when the signal is aborted. */
  whenDrained(signal: AbortSignal): Promise<void> {
    if (!this.waits || signal.aborted) return Promise.resolve();
    return new Promise((resolve) => {
      const done = (): void => {
        this.#whenDrained?.delete(done);
        signal.removeEventListener("abort", done);
        resolve();
      };
      signal.addEventListener("abort", done);
      this.#whenDrained ??= new Set();
      this.#whenDrained.add(done);
    });
  }

  /** Takes a subscription into effect: from now on the client gets its messages. */
  add(subscription: Subscription): void {
    const audience = this.#audienceOf([...this.subscriptions, subscription]);
    this.subscriptions.add(subscription);
    // What was published before belongs before the answer.
    if (this.state === "live") this.audience.flush();
    this.#moveTo(audience);
    if (this.subscriptions.anyPaced) this.#needBacklog();
  }

  /** Ends a subscription that is in effect. */
  remove(subscription: Subscription): void {
    const others = [...this.subscriptions].filter((other) => other !== subscription);
    this.#moveTo(this.#audienceOf(others));
    this.subscriptions.remove(subscription);
    this.#requestDrain();
  }

  /**
   * The client has another grant. What it doesn't allow isn't delivered any more, and nothing else changes.
   *
   * @param ended the subscriptions of which nothing is left.
   * @param narrowed the subscriptions of which a part is left, with that part.
   */
  regrant(
    grant: Grant,
    ended: readonly Subscription[],
    narrowed: ReadonlyMap<Subscription, Selection>,
  ): void {
    const before = this.#grant;
    this.#grant = grant;
    // Before anything is handed over from one subscription to another.
    if (!grant.coversAll(before)) {
      const mayReceive = remembering((subject) => grant.mayReceive(subject));
      this.subscriptions.forbid(mayReceive);
      this.#backlog?.queue.forbid(mayReceive);
      this.acks?.memory.forbid(mayReceive);
    }
    for (const subscription of ended) this.subscriptions.remove(subscription);
    for (const [subscription, subjects] of narrowed) {
      this.subscriptions.narrow(subscription, subjects);
    }
    this.#moveTo(this.#audienceOf(this.subscriptions));
    this.#requestDrain();
  }

  /** From now on, a subscription brings its messages in another way. */
  adopt(subscription: Subscription, delivery: DeliveryTerms): void {
    this.flush();
    if (this.isOver) return;
    this.subscriptions.adopt(subscription, delivery);
    if (this.subscriptions.anyPaced) this.#needBacklog();
    this.#requestDrain();
  }

  /** Sends messages that the client has missed before anything that comes from now on, whatever the subscription's rate. */
  replay(missed: readonly Envelope[], subscription: Subscription): void {
    if (missed.length === 0) return;
    const backlog = this.#backlogForMissed(missed.length);
    if (backlog !== undefined) this.#queueMissed(backlog, missed, subscription);
  }

  /**
   * Sends messages that the client has missed, at the subscription's rate.
   *
   * @param isLast whether the client has missed nothing more.
   * @param most the most messages to send of those that the rate has held back.
   * @returns how many messages the rate still holds back.
   */
  replayPaced(
    missed: readonly Envelope[],
    subscription: Subscription,
    isLast: boolean,
    most: number,
  ): number {
    if (missed.length === 0 && (!isLast || subscription.maxRate === undefined)) return 0;
    const backlog = this.#backlogForMissed(missed.length);
    if (backlog === undefined) return 0;
    const { due, left } = this.subscriptions.paced(missed, subscription, isLast, most);
    this.#queueMissed(backlog, due, subscription);
    return left;
  }

  /** Takes a flush of the audience: sends what there is room for, and queues the rest. */
  deliver(envelopes: readonly Envelope[], frames: readonly TextFrame[], bytes: number): void {
    const { roomMessages, roomBytes } = (this.acks as SessionAcks).memory;
    const { ledger } = this.#parts.meter;
    ledger.offer(envelopes.length);
    let fitting = envelopes.length;
    if (roomMessages >= fitting && roomBytes >= bytes) {
      this.#write(envelopes, frames, bytes);
    } else {
      fitting = fittingInto(roomMessages, roomBytes, envelopes);
      const first = envelopes.slice(0, fitting);
      if (fitting > 0) this.#write(first, this.#dialect.pack(first), bytesOf(first));
      this.#needBacklog();
    }
    for (let at = fitting; at < envelopes.length; at++) {
      // The policy may end the session on the way.
      if (this.isOver) ledger.drop("slow_consumer", 1);
      else this.subscriptions.take(envelopes[at]!);
    }
    const buffered = this.bufferedBytes;
    if (buffered <= this.#parts.limits.highWaterBytes || this.isOver) return;
    this.#fallBehind(buffered);
    // From the next flush on, the sweeper watches it.
    this.#requestDrain();
  }

  /** Takes one message of the audience into the backlog. */
  enqueue(envelope: Envelope): void {
    this.#parts.meter.ledger.offer(1);
    this.#throttle?.arrives(this.#parts.clock.nowMs());
    this.subscriptions.take(envelope);
  }

  /** Takes a message that a subscription has released. */
  takeDue(envelope: Envelope, policy: Policy): void {
    const { clock, meter } = this.#parts;
    const unsent =
      this.#backlog === undefined
        ? envelope
        : this.#backlog.queue.push(envelope, policy, clock.nowMs());
    if (unsent === undefined) {
      if (this.#backlog?.isLagging === false) this.#requestDrain();
      return;
    }
    meter.ledger.drop("slow_consumer", 1);
    this.end("slow_consumer", unsent);
  }

  /** Ended subscriptions have handed over what they held back. */
  handedOver(): void {
    this.#requestDrain();
  }

  /** Delivers what was published until now, which may be too much for the backlog and end the session. */
  flush(): void {
    if (this.state === "live") this.audience.flush();
  }

  /** The oldest message that waits for the client. */
  get oldestWaiting(): Position | undefined {
    return earliest([this.#backlog?.queue.oldest, this.subscriptions.oldest]);
  }

  /** Takes what is pending in the audience, which may be too much for the backlog and end the session. */
  takePending(): void {
    if (this.state === "live" && this.acks !== undefined) this.audience.flush();
  }

  /** Sends a notice in its place among the messages. */
  note(frame: ServerFrame): void {
    if (this.state === "live") this.audience.flush();
    // Messages that are held back came before the gap, and no later value may supersede them.
    if (frame.type === "gap") this.subscriptions.open();
    if (this.#backlog === undefined) this.tell(frame);
    else if (this.#dialect.sendsNotices) this.#backlog.queue.note(frame);
    if (this.#backlog?.isLagging === false) this.#requestDrain();
  }

  /** Sends notices at once, before all that waits: all of them or none. */
  tell(...frames: readonly ServerFrame[]): void {
    this.#tell(frames);
  }

  /**
   * Tells the client that a subscription is in effect, and what the client will not get of it.
   *
   * @param cursor where a client resumes that loses its connection before its first message; `undefined`:
   * it starts as it did now.
   */
  tellSubscribed(subscribed: ServerFrame, gaps: readonly GapFrame[], cursor?: string): void {
    this.#tell([subscribed, ...gaps], cursor);
  }

  /** Records that the client was told of a gap, behind a message or behind all that it was sent. */
  recordGap(gap: GapFrame, behind?: Envelope): void {
    this.#parts.meter.gaps++;
    this.acks?.memory.gapSent(gap, behind);
  }

  /** Sends messages again that were not acknowledged, before what waits. */
  resend(envelopes: readonly Envelope[]): void {
    if (this.#writer === undefined) return;
    this.#sentAlone += envelopes.length;
    // If the socket takes nothing any more, they are not acknowledged either.
    this.#writer.write(this.#dialect.pack(envelopes));
  }

  /** The client has acknowledged something: what waits may be sent. */
  hasRoom(): void {
    if (this.#backlog?.isLagging === false) this.#requestDrain();
  }

  /** The client says that it can't keep up: its rate is halved, and what is too much waits in the backlog. */
  slowDown(): void {
    const backlog = this.#needBacklog();
    const nowMs = this.#parts.clock.nowMs();
    this.#throttle ??= new Throttle(nowMs, backlog?.queue.messages ?? 0);
    this.#throttle.slowDown(nowMs);
  }

  /** The client says that it keeps up again. */
  speedUp(): void {
    if (this.#throttle === undefined) return;
    this.#throttle = undefined;
    this.#requestDrain();
  }

  /** Looks at what the socket has buffered and for how long, and ends, queues or drains the session. */
  checkLag(nowMs: number): void {
    const writer = this.#writer;
    if (this.isOver || writer === undefined) return;
    const buffered = writer.bufferedBytes;
    const backlog = this.#backlog;
    const { writeTimeoutMs, highWaterBytes } = this.#parts.limits;
    if (writer.stalledMs(nowMs) > writeTimeoutMs) this.end("write_timeout");
    else if (backlog?.queue.expire(nowMs) === false) this.end("slow_consumer");
    else if (backlog?.isLagging !== true && buffered > highWaterBytes) this.#fallBehind(buffered);
    else this.drain();
  }

  /** Sends what waits, as much as the socket takes, and returns to the audience when nothing waits any more. */
  drain(): void {
    if (this.#writer === undefined || this.#backlog?.drain(this) !== true || this.isOver) return;
    this.#drained();
    if (this.#throttle?.isOver(this.#parts.clock.nowMs())) this.#throttle = undefined;
    if (this.#throttle !== undefined || this.subscriptions.anyPaced) return;
    this.#rejoin();
  }

  /** Sends what came out of the backlog. @returns `false` if the socket takes nothing any more. */
  send(items: readonly QueueItem[]): boolean {
    const { frames, messages, bytes, gaps } = packItems(items, this.#dialect);
    this.#membership.lastSent = messages.at(-1) ?? this.#membership.lastSent;
    for (const { gap, behind } of gaps) this.recordGap(gap, behind);
    this.#throttle?.sends(messages.length);
    if (this.#write(messages, frames, bytes)) return true;
    // The peer is closing: its socket takes nothing more, and says so before it is closed.
    this.#connection?.closed(1005);
    return false;
  }

  /**
   * Returns where a client resumes whose connection ends now; it gets nothing of its audience any more.
   *
   * @param unsent the message for which there was no room.
   */
  leaveAt(unsent?: Envelope): Position | undefined {
    if (this.state === "live") this.#membership.part();
    // No cursor is right for subscriptions that are at different places of a stream.
    if (this.subscriptions.areApart) return undefined;
    const waiting = [unsent?.first, this.#backlog?.queue.oldest, this.subscriptions.oldest];
    return this.#membership.cursorBefore(...waiting);
  }

  /** For so long, nothing could be sent: that doesn't count for the age of what waits. */
  forgivePause(pausedMs: number, nowMs: number): void {
    this.#backlog?.queue.forgivePause(pausedMs, nowMs);
  }

  #tell(frames: readonly ServerFrame[], cursor?: string): void {
    const connection = this.#connection;
    if (connection === undefined || !this.#dialect.sendsNotices) return;
    // A client that asks without reading the answers must not fill the memory with them.
    if (this.#backlog?.isOverfull(this.bufferedBytes)) {
      this.end("slow_consumer");
      return;
    }
    connection.tell(frames, cursor);
    for (const frame of frames) if (frame.type === "gap") this.recordGap(frame);
  }

  /** Writes messages for the first time. @returns `false` if the socket takes nothing any more. */
  #write(envelopes: readonly Envelope[], frames: readonly TextFrame[], bytes: number): boolean {
    const isTaken = (this.#writer as SocketWriter).write(frames);
    const { ledger } = this.#parts.meter;
    // What a client may resume for counts as sent, and is not acknowledged.
    if (!isTaken && this.id === undefined) {
      ledger.drop("abandoned", envelopes.length);
      return false;
    }
    this.#sentAlone += envelopes.length;
    this.acks?.memory.sent(envelopes);
    ledger.send(envelopes.length, bytes);
    return isTaken;
  }

  #backlogForMissed(count: number): Backlog | undefined {
    const backlog = this.#needBacklog();
    if (backlog === undefined) return undefined;
    this.#parts.meter.ledger.offer(count);
    if (count > 0) this.#throttle?.waits(this.#parts.clock.nowMs(), count);
    return backlog;
  }

  #queueMissed(backlog: Backlog, missed: readonly Envelope[], subscription: Subscription): void {
    const nowMs = this.#parts.clock.nowMs();
    for (const envelope of missed) {
      const { policy } = this.subscriptions.deciderOf(envelope, subscription);
      backlog.queue.replay(envelope, policy, nowMs);
    }
    this.#requestDrain();
  }

  #fallBehind(bufferedBytes: number): void {
    const backlog = this.#needBacklog();
    if (backlog === undefined) return;
    backlog.beginLag(bufferedBytes);
    this.tell({ type: "slow", buffered_bytes: bufferedBytes });
  }

  /**
   * Moves the session from its audience's live members to a backlog, after what was meant for it there.
   *
   * @returns `undefined` if that was too much for the client.
   */
  #needBacklog(): Backlog | undefined {
    this.takePending();
    if (this.#backlog !== undefined || this.isOver) return this.#backlog;
    const { limits, meter, backlogs } = this.#parts;
    this.#backlog = new Backlog(limits, meter);
    this.#membership.part();
    this.state = "queued";
    this.audience.queued.add(this);
    backlogs.add(this);
    return this.#backlog;
  }

  #rejoin(): void {
    this.#backlog = undefined;
    this.audience.queued.delete(this);
    this.state = "live";
    this.#parts.backlogs.remove(this);
    this.#membership.join();
  }

  /** Asks for the backlog to be drained with the next flush. */
  #requestDrain(): void {
    if (this.#backlog !== undefined && this.isAttached) this.#parts.backlogs.readyToDrain(this);
  }

  #drained(): void {
    const waiting = this.#whenDrained;
    this.#whenDrained = undefined;
    for (const resolve of waiting ?? []) resolve();
  }

  /** Returns the audience of those that want what these subscriptions bring. */
  #audienceOf(subscriptions: Iterable<Subscription>): Audience<Session> {
    let wantsEverything = false;
    const lists: (readonly string[])[] = [];
    for (const { subjects } of subscriptions) {
      if (subjects === "everything") wantsEverything = true;
      else lists.push(subjects);
    }
    return this.#parts.audiences.of({
      dialect: this.#dialect,
      compresses: this.#connection?.compresses ?? false,
      acked: this.acks !== undefined,
      lists: wantsEverything ? "everything" : lists,
      denied: this.#grant.denied,
    });
  }

  #moveTo(audience: Audience<Session>): void {
    const before = this.audience;
    if (before === audience) return;
    this.takePending();
    if (this.isOver) {
      this.#parts.audiences.forget(audience);
      return;
    }
    this.#membership.moveTo(audience);
    this.#parts.audiences.forget(before);
  }
}

/** Returns a function that asks once for each subject. */
function remembering(mayReceive: (subject: string) => boolean): (subject: string) => boolean {
  const answers = new Map<string, boolean>();
  return (subject) => {
    let answer = answers.get(subject);
    if (answer === undefined) {
      answer = mayReceive(subject);
      answers.set(subject, answer);
    }
    return answer;
  };
}
