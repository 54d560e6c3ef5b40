import type { Policy } from "../../protocol/fields.ts";
import type { Selection } from "../subject/subject.ts";
import { subjectMatches } from "../subject/subject.ts";
import { FEW_PATTERNS, SubjectTrie } from "../subject/subject-trie.ts";
import type { Envelope } from "../wire/envelope.ts";
import type { SubscriptionRequest } from "../wire/subscription-request.ts";

/** Counts what work has cost, so that it can be shared out. */
export interface Effort {
  steps: number;
}

/** How far a subscription has come that catches up: it has not brought anything behind that yet. */
export interface Progress {
  /** The place among all messages that came to this gateway. */
  serial: number;
  /** The same for streams: up to which sequence. */
  readonly of: Map<string, number>;
  /** The origin of cursors for `serial`; `undefined` while it reads streams, which have no common cursor. */
  readonly origin?: string | undefined;
}

/** One of the subscriptions of a client. */
export class Subscription {
  readonly id: string;
  readonly subjects: Selection;
  readonly policy: Policy;
  readonly maxRate: number | undefined;
  /** The order of a client's requests: the one that it made first has the smaller number. */
  readonly order: number;
  /** The client has, or is promised, every message behind the one with this serial. */
  readonly sinceSerial: number;
  /** The same for streams: behind which sequence. */
  readonly sinceOf: Map<string, number>;
  /** How far it has come; `undefined` when it is in effect. */
  progress: Progress | undefined;
  #trie: SubjectTrie<true> | undefined;

  constructor(
    request: SubscriptionRequest,
    policy: Policy,
    order: number,
    sinceSerial: number,
    sinceOf: ReadonlyMap<string, number>,
  ) {
    this.id = request.id;
    this.subjects = request.subjects;
    this.policy = policy;
    this.maxRate = request.maxRate;
    this.order = order;
    this.sinceSerial = sinceSerial;
    this.sinceOf = new Map(sinceOf);
  }

  /** Begins to catch up with what comes. */
  catchUp(origin?: string): Progress {
    this.progress = {
      serial: this.sinceSerial,
      of: new Map(this.sinceOf),
      origin,
    };
    return this.progress;
  }

  /** Whether a message that it wants is one that it brings: now, later, or since it began. */
  begunBy({ origin, sequence, serial }: Envelope): boolean {
    const since = this.sinceOf.get(origin);
    return since === undefined ? serial > this.sinceSerial : sequence > since;
  }

  /** Whether the client got a message that it wants by this one, or was told that it does not get it. */
  hasPassed(envelope: Envelope): boolean {
    const { progress } = this;
    if (!this.begunBy(envelope)) return false;
    if (progress === undefined) return true;
    const { origin, sequence, serial } = envelope;
    if (!this.sinceOf.has(origin)) return serial <= progress.serial;
    return sequence <= (progress.of.get(origin) ?? Number.NEGATIVE_INFINITY);
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
