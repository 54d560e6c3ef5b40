import { PLAIN, V1 } from "../../../src/core/wire/dialect.ts";
import type { ReceivedFrame } from "./fake-sockets.ts";
import type { Harness, TestClient } from "./harness.ts";

/** The settings that at-least-once delivery is checked against. */
export interface Terms {
  readonly ackTimeoutMs: number;
  readonly maxDeliver: number;
  readonly redeliveryBackoffMs: number;
  readonly maxInflightMessages: number;
  readonly maxQueueMessages: number;
  readonly sessionTtlMs: number;
  readonly policy: "disconnect" | "drop-oldest" | "drop-newest";
  /** 0: there are no marks, and the client answers pings even while it doesn't read. */
  readonly markIntervalMs: number;
}

/** How late or early an event may be. */
const SLACK_MS = 12;
/** The gateway rounds deadlines up to a multiple of this. */
const GRAIN_MS = 5;
/** A message is given up within this time after its client was heard again. */
const HEARD_MS = 200;

/** A message that was delivered at least once. */
interface Delivered {
  times: number;
  lastMs: number;
  nackedMs: number | undefined;
  settled: "acked" | "lost" | undefined;
}

/** Counts how often any client has left. */
let leavings = 0;

/** One session from its beginning to its end, as the client saw it. */
export class ModelSession {
  /** The messages that the client must get, and those that came at least once. */
  readonly due: number[] = [];
  readonly delivered = new Map<number, Delivered>();
  acked = 0;
  skipped = 0;
  /** All gaps that the client was sent. */
  readonly gaps = new Set<string>();
  /** How many messages were declared lost: because the client was slow, and because it did not acknowledge them. */
  declaredSlow = 0;
  declaredGivenUp = 0;
  /** How many messages had not come when the session ended. */
  leftOver = 0;
  #last = 0;

  get undelivered(): number {
    return this.due.length - this.delivered.size - this.skipped;
  }

  get inFlight(): [sequence: number, Delivered][] {
    return [...this.delivered].filter(([, { settled }]) => settled === undefined);
  }

