import type { ClientFrame } from "../protocol/client-frames.ts";
import type { FrameOf } from "../protocol/schema.ts";
import type { SERVER_FRAMES } from "../protocol/server-frames.ts";
import { gatewayError, SpillwayError } from "./errors.ts";
import type { LifecycleEvent, Platform } from "./platform.ts";
import { backOff, LEAST_PAUSE_MS, type NextWait, type RetryOptions } from "./retry.ts";
import { type TokenOption, type TokenReason, type TokenSource, tokenSource } from "./token.ts";
import type { IncomingFrame, OpenTransport, Transport, Welcome } from "./transport.ts";

/**
 * The state of a connection.
 *
 * - `connecting`: an attempt is under way.
 * - `open`: the gateway takes requests.
 * - `waiting`: the next attempt comes at `untilMs`, in Unix milliseconds.
 * - `idle`: the page is hidden, and the client connects when it is visible again.
 * - `closed`: for good. With `error`, the gateway has refused the client.
 */
export type ConnectionState =
  | { readonly type: "connecting" | "open" | "idle" }
  | { readonly type: "waiting"; readonly untilMs: number }
  | { readonly type: "closed"; readonly error?: SpillwayError | undefined };

/** The URL of a gateway, or a function that returns it for each attempt. `http` and `https` become `ws` and `wss`. */
export type UrlOption = string | (() => string | Promise<string>);

type DisconnectFrame = FrameOf<typeof SERVER_FRAMES.disconnect>;

export interface LinkOptions {
  readonly token?: TokenOption | undefined;
  readonly retry?: RetryOptions | undefined;
  /** The name of a session in which an earlier connection left off. */
  readonly session?: string | undefined;
}

/** Takes what a link reports. */
export interface LinkListener {
  /** The gateway takes requests. */
  ready(welcome: Welcome): void;
  frame(frame: IncomingFrame): void;
  /** The transport is gone. */
  down(): void;
  changed(state: ConnectionState): void;
  /** Something failed that the client tries again, or that doesn't end the connection. */
  failed(error: SpillwayError): void;
  /** The page may end now. */
  leaving(): void;
}

/** From the begin of an attempt to the welcome. */
const CONNECT_TIMEOUT_MS = 15_000;
/** The longest time in which the gateway answers a `ping`. */
const PONG_TIMEOUT_MS = 5000;
const MOST_AUTH_PAUSE_MS = 30_000;
/** After 4403, NATS may allow the subjects by then. */
const FORBIDDEN_PAUSE_MS = 30_000;

// Close codes.
const NORMAL = 1000;
const LOST = 1006;
const TOO_BIG = 1009;
const FORBIDDEN = 4403;
const EXPIRED = 4512;
/** The close code of this client if it wants to resume. */
const RESUMABLE = 3000;

/** Whether the class of a close code allows another attempt. */
function mayRetry(code: number): boolean {
  return code !== TOO_BIG && (code < 4400 || code >= 4500 || code === FORBIDDEN);
}

/**
 * Keeps one transport to the gateway open: connects, shows tokens, notices dead connections, and waits between attempts
 * as long as jitter, the gateway and the page's visibility say.
 */
export class Link {
  state: ConnectionState = { type: "connecting" };
  /** The name of the session: secret, and needed to resume it. */
  session: string | undefined;
  readonly #url: UrlOption;
  readonly #openTransport: OpenTransport;
  readonly #platform: Platform;
  readonly #listener: LinkListener;
  readonly #nextWait: NextWait;
  readonly #tokens: TokenSource;
  readonly #endLifecycle: (() => void) | undefined;
  readonly #closed = new AbortController();
  /** The name of `auth`, which no message has. */
  readonly #authId: string;
  #transport: Transport | undefined;
  /** Grows with each attempt and each end; what an older transport reports is dropped. */
  #epoch = 0;
  #disconnect: DisconnectFrame | undefined;
  #startedMs = 0;
  #openedMs: number | undefined;
  /** The wait that the gateway asked for when the connection was lost. */
  #askedMs = 0;
  #lostMs = 0;
  /** Whether something has come since the connection was last watched. */
  #hasHeard = false;
  /** Ends the wait for the next attempt, for the welcome, or until the connection is probed. */
  #cancelTimer: () => void = () => {};
  #cancelProbe: (() => void) | undefined;
  #cancelAuth: () => void = () => {};
  #authFailures = 0;

