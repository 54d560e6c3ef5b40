import { CLOSE, type CloseCause } from "../../protocol/close-codes.ts";
import type { GapFrame, ServerFrame } from "../../protocol/server-frames.ts";
import type { AckRecipient } from "../acks/ack-tracker.ts";
import type { SessionAcks } from "../acks/session-acks.ts";
import type { Audience } from "../fanout/audience.ts";
import type { LossReason } from "../metering/ledger.ts";
import type { ClientSocket } from "../ports/socket.ts";
import type { TextFrame } from "../ports/text-frame.ts";
import type { Dialect } from "../wire/dialect.ts";
import type { Envelope, Position } from "../wire/envelope.ts";
import { bytesOf, fittingInto } from "../wire/fitting.ts";
import { ENDED_AS, ENDS_SESSION, farewell } from "./close-cause.ts";
import type { Estate } from "./estate.ts";
import { Flow } from "./flow.ts";
import { Liveness } from "./liveness.ts";
import type { ClientParts } from "./session-parts.ts";
import { Throttle } from "./throttle.ts";

const CLOSED_FOR_GOOD = 1000;

/** One connection: what it is told and acknowledges, whether it is alive, and how it ends. */
export class Session extends Flow implements AckRecipient {
  /** When a connection in state `"closing"` is dropped without the peer's consent. */
  closingUntilMs = 0;
  /** The number of the connection, counted from the start; a session that waits has none of its own. */
  readonly number: number;
  readonly sinceMs: number;
  readonly #liveness: Liveness;

  constructor(socket: ClientSocket, dialect: Dialect, audience: Audience, parts: ClientParts) {
    super(socket, dialect, audience, parts);
    this.sinceMs = parts.clock.nowMs();
    this.number = parts.meter.clientsTotal + 1;
    this.#liveness = new Liveness(socket, parts.limits, this.sinceMs);
  }

  protected override self(): Session {
    return this;
  }

  /** Anything that came from the peer is a sign of life: data, a ping, a pong. @returns the time. */
  heard(): number {
    const nowMs = this.parts.clock.nowMs();
    this.#liveness.heard(nowMs);
    return nowMs;
  }

  /** Takes what its audience gets in at-least-once: at once where there is room for all, or into its queue. */
  deliver(envelopes: readonly Envelope[], frames: readonly TextFrame[], bytes: number): void {
    const { roomMessages, roomBytes } = (this.acks as SessionAcks).memory;
    this.meter.ledger.offer(envelopes.length);
    let fitting = envelopes.length;
    if (roomMessages >= fitting && roomBytes >= bytes) {
      this.hand(envelopes, frames, bytes);
    } else {
      fitting = fittingInto(roomMessages, roomBytes, envelopes);
      const first = envelopes.slice(0, fitting);
      if (fitting > 0) this.hand(first, this.dialect.pack(first), bytesOf(first));
      this.needQueue();
    }
    for (let at = fitting; at < envelopes.length; at++) {
      // The policy may end the connection on the way.
      if (this.isOver) this.meter.ledger.drop("slow_consumer", 1);
      else this.subscriptions.take(envelopes[at]!);
    }
    const buffered = this.writer.bufferedBytes;
    if (buffered <= this.parts.limits.highWaterBytes || this.isOver) return;
    this.fallBehind(buffered);
    // So that it is looked after from the next flush on.
    this.parts.watcher.hungers(this);
  }

  /** Whether its socket has room for what it was sent before, and the client wants it now. */
  get takes(): boolean {
    const mayTake = this.throttle?.allowance(this.parts.clock.nowMs()) !== 0;
    return mayTake && !this.lagging && this.writer.bufferedBytes <= this.parts.limits.lowWaterBytes;
  }

  heardSince(ms: number): boolean {
    return this.#liveness.heardSince(ms, this.parts.clock.nowMs());
  }

  /** Sends messages that were not acknowledged once more, before what waits. */
  resend(envelopes: readonly Envelope[]): void {
    this.handed += envelopes.length;
    // Where the socket takes nothing any more, they are not acknowledged either.
    this.writer.write(this.dialect.pack(envelopes));
  }

  /** Some of what it was sent is settled: what waits may go. */
  hasRoom(): void {
    if (this.state === "queued" && !this.lagging) this.parts.watcher.hungers(this);
  }

  /** The client says that it can't keep up: it gets half as much, and what is too much waits in its queue. */
  slowDown(): void {
    const queue = this.needQueue();
    const nowMs = this.parts.clock.nowMs();
    this.throttle ??= new Throttle(nowMs, queue?.messages ?? 0);
    this.throttle.complain(nowMs);
  }

  /** It does again. */
  speedUp(): void {
    if (this.throttle === undefined) return;
    this.throttle = undefined;
    this.parts.watcher.hungers(this);
  }

  /** Tells the client something at once, before all that waits: all of it or nothing. */
  override tell(...frames: readonly ServerFrame[]): void {
    this.#tell(frames);
  }

  /**
   * Tells the client that a subscription is in effect, and what of it will not come.
   *
   * @param cursor where a client goes on that loses its connection before its first message; `undefined`:
   * it begins anew as it did.
   */
  tellSubscribed(subscribed: ServerFrame, gaps: readonly GapFrame[], cursor?: string): void {
    this.#tell([subscribed, ...gaps], cursor);
  }

