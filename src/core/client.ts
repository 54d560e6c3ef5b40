import type { Audience } from "./audience.ts";
import { isLongerThan, readClientFrame } from "./client-frame.ts";
import type { Clock } from "./clock.ts";
import type { Envelope } from "./envelope.ts";
import type { DisconnectReason, DropReason, ErrorKind, Meter } from "./meter.ts";
import { PrivateQueue } from "./queue.ts";
import { CLOSE, type ClientSocket, type CloseCause } from "./socket.ts";

/** The bounds that every client lives within. */
export interface ClientLimits {
  /** More unsent bytes than this, and a client leaves the fast path for a queue of its own. */
  readonly highWaterBytes: number;
  /** With no more than this it is fed from its queue, and comes back when that is empty. */
  readonly lowWaterBytes: number;
  /** The queue's bounds; past either the client is disconnected with 4510. */
  readonly maxQueueBytes: number;
  readonly maxQueueMessages: number;
  /** A client whose buffer does not move for so long is disconnected with 4511. */
  readonly writeTimeoutMs: number;
  /** How often a client is pinged. */
  readonly pingIntervalMs: number;
  /** A client of whom nothing was heard for so long, pongs included, is disconnected with 4513. */
  readonly readTimeoutMs: number;
  /** A longer frame from a client closes its connection with 1009. */
  readonly maxFrameBytes: number;
  /** So many malformed frames are ignored; the next one closes the connection with 4400. */
  readonly maxMalformedFrames: number;
}

/**
 * How a client stands.
 *
 * - `"live"`: it keeps up, and gets what its audience gets.
 * - `"lagging"`: it does not, and is fed from its own queue.
 * - `"closing"`: the server has ended the connection, the peer has not yet confirmed.
 * - `"closed"`: over.
 */
export type ClientState = "live" | "lagging" | "closing" | "closed";

/** What a client that ends, by whoever's will, is counted as. */
const ENDED_AS: Partial<Record<CloseCause, { error: ErrorKind; drop?: DropReason }>> = {
  frame_too_big: { error: "frame_too_big" },
  malformed: { error: "malformed_frame" },
  slow_consumer: { error: "slow_consumer", drop: "slow_consumer" },
  write_timeout: { error: "write_timeout", drop: "write_timeout" },
  no_pong: { error: "no_pong" },
  overloaded: { error: "overloaded" },
};

/** Whom a client tells of its end. */
export interface ClientWatcher {
  /** The client went over to a queue of its own, or came back. */
  lags(client: Client, lagging: boolean): void;
  /** The connection is over, by the server's will or the peer's: called once, first. */
  ended(client: Client, reason: DisconnectReason): void;
  /** The socket is closed: called once, last. */
  gone(client: Client): void;
}

/** One connection: its state, its queue when it lags, and whether it is alive. */
export class Client {
  readonly socket: ClientSocket;
  readonly audience: Audience;
  state: ClientState = "live";
  /** When a connection in state `"closing"` is dropped without the peer's consent. */
  closingUntilMs = 0;

  readonly #limits: ClientLimits;
  readonly #meter: Meter;
  readonly #clock: Clock;
  readonly #watcher: ClientWatcher;
  /** What waits while the client lags; most clients never do. */
  #queue: PrivateQueue | undefined;
  #lastHeardMs: number;
  #lastPingMs: number;
  #malformedFrames = 0;

  /** `audience.writtenBytes` when this client joined the topic. */
  #joinedAtBytes: number;
  /** Bytes handed to the socket since the connection began, but for those since it last joined. */
  #handedBytes = 0;
  /** Of the bytes handed over, those that the kernel had taken when last seen to move. */
  #takenBytes = 0;
  #takenAtMs: number;

  constructor(
    socket: ClientSocket,
    audience: Audience,
    limits: ClientLimits,
    meter: Meter,
    clock: Clock,
    watcher: ClientWatcher,
  ) {
    this.socket = socket;
    this.audience = audience;
    this.#limits = limits;
    this.#meter = meter;
    this.#clock = clock;
    this.#watcher = watcher;
    const nowMs = clock.nowMs();
    this.#lastHeardMs = nowMs;
    this.#lastPingMs = nowMs;
    this.#takenAtMs = nowMs;
    // What was published before this client came is not meant for it.
    audience.flush();
    this.#joinedAtBytes = audience.writtenBytes;
    audience.live.add(this);
    socket.join(audience.topic);
  }

  /** Anything that came from the peer is a sign of life: data, a ping, a pong. */
  heard(): void {
    this.#lastHeardMs = this.#clock.nowMs();
  }

