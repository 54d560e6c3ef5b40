import type { PresenceFrame, PresenceMember } from "../../protocol/server-frames.ts";
import type { Principal } from "../access/grant.ts";
import type { TextFrame } from "../ports/text-frame.ts";
import type { SessionConnection } from "../sessions/session.ts";

/** The most people in one list. */
const MAX_MEMBERS = 100;

/** The state of a view. Of long lists, it has the first people: see {@linkcode firstOf}. */
interface PresenceState {
  readonly pattern: string;
  readonly count: number;
  /** Whether it may be old. */
  readonly isStale: boolean;
  readonly members: readonly Principal[];
  /** The people that came and left since the watches were told. */
  readonly joined: readonly Principal[];
  readonly left: readonly Principal[];
}

/** The people that a frame names. */
type Named = "all" | "changed" | "nobody";

/** The state of a view at one time, for its watches. Equal frames are encoded once. */
export class PresenceNews {
  readonly #state: PresenceState;
  /** The last frame for each kind of viewer: most clients give their watches the same name. */
  readonly #last = new Map<string, { readonly id: string; readonly notice: TextFrame }>();

  constructor(state: PresenceState) {
    this.#state = state;
  }

  /** Tells a client what it is to know of its watch `id`. */
  tell({ dialect, grant, writer }: SessionConnection, id: string, named: Named): void {
    const issuer = named === "nobody" ? "" : grant.terms.principal.issuer;
    const kind = `${named} ${issuer}`;
    let last = this.#last.get(kind);
    if (last?.id !== id) {
      last = { id, notice: dialect.notice(this.#frame(id, this.#lists(named), issuer)) };
      this.#last.set(kind, last);
    }
    writer.write([last.notice]);
  }

  #frame(id: string, lists: Lists, viewersIssuer: string): PresenceFrame {
    const { pattern: subject, count, isStale } = this.#state;
    const names = Object.entries(lists).map(([list, people]) => [
      list,
      people.slice(0, MAX_MEMBERS).map((principal) => nameFor(viewersIssuer, principal)),
    ]);
    const isTruncated = Object.values(lists).some(({ length }) => length > MAX_MEMBERS);
    return {
      ...{ type: "presence", id, subject, count },
      ...(Object.fromEntries(names) as Pick<PresenceFrame, keyof Lists>),
      ...(isTruncated && { truncated: true }),
      ...(isStale && { stale: true }),
    };
  }

  #lists(named: Named): Lists {
    const { members, joined, left } = this.#state;
    if (named === "all") return { members };
    if (named === "nobody") return {};
    return { ...(joined.length > 0 && { joined }), ...(left.length > 0 && { left }) };
  }
}

type Lists = Partial<Readonly<Record<"members" | "joined" | "left", readonly Principal[]>>>;

/** Returns as many items as one list has, and one more if there are more. */
export function firstOf<Item>(items: Iterable<Item>): Item[] {
  const first: Item[] = [];
  for (const item of items) {
    if (first.push(item) > MAX_MEMBERS) break;
  }
  return first;
}

/** Names someone to a viewer: with the issuer if the viewer's is another one, so that two people don't look like one. */
function nameFor(viewersIssuer: string, { issuer, sub }: Principal): PresenceMember {
  return issuer === viewersIssuer ? { sub } : { sub, issuer };
}
