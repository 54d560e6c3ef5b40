import type { CloseCause } from "../../protocol/close-codes.ts";
import type { Policy } from "../../protocol/fields.ts";
import type { GapFrame, ServerFrame } from "../../protocol/server-frames.ts";
import type { DurableTitle } from "../acks/durable-tracker.ts";
import type { SessionAcks } from "../acks/session-acks.ts";
import type { Audience } from "../fanout/audience.ts";
import type { DropReason, LossReason } from "../metering/ledger.ts";
import type { Meter } from "../metering/meter.ts";
import type { ClientSocket } from "../ports/socket.ts";
import type { TextFrame } from "../ports/text-frame.ts";
import type { Dialect } from "../wire/dialect.ts";
import type { Envelope, Position } from "../wire/envelope.ts";
import { Membership } from "./membership.ts";
import { packItems } from "./pack-items.ts";
import { PrivateQueue, type QueueItem } from "./queue.ts";
import type { Session } from "./session.ts";
import type { ClientParts, ClientState } from "./session-parts.ts";
import { SocketWriter } from "./socket-writer.ts";
import type { Subscription } from "./subscription.ts";
import { Subscriptions } from "./subscriptions.ts";
import type { Throttle } from "./throttle.ts";

/** How messages come to a client: with its audience, or from a queue of its own when it does not keep up. */
export abstract class Flow {
  readonly socket: ClientSocket;
  readonly dialect: Dialect;
  state: ClientState = "live";
  readonly subscriptions: Subscriptions;
  /** What the client must acknowledge; only in at-least-once. */
  acks: SessionAcks | undefined;
  /** What a client names to come back to what is kept for it; without one nothing is. */
  id: string | undefined;

  protected readonly parts: ClientParts;
  protected readonly meter: Meter;
  protected readonly writer: SocketWriter;
  readonly #membership: Membership;
  /** How many messages were sent to it alone, each time counted. */
  protected handed = 0;
  /** What waits for it; most clients never have one. */
  protected queue: PrivateQueue | undefined;
  protected lagging = false;
  /** What the socket had buffered when it began to lag. */
  #laggedAtBytes = 0;
  /** Since it said that it is slow, until it has recovered. */
  protected throttle: Throttle | undefined;
  /** Called once when nothing waits any more, or the client is over. */
  #whenDrained: Set<() => void> | undefined;

  constructor(socket: ClientSocket, dialect: Dialect, audience: Audience, parts: ClientParts) {
    this.socket = socket;
    this.dialect = dialect;
    this.parts = parts;
    this.meter = parts.meter;
    this.writer = new SocketWriter(socket, parts.clock.nowMs());
    this.subscriptions = new Subscriptions(parts, {
      release: (envelope, policy) => this.#take(envelope, policy),
      handedOver: () => {
        if (this.state === "queued") this.parts.watcher.hungers(this.self());
      },
    });
    this.#membership = new Membership(this.self(), this.writer, audience);
    this.#membership.join();
  }

  /** The whole client, as all others know it. */
  protected abstract self(): Session;

  abstract tell(...frames: readonly ServerFrame[]): void;

  /** It is told of a gap, behind a message, or behind all that it was sent. */
  abstract recordGap(gap: GapFrame, behind?: Envelope): void;

  abstract end(cause: CloseCause, unsent?: Envelope): void;

  abstract closed(code: number): void;

  /** The durables that the client uses. */
  get durables(): readonly { readonly title: DurableTitle }[] {
    return this.acks?.durables ?? [];
  }

  get audience(): Audience {
    return this.#membership.audience;
  }

  /** How many messages it was sent, each time counted. */
  get sentMessages(): number {
    return this.handed + this.#membership.sentMessages;
  }

  get isOver(): boolean {
    return this.state === "closing" || this.state === "closed";
  }

  /** Whether it was handed everything that was meant for it. */
  get hasAll(): boolean {
    return !this.waits && this.subscriptions.bytes + (this.acks?.messages ?? 0) === 0;
  }

  /** Whether it has not got all that was due. */
  get waits(): boolean {
    return this.lagging || this.queue?.isEmpty === false;
  }

  /** Resolves when nothing waits for the client any more, when it is over, or when the signal is aborted. */
  whenDrained(signal: AbortSignal): Promise<void> {
    if (!this.waits || this.isOver || signal.aborted) return Promise.resolve();
    return new Promise((resolve) => {
      const done = (): void => {
        signal.removeEventListener("abort", done);
        this.#whenDrained?.delete(done);
        resolve();
      };
      signal.addEventListener("abort", done);
      this.#whenDrained ??= new Set();
      this.#whenDrained.add(done);
    });
  }

  /** Whether that waits for room in its socket, or for its time, and not for the client to acknowledge. */
  get isPressing(): boolean {
    return this.lagging || (this.waits && this.acks?.memory.roomMessages !== 0);
  }

