import type { Audience } from "../fanout/audience.ts";
import { firstMarkNumber, type Mark, type MarkOptions } from "../fanout/marks.ts";
import { PingFrame } from "../ports/ping-frame.ts";
import type { ClientSocket, Frame } from "../ports/socket.ts";
import { type Flight, SendWindow, type SendWindowLimits } from "./send-window.ts";

export interface SocketWriterLimits extends MarkOptions, SendWindowLimits {
  /** With no more bytes in flight than this, a client that has nothing waiting keeps up again; with more, it lags earlier. */
  readonly lowWaterBytes: number;
}

/** A mark that the writer keeps for its socket alone. */
interface OwnMark extends Mark {
  /** For the window; `undefined`: the mark was sent without one. */
  readonly flight?: Flight | undefined;
}

/**
 * Writes to one socket, and knows whether the peer takes what was written, also by the topic that it has joined.
 *
 * The kernel hides megabytes that a peer hasn't read. So marks stand among what is written: pings whose pongs confirm
 * everything before them. The marks of an audience are the same for all of its members; the writer adds its own to what
 * it writes to this socket alone. Bytes are counted from the beginning of the connection on.
 */
export class SocketWriter {
  readonly socket: ClientSocket;
  readonly #limits: SocketWriterLimits;
  /** The audience whose topic is joined. */
  #audience: Audience | undefined;
  /** `writtenBytes` of the audience when its topic was joined. */
  #joinedAtBytes = 0;
  /** By how much the buffer has grown since the connection began, without what came by the topic that is joined now. */
  #handedBytes = 0;
  /** The number of buffered bytes that the kernel had taken when that number last grew. */
  #takenBytes = 0;
  /** The last time that the kernel or the peer took something. */
  #takenAtMs: number;

  /** `sentBytes` of the audience when its topic was joined. */
  #sharedFromBytes = 0;
  /** Bytes that were written without what came by the topic that is joined now. */
  #aloneBytes = 0;
  /** The number of bytes that the peer has confirmed. */
  #confirmedBytes = 0;
  /** The number of the last mark of the audience that the peer has confirmed, or that was sent before it joined. */
  #confirmedMark = 0;
  /** The marks that the peer has not confirmed, without those of the audience; oldest first. */
  #marks: readonly OwnMark[] = NO_MARKS;
  #lastNumber = 0;
  /** The last time that a ping was sent to this socket alone. */
  #pingedAtMs: number;
  /** The shortest time from a mark to its pong. */
  #roundTripMs = Number.POSITIVE_INFINITY;
  /** Exists while something is sent from a backlog. */
  #window: SendWindow | undefined;
  /** For how long the process was late the last time, and until when pongs may wait to be read because of that. */
  #lateMs = 0;
  #excusedUntilMs = Number.NEGATIVE_INFINITY;

  constructor(socket: ClientSocket, limits: SocketWriterLimits, nowMs: number) {
    this.socket = socket;
    this.#limits = limits;
    this.#takenAtMs = nowMs;
    this.#pingedAtMs = nowMs;
  }

  /** The accepted bytes that the kernel does not have yet. */
  get bufferedBytes(): number {
    return this.socket.bufferedBytes();
  }

  /** Whether the peer confirms what it has taken. */
  get confirms(): boolean {
    const { ping, writeOnly } = this.socket;
    return ping !== undefined && writeOnly !== true && this.#limits.markIntervalMs > 0;
  }

