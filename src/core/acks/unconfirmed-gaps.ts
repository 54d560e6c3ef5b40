import type { GapFrame } from "../../protocol/server-frames.ts";
import { unknownGap } from "../wire/gap.ts";

/** More are told as one, of unknown size. */
const MOST_GAPS = 64;

interface Unheard {
  readonly gap: GapFrame;
  /** What was sent behind it has a greater serial. */
  readonly serial: number;
}

/**
 * Gaps that a client was told, until it acknowledges something that was sent behind them: before that,
 * nobody knows whether it got them, and when it comes back they are told again.
 */
export class UnconfirmedGaps {
  #all: Unheard[] = [];

  /** @param serial that of the last message that was sent before. */
  add(gap: GapFrame, serial: number): void {
    this.#all.push({ gap, serial });
    if (this.#all.length <= MOST_GAPS) return;
    const [{ gap: first }] = this.#all as [Unheard];
    const last = this.#all.at(-1) as Unheard;
    const whole = unknownGap(first.from, last.gap.to, last.gap.reason);
    this.#all = [{ gap: whole, serial: last.serial }];
  }

  /** A message was acknowledged. */
  acknowledged(serial: number): void {
    if (this.#all.length === 0) return;
    this.#all = this.#all.filter((unheard) => unheard.serial >= serial);
  }

  get all(): readonly GapFrame[] {
    return this.#all.map(({ gap }) => gap);
  }
}