  /** Takes in what the client sent. In at-most-once its answers are counted, and change nothing. */
  receive(data: string | Uint8Array): void {
    if (this.state === "closing" || this.state === "closed") return;
    this.heard();
    if (isLongerThan(data, this.#limits.maxFrameBytes)) {
      this.end("frame_too_big");
      return;
    }
    const frame = readClientFrame(data);
    if (frame !== undefined) {
      this.#meter.clientFrames[frame.type]++;
      return;
    }
    this.#malformedFrames++;
    if (this.#malformedFrames > this.#limits.maxMalformedFrames) this.end("malformed");
    else this.#meter.countError("malformed_frame", "a client sent a malformed frame");
  }

  /** Takes a message for later, because the client lags. */
  enqueue(envelope: Envelope): void {
    this.#meter.offered++;
    if (this.#queue?.push(envelope)) {
      this.#meter.queued++;
      this.#meter.queuedBytes += envelope.byteLength;
    } else {
      this.#meter.dropped.slow_consumer++;
      this.end("slow_consumer");
    }
  }

  /** Sees to it that the client is alive: pings it when that is due, ends it when it is silent. */
  checkLife(nowMs: number): void {
    // Without a ping of ours nobody owes us a pong: there the runtime ends dead connections.
    if (this.socket.ping === undefined) return;
    if (nowMs - this.#lastHeardMs > this.#limits.readTimeoutMs) {
      this.end("no_pong");
    } else if (nowMs - this.#lastPingMs >= this.#limits.pingIntervalMs) {
      this.#lastPingMs = nowMs;
      this.socket.ping();
    }
  }

  /** Looks at what the socket has buffered, and moves the client to where it belongs. */
  checkLag(nowMs: number): void {
    const buffered = this.socket.bufferedBytes();
    const taken = this.#totalHandedBytes() - buffered;
    if (buffered === 0 || taken > this.#takenBytes) {
      this.#takenBytes = taken;
      this.#takenAtMs = nowMs;
    } else if (nowMs - this.#takenAtMs > this.#limits.writeTimeoutMs) {
      this.end("write_timeout");
      return;
    }
    if (this.state === "live" && buffered > this.#limits.highWaterBytes) this.#leaveAudience();
    else if (this.state === "lagging" && buffered <= this.#limits.lowWaterBytes) this.#feed();
  }

  /** The whole process stood still for so long: what the peer sent meanwhile is still unread. */
  excuse(pausedMs: number): void {
    this.#lastHeardMs += pausedMs;
    this.#takenAtMs += pausedMs;
  }

  /** The server ends the connection. State first, calls out last: the socket may answer at once. */
  end(cause: CloseCause): void {
    if (this.state === "closing" || this.state === "closed") return;
    const { error, drop } = ENDED_AS[cause] ?? {};
    // What was meant for the client goes out before the close frame does.
    if (this.state === "live") this.audience.flush();
    this.#leave(drop ?? "abandoned");
    this.state = "closing";
    this.closingUntilMs = this.#clock.nowMs() + this.#limits.writeTimeoutMs;
    const { code, reason } = CLOSE[cause];
    if (error !== undefined) {
      this.#meter.countError(error, `closed ${this.socket.remoteAddress} with ${code}: ${reason}`);
    }
    this.#watcher.ended(this, cause);
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
      this.#watcher.ended(this, cause ?? (code === 1006 || code === 0 ? "vanished" : "client"));
    }
    this.#watcher.gone(this);
  }

  #totalHandedBytes(): number {
    const joined = this.state === "live" ? this.audience.writtenBytes - this.#joinedAtBytes : 0;
    return this.#handedBytes + joined;
  }

  /** From the fast path to the queue, after what was meant for it there. */
  #leaveAudience(): void {
    this.audience.flush();
    this.#handedBytes = this.#totalHandedBytes();
    this.state = "lagging";
    this.#queue = new PrivateQueue({
      maxBytes: this.#limits.maxQueueBytes,
      maxMessages: this.#limits.maxQueueMessages,
    });
    this.audience.live.delete(this);
    this.audience.lagging.add(this);
    this.#meter.clientsLagging++;
    this.#watcher.lags(this, true);
    this.socket.leave(this.audience.topic);
  }

  /** From the queue to the socket, and back to the fast path when nothing is left. */
  #feed(): void {
    const queue = this.#queue;
    while (queue !== undefined && queue.length > 0) {
      const buffered = this.socket.bufferedBytes();
      if (buffered > this.#limits.lowWaterBytes) return;
      const bytesBefore = queue.bytes;
      const envelopes = queue.take(this.#limits.highWaterBytes - buffered);
      const bytes = bytesBefore - queue.bytes;
      this.#meter.queued -= envelopes.length;
      this.#meter.queuedBytes -= bytes;
      if (this.socket.write(envelopes) === "refused") {
        // The peer is closing: its socket takes nothing more, and says so before it is closed.
        this.#meter.dropped.abandoned += envelopes.length;
        this.closed(1005);
        return;
      }
      this.#meter.sent += envelopes.length;
      this.#meter.bytesSent += bytes;
      this.#handedBytes += Math.max(0, this.socket.bufferedBytes() - buffered);
      // The socket may have closed while it was written to.
      if (this.state !== "lagging") return;
    }
    this.#rejoin();
  }

  #rejoin(): void {
    this.audience.flush();
    this.#joinedAtBytes = this.audience.writtenBytes;
    this.state = "live";
    this.#noLongerLags();
    this.audience.live.add(this);
    this.socket.join(this.audience.topic);
  }

  /** Out of the audience, with what was queued counted as dropped. */
  #leave(drop: DropReason): void {
    if (this.state === "live") {
      this.audience.live.delete(this);
      this.socket.leave(this.audience.topic);
      return;
    }
    const { length = 0, bytes = 0 } = this.#queue ?? {};
    this.#meter.queued -= length;
    this.#meter.queuedBytes -= bytes;
    this.#meter.dropped[drop] += length;
    this.#noLongerLags();
  }

  #noLongerLags(): void {
    this.#queue = undefined;
    this.audience.lagging.delete(this);
    this.#meter.clientsLagging--;
    this.#watcher.lags(this, false);
  }
}