  constructor(
    url: UrlOption,
    { token, retry = {}, session }: LinkOptions,
    openTransport: OpenTransport,
    platform: Platform,
    listener: LinkListener,
  ) {
    this.#url = url;
    this.#openTransport = openTransport;
    this.#platform = platform;
    this.#listener = listener;
    this.session = session;
    this.#authId = platform.uuid();
    this.#nextWait = backOff(retry, platform.random);
    this.#tokens = tokenSource(token, platform);
    this.#endLifecycle = platform.lifecycle?.((event) => this.#live(event));
    void this.#attempt();
  }

  send(frame: ClientFrame): void {
    this.#transport?.send(frame);
  }

  /** Closes for good. */
  close(error?: SpillwayError): void {
    if (this.state.type === "closed") return;
    this.#endLifecycle?.();
    this.#tokens.close();
    this.#end(NORMAL);
    this.#closed.abort();
    this.#set({ type: "closed", error });
  }

  async #attempt(): Promise<void> {
    const epoch = ++this.#epoch;
    const isCurrent = (): boolean => epoch === this.#epoch;
    const { now, timer } = this.#platform;
    this.#startedMs = now();
    this.#cancelTimer();
    this.#cancelTimer = timer(CONNECT_TIMEOUT_MS, () => this.#lost(LOST, "no welcome in time"));
    this.#set({ type: "connecting" });
    try {
      const url = typeof this.#url === "function" ? await this.#url() : this.#url;
      const token = await this.#tokens.get("connect");
      if (!isCurrent()) return;
      this.#transport = this.#openTransport(
        { url, token, session: this.session, closed: this.#closed.signal },
        {
          frame: (frame) => isCurrent() && this.#take(frame),
          close: (code, reason) => isCurrent() && this.#lost(code, reason),
        },
        this.#platform,
      );
    } catch (cause) {
      if (!isCurrent()) return;
      const error =
        cause instanceof SpillwayError
          ? cause
          : new SpillwayError("disconnected", `Cannot connect: ${cause}`, {
              retryable: true,
              cause,
            });
      if (error.retryable) this.#lost(LOST, error.message, error);
      else this.close(error);
    }
  }

  #take(frame: IncomingFrame): void {
    this.#hasHeard = true;
    this.#cancelProbe?.();
    this.#cancelProbe = undefined;
    switch (frame.type) {
      case "welcome":
        this.#welcome(frame);
        return;
      case "pong":
        return;
      case "disconnect":
        this.#disconnect = frame;
        return;
      case "token_expiring":
        this.#tokens.drop();
        void this.#authenticate("expiring");
        return;
      case "authenticated":
        this.#authFailures = 0;
        return;
      case "error": {
        if (frame.id !== this.#authId) break;
        const { error } = frame;
        this.#tokens.drop();
        // The next token may be a valid one.
        const retryable = error.retryable || error.code === "unauthenticated";
        this.#authFailed(gatewayError({ ...error, retryable }));
        return;
      }
    }
    this.#listener.frame(frame);
  }

  #welcome(welcome: Welcome): void {
    // Without a token, the gateway takes nothing but `auth`; another welcome follows.
    if (welcome.session === "") {
      void this.#authenticate("connect");
      return;
    }
    this.session = welcome.delivery && welcome.session;
    this.#openedMs = this.#platform.now();
    this.#watch(welcome.ping_interval_ms);
    this.#set({ type: "open" });
    // Its owner may have closed it when it was told so.
    if (this.#transport !== undefined) this.#listener.ready(welcome);
  }

  /** Probes the connection whenever nothing has come for a while. */
  #watch(intervalMs: number): void {
    this.#hasHeard = false;
    this.#cancelTimer();
    this.#cancelTimer = this.#platform.timer(intervalMs, () => {
      if (!this.#hasHeard) this.#probe();
      this.#watch(intervalMs);
    });
  }

  /** Finds out whether the gateway is still there. */
  #probe(): void {
    if (this.#cancelProbe !== undefined) return;
    this.send({ type: "ping" });
    this.#cancelProbe = this.#platform.timer(PONG_TIMEOUT_MS, () =>
      this.#lost(LOST, "the gateway doesn't answer"),
    );
  }

  async #authenticate(why: TokenReason): Promise<void> {
    const epoch = this.#epoch;
    try {
      const token = await this.#tokens.get(why);
      if (epoch !== this.#epoch) return;
      if (token !== undefined) this.send({ type: "auth", id: this.#authId, token });
      else if (why === "connect") {
        this.close(new SpillwayError("unauthenticated", 'The gateway wants a "token"'));
      }
    } catch (error) {
      if (epoch === this.#epoch) this.#authFailed(error as SpillwayError);
    }
  }

  /** The old token stays in effect until it expires: there is time to try again. */
  #authFailed(error: SpillwayError): void {
    this.#listener.failed(error);
    // Its owner may have closed it when it was told.
    if (!error.retryable || this.state.type === "closed") return;
    const ms = Math.min(MOST_AUTH_PAUSE_MS, LEAST_PAUSE_MS * 2 ** this.#authFailures++);
    this.#cancelAuth();
    this.#cancelAuth = this.#platform.timer(ms, () => void this.#authenticate("expiring"));
  }

  /** Ends the transport, whatever it does or says from now on. */
  #end(code: number): void {
    this.#epoch++;
    this.#cancelTimer();
    this.#cancelProbe?.();
    this.#cancelProbe = undefined;
    this.#cancelAuth();
    const transport = this.#transport;
    this.#transport = undefined;
    try {
      transport?.close(code, "");
    } catch {
      // It is gone in any case.
    }
    this.#listener.down();
  }

  #lost(code: number, reason: string, cause?: SpillwayError): void {
    const { now, random } = this.#platform;
    const said = this.#disconnect;
    this.#disconnect = undefined;
    const nowMs = now();
    const wasOpen = this.#openedMs !== undefined;
    const openMs = nowMs - (this.#openedMs ?? nowMs);
    this.#openedMs = undefined;
    // A handshake may have been refused because of the token, whatever the reason says.
    if (!wasOpen || code === EXPIRED) this.#tokens.drop();
    const closeCode = said?.code ?? code;
    const why = said?.reason ?? reason;
    const what = wasOpen ? "Disconnected" : "Cannot connect";
    const message = `${what}: ${closeCode} ${why || "(see the gateway's log)"}`;
    const isRefused = closeCode === EXPIRED && this.#tokens.isFixed;
    if (isRefused || !(said?.reconnect ?? mayRetry(closeCode))) {
      this.close(new SpillwayError("refused", message, { closeCode, cause }));
      return;
    }
    this.#end(RESUMABLE);
    this.#listener.failed(
      cause ?? new SpillwayError("disconnected", message, { closeCode, retryable: true }),
    );
    const saidMs = said?.retry_after_ms;
    const leastMs = closeCode === FORBIDDEN ? FORBIDDEN_PAUSE_MS * (1 + random()) : 0;
    const pauseMs = Math.max(leastMs, this.#nextWait(openMs, saidMs));
    this.#askedMs = Math.max(leastMs, saidMs ?? 0);
    this.#lostMs = nowMs;
    this.#wait(pauseMs);
  }

  #wait(ms: number): void {
    const { now, timer, isHidden } = this.#platform;
    // Its owner may have closed it when it was told of the loss.
    if (this.state.type === "closed") return;
    this.#cancelTimer();
    if (isHidden()) {
      this.#set({ type: "idle" });
      return;
    }
    const nowMs = now();
    // A clock that was set back must not make the wait longer.
    const agoMs = (sinceMs: number): number => Math.max(0, nowMs - sinceMs);
    const pauseMs = Math.max(
      ms,
      this.#askedMs - agoMs(this.#lostMs),
      LEAST_PAUSE_MS - agoMs(this.#startedMs),
    );
    this.#cancelTimer = timer(pauseMs, () => void this.#attempt());
    this.#set({ type: "waiting", untilMs: nowMs + pauseMs });
  }

  #live(event: LifecycleEvent): void {
    const { type } = this.state;
    if (event === "pagehide") {
      this.#listener.leaving();
      this.#openedMs = undefined;
      this.#end(RESUMABLE);
      this.#set({ type: "idle" });
    } else if (event === "hidden") {
      this.#listener.leaving();
      if (type === "waiting") {
        this.#cancelTimer();
        this.#set({ type: "idle" });
      }
    } else if (type === "open") this.#probe();
    else if (type !== "connecting") this.#wait(0);
  }

  #set(state: ConnectionState): void {
    this.state = state;
    this.#listener.changed(state);
  }
}
