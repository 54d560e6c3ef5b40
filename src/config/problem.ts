import type { z } from "zod";
import { SpillwayError } from "../core/ports/errors.ts";
import { nearest } from "./nearest.ts";

/** One problem of a configuration. */
export interface Problem {
  /** What is wrong, from the key on: `"port" is 70000 but must be …`. */
  readonly text: string;
  /** Its source: a file, a variable, a flag. */
  readonly from?: string | undefined;
  /** The key that has the problem, or that was probably meant by an unknown one. */
  readonly key?: string | undefined;
  readonly cause?: unknown;
}

// A file's path and an operating system's own words may break the line.
// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
const BREAKS = /[\u0000-\u001f\u007f-\u009f\u2028\u2029]+/g;

/** The maximum number of problems in one error, as a list may have thousands of wrong elements. */
const MOST_TOLD = 50;

/** An error with the problems of a configuration. */
export class ConfigError extends SpillwayError {
  readonly problems: readonly Problem[];

  constructor(message: string, problems: readonly Problem[], options?: ErrorOptions) {
    super("CONFIG_INVALID", message, options);
    this.problems = problems;
  }
}

/**
 * The error for a configuration that can't be used. One problem is told in one line, and several in
 * one line each:
 *
 * ```text
 * Cannot use configuration from --port: "port" is 70000 but must be …
 *
 * Cannot use configuration, as 2 things are wrong:
 * - spillway.json: "prot" is not a known key; did you mean "port"?
 * - SPILLWAY_PATH: "path" is "ws" but must be …
 * ```
 */
export function configError(problems: readonly Problem[]): ConfigError {
  const [first = { text: "it is invalid" }, ...others]: readonly Problem[] = problems;
  const line = ({ from, text }: Problem): string =>
    `${from === undefined ? "" : `${from}: `}${text}`.replace(BREAKS, " ");
  const alone = `Cannot use configuration${first.from === undefined ? ": " : " from "}${line(first)}`;
  const all = [
    `Cannot use configuration, as ${problems.length} things are wrong:`,
    ...problems.slice(0, MOST_TOLD).map((problem) => `- ${line(problem)}`),
    ...(problems.length > MOST_TOLD ? [`… and ${problems.length - MOST_TOLD} more`] : []),
  ].join("\n");
  const cause = problems.find((problem) => problem.cause !== undefined)?.cause;
  const options = cause === undefined ? undefined : { cause };
  return new ConfigError(others.length === 0 ? alone : all, problems, options);
}

/** Says that the value of a key breaks a rule, which completes "… but must". */
export function ruleProblem(key: string, value: string, rule: string, cause?: unknown): Problem {
  return { key, text: `"${key}" is ${JSON.stringify(value)} but must ${rule}`, cause };
}

/** Says why the file that a key names can't be used; the fault's message completes "…, which". */
export function fileProblem(key: string, path: string, fault: Error): Problem {
  const text = `"${key}" is ${JSON.stringify(path)}, which ${fault.message}`;
  return { key, text, cause: fault };
}

/** Says that a name is unknown, and which known one is near: a key, a flag or a variable. */
export function unknownName(what: string, name: string, near: string | undefined): string {
  const hint = near === undefined ? "" : `; did you mean "${near}"?`;
  return `${quoted(name)} is not a known ${what}${hint}`;
}

/** What {@linkcode issueText} needs besides the issue. */
export interface IssueContext {
  /** Returns the known keys at a path. */
  knownKeys(path: readonly PropertyKey[]): readonly string[];
  /** Whether the value at a path must stay secret. */
  isSecret(path: readonly PropertyKey[]): boolean;
}

/** Returns one issue for each unknown key; zod has one for all unknown keys of an object. */
export function separated(issue: z.core.$ZodIssue): z.core.$ZodIssue[] {
  if (issue.code !== "unrecognized_keys") return [issue];
  return issue.keys.map((key) => ({ ...issue, keys: [key] }));
}

/** Returns the text for an issue of zod. */
export function issueText(issue: z.core.$ZodIssue, context: IssueContext): string {
  const { path } = issue;
  if (issue.code === "unrecognized_keys") {
    const key = issue.keys[0] ?? "";
    return unknownName("key", dotted([...path, key]), nearest(key, context.knownKeys(path)));
  }
  const name = path.length === 0 ? "it" : quoted(dotted(path));
  if (context.isSecret(path)) return `${name} ${issue.message}`;
  return `${name} is ${shown(issue.input)} but ${issue.message}`;
}

/** Returns the name of a place: `ports.inputs[0].subject`. */
export function dotted(path: readonly PropertyKey[]): string {
  return path
    .map((step) => (typeof step === "number" ? `[${step}]` : `.${String(step)}`))
    .join("")
    .replace(/^\./, "");
}

/** Returns a short text for a value, without the contents of lists and objects, which may be secret. */
export function shown(value: unknown): string {
  if (value === undefined) return "missing";
  if (Array.isArray(value))
    return value.length === 0 ? "an empty list" : `a list of ${value.length}`;
  if (typeof value === "object" && value !== null) return "an object";
  return typeof value === "string" ? quoted(value) : String(value);
}

/** Returns a text in quotation marks, on one line and shortened. */
export function quoted(text: string): string {
  const limit = 100;
  return JSON.stringify(text.length > limit ? `${text.slice(0, limit)}…` : text);
}
