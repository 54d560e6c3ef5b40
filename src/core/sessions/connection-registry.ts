import type { Session } from "./session.ts";

/** The connections that there are, by how they stand. */
export class ConnectionRegistry {
  /** All that are served. */
  readonly open = new Set<Session>();
  /** Those of them that have a queue of their own. */
  readonly queued = new Set<Session>();
  /** Those that were ended, and whose peer has not confirmed. */
  readonly closing = new Set<Session>();
  /** Those that keep up, and have something in a queue of their own. */
  #hungry = new Set<Session>();
  #whenEmpty: (() => void)[] = [];

  /** A connection that is not closed yet still costs what it costs. */
  get size(): number {
    return this.open.size + this.closing.size;
  }

  queues(client: Session, queued: boolean): void {
    if (queued) this.queued.add(client);
    else this.queued.delete(client);
  }

  hungers(client: Session): void {
    this.#hungry.add(client);
  }

  /** They are fed now. */
  takeHungry(): Iterable<Session> {
    const hungry = this.#hungry;
    if (hungry.size > 0) this.#hungry = new Set();
    return hungry;
  }

  ended(client: Session): void {
    this.open.delete(client);
    this.#hungry.delete(client);
    if (client.state === "closing") this.closing.add(client);
  }

  /** @returns whether it was the last one. */
  gone(client: Session): boolean {
    this.closing.delete(client);
    if (this.size > 0) return false;
    for (const resolve of this.#whenEmpty.splice(0)) resolve();
    return true;
  }

  /** Resolves when there are none. */
  async empty(): Promise<void> {
    if (this.size > 0) await new Promise<void>((resolve) => this.#whenEmpty.push(resolve));
  }
}
