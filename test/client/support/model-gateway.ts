import type { FakeSocket } from "./fake-platform.ts";

type Frame = Record<string, unknown>;

/** A message of the model's one stream. */
export interface ModelMessage {
  readonly id: string;
  readonly epoch: number;
  readonly n: number;
  readonly subject: string;
  /** Whether the stream has forgotten it. */
  isExpired: boolean;
}

interface ModelSubscription {
  readonly sub: string;
  readonly subjects: readonly string[];
  since: number;
  epoch: number;
  /** Its place in the replay; `undefined` if it is live. */
  progress: number | undefined;
  /** Sends only the latest message of each subject up to this one. */
  latestUpTo: number;
}

interface Unacknowledged {
  readonly message: ModelMessage;
  deliveries: number;
}

interface ModelSession {
  readonly name: string;
  subscriptions: Map<string, ModelSubscription>;
  readonly unacknowledged: Map<string, Unacknowledged>;
  /** Live messages that came while no client was connected. */
  readonly waiting: ModelMessage[];
  connection: ModelConnection | undefined;
}

interface ModelConnection {
  readonly socket: FakeSocket;
  readonly session: ModelSession;
  isStalled: boolean;
  isOver: boolean;
  /** The live messages that it doesn't send. */
  dropped: ModelMessage[];
  readonly outgoing: Frame[];
  /** Messages that snapshots have sent before others that lie in between, with the subscription of the snapshot. */
  readonly apart: Map<string, ModelSubscription>;
}

function wants({ subjects }: ModelSubscription, subject: string): boolean {
  return subjects.some((one) => one === subject || one === "x.>");
}

/**
 * A gateway with one stream, as the protocol describes it: a message that several subscriptions of a client want comes
 * once, a subscription that catches up gets no message that another one has passed, and replays have limits.
 */
export class ModelGateway {
  readonly mode: "at-most-once" | "at-least-once";
  readonly messages: ModelMessage[] = [];
  /** The first message that is still stored. */
  first = 1;
  epoch = 1;
  /** The acknowledgements of the client, in order. */
  readonly acknowledged: ModelMessage[] = [];
  /** Called before an acknowledgement counts. */
  acknowledging: (message: ModelMessage) => void = () => {};
  /** Called when a client asks for a session that is lost, with what it has not acknowledged. */
  lostSession: () => void = () => {};
  /** The start of a subscription that names none. */
  startFrom: "new" | "all" | "last_per_subject" = "new";
  /** Tells whether a token is valid. */
  acceptsToken: (token: string | undefined) => boolean = () => true;
  readonly #random: () => number;
  readonly #sessions = new Map<string, ModelSession>();
  /** The names of messages that clients have published. */
  readonly #published = new Set<unknown>();
  readonly #connections = new Set<ModelConnection>();
  #names = 0;

  constructor(mode: ModelGateway["mode"], random: () => number) {
    this.mode = mode;
    this.#random = random;
  }

  get tip(): number {
    return this.messages.filter(({ epoch }) => epoch === this.epoch).at(-1)?.n ?? 0;
  }

  /** The ids that connected clients have not acknowledged. */
  get unacknowledged(): readonly string[] {
    return this.connections.flatMap(({ session }) => [...session.unacknowledged.keys()]);
  }

