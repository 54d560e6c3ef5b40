import { isObject } from "../../protocol/schema.ts";
import { subjectFault } from "../../protocol/subject.ts";
import { ANONYMOUS, isSamePrincipal, type Principal } from "../access/grant.ts";
import { exposes, intersectingOf, subjectCovers, subjectIntersection } from "../subject/subject.ts";

/** The entry by which a gateway tells the others of one connection. */
export interface PresenceEntry {
  /** The account of NATS that the client belongs to; `""`: the default one. Clients of others never learn of it. */
  readonly account: string;
  /** The client's principal; {@linkcode ANONYMOUS} if it has proved no name. */
  readonly principal: Principal;
  /** The patterns that it is subscribed to. */
  readonly subjects: readonly string[];
  /** The patterns whose messages it doesn't get nevertheless. */
  readonly denied: readonly string[];
}

/** The most patterns of an entry, and their most characters; the client counts as not being on further ones. */
const MAX_PATTERNS = 64;
const MAX_LENGTH = 4096;
/** A longer value comes from no gateway. */
const MAX_BYTES = 64 * 1024;
const MAX_NAME_LENGTH = 256;

const decoder = new TextDecoder("utf-8", { fatal: true });

/** Whether a client is on a subject: some message of the pattern reaches it. */
export function isOn({ subjects, denied }: PresenceEntry, pattern: string): boolean {
  return subjects.some((subject) => {
    if (!exposes(subject, pattern)) return false;
    if (denied.length === 0) return true;
    const both = subjectIntersection(subject, pattern);
    return both !== undefined && !denied.some((one) => subjectCovers(one, both));
  });
}

/** About how many patterns {@linkcode isOn} compares. */
export function comparisonsWith({ subjects, denied }: PresenceEntry): number {
  return subjects.length * (1 + denied.length);
}

/**
 * Returns what an entry has room for; `undefined`: the client is on nothing. If not all denied patterns fit, the client
 * counts as not being on the patterns that the others narrow.
 */
export function fittingEntry(entry: PresenceEntry): PresenceEntry | undefined {
  const fitting = bounded(entry.subjects);
  const narrowing = intersectingOf(entry.denied, fitting);
  const denied = bounded(narrowing);
  const narrowed = new Set(intersectingOf(fitting, narrowing.slice(denied.length)));
  const subjects = fitting.filter((pattern) => !narrowed.has(pattern));
  return subjects.length === 0 ? undefined : { ...entry, subjects, denied };
}

/** Writes an entry that fits as the value of its key. */
export function entryText({ account, principal, subjects, denied }: PresenceEntry): string {
  const { issuer, sub } = principal;
  return JSON.stringify({
    ...(account !== "" && { account }),
    ...(!isSamePrincipal(principal, ANONYMOUS) && { iss: issuer, sub }),
    subjects,
    ...(denied.length > 0 && { denied }),
  });
}

/** Reads the value of a key; returns `undefined` if it is no entry. Never throws. */
export function readEntry(data: Uint8Array): PresenceEntry | undefined {
  if (data.length > MAX_BYTES) return undefined;
  let value: unknown;
  try {
    value = JSON.parse(decoder.decode(data));
  } catch {
    return undefined;
  }
  if (!isObject(value)) return undefined;
  const { account = "", iss: issuer = "", sub = "", subjects, denied = [] } = value;
  if (!isName(account) || !isName(issuer) || !isName(sub)) return undefined;
  if (!arePatterns(subjects) || !arePatterns(denied)) return undefined;
  return { account, principal: { issuer, sub }, subjects, denied };
}

export function isSameList(one: readonly string[], other: readonly string[]): boolean {
  return one.length === other.length && one.every((text, index) => text === other[index]);
}

/** Returns the first patterns, as many as fit. */
function bounded(patterns: readonly string[]): readonly string[] {
  let length = 0;
  return patterns.slice(0, MAX_PATTERNS).filter((pattern) => {
    length += pattern.length;
    return length <= MAX_LENGTH;
  });
}

function isName(value: unknown): value is string {
  return typeof value === "string" && value.length <= MAX_NAME_LENGTH;
}

function arePatterns(value: unknown): value is readonly string[] {
  return (
    Array.isArray(value) &&
    value.length <= MAX_PATTERNS &&
    value.every((one) => typeof one === "string" && subjectFault(one, true) === undefined)
  );
}
