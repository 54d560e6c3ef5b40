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

/** The most steps in one turn of the event loop. They take some milliseconds. */
const STEPS_PER_TURN = 4096;
/** The most steps for one owner before the next owner gets its part. */
const STEPS_PER_PART = 1024;

/**
 * Limits the time that long work takes of each turn of the event loop, so that a message that arrives waits no
 * longer than one turn's share, however much work there is.
 *
 * Owners take turns, and the jobs of one owner run one after the other: an owner does not get more by asking
 * for more.
 */
export class TurnShare {
  readonly #clock: Clock;
  readonly #stepsPerTurn: number;
  /** The jobs of each owner; the owner whose turn is next is first. */
  readonly #waiting = new OldestFirst<object, Job[]>();
  /** How many steps are left in this turn. */
  #left: number;
  #cancelRenewal: Cancel | undefined;
  #isWorking = false;

  constructor(clock: Clock, stepsPerTurn = STEPS_PER_TURN) {
    this.#clock = clock;
    this.#stepsPerTurn = stepsPerTurn;
    this.#left = stepsPerTurn;
  }

  /** Runs a job: at once if steps are left in this turn, and in later turns. */
  run(owner: object, job: Job): void {
    const jobs = this.#waiting.get(owner);
    if (jobs === undefined) this.#waiting.set(owner, [job]);
    else jobs.push(job);
    this.#work();
  }

  /** Finishes the jobs that must end, drops all others, and cancels the timer. */
  stop(): void {
    const jobs = [...this.#waiting.keys()].flatMap((owner) => this.#waiting.get(owner) ?? []);
    this.#waiting.clear();
    for (const job of jobs) {
      while (job.mustEnd && !job.isDone) job.work(Number.POSITIVE_INFINITY);
    }
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
    const [owner, jobs] = this.#waiting.oldest as [object, Job[]];
    const [job] = jobs as [Job];
    // A job that throws is dropped, and doesn't keep the others from their work.
    let isOver = true;
    try {
      this.#left -= Math.max(1, job.work(Math.min(this.#left, STEPS_PER_PART)));
      isOver = job.isDone;
    } finally {
      if (isOver) jobs.shift();
      if (jobs.length > 0) this.#waiting.set(owner, jobs);
      else this.#waiting.delete(owner);
    }
  }
}
