import { CLOSE, type CloseCause } from "../../protocol/close-codes.ts";
import type { ServerFrame } from "../../protocol/server-frames.ts";
import type { Grant } from "../access/grant.ts";
import type { TokenCheck } from "../access/token-check.ts";
import type { DropReason, LossReason } from "../metering/ledger.ts";
import type { DisconnectReason, Meter } from "../metering/meter.ts";
import type { Clock } from "../ports/clock.ts";
import type { ClientInfo, DeniedRequest } from "../ports/observer.ts";
import { readPong } from "../ports/ping-frame.ts";
import type { ClientSocket } from "../ports/socket.ts";
import type { Dialect } from "../wire/dialect.ts";
import { endCursorAt } from "../wire/end-cursor.ts";
import type { Envelope, Position } from "../wire/envelope.ts";
import type { SubscriptionRequest } from "../wire/subscription-request.ts";
import type { ClientLag } from "./client-lags.ts";
import { ENDED_AS, ENDS_SESSION, farewell } from "./close-cause.ts";
import { FrameBudget, type FrameLimits } from "./frame-budget.ts";
import { Liveness, type LivenessLimits } from "./liveness.ts";
import type { Session, SessionConnection } from "./session.ts";
import { SocketWriter, type SocketWriterLimits } from "./socket-writer.ts";

/** The code of a close frame by which a client says that it is done (RFC 6455 §7.4.1). */
const CLOSED_FOR_GOOD = 1000;
/** The code of a connection that ended without a close frame (RFC 6455 §7.4.1); Deno says 0. */
const NO_CLOSE_FRAME = [1006, 0];

export interface ConnectionLimits extends LivenessLimits, FrameLimits, SocketWriterLimits {
  /** A peer that doesn't confirm a close for so long is dropped. */
  readonly writeTimeoutMs: number;
  /** A connection is ended about so long after its beginning. Default: never. */
  readonly maxConnectionAgeMs?: number | undefined;
}

/** The largest difference of a connection's greatest age from `maxConnectionAgeMs`, as a part of it. */
const AGE_SPREAD = 0.1;

/**
 * - `"open"`: the client is served.
 * - `"closing"`: the gateway has ended the connection, the peer has not yet confirmed.
 * - `"closed"`: the socket is closed or given up.
 */
export type ConnectionState = "open" | "closing" | "closed";

/** A client that connects. */
export interface ConnectingClient {
  /** Its identity, and everything that it may do. */
  readonly grant: Grant;
  readonly dialect: Dialect;
  /** Its subscription from the beginning on. */
  readonly request?: SubscriptionRequest | undefined;
  /** The name of the session that it resumes, or begins. */
  readonly session?: string | undefined;
  /** Checks the tokens that it sends later; `undefined`: it needs none. */
  readonly checkToken?: TokenCheck | undefined;
  /** Its address, which a proxy may have told. Default: the peer's. */
  readonly address?: string | undefined;
  /** The group under which its address is counted. Default: the address. */
  readonly addressGroup?: string | undefined;
}

/** Serves the connections of one account of NATS. */
export interface ConnectionBroadcaster {
  /** Takes in what the client sends. */
  readonly frames: {
    receive(connection: Connection, data: string | Uint8Array): void;
    /** The peer sent a ping, or a pong that confirms nothing. */
    alive(connection: Connection): void;
  };
  readonly sessions: {
    /** Keeps a session for its client to resume. @returns `false` if it can't be kept. */
    keep(session: Session): boolean;
    /** The client of a session has another grant. */
    regrant(session: Session, grant: Grant): void;
  };
  /** A connection is not open any more. */
  ended(connection: Connection): void;
}

/** The parts that all connections share. */
export interface ConnectionParts {
  readonly limits: ConnectionLimits;
  readonly meter: Meter;
  readonly clock: Clock;
  /** From 0 to 1. */
  readonly random: () => number;
  readonly registry: {
    /** Returns in how many milliseconds a client that is disconnected for this cause should reconnect. */
    retryAfterMs(cause: CloseCause): number;
    /** Called once, when a connection is not open any more. */
    ended(connection: Connection, reason: DisconnectReason): void;
    /** Called when the grant of a client doesn't allow its request. */
    denied(connection: Connection, request: DeniedRequest): void;
    /** Called once, when the socket is closed. */
    closed(connection: Connection): void;
  };
}

/** About how many steps of a turn it takes to end a connection. */
export const END_STEPS = 16;

