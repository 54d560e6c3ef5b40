import type { Dialect } from "./dialect.ts";
import { Envelope } from "./envelope.ts";
import type { QueueItem } from "./queue.ts";
import type { TextFrame } from "./text-frame.ts";

/** What came out of a queue, ready for a socket. */
export interface Packed {
  readonly frames: readonly TextFrame[];
  /** The messages in them, and their bytes. */
  readonly messages: number;
  readonly bytes: number;
  readonly gaps: number;
  readonly last: Envelope | undefined;
}

/** Puts messages and notices into frames, in their order; notices only for those who are told of them. */
export function packItems(items: readonly QueueItem[], dialect: Dialect): Packed {
  const frames: TextFrame[] = [];
  let run: Envelope[] = [];
  let messages = 0;
  let bytes = 0;
  let gaps = 0;
  let last: Envelope | undefined;
  const packRun = (): void => {
    if (run.length > 0) frames.push(...dialect.pack(run));
    run = [];
  };
  for (const item of items) {
    if (item instanceof Envelope) {
      run.push(item);
      messages++;
      bytes += item.byteLength;
      last = item;
    } else if (dialect.tells) {
      packRun();
      frames.push(dialect.notice(item));
      if (item.type === "gap") gaps++;
    }
  }
  packRun();
  return { frames, messages, bytes, gaps, last };
}
