import type { Socket } from "node:net";
import { maskedFrame } from "./masked-frame.ts";

const FIRST = Buffer.from('"type":"data","id":"');

/**
 * Acknowledges the messages of one client of Spillway. It reads only the first message: as the client gets
 * every message of the gateway, or one of so many in turn, that id says what the others' are.
 */
export class Acknowledger {
  readonly #socket: Socket;
  readonly #each: boolean;
  /** The distance between the sequences of its messages. */
  readonly #stride: number;
  #origin = "";
  /** The sequence one stride before its first message. */
  #before = 0;
  #acknowledged = 0;

  constructor(socket: Socket, acks: "each" | "last", stride: number) {
    this.#socket = socket;
    this.#each = acks === "each";
    this.#stride = stride;
  }

  /** @param messages how many have come, the last of them in this chunk. */
  after(messages: number, chunk: Buffer): void {
    if (messages === this.#acknowledged) return;
    if (this.#acknowledged === 0) this.#readFirst(chunk);
    if (this.#each) {
      const frames: Uint8Array[] = [];
      for (let n = this.#acknowledged + 1; n <= messages; n++) frames.push(this.#frame("id", n));
      this.#socket.write(frames.length === 1 ? frames[0]! : Buffer.concat(frames));
    } else {
      this.#socket.write(this.#frame("upto", messages));
    }
    this.#acknowledged = messages;
  }

  #frame(field: "id" | "upto", message: number): Uint8Array {
    const id = `${this.#origin}:${this.#before + message * this.#stride}`;
    return maskedFrame(1, `{"type":"ack","${field}":"${id}"}`);
  }

  #readFirst(chunk: Buffer): void {
    const start = chunk.indexOf(FIRST) + FIRST.length;
    const id = chunk.toString("latin1", start, start + 40).split('"')[0]!;
    const [origin, sequence] = id.split(":");
    if (origin === undefined || !(Number(sequence) > 0)) throw new Error("a message has no id");
    this.#origin = origin;
    this.#before = Number(sequence) - this.#stride;
  }
}
