import type { Config } from "../config/config.ts";
import { Grant } from "../core/access/grant.ts";
import { Meter } from "../core/metering/meter.ts";
import type { Cancel, Clock } from "../core/ports/clock.ts";
import type { Log } from "../core/ports/log.ts";
import { PingFrame } from "../core/ports/ping-frame.ts";
import type { ClientSocket, Fanout, FanoutResult, Frame } from "../core/ports/socket.ts";
import type { Connection } from "../core/sessions/connection.ts";
import { type Dialect, PLAIN, V1 } from "../core/wire/dialect.ts";
import { requestOf } from "../core/wire/subscription-request.ts";
import { TopicMembers } from "../runtime/topic-members.ts";
import { FrameBuilder } from "../runtime/websocket-frame-bytes.ts";
import type { Msg } from "../source/connect.ts";
import { MemorySource } from "../source/memory.ts";
import { NatsMessage } from "../source/nats-message.ts";
import { createAccounts } from "./create-accounts.ts";
import { LiveConfig } from "./live-config.ts";

/** Maximum duration of a warm-up. */
const MOST_MS = 100;
/** After so many messages, more make the next ones no faster. */
const MESSAGES = 10_000;
/** The process stands still for no longer than this at a time. */
const SLICE_MS = 5;
/** The simulated time between two messages. */
const STEP_MS = 1;
const PEERS: readonly Dialect[] = [PLAIN, PLAIN, PLAIN, PLAIN, V1, V1];
/** A client of v1 subscribes anew after so many messages. */
const MESSAGES_PER_SUBSCRIPTION = 100;

const SUBJECT = "warm.up";
const SUBSCRIBE = JSON.stringify({ type: "subscribe", id: "1", subjects: [SUBJECT] });
const UNSUBSCRIBE = JSON.stringify({ type: "unsubscribe", sub: "1" });
const SILENT: Log = { debug() {}, info() {}, warn() {}, error() {} };
/** As if it had come from NATS: JSON, as most messages are. */
const MESSAGE = {
  subject: SUBJECT,
  data: Buffer.from(`{"n":1234567,"at":"2026-01-01T00:00:00Z","d":"${"x".repeat(80)}"}`),
} as unknown as Msg;

/**
 * Sends messages through a core of its own, to clients that exist only here, so that the runtime has compiled that code
 * before the first real client connects. Opens nothing, and takes at most a tenth of a second.
 *
 * @param config the gateway's: what it doesn't use isn't warmed up.
 * @param clock the machine's.
 */
export async function warmUp(config: Config, clock: Clock): Promise<void> {
  const untilMs = clock.nowMs() + MOST_MS;
  const rehearsal = new Rehearsal(config);
  while (rehearsal.messages < MESSAGES && clock.nowMs() < untilMs) {
    const sliceUntilMs = clock.nowMs() + SLICE_MS;
    while (clock.nowMs() < sliceUntilMs) rehearsal.step();
    const { promise, resolve } = Promise.withResolvers<void>();
    clock.soon(resolve);
    await promise;
  }
}

/** A gateway's core between made-up messages and made-up clients. */
export class Rehearsal {
  /** Counts what its clients get. */
  readonly meter = new Meter();
  messages = 0;
  readonly #clock = new SteppedClock();
  readonly #deliver: (message: NatsMessage) => void;
  /** The clients of v1. */
  readonly #subscribers: Connection[] = [];

  constructor(config: Config) {
    const clock = this.#clock;
    const isAcked = config.deliveryMode === "at-least-once";
    const members = new TopicMembers<Peer>();
    const fanout = new PeerFanout(members);
    const own = {
      ...{ ...config, subjects: [SUBJECT], streams: [], accounts: [] },
      maxConnectionAgeMs: undefined,
    };
    const { clients, accounts } = createAccounts(new LiveConfig(own), {
      ...{ clock, log: SILENT, meter: this.meter },
      fanouts: { websocket: fanout, events: fanout },
      source: new MemorySource(),
      accountSources: new Map(),
      observer: undefined,
      presenceBucket: undefined,
      maxClients: () => PEERS.length,
      isRevoked: () => false,
      renewed: (grant) => grant,
      statusChanged() {},
    });
    const { defaultBroadcaster } = accounts;
    this.#deliver = (message) => defaultBroadcaster.message(message);
    clients.open();
    accounts.start();
    const grant = Grant.forEverybody(own.subjects, own);
    const request = requestOf("", { subjects: "everything" });
    for (const dialect of PEERS) {
      const peer = new Peer(members, clock, isAcked);
      const isV1 = dialect === V1;
      const connection = clients.accept(peer, {
        ...{ grant, dialect },
        request: isV1 ? undefined : request,
      });
      peer.connection = connection;
      if (!isV1) continue;
      connection.receive(SUBSCRIBE);
      this.#subscribers.push(connection);
    }
  }

