import type { ClientFrame } from "../protocol/client-frames.ts";
import type { SpillwayError } from "./errors.ts";
import { Feed } from "./feed.ts";
import { type ConnectionState, Link, type LinkOptions } from "./link.ts";
import type { ChannelLike, LifecycleEvent, LocksLike, Platform } from "./platform.ts";
import { Router } from "./router.ts";
import type { IncomingFrame, OpenTransport, Welcome } from "./transport.ts";

/** The connection that the tabs of a browser share. */
export interface Sharing extends Platform {
  readonly locks: LocksLike;
  readonly BroadcastChannel: new (name: string) => ChannelLike;
}

/** A word of the hub to one guest, on its own channel. */
type HubNews =
  | { readonly type: "attached" }
  | { readonly type: "frames"; readonly frames: readonly IncomingFrame[] }
  | { readonly type: "close"; readonly code: number; readonly reason: string }
  /** The connection can't be shared. */
  | { readonly type: "unshared" };

export type HubMessage = HubNews & { readonly hub: string };

/** The name of the channel of a guest, and of the lock that it holds while it is there. */
export function guestName(name: string, id: string): string {
  return `${name}/${id}`;
}

/** Messages that a subscription holds while older ones are replayed. */
const BUFFER = 1024;
/** Names of requests get so much longer. */
const ID_BYTES = 64;
const LOST = 1006;
const REFUSED = 4401;
const WOKEN: readonly LifecycleEvent[] = ["visible", "online", "pageshow"];

/** A connection of some tab that uses this tab's transport. */
interface Guest {
  readonly channel: ChannelLike;
  readonly feeds: Map<string, Feed>;
  /** Frames that are sent together. */
  outbox: IncomingFrame[];
  readonly left: AbortController;
}

/** A request whose answers go to a guest. */
interface Asked {
  readonly guest: Guest;
  /** Its name for the guest. */
  readonly id: string;
  readonly type: ClientFrame["type"];
}

/** Returns a reason without what says where it comes from: the guest says that again. */
function bare({ message }: SpillwayError): string {
  return message.replace(/^[^:]*: /, "").replace(/ \(\d+\)$/, "");
}

/**
 * The connection to the gateway that one tab holds for all. To each guest, it is as a gateway that serves each
 * subscription for itself.
 */
export class Hub {
  readonly id: string;
  readonly #name: string;
  readonly #platform: Sharing;
  readonly #resign: () => void;
  readonly #guests = new Map<string, Guest>();
  readonly #asked = new Map<string, Asked>();
  readonly #slow = new Set<Guest>();
  readonly #router: Router;
  readonly #link: Link;
  #welcome: Welcome | undefined;
  #error: SpillwayError | undefined;
  #count = 0;
  #isOver = false;
  /** Lets an attempt begin that has waited for the first guest. */
  #admit: () => void = () => {};

