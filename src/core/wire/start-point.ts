import type { StartPoint } from "../ports/source.ts";

const NAMED = ["new", "all", "last", "last_per_subject"] as const;

/** What {@linkcode readStart} takes, besides `{"after":"<id>"}`, in words. */
export const STARTS =
  '"new", "all", "last", "last_per_subject", {"seq":<n>} or {"time":"<RFC 3339>"}';

/** RFC 3339, section 5.6: a date and a time with its offset. */
const TIME = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:\d\d)$/;

/** Where a client says that it begins; `undefined` when that is no such place. */
export function readStart(from: unknown): StartPoint | undefined {
  if (typeof from === "string") return NAMED.find((name) => name === from);
  if (typeof from !== "object" || from === null) return undefined;
  const { seq, time } = from as { seq?: unknown; time?: unknown };
  if (Number.isSafeInteger(seq) && (seq as number) > 0) return { sequence: seq as number };
  if (typeof time !== "string" || !TIME.test(time)) return undefined;
  const timeMs = Date.parse(time);
  return Number.isNaN(timeMs) ? undefined : { timeMs };
}

/** The same in a query: `seq:<n>` and `time:<RFC 3339>` for the objects. */
export function readStartText(from: string): StartPoint | undefined {
  const [, kind, value = ""] = /^(seq|time):(.*)$/.exec(from) ?? [];
  if (kind === undefined) return readStart(from);
  if (kind === "time") return readStart({ time: value });
  return /^\d{1,16}$/.test(value) ? readStart({ seq: Number(value) }) : undefined;
}
