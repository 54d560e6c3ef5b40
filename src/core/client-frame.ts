/** What a plain client may tell the server; everything else in the frame is ignored. */
export type ClientFrame =
  | { readonly type: "ack"; readonly id: string }
  | { readonly type: "nack"; readonly id: string }
  | { readonly type: "slow" }
  | { readonly type: "ok" };

const decoder = new TextDecoder("utf-8", { fatal: true });

/**
 * Reads a frame that a client sent; binary frames are read like text.
 *
 * @returns `undefined` when it is malformed: no JSON object, an unknown `type`, an `ack` or
 * `nack` without an `id`.
 */
export function readClientFrame(data: string | Uint8Array): ClientFrame | undefined {
  let value: unknown;
  try {
    value = JSON.parse(typeof data === "string" ? data : decoder.decode(data));
  } catch {
    return undefined;
  }
  if (typeof value !== "object" || value === null) return undefined;
  const { type, id } = value as Record<string, unknown>;
  switch (type) {
    case "ack":
    case "nack":
      return typeof id === "string" ? { type, id } : undefined;
    case "slow":
    case "ok":
      return { type };
    default:
      return undefined;
  }
}

/** Whether a frame is longer than so many bytes in UTF-8, without encoding it where its length tells. */
export function isLongerThan(data: string | Uint8Array, maxBytes: number): boolean {
  if (typeof data !== "string") return data.length > maxBytes;
  // A UTF-16 unit takes one to three bytes in UTF-8.
  if (data.length > maxBytes) return true;
  return data.length * 3 > maxBytes && new TextEncoder().encode(data).length > maxBytes;
}
