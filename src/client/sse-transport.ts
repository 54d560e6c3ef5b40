import type { ClientFrame } from "../protocol/client-frames.ts";
import type { ErrorCode } from "../protocol/error-codes.ts";
import type { From } from "../protocol/fields.ts";
import { decodePayload } from "./payload.ts";
import type { Platform } from "./platform.ts";
import type {
  IncomingFrame,
  OpenTransport,
  Transport,
  TransportEvents,
  Welcome,
} from "./transport.ts";

type SubscribeFrame = Extract<ClientFrame, { type: "subscribe" }>;
type PublishFrame = Extract<ClientFrame, { type: "publish" }>;

export interface EventsOptions {
  /** The URL to which messages are posted, without the subject. Default: `publish/` beside the gateway's WebSocket. */
  readonly publishUrl?: string;
}

// Close codes.
const LOST = 1006;
const FORBIDDEN = 4403;
const EXPIRED = 4512;
/** The gateway sends a comment at least this often by default, in milliseconds. */
const HEARTBEAT_MS = 30_000;
/** The longest wait before another attempt that an answer may ask for, in seconds. */
const MOST_WAIT_S = 300;
/** The longest line, in characters. A message of 8 MiB, the most that NATS recommends, takes less, however it is escaped. */
const MOST_LINE = 2 ** 26;

const CODE_OF_STATUS: Readonly<Record<number, ErrorCode>> = {
  400: "unsupported",
  401: "unauthenticated",
  403: "forbidden",
  413: "too_large",
  429: "too_many_requests",
  504: "timeout",
};

/** Writes where to begin into the query. */
function addStart(query: URLSearchParams, from: From): void {
  if (typeof from !== "object") query.set("from", from);
  else if ("after" in from) query.set("after", from.after);
  else query.set("from", "seq" in from ? `seq:${from.seq}` : `time:${from.time}`);
}

/** @param own the query of the URL itself, such as `access_token=…`. */
function queryOf(
  { subjects, from, policy, max_rate: rate }: SubscribeFrame,
  own: string | undefined,
): URLSearchParams {
  const query = new URLSearchParams(own);
  for (const subject of subjects) query.append("subject", subject);
  if (from !== undefined) addStart(query, from);
  if (policy !== undefined) query.set("policy", policy);
  if (rate !== undefined) query.set("max_rate", `${rate}`);
  return query;
}

/** Returns the bytes that a message has at NATS. */
function bodyOf({ encoding, payload }: PublishFrame): string | Uint8Array<ArrayBuffer> {
  if (encoding === "empty") return "";
  if (encoding === "base64") {
    return decodePayload({ encoding, payload }) as Uint8Array<ArrayBuffer>;
  }
  return encoding === "text" ? (payload as string) : JSON.stringify(payload);
}

/** Reads lines until the body ends; throws if the connection is lost, or a line is too long. */
async function readLines(
  body: ReadableStream<Uint8Array>,
  line: (text: string) => void,
): Promise<void> {
  const reader = body.getReader();
  const decoder = new TextDecoder();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    const [first, ...lines] = decoder.decode(value, { stream: true }).split("\n");
    rest += first;
    if (rest.length > MOST_LINE) throw new Error(`a line has more than ${MOST_LINE} characters`);
    for (const next of lines) {
      line(rest.endsWith("\r") ? rest.slice(0, -1) : rest);
      rest = next;
    }
  }
}

/**
 * Speaks with a gateway by server-sent events, for networks that block WebSockets: each subscription is a request of its
 * own (over HTTP/1.1, a browser opens at most six to an origin), and messages are posted. There is no at-least-once, no
 * request and no presence: those fail with `unsupported`. A message that is posted while the connection is lost may be
 * published twice.
 *
 * ```ts
 * const connection = connect(url, { transport: serverSentEvents() });
 * ```
 */
export function serverSentEvents(options: EventsOptions = {}): OpenTransport {
  return ({ url, token }, events, { fetch, random }) => {
    if (fetch === undefined) throw new Error("This runtime has no fetch: pass one in platform");
    const httpUrl = url.replace(/^ws/, "http");
    return new EventsTransport(httpUrl, token, options, fetch, random, events);
  };
}

class EventsTransport implements Transport {
  readonly #url: string;
  /** The query of the URL. */
  readonly #query: string | undefined;
  readonly #publishUrl: string;
  #headers: Record<string, string>;
  readonly #fetch: NonNullable<Platform["fetch"]>;
  readonly #random: () => number;
  readonly #events: TransportEvents;
  /** Ends all requests. */
  readonly #aborter = new AbortController();
  readonly #streams = new Map<string, AbortController>();
  /** Messages whose answers have not come. */
  readonly #posting = new Set<string>();
  #isOver = false;

