/**
 * How the protocol's values are defined: each has a JSON Schema and a TypeScript type, made together.
 * The schema is what AsyncAPI publishes, what the documentation shows and what {@linkcode validator} checks.
 */

import type { DialectName } from "./dialects.ts";

/** JSON Schema draft 7 (https://json-schema.org/draft-07): the keywords that the protocol needs. */
export interface JsonSchema {
  readonly description?: string;
  readonly examples?: readonly unknown[];
  readonly type?: "string" | "number" | "integer" | "boolean" | "array" | "object";
  readonly const?: string | number | boolean;
  readonly enum?: readonly string[];
  readonly anyOf?: readonly JsonSchema[];
  readonly minLength?: number;
  readonly maxLength?: number;
  readonly pattern?: string;
  readonly format?: "date-time";
  readonly minimum?: number;
  readonly exclusiveMinimum?: number;
  readonly maximum?: number;
  readonly items?: JsonSchema;
  readonly minItems?: number;
  readonly maxItems?: number;
  readonly properties?: Readonly<Record<string, JsonSchema>>;
  readonly required?: readonly string[];
  readonly additionalProperties?: JsonSchema;
}

declare const TYPE: unique symbol;

/** A value of the type `T`. */
export interface Value<T> {
  readonly json: JsonSchema;
  /** The type; never set. */
  readonly [TYPE]?: T;
}

export type Fields = Readonly<Record<string, Value<unknown>>>;

export type ValueOf<V> = V extends Value<infer T> ? T : never;

type OptionalNames<F> = {
  [Name in keyof F]: F[Name] extends { readonly optional: true } ? Name : never;
}[keyof F];

/** An object with these fields. */
export type ObjectOf<F> = Flat<
  { readonly [Name in Exclude<keyof F, OptionalNames<F>>]: ValueOf<F[Name]> } & {
    readonly [Name in OptionalNames<F>]?: ValueOf<F[Name]>;
  }
>;

type Flat<T> = { [Key in keyof T]: T[Key] };

export function text(description: string, rules: JsonSchema = {}): Value<string> {
  return { json: { type: "string", ...rules, description } };
}

/** A whole number. */
export function whole(description: string, minimum = 0): Value<number> {
  return { json: { type: "integer", minimum, maximum: Number.MAX_SAFE_INTEGER, description } };
}

export function bool(description: string): Value<boolean> {
  return { json: { type: "boolean", description } };
}

export function constant<const T extends string | boolean>(
  value: T,
  description: string,
): Value<T> {
  return { json: { const: value, description } };
}

export function oneOf<const T extends string>(values: readonly T[], description: string): Value<T> {
  return { json: { type: "string", enum: values, description } };
}

export function list<T>(
  items: Value<T>,
  description: string,
  rules: Pick<JsonSchema, "minItems" | "maxItems"> = {},
): Value<readonly T[]> {
  return { json: { type: "array", items: items.json, ...rules, description } };
}

export function object<F extends Fields>(
  description: string,
  fields: F,
  example?: ObjectOf<F>,
): Value<ObjectOf<F>> {
  const examples = example === undefined ? {} : { examples: [example] };
  return { json: { ...objectSchema(fields), description, ...examples } };
}

export function union<V extends Value<unknown>>(
  description: string,
  alternatives: readonly V[],
): Value<ValueOf<V>> {
  return { json: { anyOf: alternatives.map(({ json }) => json), description } };
}

/** Any JSON value. */
export function anything(description: string): Value<unknown> {
  return { json: { description } };
}

/** An object whose fields have any names. */
export function mapOf<T>(
  values: Value<T>,
  description: string,
): Value<Readonly<Record<string, T>>> {
  return { json: { type: "object", additionalProperties: values.json, description } };
}

/** Marks a field that may be absent. */
export function optional<V extends Value<unknown>>(value: V): V & { readonly optional: true } {
  return { ...value, optional: true };
}

export function objectSchema(fields: Fields): JsonSchema {
  const entries = Object.entries(fields);
  return {
    type: "object",
    properties: Object.fromEntries(entries.map(([name, { json }]) => [name, json])),
    required: entries.filter(([, field]) => !("optional" in field)).map(([name]) => name),
  };
}

/** A frame of the protocol: an object with a `type`. */
export interface Frame<T extends string = string, F extends Fields = Fields> {
  readonly type: T;
  /** Where it is sent. */
  readonly dialects: readonly DialectName[];
  readonly description: string;
  /** How the other side answers, if it does. */
  readonly answer?: string;
  readonly fields: F;
  readonly example: FrameObject<T, F>;
}

