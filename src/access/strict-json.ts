/** Deep enough for claims and for the files of tokens. */
const MAX_DEPTH = 32;

/** A whole string, with the colon behind it if it is a key; or a bracket. */
const PARTS = /"[^"\\]*(?:\\.[^"\\]*)*"(\s*:)?|[{}[\]]/g;

/**
 * Reads JSON (RFC 8259). An object with the same key twice is refused, because parsers disagree about which value
 * counts. A fault never quotes the text, which may be secret.
 */
export function parseStrictJson(text: string): { value: unknown } | { fault: string } {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return { fault: "it is not JSON" };
  }
  const fault = faultOf(text);
  return fault === undefined ? { value } : { fault };
}

/** @param text valid JSON. */
function faultOf(text: string): string | undefined {
  /** The keys of the objects and lists around a place, from the outside. */
  const around: Set<string>[] = [];
  for (const [part, colon] of text.matchAll(PARTS)) {
    if (part === "{" || part === "[") around.push(new Set());
    else if (part === "}" || part === "]") around.pop();
    else if (colon !== undefined) {
      // "\u0061" and "a" are the same key.
      const key: string = JSON.parse(part.slice(0, -colon.length));
      const keys = around.at(-1);
      if (keys?.has(key)) return "it has a key twice";
      keys?.add(key);
    }
    if (around.length > MAX_DEPTH) return `it is nested more than ${MAX_DEPTH} deep`;
  }
  return undefined;
}