  get queuedBytes(): number {
    return (this.queue?.bytes ?? 0) + this.subscriptions.bytes;
  }

  /** Takes a subscription into effect; from now on the client belongs to that audience. */
  add(subscription: Subscription, audience: Audience): void {
    this.subscriptions.add(subscription);
    // What was published before belongs before the answer.
    if (this.state === "live") this.audience.flush();
    this.moveTo(audience);
    if (this.subscriptions.anyPaced) this.needQueue();
  }

  remove(subscription: Subscription, audience: Audience): void {
    this.moveTo(audience);
    this.subscriptions.remove(subscription);
    if (this.state === "queued") this.parts.watcher.hungers(this.self());
  }

  /** Sends what the client has missed before anything that comes from now on, whatever the subscription's rate. */
  replay(missed: readonly Envelope[], subscription: Subscription): void {
    if (missed.length === 0) return;
    const queue = this.#queueForMissed(missed.length);
    if (queue !== undefined) this.#queueMissed(queue, missed, subscription);
  }

  /**
   * As {@linkcode replay}, at the subscription's rate.
   *
   * @param isLast whether it has missed nothing more.
   * @param most sends no more of what a rate has held back.
   * @returns how many it still holds back of what it has missed.
   */
  replayPaced(
    missed: readonly Envelope[],
    subscription: Subscription,
    isLast: boolean,
    most: number,
  ): number {
    if (missed.length === 0 && (!isLast || subscription.maxRate === undefined)) return 0;
    const queue = this.#queueForMissed(missed.length);
    if (queue === undefined) return 0;
    const { due, left } = this.subscriptions.paced(missed, subscription, isLast, most);
    this.#queueMissed(queue, due, subscription);
    return left;
  }

  /** Takes a message for later, because the client has a queue. */
  enqueue(envelope: Envelope): void {
    this.meter.ledger.offer(1);
    this.throttle?.arrives(this.parts.clock.nowMs());
    this.subscriptions.take(envelope);
  }

  /** Tells the client something in its place among the messages. */
  note(frame: ServerFrame): void {
    if (this.state === "live") this.audience.flush();
    // Messages that are held back came before the gap, and no later value may supersede them.
    if (frame.type === "gap") this.subscriptions.open();
    if (this.queue === undefined) this.tell(frame);
    else if (this.dialect.tells) this.queue.note(frame);
    if (this.state === "queued" && !this.lagging) this.parts.watcher.hungers(this.self());
  }

  /** Looks at what the socket has buffered, and moves the client to where it belongs. */
  checkLag(nowMs: number): void {
    if (this.isOver) return;
    const buffered = this.writer.bufferedBytes;
    const { writeTimeoutMs, highWaterBytes } = this.parts.limits;
    if (this.writer.stalledMs(nowMs) > writeTimeoutMs) this.end("write_timeout");
    else if (this.queue?.expire(nowMs) === false) this.end("slow_consumer");
    else if (!this.lagging && buffered > highWaterBytes) this.fallBehind(buffered);
    else if (this.state === "queued") this.feed();
  }

  /** From the queue to the socket, as much as it takes, and back to the audience when nothing is left. */
  feed(): void {
    const queue = this.queue;
    if (queue === undefined) return;
    const { lowWaterBytes, highWaterBytes } = this.parts.limits;
    while (!queue.isEmpty) {
      const buffered = this.writer.bufferedBytes;
      if (buffered > lowWaterBytes) return;
      const unacked = this.acks?.memory;
      const roomMessages = Math.min(
        unacked?.roomMessages ?? Number.POSITIVE_INFINITY,
        this.throttle?.allowance(this.parts.clock.nowMs()) ?? Number.POSITIVE_INFINITY,
      );
      const roomBytes = Math.min(highWaterBytes - buffered, unacked?.roomBytes ?? highWaterBytes);
      // Gaps and notices that stand before the next message need no room.
      const items = queue.take(roomBytes, roomMessages);
      if (items.length === 0 && !queue.isEmpty) return;
      if (!this.#send(items)) return;
    }
    if (this.lagging) {
      if (this.writer.bufferedBytes > lowWaterBytes) return;
      this.lagging = false;
      this.meter.clientsLagging--;
      this.tell({ type: "ok" });
    }
    this.#drained();
    if (this.throttle?.isOver(this.parts.clock.nowMs())) this.throttle = undefined;
    if (this.throttle !== undefined || this.subscriptions.anyPaced) return;
    if (this.state === "queued") this.#rejoin();
  }

  /** Whether it has been told so much without reading it that it must not be told more. */
  protected get isDeaf(): boolean {
    const mostBytes = this.#laggedAtBytes + this.parts.limits.highWaterBytes;
    return this.lagging && this.writer.bufferedBytes > mostBytes;
  }

  /** Out of the audience's topic, where it gets what its audience gets. */
  protected part(): void {
    if (this.state === "live") this.#membership.part();
  }

  /** Behind which position to go on, when it ends and one message found no room. */
  protected cursorBefore(unsent: Envelope | undefined): Position | undefined {
    this.part();
    if (this.subscriptions.areApart) return undefined;
    const waiting = [unsent?.first, this.queue?.oldest, this.subscriptions.oldest];
    return this.#membership.cursorBefore(...waiting);
  }

  /** Takes what is pending in its audience, for which in at-least-once it may need a queue, or be cut. */
  protected takePending(): void {
    if (this.state === "live" && this.acks !== undefined) this.audience.flush();
  }

  /** Out of everything, with what was queued counted as dropped, and what was not acknowledged as lost. */
  protected leave(drop: DropReason, loss: LossReason = "disconnected"): void {
    this.acks?.forget(loss);
    if (this.state === "live") this.#membership.part();
    this.audience.queued.delete(this.self());
    this.subscriptions.clear(drop);
    this.queue?.clear(drop);
    if (this.lagging) this.meter.clientsLagging--;
    if (this.queue !== undefined) this.parts.watcher.queues(this.self(), false);
    this.lagging = false;
    this.queue = undefined;
    this.#drained();
  }

  #queueForMissed(count: number): PrivateQueue | undefined {
    const queue = this.needQueue();
    if (queue === undefined) return undefined;
    this.meter.ledger.offer(count);
    if (count > 0) this.throttle?.waits(this.parts.clock.nowMs(), count);
    return queue;
  }

