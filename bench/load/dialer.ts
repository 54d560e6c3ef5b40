import { connect, type Socket } from "node:net";
import { Acknowledger } from "./acknowledger.ts";
import { type Endpoint, wantedBy } from "./endpoint.ts";
import { maskedFrame } from "./masked-frame.ts";
import { EnvelopeReader, NatsReader, SocketIoReader, V1Reader } from "./message-readers.ts";
import type { Sampling, StreamEvents, StreamReader } from "./stream-reader.ts";

/** The example of RFC 6455 §1.3: the C reference knows the answer to no other. */
const KEY = "dGhlIHNhbXBsZSBub25jZQ==";
const ACCEPT = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";
/** Read at a time from one socket. It stays in the core's cache, and no read allocates. */
const RECEIVE_BYTES = 64 * 1024;
/** JetStream requires one with flow control. */
const IDLE_HEARTBEAT_NS = 30e9;

const READERS = {
  envelope: EnvelopeReader,
  v1: V1Reader,
  nats: NatsReader,
  "socket.io": SocketIoReader,
};

/** A client of the load: a WebSocket over raw TCP that counts its messages. */
export interface LoadClient {
  readonly reader: StreamReader;
  /** Leaves all that comes in the kernel, as a program does that hangs. */
  stall(): void;
}

/** Opens the clients of a load. All of them read into one buffer, which Node can and Bun can't. */
export class Dialer {
  /** The clients that have subscribed, in this order. */
  readonly clients: LoadClient[] = [];
  readonly #endpoint: Endpoint;
  readonly #sampling: Sampling;
  readonly #lose: (client: number, reason: string) => void;
  readonly #received = Buffer.allocUnsafeSlow(RECEIVE_BYTES);
  #dialled = 0;

  /** @param lose is called for each connection that ends or never opens: its number, and why. */
  constructor(
    endpoint: Endpoint,
    sampling: Sampling,
    lose: (client: number, reason: string) => void,
  ) {
    this.#endpoint = endpoint;
    this.#sampling = sampling;
    this.#lose = lose;
  }

  /** Opens clients, `atOnce` at a time; resolves when each will get every message from now on, or was lost. */
  async dialAll(count: number, atOnce: number): Promise<void> {
    let left = count;
    const dialOneByOne = async (): Promise<void> => {
      while (left-- > 0) await this.#dial().catch(() => {});
    };
    await Promise.all(Array.from({ length: atOnce }, dialOneByOne));
  }

  async #dial(): Promise<void> {
    const number = this.#dialled++;
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    let isLost = false;
    const fault = (reason: string): void => {
      if (isLost) return;
      isLost = true;
      this.#lose(number, reason);
      reject(new Error(reason));
    };
    const events: StreamEvents = {
      ping: (content) => void socket.write(this.#pong(content)),
      wantsAnswer: (subject) => void socket.write(maskedFrame(2, `PUB ${subject} 0\r\n\r\n`)),
      subscribed: resolve,
      fault,
    };
    const { port, dialect, acks, subjects = 1 } = this.#endpoint;
    const reader = new READERS[dialect](events, this.#sampling, number);
    let handshake: Buffer<ArrayBufferLike> | undefined = Buffer.alloc(0);
    const callback = (length: number): boolean => {
      let chunk: Buffer = this.#received.subarray(0, length);
      if (handshake !== undefined) {
        handshake = Buffer.concat([handshake, chunk]);
        const end = handshake.indexOf("\r\n\r\n");
        if (end < 0) return true;
        const head = handshake.toString("latin1", 0, end);
        if (!head.startsWith("HTTP/1.1 101") || !head.includes(ACCEPT)) {
          fault(`refused: ${head.split("\r\n", 1)[0]}`);
          return false;
        }
        chunk = handshake.subarray(end + 4);
        handshake = undefined;
        this.#greet(socket, events, number);
      }
      reader.read(chunk);
      acknowledger?.after(reader.messages, chunk);
      return true;
    };
    const options = { host: "127.0.0.1", port, noDelay: true };
    const socket = connect({ ...options, onread: { buffer: this.#received, callback } });
    const acknowledger = acks && new Acknowledger(socket, acks, subjects);
    socket.on("error", ({ message }) => fault(message));
    socket.on("close", () => fault("the connection was closed"));
    socket.write(this.#request(number));
    await promise;
    this.clients.push({ reader, stall: () => socket.pause() });
  }

  #request(number: number): string {
    const { path, port, dialect, subjects, deflate } = this.#endpoint;
    const isFiltered = dialect === "envelope" && subjects !== undefined;
    const query = isFiltered ? `?subjects=${wantedBy(this.#endpoint, number)}` : "";
    const offers =
      (dialect === "v1" ? "Sec-WebSocket-Protocol: spillway.v1.json\r\n" : "") +
      (deflate ? "Sec-WebSocket-Extensions: permessage-deflate\r\n" : "");
    return (
      `GET ${path}${query} HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\nUpgrade: websocket\r\n` +
      `Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: ${KEY}\r\n${offers}\r\n`
    );
  }

  /** Sends what a protocol requires before messages come. */
  #greet(socket: Socket, { subscribed }: StreamEvents, number: number): void {
    const { dialect, replays } = this.#endpoint;
    const subject = wantedBy(this.#endpoint, number);
    if (dialect === "envelope") subscribed();
    else if (dialect === "v1") {
      const subscribe = { type: "subscribe", id: "1", subjects: [subject] };
      const frame = replays ? { ...subscribe, from: "all" } : subscribe;
      socket.write(maskedFrame(1, JSON.stringify(frame)));
    } else if (dialect === "socket.io") socket.write(maskedFrame(1, "40"));
    else {
      const about = { verbose: false, pedantic: false, headers: true, lang: "bench", version: "1" };
      const wish = replays ? createConsumer(replays, number) : `SUB ${subject} 1\r\n`;
      const greeting = `CONNECT ${JSON.stringify(about)}\r\n${wish}PING\r\n`;
      socket.write(maskedFrame(2, greeting));
    }
  }

  #pong(content = ""): Uint8Array {
    const { dialect } = this.#endpoint;
    if (dialect === "nats") return maskedFrame(2, "PONG\r\n");
    return dialect === "socket.io" ? maskedFrame(1, "3") : maskedFrame(10, content);
  }
}

/** Creates a JetStream consumer of the client's own, which sends it the whole stream. */
function createConsumer(stream: string, client: number): string {
  const inbox = `_INBOX.bench.${stream}.${client}`;
  const config = {
    deliver_policy: "all",
    ack_policy: "none",
    deliver_subject: inbox,
    flow_control: true,
    idle_heartbeat: IDLE_HEARTBEAT_NS,
  };
  const request = JSON.stringify({ stream_name: stream, config });
  const create = `PUB $JS.API.CONSUMER.CREATE.${stream} _INBOX.nobody ${request.length}`;
  return `SUB ${inbox} 1\r\n${create}\r\n${request}\r\n`;
}
