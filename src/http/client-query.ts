import { nearest } from "../config/nearest.ts";
import type { DialectName } from "../protocol/dialects.ts";
import { MAX_PATTERNS } from "../protocol/fields.ts";
import {
  PARAMETERS,
  type Parameter,
  ParameterFault,
  type ParameterName,
  type StreamQuery,
} from "../protocol/query.ts";

const NAMES = Object.keys(PARAMETERS) as readonly ParameterName[];

/**
 * Reads the query of a client: a handshake's, or that of a request for server-sent events. A parameter that is
 * one letter off is a fault: a client that writes `subject` for `subjects` would get everything. Others are ignored.
 *
 * @param given the values of each parameter.
 */
export function readQuery(
  given: Readonly<Record<string, readonly string[]>>,
): StreamQuery | ParameterFault {
  const read: Record<string, unknown> = {};
  for (const name of NAMES) {
    const values = given[name];
    if (values === undefined) continue;
    const value = readOne(name, values);
    if (value instanceof ParameterFault) return value;
    read[name] = value;
  }
  for (const name of Object.keys(given)) {
    const near = Object.hasOwn(PARAMETERS, name) ? undefined : nearest(name, NAMES, 1);
    if (near === undefined) continue;
    return new ParameterFault(`"${name}" is not a parameter; did you mean "${near}"?`);
  }
  const { subject, ...query } = read as StreamQuery & { readonly subject?: readonly string[] };
  if (subject === undefined) return query;
  const subjects = [...(query.subjects ?? []), ...subject];
  return subjects.length > MAX_PATTERNS
    ? new ParameterFault(`"subjects" and "subject" may list at most ${MAX_PATTERNS}`)
    : { ...query, subjects };
}

function readOne(name: ParameterName, values: readonly string[]): unknown {
  const parameter: Parameter<unknown> = PARAMETERS[name];
  const [value, ...more] = values;
  if (parameter.repeats) {
    const all = values.map((one) => parameter.read(one));
    return all.find((one) => one instanceof ParameterFault) ?? all;
  }
  if (value === undefined || more.length > 0) {
    const several = name === "subjects" ? "; it takes several, separated by commas" : "";
    return new ParameterFault(`"${name}" may stand once${several}`);
  }
  return parameter.read(value);
}

/** Finds a parameter that the query has and that is none of a dialect. */
export function parameterNotOf(dialect: DialectName, query: StreamQuery): string | undefined {
  return NAMES.find((name) => name in query && !PARAMETERS[name].dialects.includes(dialect));
}
