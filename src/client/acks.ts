import type { ClientFrame } from "../protocol/client-frames.ts";
import { byteLength } from "./payload.ts";
import type { Platform } from "./platform.ts";
import { positionOf } from "./position.ts";
import type { DataFrame } from "./transport.ts";

/** A message that this client was sent and has not acknowledged. */
interface Entry<Reader> {
  /** The subscriptions that have not processed it. */
  readonly pending: Set<Reader>;
  /** The subscriptions that could not process it: it comes again. */
  readonly refused: Map<Reader, DataFrame>;
  /** Whether another subscription had acknowledged it before, so that the gateway may have forgotten it. */
  readonly wasSettled: boolean;
}

/** Acknowledgements wait so long for others, in milliseconds. */
const GATHER_MS = 10;
/** The most ids in a frame. */
const MOST_IDS = 256;
/** The most acknowledged ids that are remembered: the gateway may send them again if it has not heard. */
const MOST_SETTLED = 4096;

/**
 * At-least-once, on this side: gathers acknowledgements, and sends them as one `upto` where nothing older is open.
 */
export class Acks<Reader> {
  readonly #send: (frame: ClientFrame) => void;
  readonly #platform: Pick<Platform, "timer">;
  /** Whether all messages come in order: only then may one acknowledgement stand for earlier ones. */
  readonly #inOrder: () => boolean;
  /** Gives a subscription a message that it has refused. */
  readonly #giveAgain: (reader: Reader, frame: DataFrame) => void;
  readonly #open = new Map<string, Entry<Reader>>();
  readonly #settled = new Set<string>();
  readonly #unsent = new Set<string>();
  /** The longest frame that the gateway takes, in bytes; `undefined`: it takes none now. */
  #maxFrameBytes: number | undefined;
  #cancel: (() => void) | undefined;
  #ackTimeoutMs = 0;
  #cancelAgain: (() => void) | undefined;

  constructor(
    send: (frame: ClientFrame) => void,
    platform: Pick<Platform, "timer">,
    inOrder: () => boolean,
    giveAgain: (reader: Reader, frame: DataFrame) => void,
  ) {
    this.#send = send;
    this.#platform = platform;
    this.#inOrder = inOrder;
    this.#giveAgain = giveAgain;
  }

  /** The gateway takes acknowledgements. @param resumed whether it knows those of the connection before. */
  ready(resumed: boolean, maxFrameBytes: number, ackTimeoutMs: number): void {
    this.#maxFrameBytes = maxFrameBytes;
    this.#ackTimeoutMs = ackTimeoutMs;
    if (!resumed) {
      this.#open.clear();
      this.#settled.clear();
      this.#unsent.clear();
    }
    this.flush();
    this.#comeAgain();
  }

  down(): void {
    this.#maxFrameBytes = undefined;
    this.#cancel?.();
    this.#cancel = undefined;
    this.#cancelAgain?.();
    this.#cancelAgain = undefined;
  }

  /** Whether a message is acknowledged. If it comes again, the gateway has not heard of it. */
  isSettled(id: string): boolean {
    return this.#settled.has(id);
  }

  /** Whether a subscription is about to process a message. */
  isPending(id: string, reader: Reader): boolean {
    return this.#open.get(id)?.pending.has(reader) === true;
  }

  /** Returns which subscriptions want a message again that they refused. */
  takeRefused(id: string): readonly Reader[] {
    const refused = this.#open.get(id)?.refused;
    const readers = [...(refused?.keys() ?? [])];
    refused?.clear();
    return readers;
  }

  /** A message is handed to subscriptions; to none if they have it, or have ended. */
  handOver(id: string, readers: readonly Reader[]): void {
    const wasSettled = this.#settled.has(id);
    const entry = this.#open.get(id) ?? { pending: new Set(), refused: new Map(), wasSettled };
    for (const reader of readers) entry.pending.add(reader);
    // Another subscription gets a message that one has processed.
    if (readers.length > 0) this.#unsent.delete(id);
    if (entry.pending.size + entry.refused.size > 0) this.#open.set(id, entry);
    else this.#acknowledge(id);
  }

  /** A subscription begins to process a message. If it has held the message back, that may be acknowledged already. */
  begin(id: string, reader: Reader): void {
    if (this.isPending(id, reader)) return;
    this.#settled.delete(id);
    this.#settled.add(id);
    this.handOver(id, [reader]);
  }

