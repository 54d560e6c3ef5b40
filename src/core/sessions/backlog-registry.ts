import type { Session } from "./session.ts";

/** The sessions that have a backlog. */
export class BacklogRegistry {
  readonly #all = new Set<Session>();
  /** The sessions whose backlog is drained with the next flush. */
  #ready = new Set<Session>();
  readonly #flushes: { schedule(): void };

  constructor(flushes: { schedule(): void }) {
    this.#flushes = flushes;
  }

  /** All sessions that have one, attached or detached. */
  get all(): ReadonlySet<Session> {
    return this.#all;
  }

  add(session: Session): void {
    this.#all.add(session);
  }

  remove(session: Session): void {
    this.#all.delete(session);
    this.#ready.delete(session);
  }

  /** The session's connection may take something of its backlog: the next flush drains it. */
  readyToDrain(session: Session): void {
    this.#ready.add(session);
    this.#flushes.schedule();
  }

  /** Returns the sessions that are ready, and forgets that they are. */
  takeReady(): Iterable<Session> {
    const ready = this.#ready;
    if (ready.size > 0) this.#ready = new Set();
    return ready;
  }
}
