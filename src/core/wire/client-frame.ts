import {
  CLIENT_FRAMES,
  type ClientFrame,
  type ClientFrameDefinition,
  type ClientFrameType,
  type FieldFault,
} from "../../protocol/client-frames.ts";
import { copier, isObject, validator } from "../../protocol/schema.ts";

/** Why a frame was not understood. */
export interface FrameFault extends FieldFault {
  readonly type: "fault";
  /** The id of the request, if it could be read. */
  readonly id?: string | undefined;
}

/** A definition of a frame, made ready to read frames with it. */
interface Form {
  readonly type: ClientFrameType;
  readonly fields: readonly {
    readonly name: string;
    readonly isOptional: boolean;
    faultOf(value: unknown): FieldFault | undefined;
    copy(value: unknown): unknown;
  }[];
  /** Whether a fault repeats the `id`, so that the client knows which request it is of. */
  readonly hasId: boolean;
}

/** The forms of each `type`: several where a frame has one of several fields, like `id` or `ids`. */
const FORMS = { plain: formsOf("plain"), v1: formsOf("v1") };

function formsOf(dialect: "plain" | "v1"): ReadonlyMap<unknown, readonly Form[]> {
  const forms = new Map<string, Form[]>();
  for (const definition of Object.values<ClientFrameDefinition>(CLIENT_FRAMES)) {
    if (!definition.dialects.includes(dialect)) continue;
    const others = forms.get(definition.type);
    if (others === undefined) forms.set(definition.type, [formOf(definition)]);
    else others.push(formOf(definition));
  }
  return forms;
}

function formOf({ type, fields }: ClientFrameDefinition): Form {
  return {
    type,
    fields: Object.entries(fields).map(([name, field]) => ({
      name,
      isOptional: "optional" in field,
      faultOf: field.faultOf,
      copy: copier(field.json),
    })),
    hasId: "id" in fields,
  };
}

/** Whether the `id` of a request is fit to be repeated in an error. */
const isRequestId = validator(CLIENT_FRAMES.subscribe.fields.id.json);

const NO_OBJECT: FrameFault = {
  type: "fault",
  code: "malformed",
  message: "a frame is one JSON object",
};

const UNKNOWN_FRAME: FrameFault = {
  type: "fault",
  code: "malformed",
  message: '"type" is not one of this dialect',
};

const decoder = new TextDecoder("utf-8", { fatal: true });

/** Reads a frame that a client sent; binary frames are read like text. */
export function readClientFrame(
  data: string | Uint8Array,
  dialect: "plain" | "v1",
): ClientFrame | FrameFault {
  let fields: unknown;
  try {
    fields = JSON.parse(typeof data === "string" ? data : decoder.decode(data));
  } catch {
    return NO_OBJECT;
  }
  if (!isObject(fields)) return NO_OBJECT;
  const forms = FORMS[dialect].get(fields.type);
  if (forms === undefined) return { ...UNKNOWN_FRAME, id: idOf(fields) };
  let fault: FieldFault | undefined;
  for (let index = 0; index < forms.length; index++) {
    const form = forms[index]!;
    const why = faultOf(form, fields);
    if (why === undefined) return copyOf(form, fields);
    // A frame that fits none of the forms is told what the first one needs.
    fault ??= why;
  }
  return { type: "fault", ...fault!, id: forms[0]!.hasId ? idOf(fields) : undefined };
}

function faultOf(
  { fields }: Form,
  values: Readonly<Record<string, unknown>>,
): FieldFault | undefined {
  for (let index = 0; index < fields.length; index++) {
    const field = fields[index]!;
    const value = values[field.name];
    if (value === undefined && field.isOptional) continue;
    const fault = field.faultOf(value);
    if (fault !== undefined) return fault;
  }
  return undefined;
}

/** Copies what the protocol knows of a valid frame. */
function copyOf({ type, fields }: Form, values: Readonly<Record<string, unknown>>): ClientFrame {
  const frame: Record<string, unknown> = { type };
  for (let index = 0; index < fields.length; index++) {
    const { name, copy } = fields[index]!;
    const value = values[name];
    if (value !== undefined) frame[name] = copy(value);
  }
  return frame as ClientFrame;
}

/** Returns the `id` of a request, if it is a valid name. */
function idOf({ id }: Readonly<Record<string, unknown>>): string | undefined {
  return isRequestId(id) ? (id as string) : undefined;
}

/** Whether a frame is longer than so many bytes in UTF-8, without encoding it where its length tells. */
export function isLongerThan(data: string | Uint8Array, maxBytes: number): boolean {
  if (typeof data !== "string") return data.length > maxBytes;
  // A UTF-16 unit takes one to three bytes in UTF-8.
  if (data.length > maxBytes) return true;
  return data.length * 3 > maxBytes && new TextEncoder().encode(data).length > maxBytes;
}
