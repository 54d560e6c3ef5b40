import type { GapFrame, ServerFrame, UpstreamState } from "../protocol/server-frames.ts";
import type { Announcement, Audience } from "./fanout/audience.ts";
import type { AudienceRegistry } from "./fanout/audience-registry.ts";
import type { GapLog } from "./history/gap-log.ts";
import type { StreamChange } from "./history/stream-registry.ts";
import type { SourceStatus } from "./ports/source.ts";
import type { Session } from "./sessions/session.ts";
import { exposedOf } from "./subject/subject.ts";
import { patternRefusal, streamRefusal } from "./subscribe/refusal.ts";
import { SteppedJob, type TurnShare } from "./timing/turn-share.ts";
import type { UpstreamRefusal } from "./upstream/upstream-subscription.ts";
import type { UpstreamSubscriptions } from "./upstream/upstream-subscriptions.ts";
import { cursorOf, type Position } from "./wire/envelope.ts";
import { unknownGap } from "./wire/gap.ts";

/** Begins the message to a client whose subscription NATS stopped serving; the reason follows. */
const ABOUT = "NATS does not send what you subscribed to";

/** About how many steps it takes to tell an audience something, beside one for each member. */
const TELL_STEPS = 16;

interface NotifierOptions {
  /** The exposed patterns that no stream keeps. */
  readonly demanded: readonly string[];
}

interface NotifierParts {
  readonly audiences: AudienceRegistry<Session>;
  readonly gaps: GapLog;
  readonly upstream: UpstreamSubscriptions;
  readonly turnShare: TurnShare;
  /** The position of the last message that arrived. */
  last(): Position;
  /** NATS refuses something that a client asked for when it connected, and can't ask for again. */
  refused(session: Session): void;
}

/** Tells clients about the source: whether it is connected, what it refuses, and which messages they miss. */
export class UpstreamNotifier {
  readonly #options: NotifierOptions;
  readonly #parts: NotifierParts;
  #connected = false;

  constructor(options: NotifierOptions, parts: NotifierParts) {
    this.#options = options;
    this.#parts = parts;
  }

  /** Whether the source is connected. */
  get isConnected(): boolean {
    return this.#connected;
  }

  get state(): UpstreamState {
    return this.#connected ? "connected" : "disconnected";
  }

  status(status: SourceStatus): void {
    const { demanded } = this.#options;
    const connected = status.state === "connected";
    if (connected === this.#connected) return;
    this.#connected = connected;
    if (!connected) this.#parts.upstream.cutOff();
    const announcements: Announcement[] = [
      { frame: { type: "upstream", state: this.state }, concerns: () => true },
    ];
    if (connected) {
      const cursor = cursorOf(this.#parts.last());
      // It isn't known what was published meanwhile. That is so before the first connection, too: NATS may have
      // served others.
      announcements.push(this.#missed(unknownGap(cursor, cursor, "upstream"), demanded));
    }
    this.#announce(announcements);
  }

  /**
   * The source refuses a pattern: answers the clients that wait for it, and tells those that have it.
   *
   * @returns whether that is news.
   */
  refused(pattern: string, refusal: UpstreamRefusal): boolean {
    if (!this.#parts.upstream.refused(pattern, refusal)) return false;
    const error = patternRefusal(refusal, ABOUT);
    this.#refuse(this.#tellAudiencesOf([pattern], { type: "error", error }));
    return true;
  }

  /** A pattern's messages arrive. If they were refused for a while, clients missed some. */
  arrives(pattern: string): void {
    // Tells them before `arrives` answers the clients that wait for it, which missed nothing.
    const cursor = cursorOf(this.#parts.last());
    const returning = this.#parts.upstream.returningWith(pattern);
    const gap = unknownGap(cursor, cursor, "upstream");
    if (returning.length > 0) this.#parts.gaps.add(gap, returning);
    this.#tellAudiencesOf(returning, gap);
    this.#parts.upstream.arrives(pattern);
  }

  /** A stream is followed again, perhaps with messages missing. */
  stream({ gap, subjects: carried }: StreamChange): void {
    if (gap !== undefined) this.#announce([this.#missed(gap, carried)]);
  }

  /** The source refuses to follow a stream: its messages wait in the stream. */
  streamRefused(carried: readonly string[], reason: string): void {
    const error = streamRefusal(reason, ABOUT);
    const told: Audience<Session>[] = [];
    for (const audience of this.#parts.audiences.all()) {
      if (!wantsSome(audience, carried)) continue;
      audience.tell({ type: "error", error });
      told.push(audience);
    }
    this.#refuse(told);
  }

  /** Messages of these patterns are missing. */
  #missed(frame: GapFrame, patterns: readonly string[]): Announcement {
    this.#parts.gaps.add(frame, patterns);
    return { frame, concerns: (audience) => wantsSome(audience, patterns) };
  }

  /** Tells the members of all audiences: each before its next message, and some in each turn of the event loop. */
  #announce(announcements: readonly Announcement[]): void {
    const { audiences, turnShare } = this.#parts;
    if (audiences.size === 0) return;
    for (const audience of audiences.all()) {
      for (const announcement of announcements) audience.announce(announcement);
    }
    turnShare.run(this, new SteppedJob(this.#tellAll()));
  }

  *#tellAll(): Generator<number, void, void> {
    for (const audience of this.#parts.audiences.all()) {
      audience.tellAnnounced();
      yield TELL_STEPS + audience.size;
    }
  }

  /** Reports clients that can't ask for something else; those of `spillway.v1.json` can. */
  #refuse(audiences: Iterable<Audience<Session>>): void {
    for (const { key, live, queued } of audiences) {
      if (key.dialect.name === "v1") continue;
      for (const session of [...live, ...queued]) this.#parts.refused(session);
    }
  }

  /** Tells the audiences whose subjects one of the patterns brings. */
  #tellAudiencesOf(
    patterns: readonly string[],
    frame: ServerFrame,
  ): ReadonlySet<Audience<Session>> {
    const told = new Set<Audience<Session>>();
    for (const pattern of patterns) {
      const look = (audience: Audience<Session>): void => {
        const { subjects } = audience;
        if (told.has(audience) || !exposedOf(this.#options.demanded, subjects).includes(pattern))
          return;
        told.add(audience);
        audience.tell(frame);
      };
      // Very many patterns may be refused at once: asks only the audiences that may want each.
      this.#parts.audiences.covering(pattern, look);
    }
    return told;
  }
}

/** Whether the members of an audience may get something of these patterns. */
function wantsSome(
  { key, subjects }: Pick<Audience, "key" | "subjects">,
  patterns: readonly string[],
): boolean {
  return key.denied.leavesSome(patterns, subjects);
}
