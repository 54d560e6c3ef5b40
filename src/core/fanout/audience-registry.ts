import { SmallSet } from "../collections/small-set.ts";
import type { Fanout } from "../ports/socket.ts";
import type { DenyList } from "../subject/deny-list.ts";
import { SubjectTrie } from "../subject/subject-trie.ts";
import type { Dialect } from "../wire/dialect.ts";
import {
  Audience,
  type AudienceKey,
  type AudienceMember,
  type AudienceParts,
  topicHeadOf,
} from "./audience.ts";

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
  readonly audiences: SmallSet<Audience<Member>>;
}

interface SharedDenyList {
  readonly list: DenyList;
  /** How many audiences have it. */
  audiences: number;
}

const NO_GROUPS: readonly never[] = [];

/** All audiences, found by what their clients want and by the subjects that they match. */
export class AudienceRegistry<Member extends AudienceMember = AudienceMember> {
  readonly #fanouts: Fanouts;
  readonly #parts: AudienceParts;
  readonly #topicPrefix: string;
  /** By topic: equal for equal lists of patterns, allowed and denied, and for no others. */
  readonly #audiences = new Map<string, Audience<Member>>();
  /** By key. */
  readonly #groups = new Map<string, PatternGroup<Member>>();
  /** The keys of lists, which are asked for again whenever their client goes over to another audience. */
  readonly #keys = new WeakMap<readonly string[], string>();
  #count = 0;
  /** The audiences that want only some subjects. */
  readonly #filtered = new SubjectTrie<PatternGroup<Member>>();
  readonly #groupsOf = new Map<Audience<Member>, readonly PatternGroup<Member>[]>();
  /** The audiences that want everything. */
  readonly #unfiltered = new Set<Audience<Member>>();
  /** By key: audiences with equal lists of denied subjects share one, which answers for all of them at once. */
  readonly #denied = new Map<string, SharedDenyList>();

  /** @param topicPrefix tells its topics apart from those of other registries that have the same fanouts. */
  constructor(fanouts: Fanouts, parts: AudienceParts, topicPrefix = "") {
    this.#fanouts = fanouts;
    this.#parts = parts;
    this.#topicPrefix = topicPrefix;
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
    let topic = this.#topicPrefix + topicOf(key, groups);
    const before = key.acked ? this.#audiences.get(topic) : undefined;
    if (before !== undefined) {
      // The pending messages may be too much for the last of its members, and the audience goes with it.
      before.flush();
      groups = this.#groupsIn(key);
      topic = this.#topicPrefix + topicOf(key, groups);
    }
    let audience = this.#audiences.get(topic);
    if (audience === undefined) {
      const shared = { ...key, denied: this.#share(key.denied) };
      audience = new Audience<Member>(topic, shared, this.#fanoutOf(key.dialect), this.#parts);
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
    this.#unshare(audience.key.denied);
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
    this.#filtered.match(subject, ({ audiences }) => audiences.each(visit));
  }

  /** Visits each audience that wants all of a pattern by one of its own, some perhaps several times. */
  covering(pattern: string, visit: (audience: Audience<Member>) => void): void {
    for (const audience of this.#unfiltered) visit(audience);
    this.#filtered.covering(pattern, ({ audiences }) => audiences.each(visit));
  }

  #share(denied: DenyList): DenyList {
    if (denied.isEmpty) return denied;
    let shared = this.#denied.get(denied.key);
    if (shared === undefined) {
      shared = { list: denied, audiences: 0 };
      this.#denied.set(denied.key, shared);
    }
    shared.audiences++;
    return shared.list;
  }

  #unshare({ key }: DenyList): void {
    const shared = this.#denied.get(key);
    if (shared !== undefined && --shared.audiences === 0) this.#denied.delete(key);
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
      group = {
        key,
        number: ++this.#count,
        patterns: [...new Set(list)],
        audiences: new SmallSet(),
      };
      this.#groups.set(key, group);
      for (const pattern of group.patterns) this.#filtered.add(pattern, group);
    }
    return group;
  }

  #fanoutOf({ name }: Dialect): Fanout {
    return name === "sse" ? this.#fanouts.events : this.#fanouts.websocket;
  }
}

/** Returns the name of an audience, which is its topic. */
function topicOf(
  key: AudienceKey,
  groups: readonly { readonly key: string; readonly number: number }[],
): string {
  // No pattern has a line feed.
  const denied = key.denied.isEmpty ? "" : `\n${key.denied.key}`;
  return `${topicHeadOf(key)}${wantedOf(key, groups)}${denied}`;
}

/** The part of a topic that says what the audience wants. */
function wantedOf(
  { lists }: AudienceKey,
  groups: readonly { readonly key: string; readonly number: number }[],
): string {
  if (lists === "everything") return "";
  if (groups.length < 2) return ` ${groups[0]?.key ?? ""}`;
  // No list begins with a space.
  const numbers = groups.map(({ number }) => number).sort((one, other) => one - other);
  return `  ${numbers.join(" ")}`;
}
