import { connect, type Socket } from "node:net";
import { Acknowledger } from "./acknowledger.ts";
import { type Endpoint, KEPT_STREAM, wantedBy } from "./endpoint.ts";
import { maskedFrame } from "./masked-frame.ts";
import { EnvelopeReader, NatsReader, SocketIoReader, V1Reader } from "./message-readers.ts";
import type { Findings, Sampling, StreamReader } from "./stream-reader.ts";

/** The example of RFC 6455 §1.3: the C reference knows the answer to no other. */
const KEY = "dGhlIHNhbXBsZSBub25jZQ==";
const ACCEPT = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";
/** Read at a time from one socket. It stays in the core's cache, and nothing is allocated per read. */
const RECEIVE_BYTES = 64 * 1024;
/** JetStream asks for one where there is flow control. */
const IDLE_HEARTBEAT_NS = 30e9;

/** A client of the load: a WebSocket over raw TCP that counts what it gets. */
export interface LoadClient {
  readonly reader: StreamReader;
  /** Leaves all that comes in the kernel, as a program does that hangs. */
  stall(): void;
}

/** Opens the clients of a load. All of them read into one buffer, which Node can and Bun can't. */
export class Dialer {
  readonly #endpoint: Endpoint;
  readonly #sampling: Sampling;
  readonly #lose: (client: number, what: string) => void;
  readonly #received = Buffer.allocUnsafeSlow(RECEIVE_BYTES);
  #dialled = 0;

  /** @param lose learns of each connection that ends or never comes about: its number, and why. */
  constructor(
    endpoint: Endpoint,
    sampling: Sampling,
    lose: (client: number, what: string) => void,
  ) {
    this.#endpoint = endpoint;
    this.#sampling = sampling;
    this.#lose = lose;
  }

  /** Resolves when the client will get every message that is published from now on. */
  dial(): Promise<LoadClient> {
    const { port } = this.#endpoint;
    const number = this.#dialled++;
    const { promise, resolve, reject } = Promise.withResolvers<LoadClient>();
    let lost = false;
    const fault = (what: string): void => {
      if (lost) return;
      lost = true;
      this.#lose(number, what);
      reject(new Error(what));
    };
    const findings: Findings = {
      ping: () => void socket.write(this.#pong()),
      wantsAnswer: (subject) => void socket.write(maskedFrame(2, `PUB ${subject} 0\r\n\r\n`)),
      subscribed: () => resolve({ reader, stall: () => socket.pause() }),
      fault,
    };
    const reader = this.#reader(findings, number);
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
        this.#greet(socket, findings, number);
      }
      reader.read(chunk);
      acknowledger?.after(reader.messages, chunk);
      return true;
    };
    const options = { host: "127.0.0.1", port, noDelay: true };
    const socket = connect({ ...options, onread: { buffer: this.#received, callback } });
    const { acks, subjects = 1 } = this.#endpoint;
    const acknowledger = acks && new Acknowledger(socket, acks, subjects);
    socket.on("error", ({ message }) => fault(message));
    socket.on("close", () => fault("the connection was closed"));
    socket.write(this.#request(number));
    return promise;
  }

  #reader(findings: Findings, number: number): StreamReader {
    const Reader = {
      envelope: EnvelopeReader,
      v1: V1Reader,
      nats: NatsReader,
      "socket.io": SocketIoReader,
    };
    return new Reader[this.#endpoint.dialect](findings, this.#sampling, number);
  }

  #request(number: number): string {
    const { path, port, dialect, subjects, deflate } = this.#endpoint;
    const filtered = dialect === "envelope" && subjects !== undefined;
    const query = filtered ? `?subjects=${wantedBy(this.#endpoint, number)}` : "";
    const offers =
      (dialect === "v1" ? "Sec-WebSocket-Protocol: spillway.v1.json\r\n" : "") +
      (deflate ? "Sec-WebSocket-Extensions: permessage-deflate\r\n" : "");
    return (
      `GET ${path}${query} HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\nUpgrade: websocket\r\n` +
      `Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: ${KEY}\r\n${offers}\r\n`
    );
  }

  /** Says what a protocol needs to hear before it sends messages. */
  #greet(socket: Socket, { subscribed }: Findings, number: number): void {
    const { dialect, goesBack } = this.#endpoint;
    const subject = wantedBy(this.#endpoint, number);
    if (dialect === "envelope") subscribed();
    else if (dialect === "v1") {
      const begin = goesBack && { from: "all" };
      const subscribe = { type: "subscribe", id: "1", subjects: [subject], ...begin };
      socket.write(maskedFrame(1, JSON.stringify(subscribe)));
    } else if (dialect === "socket.io") socket.write(maskedFrame(1, "40"));
    else {
      const about = {
        verbose: false,
        pedantic: false,
        headers: true,
        lang: "bench",
        version: "1",
      };
      const wish = goesBack ? consumer(number) : `SUB ${subject} 1\r\n`;
      const greeting = `CONNECT ${JSON.stringify(about)}\r\n${wish}PING\r\n`;
      socket.write(maskedFrame(2, greeting));
    }
  }

  #pong(): Uint8Array {
    const { dialect } = this.#endpoint;
    if (dialect === "nats") return maskedFrame(2, "PONG\r\n");
    // A pong frame need not answer a ping frame (RFC 6455 §5.5.3), and every server takes it for life.
    return dialect === "socket.io" ? maskedFrame(1, "3") : maskedFrame(10, "");
  }
}

/** What makes a JetStream consumer of a client's own, which sends it all that the stream has. */
function consumer(client: number): string {
  const inbox = `_INBOX.bench.${client}`;
  const config = {
    deliver_policy: "all",
    ack_policy: "none",
    deliver_subject: inbox,
    flow_control: true,
    idle_heartbeat: IDLE_HEARTBEAT_NS,
  };
  const request = JSON.stringify({ stream_name: KEPT_STREAM, config });
  const create = `PUB $JS.API.CONSUMER.CREATE.${KEPT_STREAM} _INBOX.nobody ${request.length}`;
  return `SUB ${inbox} 1\r\n${create}\r\n${request}\r\n`;
}
