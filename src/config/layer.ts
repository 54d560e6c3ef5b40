import { z } from "zod";
import { agreementFaults, type CheckedKeys, type Fault, mayHaveLogin } from "./cross-key-rules.ts";
import { FILE_KEYS, type Key, keys, secrecyOf } from "./keys.ts";
import { nearest } from "./nearest.ts";
import { dotted, issueText, type Problem, separated, shown, unknownName } from "./problem.ts";

/** One source of a configuration: a file, the environment, or the flags. */
export interface Layer {
  /** By key of the file, not checked yet. */
  readonly values: Readonly<Record<string, unknown>>;
  /** By key, the source of its value. */
  readonly origins: ReadonlyMap<string, string>;
  /** The problems found before the values were checked. */
  readonly problems: readonly Problem[];
  /** The subjects that StreamKit's input ports mark as required. */
  readonly requiredSubjects?: readonly string[];
  /** Whether a part of it could not be read, so that values may be missing. */
  readonly isIncomplete?: boolean;
}

/** All layers together. */
export interface Resolved {
  /** Every key with its value; a wrong key has its default. */
  readonly checked: CheckedKeys;
  /** By key, the source of its value; a default has none. */
  readonly origins: ReadonlyMap<string, string>;
  readonly requiredSubjects: readonly string[];
  /** All problems. */
  readonly problems: readonly Problem[];
  /** Whether a rule about these keys can be checked: none of them is wrong, and every layer was read completely. */
  isKnown(...keys: readonly Key[]): boolean;
}

/** The keys of a file: ours, StreamKit's ports, or those of a whole flow. */
const KNOWN = [...Object.keys(keys), ...FILE_KEYS, "components"];

/** Returns a layer whose values all have one source; keys with the value `undefined` are left out. */
export function layerFrom(values: Readonly<Record<string, unknown>>, from?: string): Layer {
  const given = Object.entries(values).filter(([, value]) => value !== undefined);
  const named = from === undefined ? [] : given.map(([key]) => [key, from] as const);
  return { values: Object.fromEntries(given), origins: new Map(named), problems: [] };
}

/** Returns a layer that has only a problem. */
export function brokenLayer(problem: Problem): Layer {
  return { values: {}, origins: new Map(), problems: [problem], isIncomplete: true };
}

/** Lays layers over each other, the last on top. */
export function stacked(layers: readonly Layer[]): Layer {
  return {
    // Spreading would hide a key named "__proto__", which must be refused like any unknown key.
    values: Object.fromEntries(layers.flatMap((layer) => Object.entries(layer.values))),
    origins: new Map(layers.flatMap((layer) => [...layer.origins])),
    problems: layers.flatMap((layer) => layer.problems),
    requiredSubjects: layers.flatMap((layer) => layer.requiredSubjects ?? []),
    isIncomplete: layers.some((layer) => layer.isIncomplete),
  };
}

/**
 * Lays layers over each other, and checks each key and all of them together. What another layer
 * overrides must be right too: it would come into force on the day when that one is gone.
 */
export function resolve(layers: readonly Layer[]): Resolved {
  const { values: given, origins, problems: told, ...all } = stacked(layers);
  // A configuration that names streams carries only those, unless it names subjects too.
  const values = [given.streams ?? []].flat().length === 0 ? given : { subjects: [], ...given };
  const overridden = layers.flatMap((layer, index) =>
    overriddenProblems(layer, layers.slice(index + 1)),
  );
  const { checked, problems: own } = checkKeys({ values, origins });
  const unknown = unknownKeys({ values, origins });
  const wrong = new Set([...told, ...own, ...unknown].map(({ key }) => key));
  const isKnown = (...keys: readonly Key[]): boolean =>
    !all.isIncomplete && !keys.some((key) => wrong.has(key));
  const disagreeing = agreementFaults(checked)
    .filter(({ key, beside }) => isKnown(key, ...beside))
    .map((fault) => faultProblem(fault, { values, origins }));
  return {
    checked,
    origins,
    requiredSubjects: all.requiredSubjects ?? [],
    problems: [...told, ...overridden, ...own, ...unknown, ...disagreeing],
    isKnown,
  };
}

