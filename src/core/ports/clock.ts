/** Forgets a timer that was set; calling it after the timer rang does nothing. */
export type Cancel = () => void;

/** Time, so that tests own it. */
export interface Clock {
  /** Milliseconds since 1970, as a wall clock shows them: for timestamps. */
  wallMs(): number;
  /** Milliseconds from an arbitrary start that never go back: for durations. */
  nowMs(): number;
  /** Calls once, `delayMs` from now. */
  after(delayMs: number, call: () => void): Cancel;
  /** Calls once, when the present turn of the event loop has read what had arrived. */
  soon(call: () => void): Cancel;
}
