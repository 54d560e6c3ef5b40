import type { GrantedRequest } from "../access/grant.ts";
import type { Session } from "../sessions/session.ts";
import type { DenyList } from "../subject/deny-list.ts";
import type { Selection } from "../subject/subject.ts";
import { Cancellation } from "../timing/cancellation.ts";
import { memoryOf, type PatternBudget, type PatternCost } from "./pattern-budget.ts";

/** A request that a client has made and not withdrawn. */
export interface ActiveRequest extends GrantedRequest {
  /** Changed by {@linkcode ClientRequests.narrow} only. */
  subjects: Selection;
  /** Changed by {@linkcode ClientRequests.deny} only. */
  denied: DenyList;
  /** The patterns at the source that it uses. */
  upstream: readonly string[];
  /** Grows with each request that any client makes. */
  readonly order: number;
  /** Cancelled when the client withdraws the request, or is over. */
  readonly cancellation: Cancellation;
}

type PatternLists = readonly Selection[];

/** Knows what each client has asked for, in effect or not yet, and keeps the budget of patterns. */
export class ClientRequests {
  readonly #budget: PatternBudget;
  readonly #bySession = new Map<Session, readonly ActiveRequest[]>();
  #count = 0;

  constructor(budget: PatternBudget) {
    this.#budget = budget;
  }

  of(session: Session): readonly ActiveRequest[] {
    return this.#bySession.get(session) ?? [];
  }

  find(session: Session, id: string): ActiveRequest | undefined {
    return this.of(session).find((request) => request.id === id);
  }

  /** Returns the lists of patterns that a client has, those of its durables included. */
  patternsOf(session: Session): PatternLists {
    const durables = session.durables.map(({ title }) => title.subjects);
    return [...this.of(session).map(({ subjects }) => subjects), ...durables];
  }

  /** Returns about how many bytes of memory the patterns of a client take. */
  memoryOf(session: Session): number {
    return memoryOf(this.#costOf(this.of(session)));
  }

  add(session: Session, request: GrantedRequest): ActiveRequest {
    const order = ++this.#count;
    const added = { ...request, order, upstream: [], cancellation: new Cancellation() };
    this.#set(session, [...this.of(session), added]);
    return added;
  }

  /** The client's grant denies this from now on. */
  deny(session: Session, denied: DenyList): void {
    for (const request of this.of(session)) request.denied = denied;
  }

  /** A request wants only these of its subjects. */
  narrow(session: Session, request: ActiveRequest, subjects: Selection): void {
    const before = this.#costOf(this.of(session));
    request.subjects = subjects;
    this.#budget.changed(before, this.#costOf(this.of(session)));
  }

  /** Withdraws a request of a client. */
  remove(session: Session, request: ActiveRequest): void {
    this.#set(
      session,
      this.of(session).filter((other) => other !== request),
    );
    request.cancellation.cancel();
  }

  /** Withdraws all requests of a client. @returns these requests. */
  removeAll(session: Session): readonly ActiveRequest[] {
    return this.removeAllBut(session, () => false);
  }

  /** Withdraws all requests of a client but some. @returns the requests that are withdrawn. */
  removeAllBut(
    session: Session,
    isKept: (request: ActiveRequest) => boolean,
  ): readonly ActiveRequest[] {
    const requests = this.of(session);
    const kept = requests.filter(isKept);
    const withdrawn = requests.filter((request) => !kept.includes(request));
    this.#set(session, kept);
    for (const { cancellation } of withdrawn) cancellation.cancel();
    return withdrawn;
  }

  #set(session: Session, requests: readonly ActiveRequest[]): void {
    this.#budget.changed(this.#costOf(this.of(session)), this.#costOf(requests));
    if (requests.length === 0) this.#bySession.delete(session);
    else this.#bySession.set(session, requests);
  }

  #costOf(requests: readonly ActiveRequest[]): PatternCost {
    return this.#budget.costOf(requests.map(({ subjects }) => subjects));
  }
}