  constructor(
    url: string,
    token: string | undefined,
    { publishUrl = url.replace(/[^/]*\/*(\?.*)?$/, "publish/") }: EventsOptions,
    fetch: NonNullable<Platform["fetch"]>,
    random: () => number,
    events: TransportEvents,
  ) {
    this.#url = url;
    this.#query = url.split("?")[1];
    this.#publishUrl = publishUrl;
    this.#headers = token === undefined ? {} : { Authorization: `Bearer ${token}` };
    this.#fetch = fetch;
    this.#random = random;
    this.#events = events;
    void this.#check(() =>
      this.#tell({
        ...{ type: "welcome", isDirected: true, session: "sse", version: "", server_time: 0 },
        ...{ ping_interval_ms: HEARTBEAT_MS, upstream: "connected", delivery_mode: "at-most-once" },
        limits: { max_frame_bytes: Number.MAX_SAFE_INTEGER, max_subscriptions: 64 },
      }),
    );
  }

  send(frame: ClientFrame): void {
    switch (frame.type) {
      case "subscribe":
        void this.#subscribe(frame);
        return;
      case "unsubscribe":
        this.#streams.get(frame.sub)?.abort();
        this.#streams.delete(frame.sub);
        return;
      case "publish":
        void this.#publish(frame);
        return;
      case "auth":
        this.#headers = { Authorization: `Bearer ${frame.token}` };
        return;
      case "ping":
        void this.#check(() => this.#tell({ type: "pong" }));
        return;
      case "request":
      case "presence":
        this.#refuse(
          frame.id,
          "unsupported",
          "Server-sent events don't have it: it needs a WebSocket",
        );
    }
  }

  close(): void {
    this.#isOver = true;
    this.#aborter.abort();
  }

  #tell(frame: IncomingFrame): void {
    if (!this.#isOver) this.#events.frame(frame);
  }

  #refuse(
    id: string,
    code: ErrorCode,
    message: string,
    retryable = false,
    retry_after_ms?: number,
  ): void {
    this.#tell({ type: "error", id, error: { code, message, retryable }, retry_after_ms });
  }

  /** Ends the transport. */
  #lost(code: number, reason: string): void {
    if (this.#isOver) return;
    // The next transport would post them again.
    for (const id of this.#posting) this.#refuse(id, "timeout", "The connection was lost", true);
    this.close();
    this.#events.close(code, reason);
  }

  #lostAt(url: string, response: Response): void {
    const reason = `no gateway answers at ${url}: HTTP status ${response.status}`;
    const retry_after_ms = this.#waitOf(response);
    if (retry_after_ms !== undefined)
      this.#tell({ type: "disconnect", code: LOST, reason, reconnect: true, retry_after_ms });
    this.#lost(LOST, reason);
  }

  /** Returns how long an answer asks to wait, in milliseconds. A date is ignored: the clocks may differ. */
  #waitOf({ headers }: Response): number | undefined {
    const seconds = Number(headers.get("Retry-After"));
    // Clients that were refused together don't come back at the same moment.
    return seconds > 0 ? 1000 * (Math.min(MOST_WAIT_S, seconds) + this.#random()) : undefined;
  }

  /** Finds out whether the gateway is there. */
  async #check(answered: () => void): Promise<void> {
    try {
      const { signal } = this.#aborter;
      const response = await this.#fetch(this.#url, {
        ...{ method: "HEAD", signal, cache: "no-store" },
      });
      const { status, body } = response;
      // React Native's gives a body only when it is complete, which a stream of events never is.
      if (body === undefined)
        this.#lost(LOST, "fetch doesn't stream: pass another one in platform");
      else if (status === 204) answered();
      else this.#lostAt(this.#url, response);
    } catch (error) {
      this.#lost(LOST, `${error}`);
    }
  }

