import type { ClientFrame } from "../../protocol/client-frames.ts";
import { ANONYMOUS, isSamePrincipal, type Principal } from "../access/grant.ts";
import { rawField } from "../wire/raw-field.ts";

/** A frame with a message of a client. */
export type MessageFrame = Extract<ClientFrame, { readonly type: "publish" | "request" }>;

/** Headers by their names. */
export type MessageHeaders = ReadonlyMap<string, readonly string[]>;

/** NATS and the gateway alone set these: they decide what NATS does with a message, and who it is of. */
const RESERVED_HEADER = /^(?:nats|spillway)-/i;

const NO_DATA = new Uint8Array(0);
const utf8 = new TextEncoder();
const text = new TextDecoder();

/**
 * Returns the data of a message: a JSON payload as the client wrote it, byte for byte.
 *
 * @param raw the frame, which was read as valid.
 * @returns a text if the frame has no such data: what is wrong, for the client's developer.
 */
export function dataOf(frame: MessageFrame, raw: string | Uint8Array): Uint8Array | string {
  const { encoding, payload } = frame;
  switch (encoding) {
    case undefined: {
      const json = rawField(typeof raw === "string" ? raw : text.decode(raw), "payload");
      return json === undefined ? `"${frame.type}" needs a "payload"` : utf8.encode(json);
    }
    case "empty":
      return payload === undefined || payload === null
        ? NO_DATA
        : 'with "encoding":"empty", "payload" is null or absent';
    case "text":
      if (typeof payload !== "string") return 'with "encoding":"text", "payload" is a string';
      // Half a surrogate pair has no UTF-8.
      return /\p{Surrogate}/u.test(payload)
        ? '"payload" must not contain half a surrogate pair'
        : utf8.encode(payload);
    default:
      return typeof payload === "string" && isBase64(payload)
        ? Uint8Array.from(atob(payload), (char) => char.charCodeAt(0))
        : 'with "encoding":"base64", "payload" is a string of RFC 4648, section 4';
  }
}

/** Returns the first of these headers that a client may not set. */
export function reservedHeader(headers: Readonly<Record<string, unknown>>): string | undefined {
  return Object.keys(headers).find((name) => RESERVED_HEADER.test(name));
}

/** Returns the headers that say who published a message; none for anonymous clients. */
export function publisherHeaders(principal: Principal): readonly (readonly [string, string[]])[] {
  if (isSamePrincipal(principal, ANONYMOUS)) return [];
  return [
    ["Spillway-Sub", [headerValue(principal.sub)]],
    ["Spillway-Issuer", [headerValue(principal.issuer)]],
  ];
}

/** RFC 4648 §4, with padding. */
function isBase64(given: string): boolean {
  return given.length % 4 === 0 && /^[A-Za-z0-9+/]*={0,2}$/.test(given);
}

/**
 * Writes a name as the value of a header. Control characters, `%`, and blanks at an end become `%` and their code in
 * hexadecimal, so that different names stay different.
 */
function headerValue(name: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is replaced
  return name.replace(/[\u0000-\u001f\u007f%]|^ | $|\p{Surrogate}/gu, (char) => {
    const code = char.charCodeAt(0).toString(16).toUpperCase();
    return code.length > 2 ? `%u${code}` : `%${code.padStart(2, "0")}`;
  });
}
