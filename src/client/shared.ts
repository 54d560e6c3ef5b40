import type { ConnectOptions } from "./connection.ts";
import { currentPlatform, type Platform } from "./platform.ts";
import { guestName, Hub, type HubMessage, type Sharing } from "./shared-hub.ts";
import type { TokenReason } from "./token.ts";
import type { OpenTransport, Transport, TransportEvents } from "./transport.ts";
import { openWebSocket } from "./websocket-transport.ts";

/** A word of one member to all others, on the channel of their connection. */
type MemberMessage = { readonly attach: string } | { readonly hub: string };

/** A leader that doesn't answer for this long loses its place, in milliseconds; the longest time is twice as long. */
const STEAL_MS = 5000;
const LOST = 1006;

/** Returns what tabs share a connection with; `undefined` outside of browsers, or if this one is too old. */
function sharingOf(platform: Platform): Sharing | undefined {
  // Runtimes without pages have channels and locks, too, but nobody to share with.
  const isBrowser = globalThis.location !== undefined;
  const browser = isBrowser ? globalThis : undefined;
  const locks = platform.locks ?? browser?.navigator?.locks;
  const Channel = platform.BroadcastChannel ?? browser?.BroadcastChannel;
  if (locks === undefined || Channel === undefined) return undefined;
  return { ...platform, locks: locks as Sharing["locks"], BroadcastChannel: Channel as never };
}

/**
 * Returns options with which all tabs of a browser and origin use one connection: the tab that leads has it, and others
 * use it through that tab. If the leading tab is closed, frozen or doesn't answer, another one leads, and all resume where
 * they are. Tokens are fetched by the leading tab only.
 *
 * ```ts
 * const connection = connect(url, shared({ token: fetchToken }));
 * ```
 *
 * A gateway with at-least-once isn't shared: each tab has its own connection then, as where there are no Web Locks (old
 * browsers, pages without TLS, React Native, servers).
 *
 * @param options of one connection.
 * @param name tabs with the same name and URL share: include the user's name if several may log in. Default: `spillway`.
 */
export function shared(options: ConnectOptions = {}, name = "spillway"): ConnectOptions {
  const { token, transport: openInner = openWebSocket } = options;
  const sharing = sharingOf({ ...currentPlatform(), ...options.platform });
  if (sharing === undefined || options.session !== undefined) return options;
  let isShared = true;
  const members = new Map<AbortSignal, Member>();
  const refuse = (): void => {
    isShared = false;
    for (const member of members.values()) member.leave();
  };
  const transport: OpenTransport = (target, events, platform) => {
    if (!isShared) return openInner(target, events, platform);
    const { url, closed } = target;
    let member = members.get(closed);
    if (member?.url !== url) {
      const channelName = `spillway:${name}:${url}`;
      const lead = (resign: () => void): Hub =>
        new Hub(channelName, url, options, openInner, sharing, resign);
      const own = new Member(url, channelName, sharing, lead, refuse);
      member?.leave();
      member = own;
      members.set(closed, own);
      closed.addEventListener("abort", () => {
        own.leave();
        members.delete(closed);
      });
    }
    return member.open(events);
  };
  const why = async (reason: TokenReason): Promise<string> => {
    if (isShared) return "";
    return typeof token === "function" ? await token(reason) : (token ?? "");
  };
  return { ...options, transport, ...(token !== undefined && { token: why }) };
}

/** A connection of a tab, as it uses what is led, or uses it to lead. */
interface Seat {
  /** Some tab leads from now on. */
  led(hub: string): void;
}

/** One of those that share a connection. While it has joined, it stands for election. */
class Member {
  readonly url: string;
  readonly #name: string;
  readonly #platform: Sharing;
  readonly #lead: (resign: () => void) => Hub;
  readonly #refuse: () => void;
  readonly #seats = new Set<Seat>();
  #channel: InstanceType<Sharing["BroadcastChannel"]> | undefined;
  #candidacy = new AbortController();
  #endLifecycle: (() => void) | undefined;
  #hub: Hub | undefined;

  /**
   * @param lead opens the connection of all.
   * @param refuse is called if it can't be shared.
   */
  constructor(
    url: string,
    name: string,
    platform: Sharing,
    lead: (resign: () => void) => Hub,
    refuse: () => void,
  ) {
    this.url = url;
    this.#name = name;
    this.#platform = platform;
    this.#lead = lead;
    this.#refuse = refuse;
  }

