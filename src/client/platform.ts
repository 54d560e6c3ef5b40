/** The events in the life of a page. */
export type LifecycleEvent = "visible" | "hidden" | "online" | "pageshow" | "pagehide";

/** The part of a `WebSocket` that the client needs, as browsers, Bun, Deno, Node and React Native have it. */
export interface WebSocketLike {
  onopen: (() => void) | null;
  onmessage: ((event: { readonly data: unknown }) => void) | null;
  onclose: ((event: { readonly code: number; readonly reason: string }) => void) | null;
  onerror: ((event: unknown) => void) | null;
  readonly readyState: number;
  send(data: string): void;
  close(code?: number, reason?: string): void;
}

/** The part of `navigator.locks` that sharing needs. */
export interface LocksLike {
  request(
    name: string,
    options: { readonly signal?: AbortSignal; readonly steal?: boolean },
    run: () => Promise<void> | void,
  ): Promise<unknown>;
}

/** The part of a `BroadcastChannel` that sharing needs. */
export interface ChannelLike {
  onmessage: ((event: { readonly data: unknown }) => void) | null;
  postMessage(data: unknown): void;
  close(): void;
}

/** The surroundings of the client. Tests replace them. */
export interface Platform {
  /** Absent where a runtime has none. */
  readonly WebSocket?: (new (url: string, protocols: string[]) => WebSocketLike) | undefined;
  readonly fetch?: typeof fetch | undefined;
  /** For `shared`. Default: the browser's; without it, nothing is shared. */
  readonly locks?: LocksLike | undefined;
  /** For `shared`. Default: the browser's; without it, nothing is shared. */
  readonly BroadcastChannel?: (new (name: string) => ChannelLike) | undefined;
  /** Unix milliseconds, also of the time in which the machine slept. */
  now(): number;
  /** Calls `run` once after some milliseconds. @returns a function that prevents that. */
  timer(ms: number, run: () => void): () => void;
  /** From 0 to 1. */
  random(): number;
  /** Returns a new UUID. */
  uuid(): string;
  /** Whether nobody sees the page or app. */
  isHidden(): boolean;
  /** Listens to what the page or app is told. @returns a function that ends that. Default: none outside of pages. */
  readonly lifecycle?: ((listener: (event: LifecycleEvent) => void) => () => void) | undefined;
}

function pageLifecycle(listener: (event: LifecycleEvent) => void): () => void {
  const aborter = new AbortController();
  const { signal } = aborter;
  const listen = (target: EventTarget, name: string, event?: LifecycleEvent): void => {
    const told = (): void => listener(event ?? (document.hidden ? "hidden" : "visible"));
    target.addEventListener(name, told, { signal });
  };
  listen(document, "visibilitychange");
  // A page that is frozen reads nothing, as one that is left.
  listen(document, "freeze", "pagehide");
  listen(document, "resume", "pageshow");
  for (const name of ["online", "pageshow", "pagehide"] as const) {
    listen(globalThis as unknown as EventTarget, name, name);
  }
  return () => aborter.abort();
}

/** A random name, also where `crypto.randomUUID` is missing, as in React Native and on pages without TLS. */
function uuid(): string {
  return globalThis.crypto?.randomUUID?.() ?? `${Math.random()}${Math.random()}`;
}

/** The surroundings in which this code runs: a page, a worker, or a server. */
export function currentPlatform(): Platform {
  // React Native may have another `document`.
  const isPage = globalThis.document?.addEventListener !== undefined;
  return {
    WebSocket: globalThis.WebSocket as unknown as Platform["WebSocket"],
    fetch: globalThis.fetch?.bind(globalThis),
    now: Date.now,
    timer(ms, run) {
      // A longer timer would be due at once.
      const timer = setTimeout(run, Math.min(ms, 2 ** 31 - 1));
      return () => clearTimeout(timer);
    },
    random: Math.random,
    uuid,
    isHidden: () => isPage && document.hidden,
    lifecycle: isPage ? pageLifecycle : undefined,
  };
}
