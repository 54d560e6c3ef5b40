import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { SUBJECT_DIGITS, subjectOf } from "./endpoint.ts";
import { nowUs } from "./wall-clock.ts";

/** With it all sequence numbers are equally long. */
const FIRST_NUMBER = 10_000_000;

/**
 * Writes the NATS protocol to a raw TCP socket, from a prepared template. Each payload is
 * `{"t":<µs since 1970>,"n":<sequence>,"d":"xx…"}`, of an exact length.
 */
export class NatsWriter {
  published = 0;
  readonly #socket: Socket;
  readonly #template: Buffer;
  readonly #stampAt: number;
  readonly #numberAt: number;
  /** Messages go to this many subjects in turn; 0: to one. */
  readonly #subjects: number;
  readonly #subjectAt: number;

  private constructor(socket: Socket, subject: string, payloadBytes: number, subjects: number) {
    this.#socket = socket;
    this.#subjects = subjects;
    this.#subjectAt = `PUB ${subject}.`.length;
    const around = `{"t":${nowUs()},"n":${FIRST_NUMBER},"d":""}`;
    const payload = `${around.slice(0, -2)}${"x".repeat(payloadBytes - around.length)}"}`;
    const first = subjects === 0 ? subject : subjectOf(subject, 0);
    this.#template = Buffer.from(`PUB ${first} ${payloadBytes}\r\n${payload}\r\n`);
    this.#stampAt = this.#template.indexOf('"t":') + 4;
    this.#numberAt = this.#template.indexOf('"n":') + 4;
  }

  /** @param port of nats-server, on loopback. */
  static async connect(
    port: number,
    subject: string,
    payloadBytes: number,
    subjects = 0,
  ): Promise<NatsWriter> {
    const socket = connect({ host: "127.0.0.1", port, noDelay: true });
    await once(socket, "connect");
    // If NATS ends before the writer, the load notices elsewhere.
    socket.on("error", () => {});
    await waitForLine(socket, "INFO");
    const about = { verbose: false, lang: "bench", version: "1" };
    socket.write(`CONNECT ${JSON.stringify(about)}\r\nPING\r\n`);
    await waitForLine(socket, "PONG");
    // Its pings need an answer only in longer runs than ours.
    socket.resume();
    return new NatsWriter(socket, subject, payloadBytes, subjects);
  }

  /** What NATS has not taken yet. */
  get unwrittenBytes(): number {
    return this.#socket.writableLength;
  }

  /** Publishes messages that have one stamp: that of the moment before they are written. */
  publish(count: number): void {
    if (count <= 0) return;
    const { length } = this.#template;
    const batch = Buffer.alloc(count * length, this.#template);
    const stamp = String(nowUs());
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
    await waitForLine(this.#socket, "PONG");
  }
}

/** Waits for a line that begins with a word. */
async function waitForLine(socket: Socket, word: string): Promise<void> {
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