  #tell(frames: readonly ServerFrame[], cursor?: string): void {
    if (this.isOver || !this.dialect.tells) return;
    // Whoever asks without reading the answers must not fill the memory with them.
    if (this.isDeaf) {
      this.end("slow_consumer");
      return;
    }
    this.writer.write(frames.map((frame) => this.dialect.notice(frame, cursor)));
    for (const frame of frames) if (frame.type === "gap") this.recordGap(frame);
  }

  override recordGap(gap: GapFrame, behind?: Envelope): void {
    this.meter.gaps++;
    this.acks?.memory.gapSent(gap, behind);
  }

  /** Sees to it that the client is alive: pings it when that is due, ends it when it is silent. */
  checkLife(nowMs: number): void {
    if (!this.#liveness.check(nowMs)) this.end("no_pong");
  }

  /** The whole process stood still for so long: what the peer sent or took meanwhile is not seen yet. */
  forgivePause(pausedMs: number, nowMs: number): void {
    this.writer.forgivePause(pausedMs, nowMs);
    this.queue?.forgivePause(pausedMs, nowMs);
    this.#liveness.forgivePause(pausedMs, nowMs);
    const latestMs = nowMs + this.parts.limits.writeTimeoutMs;
    this.closingUntilMs = Math.min(latestMs, this.closingUntilMs + pausedMs);
  }

  /**
   * Gives all that is the client's own, but its connection, to another one of its session. What is
   * left is for `end` or `closed` to end.
   */
  handOver(): Estate {
    this.part();
    this.audience.queued.delete(this);
    this.subscriptions.abandon();
    const queue = this.queue;
    const subscriptions = [...this.subscriptions];
    const held = this.subscriptions.giveHeldBack();
    const { acks } = this;
    acks?.detach();
    const throttle = this.throttle;
    this.throttle = undefined;
    this.queue = undefined;
    this.acks = undefined;
    this.id = undefined;
    if (queue !== undefined) this.parts.watcher.queues(this, false);
    return { subscriptions, held, queue, acks, throttle };
  }

  /** Takes what another connection had; from now on the client belongs to that audience. */
  inherit({ subscriptions, held, queue, throttle }: Estate, audience: Audience): void {
    for (const subscription of subscriptions) this.subscriptions.add(subscription);
    this.moveTo(audience);
    this.needQueue();
    this.queue = queue ?? this.queue;
    this.throttle = throttle;
    this.subscriptions.takeHeldBack(held);
    this.parts.watcher.hungers(this);
  }

  /** What was kept for a client that did not come back is given up. */
  forsake(loss: LossReason): void {
    if (this.isOver) return;
    this.leave("session_lost", loss);
    this.state = "closed";
  }

  /**
   * The server ends the connection. State first, calls out last: the socket may answer at once.
   *
   * @param unsent the message for which there was no room.
   */
  override end(cause: CloseCause, unsent?: Envelope): void {
    this.takePending();
    if (this.isOver) return;
    const { error, drop } = ENDED_AS[cause] ?? {};
    const { code, reason } = CLOSE[cause];
    const cursor = this.cursorBefore(unsent);
    const loss = ENDS_SESSION[cause];
    if (loss === undefined && this.id !== undefined) this.parts.watcher.parks(this);
    this.leave(drop ?? "abandoned", loss ?? (cause === "going_away" ? "stopped" : "disconnected"));
    this.state = "closing";
    this.closingUntilMs = this.parts.clock.nowMs() + this.parts.limits.writeTimeoutMs;
    if (error !== undefined) {
      this.meter.countError(error, `closed ${this.socket.remoteAddress} with ${code}: ${reason}`);
    }
    this.parts.watcher.ended(this, cause);
    this.writer.write(this.#lastWords(cause, cursor));
    this.socket.close(code, reason);
    // A peer that floods costs nothing more; its close frame is not waited for.
    if (cause === "too_many_frames") this.socket.ignore?.();
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
  override closed(code: number, cause?: CloseCause): void {
    this.takePending();
    const before = this.state;
    if (before === "closed") return;
    if (before !== "closing") {
      // Who says that it is done does not come back (RFC 6455 §7.4.1).
      if (this.id !== undefined && code !== CLOSED_FOR_GOOD) this.parts.watcher.parks(this);
      this.leave("abandoned");
    }
    this.state = "closed";
    if (before !== "closing") {
      const error = cause && ENDED_AS[cause]?.error;
      if (error)
        this.meter.countError(error, `${this.socket.remoteAddress}: ${CLOSE[cause].reason}`);
      this.parts.watcher.ended(
        this,
        cause ?? (code === 1006 || code === 0 ? "vanished" : "client"),
      );
    }
    this.parts.watcher.gone(this);
  }

  /** What a client that is told things is told before its connection is closed. */
  #lastWords(cause: CloseCause, cursor: Position | undefined): readonly TextFrame[] {
    if (!this.dialect.tells || cause === "write_timeout") return [];
    const retryAfterMs = (): number => this.parts.watcher.retryAfterMs(cause);
    return [this.dialect.notice(farewell(cause, cursor, retryAfterMs))];
  }
}
