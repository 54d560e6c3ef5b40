import { START_KINDS, type SubjectPermission } from "../core/access/grant.ts";
import { isReserved } from "../core/subject/subject.ts";
import { POLICIES } from "../protocol/fields.ts";
import { isObject } from "../protocol/schema.ts";
import { subjectFault } from "../protocol/subject.ts";
import {
  ACTIONS,
  type Action,
  DEFAULT_LIMITS,
  type Limits,
  type Permissions,
} from "./permissions.ts";

/** The `type` of our entries (RFC 9396 §2). Entries of other types are skipped. */
const TYPE = "spillway";

/** The most entries of all types, and the most patterns and names of durables in all of ours together. */
const MAX_ENTRIES = 64;
const MAX_PATTERNS = 1024;
const MAX_NAME_LENGTH = 128;

/** `{sub}`: the value of a claim. */
const TEMPLATE = /\{([^{}]*)\}/g;
// A value must be one literal token: nothing in it may separate tokens or stand for others.
// biome-ignore lint/suspicious/noControlCharactersInRegex: the pattern finds control characters
const NOT_LITERAL = /[.*>{}\s\u0000-\u0020\u007f-\u009f]|\p{Surrogate}/u;

/** The reason why `authorization_details` can't be used, or allow nothing. */
export interface DetailsFault {
  readonly kind: "unauthenticated" | "forbidden";
  /** Completes the sentence `"authorization_details" …`. */
  readonly fault: string;
}

const NOTHING_FOR_US: DetailsFault = {
  kind: "forbidden",
  fault: `have no entry of the type "${TYPE}"`,
};

/** An entry that can't be used. The message completes the sentence `"authorization_details" …`. */
class EntryFault extends Error {}

/** An entry, with the values of claims in place of their names. */
interface Entry extends Limits {
  readonly account: string | undefined;
  readonly actions: readonly Action[];
  readonly allow: readonly string[];
  readonly deny: readonly string[];
}

/**
 * Reads the permissions in `authorization_details` (RFC 9396): the subjects of all entries together, without the subjects
 * that one of them denies for the same action. If several entries have a limit, the strictest one counts. All entries must
 * be for the same account: subjects of one account mean nothing in another. An unknown field or a value that can't be used
 * refuses all entries, as it may be a restriction.
 *
 * @param claims their values take the place of templates like `{sub}`.
 */
export function readPermissions(
  claims: Readonly<Record<string, unknown>>,
): Permissions | DetailsFault {
  try {
    const { authorization_details: details } = claims;
    if (details === undefined) return NOTHING_FOR_US;
    if (!Array.isArray(details) || details.length > MAX_ENTRIES) {
      throw new EntryFault(`must be a list of ${MAX_ENTRIES} entries at most`);
    }
    const entries = details.flatMap((entry: unknown, index) => {
      if (!isObject(entry)) throw new EntryFault(`[${index}] must be an object`);
      if (typeof entry.type !== "string") throw new EntryFault(`[${index}].type must be a text`);
      return entry.type === TYPE ? [readEntry(entry, claims, `[${index}]`)] : [];
    });
    if (entries.length === 0) return NOTHING_FOR_US;
    return merged(entries);
  } catch (thrown) {
    if (!(thrown instanceof EntryFault)) throw thrown;
    return { kind: "unauthenticated", fault: thrown.message };
  }
}

function merged(entries: readonly Entry[]): Permissions {
  const names = entries.flatMap(({ allow, deny, durables }) => [...allow, ...deny, ...durables]);
  if (names.length > MAX_PATTERNS) {
    throw new EntryFault(`must not have more than ${MAX_PATTERNS} subjects and durables`);
  }
  const [account, ...otherAccounts] = new Set(entries.map((entry) => entry.account));
  if (otherAccounts.length > 0) throw new EntryFault("must not be for several accounts");
  return {
    account,
    receives: subjectsOf(entries, "subscribe"),
    publishes: subjectsOf(entries, "publish"),
    requests: subjectsOf(entries, "request"),
    presence: subjectsOf(entries, "presence"),
    policies: shared(entries.map(({ policies }) => policies)),
    maxRate: Math.min(...entries.map(({ maxRate }) => maxRate)),
    maxSubscriptions: Math.min(...entries.map(({ maxSubscriptions }) => maxSubscriptions)),
    starts: shared(entries.map(({ starts }) => starts)),
    durables: entries.flatMap(({ durables }) => durables),
  };
}

function subjectsOf(entries: readonly Entry[], action: Action): SubjectPermission {
  const fitting = entries.filter(({ actions }) => actions.includes(action));
  return {
    allow: [...new Set(fitting.flatMap(({ allow }) => allow))],
    deny: [...new Set(fitting.flatMap(({ deny }) => deny))],
  };
}

/** Returns the values that are in all of these lists, in the order of the first. */
function shared<T>([first = [], ...others]: readonly (readonly T[])[]): readonly T[] {
  return first.filter((value) => others.every((list) => list.includes(value)));
}

