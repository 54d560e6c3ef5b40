import type { AudienceBook } from "./audience-book.ts";
import type { Demand } from "./demand.ts";
import { cursorOf, type Position } from "./envelope.ts";
import { unknownGap } from "./resume.ts";
import type { ServerFrame, UpstreamState } from "./server-frame.ts";
import type { SourceStatus } from "./source.ts";
import { carriesAll, subjectsIntersect } from "./subject.ts";

/** Tells the clients how the source stands, and what that means for them. */
export class UpstreamWatch {
  readonly #audiences: AudienceBook;
  readonly #demand: Demand;
  readonly #last: () => Position;
  /** What the source may not have: clients who thought that they had it were told. */
  readonly #refused = new Set<string>();
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
    if (!connected) {
      this.#demand.cutOff();
      this.#refused.clear();
    }
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
  /**
   * The source may not subscribe to a pattern, or no longer: whoever wants something of it, and does not
   * wait for an answer to that any more, is told.
   *
   * @returns whether that is news.
   */
  refused(pattern: string, reason: string): boolean {
    if (this.#refused.has(pattern)) return false;
    this.#refused.add(pattern);
    const message = `NATS no longer sends what you subscribed to: ${reason}`;
    const error = { code: "forbidden", message, retryable: true } as const;
    this.#tellWhoWants(pattern, { type: "error", error });
    return true;
  }

  /** A pattern's messages come, perhaps after they were refused for a while: those in between are lost. */
  arrives(pattern: string): void {
    const wereRefused = [...this.#refused].some((refused) => carriesAll(refused, pattern));
    this.#refused.delete(pattern);
    if (!wereRefused) return;
    const cursor = cursorOf(this.#last());
    this.#tellWhoWants(pattern, unknownGap(cursor, cursor, "upstream"));
  }

  #tellWhoWants(pattern: string, frame: ServerFrame): void {
    for (const audience of this.#audiences.all()) {
      const { subjects = [pattern] } = audience.taste;
      if (subjects.some((wanted) => subjectsIntersect(wanted, pattern))) audience.tell(frame);
    }
  }
}
