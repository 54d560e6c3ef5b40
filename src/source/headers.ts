import type { Msg } from "./connect.ts";

/** The headers of a NATS message (ADR-4). */
export class Headers {
  /** The status that stands in the first line; 0 where there is none. */
  readonly code: number;
  readonly description: string;
  /** By name, as it was sent, all values in their order. */
  readonly fields: ReadonlyMap<string, readonly string[]>;

  constructor(code: number, description: string, fields: Headers["fields"]) {
    this.code = code;
    this.description = description;
    this.fields = fields;
  }

  /**
   * The last value of a header. nats-server writes its own values behind those of the publisher, who may
   * have sent the same names: a message that was republished has them.
   */
  last(name: string): string | undefined {
    return this.fields.get(name)?.at(-1);
  }
}

const NONE = new Headers(0, "", new Map());
const VERSION = "NATS/1.0";
/** RFC 822 §3.1.2: printable ASCII without the colon. */
const NAME = /^[!-9;-~]+$/;
const decoder = new TextDecoder();

/**
 * Reads the headers of a message. nats-server passes on whatever it gets, and the getter of nats.js throws
 * where they break the rules and takes quadratic time for many names; this one does neither.
 *
 * @param unreadable called when they break the rules; they then count as none.
 */
export function readHeaders(msg: Msg, unreadable: (detail: string) => void): Headers {
  const headers = parse(msg);
  if (headers !== undefined) return headers;
  unreadable(`the headers of a message on ${msg.subject} can't be read`);
  return NONE;
}

/** The part of nats.js's messages that we read. It is not public, so the version of nats.js is pinned. */
interface Parsed {
  /** How many bytes stand before the data; -1 where there are no headers. */
  readonly _msg?: { readonly hdr?: number };
}

function parse(msg: Msg): Headers | undefined {
  const length = (msg as unknown as Parsed)._msg?.hdr;
  if (length === undefined) return parsedBy(msg);
  if (length <= 0) return NONE;
  // nats.js cuts the data out of the bytes in which the headers stand before it.
  const { buffer, byteOffset } = msg.data;
  const start = byteOffset - length;
  if (start < 0) return undefined;
  return parseHeaders(decoder.decode(new Uint8Array(buffer as ArrayBuffer, start, length)));
}

/** The headers as another version of nats.js reads them, on a connection that a host brings. */
function parsedBy(msg: Msg): Headers | undefined {
  try {
    const { headers } = msg;
    if (headers === undefined) return NONE;
    return new Headers(headers.code, headers.description, new Map(headers));
  } catch {
    return undefined;
  }
}

/** Reads headers from their text, or returns `undefined` where that breaks the rules. */
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
 * A value without the blanks around it, which are no part of it. All other white space is: a subject may begin or end
 * with it, and comes in a header where a stream is read directly.
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
