import type { ServerFrame } from "../../protocol/server-frames.ts";
import type { Envelope } from "../wire/envelope.ts";
import { Gap } from "../wire/gap.ts";

/** Messages that are given up together: the client is told of them in one gap. */
export class ExpiredBatch {
  #gap: Gap | undefined;

  add(envelope: Envelope): void {
    const gap = new Gap(envelope, "max_deliver");
    if (this.#gap === undefined) this.#gap = gap;
    else this.#gap.join(gap);
  }

  /** Tells the client, and empties the batch. @param sub the durable's subscription, if only that misses the messages. */
  tell(
    recipient: { tell(...frames: readonly ServerFrame[]): void } | undefined,
    sub?: string,
  ): void {
    const own = sub !== undefined && { sub };
    if (this.#gap !== undefined)
      recipient?.tell(...this.#gap.frames.map((frame) => ({ ...frame, ...own })));
    this.#gap = undefined;
  }
}
