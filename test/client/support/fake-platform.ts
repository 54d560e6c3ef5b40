import type { LifecycleEvent, Platform, WebSocketLike } from "spillway/client";

/** One side of a connection that a test holds. */
export class FakeSocket implements WebSocketLike {
  onopen: (() => void) | null = null;
  onmessage: ((event: { readonly data: unknown }) => void) | null = null;
  onclose: ((event: { readonly code: number; readonly reason: string }) => void) | null = null;
  onerror: ((event: unknown) => void) | null = null;
  readyState = 0;
  readonly url: string;
  readonly protocols: readonly string[];
  /** The frames that the client has sent. */
  readonly sent: Record<string, unknown>[] = [];
  /** The code with which the client closed. */
  closedWith: number | undefined;
  /** Called with each frame that the client sends. */
  received: (frame: Record<string, unknown>) => void = () => {};
  /** Takes what is said, to show it. */
  trace: (line: string) => void = () => {};
  /** Called when the client closes. */
  left: (code: number) => void = () => {};

  constructor(url: string, protocols: readonly string[]) {
    this.url = url;
    this.protocols = protocols;
  }

  send(data: string): void {
    const frame = JSON.parse(data);
    this.trace(`-> ${data}`);
    this.sent.push(frame);
    this.received(frame);
  }

  close(code = 1005): void {
    if (this.closedWith !== undefined) return;
    this.closedWith = code;
    this.readyState = 3;
    this.left(code);
  }

  open(): void {
    this.readyState = 1;
    this.onopen?.();
  }

  /** The gateway sends frames, whether or not the client still listens. */
  say(...frames: readonly object[]): void {
    const data = frames.map((frame) => JSON.stringify(frame)).join("\n");
    this.trace(`<- ${data}`);
    this.onmessage?.({ data });
  }

  /** The connection ends on the other side. */
  end(code = 1006, reason = ""): void {
    this.readyState = 3;
    this.onclose?.({ code, reason });
  }
}

interface Timer {
  readonly atMs: number;
  readonly order: number;
  readonly run: () => void;
}

/** Surroundings in which a test owns time, sockets and the life of the page. */
export class FakePlatform {
  readonly sockets: FakeSocket[] = [];
  readonly listeners = new Set<(event: LifecycleEvent) => void>();
  readonly timers = new Set<Timer>();
  nowMs = 1_000_000;
  hidden = false;
  /** Called with each new socket; throws if the runtime would. */
  opened: (socket: FakeSocket) => void = () => {};
  #order = 0;
  /** The difference between the clock and the time that has passed. */
  #clockMs = 0;
  readonly platform: Platform;

  constructor(random: () => number = () => 0.5) {
    const fake = this;
    this.platform = {
      WebSocket: class extends FakeSocket {
        constructor(url: string, protocols: string[]) {
          super(url, protocols);
          fake.opened(this);
          fake.sockets.push(this);
        }
      },
      now: () => this.nowMs + this.#clockMs,
      timer: (ms, run) => {
        const timer = { atMs: this.nowMs + ms, order: this.#order++, run };
        this.timers.add(timer);
        return () => this.timers.delete(timer);
      },
      random,
      uuid: () => `uuid-${this.#order++}`,
      isHidden: () => this.hidden,
      lifecycle: (listener) => {
        this.listeners.add(listener);
        return () => this.listeners.delete(listener);
      },
    };
  }

  get last(): FakeSocket {
    return this.sockets.at(-1)!;
  }

  /** Tells the page something. */
  live(event: LifecycleEvent): void {
    if (event === "hidden" || event === "visible") this.hidden = event === "hidden";
    for (const listener of this.listeners) listener(event);
  }

  /** Moves time, and runs each timer when it is due, and what follows from it. */
  async advance(ms: number): Promise<void> {
    const untilMs = this.nowMs + ms;
    for (;;) {
      await settled();
      let next: Timer | undefined;
      for (const timer of this.timers) {
        if (timer.atMs > untilMs) continue;
        const isSooner =
          next === undefined ||
          timer.atMs < next.atMs ||
          (timer.atMs === next.atMs && timer.order < next.order);
        if (isSooner) next = timer;
      }
      if (next === undefined) break;
      this.nowMs = Math.max(this.nowMs, next.atMs);
      this.timers.delete(next);
      next.run();
    }
    this.nowMs = untilMs;
  }

  /** Sets the clock, which timers don't notice. @param ms the difference to a clock that was never set. */
  setClock(ms: number): void {
    this.#clockMs = ms;
  }

  /** The machine sleeps: time passes, and no timer runs. */
  sleep(ms: number): void {
    this.nowMs += ms;
  }
}

/** Waits until everything has run that promises started. */
export async function settled(): Promise<void> {
  await new Promise((resolve) => setImmediate(resolve));
}
