import { DEADLINE_MS, EventLog } from "./event-log.ts";
import { type CloseEvent, OPCODE, openRaw, type RawWebSocket } from "./raw-websocket.ts";

/** Whoever waits for what is said has a deadline of its own. */
const A_DAY_MS = 24 * 3600 * 1000;

/** One JSON object that the server said: an envelope, or a notice. */
export type Said = Readonly<Record<string, unknown>> & { readonly type: string };

/** A client of the dialect `spillway.v1.json`, over which a test has full control. */
export class V1Client {
  readonly raw: RawWebSocket;
  /** Everything that was said, however many objects stood in a frame. */
  readonly said = new EventLog<Said>("v1 client");
  /** How many text frames came. */
  frames = 0;

  constructor(raw: RawWebSocket) {
    this.raw = raw;
    void this.#read();
  }

  /** The next message or notice of this type, counted from the last one that was asked for. */
  async next(type: string): Promise<Said> {
    for (;;) {
      const said = await this.said.next(`"${type}"`);
      if (said.type === type) return said;
    }
  }

  send(frame: object): void {
    this.raw.send(JSON.stringify(frame));
  }

  /** Subscribes, and returns when it is in effect. */
  async subscribe(id: string, subjects: readonly string[], more: object = {}): Promise<Said> {
    this.send({ type: "subscribe", id, subjects, ...more });
    return await this.said.find(
      (said) => said.type === "subscribed" && said.id === id,
      `"subscribed" for ${id}`,
    );
  }

  /** All messages so far. */
  get messages(): Said[] {
    return this.said.entries.filter(({ type }) => type === "data");
  }

  /** All notices of this type so far. */
  notices(type: string): Said[] {
    return this.said.entries.filter((said) => said.type === type);
  }

  /** Waits until something was said that fits, and what came before it. */
  async until(
    fits: (said: Said) => boolean,
    what: string,
    deadlineMs = DEADLINE_MS,
  ): Promise<Said> {
    return await this.said.find(fits, what, deadlineMs);
  }

  closed(): Promise<CloseEvent> {
    return this.raw.nextClose();
  }

  async #read(): Promise<void> {
    try {
      for (;;) {
        const { opcode, payload } = await this.raw.frames.next("frame", A_DAY_MS);
        if (opcode !== OPCODE.text) continue;
        this.frames++;
        for (const line of payload.toString().split("\n")) this.said.add(JSON.parse(line));
      }
    } catch (error) {
      this.said.end(String(error));
    }
  }
}

/** Opens a connection in the dialect `spillway.v1.json`, perhaps with more headers. */
export async function openV1(
  url: string,
  more: Readonly<Record<string, string>> = {},
): Promise<V1Client> {
  const headers = { "Sec-WebSocket-Protocol": "spillway.v1.json", ...more };
  return new V1Client(await openRaw(url, { headers }));
}
