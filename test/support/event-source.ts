import { connect, type Socket } from "node:net";
import { DEADLINE_MS, EventLog, within } from "./event-log.ts";
import { EventParser, type ServerEvent } from "./event-parser.ts";

/**
 * A reader of server-sent events over a bare TCP connection. `fetch` and `EventSource` read ahead; a test
 * can stall this one, and sees whether the response ended or was cut.
 */
export class EventReader {
  readonly events = new EventLog<ServerEvent>(
    "event reader",
    ({ type, data }) => `${type}: ${data}`,
  );
  readonly comments = new EventLog<string>("event reader");
  readonly #socket: Socket;
  readonly #decoder = new TextDecoder();
  readonly #parser = new EventParser(
    (event) => this.events.add(event),
    (comment) => this.comments.add(comment),
  );
  readonly #answered = Promise.withResolvers<void>();
  readonly #ended = Promise.withResolvers<"whole" | "cut">();
  #status = 0;
  #headers: ReadonlyMap<string, string> = new Map();
  /** What came and was not read: of the head, then of the chunked body (RFC 9112 §7.1). */
  #unread: Buffer = Buffer.alloc(0);

  constructor(url: string, headers: Readonly<Record<string, string>>) {
    const { hostname, port, host, pathname, search } = new URL(url);
    this.#socket = connect({ host: hostname, port: Number(port) });
    this.#socket.on("data", (chunk: Buffer) => this.#read(chunk));
    this.#socket.on("error", () => {}).on("close", () => this.#end("cut"));
    const lines = Object.entries({ Host: host, Accept: "text/event-stream", ...headers });
    const head = lines.map(([name, value]) => `${name}: ${value}\r\n`).join("");
    this.#socket.write(`GET ${pathname}${search} HTTP/1.1\r\n${head}\r\n`);
  }

  get status(): number {
    return this.#status;
  }

  get retryMs(): number | undefined {
    return this.#parser.retryMs;
  }

  /** By their names in lower case. */
  get headers(): ReadonlyMap<string, string> {
    return this.#headers;
  }

  /** Returns when the head of the answer is there. */
  answered(): Promise<void> {
    return within(this.#answered.promise, "answer to a request for events");
  }

  /** How the stream ends: `"whole"` with its last chunk, or `"cut"`. */
  ended(deadlineMs: number = DEADLINE_MS): Promise<"whole" | "cut"> {
    return within(this.#ended.promise, "end of the events", deadlineMs);
  }

  /** The next event of this type, behind those that were taken. */
  async next(type: string): Promise<ServerEvent> {
    for (;;) {
      const event = await this.events.next(`event "${type}"`);
      if (event.type === type) return event;
    }
  }

  /** The next `count` messages, behind the events that were taken. */
  async take(count: number): Promise<ServerEvent[]> {
    const messages: ServerEvent[] = [];
    while (messages.length < count) messages.push(await this.next("message"));
    return messages;
  }

  /** All events of this type so far. */
  all(type: string): ServerEvent[] {
    return this.events.entries.filter((event) => event.type === type);
  }

  /** Reads nothing from now on: the kernel's buffers fill up. */
  pause(): void {
    this.#socket.pause();
  }

  resume(): void {
    this.#socket.resume();
  }

  destroy(): void {
    this.#socket.destroy();
  }

  #read(chunk: Buffer): void {
    this.#unread = this.#unread.length === 0 ? chunk : Buffer.concat([this.#unread, chunk]);
    if (this.#status === 0 && !this.#readHead()) return;
    for (;;) {
      const lineEnd = this.#unread.indexOf("\r\n");
      if (lineEnd < 0) return;
      const size = Number.parseInt(this.#unread.subarray(0, lineEnd).toString(), 16);
      const start = lineEnd + 2;
      if (this.#unread.length < start + size + 2) return;
      if (size === 0) {
        this.#end("whole");
        return;
      }
      const chunk = this.#unread.subarray(start, start + size);
      this.#parser.push(this.#decoder.decode(chunk, { stream: true }));
      this.#unread = this.#unread.subarray(start + size + 2);
    }
  }

  #readHead(): boolean {
    const end = this.#unread.indexOf("\r\n\r\n");
    if (end < 0) return false;
    const [first = "", ...lines] = this.#unread.subarray(0, end).toString("latin1").split("\r\n");
    this.#unread = this.#unread.subarray(end + 4);
    this.#headers = new Map(
      lines.map((line): [string, string] => {
        const colon = line.indexOf(":");
        return [line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim()];
      }),
    );
    this.#status = Number(first.split(" ")[1]);
    this.#answered.resolve();
    return this.#headers.get("transfer-encoding") === "chunked";
  }

  #end(how: "whole" | "cut"): void {
    this.#ended.resolve(how);
    this.#answered.resolve();
    this.events.end(`was ${how === "cut" ? "cut" : "ended"}`);
    this.comments.end(`was ${how === "cut" ? "cut" : "ended"}`);
  }
}

/** Asks for events, and returns once they are promised. */
export async function openEvents(
  url: string,
  headers: Readonly<Record<string, string>> = {},
): Promise<EventReader> {
  const reader = new EventReader(url, headers);
  await reader.answered();
  if (reader.status === 200) return reader;
  reader.destroy();
  throw new Error(`${url}: refused with ${reader.status}`);
}