  /** The bytes that were written and that the peer may not have taken. */
  get unconfirmedBytes(): number {
    if (!this.confirms) return this.bufferedBytes;
    return Math.max(0, this.#sentBytes - this.#confirmedBytes);
  }

  /** The age of the oldest mark that the peer has not confirmed; 0: it has confirmed all. */
  unconfirmedMs(nowMs: number): number {
    if (!this.confirms) return 0;
    const own = this.#marks[0]?.sentMs;
    const shared = this.#audience?.marks.next(this.#confirmedMark)?.sentMs;
    return nowMs - Math.min(own ?? nowMs, shared ?? nowMs);
  }

  /** Whether the peer is too far behind to get the same bytes as others. */
  isBehind(nowMs: number): boolean {
    const { highWaterBytes, lowWaterBytes, maxLagMs } = this.#limits;
    if (this.bufferedBytes > highWaterBytes) return true;
    const excusedMs = nowMs <= this.#excusedUntilMs ? this.#lateMs : 0;
    const unconfirmedMs = this.unconfirmedMs(nowMs) - excusedMs;
    if (unconfirmedMs > maxLagMs) return true;
    const roundTripMs = Number.isFinite(this.#roundTripMs) ? this.#roundTripMs : 0;
    if (unconfirmedMs <= maxLagMs * MUCH_LAG + roundTripMs) return false;
    return this.unconfirmedBytes > lowWaterBytes && this.#isBehindOthers;
  }

  /**
   * Whether half of the other members of the audience have confirmed what the peer has not. If not, all are late, and a
   * backlog for each of them would only make it worse.
   */
  get #isBehindOthers(): boolean {
    const audience = this.#audience;
    const mark = audience?.marks.next(this.#confirmedMark);
    return !audience || !mark || 2 * mark.confirmations >= audience.live.size - 1;
  }

  /** The number of bytes that may be sent from the backlog now, without those that the peer would see too late. */
  roomBytes(nowMs: number): number {
    if (!this.confirms) return Number.POSITIVE_INFINITY;
    // Without a mark, no pong would make room.
    const inFlight = this.#marks.length === 0 ? 0 : this.unconfirmedBytes;
    return this.#windowAt(nowMs).roomBytes(inFlight, nowMs);
  }

  /** The most bytes that are sent at once from the backlog. */
  stepBytes(nowMs: number): number {
    return this.confirms ? this.#windowAt(nowMs).stepBytes(nowMs) : Number.POSITIVE_INFINITY;
  }

  /** Whether messages had to wait for room in the last time. */
  wasFull(nowMs: number): boolean {
    return this.#window?.wasFull(nowMs) === true;
  }

  /** Whether the peer has taken nearly everything that was sent. */
  hasCaughtUp(nowMs: number): boolean {
    const { lowWaterBytes, maxLagMs } = this.#limits;
    if (this.bufferedBytes > lowWaterBytes) return false;
    if (!this.confirms || this.#marks.length === 0) return true;
    return this.unconfirmedBytes <= lowWaterBytes && this.unconfirmedMs(nowMs) <= maxLagMs;
  }

  /** From now on, the socket gets what is written to the audience's topic; not what was added before. */
  join(audience: Audience): void {
    audience.flush();
    this.#audience = audience;
    this.#window = undefined;
    this.#joinedAtBytes = audience.writtenBytes;
    this.#sharedFromBytes = audience.sentBytes;
    this.#confirmedMark = audience.marks.last;
    this.socket.join(audience.topic);
  }

  /** Ends `join`, after what was added to the audience until now. */
  leave(): void {
    const audience = this.#audience;
    if (audience === undefined) return;
    audience.flush();
    this.#handedBytes = this.#bufferTotal();
    this.#keepMarks(audience);
    this.#aloneBytes = this.#sentBytes;
    this.socket.leave(audience.topic);
    this.#audience = undefined;
  }

  /** @returns `false` if the socket takes nothing any more. */
  write(frames: readonly Frame[]): boolean {
    if (frames.length === 0) return true;
    if (!this.writeShared(frames)) return false;
    for (const { byteLength } of frames) this.#aloneBytes += byteLength;
    return true;
  }

  /** As `write`, of frames that the audience has counted as sent to all of its members. */
  writeShared(frames: readonly Frame[]): boolean {
    const before = this.bufferedBytes;
    if (this.socket.write(frames) === "refused") return false;
    this.#handedBytes += Math.max(0, this.bufferedBytes - before);
    return true;
  }

  /** The audience has counted so many bytes that this member doesn't get with the others. */
  skipShared(bytes: number): void {
    this.#sharedFromBytes += bytes;
  }

  /**
   * Writes messages from the backlog, with a mark behind them if one is due.
   *
   * @param arrivedMs when the oldest of them was queued.
   * @param isLast whether nothing is left in the backlog.
   */
  writeQueued(
    frames: readonly Frame[],
    nowMs: number,
    arrivedMs: number | undefined,
    isLast: boolean,
  ): boolean {
    if (frames.length === 0) return true;
    let bytes = this.#sentBytes;
    for (const { byteLength } of frames) bytes += byteLength;
    if (!this.confirms || !this.#isMarkDue(bytes, nowMs)) return this.write(frames);
    const isIdle = this.#marks.length === 0;
    const flight = this.#windowAt(nowMs).begin(bytes, isIdle, isLast, nowMs);
    return this.write([...frames, this.#addMark(bytes, nowMs, arrivedMs, flight)]);
  }

  /** Pings the peer, unless it was sent a ping since a time. */
  pingUnlessSince(sinceMs: number, nowMs: number): void {
    const sharedMs = this.#audience?.marks.lastMs ?? Number.NEGATIVE_INFINITY;
    if (Math.max(this.#pingedAtMs, sharedMs) > sinceMs) return;
    this.#pingedAtMs = nowMs;
    this.socket.ping?.(this.confirms ? this.#addMark(this.#sentBytes, nowMs).text : "");
  }

  /**
   * A pong came.
   *
   * @returns the mark that it confirms; `undefined`: it proves nothing.
   */
  confirm(number: number, nowMs: number): Mark | undefined {
    return this.#confirmOwn(number, nowMs) ?? this.#confirmShared(number, nowMs);
  }

  /**
   * Returns for how many milliseconds the kernel has taken nothing of what is buffered, and the peer has confirmed
   * nothing.
   */
  stalledMs(nowMs: number): number {
    const buffered = this.bufferedBytes;
    const taken = this.#bufferTotal() - buffered;
    if (buffered === 0 || taken > this.#takenBytes) {
      this.#takenBytes = taken;
      this.#takenAtMs = nowMs;
    }
    return nowMs - this.#takenAtMs;
  }

  /** See `Connection.forgivePause`. */
  forgivePause(pausedMs: number, nowMs: number): void {
    this.#takenAtMs = Math.min(nowMs, this.#takenAtMs + pausedMs);
    this.forgiveLateness(pausedMs, nowMs);
  }

  /** The process was late for so long. Until it has read the pongs that came meanwhile, that time counts against no client. */
  forgiveLateness(lateMs: number, nowMs: number): void {
    this.#lateMs = lateMs;
    this.#excusedUntilMs = nowMs + Math.min(lateMs, MOST_EXCUSED_MS);
  }

  #bufferTotal(): number {
    const joined =
      this.#audience === undefined ? 0 : this.#audience.writtenBytes - this.#joinedAtBytes;
    return this.#handedBytes + joined;
  }

  /** The bytes that were written since the connection began. */
  get #sentBytes(): number {
    const shared =
      this.#audience === undefined ? 0 : this.#audience.sentBytes - this.#sharedFromBytes;
    return this.#aloneBytes + shared;
  }

  #isMarkDue(bytes: number, nowMs: number): boolean {
    const { markBytes, markIntervalMs } = this.#limits;
    const lastBytes = this.#marks.at(-1)?.bytes ?? this.#confirmedBytes;
    const mostBytes = Math.min(markBytes, this.#windowAt(nowMs).stepBytes(nowMs));
    return bytes - lastBytes >= mostBytes || nowMs - this.#pingedAtMs >= markIntervalMs;
  }

  #addMark(bytes: number, nowMs: number, arrivedMs?: number, flight?: Flight): PingFrame {
    if (this.#lastNumber === 0) this.#lastNumber = firstMarkNumber();
    const number = ++this.#lastNumber;
    this.#pingedAtMs = nowMs;
    this.#marks = [...this.#marks, { number, bytes, sentMs: nowMs, arrivedMs, flight }];
    return new PingFrame(number);
  }

  #windowAt(nowMs: number): SendWindow {
    this.#window ??= new SendWindow(this.#limits, this.#confirmedBytes, this.#roundTripMs, nowMs);
    return this.#window;
  }

  /** Keeps the marks of an audience that the peer has not confirmed. */
  #keepMarks(audience: Audience): void {
    const shared = audience.marks.after(this.#confirmedMark);
    if (shared.length === 0) return;
    const fromBytes = this.#aloneBytes - this.#sharedFromBytes;
    const kept = shared.map((mark) => ({ ...mark, bytes: mark.bytes + fromBytes }));
    this.#marks = [...this.#marks, ...kept].sort(
      (one, other) => one.bytes - other.bytes || one.sentMs - other.sentMs,
    );
  }

  #confirmOwn(number: number, nowMs: number): Mark | undefined {
    const index = this.#marks.findIndex((mark) => mark.number === number);
    const mark = this.#marks[index];
    if (mark === undefined) return undefined;
    const left = this.#marks.slice(index + 1);
    this.#marks = left.length === 0 ? NO_MARKS : left;
    // Pongs of the audience's earlier marks may have been left out (RFC 6455 §5.5.3).
    const marks = this.#audience?.marks;
    const sharedBytes = mark.bytes - this.#aloneBytes + this.#sharedFromBytes;
    for (let next = marks?.next(this.#confirmedMark); next; next = marks?.next(next.number)) {
      if (next.bytes > sharedBytes) break;
      next.confirmations++;
      this.#confirmedMark = next.number;
    }
    return this.#confirmed(mark, mark.bytes, nowMs);
  }

  #confirmShared(number: number, nowMs: number): Mark | undefined {
    if (number <= this.#confirmedMark) return undefined;
    const marks = this.#audience?.marks;
    const mark = marks?.find(number);
    if (mark === undefined) return undefined;
    marks?.confirm(this.#confirmedMark, number);
    this.#confirmedMark = number;
    const bytes = mark.bytes + this.#aloneBytes - this.#sharedFromBytes;
    if (this.#marks.length > 0) this.#marks = this.#marks.filter((own) => own.bytes > bytes);
    return this.#confirmed(mark, bytes, nowMs);
  }

  #confirmed(mark: OwnMark, bytes: number, nowMs: number): Mark {
    this.#window?.confirmed(bytes, mark.sentMs, mark.flight, nowMs);
    this.#confirmedBytes = Math.max(this.#confirmedBytes, bytes);
    this.#takenAtMs = nowMs;
    this.#roundTripMs = Math.min(this.#roundTripMs, nowMs - mark.sentMs);
    return mark;
  }
}

/**
 * With more than `lowWaterBytes` in flight, a client that is behind others lags after this part of `maxLagMs` and a round
 * trip: nothing that is in flight can be taken back, and a slow client would see it for a long time.
 */
const MUCH_LAG = 0.125;
/** After a standstill, the pongs that came meanwhile are read within this time. */
const MOST_EXCUSED_MS = 1000;
const NO_MARKS: readonly Mark[] = [];
