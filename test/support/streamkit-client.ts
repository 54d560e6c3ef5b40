import { EventLog } from "./event-log.ts";
import { openRaw, type RawWebSocket } from "./raw-websocket.ts";

/** So long it takes over one message: about a hundred a second. */
const WORK_MS = 10;
/** A fuller queue than this, and it says `slow` for each further message. */
const THRESHOLD = 0.8;

interface Work {
  readonly id: string;
  readonly payload: unknown;
  /** The connection that it came by, and is acknowledged on. */
  readonly socket: RawWebSocket;
}

/**
 * Behaves as StreamKit's WebSocket input does, in either delivery mode: dials without Origin,
 * subprotocol and compression, acknowledges every message when it is done with it, one each 10 ms,
 * says `slow` for each message that comes while its queue is fuller than 80 %, never pings, and
 * dials again at once after its TCP connection ended, which it ends without a close frame itself.
 */
export class StreamkitClient {
  /** The payloads that it was done with, in order. */
  readonly done = new EventLog<unknown>("StreamKit's client");
  /** How often it said `slow`, and how full its queue ever was. */
  complaints = 0;
  deepest = 0;
  readonly #url: string;
  readonly #capacity: number;
  readonly #queue: Work[] = [];
  #socket: RawWebSocket | undefined;
  #worker: ReturnType<typeof setInterval> | undefined;

  constructor(url: string, capacity: number) {
    this.#url = url;
    this.#capacity = capacity;
  }

  async dial(): Promise<void> {
    const socket = await openRaw(this.#url);
    this.#socket = socket;
    this.#worker ??= setInterval(() => this.#work(), WORK_MS);
    void this.#read(socket);
  }

  /** Its TCP connection breaks, and it dials again. */
  async redial(): Promise<void> {
    this.#socket?.destroy();
    await this.dial();
  }

  stop(): void {
    clearInterval(this.#worker);
    this.#socket?.destroy();
  }

  async #read(socket: RawWebSocket): Promise<void> {
    try {
      for (;;) this.#take(socket, await socket.nextText(24 * 3600 * 1000));
    } catch {
      // The connection is over.
    }
  }

  #take(socket: RawWebSocket, text: string): void {
    const { type, id, timestamp, payload } = readLikeGo(text);
    if (type !== "data") return;
    if (typeof id !== "string" || !Number.isInteger(timestamp))
      throw new Error(`no envelope: ${text}`);
    this.#queue.push({ id, payload, socket });
    this.deepest = Math.max(this.deepest, this.#queue.length);
    const utilization = this.#queue.length / this.#capacity;
    if (utilization <= THRESHOLD) return;
    this.complaints++;
    this.#say(socket, "slow", `bp-${Date.now()}`, {
      queue_depth: this.#queue.length,
      queue_capacity: this.#capacity,
      utilization,
      threshold: THRESHOLD,
      recommendation: "reduce_rate",
    });
  }

  #work(): void {
    const next = this.#queue.shift();
    if (next === undefined) return;
    this.done.add(next.payload);
    this.#say(next.socket, "ack", next.id);
  }

  #say(socket: RawWebSocket, type: string, id: string, payload?: object): void {
    socket.send(JSON.stringify({ type, id, timestamp: Date.now(), ...(payload && { payload }) }));
  }
}

/** Go's `encoding/json` finds fields whatever the case of their names. */
function readLikeGo(text: string): Record<string, unknown> {
  const fields = JSON.parse(text) as Record<string, unknown>;
  return Object.fromEntries(
    Object.entries(fields).map(([name, value]) => [name.toLowerCase(), value]),
  );
}
