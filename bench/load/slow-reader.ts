import { setTimeout as sleep } from "node:timers/promises";
import { OPCODE, openRaw, type RawWebSocket } from "../../test/support/raw-websocket.ts";
import type { Slow } from "../scenario.ts";
import { type Endpoint, SUBJECT } from "./endpoint.ts";
import { nowUs } from "./wall-clock.ts";

/** After the last message, how long it may take until every message is accounted for. */
const SETTLES_MS = 20_000;
const ANY_MS = 24 * 3600 * 1000;

/** A client that accounts for every message, if the server tells it what it doesn't get, and takes their age. */
export class SlowReader {
  readonly raw: RawWebSocket;
  agesMs: number[] = [];
  received = 0;
  isLost = false;
  /** In gaps, and superseded by later values. */
  declared = 0;

  private constructor(raw: RawWebSocket, dialect: Endpoint["dialect"]) {
    this.raw = raw;
    void this.#read(
      dialect === "nats" ? (text) => this.#takeNats(text) : (text) => this.#take(text),
    );
  }

  /** Resolves when the subscription is in effect. */
  static async open(
    url: string,
    dialect: Endpoint["dialect"],
    policy: Slow["policy"],
  ): Promise<SlowReader> {
    const subject = `${SUBJECT}.>`;
    const isNats = dialect === "nats";
    const headers = isNats ? {} : { "Sec-WebSocket-Protocol": "spillway.v1.json" };
    const raw = await openRaw(url, { headers });
    const client = new SlowReader(raw, dialect);
    const subscribe = { type: "subscribe", id: "1", subjects: [subject], policy };
    if (isNats) raw.send(Buffer.from(`CONNECT {"verbose":false}\r\nSUB ${subject} 1\r\nPING\r\n`));
    else raw.send(JSON.stringify(subscribe));
    const answer = isNats ? "PONG" : '"subscribed"';
    await raw.frames.find(({ payload }) => payload.includes(answer), "the answer to subscribe");
    return client;
  }

  /** Reads on without a pace. @returns the part of so many messages that was received or declared. */
  async settle(published: number): Promise<number> {
    this.raw.readAt(Number.MAX_SAFE_INTEGER);
    const endMs = performance.now() + SETTLES_MS;
    while (this.received + this.declared < published && performance.now() < endMs) await sleep(10);
    return (this.received + this.declared) / published;
  }

  async #read(take: (text: string) => void): Promise<void> {
    try {
      for (;;) {
        const { opcode, payload } = await this.raw.frames.next("frame", ANY_MS);
        if (opcode <= OPCODE.binary) take(payload.toString("latin1"));
      }
    } catch {
      this.isLost = true;
    }
  }

  #take(text: string): void {
    for (const line of text.split("\n")) {
      const { type, payload, superseded = 0, count } = JSON.parse(line);
      if (type === "gap") this.declared += count;
      if (type !== "data") continue;
      this.received++;
      this.declared += superseded;
      this.agesMs.push((nowUs() - payload.t) / 1000);
    }
  }

  /** A message that is not all in one frame is left out. */
  #takeNats(text: string): void {
    if (text.startsWith("PING")) this.raw.send(Buffer.from("PONG\r\n"));
    for (const [, stamp] of text.matchAll(/"t":(\d+),/g)) {
      this.received++;
      this.agesMs.push((nowUs() - Number(stamp)) / 1000);
    }
  }
}
