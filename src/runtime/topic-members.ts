import { SmallSet } from "../core/collections/small-set.ts";

/** The members of each topic, for runtimes without a publish of their own. */
export class TopicMembers<Member> {
  readonly #members = new Map<string, SmallSet<Member>>();

  join(topic: string, member: Member): void {
    let members = this.#members.get(topic);
    if (members === undefined) {
      members = new SmallSet();
      this.#members.set(topic, members);
    }
    members.add(member);
  }

  leave(topic: string, member: Member): void {
    const members = this.#members.get(topic);
    members?.delete(member);
    if (members?.size === 0) this.#members.delete(topic);
  }

  members(topic: string): Iterable<Member> {
    return this.#members.get(topic) ?? [];
  }
}
