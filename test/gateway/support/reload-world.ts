import type { ConfigInput } from "../../../src/config/input.generated.ts";
import type { Log } from "../../../src/core/ports/log.ts";
import type { ClientPublisher } from "../../../src/core/ports/source.ts";
import type { GatewayDeps } from "../../../src/gateway/deps.ts";
import { createGateway, type Gateway } from "../../../src/gateway/gateway.ts";
import type { ConnectionEvents, CreateRuntime } from "../../../src/runtime/runtime.ts";
import { MemorySource } from "../../../src/source/memory.ts";
import { FakeFanout, FakeSocket, type ReceivedFrame } from "../../core/support/fake-sockets.ts";
import { ManualClock } from "../../core/support/manual-clock.ts";

/** A client that is connected, or whose handshake was refused. */
export class WorldClient {
  /** The status of its handshake. */
  readonly status: number;
  readonly socket: FakeSocket;
  readonly events: ConnectionEvents;
  /** The number of marks that it was sent. */
  marks = 0;
  answersPings = true;

  constructor(status: number, socket: FakeSocket, events: ConnectionEvents) {
    this.status = status;
    this.socket = socket;
    this.events = events;
    socket.onPing = () => events.alive();
    socket.onMarks = (contents) => {
      this.marks += contents.length;
      if (!this.answersPings) return;
      for (const content of contents) events.pong(new TextEncoder().encode(content));
    };
    socket.onClose = () => events.closed(1005);
    socket.onTerminate = () => events.closed(1006);
  }

  send(frame: object): void {
    this.events.message(JSON.stringify(frame));
  }

  /** Sends a frame, and returns the notices that answer it at once. */
  ask(frame: object): readonly ReceivedFrame[] {
    const before = this.socket.notices.length;
    this.send(frame);
    return this.socket.notices.slice(before);
  }
}

/** A source that never answers requests, and writes down what is published. */
class WorldSource extends MemorySource {
  headers: unknown[] = [];
  readonly requestTimeouts: number[] = [];
  readonly #clock: ManualClock;

  constructor(clock: ManualClock) {
    super();
    this.#clock = clock;
    const { publish } = this.clientPublisher;
    const clientPublisher: ClientPublisher = {
      publish: async (message, signal) => {
        this.headers = [...(message.headers ?? [])];
        return await publish(message, signal);
      },
      request: (_, signal) =>
        new Promise((resolve) => {
          const sinceMs = this.#clock.nowMs();
          signal.addEventListener("abort", () => {
            this.requestTimeouts.push(this.#clock.nowMs() - sinceMs);
            resolve({ kind: "failed", code: "timeout", message: "late", retryable: false });
          });
        }),
    };
    Object.assign(this, { clientPublisher });
  }
}

/** The keys of all worlds. */
const ALL: ConfigInput = { publish: true };

const HANDSHAKE = {
  Host: "127.0.0.1",
  Upgrade: "websocket",
  Connection: "Upgrade",
  "Sec-WebSocket-Version": "13",
  "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==",
};

/** A whole gateway with sockets, a source and a clock that a test moves. */
export class ReloadWorld {
  /** The wall clock at its start. */
  static readonly WALL_MS = ManualClock.WALL_START_MS;
  readonly clock = new ManualClock();
  readonly #source = new WorldSource(this.clock);
  readonly #fanout = new FakeFanout();
  readonly #lines: Readonly<Record<string, unknown>>[] = [];
  #opened: { readonly socket: FakeSocket; readonly events: ConnectionEvents } | undefined;
  #gateway!: Gateway;

  static async start(config: ConfigInput, deps: GatewayDeps = {}): Promise<ReloadWorld> {
    const world = new ReloadWorld();
    await world.#start(config, deps);
    return world;
  }