  /** Opens a transport that leads through the tab that has the connection. */
  open(events: TransportEvents): Transport {
    this.#join();
    const { locks, timer, random, uuid, BroadcastChannel } = this.#platform;
    const id = uuid();
    const name = guestName(this.#name, id);
    const channel = new BroadcastChannel(name);
    const over = new AbortController();
    const { signal } = over;
    let isPresent = false;
    let hub: string | undefined;
    let cancel = (): void => {};
    const end = (): void => {
      over.abort();
      cancel();
      channel.close();
      this.#seats.delete(seat);
    };
    const lost = (code: number, reason: string): void => {
      if (signal.aborted) return;
      end();
      events.close(code, reason);
    };
    const ask = (): void => {
      this.#post({ attach: id });
      this.#hub?.attach(id);
    };
    const seat: Seat = {
      led(leading) {
        if (hub !== undefined && hub !== leading) lost(LOST, "another tab has the connection now");
        else if (isPresent) ask();
      },
    };
    this.#seats.add(seat);
    channel.onmessage = ({ data }) => {
      const message = data as HubMessage;
      // A tab that led before may still speak.
      if (message.hub !== (hub ?? message.hub)) return;
      switch (message.type) {
        case "attached":
          hub = message.hub;
          cancel();
          return;
        case "frames":
          try {
            for (const frame of message.frames) if (!signal.aborted) events.frame(frame);
          } catch (error) {
            lost(LOST, `unreadable: ${error}`);
          }
          return;
        case "close":
          lost(message.code, message.reason);
          return;
        case "unshared":
          this.#refuse();
          lost(LOST, "the connection can't be shared");
      }
    };
    // The lock shows the hub that this tab is there.
    const hold = async (): Promise<void> => {
      isPresent = true;
      ask();
      await aborted(signal);
    };
    locks.request(name, { signal }, hold).catch(() => {
      if (signal.aborted) return;
      this.#refuse();
      lost(LOST, "the browser allows no locks");
    });
    cancel = timer(STEAL_MS * (1 + random()), () => void this.#stand(true));
    return {
      send: (frame) => channel.postMessage(frame),
      close: end,
    };
  }

  /** Gives up the lead, and doesn't stand for election until it is used again. */
  leave(): void {
    if (this.#channel === undefined) return;
    this.#endLifecycle?.();
    this.#candidacy.abort();
    this.#channel.close();
    this.#channel = undefined;
  }

  #join(): void {
    if (this.#channel !== undefined) return;
    const { BroadcastChannel, lifecycle } = this.#platform;
    this.#channel = new BroadcastChannel(this.#name);
    this.#channel.onmessage = ({ data }) => {
      const message = data as MemberMessage;
      if ("attach" in message) this.#hub?.attach(message.attach);
      else this.#led(message.hub);
    };
    this.#endLifecycle = lifecycle?.((event) => {
      if (event === "pagehide") this.leave();
    });
    void this.#stand();
  }

  /** Waits to lead. @param steal from a leader that doesn't answer. */
  async #stand(steal = false): Promise<void> {
    this.#candidacy.abort();
    const candidacy = new AbortController();
    const { signal } = candidacy;
    this.#candidacy = candidacy;
    let hub: Hub | undefined;
    const lead = async (): Promise<void> => {
      if (signal.aborted) return;
      hub = this.#lead(() => this.leave());
      this.#hub = hub;
      this.#post({ hub: hub.id });
      this.#led(hub.id);
      await aborted(signal);
      end();
    };
    const end = (): void => {
      hub?.end();
      if (this.#hub === hub) this.#hub = undefined;
    };
    const options = steal ? { steal } : { signal };
    await this.#platform.locks.request(this.#name, options, lead).catch(() => {});
    end();
    // It was stolen.
    if (!signal.aborted) void this.#stand();
  }

  #led(hub: string): void {
    for (const seat of this.#seats) seat.led(hub);
  }

  #post(message: MemberMessage): void {
    this.#channel?.postMessage(message);
  }
}

async function aborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return;
  await new Promise<void>((resolve) => {
    signal.addEventListener("abort", () => resolve(), { once: true });
  });
}
