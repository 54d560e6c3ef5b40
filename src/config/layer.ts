import type { z } from "zod";
import type { RuleParams } from "./agreement.ts";
import { type Config, flatSchema, toConfig } from "./config.ts";
import { factsOf } from "./key-facts.ts";
import { type Key, keys } from "./keys.ts";
import { configError, issueText, type Problem, separated } from "./problem.ts";

/** One source of a configuration: a file, the environment, or the flags. */
export interface Layer {
  /** By key of the file, not checked yet. */
  readonly values: Readonly<Record<string, unknown>>;
  /** By key: where its value came from. */
  readonly origins: ReadonlyMap<string, string>;
  /** What was wrong before values could be looked at. */
  readonly problems: readonly Problem[];
  /** The subjects that StreamKit's input ports call required. */
  readonly requiredSubjects?: readonly string[];
}

/** What a file may say: our keys, StreamKit's ports, or a whole flow. */
const KNOWN = [...Object.keys(keys), "ports", "components"];

/** A layer whose values all came from the same place; a key that is undefined is not there. */
export function layerFrom(values: Readonly<Record<string, unknown>>, from?: string): Layer {
  const given = Object.entries(values).filter(([, value]) => value !== undefined);
  const named = from === undefined ? [] : given.map(([key]) => [key, from] as const);
  return { values: Object.fromEntries(given), origins: new Map(named), problems: [] };
}

/** A layer that says nothing but what is wrong. */
export function brokenLayer(problem: Problem): Layer {
  return { values: {}, origins: new Map(), problems: [problem] };
}

/**
 * Lays layers over each other, the last on top, and checks the whole. What another layer overrides
 * must be right too: it would come into force on the day when that one is gone.
 *
 * @throws {SpillwayError} `CONFIG_INVALID` (invalid): the first problem, and how many there are.
 */
export function settle(layers: readonly Layer[]): Config {
  const told = layers.flatMap((layer) => layer.problems);
  const overridden = layers.flatMap((layer, index) =>
    overriddenProblems(layer, layers.slice(index + 1)),
  );
  // Not by spreading: a key named "__proto__" must be refused like any other unknown one.
  const given = Object.fromEntries(layers.flatMap((layer) => Object.entries(layer.values)));
  // Who names streams wants those, and not all that NATS has beside them.
  const values = [given.streams ?? []].flat().length === 0 ? given : { subjects: [], ...given };
  const origins = new Map(layers.flatMap((layer) => [...layer.origins]));
  const result = flatSchema.safeParse(values, { reportInput: true });
  const issues = result.error?.issues ?? [];
  const problems = [...told, ...overridden, ...problemsOf(issues, { values, origins })];
  if (!result.success || problems.length > 0) throw configError(problems);
  const required = layers.flatMap((layer) => layer.requiredSubjects ?? []);
  return toConfig(result.data, required);
}

function overriddenProblems(layer: Layer, above: readonly Layer[]): Problem[] {
  return Object.entries(layer.values).flatMap(([key, value]) => {
    if (!Object.hasOwn(keys, key)) return [];
    if (!above.some(({ values }) => Object.hasOwn(values, key))) return [];
    const result = keys[key as Key].safeParse(value, { reportInput: true });
    const issues = result.error?.issues ?? [];
    return problemsOf(
      issues.map((issue) => ({ ...issue, path: [key, ...issue.path] })),
      layer,
    );
  });
}

function problemsOf(
  issues: readonly z.core.$ZodIssue[],
  { values, origins }: Pick<Layer, "values" | "origins">,
): Problem[] {
  return issues.flatMap(separated).map((issue) => {
    const { path } = issue;
    // A lone value needs no index, nor does a text that was taken apart at its commas.
    const isLone = path.length > 1 && [values[String(path[0])]].flat().length === 1;
    const text = issueText(isLone ? { ...issue, path: path.slice(0, 1) } : issue, {
      knownKeys: () => KNOWN,
      isSecret: ([key]) => isSecret(key as Key, values),
    });
    return { text, from: origin(issue, origins) };
  });
}

/** Where all that an issue is about came from; defaults come from nowhere. */
function origin(issue: z.core.$ZodIssue, origins: ReadonlyMap<string, string>): string | undefined {
  const { beside = [] } = ((issue.code === "custom" && issue.params) || {}) as Partial<RuleParams>;
  const names = issue.code === "unrecognized_keys" ? issue.keys : [issue.path[0], ...beside];
  const from = names.map((name) => origins.get(String(name))).filter((text) => text !== undefined);
  return from.length === 0 ? undefined : [...new Set(from)].join(" and ");
}

function isSecret(key: Key, values: Readonly<Record<string, unknown>>): boolean {
  const secret = Object.hasOwn(keys, key) ? factsOf(keys[key]).secret : undefined;
  if (secret !== "login") return secret === "value";
  // A login in one of several URLs may have been torn apart at a comma: then none of them is shown.
  return [values[key]].flat().some((url) => typeof url === "string" && /[@?]/.test(url));
}
