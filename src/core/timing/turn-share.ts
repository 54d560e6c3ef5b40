import { OldestFirst } from "../collections/oldest-first.ts";
import type { Cancel, Clock } from "../ports/clock.ts";

/** Work that can be done in parts. */
export interface Job {
  /** Does a part of about so many steps. @returns how many steps it took, at least one. */
  work(steps: number): number;
  /** Whether no work is left. */
  readonly isDone: boolean;
  /** Whether `stop` has to finish it. Default: `stop` drops it. */
  readonly mustEnd?: boolean;
}

/** A job that is written as a generator, which yields after each step, or yields how many steps it took. */
export class SteppedJob implements Job {
  isDone = false;
  readonly mustEnd: boolean;
  readonly #steps: Iterator<number | undefined, void, void>;

  constructor(steps: Iterator<number | undefined, void, void>, mustEnd = false) {
    this.#steps = steps;
    this.mustEnd = mustEnd;
  }

  work(steps: number): number {
    let taken = 0;
    while (taken < steps) {
      const { value, done } = this.#steps.next();
      if (done) {
        this.isDone = true;
        break;
      }
      taken += value ?? 1;
    }
    return taken;
  }
}

/** The jobs of one part of the gateway, which get their time from the turns of all parts, and are stopped together. */
export class TurnShare {
  readonly #turns: Turns;

  constructor(turns: Turns) {
    this.#turns = turns;
  }

  /** Runs a job: at once if steps are left in this turn, and in later turns. */
  run(owner: object, job: Job): void {
    this.#turns.run(owner, job, this);
  }

  /** Finishes the jobs that must end, and drops all others. */
  stop(): void {
    this.#turns.stop(this);
  }
}

/** The most steps in one turn of the event loop. They take some milliseconds. */
const STEPS_PER_TURN = 4096;
/** The most steps for one owner before the next owner gets its part. */
const STEPS_PER_PART = 1024;

/** A job with the share that it is stopped with. */
interface SharedJob {
  readonly job: Job;
  readonly share: TurnShare;
}

/**
 * Limits the time that long work takes of each turn of the event loop, so that a message that arrives waits no
 * longer than one turn's share, however much work there is.
 *
 * Owners take turns, and the jobs of one owner run one after the other: an owner does not get more by asking
 * for more.
 */
export class Turns {
  readonly #clock: Clock;
  readonly #failed: (error: unknown) => void;
  readonly #stepsPerTurn: number;
  /** The jobs of each owner; the owner whose turn is next is first. */
  readonly #waiting = new OldestFirst<object, SharedJob[]>();
  /** How many steps are left in this turn. */
  #left: number;
  #cancelRenewal: Cancel | undefined;
  #isWorking = false;

  /** @param failed a job has thrown: it is dropped. */
  constructor(clock: Clock, failed: (error: unknown) => void, stepsPerTurn = STEPS_PER_TURN) {
    this.#clock = clock;
    this.#failed = failed;
    this.#stepsPerTurn = stepsPerTurn;
    this.#left = stepsPerTurn;
  }

  /** See `TurnShare.run`. */
  run(owner: object, job: Job, share: TurnShare): void {
    const jobs = this.#waiting.get(owner);
    if (jobs === undefined) this.#waiting.set(owner, [{ job, share }]);
    else jobs.push({ job, share });
    this.#work();
  }

  /** See `TurnShare.stop`. Cancels the timer if no job of another share is left. */
  stop(share: TurnShare): void {
    const stopped: Job[] = [];
    for (const owner of [...this.#waiting.keys()]) {
      const jobs = this.#waiting.get(owner) as SharedJob[];
      const others = jobs.filter((one) => one.share !== share);
      stopped.push(...jobs.filter((one) => one.share === share).map(({ job }) => job));
      if (others.length === 0) this.#waiting.delete(owner);
      else jobs.splice(0, jobs.length, ...others);
    }
    for (const job of stopped) {
      try {
        while (job.mustEnd && !job.isDone) job.work(Number.POSITIVE_INFINITY);
      } catch (error) {
        this.#failed(error);
      }
    }
    if (this.#waiting.size > 0) return;
    this.#cancelRenewal?.();
    this.#cancelRenewal = undefined;
    this.#left = this.#stepsPerTurn;
  }

  #work(): void {
    // A job may begin another one.
    if (this.#isWorking) return;
    this.#isWorking = true;
    try {
      while (this.#left > 0 && this.#waiting.size > 0) this.#workForNext();
    } finally {
      this.#isWorking = false;
      this.#renewLater();
    }
  }

  /** The next turn has all its steps again. */
  #renewLater(): void {
    if (this.#left === this.#stepsPerTurn && this.#waiting.size === 0) return;
    this.#cancelRenewal ??= this.#clock.soon(() => {
      this.#cancelRenewal = undefined;
      this.#left = this.#stepsPerTurn;
      this.#work();
    });
  }

  #workForNext(): void {
    const [owner, jobs] = this.#waiting.oldest as [object, SharedJob[]];
    const [{ job }] = jobs as [SharedJob];
    const mostSteps = Math.min(this.#left, STEPS_PER_PART);
    // One that throws counts as if it had taken its whole part.
    let steps = mostSteps;
    let isOver = true;
    try {
      steps = Math.max(1, job.work(mostSteps));
      isOver = job.isDone;
    } catch (error) {
      // Neither the other jobs nor whoever begins one hear of it.
      this.#failed(error);
    } finally {
      this.#left -= steps;
      if (isOver) jobs.shift();
      if (jobs.length > 0) this.#waiting.set(owner, jobs);
      else this.#waiting.delete(owner);
    }
  }
}
