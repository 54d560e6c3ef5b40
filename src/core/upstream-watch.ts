import type { AudienceBook } from "./audience-book.ts";
import type { Demand } from "./demand.ts";
import { cursorOf, type Position } from "./envelope.ts";
import { unknownGap } from "./resume.ts";
import type { UpstreamState } from "./server-frame.ts";
import type { SourceStatus } from "./source.ts";

/** Tells the clients how the source stands, and what that means for them. */
export class UpstreamWatch {
  readonly #audiences: AudienceBook;
  readonly #demand: Demand;
  readonly #last: () => Position;
  #connected = false;
  #wasConnected = false;

  /** @param last the last message that has come. */
  constructor(audiences: AudienceBook, demand: Demand, last: () => Position) {
    this.#audiences = audiences;
    this.#demand = demand;
    this.#last = last;
  }

  /** Whether the source delivers now. */
  get isConnected(): boolean {
    return this.#connected;
  }

  get state(): UpstreamState {
    return this.#connected ? "connected" : "disconnected";
  }

  status(status: SourceStatus): void {
    const connected = status.state === "connected";
    if (connected === this.#connected) return;
    this.#connected = connected;
    if (!connected) this.#demand.cutOff();
    const returned = connected && this.#wasConnected;
    this.#wasConnected = connected || (this.#wasConnected && status.state !== "idle");
    const cursor = cursorOf(this.#last());
    for (const audience of this.#audiences.all()) {
      audience.tell({ type: "upstream", state: this.state });
      // What was published meanwhile is gone, and nobody knows how much it was.
      if (returned && audience.taste.subjects?.length !== 0) {
        audience.tell(unknownGap(cursor, cursor, "upstream"));
      }
    }
  }
}
