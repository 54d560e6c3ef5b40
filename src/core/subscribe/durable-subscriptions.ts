import type { DurableParts } from "../acks/durable-tracker.ts";
import type { DurableQuery, Durables } from "../ports/source.ts";
import type { Session } from "../sessions/session.ts";

/** Gives clients the durables that they ask for by name. */
export class DurableSubscriptions {
  readonly #parts: DurableParts;
  readonly #durables: Durables | undefined;

  /** @param durables `undefined` if the source has none. */
  constructor(parts: DurableParts, durables: Durables | undefined) {
    this.#parts = parts;
    this.#durables = durables;
  }

  /** How many durables are used here now. */
  get used(): number {
    return this.#durables?.used ?? 0;
  }

  /**
   * Begins to use a durable for a client that acknowledges messages; the source has durables. The answer comes
   * when it is there.
   */
  use(session: Session, id: string, query: DurableQuery): void {
    const { name, subjects } = query;
    const { acks } = session;
    if (acks === undefined) {
      session.end("conflict");
      return;
    }
    const title = { id, name, subjects, policy: session.grant.terms.policy };
    const durable = acks.addDurable(title, session, this.#parts);
    durable.begin((this.#durables as Durables).use(query, durable));
  }

  /** Ends a client's use of a durable, which itself stays. @returns whether the client had it. */
  leave(session: Session, id: string): boolean {
    if (session.acks?.removeDurable(id) !== true) return false;
    session.tell({ type: "unsubscribed", sub: id });
    return true;
  }
}
