import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { SUBJECT_DIGITS, subjectOf } from "./endpoint.ts";
import type { WallClock } from "./wall-clock.ts";

/** With it all sequence numbers are equally long. */
const FIRST_NUMBER = 10_000_000;

/**
 * Writes NATS' protocol to a raw TCP socket, from bytes that are built beforehand. Each payload is
 * `{"t":<µs since 1970>,"n":<sequence>,"d":"xx…"}`, of an exact length.
 */
export class NatsWriter {
  published = 0;
  readonly #socket: Socket;
  readonly #clock: WallClock;
  readonly #template: Buffer;
  readonly #stampAt: number;
  readonly #numberAt: number;
  /** Messages go to so many subjects in turn; 0: to one. */
  readonly #subjects: number;
  readonly #subjectAt: number;

  private constructor(
    socket: Socket,
    clock: WallClock,
    subject: string,
    payloadBytes: number,
    subjects: number,
  ) {
    this.#socket = socket;
    this.#clock = clock;
    const payload = payloadOf(payloadBytes, clock.nowUs());
    this.#subjects = subjects;
    this.#subjectAt = `PUB ${subject}.`.length;
    const first = subjects === 0 ? subject : subjectOf(subject, 0);
    this.#template = Buffer.from(`PUB ${first} ${payloadBytes}\r\n${payload}\r\n`);
    this.#stampAt = this.#template.indexOf('"t":') + 4;
    this.#numberAt = this.#template.indexOf('"n":') + 4;
  }

  /** @param port of nats-server, on loopback. */
  static async connect(
    port: number,
    clock: WallClock,
    subject: string,
    payloadBytes: number,
    subjects = 0,
  ): Promise<NatsWriter> {
    const socket = await dial(port);
    await says(socket, "INFO");
    const about = { verbose: false, lang: "bench", version: "1" };
    socket.write(`CONNECT ${JSON.stringify(about)}\r\nPING\r\n`);
    await says(socket, "PONG");
    // Its pings need an answer only in longer runs than ours.
    socket.resume();
    return new NatsWriter(socket, clock, subject, payloadBytes, subjects);
  }

  /** What NATS has not taken yet. */
  get unwrittenBytes(): number {
    return this.#socket.writableLength;
  }

  /** Messages that leave together have one stamp: that of the moment before they are written. */
  publish(count: number): void {
    if (count <= 0) return;
    const { length } = this.#template;
    const batch = Buffer.alloc(count * length, this.#template);
    const stamp = String(this.#clock.nowUs());
    for (let start = 0; start < batch.length; start += length) {
      if (this.#subjects > 0) {
        const number = String(this.published % this.#subjects).padStart(SUBJECT_DIGITS, "0");
        batch.write(number, start + this.#subjectAt, "latin1");
      }
      batch.write(stamp, start + this.#stampAt, "latin1");
      batch.write(String(FIRST_NUMBER + this.published++), start + this.#numberAt, "latin1");
    }
    this.#socket.write(batch);
  }

  /** Resolves when NATS has taken all that was published. */
  async flush(): Promise<void> {
    this.#socket.write("PING\r\n");
    await says(this.#socket, "PONG");
  }
}

/** A connection to a port of loopback. */
export async function dial(port: number): Promise<Socket> {
  const socket = connect({ host: "127.0.0.1", port, noDelay: true });
  await once(socket, "connect");
  // Who needs the other side learns of its end elsewhere; others no longer need it.
  socket.on("error", () => {});
  return socket;
}

function payloadOf(bytes: number, stampUs: number): string {
  const around = `{"t":${stampUs},"n":${FIRST_NUMBER},"d":""}`;
  if (bytes < around.length) throw new RangeError(`a payload has at least ${around.length} bytes`);
  return `${around.slice(0, -2)}${"x".repeat(bytes - around.length)}"}`;
}

/** Waits for a line that begins so; what stands before it is of no interest. */
async function says(socket: Socket, word: string): Promise<void> {
  let text = "";
  const { promise, resolve } = Promise.withResolvers<void>();
  const look = (chunk: Buffer): void => {
    text += chunk.toString("latin1");
    if (new RegExp(`(^|\n)${word}`).test(text)) resolve();
  };
  socket.on("data", look);
  await promise;
  socket.off("data", look);
}
