import { z } from "zod";
import { DURATION, parseDuration } from "./duration.ts";
import { nearest } from "./nearest.ts";
import { formatSize, parseSize, SIZE } from "./size.ts";

/** The kind of a value, and its limits in the words of errors, `--help` and the documentation. */
export interface ValueFacts {
  readonly kind:
    | "text"
    | "integer"
    | "size"
    | "boolean"
    | "duration"
    | "choice"
    | "list"
    | "objects";
  /** Completes the sentence "It must be …". */
  readonly limits: string;
  /** Choices that are not supported yet, each with the reason. */
  readonly refused?: Readonly<Record<string, string>>;
}

const values = z.registry<ValueFacts>();

/** The facts of a schema that one of this file's functions made; `undefined` for any other. */
export function valueFacts(schema: z.core.$ZodType): ValueFacts | undefined {
  return values.get(schema);
}

/** Attaches the facts to a schema, so that {@linkcode valueFacts} finds them. */
export function stating<S extends z.ZodType>(
  schema: S,
  kind: ValueFacts["kind"],
  limits: string,
): S {
  values.add(schema, { kind, limits });
  return schema;
}

export function integer(min: number, max: number) {
  const limits = `an integer from ${min} to ${max}`;
  const error = `must be ${limits}`;
  return stating(z.int({ error }).min(min, { error }).max(max, { error }), "integer", limits);
}

/** An integer, or "auto". */
export function integerOrAuto(min: number, max: number) {
  const limits = `"auto" or an integer from ${min} to ${max}`;
  const error = `must be ${limits}`;
  const schema = z.union([z.literal("auto"), integer(min, max)], { error });
  return stating(schema, "integer", limits);
}

/** Bytes, as a number or as a text with a unit ({@linkcode parseSize}). Both bounds are inclusive. */
export function size(min: number, max: number) {
  const limits = `a size from "${formatSize(min)}" to "${formatSize(max)}"`;
  const error = `must be ${limits}: a number of bytes, or a text like "64KiB" or "64kB"`;
  const isWithin = (bytes: number | undefined) =>
    bytes !== undefined && bytes >= min && bytes <= max;
  const written = z
    .string({ error })
    .regex(SIZE, { error, abort: true })
    .refine((text) => isWithin(parseSize(text)), { error })
    .transform((text) => parseSize(text) ?? Number.NaN);
  const counted = z.int({ error }).min(min, { error }).max(max, { error });
  return stating(z.union([counted, written], { error }), "size", limits);
}

export function boolean() {
  const limits = "true or false";
  return stating(z.boolean({ error: `must be ${limits}` }), "boolean", limits);
}

/** A Go duration in the file, milliseconds in the code. Both bounds are inclusive. */
export function duration(min: string, max: string) {
  const limits = `a duration from "${min}" to "${max}"`;
  const error = durationError(limits);
  const [least, most] = [boundOf(min), boundOf(max)];
  const schema = z
    .string({ error })
    .regex(DURATION, { error, abort: true })
    .refine(
      (text) => {
        const milliseconds = parseDuration(text) ?? Number.NaN;
        return milliseconds >= least && milliseconds <= most;
      },
      { error },
    )
    .transform((text) => parseDuration(text) ?? Number.NaN);
  return stating(schema, "duration", limits);
}

/** A duration, or "auto". */
export function durationOrAuto(min: string, max: string) {
  const limits = `"auto" or a duration from "${min}" to "${max}"`;
  const schema = z.union([z.literal("auto"), duration(min, max)], { error: durationError(limits) });
  return stating(schema, "duration", limits);
}

function durationError(limits: string) {
  return ({ input }: { readonly input?: unknown }): string => {
    const isBare = /^\d+(?:\.\d+)?$/.test(String(input)) && Number(input) > 0;
    if (isBare) return `must be ${limits}; it needs a unit, like "${input}s" or "${input}ms"`;
    const isText = typeof input === "string" && input !== "";
    const isUnreadable = isText && !DURATION.test(input);
    return `must be ${limits}${isUnreadable ? ', written like "250ms", "5s" or "1m30s"' : ""}`;
  };
}

function boundOf(text: string): number {
  const milliseconds = parseDuration(text);
  // The nanoseconds of more than 104 days exceed a number's precision.
  if (milliseconds === undefined) throw new RangeError(`${text} is no duration that can be read`);
  return milliseconds;
}

/** A duration for a timer; timers fire at once if set to more than 24.8 days. */
export function timeout() {
  return duration("1ms", "24h");
}

export function text(pattern: RegExp, limits: string) {
  const error = `must be ${limits}`;
  return stating(z.string({ error }).regex(pattern, { error, abort: true }), "text", limits);
}

/** Any non-empty text. */
export function anyText(limits = "a text that is not empty") {
  const error = `must be ${limits}`;
  return stating(z.string({ error }).min(1, { error }), "text", limits);
}

/**
 * One of a few words; those in `refused` are refused with their reason. Another word is answered with
 * the nearest, unless that one is refused itself.
 */
export function choice<const W extends string>(
  words: readonly W[],
  refused: Readonly<Record<string, string>> = {},
) {
  const built = words.filter((word) => refused[word] === undefined).map((word) => `"${word}"`);
  const missing = words.filter((word) => refused[word] !== undefined).map((word) => `"${word}"`);
  const limits =
    [built.slice(0, -1).join(", "), built.at(-1)].filter(Boolean).join(" or ") +
    (missing.length > 0 ? ` (${missing.join(", ")} is not built yet)` : "");
  const error = ({ input }: { readonly input?: unknown }): string => {
    const near = typeof input === "string" ? nearest(input, words) : undefined;
    const isOffered = near !== undefined && refused[near] === undefined;
    return `must be ${limits}${isOffered ? `; did you mean "${near}"?` : ""}`;
  };
  const schema = z.enum(words, { error }).superRefine((word, context) => {
    const reason = refused[word];
    if (reason !== undefined) context.addIssue({ code: "custom", message: reason });
  });
  values.add(schema, { kind: "choice", limits, refused });
  return schema;
}

/** A list of objects; `elements` names them in the plural. */
export function objects<E extends z.ZodType>(element: E, elements: string) {
  const limits = `a list of ${elements}`;
  return stating(z.array(element, { error: `must be ${limits}` }), "objects", limits);
}

/** A list of one object or more. Where an empty list would mean the contrary of what it seems to say. */
export function someObjects<E extends z.ZodType>(element: E, elements: string, ifNone: string) {
  const limits = `a list of ${elements}`;
  const error = `must have one element or more: ${ifNone}`;
  const schema = z.array(element, { error: `must be ${limits}` }).min(1, { error });
  return stating(schema, "objects", limits);
}

/** A list; `elements` names its elements in the plural. */
export function list<E extends z.ZodType>(element: E, elements: string) {
  const limits = `a list of ${elements}`;
  return stating(z.array(element, { error: `must be ${limits}` }), "list", limits);
}
