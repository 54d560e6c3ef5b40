import type { Clock } from "../ports/clock.ts";

/** By default, a place that isn't given back for this long is taken back. */
const LONGEST_MS = 1000;
/** The share of the places that other owners leave which one owner may have: some are left for whoever comes next. */
const SHARE = 3 / 4;

/** The owner of tasks that nobody has to leave places for. */
const NOBODY = "";

/** The tasks of one owner. */
interface Tasks {
  readonly owner: string;
  /** Begin the tasks that wait, in the order in which they came. */
  readonly waiting: Set<() => void>;
  running: number;
}

/**
 * Lets a number of tasks run at the same time. One task begins in each turn of the event loop, so that other
 * work comes in between. Owners take turns, and none of them has all places, however many tasks it has.
 */
export class ConcurrencyLimiter {
  readonly #clock: Clock;
  readonly #most: number;
  readonly #longestMs: number;
  /** By owner; the one whose turn is next is first. */
  readonly #tasks = new Map<string, Tasks>();
  #running = 0;
  #waiting = 0;
  #scheduled = false;

  /** @param longestMs a place that isn't given back is taken back after this time; infinite: never. */
  constructor(clock: Clock, most: number, longestMs = LONGEST_MS) {
    this.#clock = clock;
    this.#most = most;
    this.#longestMs = longestMs;
  }

  /** How many tasks have a place. */
  get running(): number {
    return this.#running;
  }

  /** How many tasks wait for a place. */
  get waiting(): number {
    return this.#waiting;
  }

  /**
   * Waits for a place.
   *
   * @param signal if it is aborted first, the wait ends without a place.
   * @param owner whose task it is. Default: that of nobody, who may have all places.
   * @returns a function that gives the place back; it may be called twice.
   */
  async take(signal?: AbortSignal, owner = NOBODY): Promise<() => void> {
    if (signal?.aborted) return () => {};
    const tasks = await this.#turn(owner, signal);
    if (tasks === undefined) return () => {};
    let isGiven = false;
    const give = (): void => {
      if (isGiven) return;
      isGiven = true;
      cancel();
      this.#running--;
      tasks.running--;
      this.#forgetIdle(tasks);
      this.#schedule();
    };
    const isBounded = this.#longestMs < Number.POSITIVE_INFINITY;
    const cancel = isBounded ? this.#clock.after(this.#longestMs, give) : () => {};
    return give;
  }

  /** @returns the tasks of the owner if one of them has a place now; `undefined` if the signal was aborted. */
  #turn(owner: string, signal: AbortSignal | undefined): Promise<Tasks | undefined> {
    const tasks = this.#tasks.get(owner) ?? { owner, waiting: new Set(), running: 0 };
    this.#tasks.set(owner, tasks);
    return new Promise((resolve) => {
      const end = (has: Tasks | undefined): void => {
        tasks.waiting.delete(begin);
        this.#waiting--;
        signal?.removeEventListener("abort", abort);
        resolve(has);
      };
      const begin = (): void => {
        this.#running++;
        tasks.running++;
        end(tasks);
      };
      const abort = (): void => {
        end(undefined);
        this.#forgetIdle(tasks);
      };
      tasks.waiting.add(begin);
      this.#waiting++;
      signal?.addEventListener("abort", abort);
      this.#schedule();
    });
  }

  #schedule(): void {
    if (this.#scheduled || this.#next === undefined) return;
    this.#scheduled = true;
    this.#clock.soon(() => {
      this.#scheduled = false;
      const next = this.#next;
      if (next !== undefined) {
        const [begin] = next.waiting;
        this.#tasks.delete(next.owner);
        this.#tasks.set(next.owner, next);
        begin?.();
      }
      this.#schedule();
    });
  }

  /** The owner whose turn it is; `undefined`: no task may begin now. */
  get #next(): Tasks | undefined {
    if (this.#waiting === 0 || this.#running >= this.#most) return undefined;
    // Only owners that have places are passed over, so they are few.
    for (const tasks of this.#tasks.values()) {
      if (tasks.waiting.size > 0 && this.#mayHaveMore(tasks)) return tasks;
    }
    return undefined;
  }

  #mayHaveMore({ owner, running }: Tasks): boolean {
    const others = this.#running - running;
    return owner === NOBODY || running < SHARE * (this.#most - others);
  }

  #forgetIdle({ owner, waiting, running }: Tasks): void {
    if (running === 0 && waiting.size === 0) this.#tasks.delete(owner);
  }
}
