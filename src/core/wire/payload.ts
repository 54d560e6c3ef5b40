import type { SourceMessage } from "../ports/source.ts";
import { judgeJson } from "./json.ts";

/**
 * The content of `payload`.
 *
 * - `"raw"`: the message's own data.
 * - `"annotated"`: an object with `timestamp` and `subject` in it, as StreamKit's own server sends it.
 */
export type PayloadFormat = "raw" | "annotated";

/** A payload as JSON text, and how it came to be that. */
export interface Payload {
  /** On one line. */
  readonly json: Uint8Array | string;
  readonly encoding: "" | "text" | "base64" | "empty";
}

const NEWLINE = 0x0a;
const SPACE = 0x20;

const EMPTY: Payload = { json: "null", encoding: "empty" };

// The BOM is part of the data, so it is kept; a payload that begins with one is no JSON (RFC 8259 §8.1).
const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** The data as JSON: as it is, as a string, or in base64. */
export function carryPayload(data: Uint8Array): Payload {
  if (data.length === 0) return EMPTY;
  const verdict = judgeJson(data);
  if (verdict === "json") return { json: data, encoding: "" };
  const text = decode(data);
  if (text === undefined) return { json: `"${base64(data)}"`, encoding: "base64" };
  if (verdict === "unclear" && parseJson(text) !== NOT_JSON) {
    return { json: onOneLine(data), encoding: "" };
  }
  return { json: JSON.stringify(text), encoding: "text" };
}

/**
 * The payload as StreamKit's own server writes it: an object gains `timestamp` (RFC 3339) and
 * `subject` where those keys are absent; anything else is wrapped. Ours inserts text instead of
 * writing the object anew, so its numbers and the order of its keys survive here too.
 */
export function annotatePayload({ data, subject }: SourceMessage, timestampMs: number): Payload {
  const text = decode(data);
  const time = new Date(timestampMs).toISOString();
  const value = text === undefined ? NOT_JSON : parseJson(text);
  if (text === undefined || !isObject(value)) {
    const wrapped = { type: "raw_data", subject, data: text ?? base64(data), timestamp: time };
    return { json: JSON.stringify(wrapped), encoding: "" };
  }
  const added = Object.entries({ timestamp: time, subject })
    .filter(([key]) => !Object.hasOwn(value, key))
    .map(([key, field]) => `${JSON.stringify(key)}:${JSON.stringify(field)}`);
  const body = text.replaceAll("\n", " ").trim().slice(1, -1);
  const fields = body.trim() === "" ? added : [body, ...added];
  return { json: `{${fields.join(",")}}`, encoding: "" };
}

/** JSON strings hold no raw newline, so each one stands between tokens, where a space means the same. */
function onOneLine(json: Uint8Array): Uint8Array {
  if (!json.includes(NEWLINE)) return json;
  return json.map((byte) => (byte === NEWLINE ? SPACE : byte));
}

const NOT_JSON = Symbol("not JSON");

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return NOT_JSON;
  }
}

function isObject(value: unknown): value is object {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** The text that the bytes are in UTF-8, or `undefined` when they are no UTF-8. */
function decode(data: Uint8Array): string | undefined {
  try {
    return decoder.decode(data);
  } catch {
    return undefined;
  }
}

/** RFC 4648 §4, with padding. */
function base64(data: Uint8Array): string {
  // Bytes become characters in slices, because a call takes a bounded number of arguments.
  const slices: string[] = [];
  for (let start = 0; start < data.length; start += 8192) {
    slices.push(String.fromCharCode(...data.subarray(start, start + 8192)));
  }
  return btoa(slices.join(""));
}
