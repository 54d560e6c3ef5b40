import { expect } from "bun:test";
import { Grant, type GrantOptions } from "../../../src/core/access/grant.ts";
import type { TokenCheck } from "../../../src/core/access/token-check.ts";
import { Broadcaster } from "../../../src/core/broadcaster.ts";
import type { BroadcasterOptions } from "../../../src/core/broadcaster-options.ts";
import { Clients, type ClientsOptions } from "../../../src/core/clients.ts";
import type { Log } from "../../../src/core/ports/log.ts";
import type { PresenceBucket } from "../../../src/core/ports/presence.ts";
import type {
  ClientPublisher,
  Durables,
  SourceMessage,
  StreamHistory,
} from "../../../src/core/ports/source.ts";
import type { Tracer } from "../../../src/core/ports/tracer.ts";
import type { Connection } from "../../../src/core/sessions/connection.ts";
import type { Session } from "../../../src/core/sessions/session.ts";
import { carries, carriesAll } from "../../../src/core/subject/subject.ts";
import { type Dialect, PLAIN, V1 } from "../../../src/core/wire/dialect.ts";
import type { SubscriptionRequest } from "../../../src/core/wire/subscription-request.ts";
import { CountingEncoder } from "./counting-encoder.ts";
import { CountingMeter } from "./counting-meter.ts";
import { FakeFanout, FakeSocket, type ReceivedFrame } from "./fake-sockets.ts";
import { ManualClock } from "./manual-clock.ts";

/** The options of a broadcaster, of its clients, and of their grant. */
export type HarnessOptions = BroadcasterOptions &
  ClientsOptions &
  GrantOptions & { readonly subjects: readonly string[] };

/** The options of a harness. */
export const OPTIONS: HarnessOptions = {
  maxClients: 1000,
  flushIntervalMs: 1,
  highWaterBytes: 1000,
  lowWaterBytes: 200,
  markBytes: 300,
  // Without marks, only what is buffered counts.
  markIntervalMs: 0,
  maxLagMs: 2000,
  targetLagMs: 250,
  maxQueueBytes: 4000,
  maxQueueMessages: 100,
  writeTimeoutMs: 5000,
  pingIntervalMs: 30_000,
  readTimeoutMs: 60_000,
  maxFrameBytes: 1024,
  maxMalformedFrames: 2,
  maxFramesPerSecond: 1000,
  authTimeoutMs: 5000,
  maxQueueAgeMs: 60_000,
  maxTotalQueueBytes: 1_000_000,
  subjects: [">"],
  demanded: [">"],
  streams: [],
  startFrom: "new",
  maxReplayMessages: 1_000_000,
  maxReplayBytes: 1_000_000,
  maxReplayAgeMs: undefined,
  policy: "disconnect",
  allowedPolicies: ["disconnect", "drop-oldest", "drop-newest", "conflate"],
  maxSubscriptions: 8,
  upstream: "demand",
  upstreamLingerMs: 0,
  maxLingering: 1000,
  maxPatterns: 1000,
  maxPatternBytes: 100_000,
  maxUpstreamPatterns: 10_000,
  maxTotalPatternBytes: 10_000_000,
  maxLingeringBytes: 100_000,
  ringMessages: 0,
  ringBytes: 0,
  deliveryMode: "at-most-once",
  ackTimeoutMs: 5000,
  maxDeliver: 3,
  redeliveryBackoffMs: 1000,
  maxInflightMessages: 100,
  maxInflightBytes: 100_000,
  sessionTtlMs: 60_000,
  maxSessions: 100,
  maxSessionBytes: 1_000_000,
  maxPublishBytes: 500,
  maxPublishesPerSecond: 1000,
  maxRequestTimeoutMs: 10_000,
  publisherHeader: false,
  headers: [],
  presenceTtlMs: 30_000,
  presenceGraceMs: 10_000,
  presenceIntervalMs: 1000,
  maxPresenceWatches: 4,
  maxPresenceEntries: 100_000,
};

/** A source that confirms a subscription at once while it is connected, or when the test says so. */
export class FakeSource {
  /** The patterns that it is subscribed to, connected or not. */
  readonly patterns = new Set<string>();
  /** The patterns whose messages arrive. */
  readonly confirmed = new Set<string>();
  /** How often it was called. */
  calls = 0;
  confirms = true;
  connected = true;
  /** The messages that its streams have kept; `undefined` if it has no streams. */
  readonly history: StreamHistory | undefined;
  readonly durables: Durables | undefined;
  arrives: (pattern: string) => void = () => {};
  refused: (pattern: string, reason: string) => void = () => {};

  constructor(history?: StreamHistory, durables?: Durables) {
    this.history = history;
    this.durables = durables;
  }

