import type { SourceMessage } from "./source.ts";

/** A message as it goes over the wire: encoded once, the same for every client. */
export interface Envelope {
  /** The resume cursor; opaque to clients. */
  readonly id: string;
  /** One JSON object without a raw newline. */
  readonly text: string;
  /** The length of `text` in UTF-8. */
  readonly byteLength: number;
}

/**
 * What `payload` holds.
 *
 * - `"raw"`: the message's own data.
 * - `"annotated"`: what StreamKit's own server sends, an object with `timestamp` and `subject` in it.
 */
export type PayloadFormat = "raw" | "annotated";

export interface EnvelopeOptions {
  readonly payloadFormat: PayloadFormat;
  /** The names of the NATS headers that clients may see, in any case; none by default. */
  readonly headers: readonly string[];
}

/** A payload as JSON text, and how it came to be that. */
interface Payload {
  readonly json: string;
  readonly byteLength: number;
  readonly encoding: "" | "text" | "base64" | "empty";
}

// The BOM is part of the data, so it is kept; a payload that begins with one is no JSON (RFC 8259 §8.1).
const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
const encoder = new TextEncoder();

/**
 * Writes the envelope of `type`, `id`, `timestamp`, `subject` and `payload`, in that order
 * (StreamKit's, with `subject` added), as the documentation of the wire protocol describes it.
 *
 * A payload that is valid JSON is carried byte for byte, so that integers above 2^53, the order of
 * keys and duplicate keys survive: it is parsed to see whether it is JSON, and never written anew.
 */
export class EnvelopeEncoder {
  readonly #annotated: boolean;
  readonly #headers: ReadonlySet<string>;

  constructor(options: EnvelopeOptions) {
    this.#annotated = options.payloadFormat === "annotated";
    this.#headers = new Set(options.headers.map((name) => name.toLowerCase()));
  }

  encode(message: SourceMessage, id: string, timestampMs: number): Envelope {
    const payload = this.#annotated ? annotate(message, timestampMs) : carry(message.data);
    const head =
      `{"type":"data","id":"${id}","timestamp":${timestampMs},"subject":${JSON.stringify(message.subject)}` +
      (payload.encoding === "" ? "" : `,"encoding":"${payload.encoding}"`) +
      this.#headerField(message) +
      `,"payload":`;
    return {
      id,
      text: `${head}${payload.json}}`,
      byteLength: utf8Length(head) + payload.byteLength + 1,
    };
  }

  #headerField(message: SourceMessage): string {
    if (this.#headers.size === 0 || message.headers === undefined) return "";
    const shown = [...message.headers].filter(([name]) => this.#headers.has(name.toLowerCase()));
    return shown.length === 0 ? "" : `,"headers":${JSON.stringify(Object.fromEntries(shown))}`;
  }
}

/** The data as JSON text: as it is, as a string, or in base64. */
function carry(data: Uint8Array): Payload {
  if (data.length === 0) return { json: "null", byteLength: 4, encoding: "empty" };
  const text = decode(data);
  if (text === undefined) {
    const json = `"${base64(data)}"`;
    return { json, byteLength: json.length, encoding: "base64" };
  }
  if (parseJson(text) === NOT_JSON) {
    const json = JSON.stringify(text);
    return { json, byteLength: utf8Length(json), encoding: "text" };
  }
  // JSON strings hold no raw newline, so each one stands between tokens, where a space means the same.
  return { json: text.replaceAll("\n", " "), byteLength: data.length, encoding: "" };
}

/**
 * The payload as StreamKit's own server writes it: an object gains `timestamp` (RFC 3339) and
 * `subject` where those keys are absent; anything else is wrapped. Ours inserts text instead of
 * writing the object anew, so its numbers and the order of its keys survive here too.
 */
function annotate(message: SourceMessage, timestampMs: number): Payload {
  const text = decode(message.data);
  const time = new Date(timestampMs).toISOString();
  const value = text === undefined ? NOT_JSON : parseJson(text);
  let json: string;
  if (text !== undefined && isObject(value)) {
    const added = Object.entries({ timestamp: time, subject: message.subject })
      .filter(([key]) => !Object.hasOwn(value, key))
      .map(([key, field]) => `${JSON.stringify(key)}:${JSON.stringify(field)}`);
    const body = text.replaceAll("\n", " ").trim().slice(1, -1);
    json = `{${[...(body.trim() === "" ? [] : [body]), ...added].join(",")}}`;
  } else {
    json = JSON.stringify({
      type: "raw_data",
      subject: message.subject,
      data: text ?? base64(message.data),
      timestamp: time,
    });
  }
  return { json, byteLength: utf8Length(json), encoding: "" };
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

function utf8Length(text: string): number {
  for (let index = 0; index < text.length; index++) {
    if (text.charCodeAt(index) > 0x7f) return encoder.encode(text).length;
  }
  return text.length;
}