  async #start(config: ConfigInput, deps: GatewayDeps): Promise<void> {
    const write = (_: string, properties: Readonly<Record<string, unknown>> = {}): void =>
      void this.#lines.push(properties);
    const log: Log = { debug: write, info: write, warn: write, error: write };
    const fanout = this.#fanout;
    const runtime: CreateRuntime = () => ({
      name: "world",
      websocket: undefined,
      sockets: {
        pings: true,
        write: (topic, frames) => fanout.write(topic, frames),
        addressOf: () => "192.0.2.1",
        upgrade: async (_, events) => {
          this.#opened = { socket: new FakeSocket(fanout), events };
          return new Response();
        },
      },
      listen: () => Promise.reject(new Error("It was asked to listen")),
      dialWebSocket: () => {
        throw new Error("It was asked to dial");
      },
    });
    const source = this.#source;
    this.#gateway = await createGateway(
      { ...ALL, ...config },
      { clock: this.clock, log, runtime, source, ...deps },
    );
    await this.#gateway.start();
  }

  async reload(config: ConfigInput): Promise<void> {
    await this.#gateway.reload({ ...ALL, ...config });
  }

  get gateway(): Gateway {
    return this.#gateway;
  }

  /** The times for which requests waited for their answers. */
  get requestTimeouts(): readonly number[] {
    return this.#source.requestTimeouts;
  }

  /** The headers of the last message that a client published. */
  get headers(): readonly unknown[] {
    return this.#source.headers;
  }

  /** The properties of the log lines of an event. */
  logged(event: string): readonly Readonly<Record<string, unknown>>[] {
    return this.#lines.filter((line) => line.event === event);
  }

  async connect({
    headers = {},
    query = "",
  }: {
    headers?: Record<string, string>;
    query?: string;
  } = {}): Promise<WorldClient> {
    this.#opened = undefined;
    const { app } = this.#gateway;
    const url = `http://127.0.0.1/ws${query}`;
    const response = await app.request(url, { headers: { ...HANDSHAKE, ...headers } });
    const { socket, events } = this.#opened ?? {
      socket: new FakeSocket(this.#fanout),
      events: NOBODY,
    };
    const client = new WorldClient(response.status === 200 ? 101 : response.status, socket, events);
    events.open(socket);
    return client;
  }

  connectV1(): Promise<WorldClient> {
    return this.connect({ headers: { "Sec-WebSocket-Protocol": "spillway.v1.json" } });
  }

  /** Publishes at the source. */
  publish(subject: string, payload: unknown): void {
    this.#source.publish({ subject, data: new TextEncoder().encode(JSON.stringify(payload)) });
  }

  /** Publishes over HTTP. @returns the status. */
  async post(subject: string): Promise<number> {
    const init = { method: "POST", body: "1", headers: { "Content-Length": "1" } };
    return (await this.#gateway.app.request(`http://127.0.0.1/publish/${subject}`, init)).status;
  }

  async request(path: string, headers: Record<string, string>): Promise<number> {
    return (await this.#gateway.app.request(`http://127.0.0.1${path}`, { headers })).status;
  }

  /** Lets time pass in steps, with all that promises do meanwhile. */
  async settle(ms: number): Promise<void> {
    for (let step = 0; step < 20; step++) {
      this.clock.advance(ms / 20);
      await turn();
    }
  }

  /** Lets time pass until something ends. */
  async during<T>(work: Promise<T>): Promise<T> {
    let isOver = false;
    const end = (): void => {
      isOver = true;
    };
    work.then(end, end);
    while (!isOver) await this.settle(20);
    return await work;
  }

  /** Resolves after what is under way. */
  async later<T>(value: T): Promise<T> {
    await turn();
    return value;
  }

  async stop(): Promise<void> {
    const stopped = this.#gateway.stop(0).catch(() => {});
    await this.settle(1000);
    await stopped;
  }
}

const NOBODY: ConnectionEvents = { open() {}, message() {}, alive() {}, pong() {}, closed() {} };

function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