  /**
   * A subscription has ended, and processes nothing more.
   *
   * @param isKept whether the gateway keeps what it has not processed for another client.
   */
  leave(reader: Reader, isKept: boolean): void {
    for (const [id, { pending, refused }] of this.#open) {
      const wasPending = pending.delete(reader);
      if (!(refused.delete(reader) || wasPending) || pending.size + refused.size > 0) continue;
      this.#open.delete(id);
      if (wasPending && !isKept) this.#acknowledge(id);
    }
  }

  /** A subscription has processed a message. */
  settle(id: string, reader: Reader): void {
    if (this.forget(id, reader)) this.#acknowledge(id);
  }

  /**
   * A subscription doesn't process a message: it has ended, or gets it again.
   *
   * @returns whether no other one does.
   */
  forget(id: string, reader: Reader): boolean {
    const entry = this.#open.get(id);
    if (!entry?.pending.delete(reader)) return false;
    const isDone = entry.pending.size + entry.refused.size === 0;
    if (isDone) this.#open.delete(id);
    return isDone;
  }

  refuse(id: string, reader: Reader, frame: DataFrame): void {
    const entry = this.#open.get(id);
    if (!entry?.pending.delete(reader)) return;
    entry.refused.set(reader, frame);
    this.#send({ type: "nack", id });
    this.#comeAgain();
  }

  working(id: string, reader: Reader): void {
    if (this.isPending(id, reader)) this.#send({ type: "working", id });
  }

  /**
   * Repeats messages that a subscription has refused after another one had acknowledged them: the gateway may have forgotten
   * them.
   */
  #comeAgain(): void {
    if (this.#cancelAgain !== undefined) return;
    const crossed = [...this.#open].filter(
      ([, { refused, wasSettled }]) => wasSettled && refused.size > 0,
    );
    if (crossed.length === 0) return;
    this.#cancelAgain = this.#platform.timer(this.#ackTimeoutMs, () => {
      this.#cancelAgain = undefined;
      for (const [, { pending, refused }] of crossed) {
        for (const [reader, frame] of refused) {
          refused.delete(reader);
          pending.add(reader);
          const { redelivery = 0 } = frame;
          this.#giveAgain(reader, { ...frame, redelivery: redelivery + 1 });
        }
      }
      this.#comeAgain();
    });
  }

  #acknowledge(id: string): void {
    this.#settled.add(id);
    const [oldest] = this.#settled;
    if (this.#settled.size > MOST_SETTLED) this.#settled.delete(oldest!);
    this.#unsent.add(id);
    if (this.#maxFrameBytes === undefined) return;
    if (this.#unsent.size >= MOST_IDS) this.flush();
    else this.#cancel ??= this.#platform.timer(GATHER_MS, () => this.flush());
  }

  /** Sends what is gathered, before the gateway forgets what it is for. */
  flush(): void {
    const most = this.#maxFrameBytes;
    if (most === undefined) return;
    this.#cancel?.();
    this.#cancel = undefined;
    const ids = [...this.#unsent];
    if (ids.length === 0) return;
    this.#unsent.clear();
    const last = this.#inOrder() ? this.#cumulative(ids) : undefined;
    if (last !== undefined) {
      this.#send({ type: "ack", upto: last });
      return;
    }
    this.#sendIds(ids, most);
  }

  /** Sends ids in as many frames as they need. */
  #sendIds(ids: readonly string[], mostBytes: number): void {
    const frame = { type: "ack", ids } as const;
    const { length } = ids;
    if (length === 1 || (length <= MOST_IDS && byteLength(frame) <= mostBytes)) {
      this.#send(frame);
      return;
    }
    this.#sendIds(ids.slice(0, length / 2), mostBytes);
    this.#sendIds(ids.slice(length / 2), mostBytes);
  }

  /** Returns the one id that stands for all of these: they are of one origin, and nothing older is open. */
  #cumulative(ids: readonly string[]): string | undefined {
    let last = positionOf(ids[0]!);
    let lastId = ids[0]!;
    for (const id of ids) {
      const position = positionOf(id);
      if (position.origin !== last.origin || position.back > 0) return undefined;
      if (position.number >= last.number) [last, lastId] = [position, id];
    }
    for (const id of this.#open.keys()) {
      const { origin, number } = positionOf(id);
      if (origin === last.origin && number <= last.number) return undefined;
    }
    return lastId;
  }
}
