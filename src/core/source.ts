/**
 * One message as a source hands it over. The bytes are the source's own: they may be read during
 * the call and must not be kept or changed.
 */
export interface SourceMessage {
  /** Without wildcards. */
  readonly subject: string;
  /** The payload, byte for byte; empty when there is none. */
  readonly data: Uint8Array;
  /** Header names as they were sent, each with its values; `undefined` when there are none. */
  readonly headers?: ReadonlyMap<string, readonly string[]> | undefined;
}

/**
 * How a source stands.
 *
 * - `"idle"`: not started, or stopped.
 * - `"connecting"`: cut off from its messages, and trying; `reason` says why.
 * - `"connected"`: messages that are published now arrive.
 */
export type SourceStatus =
  | { readonly state: "idle" }
  | { readonly state: "connecting"; readonly reason: string }
  | { readonly state: "connected"; readonly to: string };

/** What a source calls. All methods return at once and never throw. */
export interface SourceListener {
  message(message: SourceMessage): void;
  status(status: SourceStatus): void;
  /**
   * What is published to the pattern from now on arrives. Told once for each `subscribe`, and again
   * after each time that the source was cut off.
   */
  arrives(pattern: string): void;
  /**
   * The source may not subscribe to the pattern, and says why. It goes on trying, and tells with
   * `arrives` when it may.
   */
  refused(pattern: string, reason: string): void;
}

/** Where messages come from. */
export interface MessageSource {
  /** What people call it: `"NATS"`. */
  readonly name: string;
  readonly status: SourceStatus;
  /**
   * Starts delivering to the listener and returns at once: a source that cannot be reached yet
   * is `"connecting"`, and goes on trying until it is stopped.
   */
  start(listener: SourceListener): void;
  /**
   * Delivers what matches the pattern, too; patterns may overlap, and a message still comes once.
   * Remembered while the source is cut off or not started. Each pattern is subscribed to once.
   */
  subscribe(pattern: string): void;
  /** No longer delivers what only this pattern matches. */
  unsubscribe(pattern: string): void;
  /**
   * Unsubscribes, delivers what is already under way, and lets go of every timer and socket.
   * Ends by itself within `timeoutMs`. May be called twice, and before `start`.
   */
  stop(timeoutMs: number): Promise<void>;
}

/** A source that a client of the gateway may feed: the in-memory one. */
export interface Publisher {
  publish(message: SourceMessage): void;
}