  subscribe(pattern: string): void {
    if (this.patterns.has(pattern)) throw new Error(`${pattern} is subscribed to already`);
    this.calls++;
    this.patterns.add(pattern);
    if (this.confirms && this.connected) this.confirm(pattern);
  }

  unsubscribe(pattern: string): void {
    this.calls++;
    if (!this.patterns.delete(pattern)) throw new Error(`${pattern} is not subscribed to`);
    this.confirmed.delete(pattern);
  }

  confirm(pattern: string): void {
    this.confirmed.add(pattern);
    this.arrives(pattern);
  }

  /** Stops sending a pattern's messages until it is confirmed again. */
  refuse(pattern: string): void {
    this.confirmed.delete(pattern);
    this.refused(pattern, "no permission");
  }

  /** Confirms all patterns that are not confirmed. */
  confirmAll(): void {
    for (const pattern of this.patterns) if (!this.confirmed.has(pattern)) this.confirm(pattern);
  }

  /**
   * Whether all messages of a pattern arrive.
   *
   * @param counts whether a confirmed pattern counts.
   */
  covers(pattern: string, counts = (_confirmed: string): boolean => true): boolean {
    return [...this.confirmed].some(
      (confirmed) => counts(confirmed) && carriesAll(confirmed, pattern),
    );
  }

  /** Whether a message of this subject arrives. */
  carries(subject: string): boolean {
    return this.connected && [...this.confirmed].some((pattern) => carries(pattern, subject));
  }
}

/** A client that is connected to a {@linkcode Harness}. */
export interface TestClient {
  readonly connection: Connection;
  /** The session of the connection when it began. */
  readonly session: Session;
  readonly socket: FakeSocket;
  /** Sends a frame: an object as JSON, a text or bytes as they are. */
  send(frame: unknown): void;
}

/** A client answers marks that it has read. */
function answer(connection: Connection, numbers: readonly string[]): void {
  for (const number of numbers) connection.pong(new TextEncoder().encode(number));
}

/** The last frame that a client received. */
export function lastOf({ socket }: TestClient): ReceivedFrame | undefined {
  return socket.frames.at(-1);
}

/** The types of all frames that a client received. */
export function typesOf({ socket }: TestClient): string[] {
  return socket.frames.map(({ type }) => type);
}

/** Returns whether a client is live with its audience, has a queue of its own, or is over. */
export function stateOf(session: Session): "live" | "queued" | "over" {
  if (session.isOver) return "over";
  return session.audience.live.has(session) ? "live" : "queued";
}

/** Publishes a message, and returns its id. */
export function cursorOf(harness: Harness): string {
  const reader = harness.join(["a"]);
  harness.publish("first", "a");
  harness.clock.advance(10);
  const [first] = reader.socket.envelopes;
  return String(first?.id);
}

/** A broadcaster with a fake source, fake sockets and a clock that the test moves. */
export class Harness {
  readonly clock: ManualClock;
  readonly fanout = new FakeFanout();
  readonly meter = new CountingMeter();
  readonly source: FakeSource;
  /** The messages published to the dead-letter subject. */
  readonly deadLetters: SourceMessage[] = [];
  /** The random number that shortens back-offs: 0 not at all, 1 by half. */
  random = 0;
  /** The warnings that were logged. */
  readonly warnings: Record<string, unknown>[] = [];
  /** What was logged at `info`. */
  readonly infos: Record<string, unknown>[] = [];
  readonly log: Log = {
    debug() {},
    info: (_, properties = {}) => void this.infos.push(properties),
    warn: (_, properties = {}) => void this.warnings.push(properties),
    // Internal errors, which are logged, must not pass unnoticed.
    error: (message, { detail } = {}) => {
      throw new Error(String(detail ?? message));
    },
  };
  readonly clients: Clients;
  readonly broadcaster: Broadcaster;
  /** Opens the account of a grant. */
  openFor: (grant: Grant) => Broadcaster | undefined = () => this.broadcaster;
  /** The sessions of all clients that joined, those that are over included. */
  readonly #sessions = new Set<Session>();
  /** The grant of clients that join without another. */
  readonly grant: Grant;
  readonly acknowledges: boolean;
  readonly encoder = new CountingEncoder();

