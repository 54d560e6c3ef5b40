import { SteppedJob, type TurnShare } from "./turn-share.ts";

/**
 * Handles items in shares of this turn and the next ones, in the order in which they were added. If the handling of one
 * throws, the others are handled all the same.
 */
export class WorkQueue<Item> {
  readonly #turnShare: TurnShare;
  readonly #handle: (item: Item) => number;
  readonly #items = new Set<Item>();
  #isWorking = false;

  /** @param handle handles an item, and returns about how many steps that took. */
  constructor(turnShare: TurnShare, handle: (item: Item) => number) {
    this.#turnShare = turnShare;
    this.#handle = handle;
  }

  add(item: Item): void {
    this.#items.add(item);
    this.#work();
  }

  /** Drops all items, also if the turns have dropped the work on them. */
  clear(): void {
    this.#items.clear();
    this.#isWorking = false;
  }

  #work(): void {
    if (this.#isWorking || this.#items.size === 0) return;
    this.#isWorking = true;
    this.#turnShare.run(this, new SteppedJob(this.#handleAll()));
  }

  *#handleAll(): Generator<number, void, void> {
    try {
      for (const item of this.#items) {
        this.#items.delete(item);
        yield this.#handle(item);
      }
    } finally {
      this.#isWorking = false;
      // After an exception, another job handles the items that are left.
      this.#work();
    }
  }
}
