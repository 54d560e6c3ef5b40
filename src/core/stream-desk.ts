import type { BroadcasterOptions, BroadcasterParts } from "./broadcaster-parts.ts";
import type { Position } from "./envelope.ts";
import { Replaying } from "./replaying.ts";
import type { Ring } from "./ring.ts";
import { StreamBook } from "./stream-book.ts";
import { StreamPages } from "./stream-pages.ts";
import { Turns } from "./turns.ts";

/** So many clients at a time are fed with pages of what streams have kept. */
const MOST_READERS = 32;

/** All about streams that keep their messages. */
export class StreamDesk {
  readonly book: StreamBook;
  readonly replaying: Replaying;

  /** @param last the last message that has come. */
  constructor(
    options: BroadcasterOptions,
    { source, encoder, clock }: BroadcasterParts,
    ring: Ring,
    last: () => Position,
  ) {
    this.book = new StreamBook(options.streams, ring);
    const catchUp = source.history && {
      clock,
      ring,
      pages: new StreamPages(source.history, encoder, () => clock.wallMs()),
      turns: new Turns(clock, MOST_READERS),
    };
    this.replaying = new Replaying(options, this.book, catchUp, last);
  }
}
