import { DEADLINE_MS, EventLog, within } from "./event-log.ts";
import type { CloseEvent } from "./raw-websocket.ts";

/** A data envelope, as the plain dialect sends it. */
export interface Envelope {
  readonly type: string;
  readonly id: string;
  readonly timestamp: number;
  readonly subject: string;
  readonly encoding?: string;
  readonly payload: unknown;
}

/** A well-behaved client: the platform's own WebSocket. */
export interface Subscriber {
  readonly protocol: string;
  /** All texts so far, byte for byte. */
  readonly texts: readonly string[];
  /** The first text that was not taken yet. */
  nextText(deadlineMs?: number): Promise<string>;
  /** The first envelope that was not taken yet. */
  next(deadlineMs?: number): Promise<Envelope>;
  /** The first `count` envelopes that were not taken yet. */
  take(count: number, deadlineMs?: number): Promise<Envelope[]>;
  send(data: string | Uint8Array<ArrayBuffer>): void;
  /** How the connection ended, once it has; waits for that, as long as a test waits. */
  readonly closed: () => Promise<CloseEvent>;
  /** Closes and returns when it is done. May be called twice. */
  close(): Promise<CloseEvent>;
}

/** Connects a well-behaved client and returns it once it is open. */
export async function connect(
  url: string,
  options: { protocols?: string[]; headers?: Record<string, string> } = {},
): Promise<Subscriber> {
  const texts = new EventLog<string>("subscriber", (text) => text);
  // `headers` is Bun's own extension.
  const socket = new WebSocket(url, options as unknown as string[]);
  const open = Promise.withResolvers<void>();
  const end = Promise.withResolvers<CloseEvent>();
  socket.onopen = () => open.resolve();
  socket.onmessage = ({ data }) => texts.add(String(data));
  socket.onclose = ({ code, reason }) => {
    texts.end(`was closed with ${code} ${reason}`);
    open.reject(new Error(`${url}: closed with ${code} ${reason} before it was open`));
    end.resolve({ code, reason });
  };
  const closed = (): Promise<CloseEvent> =>
    within(end.promise, () => `close; ${texts.entries.length} messages came instead`);
  await within(open.promise, `WebSocket to ${url}`);
  const take = async (count: number, deadlineMs = DEADLINE_MS): Promise<Envelope[]> =>
    (await texts.take(count, "messages", deadlineMs)).map((text) => JSON.parse(text) as Envelope);
  return {
    protocol: socket.protocol,
    texts: texts.entries,
    nextText: (deadlineMs) => texts.next("message", deadlineMs),
    next: async (deadlineMs) => (await take(1, deadlineMs))[0]!,
    take,
    send: (data) => socket.send(data),
    closed,
    close() {
      socket.close();
      return closed();
    },
  };
}