type Given = Pick<Layer, "values" | "origins">;

/** Checks each key by itself. */
function checkKeys(given: Given): { checked: CheckedKeys; problems: Problem[] } {
  const problems: Problem[] = [];
  const checked = Object.entries(keys).map(([key, schema]) => {
    const result = schema.safeParse(given.values[key], { reportInput: true });
    if (result.success) return [key, result.data];
    problems.push(...problemsOf(key as Key, result.error.issues, given));
    return [key, schema.parse(undefined)];
  });
  return { checked: Object.fromEntries(checked) as CheckedKeys, problems };
}

function unknownKeys({ values, origins }: Given): Problem[] {
  return Object.keys(values)
    .filter((name) => !Object.hasOwn(keys, name))
    .map((name) => {
      const near = nearest(name, KNOWN);
      return { text: unknownName("key", name, near), from: origins.get(name), key: near };
    });
}

function overriddenProblems(layer: Layer, above: readonly Layer[]): Problem[] {
  return Object.entries(layer.values).flatMap(([key, value]) => {
    if (!Object.hasOwn(keys, key)) return [];
    if (!above.some(({ values }) => Object.hasOwn(values, key))) return [];
    const result = keys[key as Key].safeParse(value, { reportInput: true });
    return problemsOf(key as Key, result.error?.issues ?? [], layer);
  });
}

function problemsOf(
  key: Key,
  issues: readonly z.core.$ZodIssue[],
  { values, origins }: Given,
): Problem[] {
  return issues.flatMap(separated).map((issue) => {
    // A single value needs no index.
    const isInside = issue.path.length > 1 || issue.code === "unrecognized_keys";
    const isLone = [values[key]].flat().length === 1 && !isInside;
    const path = isLone ? [key] : [key, ...issue.path];
    const text = issueText(
      { ...issue, path },
      {
        knownKeys: () => fieldsAt(keys[key], issue.path),
        isSecret: () => isSecret(key, issue.path, values),
      },
    );
    return { text, from: origins.get(key), key };
  });
}

/** Returns the known fields of the object at a path in a schema. */
function fieldsAt(schema: z.core.$ZodType, path: readonly PropertyKey[]): readonly string[] {
  if (schema instanceof z.ZodPrefault || schema instanceof z.ZodOptional) {
    return fieldsAt(schema.unwrap(), path);
  }
  if (schema instanceof z.ZodPipe) {
    return fieldsAt(schema.in instanceof z.ZodTransform ? schema.out : schema.in, path);
  }
  const [step, ...rest] = path;
  if (schema instanceof z.ZodArray) return fieldsAt(schema.element, rest);
  if (!(schema instanceof z.ZodObject)) return [];
  if (step === undefined) return Object.keys(schema.shape);
  const field = schema.shape[String(step)];
  return field === undefined ? [] : fieldsAt(field, rest);
}

function faultProblem(fault: Fault, { values, origins }: Given): Problem {
  const { key, path = [], beside, input, rule } = fault;
  const is = isSecret(key, path, values) ? "" : `is ${shown(input)} but `;
  const from = [key, ...beside].map((name) => origins.get(name));
  const named = [...new Set(from.filter((name) => name !== undefined))];
  return {
    text: `"${dotted([key, ...path])}" ${is}${rule}`,
    from: named.join(" and ") || undefined,
    key,
  };
}

/** Whether a value must not be shown: of a key, or of a field inside it. */
function isSecret(
  key: Key,
  path: readonly PropertyKey[],
  values: Readonly<Record<string, unknown>>,
): boolean {
  const at = path.findLastIndex((step) => secrecyOf(step) !== undefined);
  const secrecy = secrecyOf(path[at] ?? key);
  if (secrecy !== "login") return secrecy === "value";
  const value = path.slice(0, at + 1).reduce(fieldOf, values[key]);
  // Splitting at commas may have cut a login apart; then none of the URLs is shown.
  return [value].flat().some((url) => typeof url === "string" && mayHaveLogin(url));
}

function fieldOf(value: unknown, step: PropertyKey): unknown {
  return typeof value === "object" && value !== null
    ? (value as Readonly<Record<PropertyKey, unknown>>)[step]
    : undefined;
}
