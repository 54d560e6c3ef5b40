import type { ClientFrame } from "../protocol/client-frames.ts";
import type { DataFrame } from "./transport.ts";

type Encoded = Pick<Extract<ClientFrame, { type: "publish" }>, "encoding" | "payload">;

/** Decodes what a frame carries: JSON, a string, bytes as a `Uint8Array`, or `null` if there is no data. */
export function decodePayload({ encoding, payload }: Pick<DataFrame, "encoding" | "payload">) {
  if (encoding !== "base64") return payload;
  return Uint8Array.from(atob(payload as string), (char) => char.charCodeAt(0));
}

/** Returns how many bytes a value has as JSON. */
export function byteLength(value: unknown): number {
  return new TextEncoder().encode(JSON.stringify(value)).length;
}

/** Encodes what a page publishes: bytes as they are, `undefined` as no data, anything else as JSON. */
export function encodePayload(payload: unknown): Encoded {
  if (payload === undefined) return { encoding: "empty" };
  if (!(payload instanceof Uint8Array)) return { payload };
  return { encoding: "base64", payload: base64Of(payload) };
}

/** Encodes bytes in base64 (RFC 4648, section 4). */
export function base64Of(bytes: Uint8Array): string {
  let chars = "";
  for (const byte of bytes) chars += String.fromCharCode(byte);
  return btoa(chars);
}
