import { Audience, type Taste, topicOf } from "./audience.ts";
import type { Dialect } from "./dialect.ts";
import type { Meter } from "./meter.ts";
import type { Fanout } from "./socket.ts";
import { SubjectTrie } from "./subject-trie.ts";

/** A runtime's best way to write to many, for each kind of connection. */
export interface Fanouts {
  readonly websocket: Fanout;
  /** Server-sent events. */
  readonly events: Fanout;
}

/** All audiences, found by what their clients want and by the subjects that they match. */
export class AudienceBook {
  readonly #fanouts: Fanouts;
  readonly #meter: Meter;
  /** By topic, which is made of the taste. */
  readonly #audiences = new Map<string, Audience>();
  /** Those that want only some subjects. */
  readonly #filtered = new SubjectTrie<Audience>();
  /** Those that want everything. */
  readonly #unfiltered = new Set<Audience>();

  constructor(fanouts: Fanouts, meter: Meter) {
    this.#fanouts = fanouts;
    this.#meter = meter;
  }

  get size(): number {
    return this.#audiences.size;
  }

  all(): Iterable<Audience> {
    return this.#audiences.values();
  }

  /** The audience of this taste, made when it is the first client's. */
  of(taste: Taste): Audience {
    const topic = topicOf(taste);
    // What is pending may be too much for the last of its members, and the audience goes with it.
    if (taste.acked) this.#audiences.get(topic)?.flush();
    let audience = this.#audiences.get(topic);
    if (audience === undefined) {
      audience = new Audience(topic, taste, this.#fanoutOf(taste.dialect), this.#meter);
      this.#audiences.set(topic, audience);
      if (taste.subjects === undefined) this.#unfiltered.add(audience);
      for (const subject of taste.subjects ?? []) this.#filtered.add(subject, audience);
    }
    return audience;
  }

  /** Forgets an audience that has no members. */
  forget(audience: Audience): void {
    if (audience.size > 0 || !this.#audiences.delete(audience.topic)) return;
    this.#unfiltered.delete(audience);
    for (const subject of audience.taste.subjects ?? []) this.#filtered.remove(subject, audience);
  }

  /** Visits each audience that wants the subject, some perhaps several times. */
  match(subject: string, visit: (audience: Audience) => void): void {
    for (const audience of this.#unfiltered) visit(audience);
    this.#filtered.match(subject, visit);
  }

  /** Visits each audience that wants all of a pattern by one of its own, some perhaps several times. */
  covering(pattern: string, visit: (audience: Audience) => void): void {
    for (const audience of this.#unfiltered) visit(audience);
    this.#filtered.covering(pattern, visit);
  }

  #fanoutOf({ name }: Dialect): Fanout {
    return name === "sse" ? this.#fanouts.events : this.#fanouts.websocket;
  }
}
