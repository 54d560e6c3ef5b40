/** A timer that was set; hand it back to {@linkcode Clock.clear}. */
export type Timer = { readonly timer: unique symbol };

/** Time, so that tests own it. */
export interface Clock {
  /** Milliseconds since 1970, as a wall clock shows them: for timestamps. */
  wallMs(): number;
  /** Milliseconds from an arbitrary start that never go back: for durations. */
  nowMs(): number;
  /** Calls once, `delayMs` from now. */
  after(delayMs: number, call: () => void): Timer;
  /** Calls once, when the present turn of the event loop has read what had arrived. */
  soon(call: () => void): Timer;
  /** Forgets a timer of `after` or `soon`; one that already rang is no error. */
  clear(timer: Timer): void;
}