  /** A message comes for the first time: earlier messages that have not come were left out. */
  first(sequence: number, nowMs: number): void {
    if (sequence <= this.#last) throw new Error(`${sequence} comes behind ${this.#last}`);
    this.skipped += this.due.filter((one) => one > this.#last && one < sequence).length;
    this.#last = sequence;
    const delivered = { times: 1, lastMs: nowMs, nackedMs: undefined, settled: undefined };
    this.delivered.set(sequence, delivered);
  }

  /** Ends the session: missing messages will not come any more. */
  end(): void {
    this.leftOver = this.undelivered;
    for (const [, delivered] of this.inFlight) delivered.settled = "lost";
  }
}

/**
 * A client that connects, acknowledges or not, disconnects and reconnects. Checks everything the gateway does
 * against the promises of at-least-once, and knows nothing of the implementation.
 */
export class AckModelClient {
  readonly sessions: ModelSession[] = [];
  /** The current session. */
  session: ModelSession | undefined;
  peer: TestClient | undefined;
  /** Since when the client has been connected and reading. */
  attentiveMs = 0;
  /** When something last changed that could let a message through. */
  #changedMs = 0;
  /** The order in which clients left. */
  left = 0;
  /** When the session expires, while the client is disconnected. */
  expiresMs: number | undefined;
  readonly #harness: Harness;
  readonly #terms: Terms;
  readonly dialect: "plain" | "v1";
  /** The id with which it resumes. */
  #sessionId: string | undefined;
  #origin = "";

  constructor(
    harness: Harness,
    terms: Terms,
    dialect: "plain" | "v1",
    sessionId: string | undefined,
  ) {
    this.#harness = harness;
    this.#terms = terms;
    this.dialect = dialect;
    this.#sessionId = sessionId;
  }

  get nowMs(): number {
    return this.#harness.clock.nowMs();
  }

  get isHere(): boolean {
    return this.peer !== undefined && !this.peer.connection.isOver;
  }

  get mayComeBack(): boolean {
    return this.dialect === "v1" || this.#sessionId !== undefined;
  }

  /** Connects, and resumes its session if it has one, even if its last connection is still open. */
  connect(): void {
    const { meter, clock } = this.#harness;
    if (!this.mayComeBack) this.vanish();
    const resumedBefore = meter.sessionsResumed;
    const before = this.peer;
    const wasHere = this.isHere;
    const request =
      this.dialect === "plain" ? ({ id: "", subjects: "everything" } as const) : undefined;
    const dialect = this.dialect === "plain" ? PLAIN : V1;
    const peer = this.#harness.joinWith(request, dialect, false, this.#sessionId);
    // The queue may have been full.
    const hadSession = this.session !== undefined;
    this.peer = peer;
    this.attentiveMs = clock.nowMs();
    this.expiresMs = undefined;
    const resumed = meter.sessionsResumed > resumedBefore;
    if (this.mayComeBack && resumed !== hadSession) {
      throw new Error(resumed ? "a session that was over was resumed" : "a session was lost");
    }
    if (wasHere && resumed && before?.socket.closedWith !== 4409) {
      throw new Error("the first connection stays");
    }
    // A session that cannot be resumed ends with its connection.
    if (!resumed) this.#begin(peer, hadSession);
    for (const said of peer.socket.frames) this.#hear(said);
    const { accept } = peer.socket;
    peer.socket.accept = (frames) => {
      accept.call(peer.socket, frames);
      for (const { text } of frames) {
        for (const line of text.split("\n")) this.#hear(JSON.parse(line) as ReceivedFrame);
      }
    };
    peer.socket.onClose = () => {
      peer.connection.closed(1005);
      if (this.peer === peer) this.#ended(peer.socket.closedWith);
    };
    if (this.dialect === "v1" && !resumed) {
      peer.send({ type: "subscribe", id: "1", subjects: [">"] });
    }
  }

  /** The connection breaks. */
  vanish(): void {
    if (!this.isHere) return;
    this.peer?.connection.closed(1006);
    this.#ended(undefined);
  }

  /** A message was published. */
  publishes(sequence: number): void {
    const { session } = this;
    if (session === undefined) return;
    session.due.push(sequence);
    this.#changedMs = this.nowMs;
    const { policy, maxQueueMessages } = this.#terms;
    const isFull = policy === "disconnect" && session.undelivered > maxQueueMessages;
    if (!this.isHere && isFull) this.over();
  }

  ack(choice: number, how: "id" | "ids" | "upto"): void {
    const { session, peer } = this;
    if (session === undefined || peer === undefined || !this.isHere) return;
    const all = [...session.delivered.keys()].sort((one, other) => one - other);
    const sequence = all[choice % all.length];
    if (sequence === undefined || session.inFlight.some(([, one]) => this.#isOnTheEdge(one)))
      return;
    const id = this.#id(sequence);
    this.#changedMs = this.nowMs;
    if (how === "upto") {
      for (const one of all) if (one <= sequence) this.#settle(session, one);
      peer.send({ type: "ack", upto: id });
    } else {
      this.#settle(session, sequence);
      peer.send(how === "id" ? { type: "ack", id } : { type: "ack", ids: [id, id, "x:1"] });
    }
  }

  nack(choice: number): void {
    const { session, peer } = this;
    if (session === undefined || peer === undefined || !this.isHere) return;
    const [sequence, delivered] =
      session.inFlight[choice % Math.max(1, session.inFlight.length)] ?? [];
    if (sequence === undefined || delivered === undefined) return;
    const overMs = this.nowMs - this.#failedMs(delivered);
    // A delivery that has timed out cannot be nacked; close to the deadline, either may be true.
    if ((overMs >= 0 && overMs <= SLACK_MS) || this.#isOnTheEdge(delivered)) return;
    this.#changedMs = this.nowMs;
    const isFirst = overMs < 0 && delivered.nackedMs === undefined;
    if (isFirst) delivered.nackedMs = this.nowMs;
    peer.send({ type: "nack", id: this.#id(sequence) });
    if (isFirst && delivered.times >= this.#terms.maxDeliver) this.#givenUp(delivered);
  }

  /** Reconnects if it has a session, and reads. */
  returns(): void {
    if (this.session !== undefined && !this.isHere) this.connect();
    this.reads();
  }

  /** Reads again, if it doesn't. */
  reads(): void {
    const { peer } = this;
    if (peer === undefined || peer.socket.reads) return;
    peer.socket.reads = true;
    peer.socket.buffered = 0;
    this.attentiveMs = Math.max(this.attentiveMs, this.nowMs);
  }

  /** Acknowledges everything until nothing more comes. */
  settle(): void {
    for (let round = 0; this.session !== undefined && round < 100; round++) {
      while (this.session?.inFlight.some(([, one]) => this.#isOnTheEdge(one)))
        this.#harness.clock.advance(20);
      for (const [sequence] of this.session?.inFlight ?? []) this.#ackNow(sequence);
      this.#harness.clock.advance(60);
      if (this.session?.inFlight.length === 0 && this.session.undelivered === 0) return;
      // Messages left out after the last one show only when the next one comes.
      if (this.session?.inFlight.length === 0 && this.peer?.session.queuedBytes === 0) return;
    }
    if (this.session !== undefined) throw new Error("it does not come to an end");
  }

  /** The session ends, with everything in it. */
  over(): void {
    this.session?.end();
    this.session = undefined;
    this.expiresMs = undefined;
  }

  /** Checks that everything that is due by now has happened. */
  check(): void {
    const { session, nowMs } = this;
    if (session === undefined) return;
    const { maxInflightMessages, ackTimeoutMs, policy } = this.#terms;
    const inFlight = session.inFlight.filter(([, delivered]) => !this.#mayBeGivenUp(delivered));
    if (inFlight.length > maxInflightMessages) throw new Error("too much is in flight");
    if (!this.isHere || this.peer?.socket.reads === false) return;
    const restedMs = nowMs - Math.max(this.attentiveMs, this.#changedMs);
    if (restedMs > 50 && session.inFlight.length < maxInflightMessages && session.undelivered > 0) {
      if (policy === "disconnect") throw new Error("it waits for what it could have");
    }
    for (const [sequence, { times, lastMs, nackedMs }] of session.inFlight) {
      const failedMs = nackedMs ?? lastMs + ackTimeoutMs;
      const byMs = Math.max(this.attentiveMs, failedMs) + this.#backoffMs(times) + 100 + SLACK_MS;
      if (nowMs > byMs && this.dialect === "v1") {
        throw new Error(`${sequence} was to come again by ${byMs}, and it is ${nowMs}`);
      }
    }
  }

  #begin(peer: TestClient, hadSession: boolean): void {
    if (hadSession) this.over();
    this.session = new ModelSession();
    this.sessions.push(this.session);
    const [welcome, next] = peer.socket.frames;
    if (welcome?.type !== "welcome") return;
    const wasLost = this.#sessionId !== undefined;
    if (wasLost && next?.reason !== "session_expired") throw new Error("lost in silence");
    this.#sessionId = String(welcome.session);
  }

  #ended(code: number | undefined): void {
    this.attentiveMs = Number.POSITIVE_INFINITY;
    if (this.session === undefined) return;
    if (code === 4510 || code === 1001 || !this.mayComeBack) {
      this.over();
      return;
    }
    this.left = ++leavings;
    const endMs = this.#harness.clock.nowMs() + this.#terms.sessionTtlMs;
    this.expiresMs = Math.ceil(endMs / GRAIN_MS) * GRAIN_MS;
  }

  #ackNow(sequence: number): void {
    if (this.session === undefined) return;
    this.#settle(this.session, sequence);
    this.peer?.send({ type: "ack", id: this.#id(sequence) });
  }

  #settle(session: ModelSession, sequence: number): void {
    const delivered = session.delivered.get(sequence);
    if (delivered === undefined || delivered.settled !== undefined) return;
    // A plain client is not told which messages were given up, so its acknowledgement has no effect.
    if (this.dialect === "plain" && this.#mayBeGivenUp(delivered)) {
      delivered.settled = "lost";
      return;
    }
    delivered.settled = "acked";
    session.acked++;
  }

  #mayBeGivenUp(delivered: Delivered): boolean {
    return delivered.times >= this.#terms.maxDeliver && this.nowMs >= this.#failedMs(delivered);
  }

  /** Whether the message may have been given up by now, or not. */
  #isOnTheEdge(delivered: Delivered): boolean {
    if (!this.#mayBeGivenUp(delivered)) return false;
    if (this.nowMs - this.#failedMs(delivered) <= SLACK_MS) return true;
    // A client that doesn't read answers no mark, and nothing is given up that it may not have received.
    const isUnheard = this.peer?.socket.reads === false;
    const isHeardAgain = this.nowMs - this.attentiveMs <= HEARD_MS;
    return this.#terms.markIntervalMs > 0 && (isUnheard || isHeardAgain);
  }

  #givenUp(delivered: Delivered): void {
    if (this.dialect === "plain") delivered.settled ??= "lost";
  }

  #hear(said: ReceivedFrame): void {
    const { session } = this;
    if (said.type === "gap" && session !== undefined) this.#hearGap(session, said);
    if (said.type !== "data") return;
    if (session === undefined) throw new Error("something comes behind the end");
    const [origin = "", digits] = String(said.id).split(":");
    this.#origin = origin;
    const sequence = Number(digits);
    if (!session.due.includes(sequence)) throw new Error(`${sequence} is not due`);
    const nowMs = this.#harness.clock.nowMs();
    const before = session.delivered.get(sequence);
    if (said.redelivery !== before?.times) {
      throw new Error(`${sequence} came ${before?.times} times, and says ${said.redelivery}`);
    }
    if (before === undefined) {
      session.first(sequence, nowMs);
      if (this.dialect === "v1" && session.skipped > session.declaredSlow) {
        throw new Error(`${session.skipped} are left out, and ${session.declaredSlow} declared`);
      }
      return;
    }
    if (before.settled !== undefined) throw new Error(`${sequence} comes though ${before.settled}`);
    // A client that has just reconnected gets its unacknowledged messages, however often they were sent.
    if (before.times >= this.#terms.maxDeliver && nowMs !== this.attentiveMs) {
      throw new Error(`${sequence} comes too often`);
    }
    this.#checkTooSoon(sequence, before, nowMs);
    before.times++;
    before.lastMs = nowMs;
    before.nackedMs = undefined;
  }

  #checkTooSoon(sequence: number, { times, lastMs, nackedMs }: Delivered, nowMs: number): void {
    const failedMs = nackedMs ?? lastMs + this.#terms.ackTimeoutMs;
    const soonestMs = failedMs + this.#backoffMs(times) / 2;
    // A client that has just reconnected gets them at once.
    if (nowMs < soonestMs - 1 && nowMs !== this.attentiveMs) {
      throw new Error(`${sequence} comes again at ${nowMs}, before ${soonestMs}`);
    }
  }

  #hearGap(session: ModelSession, { reason, from, to, count }: ReceivedFrame): void {
    // After a reconnect, gaps that the client may have missed are sent again.
    const known = `${reason} ${from} ${to}`;
    if (session.gaps.has(known)) return;
    session.gaps.add(known);
    if (reason === "slow") session.declaredSlow += Number(count);
    if (reason !== "max_deliver") return;
    const [first, last] = [from, to].map((id) => Number(String(id).split(":")[1]));
    const within = session.inFlight.filter(
      ([sequence, { times }]) =>
        sequence >= first! && sequence <= last! && times >= this.#terms.maxDeliver,
    );
    this.#changedMs = this.nowMs;
    if (within.length < Number(count)) throw new Error(`${count} are given up too soon`);
    session.declaredGivenUp += Number(count);
    // The messages whose deadline was first.
    within
      .sort(([, one], [, other]) => this.#failedMs(one) - this.#failedMs(other))
      .slice(0, Number(count))
      .forEach(([, delivered]) => {
        delivered.settled = "lost";
      });
  }

  #failedMs({ nackedMs, lastMs }: Delivered): number {
    return nackedMs ?? lastMs + this.#terms.ackTimeoutMs;
  }

  #backoffMs(times: number): number {
    return this.#terms.redeliveryBackoffMs * 2 ** (times - 1);
  }

  #id(sequence: number): string {
    return `${this.#origin}:${sequence}`;
  }
}
