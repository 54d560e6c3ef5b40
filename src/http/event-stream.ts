import type { Context } from "hono";
import type {
  ClientSocket,
  Fanout,
  FanoutResult,
  Frame,
  SendResult,
} from "../core/ports/socket.ts";
import type { ConnectionEvents } from "../runtime/runtime.ts";
import type { RequestSockets } from "./client-address.ts";

/** Keeps proxies from buffering the events. */
const HEADERS = {
  "Content-Type": "text/event-stream; charset=utf-8",
  "Cache-Control": "no-cache, no-transform",
  "X-Accel-Buffering": "no",
};

/** A comment, which keeps the connection alive. Clients ignore it. */
const HEARTBEAT = new TextEncoder().encode(":\n\n");

/** Joins frames for the body. */
function concat(frames: readonly Frame[]): Uint8Array {
  if (frames.length === 1) return frames[0]!.bytes;
  const bytes = new Uint8Array(frames.reduce((sum, { byteLength }) => sum + byteLength, 0));
  let at = 0;
  for (const frame of frames) {
    bytes.set(frame.bytes, at);
    at += frame.byteLength;
  }
  return bytes;
}

/**
 * Streams of server-sent events (https://html.spec.whatwg.org/multipage/server-sent-events.html), on web streams, which
 * all runtimes have.
 */
export class EventStreams implements Fanout {
  readonly #topics = new Map<string, Set<EventStream>>();

  /**
   * Answers a request with a stream of events.
   *
   * @param retryMs how long an `EventSource` waits before it reconnects. Without it, the `EventSource` decides.
   */
  open(c: Context, events: ConnectionEvents, sockets: RequestSockets, retryMs?: number): Response {
    sockets.keepOpen?.(c);
    const drop = sockets.drop && (() => sockets.drop?.(c));
    const stream = new EventStream(sockets.addressOf(c), this.#topics, events, drop);
    if (retryMs !== undefined) {
      stream.writeBytes(new TextEncoder().encode(`retry: ${retryMs}\n\n`));
    }
    events.open(stream);
    return c.body(stream.body, 200, HEADERS);
  }

  write(topic: string, frames: readonly Frame[]): FanoutResult {
    const bytes = concat(frames);
    let refused = 0;
    for (const stream of this.#topics.get(topic) ?? []) {
      if (stream.writeBytes(bytes) === "refused") refused++;
    }
    return { grownBytes: bytes.length, refused };
  }
}

/** One client's stream, as a socket. */
class EventStream implements ClientSocket {
  readonly remoteAddress: string;
  readonly compresses = false;
  readonly writeOnly = true;
  readonly body: ReadableStream<Uint8Array>;
  readonly #topics: Map<string, Set<EventStream>>;
  readonly #events: ConnectionEvents;
  readonly #drop: (() => void) | undefined;
  #controller: ReadableStreamDefaultController<Uint8Array> | undefined;
  /** Whether all written bytes were read, and the reader wants more. */
  #starved = false;
  /** Whether the stream ends when all written bytes are read. */
  #closing = false;

  constructor(
    remoteAddress: string,
    topics: Map<string, Set<EventStream>>,
    events: ConnectionEvents,
    drop: (() => void) | undefined,
  ) {
    this.remoteAddress = remoteAddress;
    this.#topics = topics;
    this.#events = events;
    this.#drop = drop;
    // With a mark of 0, `-desiredSize` is the number of waiting bytes, and `pull` means that there are none.
    this.body = new ReadableStream<Uint8Array>(
      {
        start: (controller) => {
          this.#controller = controller;
        },
        pull: () => {
          this.#starved = true;
          if (this.#closing) this.#finish();
        },
        cancel: () => this.#end(),
      },
      { highWaterMark: 0, size: (chunk) => chunk?.length ?? 0 },
    );
  }

  write(frames: readonly Frame[]): SendResult {
    return this.writeBytes(concat(frames));
  }

  writeBytes(bytes: Uint8Array): SendResult {
    if (this.#controller === undefined || this.#closing) return "refused";
    this.#starved = false;
    this.#controller.enqueue(bytes);
    return this.bufferedBytes() === 0 ? "sent" : "buffered";
  }

  bufferedBytes(): number {
    return -(this.#controller?.desiredSize ?? 0);
  }

  join(topic: string): void {
    const members = this.#topics.get(topic);
    if (members === undefined) this.#topics.set(topic, new Set([this]));
    else members.add(this);
  }

  leave(topic: string): void {
    const members = this.#topics.get(topic);
    members?.delete(this);
    if (members?.size === 0) this.#topics.delete(topic);
  }

  ping(): void {
    this.writeBytes(HEARTBEAT);
  }

  /** Ends the stream. The event `disconnect` had the code and the reason; HTTP has no place for them. */
  close(): void {
    this.#closing = true;
    if (this.#starved) this.#finish();
  }

  terminate(): void {
    const controller = this.#controller;
    this.#controller = undefined;
    // A runtime that drops the connection cancels the body by itself.
    if (this.#drop === undefined) controller?.error(new Error("the client does not read"));
    else this.#drop();
    this.#events.closed(1006);
  }

  #finish(): void {
    const controller = this.#controller;
    if (controller === undefined) return;
    this.#controller = undefined;
    controller.close();
    // After one turn the runtime has written the end, and the server may stop.
    setTimeout(() => this.#events.closed(1000), 0);
  }

  /** The client disconnected. */
  #end(): void {
    this.#controller = undefined;
    this.#events.closed(1006);
  }
}
