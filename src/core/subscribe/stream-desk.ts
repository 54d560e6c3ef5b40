import type { BroadcasterOptions, BroadcasterParts } from "../broadcaster-parts.ts";
import type { Ring } from "../history/ring.ts";
import { StreamPages } from "../history/stream-pages.ts";
import { StreamRegistry } from "../history/stream-registry.ts";
import { ConcurrencyLimiter } from "../timing/concurrency-limiter.ts";
import { TimerQueue } from "../timing/timer-queue.ts";
import type { TurnShare } from "../timing/turn-share.ts";
import type { Position } from "../wire/envelope.ts";
import { DurableDesk } from "./durable-desk.ts";
import { Replayer } from "./replayer.ts";

/** So many clients at a time are fed with pages of what streams have kept. */
const MOST_READERS = 32;

/** All about streams that keep their messages. */
export class StreamDesk {
  readonly book: StreamRegistry;
  readonly replaying: Replayer;
  readonly durables: DurableDesk;
  readonly #timers: TimerQueue;

  /** @param last the last message that has come. */
  constructor(
    options: BroadcasterOptions,
    parts: BroadcasterParts,
    ring: Ring,
    last: () => Position,
    turnShare: TurnShare,
  ) {
    const { source, encoder, clock, meter, deadLetters, random = Math.random } = parts;
    const { deadLetterSubject } = options;
    this.book = new StreamRegistry(options.streams, ring);
    const catchUp = source.history && {
      clock,
      ring,
      pages: new StreamPages(source.history, encoder, clock, meter),
      turns: new ConcurrencyLimiter(clock, MOST_READERS),
      turnShare,
    };
    this.replaying = new Replayer(options, this.book, catchUp, last);
    this.#timers = new TimerQueue(clock);
    this.durables = new DurableDesk(options, {
      options,
      clock,
      meter,
      encoder,
      timers: this.#timers,
      turnShare,
      deadLetters,
      deadLetterSubject,
      random,
      book: this.book,
      durables: source.durables,
    });
  }

  /** Lets go of the timer. */
  stop(): void {
    this.#timers.stop();
  }
}
