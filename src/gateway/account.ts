import type { Broadcaster } from "../core/broadcaster.ts";
import type { Meter } from "../core/metering/meter.ts";
import type { Clock } from "../core/ports/clock.ts";
import type { SourceStatus } from "../core/ports/source.ts";
import type { GatewaySource } from "./create-source.ts";

interface AccountParts {
  /** `undefined`: it is the default one. */
  readonly name?: string;
  readonly source: GatewaySource;
  readonly broadcaster: Broadcaster;
  /** Counts that the connection is lost, or can't be made. */
  readonly meter: Meter;
  /** Is told before the broadcaster. */
  readonly statusChanged?: (status: SourceStatus) => void;
}

/** A connection to NATS, or another source, and the broadcaster of its messages. */
export class Account {
  readonly #parts: AccountParts;
  readonly #connected = Promise.withResolvers<void>();
  /** Whether the source was started and has told its first status. */
  #hasBegun = false;

  constructor(parts: AccountParts) {
    this.#parts = parts;
  }

  get source(): GatewaySource {
    return this.#parts.source;
  }

  get broadcaster(): Broadcaster {
    return this.#parts.broadcaster;
  }

  /** Starts the source. */
  start(): void {
    const { broadcaster } = this;
    this.source.start({
      message: (message) => broadcaster.message(message),
      status: (status) => this.#statusChanged(status),
      arrives: (pattern) => broadcaster.arrives(pattern),
      refused: (pattern, reason, isFinal) => broadcaster.refused(pattern, reason, isFinal),
      stream: (tip) => broadcaster.stream(tip),
      streamRefused: (name, reason) => broadcaster.streamRefused(name, reason),
      fault: (kind, detail) => broadcaster.fault(kind, detail),
    });
  }

  /** Resolves when the source was connected once, and after this time at the latest. */
  async connected(clock: Clock, mostMs: number): Promise<void> {
    const cancel = clock.after(mostMs, () => this.#connected.resolve());
    await this.#connected.promise;
    cancel();
  }

  async stop(timeoutMs: number): Promise<void> {
    this.#connected.resolve();
    await this.source.stop(timeoutMs);
  }

  #statusChanged(status: SourceStatus): void {
    this.#parts.statusChanged?.(status);
    this.broadcaster.status(status);
    // That it is not connected when it has only just begun is no error.
    if (status.state === "connecting" && this.#hasBegun) {
      const { name, meter } = this.#parts;
      const about = name === undefined ? "" : `account ${name}: `;
      meter.countError("source", about + status.reason);
    }
    this.#hasBegun = status.state !== "idle";
    if (status.state === "connected") this.#connected.resolve();
  }
}
