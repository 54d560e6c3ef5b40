import type { Envelope } from "../wire/envelope.ts";
import { readPlainAck, sequenceOf, UNKNOWN_ID } from "./ack-id.ts";
import { AckState } from "./ack-state.ts";
import { AckWindow } from "./ack-window.ts";

type Use = (window: AckWindow, sequence: number) => void;

/** The messages that a client was sent and has not acknowledged, by origin: this run of the gateway, and each stream. */
export class UnackedMessages {
  /** Almost always one. */
  #windows: readonly AckWindow[] = [];

  get windows(): readonly AckWindow[] {
    return this.#windows;
  }

  get messages(): number {
    let messages = 0;
    for (const window of this.#windows) messages += window.messages;
    return messages;
  }

  get bytes(): number {
    let bytes = 0;
    for (const window of this.#windows) bytes += window.bytes;
    return bytes;
  }

  /** Adds messages that were sent. @returns how many of them were not here before. */
  add(envelopes: readonly Envelope[], dueMs: number): number {
    let added = 0;
    let from = 0;
    while (from < envelopes.length) {
      const { origin } = envelopes[from]!;
      let to = from + 1;
      while (to < envelopes.length && envelopes[to]!.origin === origin) to++;
      added += this.#windowOf(origin).addAll(envelopes, from, to, dueMs);
      from = to;
    }
    return added;
  }

  /** Calls with the window of a message's origin. @returns `false` if there is no such window. */
  find(id: string, use: Use): boolean {
    return this.#first((origin) => sequenceOf(id, origin), use);
  }

  /** Does the same for the id in an acknowledgement as most clients write it; returns `false` for every other frame. */
  findPlainAck(frame: string, use: Use): boolean {
    return this.#first((origin) => readPlainAck(frame, origin), use);
  }

  /** Makes all messages due again at this time. */
  rewind(dueMs: number): void {
    for (const window of this.#windows) {
      for (let at = window.head; at < window.end; at++) {
        const state = window.stateAt(at);
        if (state === AckState.gone) continue;
        window.wait(at, state === AckState.sent ? AckState.late : state, dueMs);
      }
    }
  }

  /** Gives acknowledgements until this time to arrive. */
  extend(dueMs: number): void {
    for (const window of this.#windows) {
      for (let at = window.head; at < window.end; at++) {
        if (window.stateAt(at) !== AckState.sent || window.dueAt(at) >= dueMs) continue;
        window.wait(at, AckState.sent, dueMs);
      }
    }
  }

  /** Releases unused memory, and removes empty windows: the stream of an origin may have been replaced. */
  shrink(): void {
    for (const window of this.#windows) window.shrink();
    if (this.#windows.length < 2) return;
    if (this.#windows.some(({ messages }) => messages === 0)) {
      this.#windows = this.#windows.filter(({ messages }) => messages > 0);
    }
  }

  clear(): void {
    this.#windows = [];
  }

  #first(sequenceIn: (origin: string) => number, use: Use): boolean {
    for (const window of this.#windows) {
      const sequence = sequenceIn(window.origin);
      if (sequence === UNKNOWN_ID) continue;
      use(window, sequence);
      return true;
    }
    return false;
  }

  #windowOf(origin: string): AckWindow {
    const [first] = this.#windows;
    if (first?.origin === origin) return first;
    let window = this.#windows.find((other) => other.origin === origin);
    if (window === undefined) {
      window = new AckWindow(origin);
      this.#windows = [...this.#windows, window];
    }
    return window;
  }
}
