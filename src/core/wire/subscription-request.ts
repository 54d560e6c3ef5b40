import type { DeliveryMode, From, Policy } from "../../protocol/fields.ts";
import type { StartPoint } from "../ports/source.ts";
import type { Selection } from "../subject/subject.ts";
import { idIn } from "./end-cursor.ts";

/** A client's request for a subscription. */
export interface SubscriptionRequest {
  /** The client's name for it; a plain client's only one is `""`. */
  readonly id: string;
  /** Everything that its grant has, or valid patterns. */
  readonly subjects: Selection;
  /** `undefined`: as configured. */
  readonly policy?: Policy | undefined;
  /** Messages per second and subject, the latest of those that come faster; `undefined`: all. */
  readonly maxRate?: number | undefined;
  /** The delivery mode that the client counts on, if it says so. */
  readonly mode?: DeliveryMode | undefined;
  /** The durable that it uses; `undefined`: none. */
  readonly durable?: string | undefined;
  /** The cursor behind which to begin; `undefined`: as `start` says. */
  readonly after?: string | undefined;
  /** The start in streams; `undefined`: with what comes next. */
  readonly start?: StartPoint | undefined;
}

/** How a subscription brings its messages. */
export interface DeliveryTerms {
  /** The policy if the client can't keep up. */
  readonly policy: Policy;
  /** Messages per second and subject, the latest of those that come faster; `undefined`: all. */
  readonly maxRate: number | undefined;
}

/** The fields of a subscription in `subscribe` and in the query. */
interface Wish {
  readonly subjects: Selection;
  readonly policy?: Policy;
  readonly max_rate?: number;
  readonly from?: From;
  readonly after?: string;
  readonly mode?: DeliveryMode;
  readonly durable?: string;
}

/** Makes a request of what a client says, in `subscribe` or in the query. */
export function requestOf(id: string, wish: Wish): SubscriptionRequest {
  const { subjects, policy, max_rate: maxRate, from, mode, durable } = wish;
  const { after: cursor = wish.after, start } = beginOf(from);
  const after = cursor === undefined ? undefined : idIn(cursor);
  return { id, subjects, policy, maxRate, mode, durable, after, start };
}

function beginOf(from: From | undefined): { after?: string; start?: StartPoint } {
  if (from === undefined) return {};
  if (typeof from === "string") return { start: from };
  if ("after" in from) return from;
  if ("seq" in from) return { start: { sequence: from.seq } };
  return { start: { timeMs: Date.parse(from.time) } };
}

/** Whether two requests bring the same messages in the same way, wherever they begin. */
export function wantsTheSame(one: SubscriptionRequest, other: SubscriptionRequest): boolean {
  return (
    one.policy === other.policy &&
    one.maxRate === other.maxRate &&
    one.durable === other.durable &&
    keyOf(one.subjects) === keyOf(other.subjects)
  );
}

function keyOf(subjects: Selection): string {
  // No pattern holds a space.
  return subjects === "everything" ? " everything" : subjects.join(" ");
}
