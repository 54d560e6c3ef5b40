import type { Audience } from "./audience.ts";
import type { ClientParts, ClientState } from "./client-watcher.ts";
import { ENDED_AS, farewell } from "./close-cause.ts";
import type { Dialect } from "./dialect.ts";
import type { Envelope, Position } from "./envelope.ts";
import { Liveness } from "./liveness.ts";
import { Membership } from "./membership.ts";
import type { DropReason, Meter } from "./meter.ts";
import { Outlet } from "./outlet.ts";
import { packItems } from "./pack-items.ts";
import type { Policy } from "./policy.ts";
import { PrivateQueue, type QueueItem } from "./queue.ts";
import type { ServerFrame } from "./server-frame.ts";
import { CLOSE, type ClientSocket, type CloseCause } from "./socket.ts";
import type { Subscription } from "./subscription.ts";
import { Subscriptions } from "./subscriptions.ts";
import type { TextFrame } from "./text-frame.ts";

/** One connection: what it gets, and its queue when it does not keep up. */
export class Client {
  readonly socket: ClientSocket;
  readonly dialect: Dialect;
  state: ClientState = "live";
  readonly subscriptions: Subscriptions;
  /** When a connection in state `"closing"` is dropped without the peer's consent. */
  closingUntilMs = 0;

  readonly #parts: ClientParts;
  readonly #meter: Meter;
  readonly #outlet: Outlet;
  readonly #liveness: Liveness;
  readonly #membership: Membership;
  /** What waits for it; most clients never have one. */
  #queue: PrivateQueue | undefined;
  #lagging = false;
  /** What the socket had buffered when it began to lag. */
  #laggedAtBytes = 0;

  constructor(socket: ClientSocket, dialect: Dialect, audience: Audience, parts: ClientParts) {
    this.socket = socket;
    this.dialect = dialect;
    this.#parts = parts;
    this.#meter = parts.meter;
    const nowMs = parts.clock.nowMs();
    this.#outlet = new Outlet(socket, nowMs);
    this.#liveness = new Liveness(socket, parts.limits, nowMs);
    const take = (envelope: Envelope, policy: Policy): void => this.#take(envelope, policy);
    this.subscriptions = new Subscriptions(parts, take);
    this.#membership = new Membership(this, this.#outlet, audience);
    this.#membership.join();
  }

  get audience(): Audience {
    return this.#membership.audience;
  }

  get isOver(): boolean {
    return this.state === "closing" || this.state === "closed";
  }

  /** Whether it was handed everything that was meant for it. */
  get hasAll(): boolean {
    return !this.waits && this.subscriptions.bytes === 0;
  }

  /** Whether something waits for room in its socket, so that it must be looked after. */
  get waits(): boolean {
    return this.#lagging || this.#queue?.isEmpty === false;
  }

