import type { Ledger } from "../metering/ledger.ts";
import type { Fanout } from "../ports/socket.ts";
import { SubjectTrie } from "../subject/subject-trie.ts";
import type { Dialect } from "../wire/dialect.ts";
import { Audience, type AudienceKey, type AudienceMember, topicHeadOf } from "./audience.ts";

/** A runtime's best way to write to many, for each kind of connection. */
export interface Fanouts {
  readonly websocket: Fanout;
  /** Server-sent events. */
  readonly events: Fanout;
}

/**
 * Patterns that clients ask for together: filed once for all audiences that want them, so that a client with
 * very many patterns goes over to another audience for the price of those that it has more, or no longer.
 */
interface PatternGroup<Member extends AudienceMember> {
  /** The patterns, which tell it apart from others. */
  readonly key: string;
  /** Tells it apart in fewer words; none is used twice. */
  readonly number: number;
  readonly patterns: readonly string[];
  readonly audiences: Set<Audience<Member>>;
}

const NO_GROUPS: readonly never[] = [];

/** All audiences, found by what their clients want and by the subjects that they match. */
export class AudienceRegistry<Member extends AudienceMember = AudienceMember> {
  readonly #fanouts: Fanouts;
  readonly #ledger: Ledger;
  /** By topic: equal for equal lists of patterns, and for no others. */
  readonly #audiences = new Map<string, Audience<Member>>();
  /** By key. */
  readonly #groups = new Map<string, PatternGroup<Member>>();
  /** The keys of lists, which are asked for again whenever their client goes over to another audience. */
  readonly #keys = new WeakMap<readonly string[], string>();
  #count = 0;
  /** Those that want only some subjects. */
  readonly #filtered = new SubjectTrie<PatternGroup<Member>>();
  readonly #groupsOf = new Map<Audience<Member>, readonly PatternGroup<Member>[]>();
  /** Those that want everything. */
  readonly #unfiltered = new Set<Audience<Member>>();

  constructor(fanouts: Fanouts, ledger: Ledger) {
    this.#fanouts = fanouts;
    this.#ledger = ledger;
  }

  get size(): number {
    return this.#audiences.size;
  }

  all(): Iterable<Audience<Member>> {
    return this.#audiences.values();
  }

  /** The audience of this key, made when it is the first client's. */
  of(key: AudienceKey): Audience<Member> {
    let groups = this.#groupsIn(key);
    let topic = topicOf(key, groups);
    const before = key.acked ? this.#audiences.get(topic) : undefined;
    if (before !== undefined) {
      // What is pending may be too much for the last of its members, and the audience goes with it.
      before.flush();
      groups = this.#groupsIn(key);
      topic = topicOf(key, groups);
    }
    let audience = this.#audiences.get(topic);
    if (audience === undefined) {
      audience = new Audience<Member>(topic, key, this.#fanoutOf(key.dialect), this.#ledger);
      this.#audiences.set(topic, audience);
      if (key.lists === "everything") this.#unfiltered.add(audience);
      for (const group of groups) group.audiences.add(audience);
      if (groups.length > 0) this.#groupsOf.set(audience, groups);
    }
    return audience;
  }

  /** Forgets an audience that has no members. */
  forget(audience: Audience<Member>): void {
    if (audience.size > 0 || !this.#audiences.delete(audience.topic)) return;
    this.#unfiltered.delete(audience);
    for (const group of this.#groupsOf.get(audience) ?? NO_GROUPS) {
      group.audiences.delete(audience);
      if (group.audiences.size > 0) continue;
      this.#groups.delete(group.key);
      for (const pattern of group.patterns) this.#filtered.remove(pattern, group);
    }
    this.#groupsOf.delete(audience);
  }

  /** Visits each audience that wants the subject, some perhaps several times. */
  match(subject: string, visit: (audience: Audience<Member>) => void): void {
    for (const audience of this.#unfiltered) visit(audience);
    this.#filtered.match(subject, ({ audiences }) => {
      for (const audience of audiences) visit(audience);
    });
  }

  /** Visits each audience that wants all of a pattern by one of its own, some perhaps several times. */
  covering(pattern: string, visit: (audience: Audience<Member>) => void): void {
    for (const audience of this.#unfiltered) visit(audience);
    this.#filtered.covering(pattern, ({ audiences }) => {
      for (const audience of audiences) visit(audience);
    });
  }

  #groupsIn({ lists }: AudienceKey): readonly PatternGroup<Member>[] {
    if (lists === "everything" || lists.length === 0) return NO_GROUPS;
    return [...new Set(lists.map((list) => this.#groupOf(list)))];
  }

  #groupOf(list: readonly string[]): PatternGroup<Member> {
    let key = this.#keys.get(list);
    if (key === undefined) {
      // No subject holds a space.
      key = [...new Set(list)].sort().join(" ");
      this.#keys.set(list, key);
    }
    let group = this.#groups.get(key);
    if (group === undefined) {
      group = { key, number: ++this.#count, patterns: [...new Set(list)], audiences: new Set() };
      this.#groups.set(key, group);
      for (const pattern of group.patterns) this.#filtered.add(pattern, group);
    }
    return group;
  }

  #fanoutOf({ name }: Dialect): Fanout {
    return name === "sse" ? this.#fanouts.events : this.#fanouts.websocket;
  }
}

/** What an audience is called, and its topic. */
function topicOf(
  key: AudienceKey,
  groups: readonly { readonly key: string; readonly number: number }[],
): string {
  const head = topicHeadOf(key);
  if (key.lists === "everything") return head;
  if (groups.length < 2) return `${head} ${groups[0]?.key ?? ""}`;
  // No list begins with a space.
  const numbers = groups.map(({ number }) => number).sort((one, other) => one - other);
  return `${head}  ${numbers.join(" ")}`;
}
