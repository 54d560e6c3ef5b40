import type { Meter } from "../core/metering/meter.ts";

/** What an `Output` runs: a gateway and the server that it listens with. */
export interface Engine {
  /** What the gateway counts; it lives as long as the engine, across stops and starts. */
  readonly meter: Meter;
  /**
   * Listens, then starts the source; a source that cannot be reached yet is no error.
   *
   * @returns the address that clients may use.
   * @throws SpillwayError transient `"LISTEN_FAILED"`; then nothing is left open.
   */
  start(): Promise<{ readonly host: string; readonly port: number }>;
  /**
   * Takes no more clients, drains the source, closes every client with 1001, frees the port; ends
   * within the time, and leaves no timer, socket or handle. May be called twice.
   */
  stop(timeoutMs: number): Promise<void>;
}
