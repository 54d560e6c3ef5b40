import type { StartPoint } from "../ports/source.ts";
import { subjectFault } from "../subject/subject.ts";
import { POLICIES, type Policy } from "./policy.ts";
import type { DeliveryMode } from "./server-frame.ts";
import { readStart, STARTS } from "./start-point.ts";

/** What a client may tell the server; everything else in the frame is ignored. */
export type ClientFrame =
  | { readonly type: "ack" | "nack" | "working"; readonly ids: readonly string[] }
  | { readonly type: "ack"; readonly upto: string }
  | { readonly type: "slow" | "ok" }
  | V1Frame;

/** What only a client of the `spillway.v1.json` dialect may. */
export type V1Frame =
  | {
      readonly type: "subscribe";
      readonly id: string;
      readonly subjects: readonly string[];
      readonly policy?: Policy | undefined;
      readonly maxRate?: number | undefined;
      readonly after?: string | undefined;
      readonly start?: StartPoint | undefined;
      readonly mode?: DeliveryMode | undefined;
      readonly durable?: string | undefined;
    }
  | { readonly type: "unsubscribe"; readonly sub: string }
  | { readonly type: "ping"; readonly id?: string | undefined };

export type ClientFrameType = ClientFrame["type"];

/** Why a frame was not understood, in words for whoever wrote the client. */
export interface FrameFault {
  readonly type: "fault";
  readonly code: "malformed" | "invalid_subject" | "unsupported";
  readonly message: string;
  /** That of the request, where it could be read. */
  readonly id?: string | undefined;
}

/** A name that a client gives, and is told again, is no longer than this. */
export const MAX_ID_LENGTH = 128;
export const MAX_RATE = 1000;
/** A subscription may have so many patterns. */
export const MAX_PATTERNS = 64;

/** What the name of a durable is, in words. */
export const DURABLE_NAME = "is 1 to 64 of A-Z a-z 0-9 _ -";

const decoder = new TextDecoder("utf-8", { fatal: true });

/** Reads a frame that a client sent; binary frames are read like text. */
export function readClientFrame(
  data: string | Uint8Array,
  dialect: "plain" | "v1",
): ClientFrame | FrameFault {
  let value: unknown;
  try {
    value = JSON.parse(typeof data === "string" ? data : decoder.decode(data));
  } catch {
    return fault("a frame is one JSON object");
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    return fault("a frame is one JSON object");
  }
  const fields = value as Record<string, unknown>;
  const { type } = fields;
  switch (type) {
    case "ack":
    case "nack":
    case "working":
      return readAck(type, fields);
    case "slow":
    case "ok":
      return { type };
    default:
      return dialect === "v1" ? readV1Frame(fields) : fault('"type" is not one of this dialect');
  }
}

function readAck(
  type: "ack" | "nack" | "working",
  { id, ids, upto }: Record<string, unknown>,
): ClientFrame | FrameFault {
  if (typeof id === "string") return { type, ids: [id] };
  if (Array.isArray(ids) && ids.every((one) => typeof one === "string")) return { type, ids };
  if (type === "ack" && typeof upto === "string") return { type, upto };
  return fault(`"${type}" needs the "id" of a message`);
}

function readV1Frame(fields: Record<string, unknown>): ClientFrame | FrameFault {
  const { type, id, sub } = fields;
  switch (type) {
    case "subscribe":
      if (!isName(id))
        return fault(`"subscribe" needs an "id" of 1 to ${MAX_ID_LENGTH} characters`);
      return readSubscribe(id, fields);
    case "unsubscribe":
      return isName(sub) ? { type, sub } : fault('"unsubscribe" needs the "sub" of a subscription');
    case "ping":
      if (id === undefined) return { type };
      return isName(id) ? { type, id } : fault(`"id" has 1 to ${MAX_ID_LENGTH} characters`);
    case "auth":
      return fault(
        '"auth" is for endpoints that want a token; this one does not',
        isName(id) ? id : undefined,
        "unsupported",
      );
    default:
      return fault('"type" is not one of this dialect', isName(id) ? id : undefined);
  }
}

function readSubscribe(id: string, fields: Record<string, unknown>): ClientFrame | FrameFault {
  const { subjects, policy, max_rate: maxRate, from, mode, durable } = fields;
  if (!Array.isArray(subjects) || subjects.length < 1 || subjects.length > MAX_PATTERNS) {
    return fault(`"subjects" is a list of 1 to ${MAX_PATTERNS} subjects`, id);
  }
  for (const subject of subjects) {
    if (typeof subject !== "string") return fault("a subject is a text", id, "invalid_subject");
    const why = subjectFault(subject, true);
    if (why === undefined) continue;
    const message = `subject ${JSON.stringify(subject.slice(0, 200))} ${why}`;
    return fault(message, id, "invalid_subject");
  }
  if (policy !== undefined && !isPolicy(policy)) {
    return fault(`"policy" is one of ${POLICIES.join(", ")}`, id);
  }
  if (maxRate !== undefined && !isRate(maxRate)) {
    return fault(`"max_rate" is more than 0 and at most ${MAX_RATE} messages per second`, id);
  }
  if (mode !== undefined && mode !== "at-most-once" && mode !== "at-least-once") {
    return fault('"mode" is "at-most-once" or "at-least-once"', id, "unsupported");
  }
  if (durable !== undefined && !isDurableName(durable)) {
    return fault(`"durable" ${DURABLE_NAME}`, id);
  }
  const begin = readFrom(from);
  if (begin === undefined) {
    return fault(`"from" is ${STARTS}, or {"after":"<id>"}`, id, "unsupported");
  }
  return { type: "subscribe", id, subjects, policy, maxRate, mode, durable, ...begin };
}

/** Where a subscription begins: `undefined` when that is not served. */
function readFrom(from: unknown): { after?: string; start?: StartPoint } | undefined {
  if (from === undefined) return {};
  if (typeof from === "object" && from !== null && "after" in from) {
    return isName(from.after) ? { after: from.after } : undefined;
  }
  const start = readStart(from);
  return start && { start };
}

function isName(value: unknown): value is string {
  return typeof value === "string" && value.length > 0 && value.length <= MAX_ID_LENGTH;
}

export function isDurableName(value: unknown): value is string {
  return typeof value === "string" && /^[A-Za-z0-9_-]{1,64}$/.test(value);
}

function isPolicy(value: unknown): value is Policy {
  return POLICIES.some((policy) => policy === value);
}

function isRate(value: unknown): value is number {
  return typeof value === "number" && value > 0 && value <= MAX_RATE;
}

function fault(message: string, id?: string, code: FrameFault["code"] = "malformed"): FrameFault {
  return { type: "fault", code, message, id };
}

/** Whether a frame is longer than so many bytes in UTF-8, without encoding it where its length tells. */
export function isLongerThan(data: string | Uint8Array, maxBytes: number): boolean {
  if (typeof data !== "string") return data.length > maxBytes;
  // A UTF-16 unit takes one to three bytes in UTF-8.
  if (data.length > maxBytes) return true;
  return data.length * 3 > maxBytes && new TextEncoder().encode(data).length > maxBytes;
}