  /** Sends one message, and lets the time of it pass. */
  step(): void {
    this.#deliver(new NatsMessage(SUBJECT, MESSAGE, () => {}));
    if (++this.messages % MESSAGES_PER_SUBSCRIPTION === 0) {
      for (const connection of this.#subscribers) {
        connection.receive(UNSUBSCRIBE);
        connection.receive(SUBSCRIBE);
      }
    }
    this.#clock.step();
  }
}

/** A clock whose time passes in steps. */
class SteppedClock implements Clock {
  #nowMs = 0;
  #timers: { readonly dueMs: number; readonly call: () => void }[] = [];

  wallMs(): number {
    return Date.now();
  }

  nowMs(): number {
    return this.#nowMs;
  }

  after(delayMs: number, call: () => void): Cancel {
    const timer = { dueMs: this.#nowMs + delayMs, call };
    this.#timers.push(timer);
    return () => {
      const index = this.#timers.indexOf(timer);
      if (index >= 0) this.#timers.splice(index, 1);
    };
  }

  soon(call: () => void): Cancel {
    return this.after(0, call);
  }

  /** Calls what is due, and moves on. */
  step(): void {
    const due = this.#timers.filter(({ dueMs }) => dueMs <= this.#nowMs);
    this.#timers = this.#timers.filter(({ dueMs }) => dueMs > this.#nowMs);
    for (const { call } of due) call();
    this.#nowMs += STEP_MS;
  }
}

/** A client that takes everything, and answers as it should. */
class Peer implements ClientSocket {
  readonly remoteAddress = "warm-up";
  readonly compresses = false;
  connection: Connection | undefined;
  readonly #members: TopicMembers<Peer>;
  readonly #clock: Clock;
  readonly #isAcked: boolean;

  constructor(members: TopicMembers<Peer>, clock: Clock, isAcked: boolean) {
    this.#members = members;
    this.#clock = clock;
    this.#isAcked = isAcked;
  }

  write(frames: readonly Frame[]): "sent" {
    for (const frame of frames) {
      if (frame instanceof PingFrame) this.ping(frame.text);
      else if (this.#isAcked) this.#clock.soon(() => this.#acknowledge(frame.text));
    }
    return "sent";
  }

  bufferedBytes(): number {
    return 0;
  }

  join(topic: string): void {
    this.#members.join(topic, this);
  }

  leave(topic: string): void {
    this.#members.leave(topic, this);
  }

  ping(content: string): void {
    this.#clock.soon(() => this.connection?.pong(Buffer.from(content)));
  }

  close(): void {}

  terminate(): void {}

  #acknowledge(lines: string): void {
    for (const line of lines.split("\n")) {
      const { type, id } = JSON.parse(line) as { type: string; id?: string };
      if (type === "data") this.connection?.receive(`{"type":"ack","id":"${id}"}`);
    }
  }
}

/** Builds the frames as for real sockets. */
class PeerFanout implements Fanout {
  readonly pings = true;
  readonly #members: TopicMembers<Peer>;
  readonly #builder = new FrameBuilder(0);

  constructor(members: TopicMembers<Peer>) {
    this.#members = members;
  }

  write(topic: string, frames: readonly Frame[], compress: boolean): FanoutResult {
    const { length } = this.#builder.build(frames, compress);
    for (const peer of this.#members.members(topic)) peer.write(frames);
    return { grownBytes: length, refused: 0 };
  }
}