/** One client's connection, from the upgrade until its socket is closed: who it is, whether it is alive, how it ends. */
export class Connection implements SessionConnection {
  /** The number of the connection since the start of the gateway: the log has it. */
  readonly number: number;
  readonly sinceMs: number;
  readonly socket: ClientSocket;
  /** The client's address, which a proxy may have told. */
  readonly address: string;
  /** The group under which its address is counted. */
  readonly addressGroup: string;
  /** The client's identity, and everything that it may do. */
  grant: Grant;
  /** Checks the tokens that the client sends; `undefined`: it needs none. */
  readonly checkToken: TokenCheck | undefined;
  /** The name of the session that the client resumes, or begins, when it has shown its token. */
  pendingSessionName: string | undefined;
  readonly dialect: Dialect;
  readonly writer: SocketWriter;
  /** Bounds what the client may send. */
  readonly budget: FrameBudget;
  malformedFrames = 0;
  state: ConnectionState = "open";
  /** The time at which the connection has lasted long enough. */
  readonly tooOldMs: number;
  /** When a connection that is closing is dropped without the peer's consent. */
  closingUntilMs = 0;
  /** The session that is attached. */
  session: Session | undefined;
  /** Serves the client. It changes once at most, when the client shows its first token. */
  broadcaster: ConnectionBroadcaster;
  readonly #parts: ConnectionParts;
  readonly #liveness: Liveness;

  constructor(
    number: number,
    socket: ClientSocket,
    client: ConnectingClient,
    broadcaster: ConnectionBroadcaster,
    parts: ConnectionParts,
  ) {
    const { limits, clock } = parts;
    const { grant, dialect, checkToken, address = socket.remoteAddress } = client;
    this.number = number;
    this.sinceMs = clock.nowMs();
    this.socket = socket;
    this.address = address;
    this.addressGroup = client.addressGroup ?? address;
    this.grant = grant;
    this.dialect = dialect;
    this.checkToken = checkToken;
    this.broadcaster = broadcaster;
    this.#parts = parts;
    this.writer = new SocketWriter(socket, limits, this.sinceMs);
    this.budget = new FrameBudget(limits, this.sinceMs);
    this.#liveness = new Liveness(this.writer, limits, this.sinceMs);
    this.tooOldMs = this.sinceMs + longestAgeMs(parts);
  }

  get compresses(): boolean {
    return this.socket.compresses;
  }

  get isOver(): boolean {
    return this.state !== "open";
  }

  /** Takes in a frame. Never throws, whatever is in it. */
  receive(data: string | Uint8Array): void {
    this.broadcaster.frames.receive(this, data);
  }

  /** Notes that the client's grant doesn't allow its request. */
  denied(request: DeniedRequest): void {
    this.#parts.registry.denied(this, request);
  }

  /** The peer sent a ping. */
  alive(): void {
    this.broadcaster.frames.alive(this);
  }

  /** The peer sent a pong. One that confirms a mark costs the client nothing. */
  pong(content: Uint8Array): void {
    if (this.isOver) return;
    const nowMs = this.heard();
    const number = readPong(content);
    const mark = number === undefined ? undefined : this.writer.confirm(number, nowMs);
    if (mark === undefined) {
      this.alive();
      return;
    }
    if (mark.arrivedMs !== undefined) {
      this.#parts.meter.deliverySeconds.add((nowMs - mark.arrivedMs) / 1000);
    }
    this.session?.confirmed();
  }

  /** The peer is alive: data, a ping or a pong came. @returns the time. */
  heard(): number {
    const nowMs = this.#parts.clock.nowMs();
    this.#liveness.heard(nowMs);
    return nowMs;
  }

  /** The lag of the client. */
  lag(nowMs: number): ClientLag {
    const unconfirmedMs = this.writer.unconfirmedMs(nowMs);
    const waitedMs = this.session?.waitedMs(nowMs) ?? 0;
    return {
      id: this.number,
      address: this.address,
      seconds: Math.max(unconfirmedMs, waitedMs) / 1000,
      bytes: this.writer.unconfirmedBytes + (this.session?.queuedBytes ?? 0),
    };
  }

  heardSince(ms: number): boolean {
    return this.#liveness.heardSince(ms, this.#parts.clock.nowMs());
  }

