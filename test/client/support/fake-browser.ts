import type { ChannelLike, LifecycleEvent, LocksLike, Platform } from "spillway/client";
import { type FakePlatform, FakeSocket } from "./fake-platform.ts";

interface LockRequest {
  readonly tab: FakeTab;
  readonly run: () => Promise<void> | void;
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: unknown) => void;
}

/** Several tabs of a browser, which share locks and channels, and one clock. */
export class FakeBrowser {
  readonly fake: FakePlatform;
  readonly channels = new Map<string, Set<FakeChannel>>();
  readonly #held = new Map<string, LockRequest>();
  readonly #queues = new Map<string, LockRequest[]>();

  constructor(fake: FakePlatform) {
    this.fake = fake;
  }

  tab(): FakeTab {
    return new FakeTab(this);
  }

  /** The number of locks and channels that are in use. */
  get leftovers(): number {
    const waiting = [...this.#queues.values()].flat().length;
    return (
      this.#held.size + waiting + [...this.channels.values()].flatMap((all) => [...all]).length
    );
  }

  async request(
    tab: FakeTab,
    name: string,
    { signal, steal }: { readonly signal?: AbortSignal; readonly steal?: boolean },
    run: LockRequest["run"],
  ): Promise<unknown> {
    if (signal?.aborted) throw new DOMException("aborted", "AbortError");
    return await new Promise((resolve, reject) => {
      if (tab.isGone) return;
      const request = { tab, run, resolve, reject };
      const queue = this.#queues.get(name) ?? [];
      this.#queues.set(name, queue);
      if (steal === true) {
        const held = this.#held.get(name);
        held?.tab.run(() => held.reject(new DOMException("stolen", "AbortError")));
        this.#held.delete(name);
        queue.unshift(request);
      } else queue.push(request);
      signal?.addEventListener("abort", () => {
        const at = queue.indexOf(request);
        if (at < 0) return;
        queue.splice(at, 1);
        reject(new DOMException("aborted", "AbortError"));
      });
      queueMicrotask(() => this.#grant(name));
    });
  }

  /** A tab is gone: its locks are free. */
  release(tab: FakeTab): void {
    for (const [name, queue] of this.#queues) {
      this.#queues.set(name, queue);
      for (const request of queue.filter((one) => one.tab === tab)) {
        queue.splice(queue.indexOf(request), 1);
      }
      if (this.#held.get(name)?.tab === tab) this.#held.delete(name);
      this.#grant(name);
    }
    for (const channels of this.channels.values()) {
      for (const channel of channels) if (channel.tab === tab) channels.delete(channel);
    }
  }

  #grant(name: string): void {
    if (this.#held.has(name)) return;
    const next = this.#queues.get(name)?.shift();
    if (next === undefined) return;
    this.#held.set(name, next);
    void (async () => {
      await next.run();
      next.resolve(undefined);
      if (this.#held.get(name) === next) this.#held.delete(name);
      this.#grant(name);
    })();
  }
}

/** A tab, which ends at any moment. */
export class FakeTab {
  readonly platform: Platform;
  readonly browser: FakeBrowser;
  readonly listeners = new Set<(event: LifecycleEvent) => void>();
  hidden = false;
  isGone = false;
  /** A tab that is frozen runs nothing; messages wait. */
  isFrozen = false;
  readonly #waiting: (() => void)[] = [];

  constructor(browser: FakeBrowser) {
    this.browser = browser;
    const { fake } = browser;
    const tab = this;
    const locks: LocksLike = {
      request: (name, options, run) => browser.request(tab, name, options, run),
    };
    this.platform = {
      ...fake.platform,
      WebSocket: class extends FakeSocket {
        constructor(url: string, protocols: string[]) {
          super(url, protocols);
          fake.opened(this);
          fake.sockets.push(this);
          tab.sockets.push(this);
        }

        override say(...frames: readonly object[]): void {
          tab.run(() => super.say(...frames));
        }

        override end(code?: number, reason?: string): void {
          tab.run(() => super.end(code, reason));
        }
      },
      timer: (ms, run) => fake.platform.timer(ms, () => tab.run(run)),
      isHidden: () => tab.hidden,
      lifecycle: (listener) => {
        tab.listeners.add(listener);
        return () => tab.listeners.delete(listener);
      },
      locks,
      BroadcastChannel: class extends FakeChannel {
        constructor(name: string) {
          super(tab, name);
        }
      },
    };
  }

  readonly sockets: FakeSocket[] = [];

  /** Runs something in this tab: never if it is gone, later if it is frozen. */
  run(job: () => void): void {
    if (this.isGone) return;
    if (this.isFrozen) this.#waiting.push(job);
    else job();
  }

  thaw(): void {
    this.isFrozen = false;
    for (const job of this.#waiting.splice(0)) this.run(job);
  }

  live(event: LifecycleEvent): void {
    if (event === "hidden" || event === "visible") this.hidden = event === "hidden";
    for (const listener of [...this.listeners]) this.run(() => listener(event));
  }

  /** The tab ends without a word. */
  kill(): void {
    this.isGone = true;
    for (const socket of this.sockets) socket.close();
    this.browser.release(this);
  }
}

class FakeChannel implements ChannelLike {
  onmessage: ((event: { readonly data: unknown }) => void) | null = null;
  readonly tab: FakeTab;
  readonly #name: string;

  constructor(tab: FakeTab, name: string) {
    this.tab = tab;
    this.#name = name;
    const all = tab.browser.channels.get(name) ?? new Set();
    tab.browser.channels.set(name, all);
    if (!tab.isGone) all.add(this);
  }

  postMessage(data: unknown): void {
    if (this.tab.isGone) return;
    if (!this.#all.has(this)) throw new DOMException("closed", "InvalidStateError");
    const copy = structuredClone(data);
    for (const other of this.#all) {
      if (other === this) continue;
      queueMicrotask(() =>
        other.tab.run(() => this.#all.has(other) && other.onmessage?.({ data: copy })),
      );
    }
  }

  close(): void {
    this.#all.delete(this);
  }

  get #all(): Set<FakeChannel> {
    return this.tab.browser.channels.get(this.#name)!;
  }
}
