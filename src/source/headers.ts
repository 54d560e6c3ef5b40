import type { Msg } from "./connect.ts";

/** The headers of a NATS message (ADR-4). */
export class Headers {
  /** The status in the first line; 0 if there is none. */
  readonly code: number;
  readonly description: string;
  /** The values of each name, in their order; names as they were sent. */
  readonly fields: ReadonlyMap<string, readonly string[]>;

  constructor(code: number, description: string, fields: Headers["fields"]) {
    this.code = code;
    this.description = description;
    this.fields = fields;
  }

  /**
   * Returns the last value of a header. The server's own values follow those of the publisher, who may have
   * sent the same names: a republished message has both.
   */
  last(name: string): string | undefined {
    return this.fields.get(name)?.at(-1);
  }
}

const NONE = new Headers(0, "", new Map());
const VERSION = "NATS/1.0";
/** RFC 822 §3.1.2: printable ASCII without the colon. */
const NAME = /^[!-9;-~]+$/;
const NEWLINE = 0x0a;
const decoder = new TextDecoder();

/**
 * Reads the headers of a message. nats-server forwards malformed headers; the getter of nats.js throws at them,
 * and takes quadratic time for many names.
 *
 * @param unreadable called if they are malformed. They count as none then.
 */
export function readHeaders(msg: Msg, unreadable: (detail: string) => void): Headers {
  const headers = parse(msg);
  if (headers !== undefined) return headers;
  unreadable(`the headers of a message on ${msg.subject} can't be read`);
  return NONE;
}

/** Whether a message has a header. Headers in which no line begins with the name are not parsed. */
export function hasHeader(msg: Msg, name: string, headers: () => Headers): boolean {
  const raw = readRaw(msg);
  return (raw === undefined || hasLine(raw, name)) && headers().fields.has(name);
}

/** A message as it came: its data stands behind its headers, which may be empty. */
export interface RawMessage {
  readonly bytes: Uint8Array;
  readonly dataAt: number;
}

/** The part of nats.js's messages that is read. It is not public, so the version of nats.js is pinned. */
interface Parsed {
  /** How many bytes of headers precede the data; -1 if there are no headers. */
  readonly _msg?: { readonly hdr?: number };
  readonly _rdata?: Uint8Array;
}

/** Returns the bytes of a message; `undefined` if it is one of another version of nats.js, on a host's connection. */
export function readRaw(msg: Msg): RawMessage | undefined {
  const { _msg, _rdata } = msg as unknown as Parsed;
  if (_msg?.hdr === undefined || _rdata === undefined) return undefined;
  return { bytes: _rdata, dataAt: Math.max(0, _msg.hdr) };
}

/** Returns the data of a message: nats.js makes another view of it at each reading, on Node a slow one. */
export function readData(msg: Msg): Uint8Array {
  const raw = readRaw(msg);
  return raw === undefined ? msg.data : viewOf(raw.bytes, raw.dataAt, raw.bytes.length);
}

/** Whether a message has data besides its headers. */
export function hasData(msg: Msg): boolean {
  const raw = readRaw(msg);
  return raw === undefined ? msg.data.length > 0 : raw.bytes.length > raw.dataAt;
}

/** Whether one of the lines of the headers begins with a text of ASCII characters. */
function hasLine({ bytes, dataAt }: RawMessage, text: string): boolean {
  for (let at = 0; at < dataAt - text.length; at++) {
    if (bytes[at] === NEWLINE && beginsAt(bytes, at + 1, text)) return true;
  }
  return false;
}

function beginsAt(bytes: Uint8Array, start: number, text: string): boolean {
  for (let at = 0; at < text.length; at++) {
    if (bytes[start + at] !== text.charCodeAt(at)) return false;
  }
  return true;
}

function parse(msg: Msg): Headers | undefined {
  const raw = readRaw(msg);
  if (raw === undefined) return parsedBy(msg);
  if (raw.dataAt === 0) return NONE;
  return parseHeaders(decoder.decode(viewOf(raw.bytes, 0, raw.dataAt)));
}

function viewOf({ buffer, byteOffset, length }: Uint8Array, start: number, end: number) {
  return new Uint8Array(buffer, byteOffset + start, Math.max(0, Math.min(end, length) - start));
}

/** Reads the headers with the getter of another version of nats.js, on a host's connection. */
function parsedBy(msg: Msg): Headers | undefined {
  try {
    const { headers } = msg;
    if (headers === undefined) return NONE;
    return new Headers(headers.code, headers.description, new Map(headers));
  } catch {
    return undefined;
  }
}

/** Parses headers; returns `undefined` if they are malformed. */
export function parseHeaders(text: string): Headers | undefined {
  const [first = "", ...lines] = text.split("\r\n");
  if (!first.startsWith(VERSION)) return undefined;
  const [, code = "0", description = ""] = /^\s*(\d*)\s*(.*)$/s.exec(first.slice(VERSION.length))!;
  const fields = new Map<string, string[]>();
  for (const line of lines) {
    const colon = line.indexOf(":");
    if (colon < 0) continue;
    const name = line.slice(0, colon);
    const value = withoutBlanks(line.slice(colon + 1));
    if (!NAME.test(name) || /[\r\n]/.test(value)) return undefined;
    const values = fields.get(name);
    if (values === undefined) fields.set(name, [value]);
    else values.push(value);
  }
  return new Headers(Number(code), description, fields);
}

/**
 * Removes the blanks around a value. Other white space belongs to the value: a subject, which comes in a header when a
 * stream is read directly, may begin or end with it.
 */
function withoutBlanks(text: string): string {
  let start = 0;
  let end = text.length;
  while (start < end && isBlank(text.charCodeAt(start))) start++;
  while (end > start && isBlank(text.charCodeAt(end - 1))) end--;
  return text.slice(start, end);
}

function isBlank(code: number): boolean {
  return code === 0x20 || code === 0x09;
}