  constructor(
    {
      stepsPerTurn,
      publisher,
      presenceBucket,
      tracer,
      clock = new ManualClock(),
      ...options
    }: Partial<HarnessOptions> & {
      stepsPerTurn?: number;
      publisher?: ClientPublisher;
      presenceBucket?: PresenceBucket;
      tracer?: Tracer;
      clock?: ManualClock;
    } = {},
    history?: StreamHistory,
    durables?: Durables,
    isRevoked?: (grant: Grant) => boolean,
    renewed?: (grant: Grant) => Grant | undefined,
  ) {
    this.clock = clock;
    this.source = new FakeSource(history, durables);
    const everything = options.subjects ?? OPTIONS.subjects;
    this.grant = Grant.forEverybody(everything, { ...OPTIONS, ...options });
    // What is asked for at once is confirmed by `connect`, when there is somebody to hear of it.
    this.source.connected = false;
    this.acknowledges = options.deliveryMode === "at-least-once";
    const broadcaster = () => this.broadcaster;
    this.clients = new Clients(
      { ...OPTIONS, ...options },
      {
        clock: this.clock,
        log: this.log,
        meter: this.meter,
        broadcasters: {
          get default() {
            return broadcaster();
          },
          openFor: (grant) => this.openFor(grant),
        },
        random: () => this.random,
        stepsPerTurn,
        presenceBucket,
        isRevoked,
        renewed,
      },
    );
    this.broadcaster = new Broadcaster(
      { ...OPTIONS, demanded: options.subjects ?? OPTIONS.subjects, ...options },
      {
        clients: this.clients,
        clock: this.clock,
        fanouts: { websocket: this.fanout, events: this.fanout },
        meter: this.meter,
        encoder: this.encoder,
        log: this.log,
        source: this.source,
        tracer,
        deadLetters: { publish: (message) => void this.deadLetters.push(message) },
        random: () => this.random,
        publisher,
        isRevoked,
        version: "0",
      },
    );
    this.source.arrives = (pattern) => this.broadcaster.arrives(pattern);
    this.source.refused = (pattern, reason) => this.broadcaster.refused(pattern, reason);
    this.connect();
    this.clients.open();
  }

  /** Connects the source. */
  connect(): void {
    this.source.connected = true;
    this.broadcaster.status({ state: "connected", to: "test" });
    if (this.source.confirms) this.source.confirmAll();
  }

  /** Disconnects the source. */
  disconnect(): void {
    this.source.connected = false;
    this.source.confirmed.clear();
    this.broadcaster.status({ state: "connecting", reason: "test" });
  }

  /** Connects a plain client. Its `closed` event follows each close, unless it `lingers`. */
  join(subjects?: readonly string[], lingers = false): TestClient {
    return this.joinWith({ id: "", subjects: subjects ?? "everything" }, PLAIN, lingers);
  }

  /** Connects a client of the v1 dialect without a subscription. */
  joinV1(): TestClient {
    return this.joinWith(undefined, V1);
  }

  joinWith(
    request: SubscriptionRequest | undefined,
    dialect: Dialect = PLAIN,
    lingers = false,
    session?: string,
    grant = this.grant,
    checkToken?: TokenCheck,
    address?: string,
  ): TestClient {
    const socket = new FakeSocket(this.fanout);
    const client = { grant, dialect, request, session, checkToken, address };
    const connection = this.clients.accept(socket, client);
    // What must be acknowledged is given up only where the peer is known to be there.
    if (this.acknowledges) socket.onPing = () => connection.heard();
    socket.onMarks = (numbers) => this.clock.soon(() => answer(connection, numbers));
    if (!lingers) {
      socket.onClose = () => connection.closed(1005);
      if (socket.closedWith !== undefined) connection.closed(1005);
    }
    const send = (frame: unknown): void =>
      connection.receive(
        typeof frame === "string" || frame instanceof Uint8Array ? frame : JSON.stringify(frame),
      );
    if (connection.session !== undefined) this.#sessions.add(connection.session);
    return { connection, session: connection.session as Session, socket, send };
  }

  /** Publishes a JSON payload. */
  publish(payload: unknown, subject = "a"): void {
    this.broadcaster.message({ subject, data: new TextEncoder().encode(JSON.stringify(payload)) });
  }

  /**
   * `offered = sent + queued + conflated + dropped`; what the ledger has as queued and in flight is what the
   * sessions hold; and as many clients came as went and are here.
   */
  expectBalance(): void {
    const { meter } = this;
    const { inHand, inFlight, queuedBytes } = meter.ledger;
    expect(inHand).toBe(0);
    let held = 0;
    let bytes = 0;
    for (const session of this.#sessions) {
      held += session.acks?.messages ?? 0;
      bytes += session.queuedBytes;
    }
    expect({ inFlight, queuedBytes }).toEqual({ inFlight: held, queuedBytes: bytes });
    const gone = [...meter.disconnections.values()].reduce((sum, count) => sum + count, 0);
    expect(meter.clientsTotal).toBe(gone + meter.clientsActive);
  }
}
