/**
 * Reads JSON (RFC 8259). What is wrong with a text is told by its place alone: the messages of the
 * runtimes' own parsers repeat pieces of it, and it may hold passwords.
 */
export function parseJson(text: string): { value: unknown } | { fault: string } {
  const source = text.replace(/^\uFEFF/, "");
  try {
    return { value: JSON.parse(source) };
  } catch {
    const before = source.slice(0, faultOffset(source)).split("\n");
    const column = (before.at(-1) ?? "").length + 1;
    return { fault: `it is not JSON at line ${before.length}, column ${column}` };
  }
}

const SPACE = /[ \t\r\n]*/y;
// biome-ignore lint/suspicious/noControlCharactersInRegex: JSON allows none of them in a string
const STRING = /"(?:[^"\\\u0000-\u001f]|\\(?:["\\/bfnrt]|u[0-9A-Fa-f]{4}))*"/y;
const SCALAR = /-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?|true|false|null/y;

/** How many characters of the text may begin a JSON text: the next one is wrong, or missing. */
function faultOffset(text: string): number {
  let at = 0;
  const takes = (pattern: RegExp): boolean => {
    pattern.lastIndex = at;
    const taken = pattern.exec(text)?.[0];
    at += taken?.length ?? 0;
    return taken !== undefined;
  };
  const takesSign = (sign: string): boolean => {
    takes(SPACE);
    if (text[at] !== sign) return false;
    at++;
    return true;
  };
  const takesItems = (end: string, takesItem: () => boolean): boolean => {
    if (takesSign(end)) return true;
    do {
      if (!takesItem()) return false;
    } while (takesSign(","));
    return takesSign(end);
  };
  const takesMember = () => {
    takes(SPACE);
    return takes(STRING) && takesSign(":") && takesValue();
  };
  const takesValue = (): boolean => {
    if (takesSign("{")) return takesItems("}", takesMember);
    if (takesSign("[")) return takesItems("]", takesValue);
    return takes(STRING) || takes(SCALAR);
  };
  takesValue();
  takes(SPACE);
  return at;
}
