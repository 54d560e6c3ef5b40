import type { GapFrame } from "../../protocol/server-frames.ts";
import type { TextFrame } from "../ports/text-frame.ts";
import type { Dialect } from "../wire/dialect.ts";
import { Envelope } from "../wire/envelope.ts";
import type { QueueItem } from "./queue.ts";

/** Items of a queue, as frames for a socket. */
export interface Packed {
  readonly frames: readonly TextFrame[];
  /** The messages in them, and their bytes. */
  readonly messages: readonly Envelope[];
  readonly bytes: number;
  /** The gaps in them, each with the message before it. */
  readonly gaps: readonly { readonly gap: GapFrame; readonly behind: Envelope | undefined }[];
}

/** Packs messages and notices into frames, in order; notices only if the dialect has them. */
export function packItems(items: readonly QueueItem[], dialect: Dialect): Packed {
  const frames: TextFrame[] = [];
  let run: Envelope[] = [];
  const messages: Envelope[] = [];
  let bytes = 0;
  const gaps: { gap: GapFrame; behind: Envelope | undefined }[] = [];
  const packRun = (): void => {
    if (run.length > 0) frames.push(...dialect.pack(run));
    run = [];
  };
  for (const item of items) {
    if (item instanceof Envelope) {
      run.push(item);
      messages.push(item);
      bytes += item.byteLength;
    } else if (dialect.sendsNotices) {
      packRun();
      frames.push(dialect.notice(item));
      if (item.type === "gap") gaps.push({ gap: item, behind: messages.at(-1) });
    }
  }
  packRun();
  return { frames, messages, bytes, gaps };
}
