import type { ServerFrame, UpstreamState } from "../protocol/server-frames.ts";
import type { Audience } from "./fanout/audience.ts";
import type { AudienceRegistry } from "./fanout/audience-registry.ts";
import type { StreamChange } from "./history/stream-registry.ts";
import type { SourceStatus } from "./ports/source.ts";
import type { Session } from "./sessions/session.ts";
import { exposedOf, exposesSome } from "./subject/subject.ts";
import { patternRefusal, streamRefusal } from "./subscribe/refusal.ts";
import type { UpstreamRefusal } from "./upstream/upstream-subscription.ts";
import type { UpstreamSubscriptions } from "./upstream/upstream-subscriptions.ts";
import { cursorOf, type Position } from "./wire/envelope.ts";
import { unknownGap } from "./wire/gap.ts";

/** What a client is told of something that it has subscribed to, before the reason. */
const ABOUT = "NATS does not send what you subscribed to";

interface WatchOptions {
  /** What of the exposed subjects no stream keeps. */
  readonly demanded: readonly string[];
}

interface WatchParts {
  readonly audiences: AudienceRegistry;
  readonly upstream: UpstreamSubscriptions;
  /** The last message that has come. */
  last(): Position;
  /** A client that can't ask again does not get something that it asked for. */
  refused(client: Session): void;
}

/** Tells the clients how the source stands, and what that means for them. */
export class UpstreamNotifier {
  readonly #exposed: readonly string[];
  readonly #parts: WatchParts;
  #connected = false;

  constructor(options: WatchOptions, parts: WatchParts) {
    this.#exposed = options.demanded;
    this.#parts = parts;
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
    if (!connected) this.#parts.upstream.cutOff();
    const cursor = cursorOf(this.#parts.last());
    for (const audience of this.#parts.audiences.all()) {
      audience.tell({ type: "upstream", state: this.state });
      // What was published meanwhile is gone, and nobody knows how much it was: also before the first
      // time, as NATS may have been there for others.
      if (connected && exposesSome(this.#exposed, audience.subjects)) {
        audience.tell(unknownGap(cursor, cursor, "upstream"));
      }
    }
  }

  /**
   * The source may not subscribe to a pattern, or no longer: whoever waits for it has an answer, whoever
   * has it is told.
   *
   * @returns whether that is news.
   */
  refused(pattern: string, refusal: UpstreamRefusal): boolean {
    if (!this.#parts.upstream.refused(pattern, refusal)) return false;
    const error = patternRefusal(refusal, ABOUT);
    this.#refuse(this.#tellWhoHas([pattern], { type: "error", error }));
    return true;
  }

  /** A pattern's messages come, perhaps after they were refused for a while: those in between are lost. */
  arrives(pattern: string): void {
    // Before those who wait for it are told that they have it: they have missed nothing.
    const cursor = cursorOf(this.#parts.last());
    this.#tellWhoHas(
      this.#parts.upstream.returningWith(pattern),
      unknownGap(cursor, cursor, "upstream"),
    );
    this.#parts.upstream.arrives(pattern);
  }

  /** A stream is followed anew; perhaps something of it will not come. */
  stream({ gap, subjects: carried }: StreamChange): void {
    if (gap === undefined) return;
    for (const audience of this.#parts.audiences.all()) {
      const { subjects = carried } = audience;
      if (exposesSome(carried, subjects)) audience.tell(gap);
    }
  }

  /** A stream is not followed, or no longer: what comes of it waits there. */
  streamRefused(carried: readonly string[], reason: string): void {
    const error = streamRefusal(reason, ABOUT);
    const told: Audience[] = [];
    for (const audience of this.#parts.audiences.all()) {
      const { subjects = carried } = audience;
      if (!exposesSome(carried, subjects)) continue;
      audience.tell({ type: "error", error });
      told.push(audience);
    }
    this.#refuse(told);
  }

  /** Clients of `spillway.v1.json` were told, and may ask for something else. */
  #refuse(audiences: Iterable<Audience>): void {
    for (const { key, live, queued } of audiences) {
      if (key.dialect.name === "v1") continue;
      for (const client of [...live, ...queued]) this.#parts.refused(client);
    }
  }

  /** Tells those whose subjects are subscribed to by one of the patterns. */
  #tellWhoHas(patterns: readonly string[], frame: ServerFrame): ReadonlySet<Audience> {
    const told = new Set<Audience>();
    for (const pattern of patterns) {
      const look = (audience: Audience): void => {
        const { subjects } = audience;
        if (told.has(audience) || !exposedOf(this.#exposed, subjects).includes(pattern)) return;
        told.add(audience);
        audience.tell(frame);
      };
      // Very many patterns may be refused at once, which needs no look at everybody.
      this.#parts.audiences.covering(pattern, look);
    }
    return told;
  }
}
