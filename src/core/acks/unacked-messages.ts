import type { Envelope } from "../wire/envelope.ts";
import { readPlainAck, sequenceOf, UNKNOWN_ID } from "./ack-id.ts";
import { AckState } from "./ack-state.ts";
import { AckWindow } from "./ack-window.ts";

type Use = (window: AckWindow, sequence: number) => void;

/** What one client was sent and has not acknowledged, of each origin: this run of the gateway, and each stream. */
export class UnackedMessages {
  /** There is one, almost always. */
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

  /** Takes in messages that were sent. @returns how many of them were not here. */
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

  /** Finds where the message of an id would be. @returns `false` when it is of no origin that is known here. */
  find(id: string, use: Use): boolean {
    return this.#first((origin) => sequenceOf(id, origin), use);
  }

  /** The same for an acknowledgement as most clients write it; `false` for any other frame, too. */
  findAcked(frame: string, use: Use): boolean {
    return this.#first((origin) => readPlainAck(frame, origin), use);
  }

  /** All that is here is to be sent again at a time. */
  rewind(dueMs: number): void {
    for (const window of this.#windows) {
      for (let at = window.head; at < window.end; at++) {
        const standing = window.standingAt(at);
        if (standing === AckState.gone) continue;
        window.wait(at, standing === AckState.sent ? AckState.late : standing, dueMs);
      }
    }
  }

  /** Acknowledgements have until then to come. */
  extend(dueMs: number): void {
    for (const window of this.#windows) {
      for (let at = window.head; at < window.end; at++) {
        if (window.standingAt(at) !== AckState.sent || window.dueAt(at) >= dueMs) continue;
        window.wait(at, AckState.sent, dueMs);
      }
    }
  }

  /**
   * Gives memory back. Windows of an origin that is no more, as when a stream was made anew, are not
   * looked at for ever.
   */
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