  async #subscribe(frame: SubscribeFrame): Promise<void> {
    const { id, subjects, mode, durable, from } = frame;
    if (mode === "at-least-once" || durable !== undefined) {
      this.#refuse(
        id,
        "unsupported",
        "Server-sent events can't be acknowledged: it needs a WebSocket",
      );
      return;
    }
    const aborter = new AbortController();
    const { signal } = aborter;
    const abort = (): void => aborter.abort();
    this.#aborter.signal.addEventListener("abort", abort);
    this.#streams.set(id, aborter);
    try {
      const path = this.#url.replace(/\/*(\?.*)?$/, "/sse");
      const response = await this.#fetch(`${path}?${queryOf(frame, this.#query)}`, {
        headers: { ...this.#headers, Accept: "text/event-stream" },
        ...{ signal, cache: "no-store" },
      });
      const { status, headers, body } = response;
      const isStream = headers.get("Content-Type")?.startsWith("text/event-stream");
      if (status === 204 && typeof from === "object" && "after" in from) {
        // The only subject has ended at this place.
        const terms = { subjects, policy: "drop-oldest", from: from.after } as const;
        this.#tell({ type: "subscribed", id, sub: id, ...terms });
        this.#tell({ type: "end", subject: subjects[0]!, id: from.after, sub: id });
      } else if (status === 200 && isStream && body !== null) await this.#read(body, id, signal);
      else if (status === 200 || status === 404) this.#lostAt(path, response);
      else if (status === 401 && this.#headers.Authorization) {
        this.#lost(EXPIRED, await reasonOf(response));
      } else if (status === 401) {
        // As a gateway says it that waits for a token.
        this.#tell({ type: "welcome", session: "" } as Welcome);
      } else if (!signal.aborted) await this.#refused(id, response);
    } catch (error) {
      if (!signal.aborted) this.#lost(LOST, `${error}`);
    } finally {
      this.#aborter.signal.removeEventListener("abort", abort);
      if (this.#streams.get(id) === aborter) this.#streams.delete(id);
    }
  }

  /** Reads the events of a subscription until they end. */
  async #read(body: ReadableStream<Uint8Array>, sub: string, signal: AbortSignal): Promise<void> {
    /** A message that ends its subject has no place of its own: it comes with its `end`, or again. */
    let ending: IncomingFrame | undefined;
    let data = "";
    let hasId = false;
    let code = LOST;
    let reason = "the stream of events has ended";
    const take = (frame: IncomingFrame): void => {
      if (frame.type === "disconnect") ({ code, reason } = frame);
      switch (frame.type) {
        case "data":
          if (!hasId) ending = { ...frame, sub };
          else this.#tell({ ...frame, sub });
          return;
        case "end":
          if (ending !== undefined) this.#tell(ending);
          ending = undefined;
          this.#tell({ ...frame, sub });
          return;
        case "subscribed":
          this.#tell({ ...frame, id: sub, sub });
          return;
        case "error":
          this.#tell({ ...frame, id: sub });
          return;
        case "welcome":
          this.#tell({ type: "upstream", state: frame.upstream });
          return;
        case "disconnect":
          // It concerns this subscription only, and an `error` has said so.
          if (frame.code !== FORBIDDEN) this.#tell(frame);
          return;
        // It can't be answered here. The gateway ends the stream when the token expires.
        case "token_expiring":
          return;
        default:
          this.#tell({ ...frame, sub });
      }
    };
    await readLines(body, (line) => {
      if (signal.aborted) return;
      if (line.startsWith("data: ")) data = line.slice(6);
      else if (line.startsWith("id: ")) hasId = true;
      else if (line === ":") this.#tell({ type: "pong" });
      if (line !== "") return;
      if (data !== "") take(JSON.parse(data));
      data = "";
      hasId = false;
    });
    if (code !== FORBIDDEN && !signal.aborted) this.#lost(code, reason);
  }

  async #publish(frame: PublishFrame): Promise<void> {
    const { id, subject, headers, end } = frame;
    if (headers !== undefined) {
      this.#refuse(
        id,
        "unsupported",
        "A message that is posted has no headers: it needs a WebSocket",
      );
      return;
    }
    const { signal } = this.#aborter;
    const query = new URLSearchParams(this.#query);
    if (end) query.set("end", "true");
    const url = `${this.#publishUrl}${encodeURIComponent(subject)}?${query}`;
    this.#posting.add(id);
    try {
      const response = await this.#fetch(url, {
        ...{ method: "POST", headers: this.#headers, body: bodyOf(frame), signal },
      });
      if (response.status === 202) {
        const { stream, seq } = await response.json();
        const place = stream === undefined ? {} : { stream, seq };
        this.#tell({ type: "published", id, ...place });
      } else await this.#refused(id, response);
    } catch (error) {
      this.#refuse(id, "timeout", `The connection was lost: ${error}`, true);
    }
    this.#posting.delete(id);
  }

  /** Tells why a request was refused. */
  async #refused(id: string, response: Response): Promise<void> {
    const { status } = response;
    const reason = await reasonOf(response);
    const isOfSubject = status === 400 && reason.startsWith("subject ");
    const code = isOfSubject ? "invalid_subject" : (CODE_OF_STATUS[status] ?? "unavailable");
    const isExpired = status === 401 && this.#headers.Authorization !== undefined;
    const retryable = isExpired || status === 429 || status >= 500;
    this.#refuse(id, code, reason, retryable, this.#waitOf(response));
    // The next message is posted with another one.
    if (isExpired) this.#tell({ type: "token_expiring", expires_in_ms: 0 });
  }
}

/** Returns why a request was refused, in words. */
async function reasonOf(response: Response): Promise<string> {
  const fallback = `HTTP status ${response.status}`;
  try {
    return (await response.json()).detail ?? fallback;
  } catch {
    return fallback;
  }
}
