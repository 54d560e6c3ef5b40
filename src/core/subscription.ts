import type { Envelope } from "./envelope.ts";
import type { Policy } from "./policy.ts";
import type { DeliveryMode } from "./server-frame.ts";
import { subjectMatches } from "./subject.ts";
import { SubjectTrie } from "./subject-trie.ts";

/** What a client asks for. */
export interface SubscriptionRequest {
  /** What the client calls it; a plain client's only one is `""`. */
  readonly id: string;
  /** Valid patterns; `undefined` for all that the endpoint exposes. */
  readonly subjects: readonly string[] | undefined;
  /** `undefined`: as configured. */
  readonly policy?: Policy | undefined;
  /** Messages per second and subject, the latest of those that come faster; `undefined`: all. */
  readonly maxRate?: number | undefined;
  /** What the client counts on, where it says so. */
  readonly mode?: DeliveryMode | undefined;
  /** The durable that it uses; `undefined`: none. */
  readonly durable?: string | undefined;
  /** The cursor behind which to begin; `undefined`: as `start` says. */
  readonly after?: string | undefined;
  /** Where to begin in streams; `undefined`: with what comes next. */
  readonly start?: StartPoint | undefined;
}

/**
 * Where a subscription begins in streams that keep their messages.
 *
 * - `"all"`: with the first one that is kept.
 * - `"last"`, `"last_per_subject"`: with the latest of those that it wants, or of each of their subjects.
 * - `sequence`, `timeMs` (Unix milliseconds): with that one, or the first one behind it.
 */
export type StartPoint =
  | "new"
  | "all"
  | "last"
  | "last_per_subject"
  | { readonly sequence: number }
  | { readonly timeMs: number };

/** Whether two requests bring the same messages in the same way, wherever they begin. */
export function wantsTheSame(one: SubscriptionRequest, other: SubscriptionRequest): boolean {
  return (
    one.policy === other.policy &&
    one.maxRate === other.maxRate &&
    one.durable === other.durable &&
    one.subjects?.join() === other.subjects?.join()
  );
}

/** Up to so many patterns are compared one by one; more are filed in a trie, which costs memory. */
const FEW_PATTERNS = 4;

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
  readonly subjects: readonly string[] | undefined;
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
    if (subjects === undefined) return true;
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