type FrameObject<T extends string, F> = Flat<{ readonly type: T } & ObjectOf<F>>;

/** The object that a frame's definition describes. */
export type FrameOf<D> = D extends Frame<infer T, infer F> ? FrameObject<T, F> : never;

export function frame<const T extends string, F extends Fields>(
  type: T,
  definition: Omit<Frame<T, F>, "type">,
): Frame<T, F> {
  return { type, ...definition };
}

/** RFC 3339, section 5.6: a date and a time with its offset. */
const DATE_TIME = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:\d\d)$/;

/** Tells whether a value that came as JSON is valid. */
export type Validator = (value: unknown) => boolean;

/** Makes the validator of a schema, once for each schema. Unknown fields are allowed. */
export function validator(schema: JsonSchema): Validator {
  if (schema.anyOf !== undefined) {
    const validators = schema.anyOf.map(validator);
    return (value) => validators.some((isValid) => isValid(value));
  }
  if (schema.const !== undefined) return (value) => value === schema.const;
  const { enum: values } = schema;
  if (values !== undefined) return (value) => values.some((one) => one === value);
  switch (schema.type) {
    case "string":
      return textValidator(schema);
    case "boolean":
      return (value) => typeof value === "boolean";
    case "array":
      return listValidator(schema);
    case "object":
      return objectValidator(schema);
    case "integer":
    case "number":
      return numberValidator(schema);
    default:
      return () => true;
  }
}

export function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function isText(value: unknown): boolean {
  return typeof value === "string";
}

function textValidator(schema: JsonSchema): Validator {
  const { minLength = 0, maxLength = Number.POSITIVE_INFINITY, pattern, format } = schema;
  // Acknowledgements have ids without rules, and come as often as messages.
  if (minLength === 0 && maxLength === Number.POSITIVE_INFINITY && !pattern && !format) {
    return isText;
  }
  const regex = pattern === undefined ? undefined : new RegExp(pattern, "u");
  return (value) =>
    typeof value === "string" &&
    value.length >= minLength &&
    value.length <= maxLength &&
    (regex === undefined || regex.test(value)) &&
    (format !== "date-time" || (DATE_TIME.test(value) && !Number.isNaN(Date.parse(value))));
}

function numberValidator(schema: JsonSchema): Validator {
  const { type, exclusiveMinimum = Number.NEGATIVE_INFINITY } = schema;
  const { minimum = Number.NEGATIVE_INFINITY, maximum = Number.POSITIVE_INFINITY } = schema;
  return (value) =>
    typeof value === "number" &&
    value >= minimum &&
    value > exclusiveMinimum &&
    value <= maximum &&
    (type === "number" || Number.isInteger(value));
}

function listValidator(schema: JsonSchema): Validator {
  const { items = {}, minItems = 0, maxItems = Number.POSITIVE_INFINITY } = schema;
  const isItem = validator(items);
  return (value) =>
    Array.isArray(value) &&
    value.length >= minItems &&
    value.length <= maxItems &&
    value.every(isItem);
}

function objectValidator({ properties = {}, required = [] }: JsonSchema): Validator {
  const fields = Object.entries(properties).map(([name, schema]) => ({
    name,
    isValid: validator(schema),
    isRequired: required.includes(name),
  }));
  return (value) =>
    isObject(value) &&
    fields.every(({ name, isValid, isRequired }) => {
      const field = value[name];
      return field === undefined ? !isRequired : isValid(field);
    });
}

/** Returns a function that copies valid values without the fields that their schema doesn't know. */
export function copier(schema: JsonSchema): (value: unknown) => unknown {
  const { anyOf, properties } = schema;
  if (anyOf !== undefined) {
    const alternatives = anyOf.map((one) => ({ isValid: validator(one), copy: copier(one) }));
    return (value) => alternatives.find(({ isValid }) => isValid(value))?.copy(value);
  }
  if (properties === undefined) return (value) => value;
  const fields = Object.entries(properties).map(([name, one]) => ({ name, copy: copier(one) }));
  return (value) => {
    const copied: Record<string, unknown> = {};
    for (const { name, copy } of fields) {
      const field = (value as Readonly<Record<string, unknown>>)[name];
      if (field !== undefined) copied[name] = copy(field);
    }
    return copied;
  };
}
