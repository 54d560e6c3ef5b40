import type { Policy } from "../../protocol/fields.ts";
import type { Selection } from "../subject/subject.ts";
import { subjectMatches } from "../subject/subject.ts";
import { FEW_PATTERNS, SubjectTrie } from "../subject/subject-trie.ts";
import type { Envelope } from "../wire/envelope.ts";
import type { DeliveryTerms, SubscriptionRequest } from "../wire/subscription-request.ts";

/** Counts the cost of work, so that it can be shared out. */
export interface Effort {
  steps: number;
}

/** How far a subscription has caught up: it has brought nothing after that place yet. */
export interface Progress {
  /** The place among all messages that came to this gateway. */
  serial: number;
  /** By stream, the sequence up to which it has caught up. */
  readonly of: Map<string, number>;
  /** The origin of cursors for `serial`; `undefined` while it reads streams, which have no common cursor. */
  readonly origin?: string | undefined;
  /** Whether pages of a stream come one after another: the client then keeps the pace that it has shown. */
  reads: boolean;
}

/** One of the subscriptions of a client. */
export class Subscription {
  readonly id: string;
  /** Changed by `Subscriptions` only, which has filed them. */
  subjects: Selection;
  policy: Policy;
  /** Changed by `Subscriptions` only, which hold messages back. */
  maxRate: number | undefined;
  /** The order of a client's requests: the one that it made first has the smaller number. */
  readonly order: number;
  /** The client gets every message after this serial. */
  readonly sinceSerial: number;
  /** By stream, the sequence after which the client gets every message. Subscriptions share it until it changes. */
  #sinceOf: ReadonlyMap<string, number>;
  /** How far it has caught up; `undefined` once it is in effect. */
  progress: Progress | undefined;
  #trie: SubjectTrie<true> | undefined;

  constructor(
    request: SubscriptionRequest,
    { policy, maxRate }: DeliveryTerms,
    order: number,
    sinceSerial: number,
    sinceOf: ReadonlyMap<string, number>,
  ) {
    this.id = request.id;
    this.subjects = request.subjects;
    this.policy = policy;
    this.maxRate = maxRate;
    this.order = order;
    this.sinceSerial = sinceSerial;
    this.#sinceOf = sinceOf;
  }

  /** Whether it is known where the subscription begins in a stream. */
  hasStartIn(stream: string): boolean {
    return this.#sinceOf.has(stream);
  }

  /** The client gets every message of a stream after this sequence. */
  startAfter(stream: string, sequence: number): void {
    this.#sinceOf = new Map(this.#sinceOf).set(stream, sequence);
  }

  /** Begins to catch up. */
  catchUp(origin?: string): Progress {
    this.progress = {
      serial: this.sinceSerial,
      of: new Map(this.#sinceOf),
      origin,
      reads: false,
    };
    return this.progress;
  }

  /** Whether a message that it wants is one that it brings: now, later, or since it began. */
  begunBy({ origin, sequence, serial }: Envelope): boolean {
    const since = this.#sinceOf.get(origin);
    return since === undefined ? serial > this.sinceSerial : sequence > since;
  }

  /** Whether the client got a message that it wants by this one, or was told that it does not get it. */
  hasPassed(envelope: Envelope): boolean {
    const { progress } = this;
    if (!this.begunBy(envelope)) return false;
    if (progress === undefined) return true;
    const { origin, sequence, serial } = envelope;
    if (!this.#sinceOf.has(origin)) return serial <= progress.serial;
    return sequence <= (progress.of.get(origin) ?? Number.NEGATIVE_INFINITY);
  }

  /** From now on, it wants only these of its subjects. */
  narrow(subjects: Selection): void {
    this.subjects = subjects;
    this.#trie = undefined;
  }

  wants(subject: string, effort?: Effort): boolean {
    const { subjects } = this;
    if (subjects === "everything") return true;
    if (subjects.length <= FEW_PATTERNS) {
      if (effort !== undefined) effort.steps += subjects.length;
      return subjects.some((pattern) => subjectMatches(pattern, subject));
    }
    if (this.#trie === undefined) {
      this.#trie = new SubjectTrie();
      for (const pattern of subjects) this.#trie.add(pattern, true);
    }
    let wanted = false;
    const steps = this.#trie.match(subject, () => {
      wanted = true;
    });
    if (effort !== undefined) effort.steps += steps;
    return wanted;
  }
}