  /** @param resign gives this place to another tab. */
  constructor(
    name: string,
    url: string,
    options: LinkOptions,
    open: OpenTransport,
    platform: Sharing,
    resign: () => void,
  ) {
    this.id = platform.uuid();
    this.#name = name;
    this.#platform = platform;
    this.#resign = resign;
    this.#router = new Router((frame) => this.#link.send(frame), platform);
    // Nobody needs a connection before there is a guest.
    const wanted = (): Promise<string> =>
      new Promise((resolve) => {
        this.#admit = () => resolve(url);
        if (this.#guests.size > 0) this.#admit();
      });
    const { lifecycle } = platform;
    const surroundings: Platform = {
      ...platform,
      isHidden: () => false,
      lifecycle:
        lifecycle && ((listener) => lifecycle((event) => WOKEN.includes(event) && listener(event))),
    };
    this.#link = new Link(wanted, options, open, surroundings, {
      ready: (welcome) => this.#ready(welcome),
      frame: (frame) => this.#take(frame),
      down: () => {
        this.#welcome = undefined;
        this.#asked.clear();
        this.#router.down();
      },
      failed: (error) => {
        this.#error = error;
        const { code, message, retryable } = error;
        if (this.#welcome !== undefined && code !== "disconnected") {
          this.#sayToAll({ type: "error", error: { code, message, retryable } as never });
        }
      },
      changed: (state) => this.#changed(state),
      leaving() {},
    });
  }

  /** A guest has come; it may ask twice. */
  attach(id: string): void {
    if (this.#isOver) return;
    const known = this.#guests.get(id);
    if (known !== undefined) return;
    const name = guestName(this.#name, id);
    const channel = new this.#platform.BroadcastChannel(name);
    const guest: Guest = { channel, feeds: new Map(), outbox: [], left: new AbortController() };
    this.#guests.set(id, guest);
    channel.onmessage = ({ data }) => this.#serve(guest, data as ClientFrame);
    // The guest's lock is free when it is gone, whatever became of it.
    const { signal } = guest.left;
    this.#platform.locks.request(name, { signal }, () => this.#detach(id, guest)).catch(() => {});
    this.#post(guest, { type: "attached" });
    if (this.#welcome !== undefined) this.#say(guest, this.#welcome);
    this.#admit();
  }

  /** Closes the connection. */
  end(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#link.close();
    this.#dismiss({
      type: "close",
      code: LOST,
      reason: "the tab that had the connection has gone",
    });
  }

  #ready(welcome: Welcome): void {
    if (welcome.delivery_mode === "at-least-once") {
      // Acknowledgements of several tabs would be mixed up.
      this.#dismiss({ type: "unshared" });
      this.#resign();
      return;
    }
    const { limits } = welcome;
    const max_frame_bytes = limits.max_frame_bytes - ID_BYTES;
    this.#welcome = {
      ...{ ...welcome, session: "shared", isDirected: true },
      limits: { ...limits, max_frame_bytes },
    };
    this.#router.ready(welcome);
    this.#sayToAll(this.#welcome);
  }

  #changed(state: ConnectionState): void {
    if (this.#isOver || state.type === "connecting" || state.type === "open") return;
    const error = state.type === "closed" ? state.error : this.#error;
    const isFinal = state.type === "closed";
    const code = error?.closeCode ?? (isFinal ? REFUSED : LOST);
    const reason = error === undefined ? "" : bare(error);
    if (isFinal) this.#sayToAll({ type: "disconnect", code, reason, reconnect: false });
    this.#dismiss({ type: "close", code, reason });
    // In a hidden page, timers are late.
    if (isFinal || this.#platform.isHidden()) this.#resign();
  }

  #dismiss(message: HubNews): void {
    for (const [id, guest] of this.#guests) {
      this.#flush(guest);
      this.#post(guest, message);
      this.#detach(id, guest);
    }
  }

  #detach(id: string, guest: Guest): void {
    if (this.#guests.get(id) !== guest) return;
    this.#guests.delete(id);
    guest.left.abort();
    guest.channel.close();
    for (const feed of guest.feeds.values()) this.#router.remove(feed);
    for (const [wireId, asked] of this.#asked) {
      if (asked.guest !== guest) continue;
      this.#asked.delete(wireId);
      if (asked.type === "presence") {
        this.#link.send({ type: "presence", id: wireId, stop: true });
      }
    }
    this.#setSlow(guest, false);
  }

  #serve(guest: Guest, frame: ClientFrame): void {
    if (this.#welcome === undefined) return;
    switch (frame.type) {
      case "subscribe": {
        const feed = this.#feedOf(guest, frame);
        guest.feeds.set(frame.id, feed);
        this.#router.add(feed);
        return;
      }
      case "unsubscribe": {
        const feed = guest.feeds.get(frame.sub);
        guest.feeds.delete(frame.sub);
        if (feed !== undefined) this.#router.remove(feed);
        return;
      }
      case "ping":
        this.#say(guest, { type: "pong" });
        return;
      case "slow":
      case "ok":
        this.#setSlow(guest, frame.type === "slow");
        return;
      case "publish":
      case "request":
      case "presence":
        this.#ask(guest, frame);
    }
  }

  /** While a tab is slow, the gateway slows down for all. */
  #setSlow(guest: Guest, isSlow: boolean): void {
    if (isSlow) {
      this.#slow.add(guest);
      this.#link.send({ type: "slow" });
    } else if (this.#slow.delete(guest) && this.#slow.size === 0) this.#link.send({ type: "ok" });
  }

  #ask(guest: Guest, frame: Extract<ClientFrame, { type: "publish" | "request" | "presence" }>) {
    const { id, type } = frame;
    // A stream knows a message by its name, which must stay.
    const known = [...this.#asked].find(([, one]) => one.guest === guest && one.id === id);
    const wireId = type === "publish" ? id : (known?.[0] ?? `${++this.#count}/${id}`.slice(0, 128));
    if (type === "publish" && this.#asked.has(wireId)) {
      const message = `"${id}" waits already, in another tab`;
      const error = { code: "too_many_requests", message, retryable: true } as const;
      this.#say(guest, { type: "error", id, error });
      return;
    }
    this.#asked.set(wireId, { guest, id, type });
    this.#link.send({ ...frame, id: wireId });
  }

  #take(frame: IncomingFrame): void {
    if (this.#router.take(frame)) return;
    const wireId = "id" in frame ? frame.id : undefined;
    const asked = this.#asked.get(wireId ?? "");
    if (asked === undefined) {
      if (frame.type === "upstream" || frame.type === "error") this.#sayToAll(frame);
      return;
    }
    if (frame.type !== "presence") this.#asked.delete(wireId ?? "");
    this.#say(asked.guest, { ...frame, id: asked.id } as IncomingFrame);
  }

  /** Returns a subscription whose messages go to a guest. */
  #feedOf(guest: Guest, frame: Extract<ClientFrame, { type: "subscribe" }>): Feed {
    const { id: sub, subjects, from, policy, max_rate: maxRate, mode, durable } = frame;
    const say = (answer: object): void => {
      if (guest.feeds.get(sub) === feed) this.#say(guest, answer as IncomingFrame);
    };
    const request = { subjects, from, policy, maxRate, mode, durable };
    const feed = new Feed(
      { ...request, after: undefined, buffer: BUFFER },
      {
        subscribed: (answer) => say({ ...answer, id: sub, sub }),
        data: (answer) => say({ ...answer, sub }),
        note: (answer) =>
          say({ ...answer, sub, isAhead: answer.type === "gap" && feed.cursor !== answer.to }),
        failed: (error) => {
          const { code, retryable } = error;
          say({ type: "error", id: sub, error: { code, message: bare(error), retryable } });
        },
      },
    );
    return feed;
  }

  #sayToAll(frame: IncomingFrame): void {
    for (const guest of this.#guests.values()) this.#say(guest, frame);
  }

  #say(guest: Guest, frame: IncomingFrame): void {
    guest.outbox.push(frame);
    if (guest.outbox.length === 1) queueMicrotask(() => this.#flush(guest));
  }

  #flush(guest: Guest): void {
    const frames = guest.outbox;
    guest.outbox = [];
    if (frames.length > 0) this.#post(guest, { type: "frames", frames });
  }

  #post({ left, channel }: Guest, message: HubNews): void {
    if (!left.signal.aborted) channel.postMessage({ ...message, hub: this.id });
  }
}