  get connections(): readonly ModelConnection[] {
    return [...this.#connections];
  }

  /** A socket is opened. @returns whether it was taken. */
  accept(socket: FakeSocket): boolean {
    const offered = socket.protocols[1]?.slice("spillway-token.".length);
    if (!this.acceptsToken(offered === undefined ? undefined : atob(offered))) {
      socket.end(1006);
      return false;
    }
    socket.open();
    const asked = /session=([^&]+)/.exec(socket.url)?.[1];
    const known = this.mode === "at-least-once" ? this.#sessions.get(asked ?? "") : undefined;
    const session = known ?? {
      name: `session-${++this.#names}-0123456789`,
      subscriptions: new Map(),
      unacknowledged: new Map(),
      waiting: [],
      connection: undefined,
    };
    if (session.connection !== undefined) this.#drop(session.connection);
    const connection: ModelConnection = {
      ...{ socket, session, isStalled: false, isOver: false, dropped: [], outgoing: [] },
      apart: new Map(),
    };
    session.connection = connection;
    this.#sessions.set(session.name, session);
    this.#connections.add(connection);
    socket.received = (frame) => !connection.isOver && this.#take(connection, frame);
    socket.left = (code) => {
      this.#drop(connection);
      if (code === 1000) this.#sessions.delete(session.name);
    };
    const delivery = { ack_timeout_ms: 5000, session_ttl_ms: 60_000, resumed: known !== undefined };
    this.#say(connection, {
      ...{ type: "welcome", session: session.name, version: "0", server_time: 0 },
      ...{ ping_interval_ms: 30_000, upstream: "connected", delivery_mode: this.mode },
      limits: { max_frame_bytes: 65_536, max_subscriptions: 64 },
      ...(this.mode === "at-least-once" && { delivery }),
    });
    if (known !== undefined) {
      for (const { sub, subjects } of session.subscriptions.values()) {
        this.#confirm(connection, sub, subjects, this.tip);
      }
      for (const entry of session.unacknowledged.values()) this.#redeliver(connection, entry);
      for (const message of session.waiting.splice(0)) this.#deliver(connection, message);
    } else if (asked !== undefined && this.mode === "at-least-once") {
      const at = this.#id(this.tip);
      this.#gap(connection, at, at, 0, "session_expired");
      this.lostSession();
    }
    return true;
  }

  publish(subject: string): void {
    const n = this.tip + 1;
    const { epoch } = this;
    const message = { id: this.#id(n), epoch, n, subject, isExpired: false };
    this.messages.push(message);
    for (const session of this.#sessions.values()) this.#live(session, message);
  }

  /** The stream forgets its oldest messages. */
  expire(first: number): void {
    this.first = Math.max(this.first, Math.min(first, this.tip));
    for (const message of this.messages) {
      if (message.epoch === this.epoch && message.n < this.first) message.isExpired = true;
    }
  }

  /** The stream is deleted and created again. */
  reset(): void {
    const { epoch, tip } = this;
    this.epoch++;
    this.first = 1;
    for (const connection of this.#connections) {
      this.#flushDropped(connection);
      const reached = [...connection.session.subscriptions.values()].map(
        (one) => one.progress ?? tip,
      );
      const before = `S:e${epoch}:${Math.min(tip, ...reached)}`;
      this.#gap(connection, before, this.#id(0), 0, "stream_reset");
    }
    for (const session of this.#sessions.values()) {
      for (const subscription of session.subscriptions.values()) {
        subscription.since = 0;
        if (subscription.progress === undefined) continue;
        subscription.epoch = this.epoch;
        subscription.progress = 0;
        subscription.latestUpTo = 0;
      }
    }
  }

  /** Loses sessions that nobody uses. */
  expireSessions(): void {
    for (const [name, { connection }] of this.#sessions) {
      if (connection === undefined) this.#sessions.delete(name);
    }
  }

  /** Ends a connection, with or without a frame that says so. */
  end(connection: ModelConnection, code: number, disconnect?: Frame): void {
    if (disconnect !== undefined)
      this.#say(connection, { type: "disconnect", code, ...disconnect });
    this.#flush(connection, true);
    this.#drop(connection);
    connection.socket.end(code);
  }

  /** Sends something: a part of the replays, redeliveries, and what was queued. */
  work(): void {
    for (const connection of this.#connections) {
      for (let steps = Math.floor(this.#random() * 6); steps > 0; steps--) this.#replay(connection);
      if (this.#random() < 0.2) {
        for (const entry of connection.session.unacknowledged.values()) {
          if (this.#random() < 0.2) this.#redeliver(connection, entry);
        }
      }
      if (this.#random() < 0.5) this.#flushDropped(connection);
      this.#flush(connection);
    }
  }

  /** Tells a client that its token expires. */
  expireToken(connection: ModelConnection): void {
    this.#say(connection, { type: "token_expiring", expires_in_ms: 10_000 });
  }

  #id(n: number): string {
    return `S:e${this.epoch}:${n}`;
  }

  #take(connection: ModelConnection, frame: Frame): void {
    const { session } = connection;
    switch (frame.type) {
      case "ping":
        this.#say(connection, { type: "pong" });
        return;
      case "subscribe":
        this.#subscribe(connection, frame);
        return;
      case "unsubscribe":
        if (session.subscriptions.delete(frame.sub as string)) {
          this.#say(connection, { type: "unsubscribed", sub: frame.sub });
        } else {
          const error = {
            code: "unknown_subscription",
            message: "there is none",
            retryable: false,
          };
          this.#say(connection, { type: "error", id: frame.sub, error });
        }
        return;
      case "auth":
        if (this.acceptsToken(frame.token as string)) {
          this.#say(connection, { type: "authenticated", id: frame.id, sub: "u" });
        } else {
          const error = { code: "unauthenticated", message: "wrong", retryable: false };
          this.#say(connection, { type: "error", id: frame.id, error });
        }
        return;
      case "publish":
        if (!this.#published.has(frame.id)) this.publish(frame.subject as string);
        this.#published.add(frame.id);
        this.#say(connection, { type: "published", id: frame.id, stream: "S", seq: this.tip });
        return;
      case "nack":
        return;
      case "ack": {
        const upto = /^(.*):(\d+)$/.exec((frame.upto as string) ?? "");
        for (const [id, { message }] of session.unacknowledged) {
          const isUpto =
            upto !== null && id.startsWith(`${upto[1]}:`) && message.n <= Number(upto[2]);
          if (!isUpto && !((frame.ids ?? []) as string[]).includes(id)) continue;
          this.acknowledging(message);
          this.acknowledged.push(message);
          session.unacknowledged.delete(id);
        }
      }
    }
  }

  #subscribe(connection: ModelConnection, { id, subjects, from: asked }: Frame): void {
    const from = asked ?? this.startFrom;
    const startFrom = asked === undefined && from !== "new" ? { start_from: from } : {};
    const sub = id as string;
    const patterns = subjects as readonly string[];
    const { epoch, tip } = this;
    const { after, seq } = (typeof from === "object" ? from : {}) as {
      readonly after?: string;
      readonly seq?: number;
    };
    const base = { sub, subjects: patterns, epoch, latestUpTo: 0 };
    const { subscriptions } = connection.session;
    if (after !== undefined) {
      const [, cursorEpoch, n] = /^S:e(\d+):(\d+)$/.exec(after) ?? [];
      const isSame = Number(cursorEpoch) === epoch;
      const since = isSame ? Number(n) : 0;
      const start = Math.max(since, isSame ? this.first - 1 : 0);
      subscriptions.set(sub, { ...base, since, progress: start });
      this.#confirm(connection, sub, patterns, since);
      if (!isSame) this.#gap(connection, after, this.#id(0), 0, "stream_reset", false, sub);
      else if (start > since) {
        const count = start - since;
        this.#gap(connection, this.#id(since + 1), this.#id(start), count, "expired", false, sub);
      }
      return;
    }
    if (from === "all" || seq !== undefined) {
      const since = Math.max(this.first, Math.min(seq ?? 0, tip + 1)) - 1;
      subscriptions.set(sub, { ...base, since, progress: since });
      this.#confirm(connection, sub, patterns, since, startFrom);
    } else if (from === "last_per_subject") {
      subscriptions.set(sub, { ...base, since: tip, progress: this.first - 1, latestUpTo: tip });
      this.#confirm(connection, sub, patterns, tip, startFrom);
    } else {
      subscriptions.set(sub, { ...base, since: tip, progress: undefined });
      this.#confirm(connection, sub, patterns, tip);
    }
  }

  #confirm(
    connection: ModelConnection,
    sub: string,
    subjects: readonly string[],
    n: number,
    startFrom: object = {},
  ): void {
    const terms = { subjects, policy: "drop-oldest", from: this.#id(n), ...startFrom };
    this.#flushDropped(connection);
    this.#say(connection, { type: "subscribed", id: sub, sub, ...terms });
  }

  /** Sends the next message of a replay. */
  #replay(connection: ModelConnection): void {
    const { subscriptions } = connection.session;
    const behind = [...subscriptions.values()].filter(({ progress }) => progress !== undefined);
    const one = behind[Math.floor(this.#random() * behind.length)];
    if (one === undefined) return;
    if (one.progress! >= this.tip) {
      one.progress = undefined;
      if (behind.length === 1) connection.apart.clear();
      this.#say(connection, { type: "caught_up", sub: one.sub });
      return;
    }
    if (one.progress! < this.first - 1) {
      const [from, to] = [this.#id(one.progress! + 1), this.#id(this.first - 1)];
      this.#gap(connection, from, to, this.first - 1 - one.progress!, "expired", false, one.sub);
      one.progress = this.first - 1;
      return;
    }
    const n = ++one.progress!;
    const message = this.messages.find((each) => each.epoch === this.epoch && each.n === n);
    if (message === undefined || n < this.first || !wants(one, message.subject)) return;
    const { subject } = message;
    const isOld =
      n <= one.latestUpTo &&
      this.messages.some(
        (each) =>
          each.epoch === this.epoch &&
          each.subject === subject &&
          each.n > n &&
          each.n <= one.latestUpTo,
      );
    if (isOld) return;
    const isPassed = [...subscriptions.values()].some(
      (other) =>
        other !== one &&
        wants(other, subject) &&
        n > other.since &&
        (other.progress === undefined || n <= other.progress),
    );
    const { sub } = connection.apart.get(message.id) ?? {};
    if (isPassed || (sub !== undefined && subscriptions.has(sub))) return;
    if (n <= one.latestUpTo) connection.apart.set(message.id, one);
    this.#deliver(connection, message);
  }

  #live(session: ModelSession, message: ModelMessage): void {
    const isWanted = [...session.subscriptions.values()].some(
      (one) => one.progress === undefined && wants(one, message.subject),
    );
    if (!isWanted) return;
    const { connection } = session;
    if (connection === undefined) {
      session.waiting.push(message);
      return;
    }
    if (this.mode === "at-most-once" && this.#random() < 0.05) {
      connection.dropped.push(message);
      return;
    }
    this.#deliver(connection, message);
  }

  #flushDropped(connection: ModelConnection): void {
    const { dropped } = connection;
    if (dropped.length === 0) return;
    const [first, last] = [dropped[0]!, dropped.at(-1)!];
    connection.dropped = [];
    this.#gap(connection, first.id, last.id, dropped.length, "slow");
  }

  #gap(
    connection: ModelConnection,
    from: string,
    to: string,
    count: number,
    reason: string,
    isExact = count > 0,
    sub?: string,
  ): void {
    const exact = isExact ? {} : { exact: false };
    this.#say(connection, { type: "gap", from, to, count, reason, ...exact, sub });
  }

  #deliver(connection: ModelConnection, message: ModelMessage): void {
    const { id } = message;
    const { unacknowledged } = connection.session;
    // A gap is in its place, also among replayed messages.
    this.#flushDropped(connection);
    if (this.mode === "at-least-once") {
      unacknowledged.set(id, unacknowledged.get(id) ?? { message, deliveries: 1 });
    }
    this.#say(connection, this.#data(message));
  }

  #redeliver(connection: ModelConnection, entry: Unacknowledged): void {
    this.#say(connection, { ...this.#data(entry.message), redelivery: entry.deliveries++ });
  }

  #data({ id, n, subject }: ModelMessage): Frame {
    return { type: "data", id, timestamp: 0, subject, payload: { n } };
  }

  #say(connection: ModelConnection, frame: Frame): void {
    connection.outgoing.push(frame);
  }

  /** Some of the queued frames reach the client, in order. */
  #flush(connection: ModelConnection, isAll = false): void {
    if (connection.isStalled || connection.isOver) return;
    const { outgoing, socket } = connection;
    const most = isAll ? outgoing.length : Math.ceil(this.#random() * outgoing.length);
    const frames = outgoing.splice(0, most);
    if (frames.length > 0) socket.say(...frames);
  }

  #drop(connection: ModelConnection): void {
    connection.isOver = true;
    this.#connections.delete(connection);
    const { session } = connection;
    if (session.connection !== connection) return;
    session.connection = undefined;
    if (this.mode === "at-most-once") this.#sessions.delete(session.name);
    for (const [sub, { progress }] of session.subscriptions) {
      if (progress !== undefined) session.subscriptions.delete(sub);
    }
  }
}
