/** Cancels a timer; does nothing once the timer has fired. */
export type Cancel = () => void;

/** The time and timers. The gateway uses the machine's; tests move their own. */
export interface Clock {
  /** Unix milliseconds, for timestamps: the wall clock may be set back. */
  wallMs(): number;
  /** Milliseconds since an arbitrary start, for durations: they never go back. */
  nowMs(): number;
  /** Calls once, after `delayMs`. */
  after(delayMs: number, call: () => void): Cancel;
  /** Calls once, after the present turn of the event loop has read what had arrived. */
  soon(call: () => void): Cancel;
}
