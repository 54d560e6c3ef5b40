import type {
  ClientSocket,
  Fanout,
  FanoutResult,
  Frame,
  SendResult,
} from "../core/ports/socket.ts";
import { TextCache } from "./text-cache.ts";
import { TopicMembers } from "./topic-members.ts";

/** Ends sockets, each runtime in its own way. Neither throws. */
export interface SocketEnding {
  /** Begins the closing handshake. */
  close(socket: WebSocket, code: number, reason: string): void;
  /** Gives a peer up. */
  terminate(socket: WebSocket): void;
}

/**
 * Clients on sockets with the interface of browsers (https://websockets.spec.whatwg.org): one send per client and frame,
 * because such sockets can't join frames, and no compression of ours.
 */
export class StandardSockets implements Fanout {
  readonly #topics = new TopicMembers<WebSocket>();
  readonly #texts = new TextCache();
  readonly #ending: SocketEnding;

  constructor(ending: SocketEnding) {
    this.#ending = ending;
  }

  write(topic: string, frames: readonly Frame[]): FanoutResult {
    const texts = this.#texts.of(frames);
    let refused = 0;
    for (const socket of this.#topics.members(topic)) {
      if (sendEach(socket, texts) === "refused") refused++;
    }
    let grownBytes = 0;
    for (const { byteLength } of frames) grownBytes += byteLength;
    return { grownBytes, refused };
  }

  clientOf(socket: WebSocket, remoteAddress: string): ClientSocket {
    return new StandardSocket(socket, remoteAddress, this.#topics, this.#texts, this.#ending);
  }
}

class StandardSocket implements ClientSocket {
  readonly remoteAddress: string;
  readonly compresses = false;
  readonly #socket: WebSocket;
  readonly #topics: TopicMembers<WebSocket>;
  readonly #texts: TextCache;
  readonly #ending: SocketEnding;

  constructor(
    socket: WebSocket,
    remoteAddress: string,
    topics: TopicMembers<WebSocket>,
    texts: TextCache,
    ending: SocketEnding,
  ) {
    this.#socket = socket;
    this.remoteAddress = remoteAddress;
    this.#topics = topics;
    this.#texts = texts;
    this.#ending = ending;
  }

  write(frames: readonly Frame[]): SendResult {
    return sendEach(this.#socket, this.#texts.of(frames));
  }

  bufferedBytes(): number {
    return this.#socket.bufferedAmount;
  }

  join(topic: string): void {
    this.#topics.join(topic, this.#socket);
  }

  leave(topic: string): void {
    this.#topics.leave(topic, this.#socket);
  }

  close(code: number, reason: string): void {
    this.#ending.close(this.#socket, code, reason);
  }

  terminate(): void {
    this.#ending.terminate(this.#socket);
  }
}

function sendEach(socket: WebSocket, texts: readonly string[]): SendResult {
  if (socket.readyState !== WebSocket.OPEN) return "refused";
  try {
    for (const text of texts) socket.send(text);
  } catch {
    // Workers throw for a socket that has just closed.
    return "refused";
  }
  return socket.bufferedAmount === 0 ? "sent" : "buffered";
}