  #queueMissed(queue: PrivateQueue, missed: readonly Envelope[], subscription: Subscription): void {
    const nowMs = this.parts.clock.nowMs();
    for (const envelope of missed) {
      queue.replay(envelope, this.subscriptions.deciderOf(envelope, subscription).policy, nowMs);
    }
    this.parts.watcher.hungers(this.self());
  }

  #take(envelope: Envelope, policy: Policy): void {
    const { queue, parts } = this;
    const unsent =
      queue === undefined ? envelope : queue.push(envelope, policy, parts.clock.nowMs());
    if (unsent === undefined) {
      if (!this.lagging) parts.watcher.hungers(this.self());
      return;
    }
    this.meter.ledger.drop("slow_consumer", 1);
    this.end("slow_consumer", unsent);
  }

  /** Hands over what came out of the queue. @returns whether to go on. */
  #send(items: readonly QueueItem[]): boolean {
    const { frames, messages, bytes, gaps } = packItems(items, this.dialect);
    this.#membership.lastSent = messages.at(-1) ?? this.#membership.lastSent;
    for (const { gap, behind } of gaps) this.recordGap(gap, behind);
    this.throttle?.sends(messages.length);
    if (!this.hand(messages, frames, bytes)) {
      // The peer is closing: its socket takes nothing more, and says so before it is closed.
      this.closed(1005);
      return false;
    }
    return true;
  }

  /** @returns `false` when the socket takes nothing any more. */
  protected hand(
    envelopes: readonly Envelope[],
    frames: readonly TextFrame[],
    bytes: number,
  ): boolean {
    const isTaken = this.writer.write(frames);
    // What the client may come back for is sent, and not acknowledged.
    if (!isTaken && this.id === undefined) {
      this.meter.ledger.drop("abandoned", envelopes.length);
      return false;
    }
    this.handed += envelopes.length;
    this.acks?.memory.sent(envelopes);
    this.meter.ledger.send(envelopes.length, bytes);
    return isTaken;
  }

  protected fallBehind(bufferedBytes: number): void {
    if (this.needQueue() === undefined) return;
    this.lagging = true;
    this.#laggedAtBytes = bufferedBytes;
    this.meter.clientsLagging++;
    this.tell({ type: "slow", buffered_bytes: bufferedBytes });
  }

  /**
   * From the audience to a queue, after what was meant for the client there.
   *
   * @returns `undefined` when that was too much for the client.
   */
  protected needQueue(): PrivateQueue | undefined {
    this.takePending();
    if (this.queue !== undefined || this.isOver) return this.queue;
    this.queue = new PrivateQueue(this.parts.limits, this.meter.ledger);
    this.#membership.part();
    this.state = "queued";
    this.audience.queued.add(this.self());
    this.parts.watcher.queues(this.self(), true);
    return this.queue;
  }

  #drained(): void {
    const waiting = this.#whenDrained;
    this.#whenDrained = undefined;
    for (const resolve of waiting ?? []) resolve();
  }

  #rejoin(): void {
    this.queue = undefined;
    this.audience.queued.delete(this.self());
    this.state = "live";
    this.parts.watcher.queues(this.self(), false);
    this.#membership.join();
  }

  protected moveTo(audience: Audience): void {
    const before = this.audience;
    if (before === audience) return;
    this.takePending();
    if (this.isOver) return;
    this.#membership.moveTo(audience);
    this.parts.watcher.left(before);
  }
}
