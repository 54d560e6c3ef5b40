import { OldestFirst } from "../collections/oldest-first.ts";
import type { Cancel, Clock } from "../ports/clock.ts";

/** Work that is done in parts. */
export interface Job {
  /** Does a part of about so many steps. @returns how many it took, and at least one. */
  work(steps: number): number;
  /** Whether nothing of it is left. */
  readonly isDone: boolean;
  /** Whether it is done to its end, too, when nothing is begun any more. */
  readonly mustEnd?: boolean;
}

/** A job that is written as a generator: it yields after each step, or how many steps it took. */
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

/** The most steps in one turn of the event loop: they take some milliseconds. */
const STEPS_PER_TURN = 4096;
/** The most steps for one owner before it is another owner's turn. */
const STEPS_PER_PART = 1024;

/**
 * Shares out what long work may take of each turn of the event loop: a message that arrives waits for one
 * turn's share, however much there is to do. Owners take turns, and of one owner the first job goes first,
 * so that nobody has more of it by asking for more.
 */
export class TurnShare {
  readonly #clock: Clock;
  readonly #stepsPerTurn: number;
  /** By owner; the one whose turn is next first. */
  readonly #waiting = new OldestFirst<object, Job[]>();
  /** Steps that are left of this turn. */
  #left: number;
  #cancelRenewal: Cancel | undefined;
  #isWorking = false;

  constructor(clock: Clock, stepsPerTurn = STEPS_PER_TURN) {
    this.#clock = clock;
    this.#stepsPerTurn = stepsPerTurn;
    this.#left = stepsPerTurn;
  }

  /** Begins a job: at once, if something is left of this turn, and ends it in later ones. */
  run(owner: object, job: Job): void {
    const jobs = this.#waiting.get(owner);
    if (jobs === undefined) this.#waiting.set(owner, [job]);
    else jobs.push(job);
    this.#work();
  }

  /** Lets go of the timer and of all jobs, once those are done that must be. */
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
    while (this.#left > 0 && this.#waiting.size > 0) this.#workForNext();
    this.#isWorking = false;
    if (this.#left === this.#stepsPerTurn) return;
    this.#cancelRenewal ??= this.#clock.soon(() => {
      this.#cancelRenewal = undefined;
      this.#left = this.#stepsPerTurn;
      this.#work();
    });
  }

  #workForNext(): void {
    const [owner, jobs] = this.#waiting.oldest as [object, Job[]];
    const [job] = jobs as [Job];
    this.#left -= Math.max(1, job.work(Math.min(this.#left, STEPS_PER_PART)));
    if (job.isDone) jobs.shift();
    if (jobs.length > 0) this.#waiting.set(owner, jobs);
    else this.#waiting.delete(owner);
  }
}