  get queuedBytes(): number {
    return (this.#queue?.bytes ?? 0) + this.subscriptions.bytes;
  }

  /** Anything that came from the peer is a sign of life: data, a ping, a pong. */
  heard(): void {
    this.#liveness.heard(this.#parts.clock.nowMs());
  }

  /** Takes a subscription into effect; from now on the client belongs to that audience. */
  add(subscription: Subscription, audience: Audience): void {
    this.subscriptions.add(subscription);
    // What was published before belongs before the answer.
    if (this.state === "live") this.audience.flush();
    this.#moveTo(audience);
    if (this.subscriptions.anyPaced) this.#needQueue();
  }

  remove(subscription: Subscription, audience: Audience): void {
    this.#moveTo(audience);
    this.subscriptions.remove(subscription);
    if (this.state === "queued") this.#parts.watcher.hungers(this);
  }

  /** Sends what the client has missed before anything that comes from now on. */
  replay(missed: readonly Envelope[], subscription: Subscription): void {
    this.#meter.offered += missed.length;
    const due = this.subscriptions.paced(missed, subscription);
    this.#needQueue().replay(due, subscription.policy, this.#parts.clock.nowMs());
    this.#parts.watcher.hungers(this);
  }

  /** Takes a message for later, because the client has a queue. */
  enqueue(envelope: Envelope): void {
    this.#meter.offered++;
    this.subscriptions.take(envelope);
  }

  /** Tells the client something at once, before all that waits: all of it or nothing. */
  tell(...frames: readonly ServerFrame[]): void {
    if (this.isOver || !this.dialect.tells) return;
    // Whoever asks without reading the answers must not fill the memory with them.
    const mostBytes = this.#laggedAtBytes + this.#parts.limits.highWaterBytes;
    if (this.#lagging && this.#outlet.bufferedBytes > mostBytes) {
      this.end("slow_consumer");
      return;
    }
    this.#outlet.write(frames.map((frame) => this.dialect.notice(frame)));
    this.#meter.gaps += frames.filter(({ type }) => type === "gap").length;
  }

  /** Tells the client something in its place among the messages. */
  note(frame: ServerFrame): void {
    if (this.state === "live") this.audience.flush();
    if (this.#queue === undefined) this.tell(frame);
    else if (this.dialect.tells) this.#queue.note(frame);
    if (this.state === "queued" && !this.#lagging) this.#parts.watcher.hungers(this);
  }

  /** Sees to it that the client is alive: pings it when that is due, ends it when it is silent. */
  checkLife(nowMs: number): void {
    if (!this.#liveness.check(nowMs)) this.end("no_pong");
  }

  /** Looks at what the socket has buffered, and moves the client to where it belongs. */
  checkLag(nowMs: number): void {
    if (this.isOver) return;
    const buffered = this.#outlet.bufferedBytes;
    const { writeTimeoutMs, highWaterBytes } = this.#parts.limits;
    if (this.#outlet.stalledMs(nowMs) > writeTimeoutMs) this.end("write_timeout");
    else if (this.#queue?.expire(nowMs) === false) this.end("slow_consumer");
    else if (!this.#lagging && buffered > highWaterBytes) this.#fallBehind(buffered);
    else if (this.state === "queued") this.feed();
  }

  /** The whole process stood still for so long: what the peer sent or took meanwhile is not seen yet. */
  excuse(pausedMs: number, nowMs: number): void {
    this.#liveness.excuse(pausedMs, nowMs);
    this.#outlet.excuse(pausedMs, nowMs);
    this.#queue?.excuse(pausedMs, nowMs);
    const latestMs = nowMs + this.#parts.limits.writeTimeoutMs;
    this.closingUntilMs = Math.min(latestMs, this.closingUntilMs + pausedMs);
  }

  /** From the queue to the socket, as much as it takes, and back to the audience when nothing is left. */
  feed(): void {
    const queue = this.#queue;
    if (queue === undefined) return;
    const { lowWaterBytes, highWaterBytes } = this.#parts.limits;
    while (!queue.isEmpty) {
      const buffered = this.#outlet.bufferedBytes;
      if (buffered > lowWaterBytes) return;
      if (!this.#send(queue.take(highWaterBytes - buffered))) return;
    }
    if (this.#lagging) {
      if (this.#outlet.bufferedBytes > lowWaterBytes) return;
      this.#lagging = false;
      this.#meter.clientsLagging--;
      this.tell({ type: "ok" });
    }
    if (this.state === "queued" && !this.subscriptions.anyPaced) this.#rejoin();
  }

  /**
   * The server ends the connection. State first, calls out last: the socket may answer at once.
   *
   * @param unsent the message for which there was no room.
   */
  end(cause: CloseCause, unsent?: Envelope): void {
    if (this.isOver) return;
    const { error, drop } = ENDED_AS[cause] ?? {};
    const { code, reason } = CLOSE[cause];
    if (this.state === "live") this.#membership.part();
    const waiting = [unsent?.first, this.#queue?.oldest, this.subscriptions.oldest];
    const { areApart } = this.subscriptions;
    const cursor = areApart ? undefined : this.#membership.cursorBefore(...waiting);
    this.#leave(drop ?? "abandoned");
    this.state = "closing";
    this.closingUntilMs = this.#parts.clock.nowMs() + this.#parts.limits.writeTimeoutMs;
    if (error !== undefined) {
      this.#meter.countError(error, `closed ${this.socket.remoteAddress} with ${code}: ${reason}`);
    }
    this.#parts.watcher.ended(this, cause);
    this.#outlet.write(this.#lastWords(cause, cursor));
    this.socket.close(code, reason);
    // Whoever has not read for so long will not read a close frame either.
    if (cause === "write_timeout") this.socket.terminate();
  }

  /**
   * The socket is closed, or given up.
   *
   * @param code what the peer's close frame said, 1006 (or 0, on Deno) when there was none
   * (RFC 6455 §7.4.1).
   * @param cause set when the runtime itself ended the connection, and why.
   */
  closed(code: number, cause?: CloseCause): void {
    const before = this.state;
    if (before === "closed") return;
    if (before !== "closing") this.#leave("abandoned");
    this.state = "closed";
    if (before !== "closing") {
      const error = cause && ENDED_AS[cause]?.error;
      if (error)
        this.#meter.countError(error, `${this.socket.remoteAddress}: ${CLOSE[cause].reason}`);
      this.#parts.watcher.ended(
        this,
        cause ?? (code === 1006 || code === 0 ? "vanished" : "client"),
      );
    }
    this.#parts.watcher.gone(this);
  }

  #take(envelope: Envelope, policy: Policy): void {
    if (this.#queue?.push(envelope, policy, this.#parts.clock.nowMs())) {
      if (!this.#lagging) this.#parts.watcher.hungers(this);
      return;
    }
    this.#meter.dropped.slow_consumer++;
    this.end("slow_consumer", envelope);
  }

  /** Hands over what came out of the queue. @returns whether to go on. */
  #send(items: readonly QueueItem[]): boolean {
    const { frames, messages, bytes, gaps, last } = packItems(items, this.dialect);
    this.#membership.lastSent = last ?? this.#membership.lastSent;
    this.#meter.gaps += gaps;
    if (!this.#outlet.write(frames)) {
      // The peer is closing: its socket takes nothing more, and says so before it is closed.
      this.#meter.dropped.abandoned += messages;
      this.closed(1005);
      return false;
    }
    this.#meter.sent += messages;
    this.#meter.bytesSent += bytes;
    return true;
  }

  #fallBehind(bufferedBytes: number): void {
    this.#needQueue();
    this.#lagging = true;
    this.#laggedAtBytes = bufferedBytes;
    this.#meter.clientsLagging++;
    this.tell({ type: "slow", buffered_bytes: bufferedBytes });
  }

  /** From the audience to a queue, after what was meant for the client there. */
  #needQueue(): PrivateQueue {
    if (this.#queue !== undefined) return this.#queue;
    this.#queue = new PrivateQueue(this.#parts.limits, this.#meter);
    this.#membership.part();
    this.state = "queued";
    this.audience.queued.add(this);
    this.#parts.watcher.queues(this, true);
    return this.#queue;
  }

  #rejoin(): void {
    this.#queue = undefined;
    this.audience.queued.delete(this);
    this.state = "live";
    this.#parts.watcher.queues(this, false);
    this.#membership.join();
  }

  #moveTo(audience: Audience): void {
    const before = this.audience;
    if (before === audience) return;
    this.#membership.moveTo(audience);
    this.#parts.watcher.left(before);
  }

  /** Out of everything, with what was queued counted as dropped. */
  #leave(drop: DropReason): void {
    if (this.state === "live") this.#membership.part();
    this.audience.queued.delete(this);
    this.subscriptions.clear(drop);
    this.#queue?.clear(drop);
    if (this.#lagging) this.#meter.clientsLagging--;
    if (this.#queue !== undefined) this.#parts.watcher.queues(this, false);
    this.#lagging = false;
    this.#queue = undefined;
  }

  /** What a client that is told things is told before its connection is closed. */
  #lastWords(cause: CloseCause, cursor: Position | undefined): readonly TextFrame[] {
    if (!this.dialect.tells || cause === "write_timeout") return [];
    return [this.dialect.notice(farewell(cause, cursor))];
  }
}
