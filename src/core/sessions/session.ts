import type { CloseCause } from "../../protocol/close-codes.ts";
import type { Policy } from "../../protocol/fields.ts";
import type { GapFrame, ServerFrame } from "../../protocol/server-frames.ts";
import { type Grant, userKey } from "../access/grant.ts";
import type { AckRecipient } from "../acks/ack-tracker.ts";
import type { DurableTitle } from "../acks/durable-tracker.ts";
import type { SessionAcks } from "../acks/session-acks.ts";
import type { Audience, AudienceKey, AudienceMember } from "../fanout/audience.ts";
import type { DropReason, LossReason } from "../metering/ledger.ts";
import type { Clock } from "../ports/clock.ts";
import { PingFrame } from "../ports/ping-frame.ts";
import type { Frame } from "../ports/socket.ts";
import type { Selection } from "../subject/subject.ts";
import type { TurnShare } from "../timing/turn-share.ts";
import type { Dialect } from "../wire/dialect.ts";
import { type Envelope, earliest, type Position } from "../wire/envelope.ts";
import { bytesOf, fittingInto } from "../wire/envelopes-that-fit.ts";
import type { DeliveryTerms } from "../wire/subscription-request.ts";
import type { Backlog, BacklogLimits, BacklogTarget } from "./backlog.ts";
import { ENDED_AS, ENDS_SESSION } from "./close-cause.ts";
import { DeliveryPath, type DeliveryPathParts } from "./delivery-path.ts";
import { DrainWaiters } from "./drain-waiters.ts";
import { packItems } from "./pack-items.ts";
import type { QueueItem } from "./queue.ts";
import type { SocketWriter } from "./socket-writer.ts";
import type { Subscription } from "./subscription.ts";
import { type DueTarget, Subscriptions } from "./subscriptions.ts";
import { Throttle } from "./throttle.ts";

export interface SessionLimits extends BacklogLimits {
  /** A client that takes nothing of what is buffered for it, and confirms nothing, for so long is disconnected with 4511. */
  readonly writeTimeoutMs: number;
}

/** The connection that a session is attached to, as the session knows it. */
export interface SessionConnection {
  /** The number of the connection since the start of the gateway. */
  readonly number: number;
  /** The group under which the client's address is counted. */
  readonly addressGroup: string;
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

/** Keeps a session while it has no connection. */
export interface SessionKeeper {
  /** The session's waiting bytes may have changed. */
  changed(): void;
}

/** The parts that all sessions share. */
export interface SessionParts extends DeliveryPathParts<Session> {
  readonly limits: SessionLimits;
  readonly clock: Clock;
  readonly turnShare: TurnShare;
  /** Called once, when a session is over. */
  over(session: Session): void;
}

/**
 * The state of one client: its subscriptions, its backlog and its unacknowledged messages. A session lives
 * with its connection; in at-least-once it is detached when the connection ends, and attached to the next one.
 */
export class Session implements AudienceMember, BacklogTarget, DueTarget, AckRecipient {
  /** The name by which a client resumes the session; `undefined`: it can't be resumed. */
  id: string | undefined;
  readonly subscriptions: Subscriptions;
  /** The messages that the client must acknowledge; only in at-least-once. */
  readonly acks: SessionAcks | undefined;
  /** `undefined` while nobody keeps it; set by the keeper. */
  keeper: SessionKeeper | undefined;

  readonly #parts: SessionParts;
  #dialect: Dialect;
  #grant: Grant;
  #addressGroup: string;
  #connection: SessionConnection | undefined;
  /** The writer of the connection. */
  #writer: SocketWriter | undefined;
  readonly #path: DeliveryPath<Session>;
  /** Exists from when the client says that it is slow until it has recovered. */
  #throttle: Throttle | undefined;
  #drainWaiters: DrainWaiters | undefined;

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
    this.#addressGroup = connection.addressGroup;
    connection.session = this;
    this.subscriptions = new Subscriptions(parts, this);
    this.acks = track?.(this);
    // Until it has subscribed, it is in the audience that wants nothing.
    this.#path = new DeliveryPath<Session>(this, parts, this.#keyFor([]), connection.writer);
  }

