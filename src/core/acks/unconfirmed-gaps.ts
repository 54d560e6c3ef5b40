import type { GapFrame } from "../../protocol/server-frames.ts";
import { unknownGap } from "../wire/gap.ts";

/** More gaps than these are merged into one of unknown size. */
const MOST_GAPS = 64;

interface Unconfirmed {
  readonly gap: GapFrame;
  /** Messages that were sent after the gap have a greater serial. */
  readonly serial: number;
}

/**
 * Gaps that a client was sent, until it acknowledges a message that was sent after them: before that, nobody
 * knows whether the client received them, and they are sent again when it reconnects.
 */
export class UnconfirmedGaps {
  #all: Unconfirmed[] = [];

  /** @param serial the last message that was sent before the gap. */
  add(gap: GapFrame, serial: number): void {
    this.#all.push({ gap, serial });
    if (this.#all.length <= MOST_GAPS) return;
    const [{ gap: first }] = this.#all as [Unconfirmed];
    const last = this.#all.at(-1) as Unconfirmed;
    const merged = unknownGap(first.from, last.gap.to, last.gap.reason);
    this.#all = [{ gap: merged, serial: last.serial }];
  }

  /** The client has acknowledged a message. */
  confirm(serial: number): void {
    if (this.#all.length === 0) return;
    this.#all = this.#all.filter((gap) => gap.serial >= serial);
  }

  get all(): readonly GapFrame[] {
    return this.#all.map(({ gap }) => gap);
  }
}
