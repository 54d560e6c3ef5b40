import { isObject } from "../protocol/schema.ts";
import type { Identity } from "./authenticator.ts";
import { type Claims, readClaims } from "./claims.ts";
import { parseStrictJson } from "./strict-json.ts";
import { FileFault } from "./watched-files.ts";

/** The most entries of a file. */
const MAX_ENTRIES = 100_000;
/** RFC 3339 §5.6. */
const DATE_TIME = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,9})?(?:Z|[+-]\d\d:\d\d)$/;

/**
 * Reads a file that is a list of objects.
 *
 * @throws FileFault if it isn't one.
 */
export function readEntries(text: string): readonly Readonly<Record<string, unknown>>[] {
  const json = parseStrictJson(text);
  if ("fault" in json) throw new FileFault(`can't be used: ${json.fault}`);
  const { value } = json;
  if (!Array.isArray(value) || value.length > MAX_ENTRIES) {
    throw new FileFault(`must be a list of ${MAX_ENTRIES} entries at most`);
  }
  return value.map((entry: unknown, index) => {
    if (isObject(entry)) return entry;
    throw new FileFault(`has the entry [${index}], which must be an object`);
  });
}

/** @throws FileFault if there are other fields than those that are read. */
export function expectNoOthers(others: object, at: string): void {
  const [name] = Object.keys(others);
  if (name === undefined) return;
  throw new FileFault(`has the unknown field ${JSON.stringify(name.slice(0, 64))} in ${at}`);
}

/**
 * Makes the identity that an entry stands for.
 *
 * @throws FileFault if it stands for none.
 */
export function identityOf(claims: Claims, issuer: string, at: string): Identity {
  const identity = readClaims(claims, issuer);
  if (!("kind" in identity)) return identity;
  throw new FileFault(`has the entry ${at}, which can't be used: ${identity.detail}`);
}

/**
 * Reads a date and a time with its offset.
 *
 * @returns Unix milliseconds; `undefined` if there is none.
 * @throws FileFault if it is something else.
 */
export function readTime(value: unknown, at: string): number | undefined {
  if (value === undefined) return undefined;
  const milliseconds = parseTime(value);
  if (milliseconds !== undefined) return milliseconds;
  throw new FileFault(`has ${at}, which must be a time like "2027-01-31T00:00:00Z"`);
}

/** Returns a date and a time with its offset (RFC 3339) in Unix milliseconds; `undefined` if it is something else. */
export function parseTime(value: unknown): number | undefined {
  const isTime = typeof value === "string" && DATE_TIME.test(value);
  const milliseconds = isTime ? Date.parse(value) : Number.NaN;
  return Number.isNaN(milliseconds) ? undefined : milliseconds;
}