function readEntry(
  entry: Readonly<Record<string, unknown>>,
  claims: Readonly<Record<string, unknown>>,
  at: string,
): Entry {
  const {
    type: _type,
    account,
    actions = ["subscribe"],
    subjects,
    policies = DEFAULT_LIMITS.policies,
    max_rate: maxRate,
    max_subscriptions: maxSubscriptions,
    from = DEFAULT_LIMITS.starts,
    durables = DEFAULT_LIMITS.durables,
    ...unknown
  } = entry;
  expectNone(unknown, at);
  if (!isObject(subjects)) throw new EntryFault(`${at}.subjects must be an object`);
  const { allow = [], deny = [], ...others } = subjects;
  expectNone(others, `${at}.subjects`);
  const patterns = (value: unknown, name: string): string[] =>
    texts(value, `${at}.subjects.${name}`).map((text) =>
      pattern(text, claims, `${at}.subjects.${name}`),
    );
  return {
    account: account === undefined ? undefined : accountName(account, claims, `${at}.account`),
    actions: words(actions, ACTIONS, `${at}.actions`),
    allow: patterns(allow, "allow"),
    deny: patterns(deny, "deny"),
    policies: words(policies, POLICIES, `${at}.policies`),
    maxRate: positive(maxRate, `${at}.max_rate`) ?? DEFAULT_LIMITS.maxRate,
    maxSubscriptions:
      whole(maxSubscriptions, `${at}.max_subscriptions`) ?? DEFAULT_LIMITS.maxSubscriptions,
    starts: words(from, START_KINDS, `${at}.from`),
    durables: texts(durables, `${at}.durables`).map((name) =>
      durableName(name, claims, `${at}.durables`),
    ),
  };
}

function expectNone(unknown: object, at: string): void {
  const [name] = Object.keys(unknown);
  if (name === undefined) return;
  throw new EntryFault(`${at} has the unknown field ${JSON.stringify(name.slice(0, 64))}`);
}

function texts(value: unknown, at: string): string[] {
  if (Array.isArray(value) && value.every((one) => typeof one === "string")) return value;
  throw new EntryFault(`${at} must be a list of texts`);
}

function words<W extends string>(value: unknown, known: readonly W[], at: string): readonly W[] {
  return texts(value, at).map((text) => {
    const word = known.find((one) => one === text);
    if (word === undefined) throw new EntryFault(`${at} must be of ${known.join(", ")}`);
    return word;
  });
}

function positive(value: unknown, at: string): number | undefined {
  if (value === undefined) return undefined;
  if (typeof value === "number" && Number.isFinite(value) && value > 0) return value;
  throw new EntryFault(`${at} must be a number above 0`);
}

function whole(value: unknown, at: string): number | undefined {
  if (value === undefined) return undefined;
  if (Number.isSafeInteger(value) && (value as number) > 0) return value as number;
  throw new EntryFault(`${at} must be a whole number above 0`);
}

function pattern(template: string, claims: Readonly<Record<string, unknown>>, at: string): string {
  const filled = fill(template, claims, at);
  const fault = subjectFault(filled, true);
  if (fault !== undefined) throw new EntryFault(`${at} has a subject that ${fault}`);
  // A user who can choose a name must not get subjects of NATS itself by it.
  if (isReserved(filled) && template.startsWith("{")) {
    throw new EntryFault(`${at} has a template whose value begins like a subject of NATS itself`);
  }
  return filled;
}

function durableName(
  template: string,
  claims: Readonly<Record<string, unknown>>,
  at: string,
): string {
  const filled = fill(template, claims, at);
  if (filled.length > 0 && filled.length <= MAX_NAME_LENGTH) return filled;
  throw new EntryFault(`${at} must be names of 1 to ${MAX_NAME_LENGTH} characters`);
}

function accountName(
  template: unknown,
  claims: Readonly<Record<string, unknown>>,
  at: string,
): string {
  const filled = typeof template === "string" ? fill(template, claims, at) : "";
  if (filled.length > 0 && filled.length <= MAX_NAME_LENGTH) return filled;
  throw new EntryFault(`${at} must be a name of 1 to ${MAX_NAME_LENGTH} characters`);
}

/** Puts the values of claims in place of their names. A value that isn't one literal token refuses all entries. */
function fill(template: string, claims: Readonly<Record<string, unknown>>, at: string): string {
  // A brace that belongs to no template is probably a misspelt one.
  if (/[{}]/.test(template.replace(TEMPLATE, ""))) {
    throw new EntryFault(`${at} has a brace that belongs to no template`);
  }
  return template.replace(TEMPLATE, (_, name: string) => {
    const value = Object.hasOwn(claims, name) ? claims[name] : undefined;
    if (typeof value === "string" && value !== "" && !NOT_LITERAL.test(value)) return value;
    throw new EntryFault(`${at} needs a claim "${name.slice(0, 64)}" that is one literal token`);
  });
}
