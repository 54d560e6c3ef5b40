import type { GrantedRequest } from "../access/grant.ts";
import type { Session } from "../sessions/session.ts";
import type { DenyList } from "../subject/deny-list.ts";
import type { Selection } from "../subject/subject.ts";
import { Cancellation } from "../timing/cancellation.ts";
import { memoryOf, type PatternBudget, type PatternCost } from "./pattern-budget.ts";

/** A request that a client has made and not withdrawn. */
export interface ActiveRequest extends GrantedRequest {
  /** Changed by `ClientRequests.narrow` only. */
  subjects: Selection;
  /** What the client's grant denies now. */
  denied: DenyList | undefined;
  /** Grows with each request that any client makes. */
  readonly order: number;
  /** Cancelled when the client withdraws the request, or is over. */
  readonly cancellation: Cancellation;
}

type PatternLists = readonly Selection[];

/** Knows what each client has asked for, in effect or not yet, and keeps the budget of patterns. */
export class ClientRequests {
  readonly #budget: PatternBudget;
  readonly #byClient = new Map<Session, readonly ActiveRequest[]>();
  #count = 0;

  constructor(budget: PatternBudget) {
    this.#budget = budget;
  }

  of(client: Session): readonly ActiveRequest[] {
    return this.#byClient.get(client) ?? [];
  }

  find(client: Session, id: string): ActiveRequest | undefined {
    return this.of(client).find((request) => request.id === id);
  }

  /** Returns the lists of patterns that a client has, those of its durables included. */
  patternsOf(client: Session): PatternLists {
    const durables = client.durables.map(({ title }) => title.subjects);
    return [...this.of(client).map(({ subjects }) => subjects), ...durables];
  }

  /** Returns about how many bytes of memory the patterns of a client take. */
  memoryOf(client: Session): number {
    return memoryOf(this.#costOf(this.of(client)));
  }

  add(client: Session, request: GrantedRequest): ActiveRequest {
    const order = ++this.#count;
    const { denied } = request;
    const added = { ...request, denied, order, cancellation: new Cancellation() };
    this.#set(client, [...this.of(client), added]);
    return added;
  }

  /** A request wants only these of its subjects. */
  narrow(client: Session, request: ActiveRequest, subjects: Selection): void {
    const before = this.#costOf(this.of(client));
    request.subjects = subjects;
    this.#budget.changed(before, this.#costOf(this.of(client)));
  }

  /** Withdraws a request of a client. */
  remove(client: Session, request: ActiveRequest): void {
    this.#set(
      client,
      this.of(client).filter((other) => other !== request),
    );
    request.cancellation.cancel();
  }

  /** Withdraws all requests of a client. @returns these requests. */
  removeAll(client: Session): readonly ActiveRequest[] {
    return this.removeAllBut(client, () => false);
  }

  /** Withdraws all requests of a client but some. @returns the requests that are withdrawn. */
  removeAllBut(
    client: Session,
    isKept: (request: ActiveRequest) => boolean,
  ): readonly ActiveRequest[] {
    const requests = this.of(client);
    const kept = requests.filter(isKept);
    const withdrawn = requests.filter((request) => !kept.includes(request));
    this.#set(client, kept);
    for (const { cancellation } of withdrawn) cancellation.cancel();
    return withdrawn;
  }

  #set(client: Session, requests: readonly ActiveRequest[]): void {
    this.#budget.changed(this.#costOf(this.of(client)), this.#costOf(requests));
    if (requests.length === 0) this.#byClient.delete(client);
    else this.#byClient.set(client, requests);
  }

  #costOf(requests: readonly ActiveRequest[]): PatternCost {
    return this.#budget.costOf(requests.map(({ subjects }) => subjects));
  }
}
