import type { ClientFrame } from "../protocol/client-frames.ts";
import type { PresenceMember } from "../protocol/server-frames.ts";
import type { Connection, Extension } from "./connection.ts";
import { gatewayError, SpillwayError } from "./errors.ts";
import { currentPlatform } from "./platform.ts";
import type { SnapshotStore } from "./snapshot-store.ts";
import { tell } from "./tell.ts";
import type { IncomingFrame } from "./transport.ts";

/** The people who are subscribed to a subject, on all gateways. */
export interface PresenceState {
  /** The number of people. */
  readonly count: number;
  /** The people with a name; empty unless asked for with `want: "list"`. */
  readonly members: readonly PresenceMember[];
  /** There are more people than the list has. */
  readonly truncated: boolean;
  /** It may be wrong: the gateway can't learn who comes and leaves, or the connection is lost. */
  readonly stale: boolean;
  /** Set if nothing more comes: the gateway refused the watch or ended it, or the connection is closed. */
  readonly error?: SpillwayError;
}

export interface PresenceOptions {
  /** Only the number of people, or also their names. Default: `count`. */
  readonly want?: "count" | "list";
}

/** Watches who is on a subject until it is closed. */
export interface Presence extends SnapshotStore<PresenceState> {
  close(): void;
}

const NOBODY: PresenceState = { count: 0, members: [], truncated: false, stale: true };

interface Watch {
  readonly frame: ClientFrame;
  state: PresenceState;
  readonly listeners: Set<() => void>;
}

function isSame(one: PresenceMember, other: PresenceMember): boolean {
  return one.sub === other.sub && one.issuer === other.issuer;
}

/** The presence watches of a connection. The gateway forgets them with the connection; they are asked for again. */
class PresenceWatches implements Extension {
  readonly #send: (frame: ClientFrame) => void;
  readonly #watches = new Map<string, Watch>();
  #isReady = false;
  /** Set when the connection is closed. */
  #error: SpillwayError | undefined;

  constructor(send: (frame: ClientFrame) => void) {
    this.#send = send;
  }

  watch(subject: string, { want = "count" }: PresenceOptions): Presence {
    const id = currentPlatform().uuid();
    const frame = { type: "presence", id, subject, want } as const;
    const state = this.#error === undefined ? NOBODY : { ...NOBODY, error: this.#error };
    const watch: Watch = { frame, state, listeners: new Set() };
    if (this.#error === undefined) this.#watches.set(id, watch);
    if (this.#isReady) this.#send(frame);
    return {
      subscribe(listener) {
        watch.listeners.add(listener);
        return () => watch.listeners.delete(listener);
      },
      getSnapshot: () => watch.state,
      close: () => {
        if (this.#watches.delete(id) && this.#isReady) {
          this.#send({ type: "presence", id, stop: true });
        }
      },
    };
  }

  ready(): void {
    this.#isReady = true;
    for (const { frame } of this.#watches.values()) this.#send(frame);
  }

  down(): void {
    this.#isReady = false;
    for (const watch of this.#watches.values()) this.#set(watch, { ...watch.state, stale: true });
  }

  close(error: SpillwayError): void {
    this.#error = error;
    for (const id of this.#watches.keys()) this.#fail(id, error);
  }

  /** @returns whether the frame is of a watch. */
  take(frame: IncomingFrame): boolean {
    const id = "id" in frame ? frame.id : undefined;
    const watch = this.#watches.get(id ?? "");
    if (watch === undefined) return frame.type === "presence" || frame.type === "presence_ended";
    if (frame.type === "presence") {
      const { count, members = watch.state.members, joined = [], left = [] } = frame;
      const stay = members.filter((one) => ![...left, ...joined].some((two) => isSame(one, two)));
      this.#set(watch, {
        count,
        members: [...stay, ...joined],
        truncated: frame.truncated === true,
        stale: frame.stale === true,
      });
      return true;
    }
    if (frame.type !== "presence_ended" && frame.type !== "error") return false;
    const error =
      frame.type === "error"
        ? gatewayError(frame.error)
        : new SpillwayError(
            frame.reason === "overloaded" ? "too_many_requests" : "forbidden",
            `The gateway has ended the presence watch: ${frame.reason}`,
          );
    this.#fail(id ?? "", error);
    return true;
  }

  #fail(id: string, error: SpillwayError): void {
    const watch = this.#watches.get(id)!;
    this.#watches.delete(id);
    this.#set(watch, { ...watch.state, stale: true, error });
  }

  #set(watch: Watch, state: PresenceState): void {
    watch.state = state;
    tell(watch.listeners, undefined);
  }
}

const WATCHES = new WeakMap<Connection, PresenceWatches>();

/** Watches who is subscribed to a subject, on all gateways, as far as the client's token allows it. */
export function presence(
  connection: Connection,
  subject: string,
  options: PresenceOptions = {},
): Presence {
  let watches = WATCHES.get(connection);
  if (watches === undefined) {
    watches = connection.extend((send) => new PresenceWatches(send));
    WATCHES.set(connection, watches);
  }
  return watches.watch(subject, options);
}