  /** Pings the peer if that is due, and ends the connection of a silent one. */
  checkLife(nowMs: number): void {
    if (!this.#liveness.check(nowMs)) this.end("no_pong");
  }

  /** The whole process stood still for so long: what the peer sent or took meanwhile is not seen yet. */
  forgivePause(pausedMs: number, nowMs: number): void {
    this.writer.forgivePause(pausedMs, nowMs);
    this.session?.forgivePause(pausedMs, nowMs);
    this.#liveness.forgivePause(pausedMs, nowMs);
    const latestMs = nowMs + this.#parts.limits.writeTimeoutMs;
    this.closingUntilMs = Math.min(latestMs, this.closingUntilMs + pausedMs);
  }

  tell(frames: readonly ServerFrame[], cursor?: string): void {
    if (this.isOver || !this.dialect.sendsNotices) return;
    this.writer.write(frames.map((frame) => this.dialect.notice(frame, cursor)));
  }

  /**
   * The gateway ends the connection.
   *
   * @param unsent the message for which there was no room.
   */
  end(cause: CloseCause, unsent?: Envelope): void {
    // The pending messages may be too much for the session, which then ends the connection.
    this.session?.takePending();
    if (!this.isOver) this.#close(cause, this.session?.leaveAt(unsent));
  }

  /** Ends the connection, because another one takes its session over, which is detached now. */
  yieldSession(): void {
    const { session } = this;
    const cursor = session?.leaveAt();
    session?.detach();
    this.#close("taken_over", cursor);
  }

  /**
   * The socket is closed, or given up.
   *
   * @param code the code of the peer's close frame.
   * @param cause set if the runtime itself ended the connection, and why.
   */
  closed(code: number, cause?: CloseCause): void {
    this.session?.takePending();
    const wasOpen = this.state === "open";
    if (this.state === "closed") return;
    this.state = "closed";
    if (wasOpen) {
      this.#leaveSession(code !== CLOSED_FOR_GOOD, "abandoned", "disconnected");
      const error = cause && ENDED_AS[cause]?.error;
      if (error) {
        this.#parts.meter.countError(error, `${this.address}: ${CLOSE[cause].reason}`);
      }
      const reason = cause ?? (NO_CLOSE_FRAME.includes(code) ? "vanished" : "client");
      this.#parts.registry.ended(this, reason);
    }
    this.#parts.registry.closed(this);
  }

  /** State first, calls out last: the socket may answer at once. */
  #close(cause: CloseCause, cursor: Position | undefined): void {
    const { limits, meter, clock, registry } = this.#parts;
    const { error, drop = "abandoned" } = ENDED_AS[cause] ?? {};
    const { code, reason } = CLOSE[cause];
    this.state = "closing";
    this.closingUntilMs = clock.nowMs() + limits.writeTimeoutMs;
    const loss = ENDS_SESSION[cause];
    const lost = loss ?? (cause === "going_away" ? "stopped" : "disconnected");
    this.#leaveSession(loss === undefined, drop, lost);
    if (error !== undefined) {
      meter.countError(error, `closed ${this.address} with ${code}: ${reason}`);
    }
    registry.ended(this, cause);
    // A client that has not read for so long will not read a last frame either.
    if (this.dialect.sendsNotices && cause !== "write_timeout") {
      const retryAfterMs = (): number => registry.retryAfterMs(cause);
      const frame = farewell(cause, cursor, retryAfterMs);
      this.writer.write([this.dialect.notice(frame, endCursorAt(cursor))]);
    }
    this.socket.close(code, reason);
    // A peer that floods costs nothing more; its close frame is not waited for.
    if (cause === "too_many_frames") this.socket.ignore?.();
    if (cause === "write_timeout") this.socket.terminate();
  }

  /** The session is kept for its client to resume, or is over. */
  #leaveSession(mayResume: boolean, drop: DropReason, loss: LossReason): void {
    const { session } = this;
    if (session === undefined || (mayResume && this.broadcaster.sessions.keep(session))) return;
    session.finish(drop, loss);
  }
}

/** Connections that began together don't end together. */
function longestAgeMs({ limits, random }: ConnectionParts): number {
  const { maxConnectionAgeMs: ageMs } = limits;
  if (ageMs === undefined) return Number.POSITIVE_INFINITY;
  return ageMs * (1 - AGE_SPREAD + 2 * AGE_SPREAD * random());
}

/** Returns what is told outside of the core about a connection. */
export function infoOf({ number, address, dialect, grant }: Connection): ClientInfo {
  const { principal, token, account } = grant.terms;
  const client = { id: number, address, dialect: dialect.name, ...principal, jti: token?.id };
  return account === undefined ? client : { ...client, account };
}