  /** Attaches a detached session to a new connection. The next flush drains its backlog. */
  attach(connection: SessionConnection): void {
    this.#connection = connection;
    this.#writer = connection.writer;
    this.#dialect = connection.dialect;
    this.#grant = connection.grant;
    this.#addressGroup = connection.addressGroup;
    connection.session = this;
    this.#path.writer = this.#writer;
    this.#path.moveTo(this.#keyFor(this.subscriptions));
    this.#path.requestDrain();
  }

  /**
   * Detaches the session from its connection. From now on, messages wait in the backlog. Subscriptions that catch
   * up end, and so does the use of durables.
   */
  detach(): void {
    const connection = this.#connection;
    const backlog = connection && this.#path.needBacklog();
    if (connection === undefined || backlog === undefined) return;
    backlog.endLag();
    connection.session = undefined;
    this.#connection = undefined;
    this.#writer = undefined;
    this.#path.writer = undefined;
    this.acks?.detach();
    // This may be too much for the backlog, and end the session.
    this.subscriptions.abandon();
    this.#drainWaiters?.release();
  }

  /** Ends the session: waiting messages count as dropped, and unacknowledged ones as lost. */
  finish(drop: DropReason, loss: LossReason): void {
    if (this.isOver) return;
    this.#path.end(drop);
    this.acks?.forget(loss);
    this.subscriptions.clear(drop);
    if (this.#connection !== undefined) this.#connection.session = undefined;
    this.#connection = undefined;
    this.#writer = undefined;
    this.#drainWaiters?.release();
    this.#parts.over(this);
  }

  /**
   * The gateway ends the session's connection, or the session itself if it is detached.
   *
   * @param unsent the message for which there was no room.
   */
  end(cause: CloseCause, unsent?: Envelope): void {
    if (this.isOver) return;
    if (this.#connection !== undefined) {
      this.#connection.end(cause, unsent);
      return;
    }
    const { error, drop = "abandoned" } = ENDED_AS[cause] ?? {};
    if (error !== undefined) this.#parts.meter.countError(error, `ended a session: ${cause}`);
    this.finish(drop, ENDS_SESSION[cause] ?? "disconnected");
  }

  /** `undefined` while the session is detached. */
  get connection(): SessionConnection | undefined {
    return this.#connection;
  }

  get isAttached(): boolean {
    return this.#connection !== undefined;
  }

  get isOver(): boolean {
    return this.#path.state === "over";
  }

  /** The connection's, or the last one's. */
  get dialect(): Dialect {
    return this.#dialect;
  }

  /** The connection's grant, or the last one's. */
  get grant(): Grant {
    return this.#grant;
  }

  /** See {@linkcode userKey}; an anonymous client's address is the connection's, or the last one's. */
  get userKey(): string {
    return userKey(this.#grant.terms.principal, this.#addressGroup);
  }

  /** Whether the client's grant denies it the messages of a subject now, whatever it has subscribed to. */
  denies(subject: string): boolean {
    return this.#grant.denied.denies(subject);
  }

  /** The patterns that the client is subscribed to, also those that catch up, and those of its durables. */
  get patterns(): readonly string[] {
    const subscribed = [...this.subscriptions.all()].map(({ subjects }) =>
      subjects === "everything" ? this.#grant.patterns : subjects,
    );
    const durable = this.durables.map(({ title }) => title.subjects);
    return [...new Set([...subscribed, ...durable].flat())];
  }

  /** The durables that the client uses. */
  get durables(): readonly { readonly title: DurableTitle }[] {
    return this.acks?.durables ?? [];
  }

  get audience(): Audience<Session> {
    return this.#path.audience;
  }

  /** The number of messages that this connection was sent, each time counted. */
  get sentMessages(): number {
    return this.#path.sentMessages;
  }

  get queuedBytes(): number {
    return (this.#path.backlog?.queue.bytes ?? 0) + this.subscriptions.bytes;
  }

  get bufferedBytes(): number {
    return this.#writer?.bufferedBytes ?? 0;
  }

  get windowBytes(): number {
    return this.#writer?.roomBytes(this.#parts.clock.nowMs()) ?? 0;
  }

  get stepBytes(): number {
    return this.#writer?.stepBytes(this.#parts.clock.nowMs()) ?? 0;
  }

  get hasCaughtUp(): boolean {
    return this.#writer?.hasCaughtUp(this.#parts.clock.nowMs()) === true;
  }

  get wasFull(): boolean {
    return this.#writer?.wasFull(this.#parts.clock.nowMs()) === true;
  }

  /** The time that the oldest message has waited in the backlog. */
  waitedMs(nowMs: number): number {
    return nowMs - (this.#path.backlog?.queue.oldestMs ?? nowMs);
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
    return this.#path.backlog?.isWaiting === true;
  }

  /** Whether the client was sent everything that was meant for it, and has acknowledged it. */
  get hasAll(): boolean {
    return !this.waits && this.subscriptions.bytes + (this.acks?.messages ?? 0) === 0;
  }

  /** Whether something waits for room in the socket, or for its time, and not for the client to acknowledge. */
  get isPressing(): boolean {
    if (this.#path.backlog === undefined || this.#writer === undefined) return false;
    return this.#path.backlog.isLagging || (this.waits && this.acks?.memory.roomMessages !== 0);
  }

  /** Whether the socket has room, and the client wants more now. */
  get takes(): boolean {
    if (this.#writer === undefined || this.#path.backlog?.isLagging) return false;
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
    this.#drainWaiters ??= new DrainWaiters();
    return this.#drainWaiters.wait(signal);
  }

  /** Takes a subscription into effect: from now on the client gets its messages. */
  add(subscription: Subscription): void {
    this.subscriptions.add(subscription);
    // Messages that were published before belong before the answer.
    this.flush();
    this.#path.moveTo(this.#keyFor(this.subscriptions));
    if (this.subscriptions.anyPaced) this.#path.needBacklog();
  }

  /** Ends a subscription that is in effect. */
  remove(subscription: Subscription): void {
    const others = [...this.subscriptions].filter((other) => other !== subscription);
    this.#path.moveTo(this.#keyFor(others));
    this.subscriptions.remove(subscription);
    this.#path.requestDrain();
  }

  /**
   * The client has another grant. What it doesn't allow isn't delivered any more, and nothing else changes.
   *
   * @param ended the subscriptions that lose all their subjects.
   * @param narrowed the subscriptions that lose some subjects, with those that are left.
   */
  regrant(
    grant: Grant,
    ended: readonly Subscription[],
    narrowed: ReadonlyMap<Subscription, Selection>,
  ): void {
    const before = this.#grant;
    this.#grant = grant;
    // Before anything is handed over from one subscription to another.
    if (!grant.coversAll(before)) this.#dropForbidden(remembering(grant));
    for (const subscription of ended) this.subscriptions.remove(subscription);
    for (const [subscription, subjects] of narrowed) {
      this.subscriptions.narrow(subscription, subjects);
    }
    this.#path.moveTo(this.#keyFor(this.subscriptions));
    this.#path.requestDrain();
  }

  /** From now on, a subscription brings its messages in another way. */
  setDelivery(subscription: Subscription, delivery: DeliveryTerms): void {
    this.flush();
    if (this.isOver) return;
    this.subscriptions.setDelivery(subscription, delivery);
    if (this.subscriptions.anyPaced) this.#path.needBacklog();
    this.#path.requestDrain();
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
  deliver(envelopes: readonly Envelope[], frames: readonly Frame[], bytes: number): void {
    const writer = this.#writer as SocketWriter;
    const { roomMessages, roomBytes } = (this.acks as SessionAcks).memory;
    const { ledger } = this.#parts.meter;
    ledger.offer(envelopes.length);
    let fitting = envelopes.length;
    if (roomMessages >= fitting && roomBytes >= bytes) {
      this.#wrote(writer.writeShared(frames), envelopes, bytes);
    } else {
      fitting = fittingInto(roomMessages, roomBytes, envelopes);
      const first = envelopes.slice(0, fitting);
      const firstBytes = bytesOf(first);
      writer.skipShared(bytes - firstBytes);
      const mark = frames.filter((frame) => frame instanceof PingFrame);
      const packed = fitting === 0 ? mark : [...this.#dialect.pack(first), ...mark];
      if (packed.length > 0) this.#wrote(writer.writeShared(packed), first, firstBytes);
      this.#path.needBacklog();
    }
    for (let at = fitting; at < envelopes.length; at++) {
      // The policy may end the session on the way.
      if (this.isOver) ledger.drop("slow_consumer", 1);
      else this.subscriptions.take(envelopes[at]!);
    }
    if (this.isOver || writer.bufferedBytes <= this.#parts.limits.highWaterBytes) return;
    this.#fallBehind(writer);
    // From the next flush on, the sweeper watches it.
    this.#path.requestDrain();
  }

  /** Takes one message of the audience into the backlog. */
  enqueue(envelope: Envelope): void {
    this.#parts.meter.ledger.offer(1);
    this.#throttle?.arrives(this.#parts.clock.nowMs());
    this.subscriptions.take(envelope);
    // Messages that a subscription holds back aren't due.
    if (this.subscriptions.anyPaced) this.keeper?.changed();
  }

  /** Takes a message that a subscription has released. */
  takeDue(envelope: Envelope, policy: Policy): void {
    const { clock, meter } = this.#parts;
    const unsent =
      this.#path.backlog === undefined
        ? envelope
        : this.#path.backlog.queue.push(envelope, policy, clock.nowMs());
    if (unsent === undefined) {
      this.keeper?.changed();
      if (this.#path.backlog?.isLagging === false) this.#path.requestDrain();
      return;
    }
    meter.ledger.drop("slow_consumer", 1);
    this.end("slow_consumer", unsent);
  }

  /** Ended subscriptions have handed over the messages that they held back. */
  handedOver(): void {
    this.keeper?.changed();
    this.#path.requestDrain();
  }

  /** Delivers what was published until now, which may be too much for the backlog and end the session. */
  flush(): void {
    this.#path.flush();
  }

  /** The oldest message that waits for the client. */
  get oldestWaiting(): Position | undefined {
    return earliest([this.#path.backlog?.queue.oldest, this.subscriptions.oldest]);
  }

  /** See {@linkcode DeliveryPath.takePending}. */
  takePending(): void {
    this.#path.takePending();
  }

  /** Sends a notice in its place among the messages. */
  note(frame: ServerFrame): void {
    this.flush();
    // Messages that are held back came before the gap, and no later value may supersede them.
    if (frame.type === "gap") {
      this.subscriptions.told(frame);
      this.subscriptions.open();
    }
    if (this.#path.backlog === undefined) this.tell(frame);
    else if (this.#dialect.sendsNotices) this.#path.backlog.queue.note(frame);
    if (this.#path.backlog?.isLagging === false) this.#path.requestDrain();
  }

  /** Notes a gap that came while a subscription caught up, unless the client was told it when it came. */
  noteMissed(gap: GapFrame, sub: string): void {
    this.audience.tellAnnounced();
    if (!this.subscriptions.wasTold(gap)) this.note({ ...gap, sub });
  }

  /** Sends notices at once, before all waiting messages: all of them or none. */
  tell(...frames: readonly ServerFrame[]): void {
    this.#tell(frames);
  }

  /**
   * Tells the client that a subscription is in effect, and what the client will not get of it.
   *
   * @param cursor the place where the client resumes if it loses its connection before its first message; `undefined`:
   * it starts as it did now.
   */
  tellSubscribed(subscribed: ServerFrame, gaps: readonly GapFrame[], cursor?: string): void {
    this.#tell([subscribed, ...gaps], cursor);
  }

  /** Records that the client was told of a gap, behind a message or behind all that it was sent. */
  recordGap(gap: GapFrame, behind?: Envelope): void {
    this.#parts.meter.gaps++;
    this.subscriptions.told(gap);
    this.acks?.memory.gapSent(gap, behind);
  }

  /** Sends unacknowledged messages again, before the waiting ones. */
  resend(envelopes: readonly Envelope[]): void {
    if (this.#writer === undefined) return;
    this.#path.sentAlone += envelopes.length;
    // If the socket takes nothing any more, they are not acknowledged either.
    this.#writer.write(this.#dialect.pack(envelopes));
  }

  /** The client has confirmed something that it was sent: what waits may be sent. */
  confirmed(): void {
    if (this.waits) this.#path.requestDrain();
  }

  /** The client has acknowledged something: waiting messages may be sent. */
  hasRoom(): void {
    if (this.#path.backlog?.isLagging === false) this.#path.requestDrain();
  }

  /** No page of a stream comes soon: the client may be live meanwhile. */
  waitsForPages(): void {
    this.#path.requestDrain();
  }

  /** The client says that it can't keep up: its rate is halved, and what is too much waits in the backlog. */
  slowDown(): void {
    const backlog = this.#path.needBacklog();
    const nowMs = this.#parts.clock.nowMs();
    this.#throttle ??= new Throttle(nowMs, backlog?.queue.messages ?? 0);
    this.#throttle.slowDown(nowMs);
  }

  /** The client says that it keeps up again. */
  speedUp(): void {
    if (this.#throttle === undefined) return;
    this.#throttle = undefined;
    this.#path.requestDrain();
  }

  /** Looks at what the socket has buffered and for how long, and ends, queues or drains the session. */
  checkLag(nowMs: number): void {
    const writer = this.#writer;
    if (this.isOver || writer === undefined) return;
    const backlog = this.#path.backlog;
    const { writeTimeoutMs } = this.#parts.limits;
    if (writer.stalledMs(nowMs) > writeTimeoutMs) this.end("write_timeout");
    else if (backlog?.queue.expire(nowMs) === false) this.end("slow_consumer");
    else if (backlog?.isLagging !== true && writer.isBehind(nowMs)) this.#fallBehind(writer);
    else this.drain();
  }

  /** Sends waiting messages, as many as the socket takes, and returns to the audience when none is left. */
  drain(): void {
    // A notice after it is a live member again would be told to the others.
    this.audience.tellAnnounced();
    if (this.#writer === undefined || this.#path.backlog?.drain(this) !== true || this.isOver)
      return;
    this.#drainWaiters?.release();
    if (this.#throttle?.isOver(this.#parts.clock.nowMs())) this.#throttle = undefined;
    if (this.#throttle !== undefined || this.subscriptions.anyPaced) return;
    // The next page goes at the pace that the client has shown.
    if (!this.subscriptions.anyReads) this.#path.rejoin();
  }

  /** Sends what came out of the backlog. @returns `false` if the socket takes nothing any more. */
  send(items: readonly QueueItem[], arrivedMs: number | undefined, isLast: boolean): boolean {
    const { frames, messages, bytes, gaps } = packItems(items, this.#dialect);
    this.#path.lastSent = messages.at(-1) ?? this.#path.lastSent;
    for (const { gap, behind } of gaps) this.recordGap(gap, behind);
    this.#throttle?.sends(messages.length);
    const writer = this.#writer as SocketWriter;
    const isTaken = writer.writeQueued(frames, this.#parts.clock.nowMs(), arrivedMs, isLast);
    if (this.#wrote(isTaken, messages, bytes)) return true;
    // The peer is closing: its socket takes nothing more, and says so before it is closed.
    this.#connection?.closed(1005);
    return false;
  }

  /**
   * Returns the place where the client resumes if its connection ends now; it leaves its audience.
   *
   * @param unsent the message for which there was no room.
   */
  leaveAt(unsent?: Envelope): Position | undefined {
    this.#path.leave();
    // No cursor is right for subscriptions that are at different places of a stream.
    if (this.subscriptions.areApart) return undefined;
    return this.#path.cursorBefore(unsent?.first, this.subscriptions.oldest);
  }

  /** Nothing could be sent for this time, which doesn't count for the age of waiting messages. */
  forgivePause(pausedMs: number, nowMs: number): void {
    this.#path.backlog?.queue.forgivePause(pausedMs, nowMs);
  }

  #tell(frames: readonly ServerFrame[], cursor?: string): void {
    const connection = this.#connection;
    if (connection === undefined || !this.#dialect.sendsNotices) return;
    // A client that asks without reading the answers must not fill the memory with them.
    if (this.#path.backlog?.isOverfull(this.bufferedBytes)) {
      this.end("slow_consumer");
      return;
    }
    connection.tell(frames, cursor);
    for (const frame of frames) if (frame.type === "gap") this.recordGap(frame);
  }

  /** Messages were written for the first time. @returns `false` if the socket takes nothing any more. */
  #wrote(isTaken: boolean, envelopes: readonly Envelope[], bytes: number): boolean {
    const { ledger } = this.#parts.meter;
    // If the client may resume, its messages count as sent, and are not acknowledged.
    if (!isTaken && this.id === undefined) {
      ledger.drop("abandoned", envelopes.length);
      return false;
    }
    this.#path.sentAlone += envelopes.length;
    this.acks?.memory.sent(envelopes);
    ledger.send(envelopes.length, bytes);
    return isTaken;
  }

  #backlogForMissed(count: number): Backlog | undefined {
    const backlog = this.#path.needBacklog();
    if (backlog === undefined) return undefined;
    this.#parts.meter.ledger.offer(count);
    if (count > 0) this.#throttle?.replays(this.#parts.clock.nowMs(), count);
    return backlog;
  }

  #queueMissed(backlog: Backlog, missed: readonly Envelope[], subscription: Subscription): void {
    const nowMs = this.#parts.clock.nowMs();
    for (const envelope of missed) {
      const { policy } = this.subscriptions.deciderOf(envelope, subscription);
      backlog.queue.replay(envelope, policy, nowMs);
    }
    this.#path.requestDrain();
  }

  #fallBehind(writer: SocketWriter): void {
    const backlog = this.#path.needBacklog();
    if (backlog === undefined) return;
    backlog.beginLag(writer.bufferedBytes);
    this.tell({ type: "slow", buffered_bytes: writer.unconfirmedBytes });
  }

  #dropForbidden(mayReceive: (subject: string) => boolean): void {
    this.subscriptions.dropForbidden(mayReceive);
    this.#path.backlog?.queue.dropForbidden(mayReceive);
    this.acks?.memory.dropForbidden(mayReceive);
  }

  /** Returns the key of the audience that wants the messages of these subscriptions. */
  #keyFor(subscriptions: Iterable<Subscription>): AudienceKey {
    let wantsEverything = false;
    const lists: (readonly string[])[] = [];
    for (const { subjects } of subscriptions) {
      if (subjects === "everything") wantsEverything = true;
      else lists.push(subjects);
    }
    return {
      dialect: this.#dialect,
      compresses: this.#connection?.compresses ?? false,
      acked: this.acks !== undefined,
      lists: wantsEverything ? "everything" : lists,
      denied: this.#grant.denied,
    };
  }
}

/** The steps that it takes to give a client another grant, and for each of its patterns. */
const REGRANT_STEPS = 16;
const STEPS_PER_PATTERN = 4;

/** Returns about how many steps it takes to give a client another grant. @param session what it has; `undefined`: nothing. */
export function regrantSteps(grant: Grant, session: Session | undefined): number {
  const patterns = grant.patterns.length + (session?.patterns.length ?? 0);
  return REGRANT_STEPS + STEPS_PER_PATTERN * patterns;
}

/** Returns a function that asks a grant once for each subject. */
function remembering(grant: Grant): (subject: string) => boolean {
  const answers = new Map<string, boolean>();
  return (subject) => {
    let answer = answers.get(subject);
    if (answer === undefined) {
      answer = grant.mayReceive(subject);
      answers.set(subject, answer);
    }
    return answer;
  };
}
